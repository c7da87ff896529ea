// Package boltkv is the kv engine on one bbolt file.
//
// It owns the file: its directory, mode and lock, the judgement whether it is whole, and the one bucket ("records") in which all keys are. It deliberately does not know what the
// values mean.
//
// Invariants: a file that is not whole, not ours or in use is refused without a byte of it being changed; nothing that is damaged reaches bbolt's own code, which answers with
// panics and memory faults; only one process has the file open.
//
// # Opening
//
//	lock     the open file is locked first, so that nobody writes while it is judged
//	check    header pages, size, every page of the tree and the list of free pages are read with plain reads (check.go, tree.go)
//	tighten  the mode becomes 0600
//	open     bbolt gets the very file that was locked and checked, not its path
//
// A new file is made whole beside its place, flushed, and then given its name: an empty file is never one of ours that a crash cut short.
//
// Lifetimes: an engine lives from Open to Close. It has no goroutines; a Watch costs a channel.
package boltkv
