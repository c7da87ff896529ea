package admin_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"mcpsidecar/admin"
	"mcpsidecar/internal/caller"
	"mcpsidecar/internal/front"
)

var errDown = errors.New("the server did not answer")

const anID = "0b7bd8f1-5a35-4bd0-8f0d-3a1f6a1d2c3b"

// concrete makes a path of a route's pattern.
func concrete(route admin.Route) string {
	return regexp.MustCompile(`:[a-z]+`).ReplaceAllString(route.Path, anID)
}

// no route answers a stranger, and all say so in the same way.
func TestStrangersLearnNothing(t *testing.T) {
	f := open(t)
	expired := f.mint(t, `{"name":"short","role":"admin","expires_in":3600}`)
	revoked := f.mint(t, `{"name":"gone","role":"admin"}`)
	f.root(t).delete("/api/v1/tokens/" + idOf(revoked.token)).want(204)
	strangers := map[string]*client{
		"nobody":        {t: t, f: f},
		"a wrong token": {t: t, f: f, token: "mcps_0123456789abcdef_" + strings.Repeat("a", 52)},
		"half a token":  {t: t, f: f, token: expired.token[:len(expired.token)-1]},
		"a revoked one": revoked,
	}
	for who, stranger := range strangers {
		for _, route := range append(f.api.Routes(), admin.Route{Method: "GET", Path: "/api/v1/nowhere"}, admin.Route{Method: "PUT", Path: servers}) {
			if route.Open {
				continue
			}
			got := stranger.do(route.Method, concrete(route), "")
			if got.status != http.StatusUnauthorized || got.header.Get("WWW-Authenticate") != "Bearer" {
				if got.status == http.StatusTooManyRequests {
					continue // so many guesses from one address are slowed down
				}
				t.Errorf("%s: %s %s: status %d, WWW-Authenticate %q", who, route.Method, route.Path, got.status, got.header.Get("WWW-Authenticate"))
			}
		}
	}
	if !slices.Contains(f.refused, "no_credential") || !slices.Contains(f.refused, "bad_credential") {
		t.Errorf("the refused are counted as %v", f.refused)
	}
}

func idOf(token string) string { return strings.Split(token, "_")[1] }

func TestWhoCannotBeVerifiedIsToldWhy(t *testing.T) {
	f := open(t)
	for _, c := range []struct {
		err    error
		status int
	}{
		{caller.ErrNoCredential, 401}, {caller.ErrBadCredential, 401}, {&caller.ThrottledError{RetryAfter: 1500_000_000, Cause: caller.ErrThrottled}, 429}, {&caller.ThrottledError{RetryAfter: 1500_000_000, Cause: caller.ErrNewUsers}, 429}, {caller.ErrUsers, 403}, {caller.ErrUserRequired, 400}, {caller.ErrUserInvalid, 400},
		{caller.ErrUserForbidden, 403}, {caller.ErrUnavailable, 503}, {errors.New("some other " + canary), 500},
	} {
		config := f.config()
		config.Callers = verdict{c.err}
		f.handler = front.Wrap(front.Config{Listen: "127.0.0.1:8080"}, newAPI(t, config))
		got := (&client{t: t, f: f}).get(servers).want(c.status)
		if want := map[bool]string{true: "2"}[c.status == 429]; got.header.Get("Retry-After") != want {
			t.Errorf("Retry-After of a %d is %q", c.status, got.header.Get("Retry-After"))
		}
	}
	f.log.Reset() // the last error is meant to be logged
}

type verdict struct{ err error }

func (v verdict) Authenticate(*http.Request) (*caller.Identity, error) { return nil, v.err }

// A-08 and the rest of what is the admins': others are refused whatever the path names and the body holds.
func TestRoles(t *testing.T) {
	f := open(t)
	clients := map[string]*client{
		"admin": f.root(t),
		"user":  f.mint(t, `{"name":"ann","role":"user","user":"ann"}`),
		"agent": f.mint(t, `{"name":"bot","role":"agent"}`).with("Sidecar-User", "ann"),
	}
	for _, route := range f.api.Routes() {
		for role, who := range clients {
			admitted := route.Open || role == "admin" || role == "user" && !route.Admin || route.Agents
			got := who.do(route.Method, concrete(route), `{"nonsense":`)
			if (got.status != http.StatusForbidden) != admitted {
				t.Errorf("%s %s as %s: status %d", route.Method, route.Path, role, got.status)
			}
		}
	}
	if len(f.servers.probed) != 0 {
		t.Error("somebody else than an admin made the sidecar connect somewhere")
	}
}

func TestOnlyAnAgentNamesAUser(t *testing.T) {
	f := open(t)
	agent := f.mint(t, `{"name":"bot","role":"agent"}`)
	agent.get("/api/v1/whoami").want(400)
	agent.with("Sidecar-User", "a b").get("/api/v1/whoami").want(400)
	f.root(t).with("Sidecar-User", "ann").get("/api/v1/whoami").want(403)
	f.mint(t, `{"name":"ann","role":"user","user":"ann"}`).with("Sidecar-User", "bob").get("/api/v1/whoami").want(403)
}

func TestWhoAmI(t *testing.T) {
	f := open(t)
	f.root(t).create(body(t, nil))
	for _, c := range []struct {
		who  *client
		want fields
	}{
		{f.root(t), fields{"role": "admin", "user": "admin", "token_id": "bootstrap", "mode": "act", "agent": "root", "servers": nil}},
		{f.mint(t, `{"name":"ann","role":"user","user":"ann","mode":"plan","servers":["github"]}`), fields{"role": "user", "user": "ann", "mode": "plan", "agent": "root", "servers": "github"}},
		{f.mint(t, `{"name":"bot","role":"agent","agent":"subagent","servers":[]}`).with("Sidecar-User", "bob"), fields{"role": "agent", "user": "bob", "mode": "act", "agent": "subagent", "servers": ""}},
	} {
		got := c.who.get("/api/v1/whoami").want(200).object()
		for name, want := range c.want {
			is := got[name]
			if list, ok := is.([]any); ok {
				is = strings.Join(texts(list), ",")
			}
			if is != want {
				t.Errorf("%s of %v is %v, want %v", name, got["user"], is, want)
			}
		}
	}
}

func texts(list []any) (texts []string) {
	for _, one := range list {
		texts = append(texts, one.(string))
	}
	return texts
}

// What users see: enabled servers that are visible to them, without what is the admins'.
func TestUsersSeeTheirServersRedacted(t *testing.T) {
	f := open(t)
	root := f.root(t)
	whole := body(t, fields{
		"slug": "shown", "auth_type": "oauth2", "oauth2_client_id": "me", "oauth2_client_secret": canary, "oauth2_auth_url": "https://as.example.com/a", "oauth2_token_url": "https://as.example.com/t",
		"oauth2_revocation_url": "https://as.example.com/r", "oauth2_scopes": "a", "oauth2_issuer": "https://as.example.com", "api_key_header": "X-Key",
		"visible_to": []string{"ann", "zoe"}, "forward_headers": []string{"X-Trace"}, "tool_deny_list": []string{"drop"}, "timeout_ms": 9000,
	})
	shown := root.create(whole)
	disabled := root.create(body(t, fields{"slug": "disabled", "enabled": false}))
	hidden := root.create(body(t, fields{"slug": "hidden", "visible_to": []string{"bob"}}))
	ann := f.mint(t, `{"name":"ann","role":"user","user":"ann"}`)

	list := ann.listed()
	if len(list) != 1 || list[0]["id"] != shown {
		t.Fatalf("ann sees %v", list)
	}
	full := root.server(shown)
	for _, got := range []map[string]any{list[0], ann.server(shown)} {
		for name, value := range full {
			switch name {
			case "transport", "url", "oauth2_client_id", "oauth2_auth_url", "oauth2_token_url", "oauth2_revocation_url", "oauth2_scopes", "oauth2_issuer", "api_key_header":
				if value == "" || got[name] != "" {
					t.Errorf("%s is %v to an admin and %v to a user", name, value, got[name])
				}
			case "visible_to", "forward_headers":
				if len(value.([]any)) == 0 || len(got[name].([]any)) != 0 {
					t.Errorf("%s is %v to an admin and %v to a user", name, value, got[name])
				}
			default:
				if !reflect.DeepEqual(got[name], value) {
					t.Errorf("%s is %v to an admin and %v to a user", name, value, got[name])
				}
			}
		}
	}

	// What is disabled, hidden, unknown and malformed cannot be told apart.
	want := ann.get(servers + "/" + anID).want(404)
	for what, id := range map[string]string{"disabled": disabled, "hidden": hidden, "malformed": "x", "upper case": strings.ToUpper(shown)} {
		got := ann.get(servers + "/" + id).want(404)
		if string(got.body) != string(want.body) || len(got.header) != len(want.header) {
			t.Errorf("%s: %s, but unknown: %s", what, got.body, want.body)
		}
	}
	if got := f.mint(t, `{"name":"bob","role":"user","user":"bob"}`).listed(); len(got) != 1 || got[0]["id"] != hidden {
		t.Errorf("bob sees %v", got)
	}
}

// an id that is none is nothing, and never everything.
func TestIDsAreData(t *testing.T) {
	f := open(t)
	f.handler = f.api // what stands before it would turn some of this away
	root := f.root(t)
	id := root.create(body(t, nil))
	for _, strange := range []string{
		"my-server", "github", "..", ".", "", strings.Repeat("a", 300), "%00", "%2e%2e", strings.ToUpper(id), "{" + id + "}", id + "%20", "%2f" + id, id + "%2ftools", strings.ReplaceAll(id, "-", ""), "*", "urn:uuid:" + id,
	} {
		for _, method := range []string{"GET", "PATCH", "DELETE"} {
			got := root.do(method, servers+"/"+strange, "{}")
			if got.status != http.StatusNotFound {
				t.Errorf("%s of id %q: status %d: %s", method, strange, got.status, got.body)
			}
		}
		for _, below := range []string{"/test", "/catalog/approve"} {
			if got := root.post(servers+"/"+strange+below, "{}"); got.status != http.StatusNotFound && got.status != http.StatusMethodNotAllowed {
				t.Errorf("POST of id %q%s: status %d", strange, below, got.status)
			}
		}
	}
	if len(root.listed()) != 1 || len(f.servers.probed) != 0 {
		t.Error("a strange id did something")
	}
}

// W-05: nothing but a bearer token lets anybody in, and no GET changes anything.
func TestBrowsersCannotBeMadeToChangeAnything(t *testing.T) {
	f := open(t)
	root := f.root(t)
	id := root.create(body(t, nil))
	for _, method := range []string{"GET", "POST"} {
		r := httptest.NewRequestWithContext(t.Context(), method, servers, strings.NewReader("slug=x"))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.AddCookie(&http.Cookie{Name: "token", Value: rootToken})
		if w := newRecorder(r, f.api); w.Code != http.StatusUnauthorized {
			t.Errorf("%s with a cookie: status %d", method, w.Code)
		}
	}
	for _, path := range []string{servers + "/" + id + "/catalog/approve", servers + "/" + id + "/test"} {
		if got := root.get(path).want(http.StatusMethodNotAllowed); got.header.Get("Allow") != "POST" {
			t.Errorf("GET %s allows %q", path, got.header.Get("Allow"))
		}
	}
	for _, contentType := range []string{"", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/json; charset=utf-16", "application/jsonp", "nonsense;;"} {
		who := root.with("Content-Type", contentType)
		who.post(servers, body(t, fields{"slug": "other"})).want(http.StatusUnsupportedMediaType)
		who.patch(servers+"/"+id, `{"enabled":false}`).want(http.StatusUnsupportedMediaType)
	}
	root.with("Content-Type", "Application/JSON; charset=UTF-8").patch(servers+"/"+id, `{}`).want(200)
	root.with("Content-Encoding", "gzip").patch(servers+"/"+id, `{}`).want(http.StatusUnsupportedMediaType)
	if list := root.listed(); len(list) != 1 || list[0]["enabled"] != true {
		t.Errorf("something got through: %v", list)
	}
}

func TestMethodsThatARouteDoesNotHave(t *testing.T) {
	f := open(t)
	f.handler = f.api // what stands before it would turn some of this away
	root := f.root(t)
	id := root.create(body(t, nil))
	for _, c := range []struct{ method, path, allow string }{
		{"PUT", servers, "GET, HEAD, POST"}, {"OPTIONS", servers, "GET, HEAD, POST"}, {"DELETE", servers, "GET, HEAD, POST"},
		{"PUT", servers + "/" + id, "DELETE, GET, HEAD, PATCH"}, {"POST", servers + "/" + id, "DELETE, GET, HEAD, PATCH"},
		{"POST", "/api/v1/whoami", "GET, HEAD"}, {"PUT", "/api/v1/tokens/x", "DELETE"},
	} {
		if got := root.do(c.method, c.path, "").want(http.StatusMethodNotAllowed); got.header.Get("Allow") != c.allow {
			t.Errorf("%s %s allows %q, want %q", c.method, c.path, got.header.Get("Allow"), c.allow)
		}
	}
	for _, path := range []string{"/api/v1", "/api/v1/", "/api/v1/servers/", "/api/v1/Servers", "/api//v1/servers", "/api/v1/servers/" + id + "/", "/api/v1/servers/" + id + "/tools/", "/api/v1/x/../servers", "/api/v1%2fservers"} {
		root.get(path).want(http.StatusNotFound)
	}
	root.do("HEAD", servers+"/"+id, "").want(200)
}
