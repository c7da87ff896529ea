package admin_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"mcpsidecar/configstore"
)

// The way of a user without a session here: a link, a question, the provider, and back.
func TestALinkLeadsToAConnection(t *testing.T) {
	f, p := openOAuth(t, ourselves), newProvider(t)
	id := f.root(t).create(oauth(t, p, nil))
	agent := f.mint(t, `{"name":"bot","role":"agent"}`).with("Sidecar-User", "ann")
	made := agent.post(servers+"/"+id+"/oauth2/link", "").want(200).object()
	path, own := strings.CutPrefix(made["url"].(string), ourselves)
	if !own || !strings.HasPrefix(path, "/connect/") || made["expires_at"] == "" {
		t.Fatalf("the link is %v", made)
	}
	b := f.browser(t)
	for range 3 { // whatever previews it does not use it up
		shown := b.visit("GET", path).want(200)
		for _, word := range []string{"GitHub", strings.TrimPrefix(p.URL, "http://"), ">ann<"} {
			if !strings.Contains(string(shown.body), word) {
				t.Errorf("the page does not name %s:\n%s", word, shown.body)
			}
		}
	}
	b.visit("HEAD", path).want(200)
	if len(b.cookies) != 0 || p.times("POST /token") != 0 {
		t.Error("looking at the page did something")
	}
	asked := departed(t, b.visit("POST", path), 303, p)
	for name, want := range map[string]string{"response_type": "code", "client_id": "registered", "code_challenge_method": "S256", "resource": p.URL, "scope": "read", "redirect_uri": f.broker.RedirectURI(id)} {
		if got := asked.Get(name); got != want {
			t.Errorf("the provider is asked with %s=%q, want %q", name, got, want)
		}
	}
	b.visit("POST", path).want(400) // it works once
	back := f.comeBack(p, asked, nil)
	b.visit("HEAD", back).want(401) // and nothing but a GET ends a sign-in
	done := string(b.visit("GET", back).want(200).body)
	for _, word := range []string{"GitHub is connected for ann.", "You may close this window.", `type: "mcp-oauth2-complete"`, `serverID: "` + id + `"`, `}, "http://127.0.0.1:8080")`} {
		if !strings.Contains(strings.ReplaceAll(done, `\/`, "/"), word) {
			t.Errorf("the page lacks %s:\n%s", word, done)
		}
	}
	b.visit("GET", back).want(400)
	if n := p.times("POST /token"); n != 1 {
		t.Errorf("%d token requests", n)
	}
	ann := f.mint(t, `{"name":"ann","role":"user","user":"ann"}`)
	if got := ann.server(id); got["auth_connected"] != true || got["connection"].(map[string]any)["state"] != "connected" {
		t.Errorf("ann sees %v", got["connection"])
	}
	f.recorded(t, "create server", "link grant", "sign_in grant", "connect grant")
}

// recorded asserts that the last records of changes are these.
func (f *fixture) recorded(t testing.TB, want ...string) {
	t.Helper()
	var got []string
	for _, change := range f.audit.all() {
		if change.Kind == "server" || change.Kind == "grant" {
			got = append(got, change.Action+" "+change.Kind)
		}
	}
	if strings.Join(got, ", ") != strings.Join(want, ", ") {
		t.Errorf("recorded are %v, want %v", got, want)
	}
}

// The reference system's way: the caller's own token, and a redirect.
func TestConnectWithAToken(t *testing.T) {
	f, p := openOAuth(t, ourselves), newProvider(t)
	root := f.root(t)
	id := root.create(oauth(t, p, nil))
	plain := root.create(body(t, fields{"slug": "plain"}))
	off := root.create(oauth(t, p, fields{"slug": "off", "enabled": false}))
	hidden := root.create(oauth(t, p, fields{"slug": "hidden", "visible_to": []string{"bob"}}))
	ann := f.mint(t, `{"name":"ann","role":"user","user":"ann"}`)
	for _, prefix := range []string{servers, "/api/experimental/mcp/servers"} {
		b := f.browser(t)
		b.token = ann.token
		got := b.visit("GET", prefix+"/"+id+"/oauth2/connect")
		asked := departed(t, got, 307, p)
		for _, part := range []string{"mcp-sidecar-browser=", "Path=/", "Max-Age=600", "HttpOnly", "SameSite=Lax"} {
			if cookie := got.header.Get("Set-Cookie"); !strings.Contains(cookie, part) || strings.Contains(cookie, "Secure") {
				t.Errorf("the cookie is %q", cookie)
			}
		}
		b.token = ""
		b.visit("GET", f.comeBack(p, asked, nil)).want(200)
	}
	for _, c := range []struct {
		who    *client
		id     string
		status int
	}{
		{root, "x", 404}, {root, anID, 404}, {root, off, 400}, {root, plain, 400}, {root, id, 307},
		{ann, "x", 404}, {ann, anID, 404}, {ann, off, 404}, {ann, hidden, 404}, {ann, plain, 400}, {ann, id, 307},
	} {
		c.who.get(servers + "/" + c.id + "/oauth2/connect").want(c.status)
		if c.status != 307 {
			c.who.post(servers+"/"+c.id+"/oauth2/link", "").want(c.status)
		}
	}
	root.do("HEAD", servers+"/"+id+"/oauth2/connect", "").want(405)
	root.post(servers+"/"+id+"/oauth2/connect", "").want(405)
	f.mint(t, `{"name":"bot","role":"agent"}`).with("Sidecar-User", "ann").get(servers + "/" + id + "/oauth2/connect").want(403)
}

// O-10: where a provider sends people back to is configured; nothing in a request has a say in it.
func TestTheRedirectURIIsNotTheRequests(t *testing.T) {
	f, p := openOAuth(t, "https://sidecar.example.com/base"), newProvider(t)
	f.handler = f.api // what stands before it refuses most of these
	id := f.root(t).create(oauth(t, p, nil))
	want := "https://sidecar.example.com/base/api/experimental/mcp/servers/" + id + "/oauth2/callback"
	for _, name := range []string{"Host", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded", "X-Original-URL", "Origin", "Referer"} {
		got := f.root(t).with(name, "evil.example").get(servers + "/" + id + "/oauth2/connect")
		if asked := departed(t, got, 307, p); asked.Get("redirect_uri") != want {
			t.Errorf("with %s the provider sends people to %s", name, asked.Get("redirect_uri"))
		}
		if cookie := got.header.Get("Set-Cookie"); !strings.HasPrefix(cookie, "__Host-mcp-sidecar-browser=") || !strings.Contains(cookie, "; Secure") || strings.Contains(cookie, "Domain") {
			t.Errorf("the cookie is %q", cookie)
		}
	}
}

// O-01: an answer that is not that of this sign-in, in this browser, changes nothing and costs the provider nothing.
func TestForeignAnswersChangeNothing(t *testing.T) {
	f, p := openOAuth(t, ourselves), newProvider(t)
	root := f.root(t)
	id, other := root.create(oauth(t, p, nil)), root.create(oauth(t, p, fields{"slug": "other"}))
	ann, bob := f.mint(t, `{"name":"ann","role":"user","user":"ann"}`), f.mint(t, `{"name":"bob","role":"user","user":"bob"}`)
	ann.connect(p, id)
	mine, theirs := f.browser(t), f.browser(t)
	asked := departed(t, mine.visit("POST", ann.link(id)), 303, p)
	bobs := departed(t, theirs.visit("POST", bob.link(id)), 303, p)
	before := p.times("POST /token")
	good := f.comeBack(p, asked, nil)
	for what, c := range map[string]struct {
		who  *browser
		path string
	}{
		"no state":               {mine, f.comeBack(p, asked, url.Values{"state": nil})},
		"an unknown state":       {mine, f.comeBack(p, asked, url.Values{"state": {strings.Repeat("A", 43)}})},
		"a state that is none":   {mine, f.comeBack(p, asked, url.Values{"state": {"<script>" + canary}})},
		"two states":             {mine, good + "&state=" + asked.Get("state")},
		"another user's state":   {mine, f.comeBack(p, bobs, nil)},
		"another browser":        {theirs, good},
		"no browser":             {f.browser(t), good},
		"another server":         {mine, strings.Replace(good, id, other, 1)},
		"an unknown server":      {mine, strings.Replace(good, id, anID, 1)},
		"no server":              {mine, strings.Replace(good, id, "x", 1)},
		"no code":                {mine, f.comeBack(p, asked, url.Values{"code": nil})},
		"no issuer":              {mine, f.comeBack(p, asked, url.Values{"iss": nil})},
		"another issuer":         {mine, f.comeBack(p, asked, url.Values{"iss": {p.URL + "/"}})},
		"a query that is broken": {mine, good + "&x=%zz"},
	} {
		if got := c.who.visit("GET", c.path); got.status != 400 {
			t.Errorf("%s: status %d", what, got.status)
		}
	}
	if n := p.times("POST /token"); n != before {
		t.Errorf("%d token requests", n-before)
	}
	if ann.server(id)["auth_connected"] != true || bob.server(id)["auth_connected"] != false {
		t.Error("a connection was lost or made")
	}
	mine.visit("GET", good).want(200) // and the sign-in that was meant still works
	theirs.visit("GET", f.comeBack(p, bobs, nil)).want(200)
}

// Several sign-ins of one browser do not end each other.
func TestSignInsInParallel(t *testing.T) {
	f, p := openOAuth(t, ourselves), newProvider(t)
	root := f.root(t)
	b := f.browser(t)
	var back []string
	for i := range 5 {
		id := root.create(oauth(t, p, fields{"slug": fmt.Sprint("server", i%3, "-", i)}))
		ann := f.mint(t, fmt.Sprintf(`{"name":"x","role":"user","user":"ann%d"}`, i))
		back = append(back, f.comeBack(p, departed(t, b.visit("POST", ann.link(id)), 303, p), nil))
	}
	for i := range back {
		b.visit("GET", back[len(back)-1-i]).want(200)
	}
}

// A provider that says no, and one whose token endpoint does.
func TestProvidersThatSayNo(t *testing.T) {
	f, p := openOAuth(t, ourselves), newProvider(t)
	id := f.root(t).create(oauth(t, p, nil))
	ann := f.mint(t, `{"name":"ann","role":"user","user":"ann"}`)
	b := f.browser(t)
	asked := departed(t, b.visit("POST", ann.link(id)), 303, p)
	got := b.visit("GET", f.comeBack(p, asked, url.Values{"code": nil, "error": {"access_denied"}, "error_description": {canary}}))
	if got.want(400); !strings.Contains(string(got.body), "did not let you in") || p.times("POST /token") != 0 {
		t.Errorf("the page says %s", got.body)
	}
	p.set(func(p *provider) { p.refuse = "invalid_grant" })
	asked = departed(t, b.visit("POST", ann.link(id)), 303, p)
	b.visit("GET", f.comeBack(p, asked, nil)).want(502)
	if ann.server(id)["auth_connected"] != false {
		t.Error("ann is connected")
	}
	// A server that was changed, disabled or deleted meanwhile.
	p.set(func(p *provider) { p.refuse = "" })
	for _, change := range []string{`{"url":"` + p.URL + `/other"}`, `{"enabled":false}`, ""} {
		asked = departed(t, b.visit("POST", ann.link(id)), 303, p)
		if change == "" {
			f.root(t).delete(servers + "/" + id).want(204)
		} else {
			f.root(t).patch(servers+"/"+id, change).want(200)
		}
		before := p.times("POST /token")
		b.visit("GET", f.comeBack(p, asked, nil)).want(400)
		if p.times("POST /token") != before {
			t.Errorf("after %s a code was spent", change)
		}
		if change != "" {
			f.root(t).patch(servers+"/"+id, only(t, fields{"enabled": true, "url": p.URL + "/mcp"})).want(200)
		}
	}
}

// Links end with what they lead to.
func TestDeadLinks(t *testing.T) {
	f, p := openOAuth(t, ourselves), newProvider(t)
	root := f.root(t)
	ann := f.mint(t, `{"name":"ann","role":"user","user":"ann"}`)
	b := f.browser(t)
	for i, change := range []string{`{"enabled":false}`, `{"visible_to":["bob"]}`, `{"auth_type":"none"}`, ""} {
		id := root.create(oauth(t, p, fields{"slug": fmt.Sprint("server", i)}))
		path := ann.link(id)
		b.visit("GET", path).want(200)
		if change == "" {
			root.delete(servers + "/" + id).want(204)
		} else {
			root.patch(servers+"/"+id, change).want(200)
		}
		b.visit("GET", path).want(400)
		b.visit("POST", path).want(400)
	}
	for _, text := range []string{"x", strings.Repeat("A", 43), strings.Repeat("A", 42) + "%3C"} {
		b.visit("GET", "/connect/"+text).want(400)
	}
	if len(b.cookies) != 0 {
		t.Error("a dead link sets a cookie")
	}
}

// W-05: no page of another site makes anything happen.
func TestOtherSitesCannotUseLinks(t *testing.T) {
	f, p := openOAuth(t, ourselves), newProvider(t)
	id := f.root(t).create(oauth(t, p, nil))
	ann := f.mint(t, `{"name":"ann","role":"user","user":"ann"}`)
	path := ann.link(id)
	nobody := &client{t: t, f: f}
	for _, header := range [][2]string{{"Origin", "https://evil.example"}, {"Origin", "null"}, {"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}} {
		r := newRequest(t.Context(), "POST", path, "")
		r.Header.Del("Authorization")
		r.Header.Set(header[0], header[1])
		if w := newRecorder(r, f.handler); w.Code != http.StatusForbidden || w.Header().Get("Location") != "" {
			t.Errorf("with %v: status %d", header, w.Code)
		}
	}
	for _, strange := range []string{"PUT", "DELETE", "PATCH"} {
		if got := nobody.do(strange, path, "").want(405); got.header.Get("Allow") != "GET, HEAD, POST" {
			t.Errorf("%s: allowed are %q", strange, got.header.Get("Allow"))
		}
	}
	if ann.get(servers+"/"+id+"/oauth2/disconnect").want(405).header.Get("Allow") != "DELETE" {
		t.Error("a GET of disconnect is not refused as it should be")
	}
	nobody.post("/api/experimental/mcp/servers/"+id+"/oauth2/callback", "").want(401)
	departed(t, f.browser(t).visit("POST", path), 303, p) // nothing has used it up
}

// O-27: the sidecar is nobody's provider.
func TestNoProviderOfOurOwn(t *testing.T) {
	f := open(t)
	b := f.browser(t)
	for _, path := range []string{"/register", "/authorize", "/token", "/oauth/token", "/oauth/register", "/oauth/authorize", "/.well-known/oauth-authorization-server", "/.well-known/openid-configuration", "/connect", "/connect/", "/oauth/client.json/", "/connect/a/b"} {
		for _, method := range []string{"GET", "POST"} {
			b.visit(method, path).want(404)
		}
	}
}

// O-11: nothing but a provider's endpoint is ever redirected to.
func TestNoOpenRedirects(t *testing.T) {
	f, p := openOAuth(t, ourselves), newProvider(t)
	id := f.root(t).create(oauth(t, p, nil))
	ann := f.mint(t, `{"name":"ann","role":"user","user":"ann"}`)
	for _, target := range []string{"//evil.example", "https:evil.example", `/\evil.example`, "javascript:alert(1)", "https://good@evil.example", "https://evil.example"} {
		for _, name := range []string{"return_to", "redirect", "redirect_uri", "next", "url", "state"} {
			more := "?" + url.Values{name: {target}}.Encode()
			b := f.browser(t)
			asked := departed(t, b.visit("POST", ann.link(id)+more), 303, p)
			if name != "state" {
				more = "&" + more[1:]
				if got := b.visit("GET", f.comeBack(p, asked, nil)+more).want(200); got.header.Get("Location") != "" {
					t.Errorf("the callback leads to %s", got.header.Get("Location"))
				}
			}
		}
	}
}

// O-12, W-11: whatever a provider, a browser or a record says, a page is inert.
func TestPagesAreInert(t *testing.T) {
	f, p := openOAuth(t, ourselves), newProvider(t)
	root := f.root(t)
	payloads := []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `</script><script>alert(1)</script>`, `javascript:alert(1)`, `'-alert(1)-'`, `";alert(1)//`, "`${alert(1)}`", `{{.Nonce}}`,
		`<svg/onload=alert(1)>`, `&lt;script&gt;`, `%3Cscript%3E`, `</title><script>`, `<!--`, `]]>`, `<base href=//evil.example>`, `<meta http-equiv=refresh content=0>`, "\u2028alert(1)", `\u003cscript\u003e`, `<a href=x>y</a>`, `</dd><form action=//evil.example>`,
	}
	for i, payload := range payloads {
		id := root.create(oauth(t, p, fields{"slug": fmt.Sprint("server", i), "display_name": payload}))
		path := root.link(id)
		b := f.browser(t)
		inert(t, b.visit("GET", path).want(200), payload)
		asked := departed(t, b.visit("POST", path), 303, p)
		for _, name := range []string{"error", "error_description", "error_uri", "state", "code", "iss"} {
			changes := url.Values{name: {payload}}
			if name == "error_description" || name == "error_uri" {
				changes.Set("error", "access_denied")
				changes["code"] = nil
				changes.Set("state", strings.Repeat("A", 43))
			}
			if name == "code" {
				changes.Set("iss", "https://evil.example") // so that the sign-in is still there for what comes next
			}
			inert(t, b.visit("GET", f.comeBack(p, asked, changes)).want(400), payload)
		}
		inert(t, b.visit("GET", f.comeBack(p, asked, nil)).want(200), payload)
		inert(t, b.visit("GET", f.comeBack(p, departed(t, b.visit("POST", root.link(id)), 303, p), url.Values{"code": nil, "error": {payload}, "error_description": {payload}, "error_uri": {payload}})).want(400), payload)
	}
	inert(t, f.browser(t).visit("GET", "/connect/"+url.PathEscape(`<script>alert(1)<`)).want(400), `<script>alert`)
	inert(t, f.browser(t).visit("GET", "/nowhere").want(404), "nowhere")
	inert(t, f.browser(t).visit("PUT", "/connect/x").want(405), "PUT")
}

// inert asserts what every page has to have, and that nothing in it is the payload's.
func inert(t *testing.T, got *answer, payload string) {
	t.Helper()
	policy := got.header.Get("Content-Security-Policy")
	_, nonce, _ := strings.Cut(policy, "'nonce-")
	nonce, _, _ = strings.Cut(nonce, "'")
	if form := strings.Contains(string(got.body), "<form"); form != strings.Contains(string(got.body), `<meta name="referrer" content="same-origin">`) {
		t.Errorf("a page with a form: %t, lets our own origin see where it is from: %t", form, !form)
	}
	for name, want := range map[string]string{
		"Content-Type": "text/html; charset=utf-8", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "Location": "",
		"Content-Security-Policy": "default-src 'none'; script-src 'nonce-" + nonce + "'; style-src 'nonce-" + nonce + "'; base-uri 'none'; frame-ancestors 'none'",
	} {
		if value := got.header.Get(name); value != want {
			t.Errorf("%s: %s is %q, want %q", got.what, name, value, want)
		}
	}
	if len(nonce) < 26 {
		t.Errorf("the nonce is %q", nonce)
	}
	page := string(got.body)
	for _, mark := range []string{"<script", "<style"} {
		if strings.Count(page, mark) != strings.Count(page, mark+` nonce="`+nonce+`">`) {
			t.Errorf("%s has a %s of somebody else:\n%s", got.what, mark, page)
		}
	}
	for _, mark := range []string{"<img", "<svg", "<base", "onerror=alert(1)>", "<a ", "<meta http", "<form action"} {
		if strings.Contains(page, mark) {
			t.Errorf("%s: %q got through as %s:\n%s", got.what, payload, mark, page)
		}
	}
}

// The metadata document, by which providers know us where they do not register clients.
func TestTheClientDocument(t *testing.T) {
	f, p := openOAuth(t, "https://sidecar.example.com"), newProvider(t)
	nobody := &client{t: t, f: f}
	nobody.get("/oauth/client.json").want(404)
	config := f.config()
	config.DocumentURL = "https://elsewhere.example.com/client.json"
	f.api = newAPI(t, config)
	f.handler = f.api
	nobody.get("/oauth/client.json").want(404) // there is no redirect URI yet
	id, other := f.root(t).create(oauth(t, p, nil)), f.root(t).create(oauth(t, p, fields{"slug": "other"}))
	f.root(t).create(body(t, fields{"slug": "plain"}))
	f.root(t).create(oauth(t, p, fields{"slug": "off", "enabled": false}))
	f.root(t).create(oauth(t, p, fields{"slug": "known", "oauth2_client_id": "an admin's"}))
	said := nobody.get("/oauth/client.json").want(200).object()
	uris := fmt.Sprint(said["redirect_uris"])
	if said["client_id"] != config.DocumentURL || said["token_endpoint_auth_method"] != "none" || len(said["redirect_uris"].([]any)) != 2 || !strings.Contains(uris, f.broker.RedirectURI(id)) || !strings.Contains(uris, f.broker.RedirectURI(other)) {
		t.Errorf("the document is %v", said)
	}
}

// What cannot be recorded does not happen.
func TestSignInsThatCannotBeRecorded(t *testing.T) {
	f, p := openOAuth(t, ourselves), newProvider(t)
	id := f.root(t).create(oauth(t, p, nil))
	path := f.root(t).link(id)
	f.audit.setBroken(true)
	f.root(t).post(servers+"/"+id+"/oauth2/link", "").want(503)
	f.root(t).get(servers + "/" + id + "/oauth2/connect").want(503)
	f.browser(t).visit("POST", path).want(503)
	f.root(t).delete(servers + "/" + id + "/oauth2/disconnect").want(503)
	if _, err := f.store.Registration(t.Context(), id); err != nil && !strings.Contains(err.Error(), configstore.ErrNotFound.Error()) {
		t.Error(err)
	}
}
