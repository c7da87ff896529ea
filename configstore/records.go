package configstore

import (
	"time"

	"mcpsidecar/internal/secret"
	"mcpsidecar/policy"
)

// Transport is how a server speaks.
type Transport string

// The transports.
const (
	StreamableHTTP Transport = "streamable_http"
	SSE            Transport = "sse"
)

// AuthType is how we prove ourselves to a server.
type AuthType string

// The kinds of authentication. user_oidc of the reference system is not among them: there is no OIDC login here to take a token from.
const (
	AuthNone          AuthType = "none"
	AuthOAuth2        AuthType = "oauth2"
	AuthAPIKey        AuthType = "api_key"
	AuthCustomHeaders AuthType = "custom_headers"
)

// Server is one external MCP server and its configuration.
type Server struct {
	ID          string // UUID, minted by NewID
	DisplayName string
	Slug        string
	Description string
	IconURL     string
	Transport   Transport
	URL         string

	AuthType            AuthType
	OAuth2ClientID      string
	OAuth2ClientSecret  secret.Value
	OAuth2AuthURL       string
	OAuth2TokenURL      string
	OAuth2RevocationURL string
	OAuth2Scopes        string // space separated
	OAuth2Issuer        string // an admin's pin; empty: none
	APIKeyHeader        string
	APIKeyValue         secret.Value
	CustomHeaders       map[string]secret.Value // by header name as the admin spelled it

	Rules          policy.Rules
	ModelIntent    bool
	ForwardHeaders []string // request headers of the agent that are passed on; default none
	TimeoutMS      int      // of one call; 0: the default
	MaxConcurrent  int      // calls at the same time; 0: the default

	CreatedBy, UpdatedBy string
	CreatedAt, UpdatedAt time.Time
	Revision             uint64 // changes with every write of this record
}

// APIToken is a caller's bearer token; its text is not kept.
type APIToken struct {
	ID        string
	Hash      [32]byte // caller.HashSecret
	Name      string
	Role      string // admin, user or agent
	User      string
	Mode      string   // pinned; empty: not
	Agent     string   // pinned; empty: not
	Servers   []string // pinned selection of slugs; nil: not
	CreatedBy string
	CreatedAt time.Time
	ExpiresAt time.Time // zero: never
}

// User is a name that a token or an agent's call made known.
type User struct {
	Name      string
	FirstSeen time.Time
}

// Catalog is the approved catalog of one server.
type Catalog struct {
	ServerID   string
	Baseline   policy.Baseline
	ApprovedBy string // empty: the first catalog seen
	ApprovedAt time.Time
}
