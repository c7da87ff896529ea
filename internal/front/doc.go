// Package front is what stands before every handler of the main listener.
//
// It owns the checks of Host and Origin that keep web pages out of a local program, the request id, recovery from a panic, the headers every answer carries, the counting of requests by route, and the http.Server's
// limits and time-outs.
//
// It deliberately does not know callers, MCP or the management API.
//
// Invariant: a request whose Host or Origin could be a rebinding or cross-site attack reaches no handler.
//
// Lifetimes: the package starts no goroutine.
package front
