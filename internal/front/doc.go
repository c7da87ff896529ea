// Package front is what stands before every handler of the main listener.
//
// It owns the checks of Host and Origin that keep web pages out of a local program, the refusal of targets that two readers could understand differently, the request id, recovery from a panic, the headers every
// answer carries, the counting of requests by route, and the http.Server's limits and time-outs.
//
// It deliberately does not know callers, MCP or the management API. Headers by which proxies and frameworks rewrite a request (X-Forwarded-*, Forwarded, X-Original-URL, X-HTTP-Method-Override and their like)
// have no meaning to it: a request is for the method, target and Host that its first lines say.
//
// What it refuses, before any handler, with {"message": …} and the end of the connection:
//
//	status  reason    what
//	403     host      a Host, or the host of an absolute target, that is not ours
//	403     origin    an Origin that is not ours
//	400     target    a path that is relative, or has dot segments, empty segments, backslashes, control characters, or a slash, backslash or percent sign in disguise
//	414     length    a target over 8 KiB
//	431     headers   headers over 16 KiB
//	415     encoding  a Content-Encoding other than identity
//
// There are no CORS headers, so no web page of another origin reads an answer.
//
// Invariant: a request whose Host or Origin could be a rebinding or cross-site attack reaches no handler.
//
// Lifetimes: what belongs to one request is reachable from its context and dies with it. A request whose answer is detached (detach.go) has a goroutine that answers and, where the connection is not watched (package rawtcp),
// one that listens for the client's leaving; both are the Gate's, which waits for them in Wait and Close. There are no others.
package front
