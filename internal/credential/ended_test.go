package credential_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mcpsidecar/configstore"
	"mcpsidecar/internal/credential"
	"mcpsidecar/internal/secret"
)

// Whatever ends connections revokes them at their provider, once each: after they are gone here, and without that anybody waits for it.
func TestWhatEndsConnectionsRevokesThem(t *testing.T) {
	const alice, bob = "access_token access-1, refresh_token refresh-1", "access_token access-2, refresh_token refresh-2"
	for _, c := range []struct {
		what    string
		end     func(*world) error
		revoked string
	}{
		{"the server is deleted", func(w *world) error { return w.store.DeleteServer(w.t.Context(), w.server.ID) }, alice + ", " + bob},
		{"the user is deleted", func(w *world) error { return w.store.DeleteUser(w.t.Context(), "alice") }, alice},
		{"the server gets another address", func(w *world) error {
			return w.edit(func(s *configstore.Server) { s.URL = "https://elsewhere.example/mcp" })
		}, alice + ", " + bob},
		{"another client", func(w *world) error { return w.edit(func(s *configstore.Server) { s.OAuth2ClientID = "new" }) }, alice + ", " + bob},
		{"another kind of authentication", func(w *world) error {
			return w.edit(func(s *configstore.Server) { s.AuthType = configstore.AuthNone })
		}, alice + ", " + bob},
		{"another provider", func(w *world) error {
			w.directory.metadata.Issuer = "https://other.example"
			_, err := w.broker.Rediscover(w.t.Context(), w.server.ID)
			return err
		}, alice + ", " + bob},
		{"another name", func(w *world) error { return w.edit(func(s *configstore.Server) { s.DisplayName = "New" }) }, ""},
	} {
		t.Run(c.what, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				var changed atomic.Int32
				w.changed.Store(&changed)
				w.connect("alice")
				w.connect("bob")
				w.has("alice", "access-1")
				w.provider.set(func(p *provider) { p.delay = time.Second })
				before, began := changed.Load(), time.Now()
				if err := c.end(w); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took > 0 {
					t.Errorf("somebody waited %s for the provider", took)
				}
				if c.revoked != "" {
					w.hasNot("alice", credential.ErrNotConnected) // at once
				}
				synctest.Wait()
				time.Sleep(3 * time.Second)
				told, want := strings.Split(w.provider.revocations(), ", "), strings.Split(c.revoked, ", ")
				slices.Sort(told)
				slices.Sort(want)
				if !slices.Equal(told, want) {
					t.Errorf("the provider was told %s, want %s", told, want)
				}
				if n := int(changed.Load() - before); n != strings.Count(c.revoked, "refresh_token") {
					t.Errorf("%d connections are said to have changed", n)
				}
			})
		})
	}
}

// There are providers at which the end of one token ends all that the user has given the client. Who has connected anew before the revocation had its turn keeps the new connection.
func TestARevocationThatComesTooLateIsLeftOut(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		users := []string{"a", "b", "c", "d", "alice"} // the provider hangs, and four are revoked at a time
		for _, user := range users {
			w.connect(user)
		}
		w.provider.set(func(p *provider) { p.delay = 5 * time.Second })
		ended := make([]configstore.Grant, len(users))
		for i, user := range users {
			var err error
			if ended[i], err = w.store.DeleteGrant(t.Context(), w.server.ID, user); err != nil {
				t.Fatal(err)
			}
		}
		w.broker.Ended(ended)
		synctest.Wait()
		w.provider.set(func(p *provider) { p.delay = 0 })
		w.connect("alice")
		time.Sleep(time.Minute)
		if told := w.provider.revocations(); strings.Contains(told, "refresh-5") || strings.Count(told, "refresh_token") != 4 {
			t.Errorf("the provider was told %s", told)
		}
	})
}

// edit changes the server, and so what this test asks tokens for.
func (w *world) edit(change func(*configstore.Server)) error {
	_, err := w.store.UpdateServer(w.t.Context(), w.server.ID, func(s *configstore.Server) error { change(s); return nil })
	return err
}

// A client that an admin configured proves itself with the secret that belongs to the tokens, also where the change that ends them replaces it.
func TestRevocationKnowsTheClientThatWas(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.configure(nil)
		w.connect("alice")
		secretThen := w.provider.requests[0].auth
		if err := w.edit(func(s *configstore.Server) {
			s.URL, s.OAuth2ClientSecret = "https://elsewhere.example/mcp", secret.New("of another provider")
		}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		last := w.provider.requests[len(w.provider.requests)-1]
		if last.path != "/revoke" || last.auth != secretThen || !strings.HasPrefix(last.auth, "Basic ") {
			t.Errorf("the last request was to %s, with the secret of the tokens: %t", last.path, last.auth == secretThen)
		}
	})
}

// A provider that hangs costs a few goroutines for a while, however many connections end; and the end of the program waits for it as long as for any other request.
func TestRevocationsAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		const users = 30
		for i := range users {
			w.connect(fmt.Sprint("user", i))
		}
		var now, most atomic.Int32
		w.provider.set(func(p *provider) {
			p.always = func(r *http.Request, _ url.Values) (*http.Response, error) {
				most.Store(max(most.Load(), now.Add(1)))
				defer now.Add(-1)
				<-r.Context().Done()
				return nil, r.Context().Err()
			}
		})
		if err := w.store.DeleteServer(t.Context(), w.server.ID); err != nil {
			t.Fatal(err)
		}
		time.Sleep(25 * time.Second)
		if most.Load() != 4 {
			t.Errorf("%d revocations at the same time", most.Load())
		}
		began := time.Now()
		if err := w.broker.Close(); err != nil || time.Since(began) > 10*time.Second {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		if log := w.log.String(); !strings.Contains(log, "were not revoked") {
			t.Error("nothing was said of those that were given up")
		}
	})
}

func TestCloseLetsRevocationsEnd(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		for i := range 10 {
			w.connect(fmt.Sprint("user", i))
		}
		w.provider.set(func(p *provider) { p.delay = time.Second })
		if err := w.store.DeleteServer(t.Context(), w.server.ID); err != nil {
			t.Fatal(err)
		}
		if err := w.broker.Close(); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(w.provider.revocations(), "refresh_token"); n != 10 {
			t.Errorf("%d of 10 were revoked", n)
		}
	})
}
