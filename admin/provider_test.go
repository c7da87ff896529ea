package admin_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"mcpsidecar/configstore/kv/boltkv"
)

// provider is an MCP server that is its own OAuth2 provider, with registration, PKCE and revocation. Every token of it is a canary.
type provider struct {
	*httptest.Server

	mu       sync.Mutex // guards what follows
	asked    []string   // method and path, in order
	forms    []url.Values
	silent   bool           // it has no metadata and asks for no sign-in
	refuse   string         // the error code that the token endpoint answers with
	revoke   int            // the status of a revocation
	metadata map[string]any // more of its metadata
	tokens   int
}

func newProvider(t testing.TB) *provider {
	t.Helper()
	p := &provider{revoke: http.StatusOK, metadata: map[string]any{}}
	p.Server = httptest.NewServer(p)
	t.Cleanup(func() {
		p.CloseClientConnections()
		p.Close()
	})
	return p
}

func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.ParseForm()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, r.Method+" "+r.URL.Path)
	p.forms = append(p.forms, r.PostForm)
	w.Header().Set("Content-Type", "application/json")
	switch {
	case p.silent:
		w.WriteHeader(http.StatusNotFound)
	case r.URL.Path == "/.well-known/oauth-protected-resource":
		json.NewEncoder(w).Encode(map[string]any{"resource": p.URL, "authorization_servers": []string{p.URL}, "scopes_supported": []string{"read"}})
	case r.URL.Path == "/.well-known/oauth-authorization-server":
		json.NewEncoder(w).Encode(p.described())
	case r.URL.Path == "/register":
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, `{"client_id":"registered","token_endpoint_auth_method":"none"}`)
	case r.URL.Path == "/token" && p.refuse != "":
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"error":%q,"error_description":"%s in an error"}`, p.refuse, canary)
	case r.URL.Path == "/token":
		p.tokens++
		fmt.Fprintf(w, `{"access_token":"%s-access-%d","token_type":"bearer","expires_in":3600,"refresh_token":"%[1]s-refresh-%[2]d","scope":"read"}`, canary, p.tokens)
	case r.URL.Path == "/revoke":
		w.WriteHeader(p.revoke)
	default:
		w.Header().Set("WWW-Authenticate", `Bearer resource_metadata="`+p.URL+`/.well-known/oauth-protected-resource"`)
		w.WriteHeader(http.StatusUnauthorized)
	}
}

func (p *provider) described() map[string]any {
	all := map[string]any{
		"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token", "registration_endpoint": p.URL + "/register", "revocation_endpoint": p.URL + "/revoke",
		"code_challenge_methods_supported": []string{"S256"}, "authorization_response_iss_parameter_supported": true,
	}
	for name, value := range p.metadata {
		all[name] = value
	}
	return all
}

func (p *provider) set(change func(*provider)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p)
}

// times says how often something was asked for.
func (p *provider) times(what string) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, asked := range p.asked {
		if asked == what {
			n++
		}
	}
	return n
}

// openOAuth is open with a sidecar that is elsewhere, and may reach the providers of a test.
func openOAuth(t testing.TB, public string) *fixture {
	t.Helper()
	engine, err := boltkv.Open(filepath.Join(t.TempDir(), "data", "sidecar.db"))
	must(t, err)
	return openAt(t, engine, public, netip.MustParsePrefix("127.0.0.0/8"))
}

// oauth is the body for a new server at a provider.
func oauth(t testing.TB, p *provider, changes fields) string {
	t.Helper()
	all := fields{"auth_type": "oauth2", "url": p.URL + "/mcp"}
	for name, value := range changes {
		all[name] = value
	}
	return body(t, all)
}

// browser is somebody's browser: it has cookies and no token.
type browser struct {
	*client
	cookies map[string]string
}

func (f *fixture) browser(t testing.TB) *browser {
	return &browser{client: &client{t: t, f: f}, cookies: map[string]string{}}
}

// visit asks as a browser does, and keeps cookies.
func (b *browser) visit(method, path string) *answer {
	b.t.Helper()
	var pairs []string
	for name, value := range b.cookies {
		pairs = append(pairs, name+"="+value)
	}
	who := b.client
	if len(pairs) > 0 {
		who = who.with("Cookie", strings.Join(pairs, "; "))
	}
	if method == "POST" {
		who = who.with("Content-Type", "application/x-www-form-urlencoded").with("Origin", ourselves).with("Sec-Fetch-Site", "same-origin")
	}
	got := who.do(method, path, "")
	b.keep(got)
	return got
}

func (b *browser) keep(got *answer) {
	response := http.Response{Header: got.header}
	for _, cookie := range response.Cookies() {
		b.cookies[cookie.Name] = cookie.Value
	}
}

// departed checks a redirect to a provider, and returns what it asks for.
func departed(t testing.TB, got *answer, status int, p *provider) url.Values {
	t.Helper()
	got.want(status)
	to, err := url.Parse(got.header.Get("Location"))
	must(t, err)
	if at := to.Scheme + "://" + to.Host + to.Path; at != p.URL+"/authorize" {
		t.Fatalf("the browser is sent to %s", at)
	}
	return to.Query()
}

// return is where the provider sends the browser back to, without the public address.
func (f *fixture) comeBack(p *provider, asked url.Values, changes url.Values) string {
	said := url.Values{"code": {canary + "-code"}, "state": {asked.Get("state")}, "iss": {p.URL}}
	for name, values := range changes {
		said.Del(name)
		if values != nil {
			said[name] = values
		}
	}
	redirect, err := url.Parse(asked.Get("redirect_uri"))
	if err != nil {
		return err.Error()
	}
	return redirect.Path + "?" + said.Encode()
}

// link makes a sign-in link and returns its path.
func (c *client) link(id string) string {
	c.t.Helper()
	made := c.post(servers+"/"+id+"/oauth2/link", "").want(200).object()
	address, err := url.Parse(made["url"].(string))
	must(c.t, err)
	return address.Path
}

// connect brings an account of the client's user to a server, all the way.
func (c *client) connect(p *provider, id string) {
	c.t.Helper()
	b := c.f.browser(c.t)
	asked := departed(c.t, b.visit("POST", c.link(id)), 303, p)
	b.visit("GET", c.f.comeBack(p, asked, nil)).want(200)
}
