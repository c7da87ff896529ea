// Package metrics counts what the sidecar does, for Prometheus.
//
// It owns the names, types, labels and help texts of every metric of the program (table.go, one row each; README's table and
// the test of this package are held against it) and the handles through which the rest of the program counts.
//
// It deliberately does not know what a server, a tool or a decision is: it is given their names.
//
// Invariant: a label value never comes from a client. Servers are those an admin configured, tools those of an approved
// catalog (at most [MaxTools] per server), methods a fixed list; everything else is "other". A caller with a million ideas for method
// names adds one series.
//
// Lifetimes: a [Server] lives from the first time its slug is configured until [Metrics.Drop], which takes its series away. Counting after
// that is harmless and counts nothing. Nothing here starts a goroutine.
package metrics
