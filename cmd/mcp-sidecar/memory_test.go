package main

import (
	"runtime"
	"runtime/debug"
	"testing"
)

func TestPercentFor(t *testing.T) {
	const mib = 1 << 20
	for _, test := range []struct {
		live, roots uint64
		want        int
	}{
		{1 * mib, 1 * mib, 550}, // (1+1) * 5.5 = 11 more
		{2 * mib, 0, 500},
		{6 * mib, 0, 100},
		{11 * mib, 1 * mib, growth},
		{12 * mib, 0, growth},
		{500 * mib, 9 * mib, growth},
	} {
		if got := percentFor(test.live, test.roots); got != test.want {
			t.Errorf("percentFor(%d, %d) is %d, want %d", test.live, test.roots, got, test.want)
		}
	}
	if got := percentFor(0, 0); got < 1000 {
		t.Errorf("an empty heap gets %d", got)
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
	if tuned != growth {
		t.Errorf("with 64 MiB alive the percentage is %d, want %d", tuned, growth)
	}
	restore()
	if got := debug.SetGCPercent(73); got != 73 {
		t.Errorf("afterwards it is %d", got)
	}
}
