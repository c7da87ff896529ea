package e2e_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"
)

// TestLoadOfAStream is L-06: what a server says in the course of one call passes through as it comes, and is not kept.
func TestLoadOfAStream(t *testing.T) {
	const size = 64 << 10
	events := sized(64, 1024) * mib / size
	text := strings.Repeat("x", size)
	for _, kind := range []struct{ name, ask, method, params string }{
		{"progress", `"progressToken":"mine"`, "notifications/progress", `"progressToken":%s,"progress":1,"message":"` + text + `"`},
		{"log messages", `"io.modelcontextprotocol/logLevel":"debug"`, "notifications/message", `"level":"info","data":"` + text + `"`},
	} {
		t.Run(kind.name, func(t *testing.T) {
			f := startFake(t, modernOnly)
			f.onCall(func(w http.ResponseWriter, _ *http.Request, m heard) {
				w.Header().Set("Content-Type", "text/event-stream")
				params := strings.ReplaceAll(kind.params, "%s", string(m.Params.Meta.Token))
				event := []byte(`data: {"jsonrpc":"2.0","method":"` + kind.method + `","params":{` + params + "}}\n\n")
				for range events {
					if _, err := w.Write(event); err != nil {
						return
					}
				}
				io.WriteString(w, "data: ")
				m.answer(w)
				io.WriteString(w, "\n\n")
			})
			s := startMeasured(t)
			s.register("one", f.URL)
			a := s.modern("/mcp", s.token("alice"))
			a.list()
			before := s.fromHere()
			received, took := readCall(t, a, "one__echo", kind.ask)
			grown := s.peak() - before
			if received < int64(events)*size {
				t.Errorf("only %d bytes came through", received)
			}
			if grown > 32*mib {
				t.Errorf("it took %d MiB", grown/mib)
			}
			raw := passedThrough(t, a, f.URL, kind.ask)
			t.Logf("%d MiB in %s, %.0f MiB/s, %.0f %% of a bare reverse proxy's speed; %.1f MiB more memory",
				received/mib, took.Round(time.Millisecond), float64(received)/mib/took.Seconds(), 100*raw.Seconds()/took.Seconds(), float64(grown)/mib)
			if full && took > 2*raw {
				t.Errorf("a bare reverse proxy takes %s", raw)
			}
		})
	}
}

// readCall calls a tool and reads all that is said.
func readCall(t *testing.T, a *agent, tool, ask string) (received int64, took time.Duration) {
	t.Helper()
	body := fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":%q,"arguments":{},%s}}`, tool, meta(ask))
	_, header := a.request(1, "tools/call", tool, "")
	began := time.Now()
	response, err := a.client.Do(newRequest(t, http.MethodPost, a.url, a.token, body, a.with(header)...))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	received = must[int64](t)(io.Copy(io.Discard, response.Body))
	return received, time.Since(began)
}

// passedThrough is how long the same call takes through a proxy that understands nothing of it.
func passedThrough(t *testing.T, like *agent, upstream, ask string) time.Duration {
	t.Helper()
	proxy := httputil.NewSingleHostReverseProxy(must[*url.URL](t)(url.Parse(upstream)))
	bare := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body) // first: otherwise it cuts some large answers (golang/go#40747)
		if err != nil {
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		proxy.ServeHTTP(w, r)
	}))
	defer bare.Close()
	a := *like
	a.url, a.client = bare.URL, web(t)
	_, took := readCall(t, &a, "echo", ask)
	return took
}
