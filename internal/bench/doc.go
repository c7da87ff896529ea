// Command bench measures what the sidecar costs: processor time, latency and memory, against a bare httputil.ReverseProxy in the same run.
//
// It owns the upstream that answers with ready bytes, the tuned reverse proxy that is the bar, the load, and the table that README shows. It deliberately knows the sidecar only as a binary with flags and an API.
//
// Method: four processes on loopback (load, upstream, reverse proxy, sidecar). Each row runs direct, through the reverse proxy and through the sidecar in turn, round after round, so that a machine whose speed drifts
// slows all three alike. Processor time is what the operating system accounts to the process between two moments, summed over its threads, per request. Every ratio is taken within a round; the table has the medians. The sidecar
// runs as a user would run it: policy, audit log to a file, metrics.
//
// Lifetimes: the processes that it starts end with it.
package main
