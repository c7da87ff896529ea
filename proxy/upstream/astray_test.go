package upstream_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"mcpsidecar/proxy/rpc"
	"mcpsidecar/proxy/upstream"
)

// TestWhatIsToldAstray comes to the call that it belongs to, although the server tells it on the standing stream: progress by its token, and log messages where nobody else could hear them.
func TestWhatIsToldAstray(t *testing.T) {
	const log = `{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"hello"}}`
	progress := func(token string) string {
		return fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":%s,"progress":1}}`, token)
	}
	for _, test := range []struct {
		what    string
		shared  bool
		told    []string // OURS is the token of the call
		calls   []string // methods that come with the call
		notices []string // methods that come to whoever hears what belongs to no call
	}{
		{"progress", false, []string{progress("OURS"), progress("OURS")}, []string{"notifications/progress", "notifications/progress"}, nil},
		{"progress of something else", false, []string{progress("0"), progress(`"OURS"`), progress("OURS")}, []string{"notifications/progress"}, []string{"notifications/progress", "notifications/progress"}},
		{"a log message of one client", false, []string{log, progress("OURS")}, []string{"notifications/progress"}, []string{"notifications/message"}},
		{"a log message of one of several", true, []string{log, progress("OURS")}, []string{"notifications/message", "notifications/progress"}, nil},
	} {
		t.Run(test.what, func(t *testing.T) {
			server := legacyServer(nil)
			tokens, heard := make(chan string, 1), make(chan struct{})
			server.on["GET"] = func(w http.ResponseWriter, r *http.Request, _ rpc.Message) {
				w.Header().Set("Content-Type", "text/event-stream")
				w.(http.Flusher).Flush()
				select {
				case token := <-tokens:
					for _, message := range test.told {
						w.Write(rpc.AppendEvent(nil, "", []byte(strings.ReplaceAll(message, "OURS", token))))
					}
					w.(http.Flusher).Flush()
				case <-r.Context().Done():
				}
				<-r.Context().Done()
			}
			server.on["tools/call"] = func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
				token := rpc.Find(rpc.Find(m.Params, "_meta"), "progressToken")
				tokens <- string(bytes.Clone(token))
				select {
				case <-heard:
				case <-r.Context().Done():
				}
				result(`{"content":[]}`)(w, r, m)
			}
			notices := make(chan string, len(test.told))
			c := connect(t, serve(t, server)).Server.Conn(upstream.ConnConfig{
				Header: noHeaders, Shared: test.shared,
				Notify: func(m rpc.Message) { notices <- m.Method },
				Ask:    func(rpc.Message, *upstream.Asked) bool { return false },
			})
			ctx, leave := context.WithCancel(t.Context())
			over := make(chan error)
			go func() { over <- c.Listen(ctx) }()

			e, err := c.Do(t.Context(), upstream.Call{Method: "tools/call", Name: "x", Progress: true})
			if err != nil {
				t.Fatal(err)
			}
			var calls []string
			for {
				m, err := e.Next()
				if err != nil {
					t.Fatal(err)
				}
				if m.Kind != rpc.Notification {
					break
				}
				if calls = append(calls, m.Method); len(calls) == len(test.calls) {
					close(heard)
				}
			}
			e.Close()
			if !slices.Equal(calls, test.calls) {
				t.Errorf("with the call came %q, want %q", calls, test.calls)
			}
			leave()
			<-over
			close(notices)
			var others []string
			for method := range notices {
				others = append(others, method)
			}
			if !slices.Equal(others, test.notices) {
				t.Errorf("besides came %q, want %q", others, test.notices)
			}
		})
	}
}

// TestALogMessageOverSSE comes to the only call under way of a Conn of several clients; of one client alone it is nobody's in particular.
func TestALogMessageOverSSE(t *testing.T) {
	for _, shared := range []bool{false, true} {
		server := newSSEServer()
		server.on["tools/call"] = func(st *sseStream, w http.ResponseWriter, m rpc.Message) {
			w.WriteHeader(http.StatusAccepted)
			st.say(`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"hello"}}`)
			st.say(answerTo(m, `{"content":[]}`))
		}
		notices := make(chan string, 1)
		s := connect(t, serve(t, server), overSSE)
		c := s.Server.Conn(upstream.ConnConfig{Header: noHeaders, Shared: shared, Notify: func(m rpc.Message) { notices <- m.Method }})
		before, _, failure := finish(t, c, toolCall)
		if failure != nil || (len(before) == 1) != shared || (len(notices) == 1) == shared {
			t.Errorf("shared %t: %d came with the call, %d besides, %v", shared, len(before), len(notices), failure)
		}
	}
}
