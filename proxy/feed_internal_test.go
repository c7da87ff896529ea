package proxy

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestNothingIsKeptForAStreamThatIsGone: what is said while a stream is given up is kept by nobody, so that nobody's share gets smaller for it. The window is too small for a test from outside.
func TestNothingIsKeptForAStreamThatIsGone(t *testing.T) {
	var total atomic.Int64
	limits := Resuming{}.orDefaults()
	s := &shelf{ids: new(eventIDs), session: "s", limits: &limits, total: &total, now: time.Now}
	message := []byte(strings.Repeat("x", 100))
	over := make(chan struct{})
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
					s.say(message)
				}
			}
		})
	}
	for range 5000 {
		f := s.open(standingStream, "", true)
		s.abandon(f, s.carry(f))
	}
	close(over)
	all.Wait()
	if s.close(); total.Load() != 0 {
		t.Errorf("%d bytes are kept for nobody", total.Load())
	}
}
