package upstream_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"testing"

	"mcpsidecar/proxy/rpc"
	"mcpsidecar/proxy/upstream"
)

// zipped sends what another handler says compressed.
func zipped(h handler) handler {
	return func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		h(zipWriter{w, z}, r, m)
		z.Close()
	}
}

type zipWriter struct {
	http.ResponseWriter
	zip *gzip.Writer
}

func (z zipWriter) Write(p []byte) (int, error) { return z.zip.Write(p) }
func (z zipWriter) Flush()                      { z.zip.Flush(); z.ResponseWriter.(http.Flusher).Flush() }

// What an exchange makes of each answer. before are the methods that come before it.
func TestAnswers(t *testing.T) {
	const note = `{"jsonrpc":"2.0","method":"notifications/message","params":{}}`
	for _, tt := range []struct {
		name   string
		says   handler
		before []string
		isErr  bool
		fails  upstream.FailureKind
	}{
		{name: "JSON", says: raw("application/json", answer)},
		{name: "JSON with a charset", says: raw("Application/JSON; charset=utf-8", answer)},
		{name: "JSON without a type", says: raw("", answer)},
		{name: "JSON labelled as a stream", says: raw("text/event-stream", answer)},
		{name: "a stream", says: events(progress, note, answer), before: []string{"notifications/progress", "notifications/message"}},
		{name: "a stream labelled as JSON", says: raw("application/json", "event: message\ndata: "+progress+"\n\ndata: "+answer+"\n\n"), before: []string{"notifications/progress"}},
		{name: "a stream with CR LF", says: raw("text/event-stream", "data: "+progress+"\r\n\r\ndata: "+answer+"\r\n\r\n"), before: []string{"notifications/progress"}},
		{name: "a stream with comments and a priming event", says: raw("text/event-stream", ": hello\n\nid: 1\ndata:\n\nretry: 5\n\ndata: "+answer+"\n\n")},
		{name: "list changes are not of the exchange", says: events(`{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`, answer)},
		{name: "compressed JSON", says: zipped(raw("application/json", answer))},
		{name: "a compressed stream", says: zipped(events(progress, answer)), before: []string{"notifications/progress"}},
		{name: "a tool's error", says: refusal(200, "", `{"code":-32602,"message":"no"}`), isErr: true},
		{name: "an error with 400", says: refusal(400, "", `{"code":-32602,"message":"no"}`), isErr: true},
		{name: "an error with 404", says: refusal(404, "", `{"code":-32601,"message":"no"}`), isErr: true},
		{name: "an error with 500 and our id", says: refusal(500, "", `{"code":-32603,"message":"no"}`), isErr: true},
		{name: "an error without an id on a stream", says: events(`{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"no"}}`), isErr: true},

		{name: "an array", says: raw("application/json", "["+answer+"]"), fails: upstream.Malformed}, // P-05
		{name: "an array in a stream", says: events("[" + answer + "]"), fails: upstream.Malformed},
		{name: "the id of another", says: raw("application/json", `{"jsonrpc":"2.0","id":99,"result":{}}`), fails: upstream.Malformed},
		{name: "our id as a string", says: raw("application/json", `{"jsonrpc":"2.0","id":"%ID","result":{}}`), fails: upstream.Malformed},
		{name: "the id of another on a stream", says: events(`{"jsonrpc":"2.0","id":99,"result":{}}`), fails: upstream.Malformed},
		{name: "a duplicate member", says: raw("application/json", `{"jsonrpc":"2.0","id":%ID,"result":{"a":1,"a":2}}`), fails: upstream.Malformed},
		{name: "a duplicate member in a stream", says: events(`{"jsonrpc":"2.0","id":%ID,"result":{"a":1,"a":2}}`), fails: upstream.Malformed},
		{name: "cut JSON", says: raw("application/json", answer[:20]), fails: upstream.Malformed},
		{name: "two messages", says: raw("application/json", answer+answer), fails: upstream.Malformed},
		{name: "a notification instead of an answer", says: raw("application/json", note), fails: upstream.Malformed},
		{name: "a result that is no object", says: raw("application/json", `{"jsonrpc":"2.0","id":%ID,"result":7}`), fails: upstream.Malformed},
		{name: "too deep", says: raw("application/json", `{"jsonrpc":"2.0","id":%ID,"result":{"a":`+strings.Repeat("[", 200)+strings.Repeat("]", 200)+`}}`), fails: upstream.Malformed},
		{name: "HTML", says: raw("text/html", "<html></html>"), fails: upstream.Malformed},
		{name: "nothing", says: raw("application/json", ""), fails: upstream.Malformed},
		{name: "202", says: status(202, ""), fails: upstream.Malformed},
		{name: "204", says: status(204, ""), fails: upstream.Malformed},
		{name: "a stream that ends", says: events(progress), fails: upstream.Malformed, before: []string{"notifications/progress"}},
		{name: "an unknown encoding", says: func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
			w.Header().Set("Content-Encoding", "br")
			raw("application/json", answer)(w, r, m)
		}, fails: upstream.Malformed},
		{name: "what is called gzip and is not", says: func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
			w.Header().Set("Content-Encoding", "gzip")
			raw("application/json", answer)(w, r, m)
		}, fails: upstream.Malformed},
		{name: "a length that is not kept", says: func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
			w.Header().Set("Content-Length", "1000")
			raw("application/json", answer)(w, r, m)
		}, fails: upstream.Unreachable},
		{name: "a stream that breaks", says: func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
			events(progress)(w, r, m)
			panic(http.ErrAbortHandler)
		}, fails: upstream.Unreachable, before: []string{"notifications/progress"}},
		{name: "a stream that stops inside an event", says: raw("text/event-stream", "data: {\"jsonrpc\""), fails: upstream.Unreachable},
	} {
		for name, server := range map[string]*mcpServer{"legacy": legacyServer(tt.says), "modern": modernServer(tt.says)} {
			t.Run(tt.name+", "+name, func(t *testing.T) {
				before, m, failure := finish(t, connect(t, serve(t, server)).Conn, toolCall)
				if !slices.Equal(before, tt.before) {
					t.Errorf("before the answer came %q, want %q", before, tt.before)
				}
				if n := server.count("tools/call"); n != 1 {
					t.Errorf("the call was sent %d times", n)
				}
				if tt.fails != "" {
					wantFailure(t, failure, tt.fails, true)
					return
				}
				if failure != nil {
					t.Fatal(failure)
				}
				if isErr := m.Kind == rpc.ErrorResponse; isErr != tt.isErr {
					t.Errorf("got %s%s", m.Result, m.Error)
				}
			})
		}
	}
}

func TestWhatAnExchangeSaysOfItself(t *testing.T) {
	gate := make(chan struct{})
	server := legacyServer(func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
		if string(rpc.Find(rpc.Find(m.Params, "_meta"), "progressToken")) != string(m.ID) {
			t.Errorf("the call has the params %s and the id %s", m.Params, m.ID)
		}
		events(progress, progress)(w, r, m)
		<-gate
		events(answer)(w, r, m)
	})
	c := connect(t, serve(t, server))
	call := toolCall
	call.Progress = true
	e, err := c.Do(t.Context(), call)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if !e.Streamed() || e.Era() != upstream.Legacy {
		t.Errorf("streamed %v, era %s", e.Streamed(), e.Era())
	}
	for range 2 {
		m, err := e.Next()
		if err != nil {
			t.Fatal(err)
		}
		if string(rpc.Find(m.Params, "progressToken")) != string(e.Token()) {
			t.Errorf("the token is %s, the notification is %s", e.Token(), m.Params)
		}
	}
	if e.More() {
		t.Error("it says that more is here while the server waits")
	}
	close(gate)
	if m, err := e.Next(); err != nil || m.Kind != rpc.Response {
		t.Errorf("got %+v: %v", m, err)
	}
	for range 2 {
		if _, err := e.Next(); err != io.EOF {
			t.Errorf("after the answer comes %v", err)
		}
	}
}

// A legacy server asks on the stream of a call: pings are answered here, the rest by the caller.
func TestServerRequests(t *testing.T) {
	replies := make(chan rpc.Message, 2)
	server := legacyServer(nil)
	server.on["reply"] = func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
		if r.Header.Get("Mcp-Session-Id") != "session-1" {
			t.Errorf("the reply has the headers %v", r.Header)
		}
		replies <- copied(m)
		w.WriteHeader(http.StatusAccepted)
	}
	server.other = func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
		events(`{"jsonrpc":"2.0","id":"p","method":"ping"}`)(w, r, m)
		if reply := <-replies; string(reply.ID) != `"p"` || string(reply.Result) != "{}" {
			t.Errorf("the ping was answered with %s: %s", reply.ID, reply.Result)
		}
		events(`{"jsonrpc":"2.0","id":"q","method":"roots/list"}`)(w, r, m)
		if reply := <-replies; string(reply.ID) != `"q"` || string(reply.Result) != `{"roots":[]}` {
			t.Errorf("the question was answered with %s: %s", reply.ID, reply.Result)
		}
		events(`{"jsonrpc":"2.0","id":8,"method":"x/y"}`)(w, r, m)
		if reply := <-replies; reply.Kind != rpc.ErrorResponse {
			t.Errorf("the question was answered with %+v", reply)
		}
		events(answer)(w, r, m)
	}
	e, err := connect(t, serve(t, server)).Do(t.Context(), toolCall)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for _, want := range []string{"roots/list", "x/y", ""} {
		m, err := e.Next()
		if err != nil || m.Method != want {
			t.Fatalf("got %+v: %v; want %q", m, err, want)
		}
		switch want {
		case "roots/list":
			err = e.Reply(t.Context(), m.ID, []byte(`{"roots":[]}`), nil)
		case "x/y":
			err = e.Reply(t.Context(), m.ID, nil, &rpc.Error{Code: -32601, Message: "no"})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// A modern server must not ask: its questions are not passed on, and cannot be answered.
func TestModernServerMustNotAsk(t *testing.T) {
	server := modernServer(events(`{"jsonrpc":"2.0","id":"p","method":"ping"}`, `{"jsonrpc":"2.0","id":"q","method":"roots/list"}`, answer))
	e, err := connect(t, serve(t, server)).Do(t.Context(), toolCall)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if m, err := e.Next(); err != nil || m.Kind != rpc.Response {
		t.Errorf("got %+v: %v", m, err)
	}
	if err := e.Reply(t.Context(), []byte("1"), []byte("{}"), nil); err == nil || server.count("reply") != 0 {
		t.Error("a reply was sent to a modern server")
	}
}

// Notifications that belong to no request go to the Conn, wherever they come from.
func TestNotify(t *testing.T) {
	const changed, updated = "notifications/tools/list_changed", "notifications/resources/updated"
	server := legacyServer(events(`{"jsonrpc":"2.0","method":"`+changed+`"}`, `{"jsonrpc":"2.0","method":"`+updated+`","params":{"uri":"a:b"}}`, answer))
	s := connect(t, serve(t, server))
	var told []string
	c := s.Server.Conn(upstream.ConnConfig{Header: noHeaders, Notify: func(m rpc.Message) { told = append(told, m.Method) }})
	mustAnswer(t, c)
	if !slices.Equal(told, []string{changed, updated}) {
		t.Errorf("told %q", told)
	}
}

// S-04: a redirect is never followed, whatever the client at hand would do.
func TestRedirectsAreNotFollowed(t *testing.T) {
	for _, code := range []int{301, 302, 303, 307, 308} {
		canary := legacyServer(nil)
		away := serve(t, canary)
		server := legacyServer(func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
			w.Header().Set("Location", away)
			w.WriteHeader(code)
		})
		_, _, failure := finish(t, connect(t, serve(t, server)).Conn, toolCall)
		wantFailure(t, failure, upstream.Status, false)
		if failure.HTTPStatus != code || len(canary.heard) != 0 || strings.Contains(failure.Sentence(), away) {
			t.Errorf("%d: %v; the canary heard %q", code, failure, canary.heard)
		}
	}
}

// The transport may read a request's body after the exchange is over; then it must get nothing of what has become somebody else's memory.
func TestBodyIsOutOfReachAfterClose(t *testing.T) {
	var body io.ReadCloser
	s := connect(t, "http://fake.test", func(c *upstream.Config) {
		c.Client = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.Header.Get("Mcp-Method") == "tools/call" {
				body = r.Body
				start := make([]byte, 100)
				io.ReadFull(body, start)
				id, _, _ := bytes.Cut(bytes.TrimPrefix(start, []byte(`{"jsonrpc":"2.0","id":`)), []byte(","))
				return respond(200, "application/json", `{"jsonrpc":"2.0","id":`+string(id)+`,"result":{}}`), nil
			}
			text, _ := io.ReadAll(r.Body)
			m, _ := rpc.Read(text)
			return respond(200, "application/json", `{"jsonrpc":"2.0","id":`+string(m.ID)+`,"result":{"supportedVersions":["2026-07-28"]}}`), nil
		})}
	})
	secret := []byte(`"` + strings.Repeat("secret", 1<<12) + `"`)
	call := toolCall
	call.Params = []rpc.Member{{Name: "arguments", Value: secret}}
	if _, _, failure := finish(t, s.Conn, call); failure != nil {
		t.Fatal(failure)
	}
	if rest, err := io.ReadAll(body); err == nil || bytes.Contains(rest, []byte("secret")) {
		t.Errorf("after Close %d bytes can be read: %v", len(rest), err)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func respond(status int, contentType, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {contentType}}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}
}

// A large argument is sent as it is, from its own memory, and comes out whole.
func TestLargeArguments(t *testing.T) {
	large := []byte(`"` + strings.Repeat("x", 1<<20) + `"`)
	server := legacyServer(func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
		if !bytes.Equal(rpc.Find(m.Params, "a"), large) || !bytes.Equal(rpc.Find(m.Params, "b"), large) || string(rpc.Find(m.Params, "c")) != "1" {
			t.Error("the arguments did not arrive as they were sent")
		}
		result(`{}`)(w, r, m)
	})
	call := upstream.Call{Method: "tools/call", Params: []rpc.Member{{Name: "a", Value: large}, {Name: "b", Value: large}, {Name: "c", Value: []byte("1")}}}
	if _, _, failure := finish(t, connect(t, serve(t, server)).Conn, call); failure != nil {
		t.Fatal(failure)
	}
}

// A pooled connection that the server closed before anything was sent on it is not the caller's concern; one that broke later is, unless the call may run twice.
func TestStaleConnections(t *testing.T) {
	for _, tt := range []struct {
		name       string
		err        string
		readBody   bool
		idempotent bool
		attempts   int
		fails      bool
		gone       bool // at the second attempt nobody is there
	}{
		{name: "closed while idle, and then gone", err: "http: server closed idle connection", readBody: true, attempts: 2, fails: true, gone: true},
		{name: "closed while idle", err: "http: server closed idle connection", readBody: true, attempts: 2},
		{name: "broken after it was sent", err: "EOF", readBody: true, attempts: 1, fails: true},
		{name: "broken after it was sent, but it may run twice", err: "EOF", readBody: true, idempotent: true, attempts: 2},
		{name: "broken before it was sent", err: "refused", attempts: 1, fails: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := modernServer(nil)
			url := serve(t, server)
			attempts := 0
			s := connect(t, url, func(c *upstream.Config) {
				real := c.Client.Transport
				c.Client.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
					if r.Header.Get("Mcp-Method") != "tools/call" {
						return real.RoundTrip(r)
					}
					if attempts++; attempts > 1 && tt.gone {
						return nil, errorText("connection refused")
					}
					if attempts > 1 {
						return real.RoundTrip(r)
					}
					if tt.readBody {
						if trace := httptrace.ContextClientTrace(r.Context()); trace != nil {
							trace.GotConn(httptrace.GotConnInfo{})
						}
						io.Copy(io.Discard, r.Body)
					}
					return nil, errorText(tt.err)
				})
				t.Cleanup(real.(*http.Transport).CloseIdleConnections)
			})
			call := toolCall
			call.Idempotent = tt.idempotent
			_, _, failure := finish(t, s.Conn, call)
			if attempts != tt.attempts {
				t.Errorf("it was sent %d times, want %d", attempts, tt.attempts)
			}
			if tt.fails {
				wantFailure(t, failure, upstream.Unreachable, tt.readBody && !tt.gone)
			} else if failure != nil {
				t.Error(failure)
			}
		})
	}
}

type errorText string

func (e errorText) Error() string { return string(e) }

// What net/http may need to send a second time, and how long it is said to be, is what it sent the first time.
func TestBodyCanBeSentAgain(t *testing.T) {
	for name, argument := range map[string]string{"small": `"x"`, "large": `"` + strings.Repeat("x", 1<<20) + `"`} {
		t.Run(name, func(t *testing.T) {
			s := connect(t, "http://fake.test", func(c *upstream.Config) {
				c.Client = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
					first, _ := io.ReadAll(r.Body)
					copy, err := r.GetBody()
					if err != nil {
						return nil, err
					}
					second, _ := io.ReadAll(copy)
					if !bytes.Equal(first, second) || int64(len(first)) != r.ContentLength {
						t.Errorf("first %d bytes were sent, then %d; said were %d", len(first), len(second), r.ContentLength)
					}
					m, err := rpc.Read(first)
					if err != nil {
						return nil, err
					}
					return respond(200, "application/json", answerTo(m, `{"supportedVersions":["2026-07-28"]}`)), nil
				})}
			})
			call := toolCall
			call.Params = []rpc.Member{{Name: "a", Value: []byte(argument)}, {Name: "b", Value: []byte(argument)}}
			if _, _, failure := finish(t, s.Conn, call); failure != nil {
				t.Error(failure)
			}
		})
	}
}

// A writer learns whether it may wait for the next message before it flushes.
func TestMore(t *testing.T) {
	gate := make(chan struct{})
	server := modernServer(func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
		id := string(m.ID)
		raw("text/event-stream", "data: "+strings.ReplaceAll(progress, "%ID", id)+"\n\ndata: "+strings.ReplaceAll(progress, "%ID", id)+"\n\n")(w, r, m)
		w.(http.Flusher).Flush()
		<-gate
		events(answer)(w, r, m)
	})
	e, err := connect(t, "", inMemory(t, server)).Do(t.Context(), toolCall)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for i, more := range []bool{true, false, false} {
		if i == 2 {
			close(gate)
		}
		if _, err := e.Next(); err != nil || e.More() != more {
			t.Errorf("after message %d it says that more is here: %v (%v)", i+1, e.More(), err)
		}
	}
}
