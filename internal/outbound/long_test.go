package outbound_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"mcpsidecar/internal/outbound"
)

const long = 250 << 10

// A long body reaches a server that reads slowly, while the answer is waited for; and the connection carries another.
func TestLongBodies(t *testing.T) {
	s := speak(t, func(p *peer) {
		for p.request() {
			p.say(sized("taken"))
		}
	})
	c := s.client()
	s.ask(t.Context(), c)
	outbound.Shrink(c)
	for range 3 {
		answer, err := s.send(t.Context(), c, strings.Repeat("x", long))
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(answer.Body); string(body) != "taken" || err != nil {
			t.Errorf("%q, %v", body, err)
		}
		for outbound.Idle(c) == 0 && !t.Failed() { // the answer may be through before whoever wrote the request knows that it is
			time.Sleep(time.Millisecond)
		}
	}
	if s.accepted.Load() != 1 || s.requests.Load() != 4 {
		t.Errorf("%d requests came over %d connections", s.requests.Load(), s.accepted.Load())
	}
}

// A server may answer before it has read everything. Its answer counts; its connection carries no other.
func TestAnswersToHalfABody(t *testing.T) {
	for what, closes := range map[string]bool{"it waits": false, "it closes": true} {
		asked := make(chan struct{})
		s := speak(t, func(p *peer) {
			p.tcp.SetReadBuffer(8 << 10) // the system is not to take on its own what nobody reads
			p.request()
			p.say(sized("one"))
			if p.nth > 1 {
				p.gone()
				return
			}
			if _, err := http.ReadRequest(p.reader); err != nil {
				t.Error(err)
			}
			p.say("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nno!")
			if closes {
				p.tcp.CloseWrite()
			}
			<-asked
		})
		c := s.client()
		s.ask(t.Context(), c)
		outbound.Shrink(c)
		answer, err := s.send(t.Context(), c, strings.Repeat("x", long))
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if body, err := io.ReadAll(answer.Body); answer.StatusCode != 413 || string(body) != "no!" || err != nil {
			t.Errorf("%s: %s %q, %v", what, answer.Status, body, err)
		}
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		if _, body, err := s.ask(ctx, c); body != "one" || err != nil {
			t.Errorf("%s: the next request gets %q, %v", what, body, err)
		}
		stop()
		close(asked)
	}
}

// A server that breaks off while a long body is on its way gives an error, not a wait without end.
func TestBrokenOffAmidALongBody(t *testing.T) {
	s := speak(t, func(p *peer) {
		p.request()
		p.say(sized("one"))
		io.CopyN(io.Discard, p.reader, 4<<10)
		p.tcp.SetLinger(0)
	})
	c := s.client()
	s.ask(t.Context(), c)
	outbound.Shrink(c)
	if answer, err := s.send(t.Context(), c, strings.Repeat("x", long)); err == nil {
		t.Errorf("the answer is %s", answer.Status)
	}
}
