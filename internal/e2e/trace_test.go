package e2e_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"mcpsidecar/internal/e2e/rig"
	"mcpsidecar/internal/trace/tracetest"
)

const clientContext = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"

// callIn calls a tool as a part of a trace, which is told in _meta or, in the legacy era, in the header alone.
func (a *agent) callIn(context, name string) {
	a.t.Helper()
	body, header := a.request(7, "tools/call", name, fmt.Sprintf(`"name":%q,"arguments":{"a":"canary-argument"}`, name))
	if a.session == "" {
		body = strings.Replace(body, `"_meta":{`, `"_meta":{"traceparent":"`+context+`",`, 1)
	} else {
		header = append(header, "traceparent", context)
	}
	if got := a.post(body, header...); !strings.Contains(got.body, "canary-argument") { // echo
		a.t.Fatalf("the call answers %d %s", got.status, got.body)
	}
}

// TestOneTraceOverOTLP: the real binary, a collector that is written on OTLP's own types, and one trace from the client's header through the sidecar to the server.
func TestOneTraceOverOTLP(t *testing.T) {
	for _, clientEra := range []string{modernOnly, legacyOnly} {
		for _, serverEra := range []string{modernOnly, legacyOnly} {
			t.Run(clientEra+" client, "+serverEra+" server", func(t *testing.T) {
				collector, f := tracetest.New(t), startFake(t, serverEra)
				s := startWith(t, rig.SidecarConfig{Dir: filepath.Join(t.TempDir(), "data"), Env: append(collector.Env(), "OTEL_SERVICE_NAME=gate")})
				s.register("one", f.URL)
				a := s.modern("/mcp", s.token("canary-user"))
				if clientEra == legacyOnly {
					a = s.legacy("/mcp", s.token("canary-user"))
				}
				a.callIn(clientContext, "one__echo")

				inbound := collector.Named(t, tracepb.Span_SPAN_KIND_SERVER, "tools/call one__echo")
				outbound := collector.Named(t, tracepb.Span_SPAN_KIND_CLIENT, "tools/call echo")
				if inbound.Parent() != clientContext[3:52] || outbound.Parent() != inbound.ID() || inbound.Resource["service.name"] != "gate" {
					t.Errorf("they do not hang together:\n%s", tracetest.Describe(collector.All()))
				}
				m := f.of("tools/call")[0]
				if told := "00-" + outbound.ID() + "-01"; m.Header.Get("Traceparent") != told || m.Params.Meta.Parent != told {
					t.Errorf("the server was told %q and %q, want %q", m.Header.Get("Traceparent"), m.Params.Meta.Parent, told)
				}
				if text := fmt.Sprint(collector.All()); strings.Contains(text, "canary") || strings.Contains(text, f.URL+"/") {
					t.Errorf("the spans say too much: %s", text)
				}
			})
		}
	}
}

// TestSpansAreSentBeforeTheEnd: what is queued when the program is told to end arrives.
func TestSpansAreSentBeforeTheEnd(t *testing.T) {
	collector, f := tracetest.New(t), startFake(t, modernOnly)
	s := startWith(t, rig.SidecarConfig{Dir: filepath.Join(t.TempDir(), "data"), Env: append(collector.Env(), "OTEL_BSP_SCHEDULE_DELAY=3600000")})
	s.register("one", f.URL)
	s.modern("/mcp", s.token("alice")).callIn(clientContext, "one__echo")
	if all := collector.All(); len(all) != 0 {
		t.Fatalf("there are spans already:\n%s", tracetest.Describe(all))
	}
	s.stop()
	if text := tracetest.Describe(collector.All()); !strings.Contains(text, "tools/call one__echo") {
		t.Errorf("there are only:\n%s", text)
	}
}

// TestNothingIsTracedUnasked: no request to a collector at the usual place, and nothing of tracing in the log; what the client says is passed on.
func TestNothingIsTracedUnasked(t *testing.T) {
	f := startFake(t, modernOnly)
	s := start(t, "--log-level", "debug")
	s.register("one", f.URL)
	s.modern("/mcp", s.token("alice")).callIn(clientContext, "one__echo")
	if m := f.of("tools/call")[0]; m.Params.Meta.Parent != clientContext || m.Header.Get("Traceparent") != "" {
		t.Errorf("the server was told %q and %q", m.Header.Get("Traceparent"), m.Params.Meta.Parent)
	}
	if _, text, err := s.Scrape(t.Context(), "/metrics"); err != nil || strings.Contains(text, "spans_total{") {
		t.Errorf("spans are counted, or %v", err)
	}
	s.stop()
	if said := s.Stderr.String(); strings.Contains(said, "component=trace") {
		t.Errorf("it logs %s", said)
	}
}

// TestAnEndpointThatCannotBe is said at the start, by the name of its variable and without its value.
func TestAnEndpointThatCannotBe(t *testing.T) {
	binary := must[string](t)(sidecarBinary())
	c := rig.SidecarCommand(rig.SidecarConfig{Binary: binary, Dir: filepath.Join(t.TempDir(), "data"), Env: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://u:canary@h"}})
	p := must[*rig.Process](t)(rig.Start(t.Context(), c))
	code := must[int](t)(p.Wait(t.Context()))
	if said := p.Stderr.String(); code != 1 || !strings.Contains(said, "OTEL_EXPORTER_OTLP_ENDPOINT") || strings.Contains(said, "canary") {
		t.Errorf("it ends with %d and says %s", code, said)
	}
}
