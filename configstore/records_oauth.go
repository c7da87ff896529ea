package configstore

import (
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"strings"
	"time"

	"mcpsidecar/internal/secret"
)

// GrantState says whether a grant can be used.
type GrantState string

// The states of a grant.
const (
	GrantConnected   GrantState = "connected"
	GrantNeedsReauth GrantState = "needs_reauth" // the provider ended it; only a new sign-in helps
)

// Grant is one user's OAuth2 credential for one server. It is bound to what the server was when the user connected (Binding), and holds all that a refresh needs.
type Grant struct {
	ServerID, User string
	State          GrantState
	Reason         string // why a new sign-in is needed, at most MaxReason bytes

	AccessToken, RefreshToken secret.Value // zero when State is needs_reauth; RefreshToken also where the provider gave none
	TokenType                 string
	Expiry                    time.Time // zero: not known
	ObtainedAt                time.Time // when the provider gave the access token
	Refreshed                 bool      // by a refresh, not by the sign-in
	Scopes                    []string  // granted
	Requested                 []string  // all that was ever asked for: a step-up asks for this and more

	Issuer             string // empty: not known
	Resource           string // what it was asked for (RFC 8707)
	TokenEndpoint      string
	RevocationEndpoint string // empty: tokens cannot be revoked
	ClientID           string
	ClientSecret       secret.Value // of a registration made by itself; a configured client's is the server's
	AuthMethod         string       // at the token endpoint

	Binding     string // Server.OAuthBinding when the user connected
	LastError   string // of the last refresh, at most MaxReason bytes; empty: it went well
	LastErrorAt time.Time
	CreatedAt   time.Time
	UpdatedAt   time.Time
	Generation  uint64 // changes with every write and never comes back, not even after a deletion
	Mark        string // likewise, and cheap to list: see GrantMarks. Set by the store, not stored
}

// Flow is a connect in progress. It is the permission to write a grant, once: who deletes it meanwhile takes the permission away.
type Flow struct {
	State          [32]byte // the hash of the state parameter
	ServerID, User string
	Browser        [32]byte     // the hash of the cookie of the browser that began it
	Verifier       secret.Value // PKCE
	RedirectURI    string

	Issuer             string // empty: not known
	IssParameter       bool   // an answer without iss is to be refused
	Resource           string
	TokenEndpoint      string
	RevocationEndpoint string
	ClientID           string
	ClientSecret       secret.Value // of a registration made by itself
	AuthMethod         string       // empty: not known, a configured client of endpoints given by hand
	Scopes             []string     // asked for

	Binding   string // Server.OAuthBinding when it began
	Taken     bool   // the answer came; it can come once
	CreatedAt time.Time
	ExpiresAt time.Time
}

// Link is an invitation to sign in, for who has no session with us. It opens once.
type Link struct {
	Hash           [32]byte // of its text
	ServerID, User string
	Scopes         []string // what to ask for beside what was asked before; nil: nothing more
	CreatedAt      time.Time
	ExpiresAt      time.Time
}

// Registration is who we are at a server's authorization server, and what was found out about that one.
type Registration struct {
	ServerID      string
	Issuer        string
	RedirectURI   string
	ClientID      string
	ClientSecret  secret.Value // of a registration made by itself; zero: a public client, or a configured one
	AuthMethod    string
	SecretExpires time.Time // zero: never
	Configured    bool      // an admin gave the client id
	Document      bool      // the client id is the URL of our metadata document

	Resource              string
	AuthorizationEndpoint string
	TokenEndpoint         string
	RevocationEndpoint    string
	Scopes                []string // to be asked for at first
	Registered            []string // that it was registered for; a provider may refuse others. nil: none were named

	Binding   string // Server.OAuthBinding when it was made
	CreatedAt time.Time
}

// Limits on what users can make the store hold.
const (
	MaxReason    = 400              // bytes of a reason or last error
	MaxPerUser   = 20               // flows of a user, and likewise links; a new one takes the place of the oldest
	MaxPending   = 2000             // flows of everyone, and likewise links
	FlowLifetime = 10 * time.Minute // of a flow and of a link
	takenFlow    = 2 * time.Minute  // what a flow lives at least once its answer is there
)

// OAuthBinding is what a grant for the server is bound to: where tokens are sent, whose they are, and who we are there. A change of it would send them elsewhere, so it ends them. It is a hash.
func (s *Server) OAuthBinding() string {
	sum := sha256.New()
	for _, part := range []string{string(s.AuthType), place(s.URL), s.OAuth2Issuer, s.OAuth2ClientID, s.OAuth2TokenURL} {
		sum.Write([]byte(part))
		sum.Write([]byte{0})
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// place is an address without what does not change where it leads: its query, and the case of scheme and host.
func place(address string) string {
	parsed, err := url.Parse(address)
	if err != nil {
		return address
	}
	return strings.ToLower(parsed.Scheme) + "://" + strings.ToLower(parsed.Host) + parsed.EscapedPath()
}
