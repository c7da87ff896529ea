package proxy_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"mcpsidecar/configstore"
	"mcpsidecar/policy"
	"mcpsidecar/proxy"
)

func TestUpdatesInEveryCombination(t *testing.T) {
	everyCombination(t, func(t *testing.T, clientEra, serverEra string) {
		l := startTeller(t, serverEra, "x://a", "x://b")
		r := newRig(t, l.record("one"))
		token := r.token("user", "alice")
		for _, path := range []string{"/mcp", "/mcp/one"} {
			f := r.client(clientEra, path, token).follow("x://a", "x://b")
			l.isWatched(t, "x://a", "x://b")
			l.say("x://a")
			f.wantUpdate("x://a")
			l.say("x://b")
			f.wantUpdate("x://b")
			l.say("x://b/part")
			f.wantUpdate("x://b/part")
			f.unfollow("x://a", "x://b")
			l.isWatched(t)
			f.end()
		}
	})
}

// TestOneStreamHoweverManyListen: what several subscribe to is one subscription, and goes when the last of them goes.
func TestOneStreamHoweverManyListen(t *testing.T) {
	for _, serverEra := range eras {
		t.Run(serverEra, func(t *testing.T) {
			l := startTeller(t, serverEra, "x://a", "x://b")
			r := newRig(t, l.record("one"))
			var all []*follower
			for i := range 6 {
				c := r.client(eras[i%2], "/mcp", r.token("user", fmt.Sprint("user-", i)))
				all = append(all, c.follow("x://a"))
			}
			l.mu.Lock()
			streams, sessions := len(l.streams), l.sessions
			l.mu.Unlock()
			if streams != 1 || sessions > 1 || l.watched()["x://a"] != 1 {
				t.Errorf("%d streams in %d sessions, watched %v", streams, sessions, l.watched())
			}
			l.say("x://a")
			for _, f := range all {
				f.wantUpdate("x://a")
			}
			for _, f := range all[1:] {
				f.unfollow("x://a")
				f.end()
			}
			l.say("x://a")
			all[0].wantUpdate("x://a")
			all[0].unfollow("x://a")
			l.isWatched(t)
		})
	}
}

// TestSubscriptionsFollowCalls: some legacy servers tell of a change only the session that made it.
func TestSubscriptionsFollowCalls(t *testing.T) {
	for _, clientEra := range eras {
		for _, order := range []string{"subscribe first", "call first"} {
			t.Run(clientEra+", "+order, func(t *testing.T) {
				l := startTeller(t, "legacy", "x://a")
				r := newRig(t, l.record("one"))
				token := r.token("user", "alice")
				other := r.client("legacy", "/mcp", token).follow("x://a")
				c := r.client(clientEra, "/mcp", token)
				if order == "call first" {
					c.call("one__x", `{}`)
				}
				f := c.follow("x://a")
				for range 2 {
					if got := c.call("one__touch", `{"uri":"x://a"}`); got.code != 0 {
						t.Fatal(got.raw.body)
					}
					f.wantUpdate("x://a")
				}
				// Of the other chat it is no business, until the server says it to everyone; and nobody hears anything twice.
				l.say("x://a")
				f.wantUpdate("x://a")
				other.wantUpdate("x://a")
				f.unfollow("x://a")
				other.unfollow("x://a")
				l.isWatched(t)
			})
		}
	}
}

// TestASubscriptionToWhatMayNotBeSeen gets the answer of one that does not exist, and the server hears nothing of either.
func TestASubscriptionToWhatMayNotBeSeen(t *testing.T) {
	everyCombination(t, func(t *testing.T, clientEra, serverEra string) {
		l := startTeller(t, serverEra, "x://a")
		other := startTeller(t, serverEra, "x://mine")
		hidden := map[string]func(*configstore.Server){
			"not exposed": func(s *configstore.Server) { s.Rules.Expose = []policy.Surface{policy.Tools} },
			"disabled":    func(s *configstore.Server) { s.Rules.Enabled = false },
			"not visible": func(s *configstore.Server) { s.Rules.VisibleTo = []string{"bob"} },
			"not there":   nil,
		}
		for what, change := range hidden {
			servers := []configstore.Server{other.record("two")}
			if change != nil {
				servers = append(servers, l.record("one", change))
			}
			r := newRig(t, servers...)
			c := r.client(clientEra, "/mcp", r.token("user", "alice"))
			for _, uri := range []string{"x://a", "sidecar+one:x://a"} {
				method, params := "resources/subscribe", fmt.Sprintf(`"uri":%q`, uri)
				if clientEra == "modern" {
					method, params = "subscriptions/listen", fmt.Sprintf(`"notifications":{"resourceSubscriptions":[%q]}`, uri)
				}
				got := c.ask(method, "", params, "").last(t)
				if got.code() != notFound[clientEra] || got.Error.Message != "Resource not found" {
					t.Errorf("%s, %s: %+v", what, uri, got.Error)
				}
			}
			if clientEra == "modern" { // beside what can be granted it is left out
				f := r.client(clientEra, "/mcp", r.token("user", "alice"))
				heard := f.listenTo(t.Context(), `{"resourceSubscriptions":["x://a","x://mine","x://nowhere"]}`)
				if got := <-heard; !strings.Contains(got, `"notifications":{"resourceSubscriptions":["x://mine"]}}`) {
					t.Errorf("%s: acknowledged %s", what, got)
				}
			}
		}
		for _, method := range []string{"resources/subscribe", "subscriptions/listen"} {
			if n := len(l.seenOf(method)); n != 0 {
				t.Errorf("the server heard %d times of %s", n, method)
			}
		}
	})
}

// TestUpdatesAreJudgedWhenTheyAreTold: the rules of the moment count, not those of the subscription.
func TestUpdatesAreJudgedWhenTheyAreTold(t *testing.T) {
	everyCombination(t, func(t *testing.T, clientEra, serverEra string) {
		l, sign := startTeller(t, serverEra, "x://a"), startTeller(t, serverEra, "x://sign")
		r := newRig(t, l.record("one"), sign.record("two"))
		f := r.client(clientEra, "/mcp", r.token("user", "alice")).follow("x://a", "x://sign")
		changed := func(revision uint64, surfaces ...policy.Surface) configstore.Server {
			return l.record("one", func(s *configstore.Server) { s.Rules.Expose, s.Revision = surfaces, revision })
		}
		r.load(changed(2, policy.Tools), sign.record("two"))
		l.say("x://a")
		sign.say("x://sign")
		f.wantUpdate("x://sign")
		l.isWatched(t)
		// What is allowed again is told again, and first that something may have been missed.
		r.load(changed(3, policy.Tools, policy.Resources), sign.record("two"))
		l.isWatched(t, "x://a")
		f.wantUpdate("x://a")
	})
}

// TestSubscriptionsOutliveWhatBefallsServers: a restart of the server, and a move to another.
func TestSubscriptionsOutliveWhatBefallsServers(t *testing.T) {
	everyCombination(t, func(t *testing.T, clientEra, serverEra string) {
		l, next := startTeller(t, serverEra, "x://a"), startTeller(t, serverEra, "x://a")
		r := newRig(t, l.record("one"))
		f := r.client(clientEra, "/mcp", r.token("user", "alice")).follow("x://a")
		l.say("x://a")
		f.wantUpdate("x://a")
		l.restart()
		f.wantUpdate("x://a") // it may have been missed
		l.isWatched(t, "x://a")
		l.say("x://a")
		f.wantUpdate("x://a")

		r.load(next.record("one", func(s *configstore.Server) { s.Revision = 2 }))
		next.isWatched(t, "x://a")
		f.wantUpdate("x://a")
		l.isWatched(t)
		next.say("x://a")
		f.wantUpdate("x://a")
	})
}

// TestNamesOfUpdates: a client is told by the URI that it knows.
func TestNamesOfUpdates(t *testing.T) {
	everyCombination(t, func(t *testing.T, clientEra, serverEra string) {
		one, two := startTeller(t, serverEra, "x://a"), startTeller(t, serverEra, "x://a")
		r := newRig(t, one.record("one"), two.record("two"))
		f := r.client(clientEra, "/mcp", r.token("user", "alice")).follow("sidecar+two:x://a", "sidecar+one:x://a")
		two.say("x://a")
		f.wantUpdate("sidecar+two:x://a")
		one.say("x://a")
		f.wantUpdate("sidecar+one:x://a")
		one.say("x://a#part")
		f.wantUpdate("sidecar+one:x://a#part")
	})
}

// TestWhatTheServerSaysToASubscription reaches the client in the words of its era.
func TestWhatTheServerSaysToASubscription(t *testing.T) {
	everyCombination(t, func(t *testing.T, clientEra, serverEra string) {
		l := startTeller(t, serverEra, "x://a")
		r := newRig(t, l.record("one"))
		c := r.client(clientEra, "/mcp/one", r.token("user", "alice"))
		var got message
		if clientEra == "legacy" {
			got = c.subscribe("x://missing")
		} else {
			got = c.ask("subscriptions/listen", "", `"notifications":{"resourceSubscriptions":["x://missing"]}`, "").last(t)
		}
		if got.Error == nil || serverEra == "legacy" && got.code() != notFound[clientEra] {
			t.Errorf("answered %+v", got.Error)
		}
		l.isWatched(t)
		f := c.follow("x://a")
		l.say("x://a")
		f.wantUpdate("x://a")
	})
}

// TestSubscriptionsAreAnnouncedTruthfully, as far as is known without asking.
func TestSubscriptionsAreAnnouncedTruthfully(t *testing.T) {
	for _, era := range eras {
		l := startTeller(t, "legacy", "x://a")
		l.stock.capabilities = `{"tools":{},"resources":{}}`
		r := newRig(t, l.record("one"))
		token := r.token("user", "alice")
		c := r.client(era, "/mcp", token)
		c.list()
		announced := func(path string) bool {
			a := (&client{rig: r, token: token, path: path, era: era}).hello()
			return strings.Contains(a.body, `"subscribe":true`)
		}
		if announced("/mcp") || announced("/mcp/one") {
			t.Errorf("%s: subscriptions are announced of a server without", era)
		}
		if era == "legacy" {
			if got := c.subscribe("x://a"); got.code() != -32601 {
				t.Errorf("subscribing all the same: %+v", got.Error)
			}
		}
		other := startTeller(t, "legacy", "x://b")
		r.load(l.record("one"), other.record("two"))
		c.list()
		if !announced("/mcp") || announced("/mcp/one") || !announced("/mcp/two") {
			t.Errorf("%s: subscriptions are not announced as they are", era)
		}
	}
}

// hello asks what is offered, in the client's era.
func (c *client) hello() answer {
	if c.era == "modern" {
		return c.ask("server/discover", "", "", "")
	}
	return c.post(`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}`)
}

// TestSubscriptionsAreBounded: for a user, a session and a request.
func TestSubscriptionsAreBounded(t *testing.T) {
	for _, era := range eras {
		l := startTeller(t, "legacy", "x://a", "x://b", "x://c")
		r := newRigWith(t, func(c *proxy.Config) { c.Watches = 2 }, l.record("one"))
		token := r.token("user", "alice")
		f := r.client(era, "/mcp", token).follow("x://a", "x://b")
		other := r.client(era, "/mcp", token)
		refused := func(uri string) message {
			if era == "legacy" {
				return other.subscribe(uri)
			}
			return other.ask("subscriptions/listen", "", fmt.Sprintf(`"notifications":{"resourceSubscriptions":[%q]}`, uri), "").last(t)
		}
		if got := refused("x://c"); got.code() != -32602 {
			t.Errorf("%s: one too many: %+v", era, got.Error)
		}
		r.client(era, "/mcp", r.token("user", "bob")).follow("x://c")
		f.unfollow("x://a", "x://b")
		waitFor(t, func() bool { return len(l.watched()) == 1 })
		other.follow("x://c")
		if era == "modern" {
			uris := strings.Repeat(`"x://n",`, 257)
			if got := other.ask("subscriptions/listen", "", `"notifications":{"resourceSubscriptions":[`+strings.TrimSuffix(uris, ",")+`]}`, "").last(t); got.code() != -32602 {
				t.Errorf("too long a list: %+v", got.Error)
			}
			for _, bad := range []string{`"x://a"`, `[1]`, `[""]`, `{}`, `["` + strings.Repeat("x", 4097) + `"]`} {
				if got := other.ask("subscriptions/listen", "", `"notifications":{"resourceSubscriptions":`+bad+`}`, "").last(t); got.code() != -32602 {
					t.Errorf("%.20s: %+v", bad, got.Error)
				}
			}
		}
	}
}

// TestListenersAreBounded: for a user, with a clear refusal.
func TestListenersAreBounded(t *testing.T) {
	for _, era := range eras {
		r := newRigWith(t, func(c *proxy.Config) { c.Streams = 1 }, startFake(t, "legacy", tool("x")).record("one"))
		token := r.token("user", "alice")
		first := r.client(era, "/mcp", token).follow()
		second := r.client(era, "/mcp", token)
		request := func() *http.Request {
			if era == "modern" {
				return second.asked("subscriptions/listen", "", `"notifications":{}`, "")
			}
			return second.request(http.MethodGet, nil)
		}
		if got := second.do(request()); got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") == "" || !strings.Contains(got.body, "standing streams") {
			t.Errorf("%s: %d %v %s", era, got.status, got.header, got.body)
		}
		r.client(era, "/mcp", r.token("user", "bob")).follow()
		first.end()
		for range first.heard {
		}
		waitFor(t, func() bool {
			response, err := http.DefaultClient.Do(request())
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			return response.StatusCode == http.StatusOK
		})
	}
}

// TestSessionsAreBounded: for a user, with a clear refusal; one that is ended makes room.
func TestSessionsAreBounded(t *testing.T) {
	r := newRigWith(t, func(c *proxy.Config) { c.Sessions = 1 }, startFake(t, "legacy", tool("x")).record("one"))
	token := r.token("user", "alice")
	first := r.client("legacy", "/mcp", token)
	second := &client{rig: r, token: token, path: "/mcp", era: "legacy"}
	second.session = second.hello().header.Get("Mcp-Session-Id")
	if got := second.ask("ping", "", "", ""); got.status != http.StatusTooManyRequests || !strings.Contains(got.body, "as many sessions") {
		t.Errorf("one too many: %d %s", got.status, got.body)
	}
	r.client("legacy", "/mcp", r.token("user", "bob"))
	first.do(first.request(http.MethodDelete, nil))
	if got := second.ask("ping", "", "", ""); got.status != http.StatusOK {
		t.Errorf("afterwards: %d %s", got.status, got.body)
	}
}

// TestAListThatChangesAllTheTimeIsGivenARest: some servers say with each list that it is another.
func TestAListThatChangesAllTheTimeIsGivenARest(t *testing.T) {
	f := startFake(t, "legacy", tool("x"))
	fetched := make(chan time.Time, 16)
	f.before = func(w http.ResponseWriter, _ *http.Request, m seen) bool {
		if m.Method != "tools/list" {
			return false
		}
		fetched <- time.Now()
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}\n\n")
		fmt.Fprintf(w, "data: {\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{\"tools\":[%s]}}\n\n", m.ID, tool("x"))
		return true
	}
	r := newRig(t, f.record("one"))
	c := r.client("modern", "/mcp", r.token("user", "alice"))
	c.list()
	first := <-fetched
	for range 2 {
		next := <-fetched
		if pause := next.Sub(first); pause < 900*time.Millisecond {
			t.Errorf("fetched again after %v", pause)
		}
		first = next
	}
}

// TestSubscriptionsGoWithTheAccount: they are heard with the user's own credential, end with it, and come back with the next.
func TestSubscriptionsGoWithTheAccount(t *testing.T) {
	everyCombination(t, func(t *testing.T, clientEra, serverEra string) {
		l := startTeller(t, serverEra, "x://a")
		inner := l.before
		l.before = func(w http.ResponseWriter, r *http.Request, m seen) bool {
			if strings.HasPrefix(r.Header.Get("Authorization"), "Bearer a-") {
				return inner(w, r, m)
			}
			w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
			w.WriteHeader(http.StatusUnauthorized)
			return true
		}
		g := &fakeGrants{tokens: map[string][]string{}}
		r := newRigWith(t, func(c *proxy.Config) { c.Grants = g }, l.record("one", oauth))
		g.give("alice", "a-1")
		f := r.client(clientEra, "/mcp", r.token("user", "alice")).follow("x://a")
		l.say("x://a")
		f.wantUpdate("x://a")

		g.give("alice")
		r.proxy.GrantChanged("id-one", "alice")
		l.isWatched(t)
		g.give("alice", "a-2")
		r.proxy.GrantChanged("id-one", "alice")
		f.wantUpdate("x://a")
		l.isWatched(t, "x://a")
		l.say("x://a")
		f.wantUpdate("x://a")
	})
}

// TestSubscriptionsInTheOlderEraAlone: a server that speaks both eras, says so or not, and tells of changes in the older one only.
func TestSubscriptionsInTheOlderEraAlone(t *testing.T) {
	for _, versions := range []string{`"2026-07-28"`, `"2026-07-28","2025-11-25"`} {
		l := startTeller(t, "legacy", "x://a")
		older := l.before
		l.before = func(w http.ResponseWriter, r *http.Request, m seen) bool {
			if m.Params.Meta.Version == "" {
				return older(w, r, m)
			}
			w.Header().Set("Content-Type", "application/json")
			switch m.Method {
			case "server/discover":
				reply(w, m, `{"resultType":"complete","supportedVersions":[`+versions+`],"capabilities":{"tools":{},"resources":{}},"ttlMs":60000,"cacheScope":"public"}`)
			case "tools/list":
				reply(w, m, `{"resultType":"complete","ttlMs":60000,"cacheScope":"public","tools":[]}`)
			case "resources/list":
				reply(w, m, `{"resultType":"complete","ttlMs":60000,"cacheScope":"public","resources":[`+resource("x://a")+`]}`)
			default:
				reply(w, m, `{"resultType":"complete","ttlMs":60000,"cacheScope":"public","resourceTemplates":[],"prompts":[]}`)
			}
			return true
		}
		r := newRig(t, l.record("one"))
		token := r.token("user", "alice")
		f := r.clientWith("legacy", "/mcp", token, ableToAll).follow("x://a")
		l.isWatched(t, "x://a")
		l.say("x://a")
		f.wantUpdate("x://a")
		f.unfollow("x://a")
		l.isWatched(t)
		if got := r.client("legacy", "/mcp", token).subscribe("x://a"); got.Error == nil {
			t.Errorf("%s: a client that opens no session there has subscribed", versions)
		}
	}
}

// TestAnotherAccountIsNews: whoever subscribed with one account and has another before anybody has looked is told that the resource may be another.
func TestAnotherAccountIsNews(t *testing.T) {
	everyCombination(t, func(t *testing.T, clientEra, serverEra string) {
		l := startTeller(t, serverEra, "x://a")
		g := &fakeGrants{tokens: map[string][]string{}}
		r := newRigWith(t, func(c *proxy.Config) { c.Grants = g }, l.record("one", oauth))
		g.give("alice", "a-1")
		f := r.client(clientEra, "/mcp", r.token("user", "alice")).follow("x://a")
		g.mu.Lock() // nobody can ask for the account
		r.proxy.GrantChanged("id-one", "alice")
		l.isWatched(t)
		g.tokens["alice"] = []string{"a-2"}
		g.mu.Unlock()
		f.wantUpdate("x://a")
	})
}

// TestASlowReaderHearsOfEachResourceOnce, however often it changed meanwhile: here nobody reads at all, until somebody does.
func TestASlowReaderHearsOfEachResourceOnce(t *testing.T) {
	l := startTeller(t, "legacy", "x://a", "x://b")
	heard := make(chan struct{})
	l.before = func(w http.ResponseWriter, r *http.Request, m seen) bool {
		if m.Method == "" && strings.Contains(m.Body, `"all of it"`) {
			close(heard)
		}
		return l.answer(w, r, m)
	}
	r := newRig(t, l.record("one"))
	c := r.client("legacy", "/mcp", r.token("user", "alice"))
	for _, uri := range []string{"x://a", "x://b"} {
		if got := c.subscribe(uri); got.Error != nil {
			t.Fatalf("%+v", got.Error)
		}
	}
	for range 50 {
		l.say("x://a")
		l.say("x://b")
	}
	l.say("x://a/last")
	l.mu.Lock()
	for st := range l.streams {
		st.say <- `{"jsonrpc":"2.0","id":"all of it","method":"ping"}`
	}
	l.mu.Unlock()
	<-heard // who answers this has heard what was said before
	f := &follower{client: c, heard: c.listenTo(t.Context(), "")}
	got := map[string]int{}
	for range 3 {
		got[f.next()]++
	}
	if len(got) != 3 {
		t.Errorf("heard %v", got)
	}
}
