package upstream_test

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mcpsidecar/proxy/rpc"
	"mcpsidecar/proxy/upstream"
)

// trickle writes text again and again, with a pause after each time.
func trickle(contentType, text string, pause time.Duration) handler {
	return func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
		w.Header().Set("Content-Type", contentType)
		for r.Context().Err() == nil {
			io.WriteString(w, strings.ReplaceAll(text, "%ID", string(m.ID)))
			w.(http.Flusher).Flush()
			time.Sleep(pause)
		}
	}
}

func comment(w http.ResponseWriter, r *http.Request, m rpc.Message) {
	io.WriteString(w, ": x\n\n")
	w.(http.Flusher).Flush()
}

// then does one thing and, after a pause, another.
func then(first handler, pause time.Duration, second handler) handler {
	return func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
		first(w, r, m)
		time.Sleep(pause)
		second(w, r, m)
	}
}

// U-01, U-06: how long a server may take, in the bubble's own time.
func TestTimeLimits(t *testing.T) {
	const second, minute = time.Second, time.Minute
	for _, tt := range []struct {
		name   string
		says   handler
		limits upstream.Limits
		call   time.Duration // Call.Timeout
		caller time.Duration // the caller's own deadline; 0: none
		ends   time.Duration
		fails  bool
	}{
		{name: "a server that hangs", says: hang, ends: minute, fails: true},
		{name: "one that hangs after its headers", says: then(events(), time.Nanosecond, hang), ends: minute, fails: true},
		{name: "a body of one byte a second", says: trickle("application/json", " ", second), ends: minute, fails: true},
		{name: "endless comments", says: trickle("text/event-stream", ": x\n\n", second), ends: minute, fails: true},
		{name: "endless comments, with less patience for calls", says: trickle("text/event-stream", ": x\n\n", second), call: 20 * second, ends: 20 * second, fails: true},
		{name: "endless progress", says: trickle("text/event-stream", "data: "+progress+"\n\n", second), ends: 10 * minute, fails: true},
		{name: "endless bytes of one event", says: trickle("text/event-stream", "data: x\n", second), ends: minute, fails: true},
		{name: "a stream that falls silent", says: then(events(progress), 15*second, hang), limits: upstream.Limits{Idle: 10 * second}, ends: 10 * second, fails: true},
		{name: "comments keep a stream from being idle", says: then(then(events(progress), 8*second, comment), 8*second, events(answer)), limits: upstream.Limits{Idle: 10 * second}, ends: 16 * second},
		{name: "progress extends the call", says: then(then(events(progress), 50*second, events(progress)), 50*second, events(answer)), ends: 100 * second},
		{name: "a slow answer in time", says: then(func(http.ResponseWriter, *http.Request, rpc.Message) {}, 59*second, result("{}")), ends: 59 * second},
		{name: "a call that may take longer", says: then(func(http.ResponseWriter, *http.Request, rpc.Message) {}, 20*minute, result("{}")), call: 30 * minute, ends: 20 * minute},
		{name: "the caller's deadline", says: hang, caller: 5 * second, ends: 5 * second, fails: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gone := make(chan time.Time, 1)
				server := modernServer(func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
					context.AfterFunc(r.Context(), func() { gone <- time.Now() })
					tt.says(w, r, m)
				})
				s := connect(t, "", inMemory(t, server), limits(tt.limits))
				mustInfo(t, s.Conn)
				ctx := t.Context()
				if tt.caller > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tt.caller)
					defer cancel()
				}
				began := time.Now()
				call := toolCall
				call.Timeout = tt.call
				err := read(s.Conn, ctx, call)
				if took := time.Since(began).Round(second); took != tt.ends {
					t.Errorf("it took %v, want %v", took, tt.ends)
				}
				if !tt.fails {
					if err != nil {
						t.Error(err)
					}
					return
				}
				wantFailure(t, asFailure(t, err), upstream.TimedOut, true)
				if late := (<-gone).Sub(began.Add(tt.ends)); late > second {
					t.Errorf("the server was left %v later", late)
				}
			})
		})
	}
}

func mustInfo(t testing.TB, c *upstream.Conn) {
	t.Helper()
	if _, err := c.Info(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// read does a call to its end and lets go of it.
func read(c *upstream.Conn, ctx context.Context, call upstream.Call) error {
	e, err := c.Do(ctx, call)
	if err != nil {
		return err
	}
	defer e.Close()
	for {
		m, err := e.Next()
		if err != nil || m.Kind == rpc.Response {
			return err
		}
	}
}

// A host that swallows packets is not told apart from one that refuses: both are not available, and nothing has run.
func TestServersThatCannotBeReached(t *testing.T) {
	refuses := func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	}
	swallows := func(ctx context.Context, _, _ string) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }
	sentences := map[string]bool{}
	for name, dial := range map[string]func(context.Context, string, string) (net.Conn, error){"refuses": refuses, "swallows": swallows} {
		synctest.Test(t, func(t *testing.T) {
			s := connect(t, "http://fake.test", func(c *upstream.Config) { c.Client = &http.Client{Transport: &http.Transport{DialContext: dial}} })
			_, _, failure := finish(t, s.Conn, toolCall)
			if failure == nil || failure.MayHaveRun {
				t.Fatalf("%s: %v", name, failure)
			}
			sentences[failure.Sentence()] = true
		})
	}
	if len(sentences) != 1 {
		t.Errorf("the sentences differ: %v", sentences)
	}
}

// endless writes head and then filler until the client goes, counting what it got rid of.
func endless(contentType, head, filler string, written *atomic.Int64) handler {
	return func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
		w.Header().Set("Content-Type", contentType)
		io.WriteString(w, head)
		for {
			n, err := io.WriteString(w, filler)
			written.Add(int64(n))
			if err != nil || written.Load() > 1<<30 {
				return
			}
		}
	}
}

// L-07, R-03: one message that never ends is refused at the limit, whatever it is wrapped in, and the connection goes with it.
func TestMessagesThatAreTooLarge(t *testing.T) {
	const limit = 1 << 20
	filler := strings.Repeat("x", 64<<10)
	var written atomic.Int64
	bomb := func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		endless("application/json", `{"jsonrpc":"2.0","result":{"a":"`, filler, &written)(zipWriter{w, z}, r, m)
	}
	for _, tt := range []struct {
		name string
		says handler
	}{
		{"a body without a length", endless("application/json", `{"jsonrpc":"2.0","result":{"a":"`, filler, &written)},
		{"a body with its length", func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
			w.Header().Set("Content-Length", "1073741824")
			endless("application/json", `{`, filler, &written)(w, r, m)
		}},
		{"one line of a stream", endless("text/event-stream", "data: ", filler, &written)},
		{"one event of many lines", endless("text/event-stream", "data: x\n", "data: "+filler+"\n", &written)},
		{"a compressed body that unfolds", bomb},
	} {
		t.Run(tt.name, func(t *testing.T) {
			written.Store(0)
			done := make(chan struct{})
			server := modernServer(func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
				defer close(done)
				tt.says(w, r, m)
			})
			s := connect(t, serve(t, server), limits(upstream.Limits{Message: limit}))
			mustInfo(t, s.Conn)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, _, failure := finish(t, s.Conn, toolCall)
			runtime.ReadMemStats(&after)
			wantFailure(t, failure, upstream.TooLarge, true)
			if failure.Limit != limit || !strings.Contains(failure.Sentence(), "1048576 bytes") {
				t.Errorf("got %q", failure.Sentence())
			}
			<-done // the server was cut off
			if n := written.Load(); n > 1<<29 {
				t.Errorf("the server could write %d MiB", n>>20)
			}
			if grown := after.TotalAlloc - before.TotalAlloc; grown > 32<<20 {
				t.Errorf("%d MiB were allocated", grown>>20)
			}
		})
	}
}

// L-06: a long stream of many messages passes without being kept.
func TestLongStreamsPass(t *testing.T) {
	const n, size = 1000, 64 << 10
	note := `{"jsonrpc":"2.0","method":"notifications/message","params":{"data":"` + strings.Repeat("x", size) + `"}}`
	server := modernServer(func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
		w.Header().Set("Content-Type", "text/event-stream")
		event := rpc.AppendEvent(nil, "", []byte(note))
		for range n {
			w.Write(event)
		}
		events(answer)(w, r, m)
	})
	s := connect(t, serve(t, server), limits(upstream.Limits{Message: 1 << 20}))
	mustInfo(t, s.Conn)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	came, _, failure := finish(t, s.Conn, toolCall)
	runtime.ReadMemStats(&after)
	if failure != nil || len(came) != n {
		t.Errorf("%d messages came, want %d: %v", len(came), n, failure)
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > n*size/2 {
		t.Errorf("%d MiB were allocated for a stream of %d MiB", grown>>20, n*size>>20)
	}
}

// Large messages within the limit are no attack.
func TestLargeAnswersPass(t *testing.T) {
	large := `{"a":"` + strings.Repeat("x", 4<<20) + `"}`
	for name, says := range map[string]handler{"JSON": result(large), "a stream": events(`{"jsonrpc":"2.0","id":%ID,"result":` + large + `}`), "compressed": zipped(result(large))} {
		if m := mustAnswer(t, connect(t, serve(t, modernServer(says))).Conn); string(m.Result) != large {
			t.Errorf("%s: %d bytes came, want %d", name, len(m.Result), len(large))
		}
	}
}
