package proxy_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"mcpsidecar/configstore"
	"mcpsidecar/policy"
)

// extended is what a server with an extension says of itself.
const extended = `{"tools":{},"extensions":{"com.acme/search":{"deep": [1, 2]},"io.modelcontextprotocol/tasks":{}},"experimental":{"acme/x":{"on": true}}}`

// startExtended starts a server whose extension answers whatever it is asked with what it was asked.
func startExtended(t *testing.T, era string) *fakeServer {
	t.Helper()
	f := startStocked(t, era, &stock{capabilities: extended})
	stocked := f.before
	f.before = func(w http.ResponseWriter, r *http.Request, m seen) bool {
		if strings.HasPrefix(m.Method, "acme/") && m.ID != nil {
			w.Header().Set("Content-Type", "application/json")
			reply(w, m, `{`+f.complete("")+`"got": `+m.field("query")+`,  "more":[1, 2.50]}`)
			return true
		}
		return stocked(w, r, m)
	}
	return f
}

func exposing(surfaces ...policy.Surface) func(*configstore.Server) {
	return func(s *configstore.Server) { s.Rules.Expose = surfaces }
}

func exposingAll(s *configstore.Server) {
	exposing(policy.Tools, policy.Prompts, policy.Resources, policy.Extensions)(s)
}

// TestExtensionMethods: on the path of one server that exposes extensions a method that nobody knows passes as it is, if client and server are of one era.
func TestExtensionMethods(t *testing.T) {
	everyCombination(t, func(t *testing.T, clientEra, serverEra string) {
		f := startExtended(t, serverEra)
		r := newRig(t, f.record("one", exposingAll))
		c := r.client(clientEra, "/mcp/one", r.token("user", "alice"))
		c.header.Set("Mcp-Name", "n-1")
		got := c.ask("acme/search", "n-1", `"query":{"deep":[ 1,2.50 ],"x":"ü"},"named":"n-1"`, `"com.acme/hint":{"a": 1},"progressToken":7`)
		sent := f.seenOf("acme/search")
		if clientEra != serverEra {
			if m := got.last(t); m.Error == nil || m.Error.Code != -32601 || len(sent) != 0 {
				t.Fatalf("%d %s, %d requests", got.status, got.body, len(sent))
			}
			return
		}
		if len(sent) != 1 || !strings.Contains(sent[0].Body, `"query":{"deep":[ 1,2.50 ],"x":"ü"},"named":"n-1","_meta":{`) || !strings.Contains(sent[0].Body, `"com.acme/hint":{"a": 1}`) {
			t.Fatalf("the server got %v", sent)
		}
		if serverEra == "modern" && (sent[0].Header.Get("Mcp-Method") != "acme/search" || sent[0].Header.Get("Mcp-Name") != "n-1") {
			t.Errorf("its headers: %v", sent[0].Header)
		}
		if want := `"result":{` + f.complete("") + `"got": {"deep":[ 1,2.50 ],"x":"ü"},  "more":[1, 2.50]}}`; !strings.Contains(got.body, want) {
			t.Errorf("the client got %s", got.body)
		}
		c.header.Set("Mcp-Name", "n-2")
		if got := c.ask("acme/search", "n-2", `"named":"n-1"`, ""); got.last(t).Error == nil || got.last(t).Error.Code != -32020 {
			t.Errorf("another name in the header: %s", got.body)
		}
		if n := len(f.seenOf("acme/search")); n != 1 {
			t.Errorf("%d requests", n)
		}
	})
}

// TestExtensionNotifications pass in the same places, and are otherwise what no client may say.
func TestExtensionNotifications(t *testing.T) {
	for _, era := range eras {
		f := startExtended(t, era)
		r := newRig(t, f.record("one", exposingAll), f.record("two"))
		token := r.token("user", "alice")
		tell := func(path, method string) answer {
			c := r.client(era, path, token)
			header := []string{}
			if era == "modern" {
				header = []string{"Mcp-Protocol-Version", "2026-07-28", "Mcp-Method", method}
			}
			return c.post(fmt.Sprintf(`{"jsonrpc":"2.0","method":%q,"params":{"n": 1,"_meta":{"com.acme/a":[1]}}}`, method), header...)
		}
		for _, method := range []string{"notifications/acme/moved", "acme/moved"} {
			if got := tell("/mcp/one", method); got.status != http.StatusAccepted {
				t.Fatalf("%s %s: %d %s", era, method, got.status, got.body)
			}
			if sent := f.seenOf(method); len(sent) != 1 || !strings.Contains(sent[0].Body, `"params":{"n":1,"_meta":{"com.acme/a":[1]}}`) {
				t.Fatalf("%s %s: the server got %v", era, method, sent)
			}
		}
		before := len(f.beyondHello())
		for path, methods := range map[string][]string{
			"/mcp":     {"notifications/acme/moved"},
			"/mcp/two": {"notifications/acme/moved"},
			"/mcp/one": {"notifications/tools/list_changed", "notifications/tasks/x", "notifications/NOTIFICATIONS/x", "tools/call", "notifications/message"},
		} {
			for _, method := range methods {
				if got := tell(path, method); got.status != http.StatusBadRequest {
					t.Errorf("%s %s on %s: %d %s", era, method, path, got.status, got.body)
				}
			}
		}
		if n := len(f.beyondHello()); n != before {
			t.Errorf("%s: %d messages more at the server", era, n-before)
		}
	}
}

// TestNoWayAround is P-11: with a list of tools every other method that is not exposed, or that no rule knows, is an unknown method, and the server hears of none. What shadows a known method never passes.
func TestNoWayAround(t *testing.T) {
	listing := func(s *configstore.Server) { s.Rules.ToolAllowList = []string{"x"} }
	plan := func(change func(*configstore.Server)) func(*configstore.Server) {
		return func(s *configstore.Server) {
			exposingAll(s)
			change(s)
		}
	}
	shadows := []string{
		"tools/invoke", "Tools/Call", "TOOLS/call", "tools.call", "tools:call", "/tools/call", "tools//call", " tools/call", "tools/call ", "./tools/call", "tasks/x", "Tasks/get", "task/get", "sidecar/admin", "mcp-sidecar/x",
		"io.modelcontextprotocol/tasks/get", "sampling/createMessage", "elicitation/create", "roots/list", "initialized", "rpc.discover", "server/x", "notifications/x", "notifications/tools/call", "x/../tools/call", "x//y", "x/", "$/x",
		"tools\u200b/call", "tοols/call", "x y", "x\ty", "x\\y", strings.Repeat("x", 129),
	}
	for what, test := range map[string]struct {
		path    string
		rules   func(*configstore.Server)
		header  []string
		methods []string
	}{
		"not exposed":              {"/mcp/one", listing, nil, []string{"x/y", "acme/search", "tasks/list"}},
		"exposed, but all servers": {"/mcp", exposingAll, nil, []string{"x/y", "acme/search"}},
		"shadows":                  {"/mcp/one", exposingAll, nil, shadows},
		"plan mode":                {"/mcp/one", exposingAll, []string{"Sidecar-Mode", "plan"}, []string{"acme/search"}},
		"plan mode, a child":       {"/mcp/one", plan(func(s *configstore.Server) { s.Rules.AllowInPlanMode = true }), []string{"Sidecar-Mode", "plan", "Sidecar-Agent", "subagent"}, []string{"acme/search"}},
		"plan mode with a list":    {"/mcp/one", plan(func(s *configstore.Server) { s.Rules.AllowInPlanMode, s.Rules.PlanTools = true, []string{"x"} }), []string{"Sidecar-Mode", "plan"}, []string{"acme/search"}},
		"plan mode for reading":    {"/mcp/one", plan(func(s *configstore.Server) { s.Rules.AllowInPlanMode, s.Rules.PlanReadOnly = true, true }), []string{"Sidecar-Mode", "plan"}, []string{"acme/search"}},
	} {
		for _, era := range eras {
			f := startExtended(t, era)
			r := newRig(t, f.record("one", test.rules))
			c := r.client(era, test.path, r.token("user", "alice"), test.header...)
			for _, method := range test.methods {
				text, _ := json.Marshal(method)
				got := c.rawMethod(method, string(text))
				m := got.last(t)
				if m.Error == nil || (m.Error.Code != -32601 && m.Error.Code != -32020) || (got.status == http.StatusOK) != (era == "legacy" && m.Error.Code == -32601) {
					t.Errorf("%s, %s: %q: %d %s", what, era, method, got.status, got.body)
				}
			}
			if sent := f.beyondHello(); len(sent) != 0 {
				t.Errorf("%s, %s: the server got %v", what, era, sent)
			}
		}
	}
	for _, era := range eras {
		f := startExtended(t, era)
		r := newRig(t, f.record("one", plan(func(s *configstore.Server) { s.Rules.AllowInPlanMode = true })))
		c := r.client(era, "/mcp/one", r.token("user", "alice"), "Sidecar-Mode", "plan")
		if got := c.ask("acme/search", "", `"query":1`, "").last(t); got.Error != nil {
			t.Errorf("%s: plan mode that narrows nothing: %+v", era, got.Error)
		}
	}
}

// rawMethod asks for a method that is written in this way.
func (c *client) rawMethod(method, text string) answer {
	r := c.asked("method", "", "", "")
	sent, err := io.ReadAll(r.Body)
	if err != nil {
		c.rig.t.Fatal(err)
	}
	body := strings.Replace(string(sent), `"method":"method"`, `"method":`+text, 1)
	again := c.request(http.MethodPost, strings.NewReader(body))
	again.Header = r.Header
	if c.era == "modern" {
		again.Header.Set("Mcp-Method", strings.Map(func(r rune) rune {
			if r < 0x20 || r > 0x7e {
				return '?'
			}
			return r
		}, method))
	}
	return c.do(again)
}

// TestExtensionsAreAnnounced where they can be used, and nowhere else.
func TestExtensionsAreAnnounced(t *testing.T) {
	everyCombination(t, func(t *testing.T, clientEra, serverEra string) {
		for what, test := range map[string]struct {
			path  string
			rules func(*configstore.Server)
			want  bool
		}{
			"exposed":     {"/mcp/one", exposingAll, true},
			"not exposed": {"/mcp/one", exposing(policy.Tools), false},
			"all servers": {"/mcp", exposingAll, false},
			"nothing but": {"/mcp/one", exposing(policy.Extensions), true},
			"not allowed": {"/mcp/one", func(s *configstore.Server) { exposingAll(s); s.Rules.Availability = policy.DefaultOff }, true},
		} {
			f := startExtended(t, serverEra)
			r := newRig(t, f.record("one", test.rules))
			said := r.hello(clientEra, test.path, r.token("user", "alice"), "2025-11-25")
			want := test.want && clientEra == serverEra
			if got := string(said["experimental"]); (got == `{"on": true}` || got == `{"acme/x":{"on": true}}`) != want {
				t.Errorf("%s: experimental %s", what, got)
			}
			if got := string(said["extensions"]); strings.Contains(got, `"com.acme/search":{"deep": [1, 2]}`) != want {
				t.Errorf("%s: extensions %s", what, got)
			}
		}
	})
}

// hello is what a client is told that there is.
func (r *rig) hello(era, path, token, version string) map[string]json.RawMessage {
	r.t.Helper()
	c := &client{rig: r, token: token, path: path, era: era, header: http.Header{}}
	var got answer
	if era == "modern" {
		got = c.ask("server/discover", "", "", "")
	} else {
		got = c.post(`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"` + version + `","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}`)
	}
	var said struct {
		Capabilities map[string]json.RawMessage `json:"capabilities"`
	}
	if err := json.Unmarshal(got.last(r.t).Result, &said); err != nil {
		r.t.Fatalf("%v: %s", err, got.body)
	}
	return said.Capabilities
}
