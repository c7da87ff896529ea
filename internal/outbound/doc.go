// Package outbound makes the HTTP clients with which the sidecar talks to strangers: external MCP servers and their authorization servers.
//
// It owns the judgement of addresses at dial time, the limits and time-outs of a connection, and what a client must not do: follow redirects, use a proxy from the environment, keep cookies,
// decompress without bound. It also owns the words for a connection that failed, in which no address occurs.
//
// It deliberately does not know MCP or OAuth. It does not limit bodies either: a client sends no Accept-Encoding, so a Content-Encoding in an answer was not asked for and reaches the caller as it is;
// whoever reads the body refuses it, and bounds what is read.
//
// Invariant: no connection is opened to an address that is not globally routable unless it is inside a CIDR that the operator allowed at start, whatever name or URL led there.
//
// Lifetimes: a client's idle connections end with [net/http.Client.CloseIdleConnections]. The package starts no goroutine of its own.
package outbound
