package proxy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"mcpsidecar/configstore"
	"mcpsidecar/internal/secret"
	"mcpsidecar/internal/trace"
	"mcpsidecar/internal/trace/tracetest"
	"mcpsidecar/proxy"
)

const (
	inMeta   = "00-11111111111111111111111111111111-2222222222222222-01"
	inHeader = "00-33333333333333333333333333333333-4444444444444444-01"
	client_  = tracepb.Span_SPAN_KIND_CLIENT
	server_  = tracepb.Span_SPAN_KIND_SERVER
	internal = tracepb.Span_SPAN_KIND_INTERNAL
)

// tracedRig is a rig whose requests are traced.
func tracedRig(t *testing.T, env []string, servers ...configstore.Server) (*rig, *tracetest.Collector) {
	t.Helper()
	return tracedRigWith(t, env, func(*proxy.Config) {}, servers...)
}

func tracedRigWith(t *testing.T, env []string, change func(*proxy.Config), servers ...configstore.Server) (*rig, *tracetest.Collector) {
	t.Helper()
	collector := tracetest.New(t)
	tracer, err := trace.Open(trace.Config{Env: append(collector.Env(), env...)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		tracer.Close(ctx)
	})
	return newRigWith(t, func(c *proxy.Config) { c.Tracer = tracer; change(c) }, servers...), collector
}

// callWith calls a tool with members of _meta and headers, which are pairs.
func (c *client) callWith(name, arguments, meta string, header ...string) called {
	c.rig.t.Helper()
	r := c.asked("tools/call", name, fmt.Sprintf(`"name":%q,"arguments":%s`, name, arguments), meta)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return c.outcome(c.do(r))
}

// metaText is a member of _meta as a server got it; empty: it got none.
func (m seen) metaText(t *testing.T, name string) string {
	t.Helper()
	var body struct {
		Params struct {
			Meta map[string]json.RawMessage `json:"_meta"`
		} `json:"params"`
	}
	if err := json.Unmarshal([]byte(m.Body), &body); err != nil {
		t.Fatal(err)
	}
	var text string
	if raw := body.Params.Meta[name]; raw != nil && json.Unmarshal(raw, &text) != nil {
		return string(raw)
	}
	return text
}

func wantTold(t *testing.T, m seen, header, state, meta, metaState string) {
	t.Helper()
	for what, got := range map[string][2]string{
		"the header traceparent": {m.Header.Get("Traceparent"), header}, "the header tracestate": {m.Header.Get("Tracestate"), state},
		"_meta.traceparent": {m.metaText(t, "traceparent"), meta}, "_meta.tracestate": {m.metaText(t, "tracestate"), metaState},
	} {
		if got[0] != got[1] {
			t.Errorf("%s is %q, want %q", what, got[0], got[1])
		}
	}
}

// TestTraceContextIsPassedOn without any tracing here: each where it was, unchanged.
func TestTraceContextIsPassedOn(t *testing.T) {
	everyCombination(t, func(t *testing.T, clientEra, serverEra string) {
		f := startFake(t, serverEra, tool("x"))
		r := newRig(t, f.record("one"))
		c := r.client(clientEra, "/mcp", r.token("user", "alice"))
		for _, test := range []struct {
			what, meta                          string
			header                              []string
			wantHeader, wantState, wantMeta, ms string
		}{
			{"nothing", "", nil, "", "", "", ""},
			{"in _meta", `"traceparent":"` + inMeta + `","tracestate":"a=\"1\""`, nil, "", "", inMeta, `a="1"`},
			{"in headers", "", []string{"Traceparent", inHeader, "Tracestate", "a=1", "Tracestate", "b=2"}, inHeader, "a=1,b=2", "", ""},
			{"in both", `"traceparent":"` + inMeta + `"`, []string{"Traceparent", inHeader}, inHeader, "", inMeta, ""},
			{"malformed", `"traceparent":"` + inMeta[1:] + `","tracestate":"a=1"`, []string{"Traceparent", inHeader + "-x", "Tracestate", "a=1"}, "", "", "", ""},
			{"of no kind", `"traceparent":{"a":1},"tracestate":7`, []string{"Traceparent", ""}, "", "", "", ""},
			{"a state of no kind", `"traceparent":"` + inMeta + `","tracestate":[]`, []string{"Traceparent", inHeader, "Tracestate", "nonsense"}, inHeader, "", inMeta, ""},
			{"a state alone", `"tracestate":"a=1"`, []string{"Tracestate", "a=1"}, "", "", "", ""},
			{"twice", "", []string{"Traceparent", inHeader, "Traceparent", inHeader}, "", "", "", ""},
		} {
			if got := c.callWith("one__x", `{}`, test.meta, test.header...); got.text() != "x {}" {
				t.Fatalf("%s: %s", test.what, got.raw.body)
			}
			t.Run(test.what, func(t *testing.T) {
				wantTold(t, f.lastOf(t, "tools/call"), test.wantHeader, test.wantState, test.wantMeta, test.ms)
			})
		}
	})
}

// Baggage can hold anything. It goes to servers only whose admin has said so, in whichever place it came.
func TestBaggageGoesWhereAnAdminLetsIt(t *testing.T) {
	for _, era := range eras {
		f := startFake(t, era, tool("x"))
		r := newRig(t, f.record("one"), f.record("two", func(s *configstore.Server) { s.ForwardHeaders = []string{"baggage", "traceparent"} }))
		c := r.client(era, "/mcp", r.token("user", "alice"))
		for server, want := range map[string]string{"one": "", "two": "user=alice"} {
			c.callWith(server+"__x", `{}`, `"baggage":"user=alice"`, "Baggage", "user=alice", "Traceparent", "nonsense")
			m := f.lastOf(t, "tools/call")
			if m.Header.Get("Baggage") != want || m.metaText(t, "baggage") != want {
				t.Errorf("%s server %s got the baggage %q and %q, want %q", era, server, m.Header.Get("Baggage"), m.metaText(t, "baggage"), want)
			}
			wantTold(t, m, "", "", "", "")
		}
		c.callWith("two__x", `{}`, `"baggage":"user=`+strings.Repeat("x", trace.MaxBaggage)+`"`)
		if got := f.lastOf(t, "tools/call").metaText(t, "baggage"); got != "" {
			t.Errorf("%d bytes of baggage were passed on", len(got))
		}
	}
}

// TestOneTraceFromClientToServer: the client's span, ours for its request, ours for the request to the server, and what the server is told.
func TestOneTraceFromClientToServer(t *testing.T) {
	everyCombination(t, func(t *testing.T, clientEra, serverEra string) {
		f := startFake(t, serverEra, tool("x"))
		r, collector := tracedRig(t, nil, f.record("one"))
		c := r.client(clientEra, "/mcp", r.token("user", "alice"))
		c.callWith("one__x", `{}`, `"traceparent":"`+inMeta+`","tracestate":"a=1"`, "Traceparent", inHeader)

		inbound, outbound := collector.Named(t, server_, "tools/call one__x"), collector.Named(t, client_, "tools/call x")
		if inbound.Parent() != inMeta[3:52] || outbound.Parent() != inbound.ID() {
			t.Errorf("the parents are wrong:\n%s", tracetest.Describe(collector.All()))
		}
		if links := inbound.GetLinks(); len(links) != 1 || fmt.Sprintf("%x", links[0].GetSpanId()) != inHeader[36:52] {
			t.Errorf("the context of the HTTP request is not linked to: %v", links)
		}
		told := "00-" + outbound.ID() + "-01"
		wantTold(t, f.lastOf(t, "tools/call"), told, "a=1", told, "a=1")

		version := map[string]string{"modern": "2026-07-28", "legacy": "2025-11-25"}
		wantTexts(t, inbound, map[string]string{
			"mcp.method.name": "tools/call", "mcp.protocol.version": version[clientEra], "gen_ai.tool.name": "one__x", "gen_ai.operation.name": "execute_tool",
			"jsonrpc.request.id": fmt.Sprint(c.nextID), "network.transport": "tcp", "network.protocol.name": "http", "mcp_sidecar.server": "one", "mcp_sidecar.mode": "act",
			"mcp_sidecar.decision": "allowed", "mcp_sidecar.outcome": "ok", "error.type": "", "mcp.session.id": "",
		})
		wantTexts(t, outbound, map[string]string{
			"mcp.method.name": "tools/call", "mcp.protocol.version": version[serverEra], "gen_ai.tool.name": "x", "server.address": "127.0.0.1",
			"jsonrpc.request.id": string(f.lastOf(t, "tools/call").ID), "mcp_sidecar.server_era": serverEra, "error.type": "",
		})
		waitFor(t, func() bool {
			record := readFile(t, r.audit)
			return strings.Contains(record, `"trace_id":"`+inMeta[3:35]+`"`) && strings.Contains(record, `"request_id":"`+inbound.Texts()["mcp_sidecar.request_id"]+`"`)
		})
		wait := collector.Named(t, internal, "wait for list")
		if wait.Parent() != inbound.ID() {
			t.Error("the wait for the list is no part of the call")
		}
		fetched := collector.Named(t, internal, "fetch list")
		if len(fetched.GetLinks()) != 1 || fetched.Parent() != "" {
			t.Errorf("the fetch, which is on everybody's behalf, has the parent %q and links %v", fetched.Parent(), fetched.GetLinks())
		}
		list := collector.Named(t, client_, "tools/list")
		wantTold(t, f.lastOf(t, "tools/list"), "00-"+list.ID()+"-01", "", "00-"+list.ID()+"-01", "")
	})
}

func wantTexts(t *testing.T, s tracetest.Span, want map[string]string) {
	t.Helper()
	got := s.Texts()
	for key, value := range want {
		if got[key] != value {
			t.Errorf("%s of %s is %q, want %q", key, s.GetName(), got[key], value)
		}
	}
}

// Without W3C trace context among the propagators spans are made, and nobody is told of them; what the client says is passed on as it is.
func TestSpansThatAreNotTold(t *testing.T) {
	f := startFake(t, "modern", tool("x"))
	r, collector := tracedRig(t, []string{"OTEL_PROPAGATORS=none"}, f.record("one"))
	c := r.client("modern", "/mcp", r.token("user", "alice"))
	c.callWith("one__x", `{}`, `"traceparent":"`+inMeta+`"`, "Traceparent", inHeader)
	wantTold(t, f.lastOf(t, "tools/call"), inHeader, "", inMeta, "")
	if s := collector.Named(t, server_, "tools/call one__x"); s.Parent() != "" || len(s.GetLinks()) != 0 {
		t.Errorf("it is under %q and linked to %v", s.Parent(), s.GetLinks())
	}
}

// What the client's sampler has left out is left out here, and at the server.
func TestTheClientDecidesWhatIsRecorded(t *testing.T) {
	f := startFake(t, "modern", tool("x"))
	r, collector := tracedRig(t, nil, f.record("one"))
	c := r.client("modern", "/mcp", r.token("user", "alice"))
	c.callWith("one__x", `{}`, `"traceparent":"`+inMeta[:53]+`00"`)
	told := f.lastOf(t, "tools/call").metaText(t, "traceparent")
	if !strings.HasPrefix(told, inMeta[:36]) || !strings.HasSuffix(told, "-00") || strings.Contains(told, inMeta[36:52]) {
		t.Errorf("the server was told %q", told)
	}
	c.callWith("one__x", `{}`, `"traceparent":"`+inHeader+`"`)
	collector.Named(t, server_, "tools/call one__x")
	for _, s := range collector.All() {
		if strings.HasPrefix(s.ID(), inMeta[3:35]) {
			t.Errorf("recorded: %s", s.GetName())
		}
	}
}

func TestWhatASpanSaysOfAFailure(t *testing.T) {
	f := startFake(t, "modern", tool("x"), tool("denied"))
	down := startFake(t, "modern", tool("x"))
	r, collector := tracedRig(t, nil, f.record("one", func(s *configstore.Server) { s.Rules.ToolDenyList = []string{"denied"} }), down.record("down"))
	c := r.client("modern", "/mcp", r.token("user", "alice"))
	c.list()
	down.Server.Close()
	for _, test := range []struct {
		tool, result, span string
		want, outbound     map[string]string
	}{
		{"one__x", `"result":{"resultType":"complete","content":[],"isError":true}`, "tools/call one__x",
			map[string]string{"error.type": "tool_error", "mcp_sidecar.outcome": "tool_error"}, map[string]string{"error.type": "tool_error"}},
		{"one__x", `"error":{"code":-32001,"message":"canary-message"}`, "tools/call one__x",
			map[string]string{"error.type": "-32001", "rpc.response.status_code": "-32001", "mcp_sidecar.outcome": "error"}, map[string]string{"error.type": "-32001"}},
		{"down__x", "", "tools/call down__x", map[string]string{"error.type": "unreachable", "mcp_sidecar.server": "down"}, map[string]string{"error.type": "unreachable"}},
		{"one__denied", "", "tools/call one__denied", map[string]string{"error.type": "-32602", "mcp_sidecar.decision": "denied", "mcp_sidecar.outcome": "denied"}, nil},
		{"one__canary-tool", "", "tools/call", map[string]string{"error.type": "-32602", "mcp_sidecar.decision": "denied", "gen_ai.tool.name": ""}, nil},
	} {
		f.call = func(w http.ResponseWriter, _ *http.Request, m seen) {
			fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,%s}`, m.ID, test.result)
		}
		c.callWith(test.tool, `{"a":"canary-argument"}`, "")
		id := fmt.Sprint(c.nextID)
		inbound := collector.Wait(t, "that of "+test.tool, func(s tracetest.Span) bool {
			return s.GetKind() == server_ && s.GetName() == test.span && s.Texts()["jsonrpc.request.id"] == id
		})
		wantTexts(t, inbound, test.want)
		if inbound.GetStatus().GetCode() != tracepb.Status_STATUS_CODE_ERROR || inbound.GetStatus().GetMessage() != "" {
			t.Errorf("the status of %s is %v", test.tool, inbound.GetStatus())
		}
		if test.outbound != nil {
			wantTexts(t, collector.Wait(t, "under that of "+test.tool, func(s tracetest.Span) bool { return s.GetKind() == client_ && s.Parent() == inbound.ID() }), test.outbound)
		}
	}
	wantNoCanary(t, collector)
}

func wantNoCanary(t *testing.T, collector *tracetest.Collector) {
	t.Helper()
	for _, s := range collector.All() {
		if text := fmt.Sprint(s); strings.Contains(text, "canary") {
			t.Errorf("a span says too much: %s", text)
		}
	}
}

// TestSpansKeepSecrets: of arguments, results, tokens, users, sessions, resources and baggage nothing is in a trace, nor anything that a client makes up.
func TestSpansKeepSecrets(t *testing.T) {
	everyCombination(t, func(t *testing.T, clientEra, serverEra string) {
		s := &stock{prompts: []string{prompt("p")}, resources: []string{resource("file:///canary-file")}}
		f := startStocked(t, serverEra, s)
		f.setTools(tool("x"))
		r, collector := tracedRig(t, nil, f.record("one", func(s *configstore.Server) {
			s.AuthType, s.APIKeyHeader, s.APIKeyValue = configstore.AuthAPIKey, "X-Key", secret.New("canary-key")
		}))
		c := r.client(clientEra, "/mcp", r.token("user", "canary-user"))
		c.callWith("one__x", `{"a":"canary-argument"}`, `"x/y":"canary-meta","baggage":"a=canary-baggage"`, "Baggage", "a=canary-baggage", "User-Agent", "canary-agent")
		c.read("file:///canary-file")
		c.get("one__p")
		c.get("one__canary")
		c.ask("canary/method", "", `"canary":1`, "")
		for _, name := range []string{"tools/call one__x", "prompts/get one__p", "prompts/get", "resources/read", "other"} {
			collector.Named(t, server_, name)
		}
		wantTexts(t, collector.Named(t, client_, "prompts/get p"), map[string]string{"gen_ai.prompt.name": "p", "gen_ai.tool.name": ""})
		wantNoCanary(t, collector)
		if c.session != "" && strings.Contains(fmt.Sprint(collector.All()), c.session) {
			t.Error("a session's id is in a span")
		}
	})
}

// TestAParkedCallIsOneSpan of the request to the server, over the client's two requests.
func TestAParkedCallIsOneSpan(t *testing.T) {
	a := startAsker(t, "legacy")
	r, collector := tracedRig(t, nil, a.record("one"))
	c := r.clientWith("modern", "/mcp", r.token("user", "alice"), ableToAll)
	in := c.again(askRoots, "").required(t)
	first := collector.Named(t, server_, "tools/call one__ask")
	c.again(askRoots, with(in.RequestState, map[string]string{"question": `{"roots":[]}`}))
	outbound := collector.Named(t, client_, "tools/call ask")
	second := collector.Wait(t, "that of the retry", func(s tracetest.Span) bool {
		return s.GetKind() == server_ && s.GetName() == first.GetName() && s.ID() != first.ID()
	})
	if outbound.Parent() != first.ID() || len(second.GetLinks()) != 1 || fmt.Sprintf("%x", second.GetLinks()[0].GetSpanId()) != outbound.ID()[33:] {
		t.Errorf("they do not hang together:\n%s", tracetest.Describe(collector.All()))
	}
	var events []string
	for _, e := range outbound.GetEvents() {
		events = append(events, e.GetName())
	}
	if got := strings.Join(events, " "); got != "parked resumed" {
		t.Errorf("the events are %q", got)
	}
}

// TestAParkedCallThatIsGivenUp ends its span.
func TestAParkedCallThatIsGivenUp(t *testing.T) {
	a := startAsker(t, "legacy")
	r, collector := tracedRigWith(t, nil, func(c *proxy.Config) { c.Asking.Time = shortly }, a.record("one"))
	r.clientWith("modern", "/mcp", r.token("user", "alice"), ableToAll).again(askRoots, "").required(t)
	wantTexts(t, collector.Named(t, client_, "tools/call ask"), map[string]string{"error.type": "canceled"})
}

// TestExtensionsInSpans: what a server asks and tells in methods that nobody knows is not repeated.
func TestExtensionsInSpans(t *testing.T) {
	a := startAsker(t, "legacy")
	r, collector := tracedRig(t, nil, a.record("one", exposingAll))
	v := r.clientWith("legacy", "/mcp/one", r.token("user", "alice"), `{}`).converse(`{"ask":{"method":"acme/canary","params":{"x":"canary"}}}`)
	v.c.respond(v.question().ID, `{"y":"canary"}`)
	v.outcome()
	events := collector.Named(t, server_, "tools/call ask").GetEvents()
	if len(events) != 1 || events[0].GetAttributes()[0].GetValue().GetStringValue() != "other" {
		t.Errorf("the events are %v", events)
	}
	wantNoCanary(t, collector)
}

// A person who is asked is an event of the call, and so is each request to a modern server by which it goes on a span.
func TestAskingAPersonIsAnEvent(t *testing.T) {
	for _, serverEra := range eras {
		t.Run(serverEra+" server", func(t *testing.T) {
			a := startAsker(t, serverEra)
			r, collector := tracedRig(t, nil, a.record("one"))
			c := r.clientWith("legacy", "/mcp", r.token("user", "alice"), ableToAll)
			v := c.converse(askRoots)
			q := v.question()
			c.respond(q.ID, `{"roots":[]}`)
			v.outcome()
			inbound := collector.Named(t, server_, "tools/call one__ask")
			if events := inbound.GetEvents(); len(events) != 1 || events[0].GetName() != "asked" {
				t.Errorf("the events are %v", events)
			}
			collector.Named(t, client_, "tools/call ask")
			want := map[string]int{"legacy": 1, "modern": 2}[serverEra]
			got := 0
			for _, s := range collector.All() {
				if s.GetName() == "tools/call ask" {
					got++
				}
			}
			if got != want {
				t.Errorf("%d requests to the server are spans, want %d", got, want)
			}
		})
	}
}

// A credential that is waited for, or cannot be had, is a span.
func TestACredentialThatIsWaitedFor(t *testing.T) {
	f := startFake(t, "modern", tool("x"))
	g := &slowGrants{fakeGrants: fakeGrants{tokens: map[string][]string{"alice": {"canary-token"}}}}
	r, collector := tracedRigWith(t, nil, func(c *proxy.Config) { c.Grants = g }, f.record("one", oauth))
	r.client("modern", "/mcp", r.token("user", "alice")).call("one__x", `{}`)
	waited := collector.Named(t, internal, "credential")
	if inbound := collector.Named(t, server_, "tools/call one__x"); waited.GetTraceId() == nil || fmt.Sprintf("%x", waited.GetTraceId()) != inbound.ID()[:32] {
		t.Errorf("it is no part of the call:\n%s", tracetest.Describe(collector.All()))
	}
	r.client("modern", "/mcp", r.token("user", "bob")).call("one__x", `{}`)
	collector.Wait(t, "that of an account that is missing", func(s tracetest.Span) bool {
		return s.GetName() == "credential" && s.Texts()["error.type"] == "sign_in"
	})
	wantNoCanary(t, collector)
}

// slowGrants takes longer than what is not worth telling.
type slowGrants struct{ fakeGrants }

func (g *slowGrants) Token(ctx context.Context, server *configstore.Server, user string, refused secret.Value) (secret.Value, error) {
	time.Sleep(2 * time.Millisecond)
	return g.fakeGrants.Token(ctx, server, user, refused)
}

// A collector that takes nothing is none of a call's business.
func TestACollectorThatIsDown(t *testing.T) {
	f := startFake(t, "modern", tool("x"))
	r, collector := tracedRig(t, []string{"OTEL_BSP_MAX_QUEUE_SIZE=1", "OTEL_EXPORTER_OTLP_TIMEOUT=1"}, f.record("one"))
	collector.Server.Close()
	c := r.client("modern", "/mcp", r.token("user", "alice"))
	for range 20 {
		if got := c.call("one__x", `{}`); got.text() != "x {}" {
			t.Fatal(got.raw.body)
		}
	}
}
