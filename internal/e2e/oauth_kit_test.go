package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	"mcpsidecar/internal/e2e/rig"
)

// provider is an OAuth2 provider that others wrote, as node/provider.mjs sets it up.
type provider struct {
	t            testing.TB
	base, issuer string
}

// startProvider starts one. env is what provider.mjs reads, besides the port.
func startProvider(t testing.TB, env ...string) *provider {
	t.Helper()
	n := node(t)
	var process *rig.Process
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the provider:\n%s%s", tail(process.Stdout.String()), tail(process.Stderr.String()))
		}
	})
	address := upstream(t, func(ctx context.Context) (p *rig.Process, address string, err error) {
		process, address, err = rig.Serve(ctx, func(port string) rig.Command {
			c := n.Command("provider.mjs")
			c.Env = append(append(c.Env, "PORT="+port), env...)
			return c
		})
		return process, address, err
	})
	_, port, _ := strings.Cut(address, ":")
	p := &provider{t: t, base: "http://localhost:" + port}
	p.issuer = p.base
	for _, pair := range env {
		if path, ok := strings.CutPrefix(pair, "ISSUER="); ok {
			p.issuer += path
		}
	}
	return p
}

// counts says how often each endpoint was asked.
func (p *provider) counts() map[string]int {
	p.t.Helper()
	counts := map[string]int{}
	if err := json.Unmarshal([]byte(send(p.t, web(p.t), "GET", p.base+"/counts", "", "").body), &counts); err != nil {
		p.t.Fatal(err)
	}
	return counts
}

// guarded is an MCP server that lets nobody in without a token of its provider that is meant for it.
type guarded struct {
	*httptest.Server
	*fake
	provider *provider
	client   *http.Client

	mu      sync.Mutex      // guards what follows
	sent    map[string]bool // by token, of those that were sent: whether it is over
	refused int             // requests with one that is
}

// startGuarded starts one of a kind; its tool echo says whose token it was sent.
func startGuarded(t testing.TB, p *provider, kind string) *guarded {
	t.Helper()
	g := &guarded{fake: startFake(t, kind), provider: p, client: web(t), sent: map[string]bool{}}
	g.Server = httptest.NewServer(http.HandlerFunc(g.serve))
	t.Cleanup(func() {
		g.Server.CloseClientConnections()
		g.Server.Close()
	})
	g.onCall(func(w http.ResponseWriter, r *http.Request, m heard) {
		m.reply(w, fmt.Sprintf(`"content":[{"type":"text","text":%q}]`, "for "+r.Header.Get("X-Subject")))
	})
	return g
}

func (g *guarded) endpoint() string { return g.Server.URL + "/mcp" }

func (g *guarded) serve(w http.ResponseWriter, r *http.Request) {
	const metadata = "/.well-known/oauth-protected-resource/mcp"
	if r.URL.Path == metadata {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"resource":%q,"authorization_servers":[%q],"scopes_supported":["read"]}`, g.endpoint(), g.provider.issuer)
		return
	}
	subject, ok := g.introspect(r)
	if token := r.Header.Get("Authorization"); token != "" {
		g.note(token)
	}
	if !ok {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token", resource_metadata="`+g.Server.URL+metadata+`", scope="read"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	r.Header.Set("X-Subject", subject)
	g.fake.ServeHTTP(w, r)
}

// introspect asks the provider whose token a request carries, and whether it is for this server.
func (g *guarded) introspect(r *http.Request) (subject string, ok bool) {
	token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !bearer {
		return "", false
	}
	ask, err := http.NewRequestWithContext(r.Context(), "POST", g.provider.issuer+"/token/introspection", strings.NewReader(url.Values{"token": {token}}.Encode()))
	if err != nil {
		return "", false
	}
	ask.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	ask.SetBasicAuth("upstream", "upstream-secret")
	response, err := g.client.Do(ask)
	if err != nil {
		return "", false
	}
	defer response.Body.Close()
	var said struct {
		Active   bool
		Sub, Aud string
	}
	if json.NewDecoder(response.Body).Decode(&said) != nil {
		return "", false
	}
	return said.Sub, said.Active && said.Aud == g.endpoint()
}

func (g *guarded) note(token string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	over := g.sent[token]
	if g.sent[token] = over; over {
		g.refused++
	}
}

// allOver says that every token that was sent until now is over. One that ends on its way, on a machine that takes its time, is nobody's fault.
func (g *guarded) allOver() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for token := range g.sent {
		g.sent[token] = true
	}
}

// turnedAway says how many requests had a token that was over.
func (g *guarded) turnedAway() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.refused
}

var linkIn = regexp.MustCompile(`http://[^\s"]+/connect/[A-Za-z0-9_-]{43}`)

// linkIn finds the sign-in link in what a tool said.
func (s *sidecar) linkIn(said said) string {
	s.t.Helper()
	link := linkIn.FindString(said.Error + said.Text)
	if !strings.HasPrefix(link, s.Base+"/connect/") {
		s.t.Fatalf("there is no link of ours in %+v", said)
	}
	return link
}

// person is somebody with a browser that shows nothing.
type person struct {
	t      testing.TB
	login  string // at providers
	client *http.Client
}

func newPerson(t testing.TB, login string) *person {
	jar := must[http.CookieJar](t)(func() (http.CookieJar, error) { return cookiejar.New(nil) }())
	client := web(t)
	client.Jar = jar
	client.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		r.Header.Del("Origin") // browsers send none with a GET
		return nil
	}
	return &person{t: t, login: login, client: client}
}

// follow opens a link, says yes to every question, and returns the last page.
func (p *person) follow(link string) (status int, page string) {
	p.t.Helper()
	status, page, at := p.open("GET", link, nil)
	if status != http.StatusOK || !strings.Contains(page, `id="continue"`) {
		return status, page
	}
	status, page, at = p.open("POST", at, nil)
	for questions := 0; status == http.StatusOK && strings.Contains(page, `id="allow"`) && questions < 3; questions++ { // who signs in, and to what
		status, page, at = p.open("POST", at, url.Values{"login": {p.login}, "do": {"allow"}})
	}
	return status, page
}

func (p *person) open(method, address string, form url.Values) (status int, page, at string) {
	p.t.Helper()
	request := newRequest(p.t, method, address, "", "")
	if method == "POST" {
		request = newRequest(p.t, method, address, "", form.Encode(), "Origin", originOf(address))
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	response, err := p.client.Do(request)
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return response.StatusCode, string(text), response.Request.URL.String()
}

func originOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// connection is how a user stands with a server.
func (s *sidecar) connection(id, token string) (state string) {
	s.t.Helper()
	var shown struct {
		Connected  bool `json:"auth_connected"`
		Connection struct{ State string }
	}
	got := send(s.t, web(s.t), "GET", s.Base+"/api/v1/servers/"+id, token, "")
	if err := json.Unmarshal([]byte(got.body), &shown); err != nil || shown.Connected != (shown.Connection.State == "connected") {
		s.t.Fatalf("%v: %s", err, got.body)
	}
	return shown.Connection.State
}

// inCI says that what is missing is a failure.
func inCI() bool { return os.Getenv("CI") != "" }
