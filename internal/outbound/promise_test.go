package outbound_test

import (
	"testing"
	"time"

	"mcpsidecar/internal/outbound"
)

// A connection is not used for longer than half the time for which its server says that it keeps it: what meets the end of one is lost, or runs unheard.
func TestConnectionsAreNotUsedUpToTheirEnd(t *testing.T) {
	for said, reused := range map[string]bool{
		"": true, "timeout=60": true, "timeout=60, max=100": true, "max=100, Timeout=60": true, "max=100": true, "timeout=x": true, "timeout=-1": true, "timeout=99999999999999999999": true,
		"timeout=0": false, "max=100,timeout=0": false, `timeout="0"`: false,
	} {
		header := ""
		if said != "" {
			header = "Keep-Alive: " + said + "\r\n"
		}
		s := speak(t, func(p *peer) {
			for p.request() {
				p.say("HTTP/1.1 200 OK\r\n" + header + "Content-Length: 3\r\n\r\none")
			}
		})
		c := s.client()
		for range 3 {
			if _, body, err := s.ask(t.Context(), c); err != nil || body != "one" {
				t.Errorf("%q: got %q (%v)", said, body, err)
			}
		}
		if n := s.accepted.Load(); (n == 1) != reused {
			t.Errorf("%q: 3 requests went over %d connections", said, n)
		}
	}
}

func TestHalfOfWhatIsPromised(t *testing.T) {
	const second = time.Second
	for _, tt := range []struct {
		said  string
		idle  time.Duration
		stale bool
	}{
		{"timeout=5", 2 * second, false}, {"timeout=5", 3 * second, true}, {"timeout=600", 89 * second, false}, {"timeout=600", 90 * second, true}, {"max=5", 89 * second, false}, {"max=5", 90 * second, true},
	} {
		if got := outbound.IsStale(90*second, tt.idle, tt.said); got != tt.stale {
			t.Errorf("%s, idle for %s: stale is %v", tt.said, tt.idle, got)
		}
	}
}
