package e2e_test

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// recorder is an OAuth2 provider in this process: as strict as the one of others, but it does with a single request what a test says, and it remembers what it was asked and every secret that it gave
// or was shown.
type recorder struct {
	*httptest.Server
	t testing.TB

	mu      sync.Mutex        // guards what follows
	at      map[string]string // endpoints that are elsewhere than they should be
	life    string            // of access tokens as JSON
	scopes  string            // that a server behind it names
	clients map[string]clientThere
	codes   map[string]codeThere
	refresh map[string]grantThere // refresh tokens that work
	access  map[string]grantThere
	asked   []askedThere
	secrets map[string]string // by what they are
	on      func(step string, w http.ResponseWriter, form url.Values) (answered bool)
}

type clientThere struct{ secret, scope, redirect string }

type codeThere struct {
	clientID, redirect, challenge string
	grantThere
}

type grantThere struct {
	user, resource, scope string
	until                 time.Time
}

type askedThere struct {
	path string
	form url.Values
}

// Steps of a token request, as on hears of them.
const (
	stepAsked     = "asked"     // nothing has happened yet; an answer here is the answer
	stepCommitted = "committed" // the old refresh token is over, the new ones are there
	stepAnswered  = "answered"  // all of the answer is sent
	stepRevoke    = "revoke"
)

func startRecorder(t testing.TB) *recorder { return startRecorderAt(t, "127.0.0.1:0") }

// listening is a server at an address of this machine.
func listening(t testing.TB, address string, handler http.Handler) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Listener.Close()
	server.Listener = must[net.Listener](t)(net.Listen("tcp", address))
	server.Start()
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server
}

func startRecorderAt(t testing.TB, address string) *recorder {
	t.Helper()
	r := &recorder{
		t: t, life: "3600", scopes: "read", clients: map[string]clientThere{}, codes: map[string]codeThere{}, refresh: map[string]grantThere{}, access: map[string]grantThere{}, secrets: map[string]string{},
		on: func(string, http.ResponseWriter, url.Values) bool { return false },
	}
	r.at = map[string]string{}
	r.Server = listening(t, address, r)
	return r
}

// set changes what the provider does.
func (r *recorder) set(change func(*recorder)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(r)
}

// canary is a new secret, with characters that are written in many ways.
func (r *recorder) canary(what string) string {
	text := rand.Text() + "/+~." + rand.Text()
	r.secrets[fmt.Sprintf("%s %d", what, len(r.secrets))] = text
	return text
}

// known is every secret so far.
func (r *recorder) known() map[string]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := map[string]string{}
	for what, secret := range r.secrets {
		all[what] = secret
	}
	return all
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(q.Body)
	if err != nil {
		return
	}
	form, _ := url.ParseQuery(string(body)) // what is no form has no fields
	r.mu.Lock()
	r.asked = append(r.asked, askedThere{q.URL.Path, form})
	r.mu.Unlock()
	switch q.URL.Path {
	case "/.well-known/oauth-authorization-server":
		r.describe(w)
	case "/register":
		r.register(w, body)
	case "/authorize":
		r.authorize(w, q, form)
	case "/token":
		r.token(w, q, form)
	case "/revoke":
		if !r.step(stepRevoke, w, form) {
			r.mu.Lock()
			delete(r.refresh, form.Get("token"))
			r.mu.Unlock()
		}
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func (r *recorder) describe(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	said := map[string]any{
		"issuer": r.URL, "code_challenge_methods_supported": []string{"S256"}, "authorization_response_iss_parameter_supported": true, "response_types_supported": []string{"code"},
		"grant_types_supported": []string{"authorization_code", "refresh_token"}, "token_endpoint_auth_methods_supported": []string{"client_secret_basic"},
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, path := range map[string]string{"authorization_endpoint": "/authorize", "token_endpoint": "/token", "registration_endpoint": "/register", "revocation_endpoint": "/revoke"} {
		said[name] = cmp.Or(r.at[name], r.URL+path)
	}
	json.NewEncoder(w).Encode(said)
}

func (r *recorder) register(w http.ResponseWriter, body []byte) {
	var asked struct {
		Redirects []string `json:"redirect_uris"`
		Scope     string
	}
	if json.Unmarshal(body, &asked) != nil || len(asked.Redirects) != 1 {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	id := fmt.Sprintf("client-%d", len(r.clients)+1)
	made := clientThere{r.canary("client secret"), asked.Scope, asked.Redirects[0]}
	r.clients[id] = made
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	json.NewEncoder(w).Encode(map[string]any{"client_id": id, "client_secret": made.secret, "token_endpoint_auth_method": "client_secret_basic", "redirect_uris": asked.Redirects})
}

// authorize asks who signs in, and sends the browser back.
func (r *recorder) authorize(w http.ResponseWriter, q *http.Request, form url.Values) {
	query := q.URL.Query()
	r.mu.Lock()
	defer r.mu.Unlock()
	client, there := r.clients[query.Get("client_id")]
	if !there || client.redirect != query.Get("redirect_uri") || query.Get("code_challenge_method") != "S256" || query.Get("resource") == "" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	r.secrets[fmt.Sprint("state ", len(r.secrets))] = query.Get("state")
	if q.Method != http.MethodPost {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<!doctype html><title>Sign in</title><form method="post" action="%s"><input name="login" value="someone"><button id="allow" name="do" value="allow">Allow</button></form>`, html.EscapeString(q.URL.RequestURI()))
		return
	}
	back := url.Values{"state": {query.Get("state")}, "iss": {r.URL}}
	for _, scope := range strings.Fields(query.Get("scope")) {
		if !slices.Contains(strings.Fields(client.scope), scope) { // as providers do that hold clients to what they were registered for
			back.Set("error", "invalid_scope")
		}
	}
	if !back.Has("error") {
		code := r.canary("code")
		r.codes[code] = codeThere{query.Get("client_id"), query.Get("redirect_uri"), query.Get("code_challenge"), grantThere{user: form.Get("login"), resource: query.Get("resource"), scope: query.Get("scope")}}
		back.Set("code", code)
	}
	http.Redirect(w, q, query.Get("redirect_uri")+"?"+back.Encode(), http.StatusSeeOther)
}

func (r *recorder) step(name string, w http.ResponseWriter, form url.Values) bool {
	r.mu.Lock()
	on := r.on
	r.mu.Unlock()
	return on(name, w, form)
}

func (r *recorder) token(w http.ResponseWriter, q *http.Request, form url.Values) {
	if verifier := form.Get("code_verifier"); verifier != "" {
		r.mu.Lock()
		r.secrets[fmt.Sprint("verifier ", len(r.secrets))] = verifier
		r.mu.Unlock()
	}
	if r.step(stepAsked, w, form) {
		return
	}
	status, answer := r.grant(q, form)
	if r.step(stepCommitted, w, form) {
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", fmt.Sprint(len(answer)))
	w.WriteHeader(status)
	io.WriteString(w, answer)
	w.(http.Flusher).Flush()
	r.step(stepAnswered, w, form)
}

// grant judges a token request: codes and refresh tokens work once.
func (r *recorder) grant(q *http.Request, form url.Values) (status int, answer string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	id, secret, _ := q.BasicAuth()
	id, _ = url.QueryUnescape(id)
	secret, _ = url.QueryUnescape(secret)
	if client, there := r.clients[id]; !there || client.secret != secret {
		return 401, `{"error":"invalid_client"}`
	}
	var g grantThere
	switch form.Get("grant_type") {
	case "authorization_code":
		code, there := r.codes[form.Get("code")]
		delete(r.codes, form.Get("code"))
		sum := sha256.Sum256([]byte(form.Get("code_verifier")))
		if !there || code.clientID != id || code.redirect != form.Get("redirect_uri") || code.challenge != base64.RawURLEncoding.EncodeToString(sum[:]) {
			return 400, `{"error":"invalid_grant"}`
		}
		g = code.grantThere
	case "refresh_token":
		var there bool
		if g, there = r.refresh[form.Get("refresh_token")]; !there {
			return 400, `{"error":"invalid_grant"}`
		}
		delete(r.refresh, form.Get("refresh_token"))
	}
	if g.resource != form.Get("resource") {
		return 400, `{"error":"invalid_target"}`
	}
	return 200, r.give(g)
}

func (r *recorder) give(g grantThere) string {
	access, refresh := r.canary("access token"), r.canary("refresh token")
	g.until = time.Now().Add(time.Hour)
	r.access[access], r.refresh[refresh] = g, g
	return fmt.Sprintf(`{"access_token":%q,"token_type":"bearer","expires_in":%s,"refresh_token":%q,"scope":%q}`, access, r.life, refresh, g.scope)
}

// times says how often a path was asked for; of a grant type, where one is given.
func (r *recorder) times(path, grantType string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range r.asked {
		if a.path == path && (grantType == "" || a.form.Get("grant_type") == grantType) {
			n++
		}
	}
	return n
}

func (r *recorder) refreshes() int { return r.times("/token", "refresh_token") }

// subject says whose token a request carries, for a server of this provider.
func (r *recorder) subject(q *http.Request, place string) (user, scope string, ok bool) {
	token, _ := strings.CutPrefix(q.Header.Get("Authorization"), "Bearer ")
	r.mu.Lock()
	defer r.mu.Unlock()
	g, there := r.access[token]
	return g.user, g.scope, there && g.resource == place && time.Now().Before(g.until)
}

// behind is an MCP server that lets nobody in without a token of a recorder.
type behind struct {
	*httptest.Server
	*fake
	r *recorder

	mu     sync.Mutex // guards what follows
	needs  string     // the scope that a call needs; empty: none
	called func(q *http.Request)
	let    int // requests that came in with a token that was good
}

// startBehind starts one, on the provider's host; its tool echo says whose token it was sent.
func startBehind(t testing.TB, r *recorder, kind string) *behind {
	t.Helper()
	b := &behind{fake: startFake(t, kind), r: r, called: func(*http.Request) {}}
	host, _, _ := strings.Cut(r.Listener.Addr().String(), ":")
	b.Server = listening(t, host+":0", http.HandlerFunc(b.serve))
	b.onCall(func(w http.ResponseWriter, q *http.Request, m heard) {
		m.reply(w, fmt.Sprintf(`"content":[{"type":"text","text":%q}]`, "for "+q.Header.Get("X-Subject")))
	})
	return b
}

func (b *behind) endpoint() string { return b.Server.URL + "/mcp" }

func (b *behind) serve(w http.ResponseWriter, q *http.Request) {
	const metadata = "/.well-known/oauth-protected-resource/mcp"
	challenge := func(status int, reason, scope string) {
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer error=%q, resource_metadata=%q, scope=%q`, reason, b.Server.URL+metadata, scope))
		w.WriteHeader(status)
	}
	b.r.mu.Lock()
	scopes := b.r.scopes
	b.r.mu.Unlock()
	if q.URL.Path == metadata {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"resource":%q,"authorization_servers":[%q],"scopes_supported":[%q]}`, b.endpoint(), b.r.URL, scopes)
		return
	}
	user, scope, ok := b.r.subject(q, b.endpoint())
	b.mu.Lock()
	needs, called := b.needs, b.called
	if ok {
		b.let++
	}
	b.mu.Unlock()
	switch {
	case !ok:
		challenge(http.StatusUnauthorized, "invalid_token", scopes)
		return
	case needs != "" && q.Header.Get("Mcp-Method") == "tools/call" && !slices.Contains(strings.Fields(scope), needs):
		challenge(http.StatusForbidden, "insufficient_scope", needs)
		return
	}
	called(q)
	q.Header.Set("X-Subject", user)
	b.fake.ServeHTTP(w, q)
}

func (b *behind) set(change func(*behind)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change(b)
}

// letIn is how many requests had a good token.
func (b *behind) letIn() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.let
}

// account is a sidecar with one server that needs an account, and its provider.
type account struct {
	*sidecar
	r    *recorder
	mcp  *behind
	id   string
	made map[string]string // tokens of users
}

func newAccount(t testing.TB, args ...string) *account {
	t.Helper()
	return newAccountAt(t, startRecorder(t), args...)
}

func newAccountAt(t testing.TB, r *recorder, args ...string) *account {
	t.Helper()
	a := &account{sidecar: start(t, append([]string{"--listen", takePort(t)}, args...)...), r: r, made: map[string]string{}}
	a.mcp = startBehind(t, a.r, modernOnly)
	a.id = a.register("docs", a.mcp.endpoint(), "auth_type", "oauth2")
	return a
}

// agentOf is an agent of a user.
func (a *account) agentOf(user string) *agent {
	a.t.Helper()
	if a.made[user] == "" {
		a.made[user] = a.token(user)
	}
	return a.modern("/mcp/docs", a.made[user])
}

// connects signs a user in, with the link that a call returns.
func (a *account) connects(user string) *agent {
	a.t.Helper()
	agent := a.agentOf(user)
	link := a.linkIn(agent.call("echo", "{}"))
	if status, page := newPerson(a.t, user+"-there").follow(link); status != http.StatusOK {
		a.t.Fatalf("the sign-in of %s ended with %d:\n%s", user, status, page)
	}
	return agent
}

// restarted is the same after the process was killed, at the same address.
func (a *account) restarted() {
	a.t.Helper()
	a.Kill()
	a.sidecar = a.again()
}

// stateOf is how a user stands with the server, with what went wrong last.
func (a *account) stateOf(user string) (state, trouble string) {
	a.t.Helper()
	a.agentOf(user)
	var shown struct {
		Connection struct {
			State   string
			Trouble string `json:"last_error"`
		}
	}
	got := send(a.t, web(a.t), "GET", a.Base+"/api/v1/servers/"+a.id, a.made[user], "")
	if err := json.Unmarshal([]byte(got.body), &shown); err != nil {
		a.t.Fatalf("%v: %s", err, got.body)
	}
	return shown.Connection.State, shown.Connection.Trouble
}
