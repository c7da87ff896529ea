package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
)

// The collector's default starts again whenever the heap has doubled, and a heap of three megabytes doubles after some hundred calls. A small heap is therefore given room, so that a collection comes every few thousand calls; a
// large one may grow by a quarter. What is between keeps what it has: each change makes the runtime give back memory that the next calls need.
const (
	smallHeap   = 4 << 20
	largeHeap   = 8 << 20
	roomy       = 250 // percent
	economical  = 25
	neverChange = 0
)

// tuneCollector keeps the collector's percentage fit for the size of the heap: it looks after each collection. The returned func puts back what was. What starting took is not worth a collection of its own: giving it back would
// cost a fifth of the start, at the moment when the first requests come.
func tuneCollector() (restore func()) {
	before := debug.SetGCPercent(roomy)
	watch := &collection{}
	watch.next()
	return func() {
		watch.over.Store(true)
		debug.SetGCPercent(before)
	}
}

// collection is told of each collection by its own garbage.
type collection struct {
	large bool // what is in force; owned by the cleanup that runs
	over  atomic.Bool
}

func (c *collection) next() {
	garbage := new([16]byte)
	runtime.AddCleanup(garbage, func(c *collection) {
		if c.over.Load() {
			return
		}
		if percent := c.percentFor(liveHeap()); percent != neverChange {
			debug.SetGCPercent(percent)
		}
		c.next()
	}, c)
}

// percentFor is the percentage for a heap of this size if it has to be another than the one in force.
func (c *collection) percentFor(live uint64) int {
	switch {
	case !c.large && live >= largeHeap:
		c.large = true
		return economical
	case c.large && live < smallHeap:
		c.large = false
		return roomy
	}
	return neverChange
}

// liveHeap is what the last collection left.
func liveHeap() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
