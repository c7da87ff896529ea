// Package rpc reads JSON-RPC messages strictly, rebuilds them from their own bytes, and reads and writes server-sent events.
//
// It owns the one strict parse: exactly one JSON value, UTF-8, no duplicate member at any depth, limits on size and depth, envelope members in their exact case. What it returns are spans of the
// input, so that what was judged is what is forwarded. It also owns the memory that bodies and events are read into.
//
// It deliberately does not know MCP methods, eras, policy or HTTP. Numbers other than an id or an error code are passed on as written, also where a parser would round them: nothing is judged by them.
//
// Invariant: a message that two JSON parsers could read differently is refused.
//
// Lifetimes: a Message, a Member and the spans of an EditObject point into the text they were read from and live as long as that; strings are their own. A text in a Buffer lives until the
// last holder releases it, an Event's data until the next Next.
//
// # The files
//
//   - message.go: Read, the envelope and its rules; scan.go: the grammar; text.go: strings; plain_amd64.s: the same with wide registers; block.go: strings full of escapes; names.go: duplicate names; words.go: words that need no copy
//   - split.go: Members, Find, Elements; build.go: Append…, EditObject
//   - buffer.go: ReadAll and the pools
//   - headervalue.go: a text as a header value; sse.go: events; window.go: what of a stream is in memory; ssewrite.go: writing events
//
// # Why a scanner of its own
//
// The reader sees every byte of every request and result, so it has to run at a fraction of the cost of moving them. jsontext, whose strictness is the same (it is the oracle in the fuzz tests), was measured
// first, on the same texts (go test -bench 'Read/|JSONText', one core, best of 25 on a shared machine):
//
//	text                                     jsontext            this package
//	call of 1 KiB                            1.5 GB/s            3.1 GB/s
//	one string of 64 KiB                     2.6 GB/s            45 GB/s
//	one string of 1 MiB                      2.6 GB/s            49 GB/s
//	1 MiB of text, \n every 60 characters    2.4 GB/s            8.4 GB/s
//	1 MiB of JSON inside a JSON string       1.1 GB/s            3.2 GB/s
//	1 MiB of Cyrillic                        0.66 GB/s           1.1 GB/s
//	1 MiB of records of five members         0.56 GB/s           0.72 GB/s
//	one object of 72,000 members, 1 MiB      0.07 GB/s, 12 MB    0.29 GB/s, 2 MB
//
// The last row decided: an allocation for each member, in all twelve times the text, is what an attacker would send. Nothing else allocates in either.
//
// On amd64 with AVX2 two short routines (plain_amd64.s) look at 32 and 64 bytes at a time; without them, and elsewhere, strings run at 8.5, 5.1 and 1.7 GB/s. A result of 1 MiB must not cost more than
// a tenth above what moving it costs, and without the routines it did.
//
// Find passes over a value of 1 MiB in 12 µs if it is one string and in 0.8 ms if it is JSON in JSON or records. EventReader takes 0.1 µs for an event of 100 bytes and 60 µs for one of 1 MiB.
package rpc
