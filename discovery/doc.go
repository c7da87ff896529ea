// Package discovery finds out how a user signs in to an external MCP server, and makes the sidecar known to whoever signs users in there.
//
// It owns the way from a server's URL to its authorization server (protected resource metadata, RFC 9728; authorization server metadata, RFC 8414 and OpenID Connect Discovery; the endpoints
// that servers of 2025-03-26 have without any metadata), the judgement of what is found there, client registration (Client ID Metadata Documents, RFC 7591), and the reading of
// WWW-Authenticate.
//
// It deliberately does not know users, tokens, records or flows: it stores nothing and signs nobody in. Whoever calls it keeps what it returns.
package discovery
