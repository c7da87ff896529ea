package proxy

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mcpsidecar/configstore"
	"mcpsidecar/internal/audit"
	"mcpsidecar/internal/caller"
	"mcpsidecar/internal/metrics"
	"mcpsidecar/policy"
)

// These are bounds that cannot be seen from outside, or only by a clock.

// TestAURIOfManySlashesCostsLittle, whoever has subscribed to what; one that is as deep as any in earnest is looked up whole.
func TestAURIOfManySlashesCostsLittle(t *testing.T) {
	count := func(uri string) (n int, last string) {
		for whole := range wholes(uri) {
			n, last = n+1, whole
		}
		return n, last
	}
	if n, _ := count(strings.Repeat("/", maxURI)); n > 2*maxDepth+1 {
		t.Errorf("%d look-ups", n)
	}
	if _, last := count("file:///" + strings.Repeat("d/", 50) + "f"); last != "file:/" {
		t.Errorf("of a deep one the last that is looked up is %q", last)
	}
}

// TestAListIsGivenARestAfterEachFetch: a server that takes long to list and says meanwhile that its list is another is not asked without pause.
func TestAListIsGivenARestAfterEachFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		p := &Proxy{now: time.Now, background: ctx, log: slog.New(slog.DiscardHandler)}
		var ended time.Time
		var rests []time.Duration
		k := &keeper[int]{p: p, touch: func(time.Time) {}, took: func(_, _ *int) {}}
		k.fetch = func(context.Context) (*int, time.Duration, error) {
			if !ended.IsZero() {
				rests = append(rests, time.Since(ended))
			}
			time.Sleep(3 * time.Second)
			k.lapse()
			ended = time.Now()
			return new(int), -1, nil
		}
		k.get(ctx)
		time.Sleep(time.Minute)
		cancel()
		p.goroutines.Wait()
		if len(rests) < 10 {
			t.Errorf("it was fetched anew %d times", len(rests))
		}
		for _, rest := range rests {
			if rest < lapseEvery {
				t.Errorf("it was left alone for %s", rest)
			}
		}
	})
}

// bareProxy makes a proxy without anything around it.
func bareProxy(t *testing.T) *Proxy {
	t.Helper()
	log, err := audit.Open(audit.Config{Path: filepath.Join(t.TempDir(), "audit.log")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	p, err := New(Config{
		Callers: door{&caller.Identity{}}, Client: &http.Client{Transport: &http.Transport{}}, Metrics: metrics.New(metrics.Config{}), Audit: log,
		Baseline: func(context.Context, string, uint64, policy.Baseline) error { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func storedServer(url string) configstore.Snapshot {
	return configstore.Snapshot{Revision: 1, Servers: []configstore.Server{{
		ID: "one", Slug: "one", Transport: configstore.StreamableHTTP, URL: url, AuthType: configstore.AuthNone, Revision: 1, Rules: policy.Rules{Enabled: true, Availability: policy.DefaultOn},
	}}}
}

// TestNothingIsLoadedAfterTheEnd: nobody would close what it connects.
func TestNothingIsLoadedAfterTheEnd(t *testing.T) {
	p := bareProxy(t)
	p.Close()
	if p.Load(storedServer("http://127.0.0.1:1/")); len(p.snapshot.Load().servers) != 0 {
		t.Error("a server is there after the end")
	}
}

// hello is all that a legacy server says that has one tool.
func hello(w http.ResponseWriter, r *http.Request) {
	var m struct {
		ID     json.RawMessage
		Method string
	}
	json.NewDecoder(r.Body).Decode(&m)
	switch m.Method {
	case "initialize":
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Mcp-Session-Id", "s")
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{"listChanged":true}},"serverInfo":{"name":"n","version":"1"}}}`, m.ID)
	case "notifications/initialized":
		w.WriteHeader(http.StatusAccepted)
	case "tools/list":
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{"tools":[{"name":"x","inputSchema":{"type":"object"}}]}}`, m.ID)
	default:
		w.WriteHeader(http.StatusBadRequest)
	}
}

// TestASubscriptionIsHeardThoughTheListenerJustEnded: the sweep ends the listener of lists that nobody uses, and the first who wants to hear again does so at once, not with the next sweep.
func TestASubscriptionIsHeardThoughTheListenerJustEnded(t *testing.T) {
	listening := make(chan struct{}, 16)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			hello(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		w.(http.Flusher).Flush()
		listening <- struct{}{}
		<-r.Context().Done()
	}))
	defer server.Close()
	p := bareProxy(t)
	defer p.Close()
	p.Load(storedServer(server.URL))
	ls := p.snapshot.Load().servers[0].link.ways.everyone.lists
	w := &watch{by: newWatcher(p, "alice", nil), name: "x://a", uri: "x://a"}
	ls.board.add(w)
	ls.listen()
	<-listening
	ls.board.remove(w)
	ls.used.Store(0)
	ls.sweep()
	ls.board.add(w)
	ls.listen()
	<-listening
}
