package proxy_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mcpsidecar/configstore"
	"mcpsidecar/internal/audit"
	"mcpsidecar/internal/caller"
	"mcpsidecar/internal/front"
	"mcpsidecar/internal/metrics"
	"mcpsidecar/policy"
	"mcpsidecar/proxy"
)

// inMemory answers requests by a handler, so that a night takes no time.
type inMemory struct{ http.Handler }

func (m inMemory) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer r.Body.Close()
	}
	w := httptest.NewRecorder()
	m.ServeHTTP(w, r)
	return w.Result(), nil
}

// TestAnIdleNight: what is idle is let go of, and the session goes on in the morning, with a new one at the server.
func TestAnIdleNight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeServer{era: "legacy", tools: []string{tool("echo")}}
		callers, err := caller.New(caller.Config{})
		if err != nil {
			t.Fatal(err)
		}
		minted := caller.Mint()
		callers.Reload([]configstore.APIToken{{ID: minted.ID, Hash: minted.Hash, Role: "user", User: "alice"}})
		log, err := audit.Open(audit.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer log.Close()
		p, err := proxy.New(proxy.Config{
			Callers: callers, Client: &http.Client{Transport: inMemory{http.HandlerFunc(f.serve)}}, SessionKey: sessionKey, Metrics: metrics.New(metrics.Config{}), Audit: log,
			Baseline: func(_ context.Context, _ string, _ uint64, _ policy.Baseline) error { return nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		f.Server = &httptest.Server{URL: "http://fake.test/mcp"}
		p.Load(configstore.Snapshot{Revision: 1, Servers: []configstore.Server{f.record("one")}, Catalogs: map[string]configstore.Catalog{}})
		gate := front.Wrap(front.Config{Listen: "127.0.0.1:0"}, p)
		session := ""
		post := func(body string) *httptest.ResponseRecorder {
			r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1/mcp", strings.NewReader(body))
			r.Header.Set("Authorization", "Bearer "+minted.Text)
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Accept", "application/json, text/event-stream")
			if session != "" {
				r.Header.Set("Mcp-Session-Id", session)
			}
			w := httptest.NewRecorder()
			gate.ServeHTTP(w, r)
			return w
		}
		session = post(`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}`).Header().Get("Mcp-Session-Id")
		call := func(when string) {
			t.Helper()
			w := post(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"one__echo","arguments":{}}}`)
			if text, _ := io.ReadAll(w.Body); w.Code != http.StatusOK || !strings.Contains(string(text), `"text":"echo {}"`) {
				t.Errorf("%s: %d %s", when, w.Code, text)
			}
		}
		call("in the evening")
		evening := f.sessions
		time.Sleep(10 * time.Hour)
		synctest.Wait()
		if len(f.deleted) == 0 {
			t.Error("nothing was let go of at the server")
		}
		call("in the morning")
		if f.sessions == evening {
			t.Errorf("the server had %d sessions, as in the evening", f.sessions)
		}
	})
}
