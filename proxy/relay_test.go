package proxy_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"mcpsidecar/configstore"
	"mcpsidecar/policy"
)

var eras = []string{"modern", "legacy"}

// everyCombination runs a test for each era of client and server.
func everyCombination(t *testing.T, test func(t *testing.T, clientEra, serverEra string)) {
	for _, c := range eras {
		for _, s := range eras {
			t.Run(c+" client, "+s+" server", func(t *testing.T) { test(t, c, s) })
		}
	}
}

func TestListAndCallInEveryCombination(t *testing.T) {
	everyCombination(t, func(t *testing.T, clientEra, serverEra string) {
		f := startFake(t, serverEra, tool("zeta"), tool("alpha"))
		r := newRig(t, f.record("one"))
		token := r.token("user", "alice")
		all, single := r.client(clientEra, "/mcp", token), r.client(clientEra, "/mcp/one", token)
		if got, want := all.list(), []string{"one__alpha", "one__zeta"}; !slices.Equal(got, want) {
			t.Errorf("/mcp lists %v, want %v", got, want)
		}
		if got, want := single.list(), []string{"alpha", "zeta"}; !slices.Equal(got, want) {
			t.Errorf("/mcp/one lists %v, want %v", got, want)
		}
		for name, c := range map[string]*client{"one__alpha": all, "alpha": single} {
			got := c.call(name, `{"x": [1, 2.50]}`)
			if got.text() != `alpha {"x": [1, 2.50]}` || string(got.Extra) != `{"kept":[1, 2]}` {
				t.Errorf("calling %s: %s", name, got.raw.body)
			}
			if want := map[string]string{"modern": "complete"}[clientEra]; got.ResultType != want {
				t.Errorf("calling %s: resultType %q, want %q", name, got.ResultType, want)
			}
		}
		for _, m := range f.seenOf("tools/call") {
			if m.Params.Name != "alpha" {
				t.Errorf("the server was asked for %q", m.Params.Name)
			}
			if got := m.Header.Get("Mcp-Name"); (got == "alpha") != (serverEra == "modern") {
				t.Errorf("Mcp-Name towards a %s server is %q", serverEra, got)
			}
		}
	})
}

func TestProgressAndLogsAreStreamedAsTheyCome(t *testing.T) {
	everyCombination(t, func(t *testing.T, clientEra, serverEra string) {
		f := startFake(t, serverEra, tool("slow"))
		next := make(chan struct{})
		f.call = func(w http.ResponseWriter, _ *http.Request, m seen) {
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprintf(w, "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":%s,\"progress\":1}}\n\n", m.Params.Meta.Token)
			fmt.Fprint(w, "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"level\":\"error\",\"data\":\"x\"}}\n\n")
			w.(http.Flusher).Flush()
			<-next
			io.WriteString(w, "data: ")
			f.echo(w, m)
			io.WriteString(w, "\n\n")
		}
		r := newRig(t, f.record("one"))
		c := r.client(clientEra, "/mcp", r.token("user", "alice"))
		meta := `"progressToken":"mine"`
		if clientEra == "modern" {
			meta += `,"io.modelcontextprotocol/logLevel":"debug"`
		}
		response, err := http.DefaultClient.Do(c.asked("tools/call", "one__slow", `"name":"one__slow"`, meta))
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		lines := bufio.NewReader(response.Body)
		event := func() (data string) {
			for data == "" {
				line, err := lines.ReadString('\n')
				if err != nil {
					t.Fatal(err)
				}
				data, _ = strings.CutPrefix(strings.TrimSpace(line), "data: ")
				if !strings.HasPrefix(line, "data: ") {
					data = ""
				}
			}
			return data
		}
		if got := event(); !strings.Contains(got, `"progressToken":"mine"`) || !strings.Contains(got, "notifications/progress") {
			t.Errorf("first event: %s", got)
		}
		if got := event(); !strings.Contains(got, "notifications/message") {
			t.Errorf("second event: %s", got)
		}
		close(next)
		if got := event(); !strings.Contains(got, `"result":`) {
			t.Errorf("last event: %s", got)
		}
	})
}

func TestNothingIsStreamedThatWasNotAskedFor(t *testing.T) {
	f := startFake(t, "modern", tool("slow"))
	f.call = func(w http.ResponseWriter, _ *http.Request, m seen) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":77,\"progress\":1}}\n\n")
		fmt.Fprint(w, "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"level\":\"debug\",\"data\":\"x\"}}\n\n")
		io.WriteString(w, "data: ")
		f.echo(w, m)
		io.WriteString(w, "\n\n")
	}
	r := newRig(t, f.record("one"))
	c := r.client("modern", "/mcp", r.token("user", "alice"))
	got := c.call("one__slow", `{}`)
	if len(got.raw.events) != 0 || got.text() != "slow {}" {
		t.Errorf("answer: %s", got.raw.body)
	}
}

// A modern client cancels by going away, a legacy one by saying so: it may come back for the answer.
func TestCancellationReachesTheServer(t *testing.T) {
	everyCombination(t, func(t *testing.T, clientEra, serverEra string) {
		f := startFake(t, serverEra, tool("slow"))
		started, gone := make(chan struct{}), make(chan struct{})
		f.call = func(_ http.ResponseWriter, r *http.Request, _ seen) {
			close(started)
			<-r.Context().Done()
			close(gone)
		}
		r := newRig(t, f.record("one"))
		c := r.client(clientEra, "/mcp", r.token("user", "alice"))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan struct{})
		request := c.asked("tools/call", "one__slow", `"name":"one__slow"`, "").WithContext(ctx)
		go func() {
			defer close(done)
			response, err := http.DefaultClient.Do(request)
			if err == nil {
				response.Body.Close()
			}
		}()
		<-started
		if clientEra == "modern" {
			cancel()
		} else {
			c.post(fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":%d}}`, c.nextID))
		}
		<-gone
		<-done
		if serverEra == "legacy" {
			waitFor(t, func() bool { return len(f.seenOf("notifications/cancelled")) == 1 })
		}
	})
}

func TestLegacyClientCancelsByID(t *testing.T) {
	f := startFake(t, "legacy", tool("slow"))
	started, gone := make(chan struct{}), make(chan struct{})
	f.call = func(_ http.ResponseWriter, r *http.Request, _ seen) {
		close(started)
		<-r.Context().Done()
		close(gone)
	}
	r := newRig(t, f.record("one"))
	c := r.client("legacy", "/mcp", r.token("user", "alice"))
	request := c.asked("tools/call", "", `"name":"one__slow"`, "")
	ended := make(chan answer, 1)
	go func() { ended <- c.do(request) }()
	<-started
	if got := c.post(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":99}}`); got.status != http.StatusAccepted {
		t.Fatalf("cancelling an unknown id: %d", got.status)
	}
	c.post(fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":%d}}`, c.nextID))
	<-gone
	if got := <-ended; len(got.events) != 0 || strings.Contains(got.body, "result") {
		t.Errorf("a cancelled request was answered: %s", got.body)
	}
}

// waitFor polls until something holds.
func waitFor(t *testing.T, is func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !is() {
		if time.Now().After(deadline) {
			t.Fatal("it did not happen")
		}
		time.Sleep(time.Millisecond)
	}
}

// TestAnswersReachWhoAsked is M-01: every client counts its ids from 1.
func TestAnswersReachWhoAsked(t *testing.T) {
	everyCombination(t, func(t *testing.T, clientEra, serverEra string) {
		f := startFake(t, serverEra, tool("who"))
		r := newRig(t, f.record("one"))
		var wg sync.WaitGroup
		for i := range 20 {
			c := r.client(clientEra, "/mcp", r.token("user", fmt.Sprintf("user%d", i)))
			wg.Go(func() {
				for n := range 20 {
					want := fmt.Sprintf(`who {"u":"%d-%d"}`, i, n)
					if got := c.call("one__who", fmt.Sprintf(`{"u":"%d-%d"}`, i, n)); got.text() != want {
						t.Errorf("got %s, want %s", got.raw.body, want)
					}
				}
			})
		}
		wg.Wait()
	})
}

func TestWhatServersSayInErrorIsRelayed(t *testing.T) {
	everyCombination(t, func(t *testing.T, clientEra, serverEra string) {
		f := startFake(t, serverEra, tool("bad"))
		f.call = func(w http.ResponseWriter, _ *http.Request, m seen) {
			fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"error":{"code":-31999,"message":"no","data":{"deep":[true]}}}`, m.ID)
		}
		r := newRig(t, f.record("one"))
		m := r.client(clientEra, "/mcp", r.token("user", "alice")).ask("tools/call", "one__bad", `"name":"one__bad"`, "").last(t)
		if m.Error == nil || m.Error.Code != -31999 || string(m.Error.Data) != `{"deep":[true]}` {
			t.Errorf("error: %+v", m.Error)
		}
	})
}

// TestNoHeaderOfTheAgentLeaks is M-10: what goes to a server is built from nothing.
func TestNoHeaderOfTheAgentLeaks(t *testing.T) {
	f := startFake(t, "modern", tool("x"))
	r := newRig(t, f.record("one", func(s *configstore.Server) { s.ForwardHeaders = []string{"x-tenant"} }))
	secrets := []string{"Cookie", "session=1", "X-Api-Key", "k", "X-Forwarded-For", "1.2.3.4", "Forwarded", "for=1", "Proxy-Authorization", "p", "X-User", "u", "Sidecar-Mode", "act", "X-Tenant", "t1"}
	c := r.client("modern", "/mcp", r.token("user", "alice"), secrets...)
	c.call("one__x", `{}`)
	sent := f.seenOf("tools/call")[0].Header
	for i := 0; i < len(secrets)-2; i += 2 {
		if sent.Get(secrets[i]) != "" {
			t.Errorf("%s went along", secrets[i])
		}
	}
	if sent.Get("Authorization") != "" {
		t.Error("the caller's token went along")
	}
	if sent.Get("X-Tenant") != "t1" {
		t.Error("a header on the allow list did not go along")
	}
}

func TestStoredCredentialsGoToTheirServerOnly(t *testing.T) {
	one, two := startFake(t, "legacy", tool("x")), startFake(t, "modern", tool("x"))
	r := newRig(t,
		one.record("one", func(s *configstore.Server) {
			s.AuthType, s.APIKeyHeader, s.APIKeyValue = configstore.AuthAPIKey, "X-Key", newSecret("k-1")
		}),
		two.record("two", func(s *configstore.Server) {
			s.AuthType, s.CustomHeaders = configstore.AuthCustomHeaders, secrets("x-a", "a-2", "X-B", "b-2")
		}))
	c := r.client("modern", "/mcp", r.token("user", "alice"), "X-A", "from the agent")
	c.call("one__x", `{}`)
	c.call("two__x", `{}`)
	for _, m := range one.requests {
		if m.Header.Get("X-Key") != "k-1" || m.Header.Get("X-A") != "" {
			t.Errorf("headers to one: %v", m.Header)
		}
	}
	for _, m := range two.requests {
		if m.Header.Get("X-A") != "a-2" || m.Header.Get("X-B") != "b-2" || m.Header.Get("X-Key") != "" {
			t.Errorf("headers to two: %v", m.Header)
		}
	}
}

func TestModelIntentIsShownTakenOffAndRecorded(t *testing.T) {
	f := startFake(t, "legacy", `{"name":"find","inputSchema":{"type":"object","properties":{"q":{"type":"string"}},"required":["q"],"additionalProperties":false}}`)
	r := newRig(t, f.record("one", func(s *configstore.Server) { s.ModelIntent = true }))
	c := r.client("modern", "/mcp", r.token("user", "alice"))
	if body := c.ask("tools/list", "", "", "").body; !strings.Contains(body, "model_intent") {
		t.Errorf("the list shows no intent: %s", body)
	}
	for _, arguments := range []string{
		`{"model_intent":"finding cats","properties":{"q":"cats"}}`,
		`{"model_intent":"finding cats","q":"cats"}`,
	} {
		if got := c.call("one__find", arguments); got.text() != `find {"q":"cats"}` {
			t.Errorf("%s: the server saw %s", arguments, got.raw.body)
		}
	}
	waitFor(t, func() bool { return strings.Count(readFile(t, r.audit), `"finding cats"`) == 2 })
	for _, m := range f.requests {
		if strings.Contains(m.Body, "intent") {
			t.Errorf("the intent went to the server: %s", m.Body)
		}
	}
}

func TestMirroredArgumentsAreHeldAgainstTheBodyAndRegenerated(t *testing.T) {
	f := startFake(t, "modern", `{"name":"sql","inputSchema":{"type":"object","properties":{"region":{"type":"string","x-mcp-header":"Region"}}}}`)
	r := newRig(t, f.record("one"))
	token := r.token("user", "alice")
	c := r.client("modern", "/mcp", token)
	if got := c.call("one__sql", `{"region":"eu"}`); got.code != -32020 {
		t.Errorf("without the header: %s", got.raw.body)
	}
	if got := r.client("modern", "/mcp", token, "Mcp-Param-Region", "us").call("one__sql", `{"region":"eu"}`); got.code != -32020 || got.raw.status != 400 {
		t.Errorf("with another value: %d %s", got.raw.status, got.raw.body)
	}
	if n := len(f.seenOf("tools/call")); n != 0 {
		t.Fatalf("%d calls reached the server", n)
	}
	r.client("modern", "/mcp", token, "Mcp-Param-Region", "eu").call("one__sql", `{"region":"eu"}`)
	r.client("legacy", "/mcp", token).call("one__sql", `{"region":"eu"}`)
	sent := f.seenOf("tools/call")
	if len(sent) != 2 || sent[0].Header.Get("Mcp-Param-Region") != "eu" || sent[1].Header.Get("Mcp-Param-Region") != "eu" {
		t.Errorf("sent: %+v", sent)
	}
}

// TestPrettyPrintedResultsSurviveAStream: a message over several lines is several data lines of one event.
func TestPrettyPrintedResultsSurviveAStream(t *testing.T) {
	f := startFake(t, "legacy", tool("x"))
	f.call = func(w http.ResponseWriter, _ *http.Request, m seen) {
		fmt.Fprintf(w, "{\n  \"jsonrpc\": \"2.0\",\n  \"id\": %s,\n  \"result\": {\n    \"content\": []\n  }\n}\n", m.ID)
	}
	r := newRig(t, f.record("one"))
	c := r.client("legacy", "/mcp", r.token("user", "alice"), "Accept", "text/event-stream")
	a := c.ask("tools/call", "", `"name":"one__x"`, "")
	if !json.Valid([]byte(strings.Join(a.events, "\n"))) {
		t.Errorf("events: %q", a.body)
	}
}

// TestEventsOfEverySizeAreWhole: small ones are put together before they are written, from some size on they are not.
func TestEventsOfEverySizeAreWhole(t *testing.T) {
	f := startFake(t, "legacy", tool("x"))
	f.call = func(w http.ResponseWriter, _ *http.Request, m seen) {
		size, _ := strconv.Atoi(m.Body[strings.Index(m.Body, `"size":`)+len(`"size":`):][:3])
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{"content":[{"type":"text","text":"%s"}]}}`, m.ID, strings.Repeat("é", size/2)+strings.Repeat("x", size%2))
	}
	r := newRig(t, f.record("one"))
	for _, era := range eras {
		c := r.client(era, "/mcp", r.token("user", "alice"), "Accept", "text/event-stream")
		for size := 450; size < 800; size++ {
			got := c.call("one__x", fmt.Sprintf(`{"size":%d}`, size))
			if len(got.text()) != size || !strings.HasSuffix(got.raw.body, "}\n\n") || strings.Count(got.raw.body, "data: {") != 1 {
				t.Fatalf("%s, %d bytes: %q", era, size, got.raw.body)
			}
		}
	}
}

func TestPolicyIsAskedOfListAndCallAlike(t *testing.T) {
	f := startFake(t, "legacy", tool("read", `"annotations":{"readOnlyHint":true}`), tool("write"), tool("drop"))
	for name, test := range map[string]struct {
		rules  func(*policy.Rules)
		header []string
		want   []string
	}{
		"everything":              {func(*policy.Rules) {}, nil, []string{"drop", "read", "write"}},
		"allow list":              {func(r *policy.Rules) { r.ToolAllowList = []string{"read", "write"} }, nil, []string{"read", "write"}},
		"deny beats allow":        {func(r *policy.Rules) { r.ToolAllowList, r.ToolDenyList = []string{"*"}, []string{"d*"} }, nil, []string{"read", "write"}},
		"plan mode without leave": {func(*policy.Rules) {}, []string{"Sidecar-Mode", "plan"}, nil},
		"plan mode with leave":    {func(r *policy.Rules) { r.AllowInPlanMode = true }, []string{"Sidecar-Mode", "plan"}, []string{"drop", "read", "write"}},
		"plan tools":              {func(r *policy.Rules) { r.AllowInPlanMode, r.PlanTools = true, []string{"wr*"} }, []string{"Sidecar-Mode", "plan"}, []string{"write"}},
		"plan read only":          {func(r *policy.Rules) { r.AllowInPlanMode, r.PlanReadOnly = true, true }, []string{"Sidecar-Mode", "plan"}, []string{"read"}},
		"a child in plan mode":    {func(r *policy.Rules) { r.AllowInPlanMode = true }, []string{"Sidecar-Mode", "plan", "Sidecar-Agent", "subagent"}, nil},
		"off by default":          {func(r *policy.Rules) { r.Availability = policy.DefaultOff }, nil, nil},
		"selected":                {func(r *policy.Rules) { r.Availability = policy.DefaultOff }, []string{"Sidecar-Servers", "one"}, []string{"drop", "read", "write"}},
		"deselected":              {func(*policy.Rules) {}, []string{"Sidecar-Servers", ""}, nil},
		"forced":                  {func(r *policy.Rules) { r.Availability = policy.ForceOn }, []string{"Sidecar-Servers", ""}, []string{"drop", "read", "write"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, f.record("one", func(s *configstore.Server) { test.rules(&s.Rules) }))
			for _, era := range eras {
				c := r.client(era, "/mcp", r.token("user", "alice"), test.header...)
				listed := c.list()
				for i := range listed {
					listed[i] = strings.TrimPrefix(listed[i], "one__")
				}
				if !slices.Equal(listed, test.want) {
					t.Errorf("%s: listed %v, want %v", era, listed, test.want)
				}
				for _, name := range []string{"read", "write", "drop"} {
					before := len(f.seenOf("tools/call"))
					got := c.call("one__"+name, `{}`)
					reached := len(f.seenOf("tools/call")) > before
					if allowed := slices.Contains(test.want, name); reached != allowed || (got.code == 0) != allowed {
						t.Errorf("%s: calling %s: reached %v, allowed %v: %s", era, name, reached, allowed, got.raw.body)
					}
				}
			}
		})
	}
}
