package upstream_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"mcpsidecar/proxy/rpc"
	"mcpsidecar/proxy/upstream"
)

// M-01: two hundred calls at once, of twenty callers, answered as bodies and streams in any order: everyone gets what is theirs.
func TestManyCallsAtOnce(t *testing.T) {
	for name, server := range map[string]*mcpServer{"legacy": legacyServer(nil), "modern": modernServer(nil)} {
		t.Run(name, func(t *testing.T) {
			server.other = func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
				time.Sleep(rand.N(5 * time.Millisecond))
				reply := `{"jsonrpc":"2.0","id":%ID,"result":{"name":` + string(rpc.Find(m.Params, "name")) + `,"for":"` + r.Header.Get("Authorization") + `"}}`
				if rand.N(2) == 0 {
					events(progress, reply)(w, r, m)
					return
				}
				raw("application/json", reply)(w, r, m)
			}
			s := connect(t, serve(t, server))
			var group sync.WaitGroup
			for caller := range 20 {
				token := fmt.Sprint("caller-", caller)
				header := http.Header{"Authorization": {token}}
				c := s.Server.Conn(upstream.ConnConfig{Header: fixed(header)})
				for i := range 10 {
					group.Go(func() {
						for round := range 5 {
							name := fmt.Sprintf(`"%d-%d-%d"`, caller, i, round)
							_, m, failure := finish(t, c, upstream.Call{Method: "tools/call", Progress: true, Params: []rpc.Member{{Name: "name", Value: []byte(name)}}})
							if failure != nil {
								t.Error(failure)
								return
							}
							if want := `{"name":` + name + `,"for":"` + token + `"}`; string(m.Result) != want {
								t.Errorf("%s got %s", want, m.Result)
							}
						}
					})
				}
			}
			group.Wait()
		})
	}
}

// Calls that begin, end and are given up while their Server closes neither hang nor crash.
func TestCloseInTheMidstOfCalls(t *testing.T) {
	for name, handle := range map[string]http.Handler{"legacy": legacyServer(events(progress, progress, answer)), "modern": modernServer(events(progress, answer)), "HTTP+SSE": newSSEServer()} {
		t.Run(name, func(t *testing.T) {
			s := connect(t, serve(t, handle), func(c *upstream.Config) { c.SSE = name == "HTTP+SSE" })
			var group sync.WaitGroup
			var begun sync.WaitGroup
			for range 20 {
				c := s.Server.Conn(upstream.ConnConfig{Header: noHeaders})
				begun.Add(1)
				group.Go(func() {
					first := sync.OnceFunc(begun.Done)
					defer first()
					for {
						_, _, failure := finish(t, c, toolCall)
						first()
						if failure != nil && failure.Kind == upstream.Canceled {
							return
						}
						if failure != nil && failure.Kind != upstream.Unreachable {
							t.Error(failure)
							return
						}
					}
				})
			}
			begun.Wait()
			s.Server.Close()
			group.Wait()
		})
	}
}

// FuzzAnswer lets a server say anything. What comes out is one answer to our request, or a failure; and it ends.
func FuzzAnswer(f *testing.F) {
	for _, seed := range []struct {
		status            int
		contentType, body string
	}{
		{200, "application/json", strings.ReplaceAll(answer, "%ID", "1")},
		{200, "text/event-stream", "data: " + strings.ReplaceAll(progress, "%ID", "1") + "\r\n\r\ndata: " + strings.ReplaceAll(answer, "%ID", "1") + "\n\n"},
		{200, "application/json", "event: message\ndata: {}\n\n"},
		{400, "application/json", `{"jsonrpc":"2.0","id":null,"error":{"code":-32022,"message":"x","data":{"supported":["2025-11-25"]}}}`},
		{404, "application/json", `{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"x"}}`},
		{200, "", `[{"jsonrpc":"2.0","id":1,"result":{}}]`},
		{200, "application/json", `{"jsonrpc":"2.0","id":1,"result":{"supportedVersions":["2026-07-28"],"capabilities":7,"_meta":[],"instructions":{}}}`},
		{200, "application/json", `{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-11-25","serverInfo":null}}`},
		{200, "application/json", `{"jsonrpc":"2.0","id":1,"result":{"tools":[1,{}],"nextCursor":"x","ttlMs":1e999}}`},
		{401, "", ""}, {307, "", ""}, {202, "", ""}, {503, "", "x"},
	} {
		f.Add(seed.status, seed.contentType, []byte(seed.body), byte(0))
		f.Add(seed.status, seed.contentType, []byte(seed.body), byte(1))
		f.Add(seed.status, seed.contentType, []byte(seed.body), byte(2))
	}
	f.Fuzz(func(t *testing.T, code int, contentType string, body []byte, era byte) {
		if code < 200 || code > 599 {
			return
		}
		asked := ""                                  // the id of the call
		says := func(m rpc.Message) *http.Response { // the id of what is asked stands for 1
			return respond(code, contentType, strings.ReplaceAll(string(body), `"id":1`, `"id":`+string(m.ID)))
		}
		s := connect(t, "http://fake.test", limits(upstream.Limits{Message: 1 << 16, Pages: 3}), func(c *upstream.Config) {
			c.Client = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
				text, _ := io.ReadAll(bodyOf(r))
				m, _ := rpc.Read(text)
				switch {
				case era == 1 && m.Method == "server/discover":
					return respond(404, "", ""), nil
				case era == 1 && m.Method == "initialize":
					return respond(200, "application/json", answerTo(m, `{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{}}`)), nil
				case era == 2 && m.Method == "server/discover":
					return respond(200, "application/json", answerTo(m, `{"supportedVersions":["2026-07-28"]}`)), nil
				}
				if m.Method == toolCall.Method { // what else comes may come from another goroutine
					asked = string(m.ID)
				}
				return says(m), nil
			})}
		})
		e, err := s.Do(t.Context(), toolCall)
		for n := 0; err == nil; n++ {
			var m rpc.Message
			if m, err = e.Next(); err != nil {
				break
			}
			if m.Kind == rpc.Response && string(m.ID) != asked {
				t.Fatalf("the answer has the id %s", m.ID)
			}
			if n > len(body) {
				t.Fatal("more messages came than there were bytes")
			}
		}
		if err != io.EOF {
			if sentence := asFailure(t, err).Sentence(); !strings.HasPrefix(sentence, `The server "fake" `) {
				t.Fatalf("it says %q", sentence)
			}
		}
		if e != nil {
			e.Close()
		}
		if _, _, _, err := s.List(t.Context(), "tools/list", "tools"); err != nil {
			asFailure(t, err)
		}
	})
}

func bodyOf(r *http.Request) io.Reader {
	if r.Body == nil {
		return strings.NewReader("")
	}
	return r.Body
}

// FuzzEndpoint lets an SSE server name anything as its endpoint. Nothing is posted elsewhere than to its own origin.
func FuzzEndpoint(f *testing.F) {
	for _, seed := range []string{"/messages", "messages?id=1", "http://fake.test/x", "//evil/x", "http://evil", "http://fake.test@evil/", "http://fake.test:80/x", "http://fake.test:8080/x", "https://fake.test/", `http://fake.test\@evil`, "http://FAKE.test/", "javascript:x", "\t/x", "http:evil", "?x", "#x", "http:///evil", "/\\evil"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, endpoint string) {
		s := connect(t, "http://fake.test/sse", overSSE, func(c *upstream.Config) {
			c.Client = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
				if r.Method == http.MethodGet {
					return respond(200, "text/event-stream", "event: endpoint\ndata: "+endpoint+"\n\n"), nil
				}
				if r.URL.Scheme != "http" || r.URL.Host != "fake.test" || r.Host != "fake.test" || r.URL.User != nil {
					t.Errorf("%q leads to %s, host %s", endpoint, r.URL, r.Host)
				}
				return respond(202, "", ""), nil
			})}
		})
		if _, _, failure := finish(t, s.Conn, toolCall); failure == nil {
			t.Error("it was answered by nobody")
		}
	})
}
