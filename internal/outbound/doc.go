// Package outbound makes the HTTP clients with which the sidecar talks to strangers: external MCP servers and their authorization servers.
//
// It owns the judgement of addresses at dial time, the limits and time-outs of a connection, and what a client must not do: follow redirects, use a proxy from the environment, keep cookies,
// decompress without bound.
//
// It deliberately does not know MCP or OAuth.
//
// Invariant: no connection is opened to an address that is not globally routable unless it is inside a CIDR that the operator allowed at start, whatever name or URL led there.
//
// Lifetimes: a Client's idle connections end with Close. The package starts no goroutine of its own.
package outbound
