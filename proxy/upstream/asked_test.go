package upstream_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mcpsidecar/proxy/rpc"
	"mcpsidecar/proxy/upstream"
)

// askThenWait asks for roots in the middle of each call and answers once it has them.
func askThenWait() *mcpServer {
	replies := make(chan struct{}, 16)
	s := legacyServer(func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.Write(rpc.AppendEvent(nil, "", []byte(`{"jsonrpc":"2.0","id":"q","method":"roots/list"}`)))
		w.(http.Flusher).Flush()
		select {
		case <-replies:
		case <-r.Context().Done():
			return
		}
		w.Write(rpc.AppendEvent(nil, "", rpc.AppendResult(nil, m.ID, []byte("{}"))))
	})
	s.on["reply"] = func(w http.ResponseWriter, _ *http.Request, _ rpc.Message) {
		replies <- struct{}{}
		w.WriteHeader(http.StatusAccepted)
	}
	return s
}

// asking makes a call and returns it with what the server asks.
func asking(t *testing.T, ctx context.Context, c *upstream.Conn) (*upstream.Exchange, *upstream.Asked) {
	t.Helper()
	e, err := c.Do(ctx, toolCall)
	if err != nil {
		t.Fatal(err)
	}
	m, err := e.Next()
	if err != nil || m.Method != "roots/list" {
		t.Fatalf("got %+v: %v", m, err)
	}
	return e, e.Asked(&m)
}

// TestAServerThatWaitsIsNotCutOff: while it is we who are waited for, the clocks stand still, but not for ever.
func TestAServerThatWaitsIsNotCutOff(t *testing.T) {
	for _, test := range []struct {
		name  string
		hold  bool
		after time.Duration // until the answer
		fails bool
	}{
		{"without a word of it", false, 2 * time.Minute, true},
		{"held", true, 4 * time.Minute, false},
		{"held for longer than a call may take", true, 50 * time.Minute, false},
		{"held for too long", true, 61 * time.Minute, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := connect(t, "http://fake.test/mcp", inMemory(t, askThenWait()))
				e, asked := asking(t, t.Context(), s.Conn)
				defer e.Close()
				if test.hold {
					e.Hold()
				}
				go func() {
					time.Sleep(test.after)
					if test.hold {
						e.Resume()
					}
					asked.Reply(context.Background(), []byte("{}"), nil)
				}()
				m, err := e.Next()
				if (err != nil) != test.fails || !test.fails && m.Kind != rpc.Response {
					t.Errorf("got %+v: %v", m, err)
				}
				time.Sleep(test.after)
			})
		})
	}
}

// TestADetachedExchange outlives who began it, until somebody else takes it over, or its time is over.
func TestADetachedExchange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := askThenWait()
		s := connect(t, "http://fake.test/mcp", inMemory(t, server))
		ctx, leave := context.WithCancel(t.Context())
		e, asked := asking(t, ctx, s.Conn)
		if !e.Detach() {
			t.Fatal("it cannot be detached")
		}
		leave()
		time.Sleep(4 * time.Minute)
		ctx, leave = context.WithCancel(t.Context())
		e.Attach(ctx)
		if err := asked.Reply(ctx, []byte("{}"), nil); err != nil {
			t.Error(err)
		}
		if m, err := e.Next(); err != nil || m.Kind != rpc.Response {
			t.Errorf("got %+v: %v", m, err)
		}
		e.Close()
		leave()
		if e.Detach() {
			t.Error("an exchange that is over was detached")
		}

		ctx, leave = context.WithCancel(t.Context())
		e, _ = asking(t, ctx, s.Conn)
		leave()
		synctest.Wait()
		if e.Detach() {
			t.Error("an exchange that was cancelled was detached")
		}
		e.Close()

		e, _ = asking(t, t.Context(), s.Conn)
		e.Detach()
		e.Close()
		synctest.Wait()
		if n := server.count("notifications/cancelled"); n != 2 {
			t.Errorf("the server was told %d times that a call is cancelled, want 2", n)
		}
	})
}

// TestQuestionsOnASharedSSEStream: with several calls under way nobody knows whose a question is; it is declined unless all calls are one client's.
func TestQuestionsOnASharedSSEStream(t *testing.T) {
	for _, shared := range []bool{false, true} {
		server := newSSEServer()
		replies := make(chan rpc.Message, 1)
		server.on["reply"] = func(_ *sseStream, w http.ResponseWriter, m rpc.Message) {
			w.WriteHeader(http.StatusAccepted)
			replies <- copied(m)
		}
		posted := make(chan struct{}, 2)
		server.on["tools/call"] = func(_ *sseStream, w http.ResponseWriter, m rpc.Message) {
			w.WriteHeader(http.StatusAccepted)
			posted <- struct{}{}
		}
		s := connect(t, serve(t, server), overSSE)
		c := s.Server.Conn(upstream.ConnConfig{Header: noHeaders, Shared: shared})
		var last *upstream.Exchange
		for range 2 {
			e, err := c.Do(t.Context(), toolCall)
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			<-posted
			last = e
		}
		server.last().say(`{"jsonrpc":"2.0","id":"q","method":"roots/list"}`)
		if shared {
			if reply := <-replies; reply.Kind != rpc.ErrorResponse {
				t.Errorf("the question was answered with %+v", reply)
			}
			continue
		}
		if m, err := last.Next(); err != nil || m.Method != "roots/list" {
			t.Errorf("got %+v: %v", m, err)
		}
	}
}

// TestADetachedExchangeDoesNotStopItsStream, however much the server says to it. What it was told first it finds, and its answer.
func TestADetachedExchangeDoesNotStopItsStream(t *testing.T) {
	server := newSSEServer()
	first := make(chan rpc.Message, 1)
	var calls atomic.Int32
	server.on["tools/call"] = func(st *sseStream, w http.ResponseWriter, m rpc.Message) {
		w.WriteHeader(http.StatusAccepted)
		if calls.Add(1) > 1 {
			st.say(answerTo(m, `{"second":true}`))
			return
		}
		first <- copied(m)
		st.say(`{"jsonrpc":"2.0","id":"q","method":"roots/list"}`)
	}
	s := connect(t, serve(t, server), overSSE)
	parked, _ := asking(t, t.Context(), s.Conn)
	defer parked.Close()
	if !parked.Detach() {
		t.Fatal("it cannot be detached")
	}
	call := <-first
	report := func(n int, more string) string {
		return fmt.Sprintf(`{"progressToken":%s,"progress":%d,"message":%q}`, call.ID, n, more)
	}
	say := func(n int, more string) {
		server.last().say(`{"jsonrpc":"2.0","method":"notifications/progress","params":` + report(n, more) + `}`)
	}
	say(0, strings.Repeat("x", 100_000))
	for n := range 100 {
		say(n, "")
	}
	server.last().say(answerTo(call, `{"first":true}`))
	if m := mustAnswer(t, s.Conn); string(m.Result) != `{"second":true}` {
		t.Errorf("got %s", m.Result)
	}
	parked.Attach(t.Context())
	for n := range 8 {
		if m, err := parked.Next(); err != nil || string(m.Params) != report(n, "") {
			t.Errorf("got %+v: %v; want report %d", m, err, n)
		}
	}
	if m, err := parked.Next(); err != nil || string(m.Result) != `{"first":true}` {
		t.Errorf("got %+v: %v", m, err)
	}
}

// TestQuestionsOnAStandingStream go to whoever says that it answers them. Such a Conn does not listen at servers that never ask.
func TestQuestionsOnAStandingStream(t *testing.T) {
	server := legacyServer(nil)
	server.on["GET"] = func(w http.ResponseWriter, r *http.Request, _ rpc.Message) {
		w.Header().Set("Content-Type", "text/event-stream")
		for _, id := range []string{"1", "2"} {
			w.Write(rpc.AppendEvent(nil, "", []byte(`{"jsonrpc":"2.0","id":`+id+`,"method":"roots/list"}`)))
		}
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}
	replies := make(chan rpc.Message, 2)
	server.on["reply"] = func(w http.ResponseWriter, _ *http.Request, m rpc.Message) {
		w.WriteHeader(http.StatusAccepted)
		replies <- copied(m)
	}
	s := connect(t, serve(t, server))
	ours := make(chan *upstream.Asked, 1)
	c := s.Server.Conn(upstream.ConnConfig{Header: noHeaders, Ask: func(m rpc.Message, asked *upstream.Asked) bool {
		if string(m.ID) == "1" {
			ours <- asked
		}
		return string(m.ID) == "1"
	}})
	ctx, leave := context.WithCancel(t.Context())
	over := make(chan error)
	go func() { over <- c.Listen(ctx) }()
	asked := <-ours
	if declined := <-replies; string(declined.ID) != "2" || declined.Kind != rpc.ErrorResponse {
		t.Errorf("what nobody answers was answered with %+v", declined)
	}
	asked.Refuse(rpc.Error{Code: -32603, Message: "no"})
	if refused := <-replies; string(refused.ID) != "1" || refused.Kind != rpc.ErrorResponse {
		t.Errorf("what was refused was answered with %+v", refused)
	}
	leave()
	<-over

	modern := connect(t, serve(t, modernServer(nil)))
	c = modern.Server.Conn(upstream.ConnConfig{Header: noHeaders, Ask: func(rpc.Message, *upstream.Asked) bool { return false }})
	if err := c.Listen(t.Context()); err != nil {
		t.Errorf("at a modern server: %v", err)
	}
}

// TestTell reaches a legacy server that knows the session, and no other.
func TestTell(t *testing.T) {
	const method = "notifications/roots/list_changed"
	legacy, modern := legacyServer(nil), modernServer(nil)
	for server, want := range map[*mcpServer]int{legacy: 1, modern: 0} {
		s := connect(t, serve(t, server))
		s.Tell(t.Context(), method)
		mustAnswer(t, s.Conn)
		s.Tell(t.Context(), method)
		if got := server.count(method); got != want {
			t.Errorf("told %d times, want %d", got, want)
		}
	}
}
