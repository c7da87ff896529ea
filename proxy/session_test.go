package proxy_test

import (
	"bufio"
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"

	"mcpsidecar/configstore"
	"mcpsidecar/proxy"
)

// TestSessionsBelongToTheirCaller is M-03.
func TestSessionsBelongToTheirCaller(t *testing.T) {
	f := startFake(t, "legacy", tool("x"))
	r := newRig(t, f.record("one"))
	alice, bob := r.token("user", "alice"), r.token("user", "bob")
	hers := r.client("legacy", "/mcp", alice)
	other := r.token("user", "alice")
	for name, thief := range map[string]*client{
		"another user":          {rig: r, token: bob, path: "/mcp", era: "legacy", session: hers.session},
		"another token of hers": {rig: r, token: other, path: "/mcp", era: "legacy", session: hers.session},
		"another path":          {rig: r, token: alice, path: "/mcp/one", era: "legacy", session: hers.session},
		"a forged id":           {rig: r, token: alice, path: "/mcp", era: "legacy", session: hers.session[:len(hers.session)-2] + "AA"},
		"no id of ours":         {rig: r, token: alice, path: "/mcp", era: "legacy", session: "1868a90c-1d2e"},
		"an id of great length": {rig: r, token: alice, path: "/mcp", era: "legacy", session: strings.Repeat("A", 5000)},
	} {
		if got := thief.ask("tools/list", "", "", ""); got.status != http.StatusNotFound {
			t.Errorf("%s: POST %d %s", name, got.status, got.body)
		}
		for _, method := range []string{http.MethodGet, http.MethodDelete} {
			request := thief.request(method, nil)
			if got := thief.do(request); got.status != http.StatusNotFound {
				t.Errorf("%s: %s %d %s", name, method, got.status, got.body)
			}
		}
	}
	if got := hers.list(); len(got) != 1 {
		t.Errorf("her session ended: %v", got)
	}
	without := &client{rig: r, token: alice, path: "/mcp", era: "legacy"}
	if got := without.ask("tools/list", "", "", ""); got.status != http.StatusBadRequest {
		t.Errorf("without a session: %d %s", got.status, got.body)
	}
}

func TestSessionsEndByDelete(t *testing.T) {
	f := startFake(t, "legacy", tool("x"))
	r := newRig(t, f.record("one"))
	c := r.client("legacy", "/mcp", r.token("user", "alice"))
	c.call("one__x", `{}`)
	if got := c.do(c.request(http.MethodDelete, nil)); got.status != http.StatusNoContent {
		t.Fatalf("DELETE: %d %s", got.status, got.body)
	}
	if got := c.ask("tools/list", "", "", ""); got.status != http.StatusNotFound {
		t.Errorf("after it: %d %s", got.status, got.body)
	}
	waitFor(t, func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return len(f.deleted) == 1
	})
}

// TestSessionsSurviveARestart: the id carries all that a session is.
func TestSessionsSurviveARestart(t *testing.T) {
	f := startFake(t, "legacy", tool("x"))
	record := f.record("one", func(s *configstore.Server) { s.Rules.AllowInPlanMode = false })
	first := newRig(t, record)
	token := first.token("user", "alice")
	c := first.client("legacy", "/mcp", token)
	planning := first.client("legacy", "/mcp?mode=plan", token)
	c.call("one__x", `{}`)

	second := newRig(t, record)
	second.tokens = first.tokens
	second.callers.Reload(first.tokens)
	c.rig, planning.rig = second, second
	if got := c.call("one__x", `{}`); got.text() != "x {}" {
		t.Errorf("after the restart: %s", got.raw.body)
	}
	planning.path = "/mcp"
	if got := planning.list(); len(got) != 0 {
		t.Errorf("a session that was opened for planning lists %v", got)
	}
	third := newRigWith(t, func(c *proxy.Config) { c.SessionKey = [32]byte{9} }, record)
	third.tokens = first.tokens
	third.callers.Reload(first.tokens)
	c.rig = third
	if got := c.ask("tools/list", "", "", ""); got.status != http.StatusNotFound {
		t.Errorf("with another key: %d", got.status)
	}
}

// TestNoRequestBeforeTheFirstCall: opening and closing a session costs no server anything once its list is known.
func TestNoRequestBeforeTheFirstCall(t *testing.T) {
	f := startFake(t, "legacy", tool("x"))
	r := newRig(t, f.record("one"))
	token := r.token("user", "alice")
	r.client("legacy", "/mcp", token).list()
	before := len(f.requests)
	c := r.client("legacy", "/mcp", token)
	c.list()
	c.do(c.request(http.MethodDelete, nil))
	if got := len(f.requests); got != before {
		t.Errorf("%d requests", got-before)
	}
}

func TestUpstreamSessionsAreNotShared(t *testing.T) {
	f := startFake(t, "legacy", tool("x"))
	r := newRig(t, f.record("one"))
	token := r.token("user", "alice")
	for range 3 {
		r.client("legacy", "/mcp", token).call("one__x", `{}`)
	}
	modern := r.client("modern", "/mcp", token)
	modern.call("one__x", `{}`)
	modern.call("one__x", `{}`)
	r.client("modern", "/mcp", r.token("user", "bob")).call("one__x", `{}`)
	var ids []string
	for _, m := range f.seenOf("tools/call") {
		ids = append(ids, m.Header.Get("Mcp-Session-Id"))
	}
	slices.Sort(ids)
	if unique := slices.Compact(slices.Clone(ids)); len(ids) != 6 || len(unique) != 5 {
		t.Errorf("6 calls of 3 chats and 2 modern callers went over the sessions %v", ids)
	}
}

func TestAServerThatForgetsItsSessionIsAskedAgain(t *testing.T) {
	f := startFake(t, "legacy", tool("x"))
	forget := false
	f.before = func(w http.ResponseWriter, _ *http.Request, m seen) bool {
		if forget && m.Method == "tools/call" {
			forget = false
			w.WriteHeader(http.StatusNotFound)
			return true
		}
		return false
	}
	r := newRig(t, f.record("one"))
	c := r.client("legacy", "/mcp", r.token("user", "alice"))
	c.call("one__x", `{}`)
	forget = true
	if got := c.call("one__x", `{}`); got.text() != "x {}" {
		t.Errorf("after it forgot: %s", got.raw.body)
	}
}

func TestInitializeAgreesOnAVersion(t *testing.T) {
	f := startFake(t, "legacy", tool("x"))
	r := newRig(t, f.record("one"))
	c := &client{rig: r, token: r.token("user", "alice"), path: "/mcp", era: "legacy"}
	for asked, want := range map[string]string{
		"2024-11-05": "2024-11-05", "2025-03-26": "2025-03-26", "2025-06-18": "2025-06-18", "2025-11-25": "2025-11-25",
		"1999-01-01": "2025-11-25", "2026-07-28": "2025-11-25",
	} {
		got := c.post(`{"jsonrpc":"2.0","id":"i","method":"initialize","params":{"protocolVersion":"` + asked + `","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}`)
		if !strings.Contains(string(got.last(t).Result), `"protocolVersion":"`+want+`"`) {
			t.Errorf("%s: %s", asked, got.body)
		}
	}
	if got := c.post(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}`); got.last(t).Error == nil {
		t.Errorf("without a version: %s", got.body)
	}
	modern := r.client("modern", "/mcp", c.token)
	if got := string(modern.ask("server/discover", "", "", "").last(t).Result); !strings.Contains(got, `"supportedVersions":["2026-07-28"`) {
		t.Errorf("server/discover: %s", got)
	}
}

// listen opens a standing stream and returns what hears its events.
func (c *client) listen(ctx context.Context) (events <-chan string) {
	c.rig.t.Helper()
	return c.listenTo(ctx, `{"toolsListChanged":true,"somethingElse":true}`)
}

// listenTo does so for what is wanted, which a modern client has to say.
func (c *client) listenTo(ctx context.Context, wanted string) (events <-chan string) {
	c.rig.t.Helper()
	request := c.request(http.MethodGet, nil)
	if c.era == "modern" {
		request = c.asked("subscriptions/listen", "", `"notifications":`+wanted, "")
	}
	response, err := http.DefaultClient.Do(request.WithContext(ctx))
	if err != nil {
		c.rig.t.Fatal(err)
	}
	if response.StatusCode != http.StatusOK {
		c.rig.t.Fatalf("listening: %d", response.StatusCode)
	}
	heard := make(chan string, 16)
	go func() {
		defer close(heard)
		defer response.Body.Close()
		lines := bufio.NewScanner(response.Body)
		for lines.Scan() {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				heard <- data
			}
		}
	}()
	return heard
}

func TestChangesOfTheListAreTold(t *testing.T) {
	for _, era := range eras {
		t.Run(era, func(t *testing.T) {
			f := startFake(t, "legacy", tool("x"), tool("y"))
			r := newRig(t, f.record("one"))
			c := r.client(era, "/mcp", r.token("user", "alice"))
			c.list()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			events := c.listen(ctx)
			if era == "modern" {
				if got := <-events; !strings.Contains(got, "notifications/subscriptions/acknowledged") || !strings.Contains(got, `{"toolsListChanged":true}`) {
					t.Errorf("acknowledged: %s", got)
				}
			}
			// P-19: open streams hear of it, and the next call of an open session is judged by it.
			r.load(f.record("one", func(s *configstore.Server) { s.Rules.ToolDenyList = []string{"y"}; s.Revision = 2 }))
			if got := <-events; !strings.Contains(got, "notifications/tools/list_changed") {
				t.Errorf("changed: %s", got)
			}
			if got := c.list(); !slices.Equal(got, []string{"one__x"}) {
				t.Errorf("the list afterwards: %v", got)
			}
			if got := c.call("one__y", `{}`); got.code != -32602 {
				t.Errorf("calling what was denied meanwhile: %s", got.raw.body)
			}
			// A change that the caller cannot see is not told; the end of the program is.
			r.load(f.record("one", func(s *configstore.Server) { s.Rules.ToolDenyList = []string{"y", "z"}; s.Revision = 3 }))
			r.proxy.Drain(t.Context())
			var rest []string
			for event := range events {
				rest = append(rest, event)
			}
			if want := map[string]int{"modern": 1, "legacy": 0}[era]; len(rest) != want {
				t.Errorf("at the end: %v", rest)
			}
		})
	}
}

func TestARevokedTokenEndsItsStream(t *testing.T) {
	f := startFake(t, "legacy", tool("x"), tool("y"))
	r := newRig(t, f.record("one"))
	c := r.client("legacy", "/mcp", r.token("user", "alice"))
	c.list()
	events := c.listen(t.Context())
	r.callers.Reload(nil)
	r.load(f.record("one", func(s *configstore.Server) { s.Rules.ToolDenyList = []string{"y"}; s.Revision = 2 }))
	for event := range events {
		t.Errorf("it still hears %s", event)
	}
}

func TestADeletedSessionEndsItsStream(t *testing.T) {
	f := startFake(t, "legacy", tool("x"))
	r := newRig(t, f.record("one"))
	c := r.client("legacy", "/mcp", r.token("user", "alice"))
	events := c.listen(t.Context())
	c.do(c.request(http.MethodDelete, nil))
	for event := range events {
		t.Errorf("it hears %s", event)
	}
}
