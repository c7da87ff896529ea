package e2e_test

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"mcpsidecar/internal/e2e/rig"
)

// tap keeps every answer of the sidecar that passes through it.
type tap struct {
	next http.RoundTripper
	base string // of the sidecar

	mu      sync.Mutex // guards what follows
	answers []tapped
}

type tapped struct {
	method, path string
	status       int
	text         []byte // head and body
}

func (p *tap) RoundTrip(q *http.Request) (*http.Response, error) {
	answer, err := p.next.RoundTrip(q)
	if err != nil || !strings.HasPrefix(q.URL.String(), p.base) {
		return answer, err
	}
	body, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	if err != nil {
		return nil, err
	}
	answer.Body = io.NopCloser(bytes.NewReader(body))
	var text bytes.Buffer
	answer.Header.Write(&text)
	text.Write(body)
	p.mu.Lock()
	p.answers = append(p.answers, tapped{q.Method, q.URL.Path, answer.StatusCode, text.Bytes()})
	p.mu.Unlock()
	return answer, nil
}

// shows names the secrets that an answer is there to show: a new token to who made it, a link to who is to follow it, and to the browser on its way what it brings to the provider and back.
func (a tapped) shows(name string) bool {
	switch {
	case strings.HasPrefix(name, "API token"):
		return a.method == "POST" && strings.HasSuffix(a.path, "/tokens")
	case strings.HasPrefix(name, "link"):
		return a.method == "POST" && (strings.HasPrefix(a.path, "/mcp") || strings.HasSuffix(a.path, "/link"))
	case strings.HasPrefix(name, "state"), strings.HasPrefix(name, "cookie"):
		return (a.status == http.StatusSeeOther || a.status == http.StatusTemporaryRedirect) && (strings.HasPrefix(a.path, "/connect/") || strings.HasSuffix(a.path, "/oauth2/connect"))
	}
	return false
}

// sweptLife is the life of accounts with everything that can go wrong in it, and all its secrets.
type sweptLife struct {
	*account
	tap     *tap
	secrets map[string]string // those that the provider does not know of
	plain   *behind           // of an admin's client
	plainID string
}

// TestSecretsOfAccountsAreNowhere goes through the life of accounts (sign-ins, calls, refreshes, step-up, providers and servers that repeat what they were sent, forged callbacks, changes, ends) at the most
// talkative log level, ends the process with a dump of its goroutines in the middle of it, and looks for every secret that there was in everything that the process has written, said or kept.
func TestSecretsOfAccountsAreNowhere(t *testing.T) {
	t.Parallel()
	keys, auditLog := t.TempDir(), filepath.Join(t.TempDir(), "audit.log")
	l := &sweptLife{account: newAccount(t, "--log-level", "debug", "--audit-log", auditLog, "--key-file", filepath.Join(keys, "key"))}
	l.secrets = map[string]string{"admin token": rig.AdminToken}
	l.tap = &tap{next: web(t).Transport, base: l.Base}
	l.configuredClient()
	l.keys()
	l.signIns()
	l.renewals()
	l.echoes()
	l.forgeries()
	l.changes()
	l.looks()
	arguments, environment := l.proc("cmdline"), l.proc("environ")
	_, metrics, err := l.Scrape(t.Context(), "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	l.dump()

	all := l.known()
	t.Logf("%d secrets, %d answers", len(all), len(l.tap.answers))
	for _, kind := range []string{"access token", "refresh token", "code", "verifier", "state", "client secret", "API token", "link", "cookie", "api key", "header", "admin token"} {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(all)), func(name string) bool { return strings.HasPrefix(name, kind) }) {
			t.Errorf("there was no %s to look for", kind)
		}
	}
	for _, a := range l.tap.answers {
		here := maps.Clone(all)
		maps.DeleteFunc(here, func(name, _ string) bool { return a.shows(name) })
		sweep(t, fmt.Sprintf("the answer to %s %.40s (%d)", a.method, a.path, a.status), a.text, here)
	}
	sweep(t, "the metrics", []byte(metrics), all)
	sweep(t, "the command line", arguments, all)
	here := maps.Clone(all)
	delete(here, "admin token") // which was given there
	sweep(t, "the environment", environment, here)
	stderr := l.Stderr.String()
	if !strings.Contains(stderr, "level=WARN") || !strings.Contains(stderr, "SIGQUIT") || strings.Count(stderr, "\ngoroutine ") < 10 {
		t.Errorf("there is no log, or no dump of goroutines: %d", strings.Count(stderr, "\ngoroutine "))
	}
	sweep(t, "stdout", []byte(l.Stdout.String()), all)
	sweep(t, "the log and the dump", []byte(stderr), all)
	sweep(t, "the audit log", must[[]byte](t)(os.ReadFile(auditLog)), all)
	for _, dir := range []string{l.dir, keys} {
		for _, entry := range must[[]os.DirEntry](t)(os.ReadDir(dir)) {
			sweep(t, entry.Name(), must[[]byte](t)(os.ReadFile(filepath.Join(dir, entry.Name()))), all)
		}
	}
}

// known is every secret that there was.
func (l *sweptLife) known() map[string]string {
	all := l.r.known()
	maps.Copy(all, l.secrets)
	return all
}

func (l *sweptLife) keep(kind, secret string) {
	l.secrets[fmt.Sprint(kind, " ", len(l.secrets))] = secret
}

// proc is what the system shows of the process, where it shows it.
func (l *sweptLife) proc(file string) []byte {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/%s", l.PID, file))
	return text
}

// api asks the management API; an empty token is the admin's.
func (l *sweptLife) api(method, path, token, body string) answer {
	l.t.Helper()
	if token == "" {
		token = rig.AdminToken
	}
	return send(l.t, &http.Client{Transport: l.tap, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, method, l.Base+"/api/v1"+path, token, body)
}

// agentAt is an agent of a user whose answers are kept.
func (l *sweptLife) agentAt(path, user string) *agent {
	l.t.Helper()
	if l.made[user] == "" {
		got := l.api("POST", "/tokens", "", fmt.Sprintf(`{"name":"test","role":"user","user":%q}`, user))
		_, rest, _ := strings.Cut(got.body, `"token":"`)
		l.made[user], _, _ = strings.Cut(rest, `"`)
		_, part, _ := strings.Cut(strings.TrimPrefix(l.made[user], "mcps_"), "_")
		l.keep("API token", part)
	}
	a := l.modern(path, l.made[user])
	a.client = &http.Client{Transport: l.tap}
	return a
}

// personAt is somebody at a browser whose answers are kept, and whose cookies are secrets.
func (l *sweptLife) personAt(login string) *person {
	p := newPerson(l.t, login)
	p.client.Transport = l.tap
	return p
}

// link takes the sign-in link from what a tool said.
func (l *sweptLife) link(s said) string {
	l.t.Helper()
	link := l.linkIn(s)
	l.keep("link", strings.TrimPrefix(link, l.Base+"/connect/"))
	return link
}

func (l *sweptLife) follow(p *person, link string, want int) {
	l.t.Helper()
	if status, page := p.follow(link); status != want {
		l.t.Fatalf("the sign-in ended with %d:\n%s", status, page)
	}
	for _, cookie := range p.client.Jar.Cookies(must[*url.URL](l.t)(url.Parse(l.Base))) {
		l.keep("cookie", cookie.Value)
	}
}

// configuredClient registers a server of which an admin has the client.
func (l *sweptLife) configuredClient() {
	l.plain = startBehind(l.t, l.r, legacyOnly)
	l.r.set(func(r *recorder) {
		r.clients["known"] = clientThere{secret: r.canary("client secret"), scope: "read"}
	})
	l.r.mu.Lock()
	secret := l.r.clients["known"].secret
	l.r.mu.Unlock()
	l.plainID = l.register("plain", l.plain.endpoint(), "auth_type", "oauth2", "oauth2_client_id", "known", "oauth2_client_secret", secret)
	l.r.set(func(r *recorder) {
		known := r.clients["known"]
		known.redirect = l.Base + "/api/experimental/mcp/servers/" + l.plainID + "/oauth2/callback"
		r.clients["known"] = known
	})
}

// keys registers servers with secrets that are the same for everybody.
func (l *sweptLife) keys() {
	up := startFake(l.t, modernOnly)
	l.r.set(func(r *recorder) { r.canary("api key"); r.canary("header") })
	for name, secret := range l.r.known() {
		switch {
		case strings.HasPrefix(name, "api key"):
			l.register("key", up.URL, "auth_type", "api_key", "api_key_header", "X-Key", "api_key_value", secret)
		case strings.HasPrefix(name, "header"):
			l.register("headers", up.URL, "auth_type", "custom_headers", "custom_headers", rig.Fields{"X-Secret": secret})
		}
	}
}

// signIns are by a link that a call returned, by one that was asked for, and by the API.
func (l *sweptLife) signIns() {
	l.t.Helper()
	l.follow(l.personAt("alice-there"), l.link(l.agentAt("/mcp/docs", "alice").call("echo", "{}")), 200)
	l.follow(l.personAt("alice-there"), l.link(l.agentAt("/mcp/plain", "alice").call("echo", "{}")), 200)
	l.agentAt("/mcp", "bob")
	got := l.api("POST", "/servers/"+l.id+"/oauth2/link", l.made["bob"], "{}")
	l.follow(l.personAt("bob-there"), l.link(said{Text: got.body}), 200)
	got = l.api("GET", "/servers/"+l.plainID+"/oauth2/connect", l.made["bob"], "")
	cookie := must[*http.Cookie](l.t)(http.ParseSetCookie(got.header.Get("Set-Cookie")))
	l.keep("cookie", cookie.Value)
	p := l.personAt("bob-there")
	p.client.Jar.SetCookies(must[*url.URL](l.t)(url.Parse(l.Base)), []*http.Cookie{cookie})
	_, _, at := p.open("GET", got.header.Get("Location"), nil)
	if status, page, _ := p.open("POST", at, url.Values{"login": {"bob-there"}, "do": {"allow"}}); status != 200 {
		l.t.Fatalf("%d %s", status, page)
	}
	for _, slug := range []string{"docs", "plain"} {
		for _, user := range []string{"alice", "bob"} {
			l.works(slug, user)
		}
	}
	for _, path := range []string{"/mcp", "/mcp/key", "/mcp/headers"} {
		l.agentAt(path, "alice").list()
		l.agentAt(path, "alice").call("key__echo", "{}")
	}
}

func (l *sweptLife) works(slug, user string) {
	l.t.Helper()
	if got := l.agentAt("/mcp/"+slug, user).call("echo", "{}"); got.Text != "for "+user+"-there" {
		l.t.Errorf("%s's call to %s said %+v", user, slug, got)
	}
}

// renewals are because a token is over, because a server refuses it, and because it is not enough.
func (l *sweptLife) renewals() {
	l.t.Helper()
	l.r.set(func(r *recorder) { clear(r.access) }) // none is good any more
	l.works("docs", "alice")
	l.works("plain", "alice")
	l.r.set(func(r *recorder) { r.scopes = "read write" })
	l.mcp.set(func(b *behind) { b.needs = "write" })
	l.follow(l.personAt("alice-there"), l.link(l.agentAt("/mcp/docs", "alice").call("echo", "{}")), 200)
	l.works("docs", "alice")
	l.mcp.set(func(b *behind) { b.needs = "" })
}

// echoes are providers and servers that repeat what they were sent, in all that they say.
func (l *sweptLife) echoes() {
	l.t.Helper()
	for i, media := range []string{"application/json", "text/html", "application/x-www-form-urlencoded", "text/plain"} {
		l.r.set(func(r *recorder) {
			clear(r.access)
			r.on = func(step string, w http.ResponseWriter, form url.Values) bool {
				if step != stepAsked && step != stepRevoke {
					return false
				}
				w.Header().Set("Content-Type", media)
				w.Header().Set("X-Echo", form.Encode())
				w.WriteHeader([]int{400, 500, 200, 403}[i])
				fmt.Fprintf(w, `{"error":%q,"error_description":%[1]q,"access_token":"%[1]s"`, form.Encode()+strings.Join(form["refresh_token"], " ")+strings.Join(form["code"], " "))
				return true
			}
		})
		user := fmt.Sprint("user", i)
		l.follow(l.personAt(user+"-there"), l.link(l.agentAt("/mcp/docs", user).call("echo", "{}")), http.StatusBadGateway)
		for _, slug := range []string{"docs", "plain"} {
			l.agentAt("/mcp/"+slug, "bob").call("echo", "{}")
		}
		l.r.set(func(r *recorder) { r.on = func(string, http.ResponseWriter, url.Values) bool { return false } })
	}
	for _, b := range []*behind{l.mcp, l.plain} {
		for _, status := range []int{500, 403, 404, 302} {
			b.onCall(func(w http.ResponseWriter, q *http.Request, _ heard) {
				token := q.Header.Get("Authorization")
				w.Header().Set("WWW-Authenticate", token)
				w.Header().Set("Location", b.Server.URL+"/?"+url.QueryEscape(token))
				w.Header().Set("X-Echo", token)
				w.WriteHeader(status)
				io.WriteString(w, token)
			})
			for _, slug := range []string{"docs", "plain"} {
				l.agentAt("/mcp/"+slug, "alice").call("echo", "{}")
			}
		}
		b.onCall(func(w http.ResponseWriter, q *http.Request, m heard) {
			m.reply(w, fmt.Sprintf(`"content":[{"type":"text","text":%q}]`, "for "+q.Header.Get("X-Subject")))
		})
	}
}

// forgeries are callbacks that are none.
func (l *sweptLife) forgeries() {
	l.t.Helper()
	carol := l.personAt("carol-there")
	var back string
	follow := carol.client.CheckRedirect
	carol.client.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		if strings.Contains(r.URL.Path, "/oauth2/callback") {
			back = r.URL.String()
			return http.ErrUseLastResponse
		}
		return follow(r, via)
	}
	l.follow(carol, l.link(l.agentAt("/mcp/docs", "carol").call("echo", "{}")), http.StatusSeeOther)
	carol.client.CheckRedirect = follow
	mallory := l.personAt("mallory-there")
	for _, forged := range []struct {
		who     *person
		address string
	}{{mallory, back}, {carol, back + "&state=x"}, {carol, back + "&code=x"}, {carol, strings.Replace(back, "iss=", "iss=x", 1)}, {carol, strings.Replace(back, "code=", "error_description=", 1) + "&error=access_denied"}} {
		if status, page, _ := forged.who.open("GET", forged.address, nil); status != http.StatusBadRequest {
			l.t.Errorf("%s: %d %s", forged.address, status, page)
		}
	}
}

// changes end connections in every way.
func (l *sweptLife) changes() {
	l.t.Helper()
	l.r.set(func(r *recorder) {
		r.on = func(step string, w http.ResponseWriter, form url.Values) bool {
			if step == stepRevoke {
				w.WriteHeader(500)
				io.WriteString(w, form.Encode())
			}
			return step == stepRevoke
		}
	})
	l.api("DELETE", "/servers/"+l.id+"/oauth2/disconnect", l.made["alice"], "")
	l.follow(l.personAt("alice-there"), l.link(l.agentAt("/mcp/docs", "alice").call("echo", "{}")), 200)
	l.api("DELETE", "/servers/"+l.plainID+"/grants/alice", "", "")
	l.api("POST", "/servers/"+l.id+"/rediscover", "", "")
	if got := l.api("PATCH", "/servers/"+l.plainID, "", fmt.Sprintf(`{"url":%q}`, l.plain.endpoint()+"/elsewhere")); got.status != 400 && got.status != 200 {
		l.t.Errorf("%d %s", got.status, got.body)
	}
	l.api("DELETE", "/users/bob", "", "")
	l.api("DELETE", "/servers/"+l.plainID, "", "")
}

// looks are at everything that there is to see.
func (l *sweptLife) looks() {
	l.t.Helper()
	for _, path := range []string{"/servers", "/servers/" + l.id, "/servers/" + l.id + "/grants", "/servers/" + l.id + "/tools", "/servers/" + l.id + "/catalog/diff", "/tokens", "/users", "/whoami", "/openapi.json", "/policy/explain?user=alice&mode=act&tool=docs__echo"} {
		for _, token := range []string{"", l.made["alice"]} {
			needsAccount := strings.HasSuffix(path, "/tools") || strings.HasSuffix(path, "/diff") // which the admin has not
			if got := l.api("GET", path, token, ""); token == "" && got.status != http.StatusOK && !needsAccount {
				l.t.Errorf("%s: %d %s", path, got.status, got.body)
			}
		}
	}
	l.api("POST", "/servers/"+l.id+"/test", "", "")
}

// dump ends the process as an operator does who wants to see what it is doing: while calls wait for a refresh that does not come, and while a server holds a call with a token.
func (l *sweptLife) dump() {
	l.t.Helper()
	held, release := make(chan struct{}, 2), make(chan struct{})
	defer close(release)
	l.r.set(func(r *recorder) {
		r.on = func(step string, _ http.ResponseWriter, _ url.Values) bool {
			held <- struct{}{}
			<-release
			return false
		}
		clear(r.access)
	})
	alice := l.agentAt("/mcp/docs", "alice")
	body, header := alice.request(1, "tools/call", "echo", `"name":"echo","arguments":{}`)
	var calls sync.WaitGroup
	for range 5 {
		calls.Go(func() {
			_, _ = try(l.t, alice.client, http.MethodPost, alice.url, alice.token, body, alice.with(header)...) // it is cut off
		})
	}
	<-held
	l.Signal(syscall.SIGQUIT)
	<-l.Ended()
	calls.Wait()
}
