// Package audit writes who did what: one JSON object per line, for each call and each change of configuration.
//
// It owns the shape of a record, the escaping and length limits that keep a record one line whatever a client or a server put into it,
// and the file: opening, rotation, failure and recovery.
//
// It deliberately does not know what is worth recording, and never sees arguments, results or tokens.
//
// Invariants: every line is one JSON object of printable characters; with Config.Required no call runs before the record of its beginning has been handed to
// the operating system, and nothing is lost without being counted.
//
// Lifetimes: [Open] starts one goroutine that alone writes to the file; [Log.Close] returns after it has written what was pending and ended.
package audit
