// Package discovery finds out how a user signs in to an external MCP server, and makes the sidecar known to whoever signs users in there.
//
// It owns the way from a server's URL to its authorization server, the judgement of what is found on that way, client registration, and the reading of WWW-Authenticate.
//
// It deliberately does not know users, tokens, records or flows: it stores nothing and signs nobody in. Whoever calls it keeps what it returns. Nor does it know addresses: whether one may
// be dialled is judged by the client it is given, when it is dialled.
//
// Invariants: every request goes through that client, follows no redirect and carries no credential. Every URL in a result has been judged. Nothing of a stranger's text is in an error, but
// for the issuer that an admin may want to pin.
//
// Lifetimes: one discovery runs on a goroutine of its own, since several may wait for it, and ends in Config.Timeout; what was found is forgotten after Config.CacheTTL. Client.Close ends what
// is under way and waits for it.
//
// # The way
//
// Each step has one file; search.go has them in their order.
//
//  1. probe.go asks the server for something without credentials and reads what it demands, unless its challenge is known already. The answer is a help, not a condition.
//  2. resource.go reads the protected resource metadata (RFC 9728): where the challenge says, then by the server's path, then at the root. It must be about this server.
//  3. issuer.go reads the metadata of the authorization servers named there, in the order of the specification (RFC 8414, OpenID Connect Discovery), until one has what a sign-in needs: the very
//     issuer, two endpoints, PKCE with S256. An admin's pin is the only thing that replaces a named issuer, and that is logged.
//  4. A server without step 2 is one of 2025-03-26, its own authorization server: with metadata at its origin, or, if it demands credentials and has no metadata of any kind, with the default
//     endpoints /authorize, /token and /register. Anything that is there but wrong is a failure and no reason to fall back.
//  5. register.go gets a client id: our own Client ID Metadata Document (document.go) where it is read, else dynamic registration (RFC 7591).
//
// What came from where is in the result, so that an admin can look at it. failure.go has the words for what can go wrong; each failure names its step, its URL and a remedy.
//
// # Choices
//
// A resource identifier need not be the server's URL to the letter, as RFC 9728 has it: a slash at the end does not count, and the origin or a path that leads to the server passes, because
// that is what servers publish in all three places. Whatever they publish is what is sent as resource.
//
// All of an authorization server's metadata is refused for one bad URL in it, even one that may never be used: who names a hostile endpoint is not to be trusted with the others.
//
// http passes on loopback only, and only for a server that is on loopback itself.
package discovery
