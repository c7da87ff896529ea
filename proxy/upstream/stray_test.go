package upstream_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"mcpsidecar/proxy/rpc"
	"mcpsidecar/proxy/upstream"
)

// asider is a legacy server that says what a test wants on its standing stream, and answers calls when it is told to, with nothing before.
type asider struct {
	*mcpServer
	say     chan string
	called  chan struct{}
	answer  chan struct{}
	replies chan rpc.Message
}

func newAsider() *asider {
	a := &asider{say: make(chan string), called: make(chan struct{}, 8), answer: make(chan struct{}), replies: make(chan rpc.Message, 64)}
	a.mcpServer = legacyServer(func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
		a.called <- struct{}{}
		select {
		case <-a.answer:
			result(`{"content":[]}`)(w, r, m)
		case <-r.Context().Done():
		}
	})
	a.on["GET"] = func(w http.ResponseWriter, r *http.Request, _ rpc.Message) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.(http.Flusher).Flush()
		for {
			select {
			case text := <-a.say:
				w.Write(rpc.AppendEvent(nil, "", []byte(text)))
				w.(http.Flusher).Flush()
			case <-r.Context().Done():
				return
			}
		}
	}
	a.on["reply"] = func(w http.ResponseWriter, _ *http.Request, m rpc.Message) {
		w.WriteHeader(http.StatusAccepted)
		a.replies <- copied(m)
	}
	return a
}

// heard makes a Conn whose standing stream is listened to, of one client or of several.
func (a *asider) heard(t *testing.T, shared bool) *upstream.Conn {
	s := connect(t, serve(t, a))
	c := s.Server.Conn(upstream.ConnConfig{Header: noHeaders, Shared: shared, Ask: func(rpc.Message, *upstream.Asked) bool { return false }})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.Listen(ctx)
	}()
	t.Cleanup(func() { stop(); <-ended })
	return c
}

const rootsAside = `{"jsonrpc":"2.0","id":"q","method":"roots/list"}`

// do makes a call and returns it when the server has it.
func (a *asider) do(t *testing.T, ctx context.Context, c *upstream.Conn) <-chan *upstream.Exchange {
	made := make(chan *upstream.Exchange, 1)
	go func() {
		e, err := c.Do(ctx, toolCall)
		if err != nil {
			t.Error(err)
		}
		made <- e
	}()
	<-a.called
	return made
}

// TestAStrayOfTheOnlyCall comes before the server has said anything of the call, which can wait with it, and goes on.
func TestAStrayOfTheOnlyCall(t *testing.T) {
	a := newAsider()
	c := a.heard(t, true)
	ctx, leave := context.WithCancel(t.Context())
	made := a.do(t, ctx, c)
	a.say <- rootsAside
	e := <-made
	defer e.Close()
	m, err := e.Next()
	if err != nil || m.Method != "roots/list" {
		t.Fatalf("got %+v: %v", m, err)
	}
	if _, ok, _ := e.Arrived(); ok {
		t.Error("something else has arrived")
	}
	asked := e.Asked(&m)
	if !e.Detach() {
		t.Fatal("it cannot be detached")
	}
	leave()
	a.say <- strings.Replace(rootsAside, `"q"`, `"r"`, 1) // while nobody reads
	e.Attach(t.Context())
	if err := asked.Reply(t.Context(), []byte(`{"roots":[]}`), nil); err != nil {
		t.Error(err)
	}
	if got := <-a.replies; string(got.ID) != `"q"` || string(got.Result) != `{"roots":[]}` {
		t.Errorf("the server had %+v", got)
	}
	if m, err := e.Next(); err != nil || m.Method != "roots/list" || string(m.ID) != `"r"` {
		t.Fatalf("got %+v: %v", m, err)
	}
	a.answer <- struct{}{}
	if m, err := e.Next(); err != nil || m.Kind != rpc.Response {
		t.Errorf("got %+v: %v", m, err)
	}
}

// TestAStrayOfNobody is declined: with no call, with several of several clients, or with one that is over. Of one client's calls the last has it.
func TestAStrayOfNobody(t *testing.T) {
	a := newAsider()
	c := a.heard(t, true)
	a.say <- rootsAside
	if got := <-a.replies; got.Kind != rpc.ErrorResponse {
		t.Errorf("without any call: %+v", got)
	}
	first, second := a.do(t, t.Context(), c), a.do(t, t.Context(), c)
	if _, err := c.Do(t.Context(), upstream.Call{Method: "tools/call", Name: "x", Alone: true}); !errors.Is(err, upstream.ErrBusy) {
		t.Errorf("a call that had to be alone: %v", err)
	}
	a.say <- rootsAside
	if got := <-a.replies; got.Kind != rpc.ErrorResponse {
		t.Errorf("with two calls: %+v", got)
	}
	a.answer <- struct{}{}
	a.answer <- struct{}{}
	for _, made := range []<-chan *upstream.Exchange{first, second} {
		e := <-made
		if m, err := e.Next(); err != nil || m.Kind != rpc.Response {
			t.Errorf("got %+v: %v", m, err)
		}
		defer e.Close()
	}
	a.say <- rootsAside
	if got := <-a.replies; got.Kind != rpc.ErrorResponse {
		t.Errorf("with calls that have their answer: %+v", got)
	}
	if n := a.count("tools/call"); n != 2 {
		t.Errorf("%d calls", n)
	}
}

// TestNobodyRepliesToWhatIsTold: a call that ends before it has heard of a log message has nothing to decline.
func TestNobodyRepliesToWhatIsTold(t *testing.T) {
	a := newAsider()
	t.Run("a call that is given up", func(t *testing.T) {
		ctx, leave := context.WithCancel(t.Context())
		made := a.do(t, ctx, a.heard(t, true))
		a.say <- `{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"x"}}`
		e := <-made
		leave()
		e.Close()
	}) // at its end everything has been said
	if len(a.replies) > 0 {
		t.Errorf("the server was replied to %+v", <-a.replies)
	}
}

// TestAStrayIsTheLastCallsOfOneClient, and who closes that call without a word has it declined.
func TestAStrayIsTheLastCallsOfOneClient(t *testing.T) {
	a := newAsider()
	c := a.heard(t, false)
	ctx, leave := context.WithCancel(t.Context())
	first := a.do(t, ctx, c)
	second := a.do(t, t.Context(), c)
	a.say <- rootsAside
	e := <-second
	if e.Detach() {
		t.Error("a call that may be read from the caller's memory was detached")
	}
	e.Close()
	if got := <-a.replies; got.Kind != rpc.ErrorResponse {
		t.Errorf("the server had %+v", got)
	}
	a.answer <- struct{}{}
	e = <-first
	a.say <- rootsAside
	a.say <- `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"q"}}`
	e.Close()
	leave()
}

// TestAServerWithoutStandingStreamCostsNoReader: such calls are read by who makes them, as soon as that is known.
func TestAServerWithoutStandingStreamCostsNoReader(t *testing.T) {
	server := legacyServer(nil)
	s := connect(t, serve(t, server))
	var told atomic.Int32
	c := s.Server.Conn(upstream.ConnConfig{Header: noHeaders, Ask: func(rpc.Message, *upstream.Asked) bool { told.Add(1); return false }})
	if err := c.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustAnswer(t, c)
	if n := testing.AllocsPerRun(100, func() { mustAnswer(t, c) }) - testing.AllocsPerRun(100, func() { mustAnswer(t, s.Conn) }); n > 3 {
		t.Errorf("a call takes %.0f allocations more", n)
	}
}
