// Package rawtcp makes TCP connections whose reads and writes the scheduler does not notice.
//
// It owns the two system calls of a connection that is ready, read and write on a descriptor that does not block, and the watch for those whose other end has gone. It deliberately does not know what is read or written,
// nor who connects to whom.
//
// Why no notice: a goroutine that enters a system call in the usual way hands its processor over if the call takes longer than a moment, and wants one back when it returns. A write to a socket takes such a moment often, for it does the work of the
// whole network stack, up to the receiver's where that is on the same machine; and the runtime's monitor, whose business that is, then looks about fifty thousand times a second instead of a hundred times. A descriptor that
// does not block has nothing to hand over for: the call returns at once in any case. Sampled under tools/call of 1 KiB, the monitor alone took 11 % of the processor time.
//
// Why a watch: to learn that a client has gone, net/http starts a goroutine for each request, which reads, waits, and has to be called back before the next request can be read. The kernel tells the same of all
// connections at once, to one goroutine, and of those that stay it costs nothing. It made a tools/call of 1 KiB 5 % cheaper.
//
// # Invariants
//
// A system call here never waits: the descriptor does not block, and what has to wait waits in the runtime's poller, as with every other connection of package net. It moves at most 256 KiB, which takes
// some tens of microseconds, so that it keeps a processor for no longer than the runtime's own work does, and nobody who wants to stop the world waits for it.
//
// To its user a connection is what net made it: errors are of the same type with the same words, deadlines and Close work, also while somebody reads or writes. On systems other than Linux it is net's own. The one
// exception is a connection that is watched: there a Read of a single byte does not wait (see [Context]).
//
// # Lifetimes
//
// A Conn is as long-lived as the connection inside. A Watch has one goroutine, which Close waits for.
package rawtcp
