package proxy_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"mcpsidecar/configstore"
	"mcpsidecar/internal/leak"
	"mcpsidecar/internal/secret"
	"mcpsidecar/policy"
	"mcpsidecar/proxy"
)

func TestMain(m *testing.M) {
	leak.Main(m, goleak.IgnoreTopFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreTopFunction("net/http.(*persistConn).writeLoop"), goleak.IgnoreTopFunction("internal/poll.runtime_pollWait"))
}

func newSecret(text string) secret.Value { return secret.New(text) }

func secrets(pairs ...string) map[string]secret.Value {
	out := map[string]secret.Value{}
	for i := 0; i < len(pairs); i += 2 {
		out[pairs[i]] = secret.New(pairs[i+1])
	}
	return out
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestWhatCannotBeReadIsRefused is P-05, P-16 and P-18 and their like: nothing of it reaches a server.
func TestWhatCannotBeReadIsRefused(t *testing.T) {
	const call = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"one__x","arguments":{}}}`
	f := startFake(t, "legacy", tool("x"))
	r := newRig(t, f.record("one"))
	c := r.client("legacy", "/mcp", r.token("user", "alice"))
	c.list()
	for name, test := range map[string]struct {
		body string
		code int
	}{
		"no JSON":                  {`nonsense`, -32700},
		"empty":                    {``, -32700},
		"two values":               {call + call, -32700},
		"something after":          {call + `x`, -32700},
		"a zero after":             {call + "\x00", -32700},
		"a batch":                  {`[` + call + `]`, -32600},
		"a batch behind space":     {"\n [" + call + `]`, -32600},
		"an empty batch":           {`[]`, -32600},
		"a BOM":                    {"\uFEFF" + call, -32700},
		"duplicate method":         {`{"jsonrpc":"2.0","id":1,"method":"tools/list","method":"tools/call","params":{"name":"one__x"}}`, -32700},
		"duplicate name":           {`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"one__y","name":"one__x"}}`, -32700},
		"duplicate name by escape": {`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"one__y","n\u0061me":"one__x"}}`, -32700},
		"a member in another case": {`{"jsonrpc":"2.0","id":1,"Method":"tools/call","method":"tools/list"}`, -32600},
		"no version":               {`{"id":1,"method":"tools/call","params":{"name":"one__x"}}`, -32600},
		"id null":                  {`{"jsonrpc":"2.0","id":null,"method":"tools/call","params":{"name":"one__x"}}`, -32600},
		"a fraction as id":         {`{"jsonrpc":"2.0","id":1.5,"method":"tools/call","params":{"name":"one__x"}}`, -32600},
		"a call as notification":   {`{"jsonrpc":"2.0","method":"tools/call","params":{"name":"one__x"}}`, -32600},
		"a response":               {`{"jsonrpc":"2.0","id":1,"result":{}}`, -32600},
		"an error":                 {`{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"x"}}`, -32600},
		"a call and a response":    {`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"one__x"},"result":{}}`, -32600},
		"params as list":           {`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":["one__x"]}`, -32600},
		"an unknown notification":  {`{"jsonrpc":"2.0","method":"notifications/x"}`, -32600},
		"129 levels":               {`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"one__x","arguments":{"a":` + strings.Repeat("[", 129) + strings.Repeat("]", 129) + `}}}`, -32600},
		"bad UTF-8":                {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"one__x\xff\"}}", -32700},
		"a lone surrogate":         {`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"one__x\ud800"}}`, -32700},
	} {
		t.Run(name, func(t *testing.T) {
			got := c.post(test.body)
			m := got.last(t)
			if got.status != http.StatusBadRequest || m.Error == nil || m.Error.Code != test.code {
				t.Errorf("%d %s, want 400 and %d", got.status, got.body, test.code)
			}
		})
	}
	if n := len(f.seenOf("tools/call")); n != 0 {
		t.Errorf("%d calls reached the server", n)
	}
}

// TestParamsThatMakeNoSense are understood and still not possible.
func TestParamsThatMakeNoSense(t *testing.T) {
	f := startFake(t, "legacy", tool("x"))
	r := newRig(t, f.record("one"))
	c := r.client("legacy", "/mcp", r.token("user", "alice"))
	for name, params := range map[string]string{
		"no name":                  `{}`,
		"a name that is no string": `{"name":1}`,
		"arguments as list":        `{"name":"one__x","arguments":[]}`,
		"_meta as list":            `{"name":"one__x","_meta":[]}`,
		"token as object":          `{"name":"one__x","_meta":{"progressToken":{}}}`,
	} {
		if m := c.post(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":` + params + `}`).last(t); m.Error == nil || m.Error.Code != -32602 {
			t.Errorf("%s: %+v", name, m)
		}
	}
	if m := c.ask("tools/list", "", `"cursor":"x"`, "").last(t); m.Error == nil || m.Error.Code != -32602 {
		t.Errorf("a cursor: %+v", m)
	}
	if n := len(f.seenOf("tools/call")); n != 0 {
		t.Errorf("%d calls reached the server", n)
	}
	// Some clients write null for no arguments; the server gets none.
	if m := c.post(`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"one__x","arguments":null}}`).last(t); m.Error != nil {
		t.Errorf("arguments null: %+v", m.Error)
	}
	if seen := f.seenOf("tools/call"); len(seen) != 1 || strings.Contains(fmt.Sprintf("%s", seen[0]), `"arguments"`) {
		t.Errorf("the server gets %s", seen)
	}
}

// TestHeadersAgainstBody is P-06 and P-08.
func TestHeadersAgainstBody(t *testing.T) {
	f := startFake(t, "modern", tool("x"), tool("y"))
	r := newRig(t, f.record("one"))
	token := r.token("user", "alice")
	modern, legacy := r.client("modern", "/mcp", token), r.client("legacy", "/mcp", token)
	body := func(version string) string {
		return fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"one__x","_meta":{"io.modelcontextprotocol/protocolVersion":%q,"io.modelcontextprotocol/clientCapabilities":{}}}}`, version)
	}
	good := []string{"Mcp-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/call", "Mcp-Name", "one__x"}
	with := func(changes ...string) []string { return append(slices.Clone(good), changes...) }
	without := func(name string) []string {
		i := slices.Index(good, name)
		return slices.Concat(good[:i], good[i+2:])
	}
	for name, test := range map[string]struct {
		client *client
		body   string
		header []string
		code   int
	}{
		"another method":              {modern, body("2026-07-28"), with("Mcp-Method", "tools/list"), -32020},
		"another name":                {modern, body("2026-07-28"), with("Mcp-Name", "one__y"), -32020},
		"another name in base64":      {modern, body("2026-07-28"), with("Mcp-Name", "=?base64?b25lX195?="), -32020},
		"a broken name":               {modern, body("2026-07-28"), with("Mcp-Name", "=?base64?!?="), -32020},
		"another version":             {modern, body("2026-07-28"), with("Mcp-Protocol-Version", "2025-11-25"), -32020},
		"no version header":           {modern, body("2026-07-28"), without("Mcp-Protocol-Version"), -32020},
		"no method header":            {modern, body("2026-07-28"), without("Mcp-Method"), -32020},
		"no name header":              {modern, body("2026-07-28"), without("Mcp-Name"), -32020},
		"unknown version":             {modern, body("2031-01-01"), with("Mcp-Protocol-Version", "2031-01-01"), -32022},
		"unknown version, old client": {legacy, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"one__x"}}`, []string{"Mcp-Protocol-Version", "2031-01-01", "Mcp-Method", "tools/call"}, -32022},
		"modern header, no metadata":  {modern, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"one__x"}}`, good, -32602},
		"no capabilities":             {modern, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"one__x","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}`, good, -32602},
		"old client, another method":  {legacy, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"one__x"}}`, []string{"Mcp-Method", "tools/list"}, -32020},
		"old client, another name":    {legacy, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"one__x"}}`, []string{"Mcp-Name", "one__y"}, -32020},
		"old client, not its version": {legacy, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"one__x"}}`, []string{"Mcp-Protocol-Version", "2025-06-18"}, -32020},
	} {
		t.Run(name, func(t *testing.T) {
			got := test.client.post(test.body, test.header...)
			if m := got.last(t); got.status != http.StatusBadRequest || m.Error == nil || m.Error.Code != test.code {
				t.Errorf("%d %s, want 400 and %d", got.status, got.body, test.code)
			}
		})
	}
	if n := len(f.seenOf("tools/call")); n != 0 {
		t.Errorf("%d calls reached the server", n)
	}
	if got := modern.post(body("2026-07-28"), with("Mcp-Name", "=?base64?b25lX194?=")...); got.status != http.StatusOK {
		t.Errorf("the right name in base64: %d %s", got.status, got.body)
	}
}

// TestDeniedAndUnknownAreToldApartByNobody compares the bytes.
func TestDeniedAndUnknownAreToldApartByNobody(t *testing.T) {
	f := startFake(t, "legacy", tool("yes"), tool("not"))
	r := newRig(t, f.record("one", func(s *configstore.Server) { s.Rules.ToolDenyList = []string{"not"} }), f.record("off", func(s *configstore.Server) { s.Rules.Enabled = false }))
	for _, era := range eras {
		c := r.client(era, "/mcp", r.token("user", "alice"))
		ask := func(name string) (int, string) {
			c.nextID = 7
			a := c.ask("tools/call", name, fmt.Sprintf(`"name":%q`, name), "")
			return a.status, strings.ReplaceAll(a.body, name, "NAME")
		}
		wantStatus, want := ask("one__not")
		for _, name := range []string{"one__nil", "two__nil", "off__yes", "nothing", "__", "one__"} {
			if status, got := ask(name); status != wantStatus || got != want {
				t.Errorf("%s: %q: %d %s, but denied is %d %s", era, name, status, got, wantStatus, want)
			}
		}
	}
}

func TestWhoIsNotKnownGetsNothing(t *testing.T) {
	f := startFake(t, "legacy", tool("x"))
	r := newRig(t, f.record("one"))
	agent := r.token("agent", "")
	for name, test := range map[string]struct {
		token  string
		header []string
		status int
	}{
		"no token":                 {"", nil, 401},
		"a wrong token":            {"mcps_0000_1111", nil, 401},
		"an agent without user":    {agent, nil, 400},
		"an agent with two users":  {agent, []string{"Sidecar-User", "a", "Sidecar-User", "b"}, 400},
		"an agent with a bad user": {agent, []string{"Sidecar-User", "../x"}, 400},
		"a user that names one":    {r.token("user", "alice"), []string{"Sidecar-User", "bob"}, 403},
	} {
		c := &client{rig: r, token: test.token, path: "/mcp", era: "modern", header: http.Header{}}
		for i := 0; i < len(test.header); i += 2 {
			c.header.Add(test.header[i], test.header[i+1])
		}
		got := c.ask("tools/list", "", "", "")
		if got.status != test.status {
			t.Errorf("%s: %d %s, want %d", name, got.status, got.body, test.status)
		}
		if challenge := got.header.Get("WWW-Authenticate"); (challenge != "") != (test.status == 401) {
			t.Errorf("%s: challenge %q", name, challenge)
		}
	}
	if len(f.requests) != 0 {
		t.Errorf("the server saw %d requests", len(f.requests))
	}
}

// TestPathsThatAreNoServer is A-12: a malformed or unknown id never means "all".
func TestPathsThatAreNoServer(t *testing.T) {
	f := startFake(t, "legacy", tool("x"))
	r := newRig(t, f.record("one"), f.record("off", func(s *configstore.Server) { s.Rules.Enabled = false }), f.record("hers", func(s *configstore.Server) { s.Rules.VisibleTo = []string{"carol"} }))
	token := r.token("user", "alice")
	var want string
	for _, path := range []string{"/mcp/nothing", "/mcp/off", "/mcp/hers", "/mcp/ONE", "/mcp/one_", "/mcp/" + strings.Repeat("a", 300), "/mcp/one/x", "/mcp/"} {
		c := &client{rig: r, token: token, path: path, era: "modern", header: http.Header{}}
		got := c.ask("tools/list", "", "", "")
		if want == "" {
			want = got.body
		}
		if got.status != http.StatusNotFound || got.body != want {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
	if hers := r.client("modern", "/mcp/hers", r.token("user", "carol")); len(hers.list()) != 1 {
		t.Error("carol does not see her server")
	}
}

func TestWhatAnAgentSaysMustBeKnown(t *testing.T) {
	f := startFake(t, "legacy", tool("x"))
	r := newRig(t, f.record("one"), f.record("hers", func(s *configstore.Server) { s.Rules.VisibleTo = []string{"carol"} }))
	token := r.token("user", "alice")
	for name, test := range map[string]struct{ path, header, value, says string }{
		"mode":                 {"/mcp", "Sidecar-Mode", "planning", "planning"},
		"empty mode":           {"/mcp?mode=", "", "", "mode"},
		"agent":                {"/mcp", "Sidecar-Agent", "child", "child"},
		"server":               {"/mcp", "Sidecar-Servers", "one,two", "two"},
		"a server of somebody": {"/mcp?servers=hers", "", "", "hers"},
		"empty entry":          {"/mcp", "Sidecar-Servers", "one,,", "empty"},
		"a misspelt parameter": {"/mcp?mod=plan", "", "", "mod"},
		"a query that is none": {"/mcp?a;b", "", "", "query"},
	} {
		c := &client{rig: r, token: token, path: test.path, era: "modern", header: http.Header{}}
		if test.header != "" {
			c.header.Set(test.header, test.value)
		}
		got := c.ask("tools/list", "", "", "")
		if m := got.last(t); got.status != 400 || m.Error == nil || !strings.Contains(m.Error.Message, test.says) {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
	if len(f.requests) != 0 {
		t.Errorf("the server saw %d requests", len(f.requests))
	}
}

// TestTheStrictestWins: a token is a boundary, headers and query are convenience.
func TestTheStrictestWins(t *testing.T) {
	f := startFake(t, "legacy", tool("x"))
	allowed := func(s *configstore.Server) { s.Rules.AllowInPlanMode = true }
	r := newRig(t, f.record("plan", allowed), f.record("act"))
	pinned := r.token("user", "alice", func(k *configstore.APIToken) { k.Mode = "plan" })
	free := r.token("user", "alice")
	only := r.token("user", "alice", func(k *configstore.APIToken) { k.Servers = []string{"act"} })
	for name, test := range map[string]struct {
		token, path string
		header      []string
		want        []string
	}{
		"nothing said":               {free, "/mcp", nil, []string{"act__x", "plan__x"}},
		"a token for planning":       {pinned, "/mcp", nil, []string{"plan__x"}},
		"it says that it acts":       {pinned, "/mcp?mode=act", []string{"Sidecar-Mode", "act"}, []string{"plan__x"}},
		"the query plans":            {free, "/mcp?mode=plan", []string{"Sidecar-Mode", "act"}, []string{"plan__x"}},
		"the header plans":           {free, "/mcp?mode=act", []string{"Sidecar-Mode", "plan"}, []string{"plan__x"}},
		"a child plans":              {free, "/mcp?mode=plan&agent=subagent", nil, []string{}},
		"a token for one server":     {only, "/mcp", nil, []string{"act__x"}},
		"it asks for another":        {only, "/mcp?servers=plan", nil, []string{}},
		"header and query intersect": {free, "/mcp?servers=plan,act", []string{"Sidecar-Servers", "act"}, []string{"act__x"}},
	} {
		for _, era := range eras {
			if got := r.client(era, test.path, test.token, test.header...).list(); !slices.Equal(got, test.want) {
				t.Errorf("%s (%s): %v, want %v", name, era, got, test.want)
			}
		}
	}
}

func TestMediaTypes(t *testing.T) {
	f := startFake(t, "legacy", tool("x"))
	r := newRig(t, f.record("one"))
	c := r.client("modern", "/mcp", r.token("user", "alice"))
	for kind, want := range map[string]int{
		"application/json": 200, "application/json; charset=utf-8": 200, "Application/JSON": 200,
		"text/plain": 415, "": 415, "application/json; charset=latin1": 415, "application/jsonx": 415,
	} {
		request := c.asked("tools/list", "", "", "")
		request.Header.Set("Content-Type", kind)
		if got := c.do(request); got.status != want {
			t.Errorf("Content-Type %q: %d, want %d", kind, got.status, want)
		}
	}
	for accept, want := range map[string]int{"application/json": 200, "text/event-stream": 200, "*/*": 200, "application/*": 200, "text/html": 406} {
		request := c.asked("tools/call", "one__x", `"name":"one__x"`, "")
		request.Header.Set("Accept", accept)
		got := c.do(request)
		if got.status != want {
			t.Errorf("Accept %q: %d, want %d", accept, got.status, want)
		}
		if kind := got.header.Get("Content-Type"); want == 200 && accept == "text/event-stream" && kind != accept {
			t.Errorf("Accept %q was answered with %q", accept, kind)
		}
	}
}

func TestABodyThatIsTooLarge(t *testing.T) {
	f := startFake(t, "legacy", tool("x"))
	r := newRigWith(t, func(c *proxy.Config) { c.MaxBody = 10_000 }, f.record("one"))
	c := r.client("legacy", "/mcp", r.token("user", "alice"))
	body := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"one__x","arguments":{"a":"` + strings.Repeat("x", 10_000) + `"}}}`
	if got := c.post(body); got.status != http.StatusRequestEntityTooLarge {
		t.Errorf("with a length: %d", got.status)
	}
	if got := c.do(c.request(http.MethodPost, io.MultiReader(strings.NewReader(body)))); got.status != http.StatusRequestEntityTooLarge {
		t.Errorf("in chunks: %d", got.status)
	}
	if n := len(f.seenOf("tools/call")); n != 0 {
		t.Errorf("%d calls reached the server", n)
	}
}

func TestUnknownMethods(t *testing.T) {
	f := startFake(t, "legacy", tool("x"))
	r := newRig(t, f.record("one", func(s *configstore.Server) { s.Rules.ToolAllowList = []string{"x"} }))
	for _, era := range eras {
		c := r.client(era, "/mcp/one", r.token("user", "alice"))
		for _, method := range []string{"tools/invoke", "tasks/get", "x/y", "sampling/createMessage"} {
			got := c.ask(method, "", "", "")
			if m := got.last(t); m.Error == nil || m.Error.Code != -32601 || (got.status == 404) != (era == "modern") {
				t.Errorf("%s %s: %d %s", era, method, got.status, got.body)
			}
		}
	}
	for _, method := range f.beyondHello() {
		t.Errorf("%s reached the server", method)
	}
}

func TestPolicyRunsOnTheOriginalName(t *testing.T) {
	f := startFake(t, "legacy", tool("admin.drop"), tool("admin.list"))
	r := newRig(t, f.record("one", func(s *configstore.Server) { s.Rules.ToolDenyList = []string{"admin.drop"} }))
	c := r.client("modern", "/mcp", r.token("user", "alice"))
	listed := c.list()
	if len(listed) != 1 || listed[0] != policy.ExposedName("one", "admin.list") {
		t.Fatalf("listed %v", listed)
	}
	if got := c.call(listed[0], `{}`); got.text() != "admin.list {}" {
		t.Errorf("calling it: %s", got.raw.body)
	}
	if got := c.call(policy.ExposedName("one", "admin.drop"), `{}`); got.code != -32602 {
		t.Errorf("calling the denied one: %s", got.raw.body)
	}
}
