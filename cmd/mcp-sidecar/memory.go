package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
)

// The collector's default starts again whenever the heap has doubled, and a heap of three megabytes doubles after some hundred calls. With this much room a collection comes every few thousand calls; a heap that is larger than
// that may grow by a third.
const (
	roomyHeap = 12 << 20
	growth    = 33 // percent
)

// tuneCollector gives back what starting took and is not needed any more, and from then on keeps the collector's percentage fit for the size of the heap: it looks after each collection. The returned func puts back what was.
func tuneCollector() (restore func()) {
	debug.FreeOSMemory()
	watch := &collection{percent: percentFor(collected())}
	before := debug.SetGCPercent(watch.percent)
	watch.next()
	return func() {
		watch.over.Store(true)
		debug.SetGCPercent(before)
	}
}

// collection is told of each collection by its own garbage.
type collection struct {
	percent int // in force; owned by whoever makes the next garbage
	over    atomic.Bool
}

func (c *collection) next() {
	garbage := new([16]byte)
	runtime.AddCleanup(garbage, func(c *collection) {
		if c.over.Load() {
			return
		}
		c.tune(percentFor(collected()))
		c.next()
	}, c)
}

// tune sets another percentage, unless it is nearly the one in force: each change makes the runtime think again about how much memory to keep, and give back what the next calls need.
func (c *collection) tune(percent int) {
	if percent*10 >= c.percent*7 && percent*10 <= c.percent*15 {
		return
	}
	c.percent = percent
	debug.SetGCPercent(percent)
}

// percentFor is the percentage with which the next collection starts when the heap has grown from live to roomyHeap, or by growth if that is more. The runtime takes it of the live heap and of roots, which are
// stacks and globals.
func percentFor(live, roots uint64) int {
	base := max(live+roots, 1)
	if live >= roomyHeap {
		return growth
	}
	return max(growth, int((roomyHeap-live)*100/base))
}

// collected is what the last collection left, and what it started from.
func collected() (live, roots uint64) {
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64(), samples[1].Value.Uint64() + samples[2].Value.Uint64()
}
