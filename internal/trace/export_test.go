package trace_test

import (
	"bytes"
	"context"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"

	"mcpsidecar/internal/trace"
	"mcpsidecar/internal/trace/tracetest"
)

// kit is a tracer with what it counts and says.
type kit struct {
	t      *testing.T
	tracer *trace.Tracer
	err    error

	mu     sync.Mutex
	counts map[string]int
	said   bytes.Buffer
}

func open(t *testing.T, env ...string) *kit {
	t.Helper()
	k := &kit{t: t, counts: map[string]int{}}
	log := slog.New(slog.NewTextHandler(&locked{k}, nil))
	k.tracer, k.err = trace.Open(trace.Config{Env: env, Version: "1.2.3", Count: k.count, Logger: log})
	t.Cleanup(k.close)
	return k
}

// locked writes what is logged into the kit.
type locked struct{ k *kit }

func (l *locked) Write(p []byte) (int, error) {
	l.k.mu.Lock()
	defer l.k.mu.Unlock()
	return l.k.said.Write(p)
}

func (k *kit) count(result string, spans int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if spans > 0 {
		k.counts[result] += spans
	}
}

func (k *kit) log() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.said.String()
}

func (k *kit) counted(t *testing.T, want map[string]int) {
	t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	if !maps.Equal(k.counts, want) {
		t.Errorf("counted %v, want %v", k.counts, want)
	}
}

func (k *kit) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	k.tracer.Close(ctx)
}

// span makes a span of a request that came.
func (k *kit) span(name string) {
	k.tracer.Start(trace.Inbound, name, time.Now(), trace.Context{}, trace.Context{}).End(time.Now())
}

func TestSpansArriveAsTheyWereMade(t *testing.T) {
	c := tracetest.New(t)
	k := open(t, append(c.Env(), "OTEL_SERVICE_NAME=gate", "OTEL_RESOURCE_ATTRIBUTES=deployment.environment=a%2Cb,service.name=other")...)
	began := time.Unix(1700000000, 5)
	ambient := trace.Read("00-"+strings.Repeat("b", 32)+"-"+strings.Repeat("c", 16)+"-01", "")
	s := k.tracer.Start(trace.Inbound, "tools/call", began, trace.Read(good, "rojo=1"), ambient)
	child := s.Child(trace.Outbound, "tools/call x", began)
	child.Set(trace.Text(trace.ToolName, "x"), trace.Text(trace.Mode, ""), trace.Number(trace.ServerPort, 443))
	child.Event("parked")
	child.Fail("timed_out")
	child.End(began.Add(time.Second))
	s.Name("tools/call one__x")
	s.Set(trace.Text(trace.RequestID, "bad\xff"+strings.Repeat("x", 1000)))
	s.End(began.Add(2 * time.Second))

	server := c.Named(t, tracepb.Span_SPAN_KIND_SERVER, "tools/call one__x")
	client := c.Named(t, tracepb.Span_SPAN_KIND_CLIENT, "tools/call x")
	if want := traceID + "-" + spanID; server.Parent() != want || client.Parent() != server.ID() {
		t.Errorf("the parents are %s and %s, want %s and %s", server.Parent(), client.Parent(), want, server.ID())
	}
	if server.GetTraceState() != "rojo=1" || len(server.GetLinks()) != 1 || len(client.GetEvents()) != 1 {
		t.Errorf("state %q, %d links, %d events", server.GetTraceState(), len(server.GetLinks()), len(client.GetEvents()))
	}
	if server.GetStartTimeUnixNano() != uint64(began.UnixNano()) || server.GetEndTimeUnixNano()-server.GetStartTimeUnixNano() != 2e9 {
		t.Errorf("it lasted from %d to %d", server.GetStartTimeUnixNano(), server.GetEndTimeUnixNano())
	}
	if client.GetStatus().GetCode() != tracepb.Status_STATUS_CODE_ERROR || client.Texts()[trace.ErrorType] != "timed_out" {
		t.Errorf("the failure is %v %v", client.GetStatus(), client.Texts())
	}
	if _, has := client.Texts()[trace.Mode]; has {
		t.Error("an empty attribute was sent")
	}
	if id := server.Texts()[trace.RequestID]; len(id) > 300 || !strings.HasPrefix(id, "bad?x") {
		t.Errorf("the id is %q", id)
	}
	for key, want := range map[string]string{
		"service.name": "gate", "service.version": "1.2.3", "deployment.environment": "a,b", "telemetry.sdk.language": "go", "telemetry.sdk.name": "opentelemetry",
	} {
		if server.Resource[key] != want {
			t.Errorf("%s is %q, want %q", key, server.Resource[key], want)
		}
	}
	if server.Resource["service.instance.id"] == "" {
		t.Error("no service.instance.id")
	}
}

func TestContextOfASpan(t *testing.T) {
	k := open(t, append(tracetest.New(t).Env(), "OTEL_TRACES_SAMPLER=always_off")...)
	s := k.tracer.Start(trace.Inbound, "x", time.Now(), trace.Read(good, "rojo=1"), trace.Context{})
	c := s.Context()
	if s.Recording() || c.TraceID() != traceID || strings.Contains(c.Parent(), spanID) || !strings.HasSuffix(c.Parent(), "-00") || c.State() != "rojo=1" {
		t.Errorf("a span that is left out has the context %+v", c)
	}
	s.End(time.Now())
	k.close()
	k.counted(t, map[string]int{})
}

func TestWhereSpansAreSent(t *testing.T) {
	for _, test := range []struct {
		what, path string
		env        func(url string) []string
		header     map[string]string
	}{
		{"for all signals", "/v1/traces", func(url string) []string { return []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + url} }, nil},
		{"for all signals, below a path", "/otlp/v1/traces", func(url string) []string { return []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + url + "/otlp/"} }, nil},
		{"for traces alone", "/in", func(url string) []string {
			return []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=" + url + "/in"}
		}, nil},
		{"for traces alone, without a path", "/", func(url string) []string { return []string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=" + url} }, nil},
		{"with headers", "/v1/traces", func(url string) []string {
			return []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + url, "OTEL_EXPORTER_OTLP_HEADERS=Authorization=Bearer%20k, X-Two = 2"}
		}, map[string]string{"Authorization": "Bearer k", "X-Two": "2", "User-Agent": "mcp-sidecar/1.2.3"}},
		{"compressed", "/v1/traces", func(url string) []string {
			return []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + url, "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION=gzip"}
		}, map[string]string{"Content-Encoding": "gzip"}},
	} {
		t.Run(test.what, func(t *testing.T) {
			c := tracetest.New(t)
			k := open(t, append(test.env(c.URL), "OTEL_BSP_SCHEDULE_DELAY=1")...)
			if k.err != nil {
				t.Fatal(k.err)
			}
			k.span("tools/call")
			c.Named(t, tracepb.Span_SPAN_KIND_SERVER, "tools/call")
			r := c.Requests()[0]
			if r.URL.Path != test.path || r.Method != http.MethodPost {
				t.Errorf("%s %s, want %s", r.Method, r.URL.Path, test.path)
			}
			for name, want := range test.header {
				if got := r.Header.Get(name); got != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
		})
	}
}

// What does not fit is dropped and counted, and whoever ends a span never waits.
func TestTooManySpansAtOnce(t *testing.T) {
	c := tracetest.New(t)
	begun, release := make(chan struct{}, 100), make(chan struct{})
	c.Answer = func(_ http.ResponseWriter, _ *http.Request, spans []tracetest.Span) {
		begun <- struct{}{}
		<-release
	}
	k := open(t, append(c.Env(), "OTEL_BSP_MAX_QUEUE_SIZE=3", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=1")...)
	k.span("the first")
	<-begun
	for range 10 {
		k.span("the rest")
	}
	k.counted(t, map[string]int{trace.Dropped: 7})
	close(release)
	k.close()
	k.counted(t, map[string]int{trace.Dropped: 7, trace.Exported: 4})
}

func TestAnswersOfTheCollector(t *testing.T) {
	partly := func(rejected uint64) []byte {
		inner := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), rejected)
		inner = protowire.AppendString(protowire.AppendTag(inner, 2, protowire.BytesType), "too old")
		return protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), inner)
	}
	for _, test := range []struct {
		what    string
		answers []func(http.ResponseWriter)
		want    map[string]int
		says    string
	}{
		{"it is there again later", []func(http.ResponseWriter){answering(503), answering(200)}, map[string]int{trace.Exported: 2}, ""},
		{"it is unwilling", []func(http.ResponseWriter){answering(400)}, map[string]int{trace.Failed: 2}, "HTTP status 400"},
		{"it sends us elsewhere", []func(http.ResponseWriter){func(w http.ResponseWriter) { w.Header().Set("Location", "/"); w.WriteHeader(307) }}, map[string]int{trace.Failed: 2}, "HTTP status 307"},
		{"it takes some", []func(http.ResponseWriter){func(w http.ResponseWriter) { w.Write(partly(1)) }}, map[string]int{trace.Failed: 1, trace.Exported: 1}, "too old"},
		{"it claims more than there was", []func(http.ResponseWriter){func(w http.ResponseWriter) { w.Write(partly(99)) }}, map[string]int{trace.Failed: 2}, ""},
		{"it rejects nothing", []func(http.ResponseWriter){func(w http.ResponseWriter) { w.Write(partly(0)) }}, map[string]int{trace.Exported: 2}, ""},
		{"it says nonsense", []func(http.ResponseWriter){func(w http.ResponseWriter) { w.Write([]byte("<html>")) }}, map[string]int{trace.Exported: 2}, ""},
	} {
		t.Run(test.what, func(t *testing.T) {
			t.Parallel()
			c := tracetest.New(t)
			answered := make(chan struct{}, 10)
			at := 0
			c.Answer = func(w http.ResponseWriter, _ *http.Request, _ []tracetest.Span) { // requests come one after the other
				test.answers[at](w)
				at++
				answered <- struct{}{}
			}
			k := open(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+c.URL, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=2", "OTEL_EXPORTER_OTLP_HEADERS=Authorization=k-secret")
			k.span("one")
			k.span("two")
			for range test.answers {
				<-answered
			}
			k.close()
			k.counted(t, test.want)
			if said := k.log(); !strings.Contains(said, test.says) || strings.Contains(said, "k-secret") {
				t.Errorf("it logs %s", said)
			}
		})
	}
}

func answering(code int) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) { w.WriteHeader(code) }
}

// A collector that is not there, or takes a connection and says nothing, keeps nobody from ending.
func TestClosingWithoutACollector(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for what, address := range map[string]string{"nobody listens": "127.0.0.1:1", "nobody answers": silent.Addr().String()} {
		t.Run(what, func(t *testing.T) {
			k := open(t, "OTEL_EXPORTER_OTLP_ENDPOINT=http://"+address, "OTEL_EXPORTER_OTLP_TIMEOUT=3600000", "OTEL_BSP_EXPORT_TIMEOUT=3600000")
			k.span("x")
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			k.tracer.Flush(ctx)
			k.span("y")
			k.tracer.Close(ctx)
			k.counted(t, map[string]int{trace.Failed: 2})
		})
	}
}

func TestNothingOfANilTracer(t *testing.T) {
	k := open(t)
	if k.tracer != nil || k.err != nil || k.log() != "" {
		t.Fatalf("an empty environment makes %v, %v, %q", k.tracer, k.err, k.log())
	}
	ctx := t.Context()
	allocations := testing.AllocsPerRun(100, func() {
		s := k.tracer.Start(trace.Inbound, "x", time.Time{}, trace.Context{}, trace.Context{})
		c := s.Child(trace.Outbound, "y", time.Time{})
		c.Fail("z")
		c.End(time.Time{})
		s.Name("n")
		s.Link(c)
		s.End(time.Time{})
		if trace.With(ctx, s) != ctx || trace.From(ctx) != nil || s.TraceID() != "" || !s.Context().IsZero() || s.Recording() || k.tracer.Propagates() {
			t.Error("a nil span is something")
		}
	})
	if allocations != 0 {
		t.Errorf("nothing costs %v allocations", allocations)
	}
}
