package e2e_test

import (
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mcpsidecar/internal/e2e/rig"
)

// TestAccountsAtAProvider goes through the life of a connection at a provider that others wrote, set up in different ways: connect, call, expiry, refresh, revoke.
func TestAccountsAtAProvider(t *testing.T) {
	const document = "https://sidecar.test/client.json"
	for _, c := range []struct {
		what    string
		kind    string // of the server
		env     []string
		args    []string
		fields  []any
		becomes string // how the sidecar is known to the provider
		by      string // a path that the provider must have been asked at, or must not with - before it
	}{
		{"that registers clients", modernOnly, nil, nil, nil, "registered", "/reg"},
		{"with a path", legacyOnly, []string{"ISSUER=/tenant"}, nil, nil, "registered", "/tenant/reg"},
		{"that registers nobody", legacyOnly, []string{known}, nil, []any{"oauth2_client_id", "known", "oauth2_client_secret", "client-secret"}, "configured", "-/reg"},
		{"that reads documents", modernOnly, nil, []string{"--client-metadata-url", document}, nil, "document", "-/reg"},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			s := start(t, append(c.args, "--listen", takePort(t), "--log-level", "debug", "--audit-log", filepath.Join(t.TempDir(), "audit"))...)
			if c.becomes == "document" {
				c.env = []string{"DOCUMENTS=" + s.Base + "/oauth/client.json"}
			}
			p := startProvider(t, c.env...)
			g := startGuarded(t, p, c.kind)
			id := s.register("docs", g.endpoint(), append([]any{"auth_type", "oauth2"}, c.fields...)...)
			l := &life{t: t, s: s, p: p, g: g, id: id, alice: s.token("alice"), bob: s.token("bob")}
			l.run()
			var provider struct{ Client, Issuer string }
			if err := s.API(t.Context(), "POST", "/servers/"+id+"/rediscover", nil, &provider); err != nil || provider.Client != c.becomes || provider.Issuer != p.issuer {
				t.Errorf("the provider is %+v: %v", provider, err)
			}
			path, not := strings.CutPrefix(c.by, "-")
			if asked := p.counts()[path] > 0; asked == not {
				t.Errorf("%s was asked %d times", path, p.counts()[path])
			}
		})
	}
}

// known is a provider's list of clients with one that an admin has. Redirect URIs have the id of a server in them, which is minted; provider.mjs takes those of any server.
const known = `CLIENTS=[{"client_id":"known","client_secret":"client-secret","grant_types":["authorization_code","refresh_token"],"redirect_uris":["http://127.0.0.1/"]}]`

// life is one connection from its beginning to its end.
type life struct {
	t          *testing.T
	s          *sidecar
	p          *provider
	g          *guarded
	id         string
	alice, bob string
}

func (l *life) run() {
	l.t.Helper()
	alice, bob := l.s.modern("/mcp/docs", l.alice), l.s.modern("/mcp/docs", l.bob)
	if names := alice.list(); !slices.Equal(names, []string{"docs__connect"}) {
		l.t.Errorf("before the sign-in alice sees %v", names)
	}
	link := l.s.linkIn(alice.call("echo", "{}"))
	if status, page := newPerson(l.t, "alice-at-provider").follow(link); status != 200 || !strings.Contains(page, "docs is connected for alice.") {
		l.t.Fatalf("the sign-in ended with %d:\n%s", status, page)
	}
	if status, _ := newPerson(l.t, "mallory").follow(link); status != 400 {
		l.t.Errorf("the link worked again: %d", status)
	}
	l.says(alice, "for alice-at-provider")
	if names := alice.list(); !slices.Contains(names, "echo") || slices.Contains(names, "docs__connect") {
		l.t.Errorf("after the sign-in alice sees %v", names)
	}
	if said := bob.call("echo", "{}"); !strings.Contains(said.Error, "/connect/") {
		l.t.Errorf("bob got %+v", said)
	}
	if state := l.s.connection(l.id, l.bob); state != "needs_auth" {
		l.t.Errorf("bob is %s", state)
	}
	l.expire(alice)
	l.end(alice)
}

func (l *life) says(a *agent, want string) {
	l.t.Helper()
	if said := a.call("echo", "{}"); said.Text != want || said.Error != "" {
		l.t.Errorf("the call said %+v, want %s", said, want)
	}
}

// expire lets access tokens end more than once: each is renewed, also when the program was killed meanwhile, and by one request however many calls wait.
func (l *life) expire(alice *agent) {
	l.t.Helper()
	token := strings.TrimPrefix(l.p.issuer, l.p.base) + "/token"
	for range 2 {
		before := l.p.counts()[token]
		time.Sleep(3500 * time.Millisecond) // a token lives for three seconds at the provider, whose clock is its own
		l.g.allOver()
		began := time.Now()
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() { l.says(alice, "for alice-at-provider") })
		}
		all.Wait()
		lives := 2 + int(time.Since(began)/(2*time.Second)) // more than one, where the tests take longer than a token lives
		if n := l.p.counts()[token] - before; n < 1 || n > lives {
			l.t.Errorf("%d token requests in %s", n, time.Since(began))
		}
	}
	l.s.Kill()
	l.s = l.s.again()
	l.says(alice, "for alice-at-provider")
	if state := l.s.connection(l.id, l.alice); state != "connected" {
		l.t.Errorf("alice is %s", state)
	}
}

// end revokes, here and at the provider.
func (l *life) end(alice *agent) {
	l.t.Helper()
	got := send(l.t, web(l.t), http.MethodDelete, l.s.Base+"/api/v1/servers/"+l.id+"/oauth2/disconnect", l.alice, "")
	if got.status != 200 || !strings.Contains(got.body, `"token_revoked":true`) {
		l.t.Errorf("disconnect: %d %s", got.status, got.body)
	}
	l.g.allOver()
	l.s.linkIn(alice.call("echo", "{}"))
	if n := l.g.turnedAway(); n != 0 {
		l.t.Errorf("%d requests had a token that had ended, or one after the end", n)
	}
	_, metrics, err := l.s.Scrape(l.t.Context(), "/metrics")
	if err != nil || strings.Contains(metrics, rig.AdminToken) {
		l.t.Errorf("the metrics: %v", err)
	}
}
