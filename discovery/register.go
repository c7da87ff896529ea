package discovery

import (
	"context"
	"time"

	"mcpsidecar/internal/secret"
)

// ClientMetadata is what the sidecar says about itself when it registers.
type ClientMetadata struct {
	Name        string   // client_name: required
	URI         string   // client_uri: a page about the sidecar; may be empty
	RedirectURI string   // required: https, or http on loopback
	Scopes      []string // scope: what it may come to ask for; none: not said
	DocumentURL string   // where our Client ID Metadata Document is served by https; empty: nowhere
}

// Registration is a client id at one authorization server. It is worth nothing for another issuer or redirect URI: register anew when either changes.
type Registration struct {
	Issuer        string
	RedirectURI   string
	ClientID      string
	ClientSecret  secret.Value // zero: a public client
	AuthMethod    string       // at the token endpoint: AuthNone, AuthBasic or AuthPost
	SecretExpires time.Time    // zero: never
	Document      bool         // the client id is the URL of our document; no request was made
}

// Register gets a client id, in the order of the specification: the URL of our own document where the authorization server reads such documents and there is one, else dynamic registration.
// A client that an admin configured needs no Register. Every error but one of ctx is a *Failure; nothing is remembered.
func (c *Client) Register(ctx context.Context, metadata Metadata, client ClientMetadata) (Registration, error) {
	panic("unbuilt")
}
