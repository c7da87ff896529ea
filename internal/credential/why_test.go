package credential_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mcpsidecar/configstore"
	"mcpsidecar/internal/credential"
)

// What a user reads about an account that was connected before: why it does not do any more, where that is known, and nothing that its provider wrote.
func TestWhyAnAccountDoesNotDo(t *testing.T) {
	const gossip = "the-provider-says-so"
	revoked := func(*http.Request, url.Values) (*http.Response, error) {
		return reply(400, `{"error":"invalid_grant","error_description":"`+gossip+`"}`), nil
	}
	down := func(*http.Request, url.Values) (*http.Response, error) { return reply(503, gossip), nil }
	for _, c := range []struct {
		what string
		bare bool // the provider gives no refresh tokens
		end  func(w *world)
		want string // empty: nothing is said
	}{
		{"nothing", false, func(w *world) { w.has("alice", "access-1") }, ""},
		{"it was revoked at its provider", false, func(w *world) {
			w.provider.set(func(p *provider) { p.always = revoked })
			time.Sleep(2 * time.Hour)
			w.hasNot("alice", credential.ErrNeedsReauth)
		}, "revoked there"},
		{"its provider is down", false, func(w *world) {
			w.provider.set(func(p *provider) { p.always = down })
			time.Sleep(2 * time.Hour)
			w.hasNot("alice", credential.ErrUnavailable)
		}, ""},
		{"it has expired", true, func(w *world) {
			time.Sleep(2 * time.Hour)
			w.hasNot("alice", credential.ErrNeedsReauth)
		}, "expired"},
		{"the server refuses it", true, func(w *world) {
			_, err := w.token("alice", w.has("alice", "access-1"))
			expect(w.t, "a refused token", err, credential.ErrNeedsReauth)
		}, "does not accept it"},
		{"it was disconnected", false, func(w *world) {
			if _, err := w.broker.Disconnect(w.t.Context(), w.server.ID, "alice"); err != nil {
				w.t.Fatal(err)
			}
		}, "disconnected"},
		{"the server was changed", false, func(w *world) {
			if err := w.edit(func(s *configstore.Server) { s.OAuth2ClientID = "new" }); err != nil {
				w.t.Fatal(err)
			}
		}, "changed the server"},
	} {
		t.Run(c.what, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				w.provider.set(func(p *provider) { p.bare = c.bare })
				if got := w.why("alice"); got != "" {
					t.Errorf("before there was an account: %q", got)
				}
				w.connect("alice")
				c.end(w)
				synctest.Wait()
				if got := w.why("alice"); (got == "") != (c.want == "") || !strings.Contains(got, c.want) || strings.Contains(got, gossip) {
					t.Errorf("it says %q, want %q in it", got, c.want)
				}
				if got := w.why("bob"); got != "" {
					t.Errorf("somebody else reads %q", got)
				}
				w.provider.set(func(p *provider) { p.always = nil })
				w.connect("alice")
				time.Sleep(time.Second) // until the store was looked at
				if got := w.why("alice"); got != "" {
					t.Errorf("connected anew, it says %q", got)
				}
			})
		})
	}
}

// Connections that ended are not remembered without end.
func TestPartingsAreBounded(t *testing.T) {
	if n := credential.PartingsOf(30_000); n == 0 || n > 10_000 {
		t.Errorf("%d of 30,000 are remembered", n)
	}
}

func (w *world) why(user string) string {
	server, err := w.store.Server(w.t.Context(), w.server.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.broker.Why(w.t.Context(), &server, user)
}
