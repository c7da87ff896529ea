package discovery

import (
	"context"
	"log/slog"
	"net/http"
	"time"
)

// Config says what discovery works with. Zero durations mean the defaults in brackets.
type Config struct {
	HTTP       *http.Client     // required: the client for strangers, as internal/outbound makes it. Every request of this package goes through it
	Logger     *slog.Logger     // nil: says nothing
	Now        func() time.Time // nil: time.Now
	Timeout    time.Duration    // of one whole discovery or registration [30s]
	CacheTTL   time.Duration    // how long what was found is believed [3m]
	FailureTTL time.Duration    // how long a failure is repeated without asking again [5s]
}

// Client discovers and registers. It is safe for concurrent use.
type Client struct{}

// New checks the configuration.
func New(config Config) (*Client, error) { panic("unbuilt") }

// Close ends discoveries under way and returns after them.
func (c *Client) Close() { panic("unbuilt") }

// Server is what is known of an MCP server before discovery. It is comparable: what was found is remembered by it.
type Server struct {
	URL          string // of its MCP endpoint
	PinnedIssuer string // the only issuer an admin allows, compared exactly; empty: whichever the server names
	Challenge    string // the WWW-Authenticate of a 401 or 403 it answered, several joined with ", "; empty: the server is asked for one

	// An admin's manual values: both of the first two or none. With them nothing is asked of anybody.
	AuthorizationURL string
	TokenURL         string
	RevocationURL    string // beside discovered values, it wins over the discovered one
}

// Metadata is what a sign-in at a server needs. All URLs in it have been judged: https (http on loopback only), a host, no userinfo, no fragment.
type Metadata struct {
	// Issuer is what the authorization server calls itself, validated against where its metadata came from, or the admin's pin. Registrations and grants are bound to it and the iss of an
	// authorization response is compared with it, exactly. It is empty only where an admin gave the endpoints by hand without a pin: then no iss can be checked.
	Issuer                string
	AuthorizationEndpoint string // may have a query of its own, but none of the parameters that a client sets
	TokenEndpoint         string
	RegistrationEndpoint  string // empty: no dynamic registration
	RevocationEndpoint    string // empty: tokens cannot be revoked

	Resource       string   // what to send as resource (RFC 8707) in every authorization, token and refresh request
	Scopes         []string // to ask for at first: the challenge's, else the resource metadata's, else none. Never all the authorization server has
	OfflineAccess  bool     // the authorization server knows the scope offline_access, which may be added to ask for a refresh token
	IssParameter   bool     // authorization_response_iss_parameter_supported: an authorization response without iss is to be refused
	ClientDocument bool     // client_id_metadata_document_supported: the URL of our own document can be the client id

	TokenAuthMethods []string // token_endpoint_auth_methods_supported; empty: not said, see AuthMethod
	Manual           bool     // an admin gave the endpoints, nothing was discovered
	Legacy           bool     // there is no metadata at all: these are the default endpoints of 2025-03-26

	ResourceMetadataURL string // where the protected resource metadata was found; empty: nowhere
	IssuerMetadataURL   string // where the authorization server metadata was found; empty: nowhere
}

// Ways for a client to prove itself at the token endpoint.
const (
	AuthNone  = "none"                // a public client: its id, in the body
	AuthBasic = "client_secret_basic" // HTTP Basic
	AuthPost  = "client_secret_post"  // id and secret in the body
)

// AuthMethod is how a client that was configured by hand proves itself at the token endpoint: AuthNone without a secret, else the first of AuthBasic and AuthPost that the authorization
// server supports (AuthBasic if it says nothing, as RFC 8414 has it).
func (m Metadata) AuthMethod(hasSecret bool) string { panic("unbuilt") }

// Discover returns what a sign-in at the server needs. What it found, failures included, is remembered for a while, and asking for the same server at the same time asks the network once.
// Every error but one of ctx is a *Failure.
func (c *Client) Discover(ctx context.Context, server Server) (Metadata, error) { panic("unbuilt") }

// Rediscover is Discover without a look at what is remembered: for when an admin asks, and for when an authorization server refuses what it once gave.
func (c *Client) Rediscover(ctx context.Context, server Server) (Metadata, error) { panic("unbuilt") }
