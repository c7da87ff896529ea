package admin_test

import (
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"strings"
	"testing"
	"time"
)

// at lets a browser say where a navigation comes from, as browsers do.
func (c *client) at(site string) *client { return c.with("Sec-Fetch-Site", site) }

// cookieOf is the cookie that an answer sets, as a browser sends it back.
func cookieOf(t testing.TB, header http.Header) string {
	t.Helper()
	set := header["Set-Cookie"]
	if len(set) != 1 {
		t.Fatalf("cookies are set: %q", set)
	}
	pair, _, _ := strings.Cut(set[0], ";")
	return pair
}

// A browser that has a page session connects accounts without a token.
func TestConnectWithAPageSession(t *testing.T) {
	f, p := openOAuth(t, ourselves), newProvider(t)
	root := f.root(t)
	id := root.create(oauth(t, p, nil))
	ann := f.mint(t, `{"name":"ann","role":"user","user":"ann"}`)
	opened := ann.post("/api/v1/session", "").want(200)
	for _, part := range []string{"mcp-sidecar-session=", "Path=/", "HttpOnly", "SameSite=Lax", "Max-Age=43"} {
		if cookie := opened.header.Get("Set-Cookie"); !strings.Contains(cookie, part) || strings.Contains(cookie, ann.token) {
			t.Errorf("the cookie is %q", cookie)
		}
	}
	cookie := cookieOf(t, opened.header)
	connect := servers + "/" + id + "/oauth2/connect"
	person := func(site string) *client { return (&client{t: t, f: f}).with("Cookie", cookie).at(site) }

	for _, site := range []string{"none", "same-origin"} { // typed, or from a page of ours
		asked := departed(t, person(site).get(connect), 307, p)
		if asked.Get("redirect_uri") != f.broker.RedirectURI(id) {
			t.Errorf("from %s the browser goes to the provider with %v", site, asked)
		}
	}
	for _, site := range []string{"cross-site", "same-site", ""} { // nobody is connected because another page wants it
		got := person(site).get(connect).want(307)
		path, own := strings.CutPrefix(got.header.Get("Location"), ourselves)
		if !own || !strings.HasPrefix(path, "/connect/") || got.header.Get("Set-Cookie") != "" {
			t.Fatalf("from %q the browser goes to %s", site, got.header.Get("Location"))
		}
		if shown := string((&client{t: t, f: f}).get(path).want(200).body); !strings.Contains(shown, ">ann<") {
			t.Errorf("who is asked is not ann:\n%s", shown)
		}
	}
	(&client{t: t, f: f, token: ann.token}).with("Cookie", cookie).at("cross-site").get(connect).want(307) // a token means it

	for what, ask := range map[string]func(c *client) *answer{
		"a list":      func(c *client) *answer { return c.get(servers) },
		"whoami":      func(c *client) *answer { return c.get("/api/v1/whoami") },
		"a link":      func(c *client) *answer { return c.post(servers+"/"+id+"/oauth2/link", "") },
		"disconnect":  func(c *client) *answer { return c.delete(servers + "/" + id + "/oauth2/disconnect") },
		"a session":   func(c *client) *answer { return c.post("/api/v1/session", "") },
		"another way": func(c *client) *answer { return c.post(connect, "") },
	} {
		if got := ask(person("same-origin")); got.status != 401 {
			t.Errorf("%s with a session alone is answered with %d", what, got.status)
		}
	}
	ended := person("same-origin").delete("/api/v1/session").want(204)
	if got := ended.header.Get("Set-Cookie"); !strings.HasPrefix(got, "mcp-sidecar-session=;") || !strings.Contains(got, "Max-Age=0") {
		t.Errorf("the end is %q", got)
	}
	root.delete("/api/v1/tokens/" + idOf(ann.token)).want(204)
	person("none").get(connect).want(401) // it ends with its token
}

func TestSessionsThatAreNone(t *testing.T) {
	f, p := openOAuth(t, ourselves), newProvider(t)
	id := f.root(t).create(oauth(t, p, nil))
	connect := servers + "/" + id + "/oauth2/connect"
	seal := func(place string, ends time.Time, token string) string {
		sealed, err := f.sealer.Seal(append(binary.BigEndian.AppendUint64(nil, uint64(ends.Unix())), token...), place)
		must(t, err)
		return base64.RawURLEncoding.EncodeToString(sealed)
	}
	soon := time.Now().Add(time.Hour)
	for _, c := range []struct {
		what, cookie string
		status       int
	}{
		{"one of ours", "mcp-sidecar-session=" + seal("page session", soon, rootToken), 307},
		{"one that has ended", "mcp-sidecar-session=" + seal("page session", time.Now().Add(-time.Second), rootToken), 401},
		{"something else that is sealed", "mcp-sidecar-session=" + seal("another place", soon, rootToken), 401},
		{"a token", "mcp-sidecar-session=" + rootToken, 401},
		{"a wrong token", "mcp-sidecar-session=" + seal("page session", soon, "wrong"), 401},
		{"nothing", "mcp-sidecar-session=", 401},
		{"much", "mcp-sidecar-session=" + strings.Repeat("A", 8000), 401},
		{"two", "mcp-sidecar-session=" + seal("page session", soon, rootToken) + "; mcp-sidecar-session=x", 401},
	} {
		if got := (&client{t: t, f: f}).with("Cookie", c.cookie).at("none").get(connect); got.status != c.status {
			t.Errorf("%s is answered with %d, want %d", c.what, got.status, c.status)
		}
	}
	f.mint(t, `{"name":"bot","role":"agent"}`).with("Sidecar-User", "ann").post("/api/v1/session", "").want(403)
	(&client{t: t, f: f}).post("/api/v1/session", "").want(401)
}
