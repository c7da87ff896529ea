package outbound_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"testing"
	"time"

	"mcpsidecar/internal/outbound"
)

// polite answers every request with its number on the connection.
func polite(p *peer) {
	for n := 1; p.request(); n++ {
		p.say(sized(itoa(n)))
	}
}

func TestOneConnectionForCallsInTurn(t *testing.T) {
	for name, s := range map[string]*raw{"in the clear": speak(t, polite), "over TLS": speakTLS(t, polite)} {
		c := s.client()
		for n := 1; n <= 1000; n++ {
			if _, body, err := s.ask(t.Context(), c); err != nil || body != itoa(n) {
				t.Fatalf("%s: call %d got %q (%v)", name, n, body, err)
			}
		}
		if n := s.accepted.Load(); n != 1 {
			t.Errorf("%s: %d connections for 1,000 calls, want 1", name, n)
		}
	}
}

// Each of many callers gets its own answers.
func TestManyAtOnce(t *testing.T) {
	const callers, calls = 256, 8
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // all before the first word: net/http's server cuts what is still to be read
		w.Write(body)
	})
	c := client(t, outbound.Config{AllowPrivate: loopback})
	var done sync.WaitGroup
	for caller := range callers {
		done.Go(func() {
			for call := range calls {
				want := fmt.Sprintf("%d %d %s", caller, call, strings.Repeat("x", call*2000))
				answer, err := c.Post(s.URL, "text/plain", strings.NewReader(want))
				if err != nil {
					t.Error(err)
					return
				}
				got, err := io.ReadAll(answer.Body)
				answer.Body.Close()
				if err != nil || string(got) != want {
					t.Errorf("caller %d got %.20q (%v)", caller, got, err)
				}
			}
		})
	}
	done.Wait()
}

// A connection that the server closed while nobody used it costs no request.
func TestClosedWhileIdle(t *testing.T) {
	for name, start := range map[string]func(testing.TB, func(*peer)) *raw{"in the clear": speak, "over TLS": speakTLS} {
		idle, closed := make(chan struct{}), make(chan struct{}, 2)
		s := start(t, func(p *peer) {
			p.request()
			p.say(sized("ok"))
			<-idle
			p.Close()
			closed <- struct{}{}
		})
		c := s.client()
		if _, body, err := s.ask(t.Context(), c); err != nil || body != "ok" {
			t.Fatalf("%s: got %q (%v)", name, body, err)
		}
		close(idle)
		<-closed
		if _, body, err := s.ask(t.Context(), c); err != nil || body != "ok" {
			t.Errorf("%s: got %q (%v)", name, body, err)
		}
		if n := s.accepted.Load(); n != 2 {
			t.Errorf("%s: %d connections, want 2", name, n)
		}
	}
}

// What was sent is sent once. The server that goes away after it has the request may have run it; one that goes away just before may not.
func TestRetries(t *testing.T) {
	type moment int
	const (
		afterRequest moment = iota // the server ends the connection when it has read the second request
		endBefore                  // it ends the connection when the second request is about to be written
		cutBefore                  // it does so, and takes nothing any more
	)
	for _, test := range []struct {
		what     string
		when     moment
		requests int32
		ok       bool
	}{
		{"closed after the request", afterRequest, 2, false},
		{"closed when the request was on its way", endBefore, 1, false},
		{"closed before anything could be written", cutBefore, 2, true},
	} {
		t.Run(test.what, func(t *testing.T) {
			about, gone := make(chan struct{}), make(chan struct{})
			s := speak(t, func(p *peer) {
				p.request()
				p.say(sized("ok"))
				if p.nth > 1 {
					return
				}
				switch test.when {
				case afterRequest:
					p.request()
					return
				case cutBefore:
					p.tcp.SetLinger(0)
				}
				<-about
				p.tcp.Close()
				close(gone)
			})
			c := s.client()
			if _, _, err := s.ask(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			var reused []bool
			ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
				if reused = append(reused, info.Reused); info.Reused && test.when != afterRequest {
					close(about)
					<-gone
				}
			}})
			_, _, err := s.ask(ctx, c)
			if (err == nil) != test.ok || s.requests.Load() != test.requests {
				t.Errorf("the server had %d requests and the outcome was %v, want %d and success %t", s.requests.Load(), err, test.requests, test.ok)
			}
			if want := fmt.Sprint([]bool{true, false}[:1+btoi(test.ok)]); fmt.Sprint(reused) != want {
				t.Errorf("told of connections reused %v, want %v", reused, want)
			}
			if err != nil && strings.Contains(err.Error(), "127.0.0.1") {
				t.Errorf("the error names an address: %v", err)
			}
		})
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

var errOver = errors.New("the caller has had enough")

// A caller who gives up is let go at once, with the reason why, and the connection ends: the server sees it.
func TestCancellation(t *testing.T) {
	ways := map[string]struct {
		text string
		body bool // the call returns before it is cancelled
	}{
		"before the head": {"", false},
		"amid the head":   {"HTTP/1.1 200 OK\r\nConte", false},
		"after a hint":    {"HTTP/1.1 103 Early Hints\r\n\r\n", false},
		"before the body": {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", true},
		"amid a stream":   {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n", true},
	}
	for what, way := range ways {
		for name, start := range map[string]func(testing.TB, func(*peer)) *raw{"in the clear": speak, "over TLS": speakTLS} {
			t.Run(what+"/"+name, func(t *testing.T) {
				said, ended := make(chan struct{}), make(chan struct{})
				s := start(t, func(p *peer) {
					p.request()
					p.say(way.text)
					close(said)
					p.gone()
					close(ended)
				})
				c := s.client()
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				var answer *http.Response
				var err error
				if way.body {
					if answer, err = s.send(ctx, c, "{}"); err != nil {
						t.Fatal(err)
					}
				}
				go func() {
					<-said
					cancel(errOver)
				}()
				if way.body {
					_, err = io.ReadAll(answer.Body)
				} else {
					_, err = s.send(ctx, c, "{}")
				}
				if err != errOver {
					t.Errorf("got %v, want the reason", err)
				}
				<-ended
				if n := outbound.Idle(c); n != 0 {
					t.Errorf("%d connections are idle", n)
				}
			})
		}
	}
}

func TestCancelledBefore(t *testing.T) {
	s := speak(t, polite)
	c := s.client()
	if _, _, err := s.ask(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := s.ask(ctx, c); err != context.Canceled || s.requests.Load() != 1 {
		t.Errorf("got %v after %d requests, want context.Canceled after 1", err, s.requests.Load())
	}
	late, cancel := context.WithTimeout(t.Context(), -1)
	defer cancel()
	if _, _, err := s.ask(late, c); err != context.DeadlineExceeded {
		t.Errorf("got %v, want context.DeadlineExceeded", err)
	}
	if n := outbound.Idle(c); n != 1 {
		t.Errorf("%d connections are idle, want the one that nobody used", n)
	}
}

// The end of a context after the answer has been read harms nobody else.
func TestCancelledAfter(t *testing.T) {
	s := speak(t, polite)
	c := s.client()
	for n := 1; n <= 50; n++ {
		ctx, cancel := context.WithCancel(t.Context())
		if _, body, err := s.ask(ctx, c); err != nil || body != itoa(n) {
			t.Fatalf("call %d got %q (%v)", n, body, err)
		}
		cancel()
	}
}

// Close ends a Read that waits, and with it the connection.
func TestCloseWhileReading(t *testing.T) {
	for name, start := range map[string]func(testing.TB, func(*peer)) *raw{"in the clear": speak, "over TLS": speakTLS} {
		ended := make(chan struct{})
		s := start(t, func(p *peer) {
			p.request()
			p.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
			p.gone()
			close(ended)
		})
		c := s.client()
		answer, err := s.send(t.Context(), c, "{}")
		if err != nil {
			t.Fatal(err)
		}
		first, result := make(chan struct{}), make(chan error)
		go func() {
			io.ReadFull(answer.Body, make([]byte, 3))
			close(first)
			_, err := answer.Body.Read(make([]byte, 1))
			result <- err
		}()
		<-first
		answer.Body.Close()
		if err := <-result; err != http.ErrBodyReadAfterClose {
			t.Errorf("%s: Read returned %v", name, err)
		}
		if err := answer.Body.Close(); err != nil {
			t.Errorf("%s: the second Close returned %v", name, err)
		}
		<-ended
		if n := outbound.Idle(c); n != 0 {
			t.Errorf("%s: %d connections are idle", name, n)
		}
	}
}

// A body that was read to its end has nothing to do with the connection any more.
func TestBodiesLetGo(t *testing.T) {
	s := speak(t, polite)
	c := s.client()
	first, err := s.send(t.Context(), c, "{}")
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(first.Body); string(body) != "1" || err != nil {
		t.Fatalf("got %q (%v)", body, err)
	}
	second, err := s.send(t.Context(), c, "{}")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := first.Body.Read(make([]byte, 9)); n != 0 || err != io.EOF {
		t.Errorf("the first body returned %d bytes and %v", n, err)
	}
	first.Body.Close()
	if body, err := io.ReadAll(second.Body); string(body) != "2" || err != nil {
		t.Errorf("the second body is %q (%v)", body, err)
	}
	if n := s.accepted.Load(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

// No more connections wait than may, and none for longer.
func TestIdleLimits(t *testing.T) {
	const together = 6
	var arrived sync.WaitGroup
	arrived.Add(together)
	ended := make(chan struct{}, together)
	s := speak(t, func(p *peer) {
		p.request()
		arrived.Done()
		arrived.Wait()
		p.say(sized("ok"))
		p.gone()
		ended <- struct{}{}
	})
	c := s.clientWith(func(c *outbound.Config) { c.MaxIdlePerHost, c.IdleTimeout = 2, 50*time.Millisecond })
	var done sync.WaitGroup
	for range together {
		done.Go(func() {
			if _, _, err := s.ask(t.Context(), c); err != nil {
				t.Error(err)
			}
		})
	}
	done.Wait()
	if n := outbound.Idle(c); n > 2 {
		t.Errorf("%d connections are idle, want at most 2", n)
	}
	for range together {
		<-ended // those beyond the limit at once, the others when their time is over
	}
	if n := outbound.Idle(c); n != 0 {
		t.Errorf("%d connections are still idle", n)
	}
}

func TestCloseIdleConnections(t *testing.T) {
	ended := make(chan struct{})
	s := speakTLS(t, func(p *peer) {
		polite(p)
		ended <- struct{}{}
	})
	c := s.client()
	for range 2 {
		if _, body, err := s.ask(t.Context(), c); err != nil || body != "1" {
			t.Fatalf("got %q (%v)", body, err)
		}
		c.CloseIdleConnections()
		<-ended
	}
}

// Certificates are verified: the connection of a stranger is not used.
func TestStrangersCertificates(t *testing.T) {
	s := speakTLS(t, polite)
	c := s.clientWith(func(c *outbound.Config) { *c = outbound.WithTLS(*c, nil) })
	if _, _, err := s.ask(t.Context(), c); err == nil || !strings.Contains(err.Error(), "certificate") || strings.Contains(err.Error(), "dial") {
		t.Errorf("got %v, want a word on the certificate", err)
	}
	if n := s.requests.Load(); n != 0 {
		t.Errorf("the stranger was sent %d requests", n)
	}
}

func TestSlowHandshake(t *testing.T) {
	s := speak(t, (*peer).gone)
	s.url = strings.Replace(s.url, "http:", "https:", 1)
	_, _, err := s.ask(t.Context(), s.clientWith(func(c *outbound.Config) { c.TLSTimeout = 20 * time.Millisecond }))
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("got %v, want a time-out", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(20*time.Millisecond, func() { cancel(errOver) })
	if _, _, err = s.ask(ctx, s.client()); err != errOver {
		t.Errorf("got %v, want the reason", err)
	}
}
