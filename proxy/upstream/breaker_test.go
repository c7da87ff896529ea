package upstream_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"mcpsidecar/proxy/rpc"
	"mcpsidecar/proxy/upstream"
)

// U-03: after five failures in a row a server rests, longer each time that it fails again.
func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var broken atomic.Bool
		server := modernServer(func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
			if broken.Load() {
				w.WriteHeader(http.StatusInternalServerError)
				return
			}
			result(`{}`)(w, r, m)
		})
		var states []string
		s := connect(t, "", inMemory(t, server), func(c *upstream.Config) { c.Breaker = func(state string) { states = append(states, state) } })
		mustAnswer(t, s.Conn)
		broken.Store(true)
		fail := func(kind upstream.FailureKind) *upstream.Failure {
			t.Helper()
			_, _, failure := finish(t, s.Conn, toolCall)
			wantFailure(t, failure, kind, kind != upstream.Open)
			return failure
		}
		for range 4 {
			fail(upstream.Status)
		}
		broken.Store(false)
		mustAnswer(t, s.Conn) // not in a row
		broken.Store(true)
		for range 5 {
			fail(upstream.Status)
		}
		heard := server.count("tools/call")
		for _, rest := range []time.Duration{30, 60, 120, 240, 300, 300} {
			rest *= time.Second
			began := time.Now()
			if failure := fail(upstream.Open); failure.RetryAfter != rest {
				t.Errorf("the rest is %v, want %v", failure.RetryAfter, rest)
			}
			if time.Since(began) > 0 {
				t.Error("it took time")
			}
			time.Sleep(rest - time.Second)
			if failure := fail(upstream.Open); failure.RetryAfter != time.Second {
				t.Errorf("a second before the end it says %v", failure.RetryAfter)
			}
			time.Sleep(2 * time.Second)
			fail(upstream.Status) // the probe
			if heard++; server.count("tools/call") != heard {
				t.Errorf("the server heard %d calls, want %d", server.count("tools/call"), heard)
			}
		}
		broken.Store(false)
		time.Sleep(301 * time.Second)
		mustAnswer(t, s.Conn)
		mustAnswer(t, s.Conn)
		want := []string{"open", "half_open", "open", "half_open", "open", "half_open", "open", "half_open", "open", "half_open", "open", "half_open", "open", "half_open", "closed"}
		if !slices.Equal(states, want) {
			t.Errorf("the states were %q, want %q", states, want)
		}
		broken.Store(true)
		for range 5 {
			fail(upstream.Status)
		}
		if failure := fail(upstream.Open); failure.RetryAfter != 30*time.Second {
			t.Errorf("after it was closed the rest is %v", failure.RetryAfter)
		}
	})
}

// U-09: a server that nobody reaches is looked for twice a second, so that it is missed no longer than it is away.
func TestBreakerOfAServerThatIsAway(t *testing.T) {
	for name, sign := range map[string]error{"nothing listens": syscall.ECONNREFUSED, "it was cut off": syscall.ECONNRESET, "it hung up": io.EOF} {
		synctest.Test(t, func(t *testing.T) {
			var away atomic.Bool
			there := inMemory(t, modernServer(result(`{}`)))
			s := connect(t, "", there, func(c *upstream.Config) {
				way := c.Client.Transport.(*http.Transport)
				dial := way.DialContext
				way.DisableKeepAlives = true
				way.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
					if away.Load() {
						return nil, &net.OpError{Op: "dial", Net: network, Err: sign}
					}
					return dial(ctx, network, address)
				}
			})
			mustAnswer(t, s.Conn)
			away.Store(true)
			fail := func(kind upstream.FailureKind) *upstream.Failure {
				t.Helper()
				_, _, failure := finish(t, s.Conn, toolCall)
				if failure == nil || failure.Kind != kind {
					t.Fatalf("%s: %v, want %s", name, failure, kind)
				}
				return failure
			}
			for range 5 {
				fail(upstream.Unreachable)
			}
			for range 3 {
				if rest := fail(upstream.Open).RetryAfter; rest != 500*time.Millisecond {
					t.Errorf("%s: the rest is %v", name, rest)
				}
				time.Sleep(time.Second)
				fail(upstream.Unreachable) // the probe
			}
			away.Store(false)
			time.Sleep(time.Second)
			mustAnswer(t, s.Conn)
			mustAnswer(t, s.Conn)
		})
	}
}

// Only one call probes; the others are told at once.
func TestBreakerLetsOneProbePass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := modernServer(status(500, ""))
		s := connect(t, "", inMemory(t, server))
		for range 5 {
			finish(t, s.Conn, toolCall)
		}
		time.Sleep(31 * time.Second)
		release := make(chan struct{})
		server.set("tools/call", func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
			<-release
			result(`{}`)(w, r, m)
		})
		probe := make(chan error)
		go func() { probe <- read(s.Conn, t.Context(), toolCall) }()
		synctest.Wait()
		for range 3 {
			_, _, failure := finish(t, s.Conn, toolCall)
			wantFailure(t, failure, upstream.Open, false)
		}
		close(release)
		if err := <-probe; err != nil {
			t.Error(err)
		}
		mustAnswer(t, s.Conn)
	})
}

// What is not the server's failure to be there does not count.
func TestWhatTheBreakerDoesNotCount(t *testing.T) {
	for _, tt := range []struct {
		name string
		says handler
		open bool
	}{
		{"500", status(500, ""), true},
		{"a broken connection", func(http.ResponseWriter, *http.Request, rpc.Message) { panic(http.ErrAbortHandler) }, true},
		{"silence", hang, true},
		{"silence after the headers", then(events(), 0, hang), true},
		{"a tool's error", refusal(200, "", `{"code":-32602,"message":"no"}`), false},
		{"a tool's error with 500", refusal(500, "", `{"code":-32603,"message":"no"}`), false},
		{"400", status(400, "no"), false},
		{"401", status(401, ""), false},
		{"429", status(429, ""), false},
		{"nonsense", raw("application/json", "{"), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := modernServer(tt.says)
				s := connect(t, "", inMemory(t, server))
				for range 6 {
					finish(t, s.Conn, toolCall)
				}
				_, _, failure := finish(t, s.Conn, toolCall)
				if open := failure != nil && failure.Kind == upstream.Open; open != tt.open {
					t.Errorf("after six it is %v", failure)
				}
			})
		})
	}
	t.Run("callers that leave", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			server := modernServer(hang)
			s := connect(t, "", inMemory(t, server))
			for range 6 {
				ctx, leave := context.WithCancel(t.Context())
				time.AfterFunc(time.Second, leave)
				wantFailure(t, asFailure(t, read(s.Conn, ctx, toolCall)), upstream.Canceled, true)
			}
			server.set("tools/call", result(`{}`))
			mustAnswer(t, s.Conn)
		})
	})
}

// An answer to a call of before the rest says nothing about the server of now: the rest goes on, and one probe ends it.
func TestAnOldAnswerDoesNotEndTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := modernServer(status(500, ""))
		var state string
		s := connect(t, "", inMemory(t, server), func(c *upstream.Config) { c.Breaker = func(now string) { state = now } })
		finish(t, s.Conn, toolCall)
		release := make(chan struct{})
		server.set("tools/call", func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
			<-release
			result(`{}`)(w, r, m)
		})
		old := make(chan error)
		go func() { old <- read(s.Conn, t.Context(), toolCall) }()
		synctest.Wait()
		server.set("tools/call", status(500, ""))
		for range 4 {
			finish(t, s.Conn, toolCall)
		}
		close(release)
		if err := <-old; err != nil || state != "open" {
			t.Fatalf("the old call ended with %v, the breaker is %s", err, state)
		}
		_, _, failure := finish(t, s.Conn, toolCall)
		wantFailure(t, failure, upstream.Open, false)
		time.Sleep(31 * time.Second)
		server.set("tools/call", result(`{}`))
		mustAnswer(t, s.Conn)
		if state != "closed" {
			t.Errorf("after the probe the breaker is %s", state)
		}
	})
}
