package proxy_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mcpsidecar/configstore"
	"mcpsidecar/policy"
	"mcpsidecar/proxy"
	"mcpsidecar/proxy/upstream"
)

// metaOf reads what a list says about servers that are missing.
func metaOf(t *testing.T, c *client) (tools int, unavailable, stale []string) {
	t.Helper()
	var result struct {
		Tools []json.RawMessage `json:"tools"`
		Meta  struct {
			Unavailable []string `json:"mcp-sidecar/unavailable"`
			Stale       []string `json:"mcp-sidecar/stale"`
		} `json:"_meta"`
	}
	if err := json.Unmarshal(c.ask("tools/list", "", "", "").last(t).Result, &result); err != nil {
		t.Fatal(err)
	}
	return len(result.Tools), result.Meta.Unavailable, result.Meta.Stale
}

func TestAServerThatIsDownBreaksNothing(t *testing.T) {
	up, down := startFake(t, "legacy", tool("x")), startFake(t, "legacy", tool("x"))
	down.CloseClientConnections()
	down.Server.Close()
	r := newRig(t, up.record("up"), down.record("down"))
	c := r.client("modern", "/mcp", r.token("user", "alice"))
	if tools, unavailable, _ := metaOf(t, c); tools != 1 || !slices.Equal(unavailable, []string{"down"}) {
		t.Errorf("%d tools, unavailable %v", tools, unavailable)
	}
	if got := c.call("up__x", `{}`); got.text() != "x {}" {
		t.Errorf("the other one: %s", got.raw.body)
	}
	got := c.call("down__x", `{}`)
	if !got.IsError || !strings.Contains(got.text(), "down") || strings.Contains(got.text(), "127.0.0.1") {
		t.Errorf("calling it: %s", got.raw.body)
	}
}

// TestAServerThatHangsDelaysOnlyTheFirstList is U-01.
func TestAServerThatHangsDelaysOnlyTheFirstList(t *testing.T) {
	up, hung := startFake(t, "legacy", tool("x")), startFake(t, "legacy")
	asked := make(chan struct{}, 16)
	hung.before = func(_ http.ResponseWriter, r *http.Request, _ seen) bool {
		asked <- struct{}{}
		<-r.Context().Done()
		return true
	}
	r := newRigWith(t, func(c *proxy.Config) { c.Waiting.List = 50 * time.Millisecond }, up.record("up"), hung.record("hung"))
	token := r.token("user", "alice")
	alone := r.client("modern", "/mcp/up", token)
	waitFor(t, func() bool { tools, _, _ := metaOf(t, alone); return tools == 1 }) // however long that takes
	c := r.client("modern", "/mcp", token)
	for range 5 {
		if tools, unavailable, _ := metaOf(t, c); tools != 1 || !slices.Equal(unavailable, []string{"hung"}) {
			t.Errorf("%d tools, unavailable %v", tools, unavailable)
		}
	}
	if n := len(asked); n > 2 {
		t.Errorf("the server that hangs was asked %d times for 5 lists", n)
	}
}

// TestAServerThatHangsDelaysNobodyTwice: while the first to ask is still waiting, whoever asks when the deadline is over does not begin to wait anew.
func TestAServerThatHangsDelaysNobodyTwice(t *testing.T) {
	hung := startFake(t, "legacy")
	asked, over := make(chan struct{}, 16), make(chan struct{})
	hung.before = func(http.ResponseWriter, *http.Request, seen) bool {
		asked <- struct{}{}
		<-over
		panic(http.ErrAbortHandler)
	}
	clock := &fakeClock{at: time.Now()}
	r := newRigWith(t, func(c *proxy.Config) { c.Now = clock.now }, hung.record("hung"))
	token := r.token("user", "alice")
	first, second := r.client("modern", "/mcp", token), r.client("modern", "/mcp", token)
	done := make(chan answer, 1)
	go func() { done <- first.ask("tools/list", "", "", "") }()
	<-asked
	clock.add(patience) // which is what the first waits
	if _, unavailable, _ := metaOf(t, second); !slices.Equal(unavailable, []string{"hung"}) {
		t.Errorf("unavailable: %v", unavailable)
	}
	select {
	case <-done:
		t.Error("the second waited as long as the first")
	default:
	}
	close(over)
	<-done
}

func TestTheLastGoodListIsShownAndMarked(t *testing.T) {
	f := startFake(t, "legacy", tool("x"))
	clock := &fakeClock{at: time.Now()}
	r := newRigWith(t, func(c *proxy.Config) { c.Now = clock.now }, f.record("one"))
	c := r.client("modern", "/mcp", r.token("user", "alice"))
	c.list()
	broken := true
	f.before = func(w http.ResponseWriter, _ *http.Request, m seen) bool {
		if broken && m.Method == "tools/list" {
			w.WriteHeader(http.StatusInternalServerError)
			return true
		}
		return false
	}
	clock.add(2 * time.Minute)
	if tools, unavailable, stale := metaOf(t, c); tools != 1 || unavailable != nil || !slices.Equal(stale, []string{"one"}) {
		t.Errorf("%d tools, unavailable %v, stale %v", tools, unavailable, stale)
	}
	if got := c.call("one__x", `{}`); got.text() != "x {}" {
		t.Errorf("calling it: %s", got.raw.body)
	}
	broken = false
	f.setTools(tool("x"), tool("y"))
	clock.add(2 * time.Minute)
	if tools, _, stale := metaOf(t, c); tools != 2 || stale != nil {
		t.Errorf("when it is back: %d tools, stale %v", tools, stale)
	}
}

type fakeClock struct {
	mu sync.Mutex
	at time.Time
}

func (c *fakeClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *fakeClock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// TestAToolThatAppearsIsFound: naming it says no and has the list fetched, without a word about it.
func TestAToolThatAppearsIsFound(t *testing.T) {
	f := startFake(t, "legacy", tool("x"))
	r := newRig(t, f.record("one", func(s *configstore.Server) { s.Rules.ToolPinning = policy.PinOff }))
	c := r.client("modern", "/mcp", r.token("user", "alice"))
	c.list()
	f.setTools(tool("x"), tool("new"))
	if got := c.call("one__new", `{}`); got.code != -32602 {
		t.Fatalf("at first: %s", got.raw.body)
	}
	waitFor(t, func() bool { return c.call("one__new", `{}`).code == 0 })
}

// TestARugPull is T-02: a definition that is not the approved one any more.
func TestARugPull(t *testing.T) {
	for _, test := range []struct {
		pinning  policy.Pinning
		mode     string
		callable bool
	}{
		{policy.PinOff, "act", true}, {policy.PinWarn, "act", true}, {policy.PinBlock, "act", false},
		{policy.PinOff, "plan", true}, {policy.PinWarn, "plan", false}, {policy.PinBlock, "plan", false},
	} {
		t.Run(string(test.pinning)+" "+test.mode, func(t *testing.T) {
			f := startFake(t, "legacy", tool("x"))
			clock := &fakeClock{at: time.Now()}
			r := newRigWith(t, func(c *proxy.Config) { c.Now = clock.now }, f.record("one", func(s *configstore.Server) {
				s.Rules.AllowInPlanMode, s.Rules.ToolPinning = true, test.pinning
			}))
			c := r.client("modern", "/mcp?mode="+test.mode, r.token("user", "alice"))
			if got := c.call("one__x", `{}`); got.code != 0 {
				t.Fatalf("before: %s", got.raw.body)
			}
			f.setTools(strings.Replace(tool("x"), "does x", "does y", 1))
			clock.add(2 * time.Minute)
			if got := c.call("one__x", `{}`); (got.code == 0) != test.callable {
				t.Errorf("after: %s", got.raw.body)
			}
		})
	}
}

// TestAmbiguousToolsAreNotOffered is P-20.
func TestAmbiguousToolsAreNotOffered(t *testing.T) {
	f := startFake(t, "legacy", tool("x", `"annotations":{"readOnlyHint":true}`), tool("x"), tool("y"))
	r := newRig(t, f.record("one"))
	c := r.client("modern", "/mcp", r.token("user", "alice"))
	if got := c.list(); !slices.Equal(got, []string{"one__y"}) {
		t.Errorf("listed %v", got)
	}
	if got := c.call("one__x", `{}`); got.code != -32602 {
		t.Errorf("calling it: %s", got.raw.body)
	}
}

// TestALieOfTheServerIsAToolError: what it answers is read strictly, and never passed on in part.
func TestALieOfTheServerIsAToolError(t *testing.T) {
	for name, body := range map[string]string{
		"no JSON":        `<html>`,
		"a batch":        `[{"jsonrpc":"2.0","id":1,"result":{}}]`,
		"duplicate keys": `{"jsonrpc":"2.0","id":ID,"result":{"content":[],"content":[1]}}`,
		"a cut answer":   `{"jsonrpc":"2.0","id":ID,"result":{"content":[`,
		"another's id":   `{"jsonrpc":"2.0","id":"somebody","result":{}}`,
		"nothing":        ``,
		"result as list": `{"jsonrpc":"2.0","id":ID,"result":[]}`,
	} {
		t.Run(name, func(t *testing.T) {
			f := startFake(t, "legacy", tool("x"))
			f.call = func(w http.ResponseWriter, _ *http.Request, m seen) {
				io.WriteString(w, strings.ReplaceAll(body, "ID", string(m.ID)))
			}
			r := newRig(t, f.record("one"))
			got := r.client("legacy", "/mcp", r.token("user", "alice")).call("one__x", `{}`)
			if !got.IsError || !strings.Contains(got.text(), `one`) {
				t.Errorf("answer: %s", got.raw.body)
			}
			if n := len(f.seenOf("tools/call")); n != 1 {
				t.Errorf("it was called %d times", n)
			}
		})
	}
}

func TestAnAnswerThatIsTooLarge(t *testing.T) {
	f := startFake(t, "legacy", tool("x"))
	f.call = func(w http.ResponseWriter, _ *http.Request, m seen) {
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{"content":[{"type":"text","text":%q}]}}`, m.ID, strings.Repeat("x", 200_000))
	}
	r := newRigWith(t, func(c *proxy.Config) { c.Limits = upstream.Limits{Message: 100_000} }, f.record("one"))
	got := r.client("legacy", "/mcp", r.token("user", "alice")).call("one__x", `{}`)
	if !got.IsError || !strings.Contains(got.text(), "100000") {
		t.Errorf("answer: %s", got.raw.body)
	}
}

func TestAServerHasALimitOfCalls(t *testing.T) {
	f := startFake(t, "legacy", tool("x"))
	release, entered := make(chan struct{}), make(chan struct{})
	f.call = func(w http.ResponseWriter, _ *http.Request, m seen) {
		entered <- struct{}{}
		<-release
		f.echo(w, m)
	}
	r := newRig(t, f.record("one", func(s *configstore.Server) { s.MaxConcurrent = 1 }))
	token := r.token("user", "alice")
	first, second := r.client("modern", "/mcp", token), r.client("modern", "/mcp", token)
	done := make(chan called, 1)
	go func() { done <- first.call("one__x", `{}`) }()
	<-entered
	if got := second.call("one__x", `{}`); !got.IsError || !strings.Contains(got.text(), "busy") {
		t.Errorf("the second: %s", got.raw.body)
	}
	close(release)
	if got := <-done; got.text() != "x {}" {
		t.Errorf("the first: %s", got.raw.body)
	}
}

// TestOneUserCannotTakeEverything is R-09.
func TestOneUserCannotTakeEverything(t *testing.T) {
	f := startFake(t, "legacy", tool("x"))
	release, entered := make(chan struct{}), make(chan struct{})
	var calls atomic.Int32
	f.call = func(w http.ResponseWriter, _ *http.Request, m seen) {
		if calls.Add(1) == 1 {
			close(entered)
			<-release
		}
		f.echo(w, m)
	}
	r := newRigWith(t, func(c *proxy.Config) { c.PerCaller = 1 }, f.record("one"))
	alice, bob := r.token("user", "alice"), r.token("user", "bob")
	first, second, his := r.client("modern", "/mcp", alice), r.client("modern", "/mcp", alice), r.client("modern", "/mcp", bob)
	done := make(chan called, 1)
	go func() { done <- first.call("one__x", `{}`) }()
	<-entered
	if got := second.ask("tools/list", "", "", ""); got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") == "" {
		t.Errorf("her second: %d %v", got.status, got.header)
	}
	if got := his.call("one__x", `{}`); got.text() != "x {}" {
		t.Errorf("his: %s", got.raw.body)
	}
	close(release)
	<-done
}

// What one user can have in memory is bounded, whether it is many requests or large ones.
func TestALargeBodyCountsForMore(t *testing.T) {
	r := newRigWith(t, func(c *proxy.Config) { c.PerCaller = 3 }, startFake(t, "modern", tool("x")).record("one"))
	c := r.client("modern", "/mcp", r.token("user", "alice"))
	large := func(mib int) string { return `{"x":"` + strings.Repeat("y", mib<<20) + `"}` }
	for range 5 { // it counts only as long as it lasts
		if got := c.call("one__x", large(2)); got.raw.status != http.StatusOK {
			t.Errorf("2 MiB: %d", got.raw.status)
		}
	}
	if got := c.call("one__x", large(3)); got.raw.status != http.StatusTooManyRequests {
		t.Errorf("3 MiB: %d", got.raw.status)
	}
}

// TestASidecarThatIsItsOwnServer is S-09.
func TestASidecarThatIsItsOwnServer(t *testing.T) {
	var requests int
	var mu sync.Mutex
	var target http.Handler
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		mu.Lock()
		requests++
		mu.Unlock()
		target.ServeHTTP(w, req)
	}))
	defer web.Close()
	r := newRig(t)
	target = r.proxy
	token := r.token("user", "alice")
	r.load(configstore.Server{
		ID: "self", Slug: "self", Transport: configstore.StreamableHTTP, URL: web.URL + "/mcp", AuthType: configstore.AuthCustomHeaders,
		CustomHeaders: secrets("Authorization", "Bearer "+token), Rules: policy.Rules{Enabled: true, Availability: policy.DefaultOn},
	})
	c := r.client("modern", "/mcp", token)
	if tools, unavailable, _ := metaOf(t, c); tools != 0 || !slices.Equal(unavailable, []string{"self"}) {
		t.Errorf("%d tools, unavailable %v", tools, unavailable)
	}
	mu.Lock()
	defer mu.Unlock()
	if requests > 3 {
		t.Errorf("it asked itself %d times", requests)
	}
}

func TestDrainLetsCallsFinishAndTakesNoNewOnes(t *testing.T) {
	f := startFake(t, "legacy", tool("x"))
	release, entered := make(chan struct{}), make(chan struct{})
	f.call = func(w http.ResponseWriter, _ *http.Request, m seen) {
		close(entered)
		<-release
		f.echo(w, m)
	}
	r := newRig(t, f.record("one"))
	c := r.client("modern", "/mcp", r.token("user", "alice"))
	done := make(chan called, 1)
	go func() { done <- c.call("one__x", `{}`) }()
	<-entered
	drained := make(chan struct{})
	go func() {
		r.proxy.Drain(t.Context())
		close(drained)
	}()
	other := r.client("modern", "/mcp", r.token("user", "bob"))
	waitFor(t, func() bool { return other.ask("tools/list", "", "", "").status == http.StatusServiceUnavailable })
	select {
	case <-drained:
		t.Error("the drain ended before the call")
	default:
	}
	close(release)
	if got := <-done; got.text() != "x {}" {
		t.Errorf("the call: %s", got.raw.body)
	}
	<-drained
}

// TestEditsWhileCallsRun is Z-07: what is under way keeps the old configuration, what comes next has the new one.
func TestEditsWhileCallsRun(t *testing.T) {
	f, g := startFake(t, "legacy", tool("x")), startFake(t, "legacy", tool("x"))
	release, entered := make(chan struct{}), make(chan struct{})
	f.call = func(w http.ResponseWriter, _ *http.Request, m seen) {
		close(entered)
		<-release
		f.echo(w, m)
	}
	r := newRig(t, f.record("one"))
	token := r.token("user", "alice")
	first, second := r.client("legacy", "/mcp", token), r.client("legacy", "/mcp", token)
	done := make(chan called, 1)
	go func() { done <- first.call("one__x", `{}`) }()
	<-entered
	r.load(g.record("one", func(s *configstore.Server) { s.Revision = 2 }))
	if got := second.call("one__x", `{"n":2}`); got.text() != `x {"n":2}` || len(g.seenOf("tools/call")) != 1 {
		t.Errorf("the next call: %s", got.raw.body)
	}
	close(release)
	if got := <-done; got.text() != "x {}" {
		t.Errorf("the call under way: %s", got.raw.body)
	}
	r.load()
	if got := second.call("one__x", `{}`); got.code != -32602 {
		t.Errorf("when the server is gone: %s", got.raw.body)
	}
}

func TestProbeAndPresent(t *testing.T) {
	f := startFake(t, "modern", tool("b", `"annotations":{"readOnlyHint":true}`), tool("a"))
	r := newRig(t, f.record("one"))
	probe := r.proxy.Probe(t.Context(), f.record("one"))
	if probe.Err != nil || probe.Info.Era != upstream.Modern || !slices.Equal(probe.Tools, []string{"a", "b"}) {
		t.Errorf("probe: %+v", probe)
	}
	gone := f.record("one", func(s *configstore.Server) { s.URL = "http://127.0.0.1:1/mcp" })
	if probe := r.proxy.Probe(t.Context(), gone); probe.Err == nil {
		t.Error("a server that is not there is reachable")
	}
	present, err := r.proxy.Present(t.Context(), "id-one", "admin")
	if err != nil || len(present.Tools) != 2 || present.Tools[0].Exposed != "one__a" || present.Tools[0].Description != "does a" || !present.Tools[1].ReadOnly {
		t.Errorf("present: %+v, %v", present, err)
	}
	if _, err := r.proxy.Present(t.Context(), "nobody", "admin"); err == nil {
		t.Error("an unknown server has tools")
	}
}

// TestWhatIsCounted holds the audit record of calls: who, what, why, how it ended, and nothing of what was said.
func TestWhatIsRecorded(t *testing.T) {
	f := startFake(t, "legacy", tool("x"), tool("not"))
	r := newRig(t, f.record("one", func(s *configstore.Server) { s.Rules.ToolDenyList = []string{"n*"} }))
	c := r.client("modern", "/mcp", r.token("agent", ""), "Sidecar-User", "alice")
	c.call("one__x", `{"secret":"canary-1"}`)
	c.call("one__not", `{"secret":"canary-2"}`)
	waitFor(t, func() bool { return strings.Count(readFile(t, r.audit), "\n") == 2 })
	lines := strings.Split(strings.TrimSpace(readFile(t, r.audit)), "\n")
	var records []map[string]any
	for _, line := range lines {
		record := map[string]any{}
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Fatal(err)
		}
		records = append(records, record)
		if strings.Contains(line, "canary") {
			t.Errorf("an argument was recorded: %s", line)
		}
	}
	for key, want := range map[string]any{"user": "alice", "role": "agent", "server": "one", "tool": "x", "decision": "allowed", "outcome": "ok"} {
		if records[0][key] != want {
			t.Errorf("the call: %s is %v, want %v", key, records[0][key], want)
		}
	}
	for key, want := range map[string]any{"tool": "not", "decision": "denied", "reason": "in_deny_list", "outcome": "denied"} {
		if records[1][key] != want {
			t.Errorf("the refusal: %s is %v, want %v", key, records[1][key], want)
		}
	}
}
