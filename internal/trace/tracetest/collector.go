// Package tracetest is a collector for tests: it receives OTLP over HTTP and remembers every span.
//
// It owns the listener and what was received. It deliberately does not share code with the exporter: it is written on OTLP's own types.
package tracetest

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Collector receives spans.
type Collector struct {
	*httptest.Server
	// Answer answers a request whose spans were read, instead of 200 with nothing; nil: that. Set it before anything is sent.
	Answer func(w http.ResponseWriter, r *http.Request, spans []Span)

	mu       sync.Mutex
	spans    []Span
	requests []*http.Request
	arrived  chan struct{} // receives when there is something new
}

// Span is a span as it was received.
type Span struct {
	*tracepb.Span
	Resource map[string]string
}

// New starts a collector, which ends with the test.
func New(t testing.TB) *Collector {
	c := &Collector{arrived: make(chan struct{}, 1)}
	c.Server = httptest.NewServer(http.HandlerFunc(c.receive))
	t.Cleanup(c.Server.Close)
	return c
}

// Env are the variables by which a program finds the collector; spans are sent as they end.
func (c *Collector) Env() []string {
	return []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + c.URL, "OTEL_BSP_SCHEDULE_DELAY=1"}
}

func (c *Collector) receive(w http.ResponseWriter, r *http.Request) {
	spans, err := read(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
	c.mu.Lock()
	c.requests = append(c.requests, r)
	c.mu.Unlock()
	if c.Answer != nil {
		c.Answer(w, r, spans)
		return
	}
	c.Keep(spans)
}

// Keep remembers spans.
func (c *Collector) Keep(spans []Span) {
	c.mu.Lock()
	c.spans = append(c.spans, spans...)
	c.mu.Unlock()
	select {
	case c.arrived <- struct{}{}:
	default:
	}
}

func read(r *http.Request) ([]Span, error) {
	if got := r.Header.Get("Content-Type"); got != "application/x-protobuf" {
		return nil, fmt.Errorf("the type is %q", got)
	}
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		unpacked, err := gzip.NewReader(body)
		if err != nil {
			return nil, err
		}
		body = unpacked
	}
	raw, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}
	return Decode(raw)
}

// Decode reads an ExportTraceServiceRequest.
func Decode(raw []byte) (spans []Span, err error) {
	data := new(tracepb.TracesData)
	if err := proto.Unmarshal(raw, data); err != nil {
		return nil, err
	}
	return Flatten(data), nil
}

// Flatten are all spans of a message.
func Flatten(data *tracepb.TracesData) (spans []Span) {
	for _, rs := range data.GetResourceSpans() {
		resource := texts(rs.GetResource().GetAttributes())
		for _, ss := range rs.GetScopeSpans() {
			for _, s := range ss.GetSpans() {
				spans = append(spans, Span{s, resource})
			}
		}
	}
	return spans
}

// Requests are the requests so far, without their bodies.
func (c *Collector) Requests() []*http.Request {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.requests)
}

// All are the spans so far.
func (c *Collector) All() []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.spans)
}

// Wait waits until there is a span that matches, and returns the first.
func (c *Collector) Wait(t testing.TB, what string, matches func(Span) bool) Span {
	t.Helper()
	for {
		all := c.All()
		if i := slices.IndexFunc(all, matches); i >= 0 {
			return all[i]
		}
		select {
		case <-c.arrived:
		case <-t.Context().Done():
			t.Fatalf("no span is %s; there are:\n%s", what, Describe(all))
		}
	}
}

// Named waits for a span of a name and kind.
func (c *Collector) Named(t testing.TB, kind tracepb.Span_SpanKind, name string) Span {
	t.Helper()
	return c.Wait(t, kind.String()+" "+name, func(s Span) bool { return s.GetKind() == kind && s.GetName() == name })
}

// Describe lists spans for the message of a test.
func Describe(spans []Span) string {
	var b strings.Builder
	for _, s := range spans {
		fmt.Fprintf(&b, "%x %x under %x %s %q %v\n", s.GetTraceId(), s.GetSpanId(), s.GetParentSpanId(), s.GetKind(), s.GetName(), s.Texts())
	}
	return b.String()
}

// Texts are the attributes as text.
func (s Span) Texts() map[string]string { return texts(s.GetAttributes()) }

// ID is the span as others name it in a traceparent.
func (s Span) ID() string { return fmt.Sprintf("%x-%x", s.GetTraceId(), s.GetSpanId()) }

// Parent is its parent in the same way; empty: it has none.
func (s Span) Parent() string {
	if len(s.GetParentSpanId()) == 0 {
		return ""
	}
	return fmt.Sprintf("%x-%x", s.GetTraceId(), s.GetParentSpanId())
}

func texts(attributes []*commonpb.KeyValue) map[string]string {
	all := map[string]string{}
	for _, a := range attributes {
		switch v := a.GetValue().GetValue().(type) {
		case *commonpb.AnyValue_StringValue:
			all[a.GetKey()] = v.StringValue
		default:
			all[a.GetKey()] = fmt.Sprint(a.GetValue())
		}
	}
	return all
}
