package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
)

// The collector's default starts again whenever the heap has doubled, and a heap of three megabytes doubles after a few hundred calls. Given this much room, a collection comes only every some thousand calls; once the heap is
// larger than that, it may grow by half.
const (
	roomyHeap = 16 << 20
	growth    = 50 // percent
)

// tuneCollector keeps the collector's percentage fit for the size of the heap: it looks after each collection. The returned func puts the default back.
func tuneCollector() (restore func()) {
	before := debug.SetGCPercent(percentFor(liveHeap()))
	watch := &collection{}
	watch.next()
	return func() {
		watch.over.Store(true)
		debug.SetGCPercent(before)
	}
}

// collection is told of each collection by its own garbage.
type collection struct{ over atomic.Bool }

func (c *collection) next() {
	garbage := new([16]byte)
	runtime.AddCleanup(garbage, func(c *collection) {
		if c.over.Load() {
			return
		}
		debug.SetGCPercent(percentFor(liveHeap()))
		c.next()
	}, c)
}

// percentFor is how much the heap may grow from a live size.
func percentFor(live int64) int {
	return max(growth, int((roomyHeap-live)*100/max(live, 1<<20)))
}

// liveHeap is what the last collection left.
func liveHeap() int64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return int64(sample[0].Value.Uint64())
}
