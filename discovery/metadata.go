package discovery

import "slices"

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
	GrantTypes       []string // grant_types_supported; empty: not said
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
// server supports (AuthBasic if it says nothing, as RFC 8414 has it, or knows neither).
func (m Metadata) AuthMethod(hasSecret bool) string {
	switch {
	case !hasSecret:
		return AuthNone
	case slices.Contains(m.TokenAuthMethods, AuthPost) && !slices.Contains(m.TokenAuthMethods, AuthBasic):
		return AuthPost
	}
	return AuthBasic
}

func (m Metadata) clone() Metadata {
	m.Scopes, m.TokenAuthMethods, m.GrantTypes = slices.Clone(m.Scopes), slices.Clone(m.TokenAuthMethods), slices.Clone(m.GrantTypes)
	return m
}
