package upstream_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mcpsidecar/proxy/rpc"
	"mcpsidecar/proxy/upstream"
)

// S-06: messages go to the first endpoint that the server names, and only if it is of the server's own origin.
func TestEndpointOfAnSSEServer(t *testing.T) {
	canary := legacyServer(nil)
	away := serve(t, canary)
	const own = "event: endpoint\ndata: /messages?id=%STREAM\n\n"
	named := func(target string) string { return "event: endpoint\ndata: " + target + "\n\n" }
	for _, tt := range []struct {
		name, opening string
		works         bool
	}{
		{"a path", own, true},
		{"a relative path", named("messages?id=%STREAM"), true},
		{"an absolute URL of its own", named("%SELF/messages?id=%STREAM"), true},
		{"a comment and another event before it", ": hi\n\nevent: hello\ndata: x\n\n" + own, true},
		{"with CR LF", strings.ReplaceAll(own, "\n", "\r\n"), true},
		{"good, then evil", own + named(away), true},
		{"a hundred times the same", strings.Repeat(own, 100), true},
		{"a hundred evil ones after a good one", own + strings.Repeat(named(away), 100), true},
		{"another origin", named(away), false},
		{"another origin without a scheme", named(strings.TrimPrefix(away, "http:")), false},
		{"evil, then good", named(away) + own, false},
		{"a private address", named("http://169.254.169.254/latest"), false},
		{"another port of the same host", named("http://127.0.0.1:1/"), false},
		{"another scheme", named("https://%HOST/messages"), false},
		{"user information", named("http://user:pass@%HOST/messages"), false},
		{"a backslash", named(`http://%HOST\@evil/`), false},
		{"a script", named("javascript:alert(1)"), false},
		{"a file", named("file:///etc/passwd"), false},
		{"no URL", named("http://%zz"), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := newSSEServer()
			url := serve(t, server)
			server.opening = strings.NewReplacer("%SELF", url, "%HOST", strings.TrimPrefix(url, "http://")).Replace(tt.opening)
			s := connect(t, url+"/sse", overSSE)
			_, _, failure := finish(t, s.Conn, toolCall)
			if tt.works && failure != nil {
				t.Error(failure)
			}
			if !tt.works {
				wantFailure(t, failure, upstream.Malformed, false)
				if len(server.heard) != 0 {
					t.Errorf("the server heard %q", server.heard)
				}
			}
			if len(canary.heard) != 0 {
				t.Errorf("the canary heard %q", canary.heard)
			}
		})
	}
}

func TestSSEServersThatDoNotStream(t *testing.T) {
	for name, tt := range map[string]struct {
		says http.HandlerFunc
		kind upstream.FailureKind
	}{
		"404": {func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(404) }, upstream.Status},
		"401": {func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(401) }, upstream.Unauthorized},
		"JSON": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, "{}")
		}, upstream.Malformed},
		"no endpoint": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			<-r.Context().Done()
		}, upstream.TimedOut},
		"an early end": {func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Content-Type", "text/event-stream") }, upstream.Unreachable},
		"endless field": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			io.WriteString(w, strings.Repeat("x", 1<<20))
		}, upstream.TooLarge},
		"no answer at all": {func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, upstream.TimedOut},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := connect(t, "", inMemory(t, tt.says), overSSE, limits(upstream.Limits{Message: 1 << 16}))
				began := time.Now()
				_, _, failure := finish(t, s.Conn, toolCall)
				wantFailure(t, failure, tt.kind, false)
				if took := time.Since(began); took > 10*time.Second {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

// Fifty calls at once on one stream, answered in the reverse order, with progress before: each gets its own.
func TestCallsShareAnSSEStream(t *testing.T) {
	const n = 50
	server := newSSEServer()
	var mu sync.Mutex
	var calls []rpc.Message
	server.on["tools/call"] = func(st *sseStream, w http.ResponseWriter, m rpc.Message) {
		w.WriteHeader(http.StatusAccepted)
		mu.Lock()
		defer mu.Unlock()
		if calls = append(calls, copied(m)); len(calls) < n {
			return
		}
		for _, m := range slices.Backward(calls) {
			st.say(strings.ReplaceAll(progress, "%ID", string(m.ID)))
		}
		for _, m := range calls {
			st.say(answerTo(m, `{"name":`+string(rpc.Find(m.Params, "name"))+`}`))
		}
	}
	s := connect(t, serve(t, server), overSSE)
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			name := fmt.Sprintf(`"tool-%d"`, i)
			before, m, failure := finish(t, s.Conn, upstream.Call{Method: "tools/call", Progress: true, Params: []rpc.Member{{Name: "name", Value: []byte(name)}}})
			if failure != nil || string(rpc.Find(m.Result, "name")) != name || len(before) != 1 {
				t.Errorf("%s got %s after %q: %v", name, m.Result, before, failure)
			}
		})
	}
	group.Wait()
	if len(server.streams) != 1 {
		t.Errorf("there were %d streams", len(server.streams))
	}
}

func TestLostSSEStream(t *testing.T) {
	server := newSSEServer()
	open := 0
	s := connect(t, serve(t, server), overSSE, func(c *upstream.Config) { c.Session = func(d int) { open += d } })
	mustAnswer(t, s.Conn)
	server.on["tools/call"] = func(st *sseStream, w http.ResponseWriter, m rpc.Message) {
		w.WriteHeader(http.StatusAccepted)
		close(st.cut)
	}
	_, _, failure := finish(t, s.Conn, toolCall)
	wantFailure(t, failure, upstream.Unreachable, true)
	if n := server.count("tools/call"); n != 2 {
		t.Errorf("the call in flight was sent again: %d", n)
	}
	delete(server.on, "tools/call")
	mustAnswer(t, s.Conn)
	if len(server.streams) != 2 || open != 1 {
		t.Errorf("there were %d streams, and %d sessions are counted", len(server.streams), open)
	}
	server.forget()
	mustAnswer(t, s.Conn)
	if len(server.streams) != 3 {
		t.Errorf("after the server forgot the session there were %d streams", len(server.streams))
	}
	s.Conn.Close(t.Context())
	if open != 0 {
		t.Errorf("after Close %d sessions are counted", open)
	}
}

func TestWhatComesOnAnSSEStream(t *testing.T) {
	server := newSSEServer()
	replies := make(chan rpc.Message, 1)
	server.on["reply"] = func(st *sseStream, w http.ResponseWriter, m rpc.Message) {
		w.WriteHeader(http.StatusAccepted)
		replies <- copied(m)
	}
	server.on["tools/call"] = func(st *sseStream, w http.ResponseWriter, m rpc.Message) {
		w.WriteHeader(http.StatusAccepted)
		st.say(`{"jsonrpc":"2.0","id":"p","method":"ping"}`)
		if reply := <-replies; string(reply.ID) != `"p"` || string(reply.Result) != "{}" {
			t.Errorf("the ping was answered with %+v", reply)
		}
		st.say(`{"jsonrpc":"2.0","method":"notifications/message","params":{"data":1}}`)
		st.say(`{"jsonrpc":"2.0","id":999,"result":{}}`)
		st.say(`{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"whose?"}}`)
		st.raw("event: other\ndata: [not for us\n\n")
		st.say(`{"jsonrpc":"2.0","id":"q","method":"roots/list"}`)
		if reply := <-replies; string(reply.Result) != `{"roots":[]}` {
			t.Errorf("the question was answered with %+v", reply)
		}
		st.say(answerTo(m, "{}"))
	}
	s := connect(t, serve(t, server), overSSE)
	var told []string
	c := s.Server.Conn(upstream.ConnConfig{Header: noHeaders, Notify: func(m rpc.Message) { told = append(told, m.Method) }})
	e, err := c.Do(t.Context(), toolCall)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	m, err := e.Next()
	if err != nil || m.Method != "roots/list" || !e.Streamed() {
		t.Fatalf("got %+v: %v", m, err)
	}
	if err := e.Reply(t.Context(), m.ID, []byte(`{"roots":[]}`), nil); err != nil {
		t.Fatal(err)
	}
	if m, err := e.Next(); err != nil || m.Kind != rpc.Response {
		t.Errorf("got %+v: %v", m, err)
	}
	if !slices.Equal(told, []string{"notifications/message"}) {
		t.Errorf("told %q", told)
	}
	server.last().say(`{"jsonrpc":"2.0","id":"r","method":"roots/list"}`)
	if reply := <-replies; reply.Kind != rpc.ErrorResponse || string(reply.ID) != `"r"` {
		t.Errorf("with no call under way the question was answered with %+v", reply)
	}
}

// Some servers end the POST only when the answer has been sent on the stream.
func TestSSEServerThatAnswersBeforeThePOSTEnds(t *testing.T) {
	server := newSSEServer()
	finished := make(chan struct{})
	server.on["tools/call"] = func(st *sseStream, w http.ResponseWriter, m rpc.Message) {
		for range 40 {
			st.say(strings.ReplaceAll(progress, "%ID", string(m.ID)))
		}
		st.say(answerTo(m, "{}"))
		close(finished)
		w.WriteHeader(http.StatusOK)
	}
	before, _, failure := finish(t, connect(t, serve(t, server), overSSE).Conn, toolCall)
	if failure != nil || len(before) != 40 {
		t.Errorf("%d messages came: %v", len(before), failure)
	}
	<-finished
}

func TestSSEFailures(t *testing.T) {
	for _, tt := range []struct {
		name       string
		says       func(st *sseStream, w http.ResponseWriter, m rpc.Message)
		kind       upstream.FailureKind
		mayHaveRun bool
	}{
		{"a POST that is refused", func(st *sseStream, w http.ResponseWriter, m rpc.Message) { w.WriteHeader(413) }, upstream.Status, false},
		{"a POST that breaks the server", func(st *sseStream, w http.ResponseWriter, m rpc.Message) { w.WriteHeader(500) }, upstream.Status, true},
		{"silence", func(st *sseStream, w http.ResponseWriter, m rpc.Message) { w.WriteHeader(202) }, upstream.TimedOut, true},
		{"a POST that hangs", func(st *sseStream, w http.ResponseWriter, m rpc.Message) { <-st.gone }, upstream.TimedOut, true},
		{"an array", func(st *sseStream, w http.ResponseWriter, m rpc.Message) {
			w.WriteHeader(202)
			st.say("[" + answerTo(m, "{}") + "]")
		}, upstream.Malformed, true},
		{"a duplicate member", func(st *sseStream, w http.ResponseWriter, m rpc.Message) {
			w.WriteHeader(202)
			st.say(answerTo(m, `{"a":1,"a":2}`))
		}, upstream.Malformed, true},
		{"an endless line", func(st *sseStream, w http.ResponseWriter, m rpc.Message) {
			w.WriteHeader(202)
			st.raw("data: " + strings.Repeat("x", 1<<20))
		}, upstream.TooLarge, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := newSSEServer()
				server.on["tools/call"] = tt.says
				s := connect(t, "", inMemory(t, server), overSSE, limits(upstream.Limits{Message: 1 << 16}))
				_, _, failure := finish(t, s.Conn, toolCall)
				wantFailure(t, failure, tt.kind, tt.mayHaveRun)
				server.mu.Lock()
				delete(server.on, "tools/call")
				server.mu.Unlock()
				mustAnswer(t, s.Conn)
			})
		})
	}
}

// Close ends a stream while calls wait on it.
func TestCloseEndsAnSSEStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newSSEServer()
		server.on["tools/call"] = func(st *sseStream, w http.ResponseWriter, m rpc.Message) { w.WriteHeader(202) }
		s := connect(t, "", inMemory(t, server), overSSE)
		failed := make(chan error)
		go func() { failed <- read(s.Conn, context.Background(), toolCall) }()
		synctest.Wait()
		s.Server.Close()
		wantFailure(t, asFailure(t, <-failed), upstream.Canceled, true)
		<-server.last().gone
	})
}
