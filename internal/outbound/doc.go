// Package outbound makes the HTTP clients with which the sidecar talks to strangers: external MCP servers and their authorization servers.
//
// It owns the judgement of addresses at dial time, the limits and time-outs of a connection, and what a client must not do: follow redirects, use a proxy from the environment, keep cookies,
// decompress without bound. It also owns the words for a connection that failed, in which no address occurs, and the way on which small requests go.
//
// It deliberately does not know MCP or OAuth. It does not limit bodies either: a client sends no Accept-Encoding, so a Content-Encoding in an answer was not asked for and reaches the caller as it is;
// whoever reads the body refuses it, and bounds what is read.
//
// # Two ways
//
// A request that is small (256 KiB; over TLS 16), in memory and out of nothing special (POST, GET or DELETE, ordinary headers) goes the direct way: its caller writes it in one piece and reads the answer, over connections of our own,
// HTTP/1.1 also over TLS. Everything else goes through net/http, which also judges all that is unusual or not valid: nothing is refused here, it is handed on.
//
// Why not net/http alone: its Transport hands each request to a goroutine that writes and each answer to one that reads, and for a small call these hand-overs are most of the work. BenchmarkRoundTrip, one call of 1 KiB each way with a
// server that only writes back, on two processors: 42 µs of processor time and 49 allocations through net/http, 30 µs and 21 directly, the server's and the benchmark's own included. Of the whole sidecar's processor time under
// tools/call of 1 KiB, sampled, net/http's client took 28 % besides what the scheduler did for it; the direct way takes 21 %, more than two thirds of it in system calls. Against a reverse proxy in the same run, the sidecar cost
// 1.36, 1.51 and 1.31 times its processor time before, and 1.26, 1.26 and 1.22 after. A stream that waits holds one buffer of 4 KiB and no goroutine besides its reader; an idle connection holds neither.
//
// What it costs: a client of HTTP that is ours to keep right. So it is kept small. net/http reads the answers' heads and bodies (ReadResponse), but for the plain heads that nearly all of them have: those are read here, and a fuzz target holds that against
// net/http. Ours are also the writing of requests, which a test holds against what net/http writes, and the decision whether a connection may be used again. Over TLS, small requests do not share one HTTP/2 connection; each under way has its own. A server that knows nothing but HTTP/2 is left to net/http.
//
// # Invariants
//
// No connection is opened to an address that is not globally routable unless it is inside a CIDR that the operator allowed at start, whatever name or URL led there.
//
// An answer belongs to the request that was sent before it. A connection is used again only if its last answer said exactly once, and in a way that was obeyed, where it ends, was read to that end, and nothing has come since: not into our
// buffer, not into that of TLS (a whole record or a part of one), not into the operating system's, which is asked before each use. What arrives after that question and before the answer cannot be told from it; no client of HTTP/1.1 can.
//
// A request is written to a second connection only if not one byte went out over the first. httptrace's GotConn is called before the first byte; so who was not told of a connection knows that nothing was sent.
//
// # Lifetimes
//
// A connection belongs to the pool, to the call that is under way or to the body of its answer. A body that is read to its end gives it back; Close before that, an error and the end of the request's context close it, at once and from any
// goroutine. Idle connections end after Config.IdleTimeout, by one timer for each server, and with [net/http.Client.CloseIdleConnections]. A goroutine writes what a socket does not take at once of a long request, and ends with that or with the connection; net/http's end with theirs.
//
// To read it: outbound.go (clients), guard.go and ranges.go (addresses), dial.go and conn.go (connections and their errors); then the direct way: direct.go, message.go (requests), connect.go, pool.go, wire.go (an exchange), plain.go, head.go and body.go
// (answers), socket.go (what is still held back).
package outbound
