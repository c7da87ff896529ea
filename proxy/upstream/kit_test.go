package upstream_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"mcpsidecar/internal/leak"
	"mcpsidecar/proxy/rpc"
	"mcpsidecar/proxy/upstream"
)

func TestMain(m *testing.M) { leak.Main(m) }

// handler answers one message of a client.
type handler func(w http.ResponseWriter, r *http.Request, m rpc.Message)

// mcpServer is a server that behaves, but for what a test replaces.
type mcpServer struct {
	on    map[string]handler // by JSON-RPC method; "GET" and "DELETE" by HTTP method
	other handler            // everything that is not in on; nil: an empty result

	mu    sync.Mutex
	heard []string // methods, in order
	last  http.Header
}

// legacyServer knows initialize and sessions.
func legacyServer(other handler) *mcpServer {
	s := &mcpServer{other: other, on: map[string]handler{}}
	s.on["server/discover"] = status(http.StatusNotFound, "no such method")
	s.on["initialize"] = func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
		w.Header().Set("Mcp-Session-Id", "session-1")
		result(`{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"fake","version":"1"},"instructions":"be nice"}`)(w, r, m)
	}
	return s
}

// modernServer knows server/discover.
func modernServer(other handler) *mcpServer {
	s := &mcpServer{other: other, on: map[string]handler{}}
	s.on["server/discover"] = result(`{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},"instructions":"be nice","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"fake","version":"1"}}}`)
	return s
}

func (s *mcpServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	text, _ := io.ReadAll(r.Body)
	m, _ := rpc.Read(text)
	name := m.Method
	if r.Method != http.MethodPost {
		name = r.Method
	} else if m.Kind == rpc.Response || m.Kind == rpc.ErrorResponse {
		name = "reply"
	}
	s.mu.Lock()
	s.heard = append(s.heard, name)
	s.last = r.Header.Clone()
	handle := s.on[name]
	s.mu.Unlock()
	switch {
	case handle != nil:
		handle(w, r, m)
	case r.Method == http.MethodGet:
		w.WriteHeader(http.StatusMethodNotAllowed)
	case m.Kind != rpc.Request:
		w.WriteHeader(http.StatusAccepted)
	case s.other != nil:
		s.other(w, r, m)
	default:
		result(`{}`)(w, r, m)
	}
}

// set replaces what the server does from now on.
func (s *mcpServer) set(method string, h handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.on[method] = h
}

// count says how often a method was heard.
func (s *mcpServer) count(method string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.heard {
		if h == method {
			n++
		}
	}
	return n
}

func (s *mcpServer) lastHeader() http.Header {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

// status answers with an HTTP status and a body that is no JSON-RPC.
func status(code int, text string) handler {
	return func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
		w.WriteHeader(code)
		io.WriteString(w, text)
	}
}

// result answers with a JSON body.
func result(raw string) handler {
	return func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
		w.Header().Set("Content-Type", "application/json")
		w.Write(rpc.AppendResult(nil, m.ID, []byte(raw)))
	}
}

// refusal answers with a JSON-RPC error; id "" is that of the request.
func refusal(code int, id, err string) handler {
	return func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"error":%s}`, cmp.Or(id, string(m.ID)), err)
	}
}

// raw answers with these bytes; %ID in them is the id of the request.
func raw(contentType, text string) handler {
	return func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
		w.Header().Set("Content-Type", contentType)
		io.WriteString(w, strings.ReplaceAll(text, "%ID", string(m.ID)))
	}
}

// events answers with a stream of these messages, each flushed.
func events(messages ...string) handler {
	return func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
		w.Header().Set("Content-Type", "text/event-stream")
		for _, text := range messages {
			w.Write(rpc.AppendEvent(nil, "", []byte(strings.ReplaceAll(text, "%ID", string(m.ID)))))
			w.(http.Flusher).Flush()
		}
	}
}

const (
	answer   = `{"jsonrpc":"2.0","id":%ID,"result":{"content":[]}}`
	progress = `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":%ID,"progress":1}}`
)

// hang never answers; it returns when the client is gone.
func hang(w http.ResponseWriter, r *http.Request, m rpc.Message) { <-r.Context().Done() }

func serve(t testing.TB, h http.Handler) string {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// setup is a Server and a Conn to it.
type setup struct {
	*upstream.Server
	*upstream.Conn
}

// connect makes a Server for what listens at url; change may change the configuration.
func connect(t testing.TB, url string, change ...func(*upstream.Config)) setup {
	cfg := upstream.Config{Slug: "fake", URL: url, Client: &http.Client{Transport: &http.Transport{}}}
	for _, c := range change {
		c(&cfg)
	}
	s, err := upstream.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return setup{s, s.Conn(upstream.ConnConfig{Header: noHeaders})}
}

func noHeaders(context.Context, bool) (http.Header, error) { return nil, nil }

func limits(l upstream.Limits) func(*upstream.Config) {
	return func(c *upstream.Config) { c.Limits = l }
}

// inMemory lets a handler be reached without a network, so that a test in a synctest bubble owns the time. It returns what changes a Config accordingly.
func inMemory(t testing.TB, h http.Handler) func(*upstream.Config) {
	l := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	var running sync.WaitGroup // Close does not wait for handlers
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		running.Add(1)
		defer running.Done()
		h.ServeHTTP(w, r)
	})}
	running.Go(func() { server.Serve(l) })
	t.Cleanup(func() { server.Close(); running.Wait() })
	return func(c *upstream.Config) {
		c.URL = "http://fake.test/mcp"
		c.Client = &http.Client{Transport: &http.Transport{DialContext: l.dial}}
	}
}

type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case l.conns <- theirs:
		return ours, nil
	case <-l.closed:
		return nil, errors.New("nobody listens")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

// toolCall is a plain call.
var toolCall = upstream.Call{Method: "tools/call", Name: "echo", Params: []rpc.Member{{Name: "name", Value: []byte(`"echo"`)}}}

// finish does a call to its end. It returns the messages before the answer, by method, and the answer, all copied.
func finish(t testing.TB, c *upstream.Conn, call upstream.Call) (before []string, last rpc.Message, failure *upstream.Failure) {
	t.Helper()
	e, err := c.Do(t.Context(), call)
	if err != nil {
		return nil, last, asFailure(t, err)
	}
	defer e.Close()
	for {
		m, err := e.Next()
		if err != nil {
			return before, last, asFailure(t, err)
		}
		if m.Kind == rpc.Response || m.Kind == rpc.ErrorResponse {
			return before, copied(m), nil
		}
		before = append(before, m.Method)
	}
}

func copied(m rpc.Message) rpc.Message {
	keep := func(b []byte) []byte { return append([]byte(nil), b...) }
	m.ID, m.Params, m.Result, m.Error = keep(m.ID), keep(m.Params), keep(m.Result), keep(m.Error)
	return m
}

func asFailure(t testing.TB, err error) *upstream.Failure {
	t.Helper()
	f, ok := err.(*upstream.Failure)
	if !ok {
		t.Fatalf("%T is no *Failure: %v", err, err)
	}
	return f
}

// mustAnswer does a call that must succeed.
func mustAnswer(t testing.TB, c *upstream.Conn) rpc.Message {
	t.Helper()
	_, m, failure := finish(t, c, toolCall)
	if failure != nil {
		t.Fatal(failure)
	}
	return m
}

// wantFailure checks what a failure says.
func wantFailure(t testing.TB, f *upstream.Failure, kind upstream.FailureKind, mayHaveRun bool) {
	t.Helper()
	if f == nil {
		t.Fatalf("it succeeded, want %s", kind)
	}
	if f.Kind != kind || f.MayHaveRun != mayHaveRun {
		t.Errorf("got %v, may have run: %v; want %s, may have run: %v", f, f.MayHaveRun, kind, mayHaveRun)
	}
}

// counted counts the connections that are made.
func counted(n *int, dial func(context.Context, string, string) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		*n++
		return dial(ctx, network, address)
	}
}

// fixed gives out the same headers every time.
func fixed(h http.Header) func(context.Context, bool) (http.Header, error) {
	return func(context.Context, bool) (http.Header, error) { return h, nil }
}
