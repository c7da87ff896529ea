// Package caller answers one question: who is asking, and how is that proven?
//
// It owns the bearer tokens (their text, their hashes, how a request's token is
// compared with what is stored), the rules of Sidecar-User, the throttle that
// slows guessing down, the pace at which agents bring new users, and the Identity that the rest of the program reads from
// a request's context.
//
// It deliberately does not know what an identity may do: roles are matched with
// routes by admin and with tools by policy. It does not know HTTP statuses
// either; each surface translates the sentinels in its own failure.go. And it
// never reads the store: whoever owns the store hands the tokens and the known
// users in with Reload, and is asked for a user only who is not among them.
//
// Invariant: Authenticate returns an Identity only for exactly one credential
// that matched exactly one stored token, and for exactly one user. Anything
// else, doubt included, is an error; there is no default identity.
//
// Lifetimes: the index of tokens is immutable and replaced whole by Reload, so
// a revoked token is refused by every request that starts after Reload returned.
// The throttle keeps an address for one minute after its last window began and
// never holds more than a fixed number of them. The package starts no goroutine.
package caller
