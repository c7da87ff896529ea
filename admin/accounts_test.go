package admin_test

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// everybody has and ends a connection of their own, and only that.
func TestConnectionsAreEverybodysOwn(t *testing.T) {
	f, p := openOAuth(t, ourselves), newProvider(t)
	root := f.root(t)
	id := root.create(oauth(t, p, nil))
	ann, bob := f.mint(t, `{"name":"ann","role":"user","user":"ann"}`), f.mint(t, `{"name":"bob","role":"user","user":"bob"}`)
	ann.connect(p, id)
	for who, want := range map[*client]string{ann: "connected", bob: "needs_auth", root: "needs_auth"} {
		for _, got := range []map[string]any{who.server(id), who.listed()[0]} {
			connection := got["connection"].(map[string]any)
			if connection["state"] != want || got["auth_connected"] != (want == "connected") || (connection["since"] != nil) != (want == "connected") {
				t.Errorf("want %s, got auth_connected %v and %v", want, got["auth_connected"], connection)
			}
		}
	}
	// Nobody else's connection can be named, and an answer does not say whether there is one.
	for _, path := range []string{"/grants", "/grants/ann"} {
		bob.get(servers + "/" + id + path).want(map[bool]int{true: 403, false: 405}[path == "/grants"])
		bob.delete(servers + "/" + id + "/grants/ann").want(403)
	}
	hidden := root.create(oauth(t, p, fields{"slug": "hidden", "visible_to": []string{"ann"}}))
	want := string(bob.delete(servers + "/" + anID + "/oauth2/disconnect").want(200).body)
	for _, of := range []string{id, hidden} {
		if got := string(bob.delete(servers + "/" + of + "/oauth2/disconnect").want(200).body); got != want {
			t.Errorf("%s, but of an unknown server: %s", got, want)
		}
		bob.delete("/api/experimental/mcp/servers/" + of + "/oauth2/disconnect").want(204)
	}
	bob.with("Content-Type", "application/json").post(servers+"/"+id+"/oauth2/link", `{"user":"ann"}`).want(403)
	f.mint(t, `{"name":"bot","role":"agent"}`).with("Sidecar-User", "bob").post(servers+"/"+id+"/oauth2/link", `{"user":"ann"}`).want(403)
	if ann.server(id)["auth_connected"] != true || p.times("POST /revoke") != 0 {
		t.Error("bob ended ann's connection")
	}
}

func TestDisconnecting(t *testing.T) {
	f, p := openOAuth(t, ourselves), newProvider(t)
	id := f.root(t).create(oauth(t, p, nil))
	ann := f.mint(t, `{"name":"ann","role":"user","user":"ann"}`)
	path := servers + "/" + id + "/oauth2/disconnect"
	ann.connect(p, id)
	if got := ann.delete(path).want(200).object(); got["token_revoked"] != true || got["token_revocation_error"] != nil {
		t.Errorf("the answer is %v", got)
	}
	if got := ann.delete(path).want(200).object(); got["token_revoked"] != false || got["token_revocation_error"] != nil {
		t.Errorf("the second answer is %v", got)
	}
	ann.connect(p, id)
	p.set(func(p *provider) { p.revoke = http.StatusServiceUnavailable })
	if got := ann.delete(path).want(200).object(); got["token_revoked"] != false || got["token_revocation_error"] == "" {
		t.Errorf("the answer is %v", got)
	}
	if ann.server(id)["auth_connected"] != false {
		t.Error("the connection outlived a provider that revokes nothing")
	}
	ann.connect(p, id)
	ann.delete("/api/experimental/mcp/servers/" + id + "/oauth2/disconnect").want(204)
	ann.delete(servers + "/x/oauth2/disconnect").want(404)
	if ann.server(id)["auth_connected"] != false {
		t.Error("the connection is still there")
	}
}

func TestAdminsSeeAndEndConnections(t *testing.T) {
	f, p := openOAuth(t, ourselves), newProvider(t)
	root := f.root(t)
	id := root.create(oauth(t, p, nil))
	ann, bob := f.mint(t, `{"name":"ann","role":"user","user":"ann"}`), f.mint(t, `{"name":"bob","role":"user","user":"bob@example.com"}`)
	list := func() (grants []struct {
		User, State    string
		Since, Expires time.Time
		Scopes         []string
	}) {
		root.get(servers + "/" + id + "/grants").want(200).into(&grants)
		return grants
	}
	if len(list()) != 0 {
		t.Error("somebody is connected")
	}
	ann.connect(p, id)
	bob.connect(p, id)
	got := list()
	if len(got) != 2 || got[0].User != "ann" || got[1].User != "bob@example.com" || got[0].State != "connected" || got[0].Since.IsZero() || time.Until(got[0].Expires) < 50*time.Minute || len(got[0].Scopes) != 1 {
		t.Errorf("connected are %+v", got)
	}
	if got := root.delete(servers + "/" + id + "/grants/bob@example.com").want(200).object(); got["token_revoked"] != true {
		t.Errorf("the answer is %v", got)
	}
	root.delete(servers + "/" + id + "/grants/bob@example.com").want(404)
	root.delete(servers + "/" + id + "/grants/carol").want(404)
	root.delete(servers + "/" + anID + "/grants/ann").want(404)
	if len(list()) != 1 || bob.server(id)["auth_connected"] != false || ann.server(id)["auth_connected"] != true {
		t.Error("not bob's connection was ended, or not only his")
	}
}

// An admin may make a link for somebody else who may see the server.
func TestLinksForOthers(t *testing.T) {
	f, p := openOAuth(t, ourselves), newProvider(t)
	root := f.root(t)
	id := root.create(oauth(t, p, fields{"visible_to": []string{"ann"}}))
	path := servers + "/" + id + "/oauth2/link"
	made := root.post(path, `{"user":"ann"}`).want(200).object()
	shown := f.browser(t).visit("GET", strings.TrimPrefix(made["url"].(string), ourselves)).want(200)
	if !strings.Contains(string(shown.body), ">ann<") {
		t.Errorf("the page says\n%s", shown.body)
	}
	root.post(path, `{"user":"bob"}`).wrong("user")
	root.post(path, `{"user":"a b"}`).wrong("user")
	root.post(path, `{"usr":"ann"}`).wrong("usr")
	root.post(path, `{}`).want(200)
}

func TestDiscoveryComesBeforeTheRecord(t *testing.T) {
	f, p := openOAuth(t, ourselves), newProvider(t)
	root := f.root(t)
	p.set(func(p *provider) { p.silent = true })
	for _, change := range []fields{nil, {"oauth2_client_id": "me"}, {"oauth2_client_id": "me", "oauth2_client_secret": canary}} {
		got := root.post(servers, oauth(t, p, change)).want(400).object()
		if detail := got["detail"].(string); !strings.Contains(detail, p.URL) || !strings.HasPrefix(detail, "while ") {
			t.Errorf("the detail says neither step nor URL: %s", detail)
		}
	}
	if len(root.listed()) != 0 {
		t.Error("a failed discovery left something behind")
	}
	plain := root.create(body(t, nil))
	root.patch(servers+"/"+plain, only(t, fields{"auth_type": "oauth2", "url": p.URL + "/mcp"})).want(400)
	if root.server(plain)["auth_type"] != "none" {
		t.Error("a failed discovery changed something")
	}
	p.set(func(p *provider) { p.silent = false })
	root.patch(servers+"/"+plain, only(t, fields{"auth_type": "oauth2", "url": p.URL + "/mcp"})).want(200)
	registered := p.times("POST /register")
	root.connect(p, plain)
	if p.times("POST /register") != registered || registered != 1 {
		t.Errorf("registered %d times before, and again to connect", registered)
	}
	// By hand: nobody is asked.
	asked := len(p.asked)
	root.create(oauth(t, p, fields{"slug": "manual", "oauth2_client_id": "me", "oauth2_auth_url": p.URL + "/authorize", "oauth2_token_url": p.URL + "/token"}))
	if len(p.asked) != asked {
		t.Error("a server that was configured by hand was discovered")
	}
}

// A provider that lies, or that is not safe, is told of by step, place and remedy.
func TestDiscoveryFailures(t *testing.T) {
	for what, c := range map[string]struct {
		metadata map[string]any
		says     string
	}{
		"another issuer":  {map[string]any{"issuer": "https://honest.example"}, `The metadata names "https://honest.example"`},
		"no PKCE":         {map[string]any{"code_challenge_methods_supported": []string{"plain"}}, "S256"},
		"no registration": {map[string]any{"registration_endpoint": ""}, "oauth2_client_id"},
		"a place inside":  {map[string]any{"token_endpoint": "http://169.254.169.254/token"}, "token_endpoint"},
	} {
		f, p := openOAuth(t, ourselves), newProvider(t)
		p.set(func(p *provider) { p.metadata = c.metadata })
		got := f.root(t).post(servers, oauth(t, p, nil)).want(400).object()
		if !strings.Contains(got["detail"].(string), c.says) {
			t.Errorf("%s: %v", what, got)
		}
		if len(f.root(t).listed()) != 0 {
			t.Errorf("%s: something is stored", what)
		}
	}
}

func TestRediscovery(t *testing.T) {
	f, p := openOAuth(t, ourselves), newProvider(t)
	root := f.root(t)
	id, plain := root.create(oauth(t, p, nil)), root.create(body(t, fields{"slug": "plain"}))
	path := servers + "/" + id + "/rediscover"
	got := root.post(path, "").want(200).object()
	if got["issuer"] != p.URL || got["token_endpoint"] != p.URL+"/token" || got["client_id"] != "registered" || got["client"] != "registered" || got["redirect_uri"] != f.broker.RedirectURI(id) {
		t.Errorf("the answer is %v", got)
	}
	p.set(func(p *provider) { p.metadata = map[string]any{"token_endpoint": p.URL + "/moved"} })
	if got := root.post(path, "").want(200).object(); got["token_endpoint"] != p.URL+"/moved" {
		t.Errorf("the answer is %v", got)
	}
	p.set(func(p *provider) { p.metadata = map[string]any{"code_challenge_methods_supported": []string{}} })
	root.post(path, "").want(400)
	root.post(servers+"/"+plain+"/rediscover", "").want(400)
	root.post(servers+"/"+anID+"/rediscover", "").want(404)

	// A user is told that it does not work, and the admin's log why.
	ann := f.mint(t, `{"name":"ann","role":"user","user":"ann"}`)
	for _, got := range []*answer{ann.get(servers + "/" + id + "/oauth2/connect"), f.browser(t).visit("POST", ann.link(id))} {
		if got.want(400); strings.Contains(string(got.body), p.URL) {
			t.Errorf("a user is told where the server is: %s", got.body)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !strings.Contains(f.log.String(), "PKCE") {
		t.Errorf("the log does not say why:\n%s", f.log)
	}
}

// A change that would send tokens elsewhere ends the connections, and says so.
func TestChangesThatEndConnections(t *testing.T) {
	f, p, q := openOAuth(t, ourselves), newProvider(t), newProvider(t)
	root := f.root(t)
	id := root.create(oauth(t, p, nil))
	ann, bob := f.mint(t, `{"name":"ann","role":"user","user":"ann"}`), f.mint(t, `{"name":"bob","role":"user","user":"bob"}`)
	for _, c := range []struct {
		change fields
		ends   string // the field that is named, or nothing
	}{
		{fields{"description": "x"}, ""},
		{fields{"oauth2_scopes": "read write"}, ""},
		{fields{"oauth2_client_id": "me"}, "oauth2_client_id"},
		{fields{"oauth2_client_id": "", "oauth2_issuer": p.URL}, "oauth2_issuer"},
		{fields{"url": p.URL + "/other", "oauth2_issuer": p.URL}, "url"},
		{fields{"url": q.URL + "/mcp", "oauth2_issuer": ""}, "oauth2_issuer"},
		{fields{"auth_type": "none"}, "auth_type"},
	} {
		current := p
		if root.server(id)["url"] == q.URL+"/mcp" {
			current = q
		}
		if c.change["url"] == p.URL+"/other" {
			p.set(func(p *provider) { p.metadata = nil })
		}
		ann.connect(current, id)
		bob.connect(current, id)
		got := root.patch(servers+"/"+id, only(t, c.change)).want(200).object()
		var named []string
		for _, warning := range got["warnings"].([]any) {
			w := warning.(map[string]any)
			named = append(named, w["field"].(string))
			if !strings.Contains(w["detail"].(string), "2 users") {
				t.Errorf("%v: the warning says %v", c.change, w["detail"])
			}
		}
		if strings.Join(named, " ") != c.ends {
			t.Errorf("%v: warnings about %v, want %q", c.change, named, c.ends)
		}
		if connected := ann.server(id)["auth_connected"] == true; c.change["auth_type"] == nil && connected != (c.ends == "") {
			t.Errorf("%v: ann is connected: %v", c.change, connected)
		}
	}
}

// A client secret goes to the provider that the server names, so it does not follow the server elsewhere.
func TestAClientSecretDoesNotFollowADiscoveredProvider(t *testing.T) {
	f, p, q := openOAuth(t, ourselves), newProvider(t), newProvider(t)
	root := f.root(t)
	id := root.create(oauth(t, p, fields{"oauth2_client_id": "me", "oauth2_client_secret": canary}))
	asked := len(q.asked)
	root.patch(servers+"/"+id, only(t, fields{"url": q.URL + "/mcp"})).wrong("oauth2_client_secret")
	if len(q.asked) != asked {
		t.Error("the other server was asked")
	}
	root.patch(servers+"/"+id, only(t, fields{"url": q.URL + "/mcp", "oauth2_client_secret": canary + "-2"})).want(200)
}
