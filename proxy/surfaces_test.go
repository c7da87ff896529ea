package proxy_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"mcpsidecar/configstore"
	"mcpsidecar/policy"
	"mcpsidecar/proxy"
)

// notFound is the code of an unknown resource in each era.
var notFound = map[string]int{"modern": -32602, "legacy": -32002}

func TestPromptsInEveryCombination(t *testing.T) {
	everyCombination(t, func(t *testing.T, clientEra, serverEra string) {
		f := startStocked(t, serverEra, &stock{prompts: []string{prompt("zeta"), prompt("alpha beta")}})
		r := newRig(t, f.record("one"))
		token := r.token("user", "alice")
		all, single := r.client(clientEra, "/mcp", token), r.client(clientEra, "/mcp/one", token)
		merged := all.shelf("prompts/list", "")
		if len(merged.keys) != 2 || !strings.HasPrefix(merged.keys[0], "one__alpha_beta_") || merged.keys[1] != "one__zeta" {
			t.Fatalf("/mcp lists %q", merged.keys)
		}
		if !strings.Contains(merged.raw, `"arguments":[{"name":"who"}],"extra":[1, 2]}`) {
			t.Errorf("an entry is not as the server gave it: %s", merged.raw)
		}
		wantKeys(t, "/mcp/one", single.shelf("prompts/list", "").keys, []string{"alpha beta", "zeta"})
		for _, member := range []string{"resultType", "ttlMs", "cacheScope"} {
			if _, has := merged.result[member]; has != (clientEra == "modern") {
				t.Errorf("%s in the list of a %s client: %v", member, clientEra, has)
			}
		}
		for name, c := range map[string]*client{merged.keys[0]: all, "alpha beta": single} {
			got := c.get(name)
			if !strings.Contains(string(got.Result), `"got":"alpha beta","arguments":{"who":"you"}`) || strings.Contains(string(got.Result), `"resultType":"complete"`) != (clientEra == "modern") {
				t.Errorf("getting %q: %s", name, got.Result)
			}
			if header := f.lastOf(t, "prompts/get").Header.Get("Mcp-Name"); (header == "alpha beta") != (serverEra == "modern") {
				t.Errorf("Mcp-Name towards a %s server is %q", serverEra, header)
			}
		}
	})
}

func TestResourcesInEveryCombination(t *testing.T) {
	everyCombination(t, func(t *testing.T, clientEra, serverEra string) {
		f := startStocked(t, serverEra, &stock{resources: []string{resource("x://b"), resource("ui://a")}, templates: []string{resourceTemplate("x://t/{id}")}})
		r := newRig(t, f.record("one"))
		token := r.token("user", "alice")
		all, single := r.client(clientEra, "/mcp", token), r.client(clientEra, "/mcp/one", token)
		for _, c := range []*client{all, single} {
			wantKeys(t, c.path+" resources", c.shelf("resources/list", "").keys, []string{"ui://a", "x://b"})
			wantKeys(t, c.path+" templates", c.shelf("resources/templates/list", "").keys, []string{"x://t/{id}"})
			for _, uri := range []string{"ui://a", "x://b", "x://t/7", "sidecar+one:x://nowhere/listed"} {
				if c == single {
					uri = strings.TrimPrefix(uri, "sidecar+one:") // there it would be the server's own
				}
				got := c.read(uri)
				original := strings.TrimPrefix(uri, "sidecar+one:")
				if !strings.Contains(string(got.Result), fmt.Sprintf(`"contents":[{"uri":%q,"text":"t"}]`, original)) {
					t.Errorf("%s: reading %s: %s", c.path, uri, got.Result)
				}
				if header := f.lastOf(t, "resources/read").Header.Get("Mcp-Name"); (header == original) != (serverEra == "modern") {
					t.Errorf("Mcp-Name towards a %s server is %q", serverEra, header)
				}
				// A legacy server says nothing of how long a result is good, and a legacy client knows nothing of it.
				want := map[string]string{"modern modern": `"ttlMs":7000,"cacheScope":"public"`, "modern legacy": `"ttlMs":0,"cacheScope":"private"`}[clientEra+" "+serverEra]
				if want == "" && strings.Contains(string(got.Result), "ttlMs") || !strings.Contains(string(got.Result), want) {
					t.Errorf("%s: caching: %s", c.path, got.Result)
				}
			}
		}
		if got := all.read("x://nowhere"); got.code() != notFound[clientEra] || !strings.Contains(string(got.Error.Data), "x://nowhere") {
			t.Errorf("a URI that nobody lists: %+v", got.Error)
		}
		if got := single.read("x://missing"); got.code() != notFound[clientEra] {
			t.Errorf("the server's word for a missing resource reaches a %s client as %+v", clientEra, got.Error)
		}
	})
}

func TestCompletionsInEveryCombination(t *testing.T) {
	everyCombination(t, func(t *testing.T, clientEra, serverEra string) {
		f := startStocked(t, serverEra, &stock{prompts: []string{prompt("p q")}, resources: []string{resource("y://r")}, templates: []string{resourceTemplate("x://{id}")}})
		r := newRig(t, f.record("one"))
		token := r.token("user", "alice")
		all, single := r.client(clientEra, "/mcp", token), r.client(clientEra, "/mcp/one", token)
		exposed := all.shelf("prompts/list", "").keys[0]
		for _, test := range []struct {
			c               *client
			kind, key, name string
			want            string // what the server was asked for
		}{
			{all, "ref/prompt", "name", exposed, `{"type":"ref/prompt","name":"p q","title":"kept"}`},
			{single, "ref/prompt", "name", "p q", `{"type":"ref/prompt","name":"p q","title":"kept"}`},
			{all, "ref/resource", "uri", "x://{id}", `{"type":"ref/resource","uri":"x://{id}","title":"kept"}`},
			{all, "ref/resource", "uri", "sidecar+one:x://{id}", `{"type":"ref/resource","uri":"x://{id}","title":"kept"}`},
			{all, "ref/resource", "uri", "y://r", `{"type":"ref/resource","uri":"y://r","title":"kept"}`},
			{single, "ref/resource", "uri", "x://{id}", `{"type":"ref/resource","uri":"x://{id}","title":"kept"}`},
		} {
			got := test.c.complete(test.kind, test.key, test.name)
			if !strings.Contains(string(got.Result), `"completion":{"values":["a"]}`) || !strings.Contains(string(got.Result), test.want) {
				t.Errorf("%s %s: %s %+v", test.c.path, test.name, got.Result, got.Error)
			}
			if f.lastOf(t, "completion/complete").Header.Get("Mcp-Name") != "" {
				t.Error("a completion has no Mcp-Name")
			}
		}
		for name, good := range map[string]bool{exposed: true, "one__another": false} {
			request := all.asked("completion/complete", "", `"ref":{"type":"ref/prompt","name":"`+exposed+`"},"argument":{"name":"a","value":"x"}`, "")
			request.Header.Set("Mcp-Name", name)
			if got := all.do(request).last(t); (got.Error == nil) != good {
				t.Errorf("a completion whose Mcp-Name is %q: %s %+v", name, got.Result, got.Error)
			}
		}
		for what, got := range map[string]message{
			"an unknown prompt":   all.complete("ref/prompt", "name", "one__no"),
			"an unknown template": all.complete("ref/resource", "uri", "y://{id}"),
			"another type":        all.complete("ref/tool", "name", "one__x"),
			"no name":             all.complete("ref/prompt", "uri", exposed),
		} {
			if got.code() != -32602 {
				t.Errorf("%s: %s", what, got.Result)
			}
		}
	})
}

// TestWhatIsNotOfferedIsNotAskedFor: a server is taken at its word.
func TestWhatIsNotOfferedIsNotAskedFor(t *testing.T) {
	for _, era := range eras {
		f := startStocked(t, era, &stock{capabilities: `{"tools":{}}`, prompts: []string{prompt("p")}, resources: []string{resource("x:")}})
		half := startStocked(t, era, &stock{capabilities: `{"prompts":{}}`, prompts: []string{prompt("p")}})
		r := newRig(t, f.record("one"), half.record("two"))
		c := r.client(era, "/mcp", r.token("user", "alice"))
		wantKeys(t, "prompts", c.shelf("prompts/list", "").keys, []string{"two__p"})
		wantKeys(t, "resources", c.shelf("resources/list", "").keys, nil)
		wantKeys(t, "templates", c.shelf("resources/templates/list", "").keys, nil)
		single := r.client(era, "/mcp/one", c.token)
		if got := single.read("x:"); got.code() != notFound[era] {
			t.Errorf("reading: %s", got.Result)
		}
		if got := c.complete("ref/prompt", "name", "two__p"); !strings.Contains(string(got.Result), `"values":[]`) {
			t.Errorf("completing: %+v", got)
		}
		for _, method := range []string{"prompts/list", "resources/list", "resources/templates/list", "resources/read", "completion/complete"} {
			if n := len(f.seenOf(method)); n != 0 {
				t.Errorf("%s was asked for %d times", method, n)
			}
		}
		if n := len(half.seenOf("completion/complete")); n != 0 {
			t.Errorf("completions were asked for %d times", n)
		}
	}
}

// TestURIsOfTwoServers: whoever lists a URI owns it; what two of them list has to say whose it is.
func TestURIsOfTwoServers(t *testing.T) {
	a := startStocked(t, "modern", &stock{resources: []string{resource("x://both"), resource("x://a")}, templates: []string{resourceTemplate("t://{both}"), resourceTemplate("a://{id}")}})
	b := startStocked(t, "legacy", &stock{resources: []string{resource("x://both"), resource("a://listed")}, templates: []string{resourceTemplate("t://{both}")}})
	for _, order := range [][]configstore.Server{{a.record("a"), b.record("b")}, {b.record("b"), a.record("a")}} {
		r := newRig(t, order...)
		c := r.client("modern", "/mcp", r.token("user", "alice"))
		wantKeys(t, "resources", c.shelf("resources/list", "").keys, []string{"x://a", "sidecar+a:x://both", "a://listed", "sidecar+b:x://both"})
		wantKeys(t, "templates", c.shelf("resources/templates/list", "").keys, []string{"a://{id}", "sidecar+a:t://{both}", "sidecar+b:t://{both}"})
		reads := func() (int, int) { return len(a.seenOf("resources/read")), len(b.seenOf("resources/read")) }
		for _, test := range []struct {
			uri     string
			fromA   int
			fromB   int
			unknown bool
		}{
			{uri: "sidecar+a:x://both", fromA: 1}, {uri: "sidecar+b:x://both", fromB: 1}, {uri: "x://both", unknown: true},
			{uri: "x://a", fromA: 1}, {uri: "a://1", fromA: 1}, {uri: "a://listed", fromB: 1}, // who lists it comes before who might have it
			{uri: "t://1", unknown: true}, {uri: "sidecar+b:t://1", fromB: 1}, {uri: "sidecar+c:x://both", unknown: true},
		} {
			beforeA, beforeB := reads()
			got := c.read(test.uri)
			afterA, afterB := reads()
			if afterA-beforeA != test.fromA || afterB-beforeB != test.fromB || (got.code() == -32602) != test.unknown {
				t.Errorf("%s: %d reads of a, %d of b: %s %+v", test.uri, afterA-beforeA, afterB-beforeB, got.Result, got.Error)
			}
		}
		// A caller who sees one of them only is not told of the other.
		alone := r.client("modern", "/mcp?servers=a", c.token)
		wantKeys(t, "alone", alone.shelf("resources/list", "").keys, []string{"x://a", "x://both"})
		if got := alone.read("x://both"); got.code() != 0 {
			t.Errorf("alone: %+v", got.Error)
		}
	}
}

// TestInterfacesOfTools: the URI that a tool names as its interface is its server's, though it is in no list.
func TestInterfacesOfTools(t *testing.T) {
	f := startStocked(t, "modern", &stock{})
	f.setTools(tool("x", `"_meta":{"ui":{"resourceUri":"ui://one/view"}}`), tool("y", `"_meta":{"ui/resourceUri":"ui://one/old"}`), tool("z", `"_meta":{"ui":{"resourceUri":"ui://shared"}}`))
	g := startStocked(t, "modern", &stock{})
	g.setTools(tool("z", `"_meta":{"ui":{"resourceUri":"ui://shared"}}`))
	r := newRig(t, f.record("one"), g.record("two"))
	c := r.client("modern", "/mcp", r.token("user", "alice"))
	for uri, want := range map[string]int{"ui://one/view": 0, "ui://one/old": 0, "ui://shared": -32602, "ui://one/other": -32602} {
		if got := c.read(uri); got.code() != want {
			t.Errorf("%s: %s %+v", uri, got.Result, got.Error)
		}
	}
	if len(g.seenOf("resources/read")) != 0 {
		t.Error("the other server was asked")
	}
}

// TestSurfacesArePolicy is P-11: what is not exposed, not visible, or not for planning is neither listed nor used, and looks like what does not exist. The server hears of nothing.
func TestSurfacesArePolicy(t *testing.T) {
	everyCombination(t, func(t *testing.T, clientEra, serverEra string) {
		for what, rules := range map[string]func(*configstore.Server){
			"not exposed": func(s *configstore.Server) { s.Rules.Expose = []policy.Surface{policy.Tools} },
			"not visible": func(s *configstore.Server) { s.Rules.VisibleTo = []string{"bob"} },
			"disabled":    func(s *configstore.Server) { s.Rules.Enabled = false },
			"not chosen":  func(s *configstore.Server) { s.Rules.Availability = policy.DefaultOff },
		} {
			f := startStocked(t, serverEra, &stock{prompts: []string{prompt("p")}, resources: []string{resource("x://r")}, templates: []string{resourceTemplate("x://{t}")}})
			other := startStocked(t, serverEra, &stock{prompts: []string{prompt("p")}, resources: []string{resource("y://r")}})
			r := newRig(t, f.record("one", rules), other.record("other"))
			c := r.client(clientEra, "/mcp", r.token("user", "alice"))
			wantKeys(t, what+": prompts", c.shelf("prompts/list", "").keys, []string{"other__p"})
			wantKeys(t, what+": resources", c.shelf("resources/list", "").keys, []string{"y://r"})
			wantKeys(t, what+": templates", c.shelf("resources/templates/list", "").keys, nil)
			prompted := func(name string) message { return c.complete("ref/prompt", "name", name) }
			templated := func(uri string) message { return c.complete("ref/resource", "uri", uri) }
			for _, pair := range []struct {
				use             func(string) message
				denied, unknown string
			}{
				{c.get, "one__p", "one__q"}, {c.get, "one__p", "nobody__p"},
				{c.read, "x://r", "z://r"}, {c.read, "x://t", "z://t"}, {c.read, "sidecar+one:x://r", "sidecar+nobody:x://r"},
				{prompted, "one__p", "one__q"}, {templated, "x://{t}", "z://{t}"},
			} {
				denied, unknown := pair.use(pair.denied).refusal(pair.denied), pair.use(pair.unknown).refusal(pair.unknown)
				if denied == "" || denied != unknown {
					t.Errorf("%s: denied %q, unknown %q", what, denied, unknown)
				}
			}
			for _, method := range []string{"initialize", "server/discover", "prompts/list", "prompts/get", "resources/list", "resources/read", "completion/complete"} {
				hello := what == "not exposed" && (method == "initialize" || method == "server/discover") // its tools are, and clients are told what it has of those
				if n := len(f.seenOf(method)); n != 0 && !hello {
					t.Errorf("%s: the server was asked for %s", what, method)
				}
			}
		}
	})
}

func TestPlanModeOfSurfaces(t *testing.T) {
	f := startStocked(t, "modern", &stock{prompts: []string{prompt("p")}, resources: []string{resource("x://r")}})
	g := startStocked(t, "modern", &stock{prompts: []string{prompt("p")}, resources: []string{resource("y://r")}})
	r := newRig(t, f.record("one", func(s *configstore.Server) { s.Rules.AllowInPlanMode = true }), g.record("two"))
	token := r.token("user", "alice")
	for query, want := range map[string][2][]string{
		"":                          {{"one__p", "two__p"}, {"x://r", "y://r"}},
		"?mode=plan":                {{"one__p"}, {"x://r"}},
		"?mode=plan&agent=subagent": {nil, nil},
	} {
		c := r.client("modern", "/mcp"+query, token)
		wantKeys(t, query, c.shelf("prompts/list", "").keys, want[0])
		wantKeys(t, query, c.shelf("resources/list", "").keys, want[1])
		if got := c.get("two__p"); (got.code() == 0) != (len(want[0]) == 2) {
			t.Errorf("%s: getting: %+v", query, got)
		}
		if got := c.read("x://r"); (got.code() == 0) != (len(want[1]) > 0) {
			t.Errorf("%s: reading: %+v", query, got)
		}
	}
}

// TestPagesOfLists: every page of a server is followed, and a long list has pages of our own.
func TestPagesOfLists(t *testing.T) {
	everyCombination(t, func(t *testing.T, clientEra, serverEra string) {
		s := &stock{page: 70}
		for i := range 1203 {
			s.resources = append(s.resources, resource(fmt.Sprintf("x://%04d", i)))
		}
		f := startStocked(t, serverEra, s)
		r := newRig(t, f.record("one"))
		c := r.client(clientEra, "/mcp", r.token("user", "alice"))
		var all []string
		cursor := ""
		for range 3 {
			page := c.shelf("resources/list", cursor)
			all, cursor = append(all, page.keys...), page.next
		}
		if len(all) != 1203 || cursor != "" || all[1202] != "x://1202" {
			t.Errorf("%d resources, then %q", len(all), cursor)
		}
		cursor = c.shelf("resources/list", "").next
		for what, refused := range map[string]answer{
			"of another list": c.ask("resources/templates/list", "", fmt.Sprintf(`"cursor":%q`, cursor), ""),
			"forged":          c.ask("resources/list", "", `"cursor":"AAAA"`, ""),
			"empty":           c.ask("resources/list", "", `"cursor":""`, ""),
			"a number":        c.ask("resources/list", "", `"cursor":7`, ""),
		} {
			if refused.last(t).code() != -32602 {
				t.Errorf("a cursor %s: %s", what, refused.body)
			}
		}
	})
}

func TestListsOfServersThatAreDownOrOld(t *testing.T) {
	s, down := &stock{prompts: []string{prompt("p")}, resources: []string{resource("x://r")}}, &stock{broken: true}
	f, g := startStocked(t, "legacy", s), startStocked(t, "modern", down)
	clock := &fakeClock{at: time.Now()}
	r := newRigWith(t, func(c *proxy.Config) { c.Now = clock.now }, f.record("one"), g.record("down"))
	c := r.client("modern", "/mcp", r.token("user", "alice"))
	for _, method := range []string{"prompts/list", "resources/list"} {
		got := c.shelf(method, "")
		wantKeys(t, method+" unavailable", got.unavailable, []string{"down"})
		if len(got.keys) != 1 || got.stale != nil {
			t.Errorf("%s: %s", method, got.raw)
		}
	}
	s.set(func() { s.broken = true })
	clock.add(2 * time.Minute)
	for _, method := range []string{"prompts/list", "resources/list"} {
		got := c.shelf(method, "")
		wantKeys(t, method+" stale", got.stale, []string{"one"})
		if len(got.keys) != 1 {
			t.Errorf("%s: %s", method, got.raw)
		}
	}
	if got := c.get("one__p"); got.code() != 0 {
		t.Errorf("an old list is good enough to use: %+v", got.Error)
	}
	if got := c.get("down__p"); got.code() != -32603 || !strings.Contains(got.Error.Message, `"down"`) {
		t.Errorf("a server that is down: %+v", got.Error)
	}
	// A single server is asked for what it has, also when it cannot say what that is.
	for _, uri := range []string{"x://r", "x://unlisted"} {
		if got := r.client("modern", "/mcp/one", c.token).read(uri); got.code() != 0 {
			t.Errorf("reading %s: %+v", uri, got.Error)
		}
	}
	// Nor is a list asked for at every turn that fails.
	before := len(g.seenOf("prompts/list"))
	for range 5 {
		c.shelf("prompts/list", "")
	}
	if n := len(g.seenOf("prompts/list")) - before; n > 1 {
		t.Errorf("the server that is down was asked %d times for 5 lists", n)
	}
}

// TestTemplatesNeedNotBeKnown: servers without templates say so in many ways.
func TestTemplatesNeedNotBeKnown(t *testing.T) {
	for _, code := range []int{-32601, -32603, -32600} {
		f := startStocked(t, "legacy", &stock{resources: []string{resource("x://r")}})
		stocked := f.before
		f.before = func(w http.ResponseWriter, r *http.Request, m seen) bool {
			if m.Method != "resources/templates/list" {
				return stocked(w, r, m)
			}
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"error":{"code":%d,"message":"what?"}}`, m.ID, code)
			return true
		}
		r := newRig(t, f.record("one"))
		c := r.client("modern", "/mcp", r.token("user", "alice"))
		wantKeys(t, "resources", c.shelf("resources/list", "").keys, []string{"x://r"})
	}
}

// TestChangesOfEveryListAreTold: the server says that its list is another, and whoever listens hears it of the list that changed.
func TestChangesOfEveryListAreTold(t *testing.T) {
	everyCombination(t, func(t *testing.T, clientEra, serverEra string) {
		s := &stock{prompts: []string{prompt("p")}, resources: []string{resource("x://r")}}
		f := startStocked(t, serverEra, s)
		say := make(chan string)
		stream := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			w.(http.Flusher).Flush()
			for {
				select {
				case method := <-say:
					fmt.Fprintf(w, "data: {\"jsonrpc\":\"2.0\",\"method\":%q}\n\n", method)
					w.(http.Flusher).Flush()
				case <-r.Context().Done():
					return
				}
			}
		})
		handler := f.Config.Handler
		f.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet || r.Header.Get("Mcp-Method") == "subscriptions/listen" {
				stream(w, r)
				return
			}
			handler.ServeHTTP(w, r)
		})
		r := newRig(t, f.record("one"))
		c := r.client(clientEra, "/mcp", r.token("user", "alice"))
		c.shelf("prompts/list", "")
		c.shelf("resources/list", "")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		events := c.listenTo(ctx, `{"promptsListChanged":true,"resourcesListChanged":true}`)
		if clientEra == "modern" {
			if got := <-events; !strings.Contains(got, `"notifications":{"promptsListChanged":true,"resourcesListChanged":true}`) {
				t.Errorf("acknowledged: %s", got)
			}
		}
		s.set(func() { s.prompts = append(s.prompts, prompt("q")) })
		say <- "notifications/prompts/list_changed"
		if got := <-events; !strings.Contains(got, `"notifications/prompts/list_changed"`) {
			t.Errorf("prompts: %s", got)
		}
		wantKeys(t, "prompts", c.shelf("prompts/list", "").keys, []string{"one__p", "one__q"})
		s.set(func() { s.templates = append(s.templates, resourceTemplate("x://{id}")) })
		say <- "notifications/resources/list_changed"
		if got := <-events; !strings.Contains(got, `"notifications/resources/list_changed"`) {
			t.Errorf("resources: %s", got)
		}
		wantKeys(t, "templates", c.shelf("resources/templates/list", "").keys, []string{"x://{id}"})
		// A server whose prompts are not exposed any more is another list, too.
		r.load(f.record("one", func(s *configstore.Server) {
			s.Rules.Expose = []policy.Surface{policy.Tools, policy.Resources}
			s.Revision = 2
		}))
		if got := <-events; !strings.Contains(got, `"notifications/prompts/list_changed"`) {
			t.Errorf("expose: %s", got)
		}
		if len(f.seenOf("tools/list")) != 0 {
			t.Error("tools were asked for, which nobody had")
		}
	})
}

// TestReadsAreStreamed: whatever a server says before its answer comes through, as with calls.
func TestReadsAreStreamed(t *testing.T) {
	everyCombination(t, func(t *testing.T, clientEra, serverEra string) {
		f := startStocked(t, serverEra, &stock{resources: []string{resource("x://r")}})
		stocked := f.before
		f.before = func(w http.ResponseWriter, r *http.Request, m seen) bool {
			if m.Method != "resources/read" {
				return stocked(w, r, m)
			}
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprintf(w, "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":%s,\"progress\":1}}\n\n", m.Params.Meta.Token)
			io.WriteString(w, "data: ")
			reply(w, m, `{`+f.complete(`"ttlMs":1,"cacheScope":"public",`)+`"contents":[]}`)
			io.WriteString(w, "\n\n")
			return true
		}
		r := newRig(t, f.record("one"))
		c := r.client(clientEra, "/mcp", r.token("user", "alice"))
		got := c.ask("resources/read", "x://r", `"uri":"x://r"`, `"progressToken":"mine"`)
		if len(got.events) != 2 || !strings.Contains(got.events[0], `"progressToken":"mine"`) || !strings.Contains(got.events[1], `"contents":[]`) {
			t.Errorf("heard %q", got.events)
		}
	})
}

func TestCancellationOfARead(t *testing.T) {
	everyCombination(t, func(t *testing.T, clientEra, serverEra string) {
		f := startStocked(t, serverEra, &stock{resources: []string{resource("x://r")}})
		started, gone := make(chan struct{}), make(chan struct{})
		stocked := f.before
		f.before = func(w http.ResponseWriter, r *http.Request, m seen) bool {
			if m.Method != "resources/read" {
				return stocked(w, r, m)
			}
			close(started)
			<-r.Context().Done()
			close(gone)
			return true
		}
		r := newRig(t, f.record("one"))
		c := r.client(clientEra, "/mcp", r.token("user", "alice"))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			if response, err := http.DefaultClient.Do(c.asked("resources/read", "x://r", `"uri":"x://r"`, "").WithContext(ctx)); err == nil {
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
		cancel()
	})
}

func TestHeadersOfSurfacesAreHeldAgainstTheBody(t *testing.T) {
	f := startStocked(t, "modern", &stock{prompts: []string{prompt("p")}, resources: []string{resource("x://ü")}})
	r := newRig(t, f.record("one"))
	c := r.client("modern", "/mcp", r.token("user", "alice"))
	for _, test := range []struct {
		method, header, params string
		want                   int
	}{
		{"prompts/get", "one__p", `"name":"one__p"`, 0},
		{"prompts/get", "one__q", `"name":"one__p"`, -32020},
		{"prompts/get", "", `"name":"one__p"`, -32020},
		{"resources/read", "=?base64?eDovL8O8?=", `"uri":"x://ü"`, 0},
		{"resources/read", "x://r", `"uri":"x://ü"`, -32020},
		{"resources/read", "", `"uri":"x://ü"`, -32020},
		{"prompts/get", "7", `"name":7`, -32602},
		{"prompts/get", "", ``, -32602},
		{"resources/read", "", `"uri":""`, -32602},
	} {
		if got := c.ask(test.method, test.header, test.params, ""); got.last(t).code() != test.want {
			t.Errorf("%s with %q for %s: %s", test.method, test.header, test.params, got.body)
		}
	}
}

func TestWhatIsRecordedOfSurfaces(t *testing.T) {
	f := startStocked(t, "legacy", &stock{prompts: []string{prompt("p")}, resources: []string{resource("x://r")}})
	r := newRig(t, f.record("one"))
	c := r.client("modern", "/mcp", r.token("user", "alice"))
	c.get("one__p")
	c.get("one__q")
	c.read("x://r")
	c.complete("ref/prompt", "name", "one__p")
	waitFor(t, func() bool { return strings.Count(readFile(t, r.audit), "\n") == 4 })
	for i, line := range strings.Split(strings.TrimSpace(readFile(t, r.audit)), "\n") {
		for _, want := range [][]string{
			{`"prompts/get"`, `"p"`, `"one"`, `"allowed"`, `"ok"`}, {`"prompts/get"`, `"one__q"`, `"denied"`, `"unknown"`},
			{`"resources/read"`, `"x://r"`, `"allowed"`}, {`"completion/complete"`, `"p"`, `"allowed"`},
		}[i] {
			if !strings.Contains(line, want) {
				t.Errorf("record %d has no %s: %s", i, want, line)
			}
		}
		if strings.Contains(line, `"you"`) {
			t.Errorf("an argument was recorded: %s", line)
		}
	}
}

// TestAPromptThatAppearsIsFound: naming it says no and has the list fetched.
func TestAPromptThatAppearsIsFound(t *testing.T) {
	s := &stock{}
	f := startStocked(t, "legacy", s)
	r := newRig(t, f.record("one"))
	c := r.client("modern", "/mcp", r.token("user", "alice"))
	c.shelf("prompts/list", "")
	c.shelf("resources/list", "")
	s.set(func() { s.prompts, s.resources = []string{prompt("p")}, []string{resource("x://r")} })
	if got := c.get("one__p"); got.code() != -32602 {
		t.Fatalf("at first: %+v", got)
	}
	if got := c.read("x://r"); got.code() != -32602 {
		t.Fatalf("at first: %+v", got)
	}
	waitFor(t, func() bool { return c.get("one__p").code() == 0 })
	waitFor(t, func() bool { return c.read("x://r").code() == 0 })
}

// TestSurfacesOfAccounts: a user's own account decides what is listed, and without one the answer says how to connect it.
func TestSurfacesOfAccounts(t *testing.T) {
	for _, era := range eras {
		f := startStocked(t, era, &stock{prompts: []string{prompt("p")}, resources: []string{resource("x://r")}})
		stocked := f.before
		account(f, closedServer, "a-1")
		closed := f.before
		f.before = func(w http.ResponseWriter, r *http.Request, m seen) bool { return closed(w, r, m) || stocked(w, r, m) }
		r, g := accountRig(t, f)
		g.give("alice", "a-1")
		alice, bob := r.client(era, "/mcp", r.token("user", "alice")), r.client(era, "/mcp", r.token("user", "bob"))
		wantKeys(t, "alice", alice.shelf("prompts/list", "").keys, []string{"one__p"})
		wantKeys(t, "bob", bob.shelf("prompts/list", "").keys, nil)
		if got := alice.read("x://r"); got.code() != 0 {
			t.Errorf("alice: %+v", got.Error)
		}
		if got := bob.get("one__p"); got.code() != -32603 || !strings.Contains(got.Error.Message, "http://127.0.0.1/connect/bob") {
			t.Errorf("bob: %+v", got)
		}
		if got := bob.read("x://r"); got.code() != notFound[era] {
			t.Errorf("bob: %+v", got)
		}
	}
}
