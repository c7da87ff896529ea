// Package credential brings users' accounts to servers, and keeps their access tokens fresh.
//
// It owns the Broker: Connect and Callback (the authorization code flow with PKCE), Token (what the data path asks before each request), Disconnect, sign-in links, and who is connected. It is
// the only user of x/oauth2, at one place: endpoint.go.
//
// It deliberately does not know HTTP handlers, pages, MCP or who may do what: whoever calls it has decided that this user may see this server. It knows metadata and registration only by what
// discovery returns.
//
// # Invariants
//
// A token leaves the Broker only for the user and the server it was given for, and only while the server is what it was when the user connected (Server.OAuthBinding).
//
// A refresh token is used by one request at a time, however many calls and replicas wait. What a refresh brings is stored before it is used. A transient error keeps what there is; only
// invalid_grant, and GitHub's word for it, end a grant. Nothing is asked of a provider while the store cannot be written: what it gave could not be kept.
//
// Nothing that a provider wrote leaves this package, but tokens to where they belong: of its answers only the status and a listed error code come out. Every error of this package can be shown.
//
// # Who is asked when ten requests need a token at once
//
// Token finds the grant in memory (memory.go): one map lookup, no lock, no store. From a while before its expiry (window) a refresh runs beside the calls, which go on with the old token; once
// it is expired they wait for that refresh. The refresh (refresh.go) takes the lock of the grant, which other replicas respect, reads the grant again, asks, stores with
// compare-and-swap, and only then is the memory renewed.
//
// When a thousand users need one at once, after a restart for instance, their providers are asked at a limited rate, in the order in which they came (turns.go). Nothing is refreshed that nobody asks
// for.
//
// # Revocation
//
// What ends a connection deletes it here first; then its tokens are revoked at the provider (RFC 7009), as far as that can be done. Who disconnects is told how it went. Of what ends because of
// something else (a server that is deleted or turned elsewhere, a user who is deleted) the store tells (Ended), and it is revoked in the background, a few at a time. A connection that is made anew
// replaces the one before without a revocation: at many providers that would end the new one, too. For the same reason the background leaves out whoever has connected anew meanwhile.
//
// # Why an account does not do any more
//
// Why says it for the user who is asked to connect again, from what the grant is (state, expiry, binding) and, of a grant that was deleted, from memory: a bounded number of ends, lost with the process.
//
// # Lifetimes
//
// A Broker lives from New to Close. It has one goroutine that follows the store, so that what another replica wrote or an admin deleted is out of its memory within a fraction of a second, one
// per refresh under way, and up to four that revoke. Close waits for them, for ten seconds at most. Memory holds a grant as long as the store does.
package credential
