package upstream_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"mcpsidecar/proxy/rpc"
	"mcpsidecar/proxy/upstream"
)

// sseServer is a server of the HTTP+SSE transport.
type sseServer struct {
	opening string // what the stream begins with; empty: its endpoint
	on      map[string]func(st *sseStream, w http.ResponseWriter, m rpc.Message)
	other   func(st *sseStream, w http.ResponseWriter, m rpc.Message)

	mu      sync.Mutex
	streams []*sseStream
	heard   []string
}

type sseStream struct {
	id   string
	out  chan string
	cut  chan struct{} // closed: the server drops the stream
	gone <-chan struct{}
}

// say sends one message on the stream.
func (st *sseStream) say(text string) { st.raw("event: message\ndata: " + text + "\n\n") }

func (st *sseStream) raw(text string) {
	select {
	case st.out <- text:
	case <-st.gone:
	}
}

func newSSEServer() *sseServer {
	s := &sseServer{on: map[string]func(*sseStream, http.ResponseWriter, rpc.Message){}}
	s.on["initialize"] = func(st *sseStream, w http.ResponseWriter, m rpc.Message) {
		w.WriteHeader(http.StatusAccepted)
		st.say(answerTo(m, `{"protocolVersion":"2024-11-05","capabilities":{},"serverInfo":{"name":"old","version":"1"}}`))
	}
	s.other = func(st *sseStream, w http.ResponseWriter, m rpc.Message) {
		w.WriteHeader(http.StatusAccepted)
		if m.Kind == rpc.Request {
			st.say(answerTo(m, `{"echo":`+string(m.ID)+`}`))
		}
	}
	return s
}

func answerTo(m rpc.Message, result string) string {
	return string(rpc.AppendResult(nil, m.ID, []byte(result)))
}

func (s *sseServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		s.stream(w, r)
		return
	}
	text, _ := io.ReadAll(r.Body)
	m, _ := rpc.Read(text)
	name := m.Method
	if m.Kind == rpc.Response || m.Kind == rpc.ErrorResponse {
		name = "reply"
	}
	s.mu.Lock()
	s.heard = append(s.heard, name)
	handle := s.on[name]
	if handle == nil {
		handle = s.other
	}
	var st *sseStream
	for _, known := range s.streams {
		if known.id == r.URL.Query().Get("id") {
			st = known
		}
	}
	s.mu.Unlock()
	if st == nil {
		http.Error(w, "Invalid session ID", http.StatusBadRequest)
		return
	}
	handle(st, w, m)
}

func (s *sseServer) stream(w http.ResponseWriter, r *http.Request) {
	st := &sseStream{out: make(chan string), cut: make(chan struct{}), gone: r.Context().Done()}
	s.mu.Lock()
	st.id = fmt.Sprint(len(s.streams) + 1)
	s.streams = append(s.streams, st)
	s.mu.Unlock()
	w.Header().Set("Content-Type", "text/event-stream")
	opening := s.opening
	if opening == "" {
		opening = "event: endpoint\ndata: /messages?id=%STREAM\n\n"
	}
	io.WriteString(w, strings.ReplaceAll(opening, "%STREAM", st.id))
	for {
		w.(http.Flusher).Flush()
		select {
		case text := <-st.out:
			io.WriteString(w, text)
		case <-st.cut:
			return
		case <-st.gone:
			return
		}
	}
}

// last is the newest stream.
func (s *sseServer) last() *sseStream {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.streams[len(s.streams)-1]
}

// forget makes the server know none of its streams, as after a restart behind a proxy that keeps them open.
func (s *sseServer) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, st := range s.streams {
		st.id = "forgotten"
	}
}

func (s *sseServer) count(method string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.heard {
		if h == method {
			n++
		}
	}
	return n
}

func overSSE(c *upstream.Config) { c.SSE = true }
