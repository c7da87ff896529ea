package credential_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mcpsidecar/configstore"
	"mcpsidecar/internal/credential"
)

// with changes one parameter of an answer; an empty value deletes it.
func with(answer url.Values, name, value string) url.Values {
	changed := url.Values{}
	for n, v := range answer {
		changed[n] = v
	}
	if value == "" {
		changed.Del(name)
	} else {
		changed.Set(name, value)
	}
	return changed
}

// O-01: whatever is not the answer to this sign-in in this browser costs nothing, and the right answer still works.
func TestForeignAnswers(t *testing.T) {
	w := newWorld(t)
	w.connect("alice")
	other := w.create("two", "https://other.example/mcp")
	alice, bob := w.begin(credential.Start{ServerID: w.server.ID, User: "alice"}), w.begin(credential.Start{ServerID: w.server.ID, User: "bob"})
	good, cookie := alice.answer(), alice.Cookie.Reveal()
	before := w.provider.total()
	for _, c := range []struct {
		name, server string
		answer       url.Values
		cookie       string
		want         error
	}{
		{"no state", w.server.ID, with(good, "state", ""), cookie, credential.ErrState},
		{"an unknown state", w.server.ID, with(good, "state", strings.Repeat("A", 43)), cookie, credential.ErrState},
		{"a state with one character more", w.server.ID, with(good, "state", good.Get("state")+"A"), cookie, credential.ErrState},
		{"a long state", w.server.ID, with(good, "state", strings.Repeat("A", 9000)), cookie, credential.ErrMalformed},
		{"another user's state", w.server.ID, bob.answer(), cookie, credential.ErrState},
		{"another user's browser", w.server.ID, good, bob.Cookie.Reveal(), credential.ErrState},
		{"no cookie", w.server.ID, good, "", credential.ErrState},
		{"another server's callback", other.ID, good, cookie, credential.ErrState},
		{"no server's callback", "nobody", good, cookie, credential.ErrState},
		{"no code", w.server.ID, with(good, "code", ""), cookie, credential.ErrMalformed},
		{"two states", w.server.ID, url.Values{"state": {good.Get("state"), "x"}, "code": {"c"}}, cookie, credential.ErrMalformed},
		{"two codes", w.server.ID, url.Values{"state": good["state"], "code": {"c", "d"}, "iss": {issuer}}, cookie, credential.ErrMalformed},
		{"code and error", w.server.ID, with(good, "error", "access_denied"), cookie, credential.ErrMalformed},
		{"nothing", w.server.ID, url.Values{}, cookie, credential.ErrState},
	} {
		if _, err := w.broker.Callback(t.Context(), c.server, c.answer, c.cookie); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	if n := w.provider.total() - before; n != 0 {
		t.Errorf("%d requests to the provider", n)
	}
	w.has("alice", "access-1")
	w.provider.set(func(p *provider) { p.verifier = alice.query.Get("code_challenge") })
	connected, err := w.callback(alice, good)
	if err != nil || connected.User != "alice" || connected.Slug != "one" || connected.ServerID != w.server.ID {
		t.Fatalf("the right answer: %+v, %v", connected, err)
	}
	w.has("alice", "access-2")
	_, err = w.callback(alice, good)
	expect(t, "the right answer again", err, credential.ErrState)
	w.has("alice", "access-2")
	w.hasNot("bob", credential.ErrNotConnected)
}

func TestAnswersComeInTime(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		b := w.begin(credential.Start{ServerID: w.server.ID, User: "alice"})
		time.Sleep(10 * time.Minute)
		_, err := w.callback(b, b.answer())
		expect(t, "an answer after ten minutes", err, credential.ErrState)
		b = w.begin(credential.Start{ServerID: w.server.ID, User: "alice"})
		time.Sleep(10*time.Minute - time.Second)
		if _, err := w.callback(b, b.answer()); err != nil {
			t.Errorf("an answer before: %v", err)
		}
	})
}

func TestFlowsRunSideBySide(t *testing.T) {
	w := newWorld(t)
	other := w.create("two", "https://other.example/mcp")
	first := w.begin(credential.Start{ServerID: w.server.ID, User: "alice"})
	second := w.begin(credential.Start{ServerID: other.ID, User: "alice", Browser: first.Cookie.Reveal()})
	third := w.begin(credential.Start{ServerID: w.server.ID, User: "alice", Browser: "not a cookie of ours"})
	if !first.Cookie.Equal(second.Cookie) || first.Cookie.Equal(third.Cookie) || third.Cookie.Reveal() == "not a cookie of ours" {
		t.Error("sign-ins of one browser share its cookie, and a foreign cookie is not taken")
	}
	for _, c := range []struct {
		b      begun
		server configstore.Server
	}{{third, w.server}, {second, other}, {first, w.server}} {
		w.provider.set(func(p *provider) {
			p.verifier, p.resource = c.b.query.Get("code_challenge"), c.b.query.Get("resource")
		})
		if _, err := w.broker.Callback(t.Context(), c.server.ID, c.b.answer(), c.b.Cookie.Reveal()); err != nil {
			t.Error(err)
		}
	}
}

func TestOneOfManyAnswersCounts(t *testing.T) {
	w := newWorld(t)
	b := w.begin(credential.Start{ServerID: w.server.ID, User: "alice"})
	var running sync.WaitGroup
	var good atomic.Int32
	for range 50 {
		running.Go(func() {
			if _, err := w.callback(b, b.answer()); err == nil {
				good.Add(1)
			} else if !errors.Is(err, credential.ErrState) {
				t.Error(err)
			}
		})
	}
	running.Wait()
	if good.Load() != 1 || w.provider.total() != 1 {
		t.Errorf("%d answers counted, with %d requests", good.Load(), w.provider.total())
	}
}

// O-04: the table of the specification, exactly, and nothing evened out.
func TestIssuer(t *testing.T) {
	for _, c := range []struct {
		name      string
		supported bool
		iss       string // empty: absent
		good      bool
	}{
		{"announced and right", true, issuer, true}, {"announced and absent", true, "", false}, {"not announced and right", false, issuer, true}, {"not announced and absent", false, "", true},
		{"announced and wrong", true, "https://evil.example", false}, {"not announced and wrong", false, "https://evil.example", false},
		{"a trailing slash", false, issuer + "/", false}, {"capitals in the host", false, "https://AS.example", false}, {"the default port", false, issuer + ":443", false},
		{"an escaped letter", false, "https://as.ex%61mple", false}, {"capitals in the scheme", true, "HTTPS://as.example", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.directory.metadata.IssParameter = c.supported
			b := w.begin(credential.Start{ServerID: w.server.ID, User: "alice"})
			_, err := w.callback(b, with(b.answer(), "iss", c.iss))
			if c.good {
				if err != nil {
					t.Error(err)
				}
				w.has("alice", "access-1")
				return
			}
			expect(t, "the answer", err, credential.ErrIssuer)
			failed := url.Values{"state": {b.query.Get("state")}, "error": {"access_denied"}, "error_description": {"secret"}}
			if c.iss != "" {
				failed.Set("iss", c.iss)
			}
			_, err = w.callback(b, failed)
			expect(t, "a failure of the wrong issuer", err, credential.ErrIssuer)
			if strings.Contains(err.Error(), "denied") {
				t.Errorf("it is shown: %v", err)
			}
			if w.provider.total() != 0 {
				t.Error("the provider was asked")
			}
			w.hasNot("alice", credential.ErrNotConnected)
		})
	}
	t.Run("present and empty", func(t *testing.T) {
		w := newWorld(t)
		w.directory.metadata.IssParameter = false
		b := w.begin(credential.Start{ServerID: w.server.ID, User: "alice"})
		answer := b.answer()
		answer["iss"] = []string{""}
		_, err := w.callback(b, answer)
		expect(t, "the answer", err, credential.ErrIssuer)
	})
}

func TestProviderErrors(t *testing.T) {
	for said, shown := range map[string]string{
		"access_denied": "access_denied", "invalid_scope": "invalid_scope", "<script>": "", "secret words": "", "ACCESS_DENIED": "",
	} {
		w := newWorld(t)
		b := w.begin(credential.Start{ServerID: w.server.ID, User: "alice"})
		answer := with(with(with(b.answer(), "code", ""), "error", said), "error_description", "secret <b>")
		_, err := w.callback(b, answer)
		expect(t, said, err, credential.ErrDenied)
		if text := err.Error(); strings.ContainsAny(text, "<>\n") || strings.Contains(text, "secret") || shown != "" && !strings.Contains(text, shown) {
			t.Errorf("%s is shown as %q", said, text)
		}
		_, err = w.callback(b, b.answer())
		expect(t, "an answer after the failure", err, credential.ErrState)
		if w.provider.total() != 0 {
			t.Error("the provider was asked")
		}
	}
}

// O-25
func TestPoisonedTokens(t *testing.T) {
	token := func(members string) string { return `{"token_type":"Bearer",` + members + `}` }
	for name, body := range map[string]string{
		"CR LF": token(`"access_token":"a\r\nX-Evil: 1"`), "a space": token(`"access_token":"a b"`), "NUL": token(`"access_token":"a\u0000"`), "an umlaut": token(`"access_token":"ä"`),
		"1 MiB": token(`"access_token":"` + strings.Repeat("a", 1<<20) + `"`), "too long": token(`"access_token":"` + strings.Repeat("a", 16<<10+1) + `"`), "empty": token(`"access_token":""`),
		"a number": token(`"access_token":5`), "null": token(`"access_token":null`), "another case": token(`"Access_Token":"a"`), "none": `{}`, "mac": `{"access_token":"a","token_type":"mac"}`,
		"DPoP": `{"access_token":"a","token_type":"DPoP"}`, "a poisoned refresh token": token(`"access_token":"a","refresh_token":"a\nb"`), "a poisoned scope": token(`"access_token":"a","scope":"a\u0007"`),
		"two documents": token(`"access_token":"a"`) + `{}`, "an array": `[{"access_token":"a"}]`, "an error beside it": token(`"access_token":"a","error":"invalid_grant"`), "not JSON": `access_token=a`, "nothing": ``,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			b := w.begin(credential.Start{ServerID: w.server.ID, User: "alice"})
			w.provider.set(func(p *provider) { p.always = answers(200, body) })
			_, err := w.callback(b, b.answer())
			expect(t, "the callback", err, credential.ErrExchange)
			w.hasNot("alice", credential.ErrNotConnected)
			if grants, err := w.store.Grants(t.Context(), w.server.ID); err != nil || len(grants) != 0 {
				t.Errorf("%d grants, %v", len(grants), err)
			}
		})
	}
	for name, body := range map[string]string{
		"all visible characters": `{"access_token":"` + "!#$%&'()*+,-./09:;<=>?@AZ[]^_`az{|}~" + `","token_type":"bEARER"}`, "no token type": `{"access_token":"a"}`, "16 KiB": token(`"access_token":"` + strings.Repeat("a", 16<<10) + `"`),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.provider.set(func(p *provider) { p.always = answers(200, body) })
			w.connect("alice")
			if got, err := w.token("alice", none); err != nil || !strings.HasPrefix(got.Reveal(), "Bearer ") {
				t.Errorf("%q, %v", got.Reveal(), err)
			}
		})
	}
}

func TestAFormIsAnAnswerToo(t *testing.T) {
	w := newWorld(t)
	w.provider.set(func(p *provider) {
		p.always = func(*http.Request, url.Values) (*http.Response, error) {
			r := reply(200, "access_token=gho_x&scope=repo%2Cgist&token_type=bearer&expires_in=28800")
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
			return r, nil
		}
	})
	w.connect("alice")
	w.has("alice", "gho_x")
	c := w.is("alice", credential.StateConnected)
	if left := time.Until(c.Expires); strings.Join(c.Scopes, " ") != "repo gist" || left < 7*time.Hour || left > 8*time.Hour {
		t.Errorf("scopes %q, for %s", c.Scopes, left)
	}
}

func TestTheServerChangesWhileAUserSignsIn(t *testing.T) {
	for name, change := range map[string]func(*world) error{
		"its address": func(w *world) error {
			_, err := w.store.UpdateServer(w.t.Context(), w.server.ID, func(s *configstore.Server) error { s.URL = "https://evil.example/mcp"; return nil })
			return err
		},
		"it is deleted":       func(w *world) error { return w.store.DeleteServer(w.t.Context(), w.server.ID) },
		"the user is deleted": func(w *world) error { return w.store.DeleteUser(w.t.Context(), "alice") },
		"the user disconnects": func(w *world) error {
			_, err := w.broker.Disconnect(w.t.Context(), w.server.ID, "alice")
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if err := w.store.EnsureUser(t.Context(), "alice"); err != nil {
				t.Fatal(err)
			}
			b := w.begin(credential.Start{ServerID: w.server.ID, User: "alice"})
			w.provider.set(func(p *provider) {
				p.faults = []fault{func(*http.Request, url.Values) (*http.Response, error) { return nil, change(w) }}
			})
			_, err := w.callback(b, b.answer())
			expect(t, "the callback", err, credential.ErrChanged)
			if n := len(w.provider.requests); n != 3 || w.provider.requests[1].path != "/revoke" || w.provider.requests[2].path != "/revoke" { // both tokens
				t.Errorf("what came was not revoked: %d requests", n)
			}
			if grants, _ := w.store.Grants(t.Context(), w.server.ID); len(grants) != 0 {
				t.Error("there is a grant")
			}
		})
	}
}
