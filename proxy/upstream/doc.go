// Package upstream speaks MCP to one external server.
//
// It owns the detection of the server's era and transport, sessions at legacy servers, the exchange of one request with everything that comes before its answer, the standing stream for
// unsolicited notifications, the circuit breaker, and the limits on what a server may send.
//
// It deliberately does not know callers, policy, names shown to agents, or where credentials come from: it is given headers.
//
// Invariants: a request is sent at most once unless it certainly did not run, and a stream that ends before the answer is taken up where it ended (resume.go), never asked for again; nothing of one Conn reaches another; every outgoing header is built here from nothing; ids and progress tokens on the
// wire are our own. What a server may have told while no standing stream was in force is never passed over: of each resource that is watched an update is told, and of lists that they may be others (ConnConfig.Missed).
//
// Lifetimes: a Server lives as long as one revision of its configuration; Close waits for its goroutines. A Conn belongs to one downstream session, or for modern clients to one caller; its
// upstream session is made by the first request and deleted by Close. An Exchange ends with its answer or with Close.
//
// A call takes no goroutine of its own, except over HTTP+SSE and where the server may ask something on its standing stream meanwhile (stray.go): its caller reads. Goroutines there are for work that several callers wait
// for (detection, initialize), for the one stream of an HTTP+SSE Conn, and for what is said with nobody waiting: replies to pings, notifications/cancelled, the end of a stream whose answer is there. Of subscriptions: one
// per Conn with a legacy server that has to be told of them, which ends when the server knows, and at a modern one the reader of the stream that Listen keeps. A Conn for tasks (ConnConfig.Tasks) has no stream while none is watched.
//
// To read it: upstream.go (Server), conn.go (Conn), link.go and era.go (what is agreed with a server), exchange.go and answer.go (one request), asked.go, stray.go and astray.go (what a server asks, and what it tells of a call where it should not), level.go (log levels), post.go,
// message.go, body.go and header.go (what goes out), clock.go and breaker.go (patience), stream.go (HTTP+SSE), list.go, listen.go, resume.go, watch.go and subscription.go (what a server is to tell of), failure.go.
package upstream
