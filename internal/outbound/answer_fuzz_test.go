package outbound_test

import (
	"testing"
	"time"

	"mcpsidecar/internal/outbound"
)

// FuzzAnswers: whatever a server answers, nothing panics, and a connection that is used again is a clean one: the next request gets its own answer or an error.
func FuzzAnswers(f *testing.F) {
	for _, test := range answers {
		f.Add([]byte(test.text), false)
		f.Add([]byte(test.text), true)
	}
	f.Fuzz(func(t *testing.T, text []byte, secure bool) {
		if len(text) > 32<<10 {
			t.Skip("it may arrive in pieces")
		}
		start := speak
		if secure {
			start = speakTLS
		}
		s := start(t, func(p *peer) {
			for p.request() {
				if p.server.requests.Load() > 1 {
					p.say(sized("second"))
					continue
				}
				p.hold = secure
				p.say(string(text))
				if p.hold = false; secure {
					p.tcp.Write(p.held)
				}
				defer time.AfterFunc(2*time.Millisecond, func() { p.tcp.CloseWrite() }).Stop() // for answers that do not end
			}
		})
		c := s.clientWith(func(c *outbound.Config) { c.MaxHeaderBytes = 8 << 10 })
		s.ask(t.Context(), c)
		if _, body, err := s.ask(t.Context(), c); err == nil && body != "second" {
			t.Errorf("the second request got %q", body)
		}
	})
}
