package main

import (
	"runtime"
	"runtime/debug"
	"testing"
)

func TestPercentFor(t *testing.T) {
	const mib = 1 << 20
	c := &collection{}
	for _, step := range []struct {
		live uint64
		want int
	}{
		{1 * mib, neverChange}, {7 * mib, neverChange}, {8 * mib, economical}, {100 * mib, neverChange}, {5 * mib, neverChange}, {3 * mib, roomy}, {5 * mib, neverChange}, {9 * mib, economical},
	} {
		if got := c.percentFor(step.live); got != step.want {
			t.Errorf("at %d MiB it becomes %d, want %d", step.live/mib, got, step.want)
		}
	}
}

func TestTheCollectorIsTunedAgainAndAgainAndPutBack(t *testing.T) {
	before := debug.SetGCPercent(73)
	defer debug.SetGCPercent(before)
	restore := tuneCollector()
	ballast := make([]byte, 64<<20)
	for range 4 { // the cleanups of one collection run before the next one ends
		runtime.GC()
	}
	tuned := debug.SetGCPercent(-1)
	debug.SetGCPercent(tuned)
	runtime.KeepAlive(ballast)
	if tuned != economical {
		t.Errorf("with 64 MiB alive the percentage is %d, want %d", tuned, economical)
	}
	restore()
	if got := debug.SetGCPercent(73); got != 73 {
		t.Errorf("afterwards it is %d", got)
	}
}
