package proxy

import (
	"strings"
	"sync"
	"testing"
	"time"
)

// TestNothingIsKeptForAStreamThatIsGone: what is said while a stream is given up is kept by nobody, so that nobody's share gets smaller for it. The window is too small for a test from outside.
func TestNothingIsKeptForAStreamThatIsGone(t *testing.T) {
	limits := Resuming{}.orDefaults()
	total := &larder{limit: limits.Overall}
	s := &shelf{ids: new(eventIDs), session: "s", limits: &limits, shares: shares{{limit: limits.UserBytes}, total}, now: time.Now}
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
	if s.close(); total.bytes.Load() != 0 {
		t.Errorf("%d bytes are kept for nobody", total.bytes.Load())
	}
}
