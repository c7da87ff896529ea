package front_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"mcpsidecar/internal/front"
)

func TestHeadersOfEveryAnswer(t *testing.T) {
	want := map[string]string{"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
	for name, r := range map[string]*http.Request{"served": asked("GET", "/", local), "refused": asked("GET", "/", "evil.example")} {
		w, _ := served(front.Config{Listen: local}, r)
		for header, value := range want {
			if got := w.Header().Get(header); got != value {
				t.Errorf("%s: %s is %q, want %q", name, header, got, value)
			}
		}
		if len(w.Header().Get("X-Request-Id")) != 32 {
			t.Errorf("%s: the request id is %q", name, w.Header().Get("X-Request-Id"))
		}
	}
	// A handler may say something else, and the next answer says what is usual again.
	own := front.Wrap(front.Config{Listen: local}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Add("Referrer-Policy", "same-origin")
	}))
	w := httptest.NewRecorder()
	own.ServeHTTP(w, asked("GET", "/", local))
	if got := w.Header().Get("Cache-Control"); got != "max-age=60" {
		t.Errorf("the handler's Cache-Control became %q", got)
	}
	if w, _ := served(front.Config{Listen: local}, asked("GET", "/", local)); fmt.Sprint(w.Header()["Referrer-Policy"]) != "[no-referrer]" {
		t.Errorf("another answer's Referrer-Policy is %v", w.Header()["Referrer-Policy"])
	}
}

func TestRequestIDs(t *testing.T) {
	seen := map[string]bool{}
	type key struct{}
	handler := front.Wrap(front.Config{Listen: local}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		derived := context.WithValue(context.WithoutCancel(r.Context()), key{}, "inner")
		id := front.RequestID(derived)
		if id == "" || id != w.Header().Get("X-Request-Id") || seen[id] || derived.Value(key{}) != "inner" || r.Context().Value(outer{}) != "outer" {
			t.Errorf("request id %q, header %q, seen before: %v", id, w.Header().Get("X-Request-Id"), seen[id])
		}
		seen[id] = true
	}))
	for range 1000 {
		r := asked("GET", "/", local)
		handler.ServeHTTP(httptest.NewRecorder(), r.WithContext(context.WithValue(t.Context(), outer{}, "outer")))
	}
	if front.RequestID(t.Context()) != "" {
		t.Error("there is a request id without a request")
	}
	front.SetRoute(t.Context(), "nowhere") // does nothing
}

type outer struct{}

func TestCancellationPasses(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	front.Wrap(front.Config{Listen: local}, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		derived, stop := context.WithCancel(r.Context())
		defer stop()
		cancel()
		<-derived.Done()
		if !errors.Is(r.Context().Err(), context.Canceled) {
			t.Error("the handler's context outlives the request's")
		}
	})).ServeHTTP(httptest.NewRecorder(), asked("GET", "/", local).WithContext(ctx))
}

func TestCounting(t *testing.T) {
	for name, row := range map[string]struct {
		handler http.HandlerFunc
		want    string
	}{
		"nothing written": {func(http.ResponseWriter, *http.Request) {}, "other 200"},
		"a body":          {func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("x")) }, "other 200"},
		"a string":        {func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "x") }, "other 200"},
		"a flush":         {func(w http.ResponseWriter, r *http.Request) { w.(http.Flusher).Flush() }, "other 200"},
		"a status":        {func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(404) }, "other 404"},
		"two statuses":    {func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(202); w.WriteHeader(500) }, "other 202"},
		"an early hint":   {func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(103); w.WriteHeader(404) }, "other 404"},
		"a status late":   {func(w http.ResponseWriter, r *http.Request) { w.Write(nil); w.WriteHeader(500) }, "other 200"},
		"a route":         {func(w http.ResponseWriter, r *http.Request) { front.SetRoute(r.Context(), "/mcp") }, "/mcp 200"},
		"a panic":         {func(w http.ResponseWriter, r *http.Request) { panic("x") }, "other 500"},
		"a late panic":    {func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(202); panic("x") }, "other 202"},
		"cut":             {func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }, "other 0"},
		"cut late":        {func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("x")); panic(http.ErrAbortHandler) }, "other 200"},
	} {
		var counted []string
		config := front.Config{Listen: local, Count: func(route string, status int, d time.Duration) {
			counted = append(counted, fmt.Sprint(route, " ", status))
			if d < 0 {
				t.Errorf("%s: took %v", name, d)
			}
		}}
		func() {
			defer func() { recover() }()
			front.Wrap(config, row.handler).ServeHTTP(httptest.NewRecorder(), asked("GET", "/", local))
		}()
		if got := strings.Join(counted, ", "); got != row.want {
			t.Errorf("%s: counted %s, want %s", name, got, row.want)
		}
	}
	var counted string
	served(front.Config{Listen: local, Count: func(route string, status int, _ time.Duration) { counted += fmt.Sprint(route, " ", status) }}, asked("GET", "/", "evil.example"))
	if counted != "other 403" {
		t.Errorf("a refusal is counted %q, want once as other 403", counted)
	}
}

// A panic costs its own request only, is in the log with what is needed to find it, and an answer that was begun is cut rather than finished.
func TestPanics(t *testing.T) {
	run := func(handler http.HandlerFunc) (w *httptest.ResponseRecorder, logged string, repanicked any) {
		var log bytes.Buffer
		w = httptest.NewRecorder()
		defer func() { logged, repanicked = log.String(), recover() }()
		front.Wrap(front.Config{Listen: local, Logger: slog.New(slog.NewJSONHandler(&log, nil))}, handler).ServeHTTP(w, asked("GET", "/", local))
		return
	}
	w, logged, repanicked := run(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000")
		front.SetRoute(r.Context(), "/mcp")
		panic("surprise\nnext line")
	})
	if w.Code != 500 || repanicked != nil || w.Header().Get("Content-Length") != "" || !strings.Contains(w.Body.String(), `{"message":`) || strings.Contains(w.Body.String(), "surprise") {
		t.Errorf("before an answer: status %d, headers %v, body %s, panic %v", w.Code, w.Header(), w.Body, repanicked)
	}
	var record map[string]any
	if err := json.Unmarshal([]byte(logged), &record); err != nil {
		t.Fatalf("the log is not one record: %q", logged)
	}
	if record["request_id"] != w.Header().Get("X-Request-Id") || record["route"] != "/mcp" || record["panic"] != "surprise\nnext line" || !strings.Contains(fmt.Sprint(record["stack"]), "TestPanics") {
		t.Errorf("logged %v", record)
	}
	w, logged, repanicked = run(func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte("half an ans"))
		panic(errors.New("surprise"))
	})
	if w.Body.String() != "half an ans" || repanicked != http.ErrAbortHandler || !strings.Contains(logged, "surprise") {
		t.Errorf("after half an answer: body %s, panic %v, log %s", w.Body, repanicked, logged)
	}
	_, logged, repanicked = run(func(http.ResponseWriter, *http.Request) { panic(fmt.Errorf("told: %w", http.ErrAbortHandler)) })
	if repanicked != http.ErrAbortHandler || logged != "" {
		t.Errorf("a handler that cuts: panic %v, log %s", repanicked, logged)
	}
}

func TestAllocations(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(202) })
	r := asked("POST", "/mcp", local, "Authorization", "Bearer x", "Content-Type", "application/json", "Accept", "application/json, text/event-stream")
	w := &quiet{header: http.Header{}}
	wrapped := front.Wrap(front.Config{Listen: local}, handler)
	bare := testing.AllocsPerRun(100, func() { handler.ServeHTTP(w, r) })
	// The visit, the text of the id, and the copy of the request that carries the context.
	if n := testing.AllocsPerRun(1000, func() { wrapped.ServeHTTP(w, r) }) - bare; n > 3 {
		t.Errorf("a request allocates %v times", n)
	}
}

// quiet is a ResponseWriter that costs nothing.
type quiet struct{ header http.Header }

func (q *quiet) Header() http.Header         { return q.header }
func (q *quiet) Write(p []byte) (int, error) { return len(p), nil }
func (q *quiet) WriteHeader(int)             {}

func BenchmarkWrap(b *testing.B) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(202) })
	r := asked("POST", "/mcp", local, "Authorization", "Bearer x", "Content-Type", "application/json", "Accept", "application/json, text/event-stream", "Mcp-Method", "tools/call", "Mcp-Name", "x", "User-Agent", "x", "Mcp-Protocol-Version", "2026-07-28")
	w := &quiet{header: http.Header{}}
	wrapped := front.Wrap(front.Config{Listen: local, PublicURL: &url.URL{Scheme: "https", Host: "mcp.example.com"}}, handler)
	b.ReportAllocs()
	for b.Loop() {
		wrapped.ServeHTTP(w, r)
	}
}
