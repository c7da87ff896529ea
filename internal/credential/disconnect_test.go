package credential_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mcpsidecar/configstore"
	"mcpsidecar/internal/credential"
	"mcpsidecar/internal/secret"
)

func (w *world) disconnect(user string) credential.Revocation {
	w.t.Helper()
	r, err := w.broker.Disconnect(w.t.Context(), w.server.ID, user)
	if err != nil {
		w.t.Error(err)
	}
	return r
}

// revocations are the tokens that the provider was told of, with their kinds.
func (p *provider) revocations() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var told []string
	for _, r := range p.requests {
		if r.path == "/revoke" {
			told = append(told, r.form.Get("token_type_hint")+" "+r.form.Get("token"))
		}
	}
	return strings.Join(told, ", ")
}

// O-19
// refuses answers for one kind of token with an error.
func refuses(hint, code string) func(url.Values) (int, string) {
	return func(form url.Values) (int, string) {
		if form.Get("token_type_hint") == hint {
			return 400, `{"error":"` + code + `"}`
		}
		return 200, ""
	}
}

func TestRevocation(t *testing.T) {
	const both = "refresh_token refresh-1, access_token access-1"
	for _, c := range []struct {
		name    string
		change  func(*world)
		revoke  func(url.Values) (int, string)
		told    string
		revoked bool
	}{
		{"it goes well", nil, nil, both, true},
		{"204", nil, func(url.Values) (int, string) { return 204, "" }, both, true},
		{"202 says nothing", nil, func(url.Values) (int, string) { return 202, "" }, both, false},
		{"503", nil, func(url.Values) (int, string) { return 503, `{"error":"secret"}` }, both, false},
		{"another error", nil, func(url.Values) (int, string) { return 400, `{"error":"invalid_client"}` }, both, false},
		{"a redirect", nil, func(url.Values) (int, string) { return 307, "" }, both, false},
		{"no refresh tokens can be revoked", nil, refuses("refresh_token", "unsupported_token_type"), both, true},
		{"no access tokens can be revoked", nil, refuses("access_token", "unsupported_token_type"), both, true},
		{"none can be revoked", nil, func(url.Values) (int, string) { return 400, `{"error":"unsupported_token_type"}` }, both, false},
		{"the refresh token is not revoked", nil, refuses("refresh_token", "temporarily_unavailable"), both, false},
		{"the access token is not revoked", nil, refuses("access_token", "temporarily_unavailable"), both, false},
		{"there is only an access token", func(w *world) { w.provider.set(func(p *provider) { p.bare = true }) }, nil, "access_token access-1", true},
		{"the provider has no such endpoint", func(w *world) { w.directory.metadata.RevocationEndpoint = "" }, nil, "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			if c.change != nil {
				c.change(w)
			}
			w.provider.revoke = c.revoke
			w.connect("alice")
			got := w.disconnect("alice")
			if got.Revoked != c.revoked || (got.Problem == "") != c.revoked || strings.Contains(got.Problem, "secret") {
				t.Errorf("%+v", got)
			}
			if told := w.provider.revocations(); told != c.told {
				t.Errorf("the provider was told %s, want %s", told, c.told)
			}
			w.hasNot("alice", credential.ErrNotConnected)
			w.is("alice", credential.StateNeedsAuth)
		})
	}
}

func TestRevocationOfAHangingProvider(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.connect("alice")
		w.provider.set(func(p *provider) {
			p.always = func(r *http.Request, _ url.Values) (*http.Response, error) {
				<-r.Context().Done()
				return nil, r.Context().Err()
			}
		})
		began := time.Now()
		done := make(chan credential.Revocation)
		go func() { done <- w.disconnect("alice") }()
		synctest.Wait()
		w.hasNot("alice", credential.ErrNotConnected) // at once
		if got := <-done; got.Revoked || time.Since(began) > 10*time.Second {
			t.Errorf("%+v after %s", got, time.Since(began))
		}
	})
}

func TestRevocationProvesTheClient(t *testing.T) {
	w := newWorld(t)
	w.configure(nil)
	w.connect("alice")
	w.disconnect("alice")
	if r := w.provider.requests[1]; !strings.HasPrefix(r.auth, "Basic ") || r.form.Has("client_id") {
		t.Errorf("a confidential client: %q, %v", r.auth, r.form.Has("client_id"))
	}
	public := newWorld(t)
	public.connect("alice")
	public.disconnect("alice")
	if r := public.provider.requests[1]; r.auth != "" || r.form.Get("client_id") != "client-1" {
		t.Errorf("a public client: %q, %q", r.auth, r.form.Get("client_id"))
	}
}

// An admin gives the server another provider, and a secret for that, right when a user has disconnected: the one before must not be shown it.
func TestRevocationKnowsNoSecretOfAnotherProvider(t *testing.T) {
	w := newWorld(t)
	w.configure(nil)
	w.connect("alice")
	before := w.provider.total()
	w.meanwhile.Store(new(func() {
		if err := w.edit(func(s *configstore.Server) {
			s.OAuth2Issuer, s.OAuth2ClientSecret = "https://as2.example", secret.New("of-another-provider")
		}); err != nil {
			t.Error(err)
		}
	}))
	w.disconnect("alice")
	if w.provider.total() == before {
		t.Fatal("nothing was revoked")
	}
	for _, r := range w.provider.requests[before:] {
		sent, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(r.auth, "Basic "))
		if err != nil || strings.Contains(string(sent)+r.form.Encode(), "of-another-provider") {
			t.Errorf("%s was shown the secret of another provider (%v)", r.path, err)
		}
	}
}

func TestDisconnectSaysNothingOfWhatIsThere(t *testing.T) {
	w := newWorld(t)
	for _, id := range []string{w.server.ID, "nobody", "", "../x", strings.Repeat("x", 300)} {
		for _, user := range []string{"alice", "", "a/b"} {
			if got, err := w.broker.Disconnect(t.Context(), id, user); err != nil || got != (credential.Revocation{}) {
				t.Errorf("%q of %q: %+v, %v", id, user, got, err)
			}
		}
	}
}

// O-18
func TestDisconnectDuringARefresh(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.connect("alice")
		w.connect("bob")
		time.Sleep(2 * time.Hour)
		w.provider.set(func(p *provider) {
			p.faults = []fault{func(*http.Request, url.Values) (*http.Response, error) { time.Sleep(3 * time.Second); return nil, nil }}
		})
		var call sync.WaitGroup
		call.Go(func() { w.hasNot("alice", credential.ErrNotConnected) })
		time.Sleep(time.Second)
		w.disconnect("alice")
		for range 1000 {
			w.hasNot("alice", credential.ErrNotConnected)
		}
		call.Wait()
		time.Sleep(10 * time.Second)
		w.hasNot("alice", credential.ErrNotConnected)
		if _, err := w.store.Grant(t.Context(), w.server.ID, "alice"); err == nil {
			t.Error("the grant came back")
		}
		if told := w.provider.revocations(); told != "refresh_token refresh-1, access_token access-1, refresh_token refresh-3, access_token access-3" {
			t.Errorf("revoked: %s", told) // what the late refresh brought, too
		}
		w.has("bob", "access-4")
	})
}

func TestDisconnectHoldsAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.connect("alice")
		w.has("alice", "access-1")
		synctest.Wait() // who follows the store pauses now: only the disconnect itself can drop the token
		w.disconnect("alice")
		w.hasNot("alice", credential.ErrNotConnected)
	})
	bubble(t, func(t *testing.T, w *world) {
		w.connect("alice")
		synctest.Wait()
		disconnect := func() { w.disconnect("alice") }
		w.disk.after.Store(&disconnect)
		w.hasNot("alice", credential.ErrNotConnected) // it was read just before, and must not come into the memory
		w.hasNot("alice", credential.ErrNotConnected)
	})
}

// What others write (another replica, an admin) ends tokens in this memory, too.
func TestWhatOthersWriteHoldsWithinASecond(t *testing.T) {
	for name, write := range map[string]func(*world) error{
		"a disconnect elsewhere": func(w *world) error {
			_, err := w.store.DeleteGrant(w.t.Context(), w.server.ID, "alice")
			return err
		},
		"the user is deleted":   func(w *world) error { return w.store.DeleteUser(w.t.Context(), "alice") },
		"the server is deleted": func(w *world) error { return w.store.DeleteServer(w.t.Context(), w.server.ID) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				w.connect("alice")
				w.has("alice", "access-1")
				time.Sleep(time.Second)
				if err := write(w); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
				w.hasNot("alice", credential.ErrNotConnected)
			})
		})
	}
	t.Run("a refresh elsewhere", func(t *testing.T) {
		bubble(t, func(t *testing.T, w *world) {
			w.connect("alice")
			w.has("alice", "access-1")
			g, err := w.store.Grant(t.Context(), w.server.ID, "alice")
			if err != nil {
				t.Fatal(err)
			}
			_, err = w.store.UpdateGrant(t.Context(), w.server.ID, "alice", g.Generation, func(g *configstore.Grant) error { g.AccessToken = secret.New("theirs"); return nil })
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			w.has("alice", "theirs")
		})
	})
}

// A secret goes to the server, origin and issuer it was given for, whatever the caller's record says.
func TestATokenGoesNowhereElse(t *testing.T) {
	w := newWorld(t)
	w.connect("alice")
	w.has("alice", "access-1")
	for what, change := range map[string]func(*configstore.Server){
		"host": func(s *configstore.Server) { s.URL = "https://evil.example/mcp" }, "path": func(s *configstore.Server) { s.URL = "https://mcp.example/other" },
		"scheme": func(s *configstore.Server) { s.URL = "http://mcp.example/mcp" }, "port": func(s *configstore.Server) { s.URL = "https://mcp.example:8443/mcp" },
		"issuer": func(s *configstore.Server) { s.OAuth2Issuer = "https://evil.example" }, "client": func(s *configstore.Server) { s.OAuth2ClientID = "evil" },
		"token endpoint": func(s *configstore.Server) { s.OAuth2TokenURL = "https://evil.example/token" }, "auth type": func(s *configstore.Server) { s.AuthType = configstore.AuthAPIKey },
		"id": func(s *configstore.Server) { s.ID = configstore.NewID() },
	} {
		changed := w.server
		change(&changed)
		for range 2 {
			if got, err := w.broker.Token(t.Context(), &changed, "alice", none); err == nil {
				t.Errorf("another %s got %q", what, got.Reveal())
			}
		}
	}
	renamed := w.server
	renamed.Slug, renamed.DisplayName, renamed.Revision, renamed.OAuth2Scopes = "new", "New", 99, "more"
	if got, err := w.broker.Token(t.Context(), &renamed, "alice", none); err != nil || got.Reveal() != "Bearer access-1" {
		t.Errorf("a renamed one got %q, %v", got.Reveal(), err)
	}
	w.has("alice", "access-1")
}

// meanwhile is a locker under which something happens right before the lock of a grant is given.
type meanwhile struct {
	credential.LocalLocker
	happens func()
}

func (m *meanwhile) Lock(ctx context.Context, name string) (func(), error) {
	if happens := m.happens; happens != nil && strings.HasPrefix(name, "grant/") {
		m.happens = nil
		happens()
	}
	return m.LocalLocker.Lock(ctx, name)
}

// A call that was refused waits for a new token while an admin moves the server and the user connects there: what the user has then is not for the place where the call is.
func TestATokenForAnotherAddressIsNotForACallUnderWay(t *testing.T) {
	locker := &meanwhile{}
	w := newWorld(t, func(_ *world, c *credential.Config) { c.Locker = locker })
	w.connect("alice")
	refused := w.has("alice", "access-1")
	locker.happens = func() {
		moved, err := w.store.UpdateServer(t.Context(), w.server.ID, func(s *configstore.Server) error { s.URL = "https://moved.example/mcp"; return nil })
		if err != nil {
			t.Error(err)
		}
		w.connectTo(moved, "alice")
	}
	if got, err := w.token("alice", refused); err == nil {
		t.Errorf("the old address got %q", got.Reveal())
	}
}

// O-21, A-04
func TestATokenIsOfOneUserAndOneServer(t *testing.T) {
	w := newWorld(t)
	two := w.create("two", place) // the very same address, the very same provider
	w.connect("alice")
	if got, err := w.broker.Token(t.Context(), &two, "alice", none); err == nil {
		t.Errorf("the other server got %q", got.Reveal())
	}
	for _, user := range []string{"bob", "", "Alice", "alice ", "alice/", "../alice", "*"} {
		w.hasNot(user, credential.ErrNotConnected)
	}
}

func TestTwoReplicasAskOnce(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		locker := &credential.LocalLocker{}
		var replicas []*credential.Broker
		for range 3 {
			b, err := credential.New(credential.Config{Store: w.store, Discovery: w.directory, HTTP: &http.Client{Transport: w.provider}, PublicURL: public, Locker: locker})
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			replicas = append(replicas, b)
		}
		w.connect("alice")
		for round := range 3 {
			w.provider.set(func(p *provider) { p.delay = 500 * time.Millisecond })
			time.Sleep(2 * time.Hour)
			var calls sync.WaitGroup
			for _, b := range replicas {
				for range 100 {
					calls.Go(func() {
						got, err := b.Token(t.Context(), &w.server, "alice", none)
						if err != nil || got.Reveal() != fmt.Sprintf("Bearer access-%d", round+2) {
							t.Errorf("%q, %v", got.Reveal(), err)
						}
					})
				}
			}
			calls.Wait()
			w.askedTimes(round + 1)
		}
	})
}

func TestCloseLetsARefreshEnd(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.connect("alice")
		w.provider.set(func(p *provider) { p.delay = 3 * time.Second })
		time.Sleep(2 * time.Hour)
		ctx, cancel := withTimeout(t, time.Second)
		defer cancel()
		w.broker.Token(ctx, &w.server, "alice", none)
		if err := w.broker.Close(); err != nil {
			t.Fatal(err)
		}
		grant, err := w.store.Grant(t.Context(), w.server.ID, "alice")
		if err != nil || grant.RefreshToken.Reveal() != "refresh-2" {
			t.Errorf("the new refresh token was lost: %v", err)
		}
		time.Sleep(2 * time.Hour)
		_, err = w.token("alice", none)
		expect(t, "a call after Close", err, credential.ErrClosed)
	})
}

func TestCloseEnds(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.connect("alice")
		w.provider.set(func(p *provider) {
			p.always = func(r *http.Request, _ url.Values) (*http.Response, error) {
				<-r.Context().Done()
				return nil, r.Context().Err()
			}
		})
		time.Sleep(2 * time.Hour)
		var call sync.WaitGroup
		call.Go(func() { w.hasNot("alice", credential.ErrUnavailable) })
		synctest.Wait()
		began := time.Now()
		if err := w.broker.Close(); err != nil || time.Since(began) > 10*time.Second {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		call.Wait()
	})
}
