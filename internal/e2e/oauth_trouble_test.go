package e2e_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// answering is a provider's answer to a refresh, instead of the right one.
func answering(status int, media, body string, header ...string) func(string, http.ResponseWriter, url.Values) bool {
	return func(step string, w http.ResponseWriter, form url.Values) bool {
		if step != stepAsked || form.Get("grant_type") != "refresh_token" {
			return false
		}
		w.Header().Set("Content-Type", media)
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
		return true
	}
}

// hangUp is no answer at all.
func hangUp(step string, _ http.ResponseWriter, form url.Values) bool {
	if step == stepAsked && form.Get("grant_type") == "refresh_token" {
		panic(http.ErrAbortHandler)
	}
	return false
}

// TestProvidersInTrouble: what a provider does instead of renewing a token. The connection survives everything but the provider's word that it is over; nobody is asked again and again; a client that the
// provider has forgotten registers anew.
func TestProvidersInTrouble(t *testing.T) {
	for _, c := range []struct {
		what  string
		on    func(string, http.ResponseWriter, url.Values) bool
		ends  bool // only a new sign-in helps
		state string
		says  string // of the last error
	}{
		{"500", answering(500, "application/json", `{"error":"server_error"}`), false, "connected", "HTTP 500"},
		{"500 with a word that would end it", answering(500, "application/json", `{"error":"invalid_grant"}`), false, "connected", "HTTP 500"},
		{"429", answering(429, "application/json", `{}`, "Retry-After", "1"), false, "connected", "HTTP 429"},
		{"HTML", answering(200, "text/html", "<p>We are down for maintenance.</p>"), false, "connected", "cannot be used"},
		{"an empty answer", answering(200, "application/json", ""), false, "connected", "cannot be used"},
		{"nothing", hangUp, false, "connected", "could not be reached"},
		{"a redirect", answering(302, "text/plain", "", "Location", "/token"), false, "connected", "HTTP 302"},
		{"a client that it does not know", answering(401, "application/json", `{"error":"invalid_client"}`), true, "connected", "invalid_client"},
		{"a grant that is over", answering(400, "application/json", `{"error":"invalid_grant","error_description":"expired"}`), true, "needs_reauth", "invalid_grant"},
		{"GitHub's word for that", answering(200, "application/json", `{"error":"bad_refresh_token"}`), true, "needs_reauth", "bad_refresh_token"},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			a := newAccount(t)
			a.r.set(func(r *recorder) { r.life = "0" })
			alice := a.connects("alice")
			a.r.set(func(r *recorder) { r.life, r.on = "3600", c.on })
			for range 10 {
				said := alice.call("echo", "{}")
				if said.Text != "" || c.ends != (linkIn.FindString(said.Error) != "") {
					t.Errorf("the call said %+v", said)
				}
			}
			if asked := a.r.refreshes(); asked > 5 { // the back-off grows, and ten calls are soon made
				t.Errorf("the provider was asked %d times", asked)
			}
			if state, trouble := a.stateOf("alice"); state != c.state || !strings.Contains(trouble, c.says) {
				t.Errorf("alice is %s: %q", state, trouble)
			}
			if n := a.mcp.letIn(); n != 0 {
				t.Errorf("%d requests had a token", n)
			}
			a.r.set(func(r *recorder) { r.on = func(string, http.ResponseWriter, url.Values) bool { return false } })
			if c.ends {
				a.connects("alice")
			}
			eventually(t, "the account can be used again", func() bool { return alice.call("echo", "{}").Text == "for alice-there" })
			if state, _ := a.stateOf("alice"); state != "connected" {
				t.Errorf("in the end alice is %s", state)
			}
			wantClients := 1
			if strings.Contains(c.what, "client") {
				wantClients = 2
			}
			if n := a.r.times("/register", ""); n != wantClients {
				t.Errorf("%d registrations", n)
			}
		})
	}
}

// TestSwappedCallbacks: two people sign in at the same time, and each browser brings the other's answer. Neither counts, nothing is asked of the provider, and the sign-ins still end well.
func TestSwappedCallbacks(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	other := a.register("other", a.mcp.endpoint(), "auth_type", "oauth2", "availability", "default_off")
	back := func(user string) (p *person, address string) {
		p = newPerson(t, user+"-there")
		p.client.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
			r.Header.Del("Origin")
			if strings.Contains(r.URL.Path, "/oauth2/callback") {
				address = r.URL.String()
				return http.ErrUseLastResponse
			}
			return nil
		}
		p.follow(a.linkIn(a.agentOf(user).call("echo", "{}")))
		if address == "" {
			t.Fatal("the provider sent nobody back")
		}
		return p, address
	}
	alice, aliceBack := back("alice")
	bob, bobBack := back("bob")
	query := func(address, name, value string) string {
		u := must[*url.URL](t)(url.Parse(address))
		q := u.Query()
		q.Set(name, value)
		if value == "" {
			q.Del(name)
		}
		u.RawQuery = q.Encode()
		return u.String()
	}
	parameter := func(address, name string) string { return must[*url.URL](t)(url.Parse(address)).Query().Get(name) }
	for what, foreign := range map[string]struct {
		who     *person
		address string
	}{
		"alice's answer in bob's browser":      {bob, aliceBack},
		"bob's answer in alice's browser":      {alice, bobBack},
		"an answer in a browser without past":  {newPerson(t, "nobody"), aliceBack},
		"an answer for another server":         {alice, strings.Replace(aliceBack, a.id, other, 1)},
		"a state that nobody gave":             {alice, query(aliceBack, "state", strings.Repeat("A", 43))},
		"no state":                             {alice, query(aliceBack, "state", "")},
		"no code":                              {alice, query(aliceBack, "code", "")},
		"no issuer":                            {alice, query(aliceBack, "iss", "")},
		"another issuer":                       {alice, query(aliceBack, "iss", a.r.URL+"/")},
		"two codes":                            {alice, aliceBack + "&code=other"},
		"an error that comes with a code":      {alice, aliceBack + "&error=access_denied"},
		"an error from somebody else":          {bob, query(query(aliceBack, "code", ""), "error", "access_denied")},
		"the state of the other, and own code": {alice, query(aliceBack, "state", parameter(bobBack, "state"))},
	} {
		if status, page, _ := foreign.who.open("GET", foreign.address, nil); status != http.StatusBadRequest || !strings.Contains(page, `id="text"`) {
			t.Errorf("%s: %d\n%s", what, status, page)
		}
	}
	if n := a.r.times("/token", ""); n != 0 {
		t.Fatalf("the provider was asked %d times", n)
	}
	for user, p := range map[string]*person{"alice": alice, "bob": bob} {
		address := map[string]string{"alice": aliceBack, "bob": bobBack}[user]
		if status, page, _ := p.open("GET", address, nil); status != http.StatusOK || !strings.Contains(page, "docs is connected for "+user+".") {
			t.Errorf("%s: %d\n%s", user, status, page)
		}
		if said := a.agentOf(user).call("echo", "{}"); said.Text != "for "+user+"-there" {
			t.Errorf("%s: %+v", user, said)
		}
		if status, _, _ := p.open("GET", address, nil); status != http.StatusBadRequest {
			t.Errorf("the answer to %s counted twice: %d", user, status)
		}
	}
	if n := a.r.times("/token", ""); n != 2 {
		t.Errorf("the provider was asked %d times", n)
	}
}

// TestWhatEndsConnectionsRevokesThem: whatever an admin does that ends connections is told to the provider, also when the program ends right afterwards.
func TestWhatEndsConnectionsRevokesThem(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		method, path string
		fields       []any
		revoked      int
	}{
		"the server is deleted":       {"DELETE", "/servers/{id}", nil, 2},
		"it gets another address":     {"PATCH", "/servers/{id}", []any{"url", "http://127.0.0.1:1/mcp", "oauth2_client_id", "new", "oauth2_auth_url", "https://a.invalid/a", "oauth2_token_url", "https://a.invalid/t"}, 2},
		"it needs no account anymore": {"PATCH", "/servers/{id}", []any{"auth_type", "none"}, 2},
		"the user is deleted":         {"DELETE", "/users/alice", nil, 1},
		"an admin ends a connection":  {"DELETE", "/servers/{id}/grants/alice", nil, 1},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			a := newAccount(t)
			a.connects("alice")
			a.connects("bob")
			a.r.set(func(r *recorder) {
				r.on = func(step string, _ http.ResponseWriter, _ url.Values) bool {
					if step == stepRevoke {
						time.Sleep(300 * time.Millisecond)
					}
					return false
				}
			})
			var body any
			if c.fields != nil {
				body = pairs(c.fields)
			}
			if err := a.API(t.Context(), c.method, strings.Replace(c.path, "{id}", a.id, 1), body, nil); err != nil {
				t.Fatal(err)
			}
			a.stop()
			if n := a.r.times("/revoke", ""); n != 2*c.revoked {
				t.Errorf("%d revocations, want %d", n, 2*c.revoked)
			}
			a.r.mu.Lock()
			defer a.r.mu.Unlock()
			if left := len(a.r.refresh); left != 2-c.revoked {
				t.Errorf("%d refresh tokens are still good", left)
			}
		})
	}
}

// TestStepUpAtAStrictProvider: a server asks for a scope that nobody knew of when the client registered, and its provider holds clients to what they registered for.
func TestStepUpAtAStrictProvider(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	alice := a.connects("alice")
	bob := a.connects("bob")
	a.mcp.set(func(b *behind) { b.needs = "write" })
	link := a.linkIn(alice.call("echo", "{}"))
	if status, page := newPerson(t, "alice-there").follow(link); status != http.StatusOK {
		t.Fatalf("the second sign-in ended with %d:\n%s", status, page)
	}
	if said := alice.call("echo", "{}"); said.Text != "for alice-there" {
		t.Errorf("after it the call said %+v", said)
	}
	a.linkIn(bob.call("echo", "{}")) // it was alice who agreed to more
	a.mcp.set(func(b *behind) { b.needs = "" })
	if said := bob.call("echo", "{}"); said.Text != "for bob-there" {
		t.Errorf("bob's call said %+v", said)
	}
	a.r.mu.Lock()
	defer a.r.mu.Unlock()
	var scopes []string
	for _, client := range a.r.clients {
		scopes = append(scopes, client.scope)
	}
	slices.Sort(scopes)
	if got := fmt.Sprintf("%q", scopes); got != `["read" "read write"]` {
		t.Errorf("registered for %s", got)
	}
}

// TestProvidersDoNotLeadInside: a provider at an address that the operator allows names endpoints at one that is not. Nothing is ever sent there: no code, no token, no client's secret.
func TestProvidersDoNotLeadInside(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has all of 127.0.0.0/8")
	}
	var reached atomic.Int32
	canary := listening(t, "127.0.0.1:0", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		reached.Add(1)
		w.WriteHeader(http.StatusNotFound)
	}))
	for endpoint, ends := range map[string]int{"token_endpoint": http.StatusBadGateway, "revocation_endpoint": http.StatusOK} {
		t.Run(endpoint, func(t *testing.T) {
			r := startRecorderAt(t, "127.0.0.2:0")
			a := newAccountAt(t, r, "--allow-private-cidrs", "127.0.0.2/32")
			r.set(func(r *recorder) { r.at[endpoint] = canary.URL + "/trap" })
			if err := a.API(t.Context(), "POST", "/servers/"+a.id+"/rediscover", nil, nil); err != nil {
				t.Fatal(err)
			}
			status, page := newPerson(t, "alice-there").follow(a.linkIn(a.agentOf("alice").call("echo", "{}")))
			if status != ends {
				t.Errorf("the sign-in ended with %d:\n%s", status, page)
			}
			got := send(t, web(t), http.MethodDelete, a.Base+"/api/v1/servers/"+a.id+"/oauth2/disconnect", a.made["alice"], "")
			if got.status != http.StatusOK || !strings.Contains(got.body, `"token_revoked":false`) {
				t.Errorf("disconnect: %d %s", got.status, got.body)
			}
		})
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("%d connections inside", n)
	}
	if got := send(t, web(t), "GET", canary.URL, "", ""); got.status != http.StatusNotFound || reached.Load() == 0 {
		t.Error("nobody reaches the canary at all")
	}
}
