package credential_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mcpsidecar/configstore"
	"mcpsidecar/discovery"
	"mcpsidecar/internal/credential"
	"mcpsidecar/internal/secret"
)

func TestAuthorizationRequest(t *testing.T) {
	w := newWorld(t)
	seen := map[string]bool{}
	for range 20 {
		b := w.begin(credential.Start{ServerID: w.server.ID, User: "alice"})
		for name, want := range map[string]string{
			"response_type": "code", "client_id": "client-1", "redirect_uri": public + "/api/experimental/mcp/servers/" + w.server.ID + "/oauth2/callback", "code_challenge_method": "S256", "resource": place, "scope": "",
		} {
			if got := b.query.Get(name); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
		for _, fresh := range []string{b.query.Get("state"), b.query.Get("code_challenge"), b.Cookie.Reveal()} {
			if len(fresh) != 43 || seen[fresh] {
				t.Errorf("%q is no fresh 256 bits", fresh)
			}
			seen[fresh] = true
		}
		if _, has := b.query["scope"]; has {
			t.Error("scope is there, and there is none")
		}
	}
	if w.directory.registered != 1 {
		t.Errorf("registered %d times", w.directory.registered)
	}
}

// O-09
func TestHostileAuthorizationEndpoints(t *testing.T) {
	for _, endpoint := range []string{
		"javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "http://as.example/authorize", "https:as.example", "//as.example/a", "https://user:pw@as.example/a", "", "https://", "vbscript:x",
		"https://as.example/a\r\nX: y", "https://as.example/%zz", "https://as.example/?a=%zz", " https://as.example", "ftp://as.example/",
	} {
		w := newWorld(t)
		w.directory.metadata.AuthorizationEndpoint = endpoint
		if started, err := w.broker.Connect(t.Context(), credential.Start{ServerID: w.server.ID, User: "alice"}); !errors.Is(err, credential.ErrDiscovery) {
			t.Errorf("%q leads to %q, %v", endpoint, started.URL, err)
		}
	}
	w := newWorld(t)
	w.directory.metadata.AuthorizationEndpoint = "https://as.example/authorize?tenant=a%20b&state=evil&redirect_uri=https%3A%2F%2Fevil.example&client_id=evil&client_id=evil2&scope=evil&resource=evil&code_challenge_method=plain&response_mode=form_post#frag"
	b := w.begin(credential.Start{ServerID: w.server.ID, User: "alice"})
	for name, values := range b.query {
		if len(values) != 1 || strings.Contains(values[0], "evil") {
			t.Errorf("%s is %q", name, values)
		}
	}
	if b.query.Get("tenant") != "a b" || b.query.Get("code_challenge_method") != "S256" || b.query.Has("response_mode") || strings.Contains(b.URL, "#") {
		t.Errorf("the URL is %s", b.URL)
	}
	w.directory.metadata.AuthorizationEndpoint = "http://127.0.0.1:9/authorize"
	w.begin(credential.Start{ServerID: w.server.ID, User: "alice"})
}

func TestScopes(t *testing.T) {
	for _, c := range []struct {
		name            string
		admin           string
		metadata, start []string
		offline         bool
		want            string
	}{
		{"nobody says any", "", nil, nil, false, ""},
		{"the metadata", "", []string{"read"}, nil, false, "read"},
		{"the challenge over the metadata", "", []string{"read"}, []string{"write"}, false, "write"},
		{"the admin over the metadata", "a b", []string{"read"}, nil, false, "a b"},
		{"the admin and a challenge", "a", []string{"read"}, []string{"write"}, false, "a write"},
		{"offline_access", "", []string{"read"}, nil, true, "read offline_access"},
		{"offline_access is not added to the admin's", "a", nil, nil, true, "a"},
		{"what is no scope", "", []string{`a"b`, "c\\d", "ä", "", "fine"}, nil, false, "fine"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.directory.metadata.Scopes, w.directory.metadata.OfflineAccess = c.metadata, c.offline
			if _, err := w.store.UpdateServer(t.Context(), w.server.ID, func(s *configstore.Server) error { s.OAuth2Scopes = c.admin; return nil }); err != nil {
				t.Fatal(err)
			}
			b := w.begin(credential.Start{ServerID: w.server.ID, User: "alice", Scopes: c.start})
			if got := b.query.Get("scope"); got != c.want {
				t.Errorf("scope is %q, want %q", got, c.want)
			}
			if consent := b.query.Get("prompt") == "consent"; consent != strings.Contains(c.want, "offline_access") {
				t.Errorf("prompt is %q", b.query.Get("prompt"))
			}
		})
	}
}

func TestStepUpAsksForAllThatWasAskedFor(t *testing.T) {
	w := newWorld(t)
	w.directory.metadata.Scopes = []string{"read"}
	w.connect("alice")
	for _, c := range []struct{ challenge, want string }{{"write", "read write"}, {"admin", "read write admin"}, {"read", "read write admin"}} {
		b := w.begin(credential.Start{ServerID: w.server.ID, User: "alice", Scopes: []string{c.challenge}})
		if got := b.query.Get("scope"); got != c.want {
			t.Errorf("after a challenge for %s the scope is %q, want %q", c.challenge, got, c.want)
		}
		if _, err := w.callback(b, b.answer()); err != nil {
			t.Fatal(err)
		}
	}
	if c := w.is("alice", credential.StateConnected); strings.Join(c.Scopes, " ") != "read write admin" {
		t.Errorf("granted %q", c.Scopes)
	}
}

func TestRegistrations(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.directory.secret, w.directory.expires = "registered secret", time.Now().Add(24*time.Hour)
		w.connect("alice")
		id, password, _ := (&http.Request{Header: http.Header{"Authorization": {w.provider.requests[0].auth}}}).BasicAuth()
		if id != "client-1" || password != "registered+secret" || w.provider.requests[0].form.Has("client_secret") {
			t.Errorf("the client proved itself as %q with %q", id, password)
		}
		w.connect("bob")
		if w.directory.registered != 1 {
			t.Errorf("registered %d times", w.directory.registered)
		}
		w.directory.expires = time.Time{}
		time.Sleep(24*time.Hour - time.Minute) // the secret would end during the sign-in
		b := w.begin(credential.Start{ServerID: w.server.ID, User: "carol"})
		if b.query.Get("client_id") != "client-2" {
			t.Errorf("an expiring client: %s", b.query.Get("client_id"))
		}
		w.has("alice", "access-3") // refreshed as the client that it was given to
		if last := w.provider.requests[len(w.provider.requests)-1]; !strings.Contains(last.auth, "Basic Y2xpZW50LTE6") {
			t.Error("the refresh was sent by another client")
		}

		w.directory.metadata.Issuer = "https://as2.example" // O-22
		b = w.begin(credential.Start{ServerID: w.server.ID, User: "carol"})
		if b.query.Get("client_id") != "client-3" {
			t.Errorf("another issuer: %s", b.query.Get("client_id"))
		}
		w.hasNot("alice", credential.ErrNotConnected) // its token is of an issuer that is the server's no longer
		w.is("alice", credential.StateNeedsAuth)
	})
}

func TestAnotherPublicURLIsAnotherClient(t *testing.T) {
	w := newWorld(t)
	w.connect("alice")
	moved, err := credential.New(credential.Config{Store: w.store, Discovery: w.directory, HTTP: &http.Client{Transport: w.provider}, PublicURL: "https://moved.example/base/"})
	if err != nil {
		t.Fatal(err)
	}
	defer moved.Close()
	started, err := moved.Connect(t.Context(), credential.Start{ServerID: w.server.ID, User: "alice"})
	if err != nil || !strings.Contains(started.URL, "client_id=client-2") || !strings.Contains(started.URL, url.QueryEscape("https://moved.example/base/api/experimental/mcp/servers/"+w.server.ID+"/oauth2/callback")) {
		t.Errorf("%s, %v", started.URL, err)
	}
	w.has("alice", "access-1")
}

func TestClientDocument(t *testing.T) {
	const document = "https://sidecar.example/oauth/client.json"
	w := newWorld(t, func(_ *world, c *credential.Config) { c.DocumentURL = document })
	w.directory.metadata.ClientDocument = true
	b := w.begin(credential.Start{ServerID: w.server.ID, User: "alice"})
	if b.query.Get("client_id") != document || w.directory.registered != 0 {
		t.Errorf("client_id is %q", b.query.Get("client_id"))
	}
	if _, err := w.callback(b, b.answer()); err != nil {
		t.Fatal(err)
	}
	if r := w.provider.requests[0]; r.form.Get("client_id") != document || r.auth != "" {
		t.Errorf("the token request is of %q", r.form.Get("client_id"))
	}
}

// configure makes the server one with a client of an admin.
func (w *world) configure(change func(*configstore.Server)) {
	w.t.Helper()
	server, err := w.store.UpdateServer(w.t.Context(), w.server.ID, func(s *configstore.Server) error {
		s.OAuth2ClientID, s.OAuth2ClientSecret = "configured", secret.New("configured-secret")
		if change != nil {
			change(s)
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.server = server
}

func TestConfiguredClient(t *testing.T) {
	w := newWorld(t)
	w.configure(nil)
	w.connect("alice")
	if r := w.provider.requests[0]; !strings.HasPrefix(r.auth, "Basic ") || w.directory.registered != 0 {
		t.Errorf("it proved itself by %q", r.auth)
	}
	w.directory.metadata.Issuer = "https://as2.example"
	_, err := w.broker.Connect(t.Context(), credential.Start{ServerID: w.server.ID, User: "bob"})
	expect(t, "the client at another issuer", err, credential.ErrDiscovery)
	if !strings.Contains(err.Error(), "oauth2_issuer") {
		t.Errorf("no remedy: %v", err)
	}
	w.configure(func(s *configstore.Server) { s.OAuth2ClientID = "of as2" })
	w.hasNot("alice", credential.ErrNotConnected)
	w.begin(credential.Start{ServerID: w.server.ID, User: "bob"})
}

func TestTheWayAClientProvesItselfIsFoundOutOnce(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.directory.metadata.Manual = true
		w.configure(nil)
		w.provider.set(func(p *provider) {
			p.always = func(r *http.Request, form url.Values) (*http.Response, error) {
				if r.Header.Get("Authorization") != "" || form.Get("client_secret") != "configured-secret" {
					return reply(401, `{"error":"invalid_client"}`), nil
				}
				return nil, nil
			}
		})
		w.connect("alice")
		if n := w.provider.total(); n != 2 {
			t.Errorf("%d requests for the code", n)
		}
		time.Sleep(2 * time.Hour)
		w.has("alice", "access-2")
		if n := w.provider.total(); n != 3 {
			t.Errorf("the refresh tried out again: %d requests", n)
		}
	})
}

func TestAForgottenClientRegistersAgain(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.connect("alice")
		time.Sleep(2 * time.Hour)
		w.provider.set(func(p *provider) { p.always = answers(401, `{"error":"invalid_client"}`) })
		w.hasNot("alice", credential.ErrNeedsReauth)
		w.hasNot("alice", credential.ErrNeedsReauth)
		w.askedTimes(1)
		w.provider.set(func(p *provider) { p.always = nil })
		b := w.begin(credential.Start{ServerID: w.server.ID, User: "alice"})
		if b.query.Get("client_id") != "client-2" {
			t.Errorf("client_id is %s", b.query.Get("client_id"))
		}
	})
}

func TestManyConnectsRegisterOnce(t *testing.T) {
	w := newWorld(t)
	var running sync.WaitGroup
	for i := range 20 {
		running.Go(func() {
			if _, err := w.broker.Connect(t.Context(), credential.Start{ServerID: w.server.ID, User: fmt.Sprint("user", i)}); err != nil {
				t.Error(err)
			}
		})
	}
	running.Wait()
	if w.directory.registered != 1 {
		t.Errorf("registered %d times", w.directory.registered)
	}
}

// waiting is a directory in which everybody waits who asks anew.
type waiting struct {
	*directory
	until chan struct{}
}

func (d *waiting) Rediscover(ctx context.Context, server discovery.Server) (discovery.Metadata, error) {
	select {
	case <-d.until:
		return d.directory.Rediscover(ctx, server)
	case <-ctx.Done():
		return discovery.Metadata{}, ctx.Err()
	}
}

// Whoever is connected has the server asked anew by signing in again. However often that happens, it is nobody else's wait.
func TestNobodyWaitsForTheQuestionsOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		until := make(chan struct{})
		w := newWorld(t, func(w *world, c *credential.Config) { c.Discovery = &waiting{w.directory, until} })
		defer w.close()
		w.connect("alice")
		var again sync.WaitGroup
		for range 10 {
			again.Go(func() {
				if _, err := w.broker.Connect(t.Context(), credential.Start{ServerID: w.server.ID, User: "alice"}); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := w.broker.Connect(ctx, credential.Start{ServerID: w.server.ID, User: "bob"}); err != nil {
			t.Errorf("bob has to wait for alice: %v", err)
		}
		close(until)
		again.Wait()
	})
}

func TestConnectFailures(t *testing.T) {
	w := newWorld(t)
	failure := &discovery.Failure{Step: "looking", Err: discovery.ErrNoOAuth, Remedy: "none"}
	w.directory.err = failure
	_, err := w.broker.Connect(t.Context(), credential.Start{ServerID: w.server.ID, User: "alice"})
	expect(t, "a server without OAuth", err, credential.ErrDiscovery)
	expect(t, "a server without OAuth", err, discovery.ErrNoOAuth)
	_, err = w.broker.Connect(t.Context(), credential.Start{ServerID: "nobody", User: "alice"})
	expect(t, "no server", err, configstore.ErrNotFound)
	if _, err := w.store.UpdateServer(t.Context(), w.server.ID, func(s *configstore.Server) error { s.AuthType = configstore.AuthNone; return nil }); err != nil {
		t.Fatal(err)
	}
	_, err = w.broker.Connect(t.Context(), credential.Start{ServerID: w.server.ID, User: "alice"})
	expect(t, "another kind of server", err, credential.ErrNotOAuth2)
}

func TestDiscoverBeforeTheServerIsThere(t *testing.T) {
	w := newWorld(t)
	fresh := configstore.Server{ID: configstore.NewID(), DisplayName: "New", Slug: "new", URL: "https://new.example/mcp", AuthType: configstore.AuthOAuth2}
	found, err := w.broker.Discover(t.Context(), fresh)
	if err != nil || found.ClientID != "client-1" || found.TokenEndpoint != issuer+"/token" || found.RedirectURI != w.broker.RedirectURI(fresh.ID) {
		t.Fatalf("%+v, %v", found, err)
	}
	if _, err := w.store.CreateServer(t.Context(), fresh); err != nil {
		t.Fatal(err)
	}
	if _, err := w.store.PutRegistration(t.Context(), found); err != nil {
		t.Fatal(err)
	}
	w.begin(credential.Start{ServerID: fresh.ID, User: "alice"})
	again, err := w.broker.Rediscover(t.Context(), fresh.ID)
	if err != nil || again.ClientID != "client-1" || w.directory.registered != 1 {
		t.Errorf("%+v, %v", again, err)
	}
}

// O-26
func TestFlowsCannotFlood(t *testing.T) {
	w := newWorld(t)
	first := w.begin(credential.Start{ServerID: w.server.ID, User: "bob"})
	size := func() int64 {
		info, err := os.Stat(w.path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	before := size()
	var kept []begun
	for range 500 {
		kept = append(kept, w.begin(credential.Start{ServerID: w.server.ID, User: "alice"}))
	}
	if grown := size() - before; grown > 1<<20 {
		t.Errorf("the store grew by %d bytes", grown)
	}
	live := 0
	for _, b := range kept {
		w.provider.set(func(p *provider) { p.verifier = b.query.Get("code_challenge") })
		if _, err := w.callback(b, b.answer()); err == nil {
			live++
		}
	}
	if live != configstore.MaxPerUser {
		t.Errorf("%d sign-ins of alice are live", live)
	}
	w.provider.set(func(p *provider) { p.verifier = first.query.Get("code_challenge") })
	if _, err := w.callback(first, first.answer()); err != nil {
		t.Errorf("bob's: %v", err)
	}
}

func TestLinks(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		link, err := w.broker.NewLink(t.Context(), w.server.ID, "alice", []string{"write"})
		text, ours := strings.CutPrefix(link, public+credential.LinkPath)
		if err != nil || !ours {
			t.Fatalf("%s, %v", link, err)
		}
		if again, err := w.broker.NewLink(t.Context(), w.server.ID, "alice", []string{"write"}); err != nil || again != link {
			t.Errorf("another call got another link: %v", err)
		}
		for user, scopes := range map[string][]string{"bob": {"write"}, "alice": nil} {
			if other, err := w.broker.NewLink(t.Context(), w.server.ID, user, scopes); err != nil || other == link {
				t.Errorf("%s with %q got the same link: %v", user, scopes, err)
			}
		}
		for range 3 { // previews
			invitation, err := w.broker.Link(t.Context(), text)
			if err != nil || invitation.User != "alice" || invitation.Server.ID != w.server.ID {
				t.Fatalf("%+v, %v", invitation, err)
			}
		}
		w.directory.err = errors.New("down")
		_, err = w.broker.OpenLink(t.Context(), text, "")
		expect(t, "opening it in vain", err, credential.ErrDiscovery)
		w.directory.err = nil
		started, err := w.broker.OpenLink(t.Context(), text, "")
		if err != nil {
			t.Fatal(err)
		}
		target, _ := url.Parse(started.URL)
		b := begun{started, target.Query()}
		if b.query.Get("scope") != "write" {
			t.Errorf("scope is %q", b.query.Get("scope"))
		}
		w.provider.set(func(p *provider) { p.verifier = b.query.Get("code_challenge") })
		if connected, err := w.callback(b, b.answer()); err != nil || connected.User != "alice" {
			t.Errorf("%+v, %v", connected, err)
		}
		_, err = w.broker.OpenLink(t.Context(), text, "")
		expect(t, "opening it again", err, credential.ErrLink)
		for _, wrong := range []string{"", "x", text + "A", strings.Repeat("A", 43)} {
			_, err = w.broker.Link(t.Context(), wrong)
			expect(t, "a wrong link", err, credential.ErrLink)
		}
		fresh, err := w.broker.NewLink(t.Context(), w.server.ID, "alice", []string{"write"})
		if err != nil || fresh == link {
			t.Errorf("a used link was given out again: %v", err)
		}
		time.Sleep(6 * time.Minute)
		if later, err := w.broker.NewLink(t.Context(), w.server.ID, "alice", []string{"write"}); err != nil || later == fresh {
			t.Errorf("a link that ends soon was given out again: %v", err)
		}
		time.Sleep(4 * time.Minute)
		_, err = w.broker.Link(t.Context(), strings.TrimPrefix(fresh, public+credential.LinkPath))
		expect(t, "a link after ten minutes", err, credential.ErrLink)
	})
}

func TestStatusOfEveryone(t *testing.T) {
	w := newWorld(t)
	for _, user := range []string{"carol", "alice", "bob"} {
		w.connect(user)
	}
	list, err := w.broker.Grants(t.Context(), &w.server)
	if err != nil {
		t.Fatal(err)
	}
	var users []string
	for _, c := range list {
		users = append(users, c.User)
		if c.State != credential.StateConnected || c.Since.IsZero() {
			t.Errorf("%+v", c)
		}
	}
	if !slices.Equal(users, []string{"alice", "bob", "carol"}) {
		t.Errorf("%q", users)
	}
	if text := fmt.Sprintf("%+v", list); strings.Contains(text, "access-") {
		t.Errorf("the list shows tokens: %s", text)
	}
}

// Providers may hold a client to the scopes that it was registered for: one that has to ask for more is registered for more, once, and who is connected as the client before stays so.
func TestStepUpRegistersForMore(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.directory.metadata.Scopes = []string{"read"}
		w.connect("alice")
		w.connect("bob")
		ask := func(user string, scopes ...string) (client, asked string) {
			b := w.begin(credential.Start{ServerID: w.server.ID, User: user, Scopes: scopes})
			return b.query.Get("client_id"), b.query.Get("scope")
		}
		if client, _ := ask("carol"); client != "client-1" || w.directory.wanted != "read" {
			t.Errorf("at first: %s, registered for %q", client, w.directory.wanted)
		}
		if client, scope := ask("alice", "write"); client != "client-2" || scope != "read write" || w.directory.wanted != "read write" {
			t.Errorf("a step-up: %s asks for %q, registered for %q", client, scope, w.directory.wanted)
		}
		for _, user := range []string{"alice", "bob"} {
			if client, _ := ask(user, "write"); client != "client-2" || w.directory.registered != 2 {
				t.Errorf("the next: %s of %d", client, w.directory.registered)
			}
		}
		w.directory.refuse = true
		if client, scope := ask("bob", "admin"); client != "client-2" || scope != "read admin" {
			t.Errorf("where nobody can register: %s asks for %q", client, scope)
		}
		time.Sleep(2 * time.Hour)
		w.has("alice", "access-3")
		if last := w.provider.requests[len(w.provider.requests)-1]; last.form.Get("client_id") != "client-1" {
			t.Errorf("the refresh was sent by %s", last.form.Get("client_id"))
		}
	})
}

// A client that an admin configured, or that is our document, is who it is whatever is asked for.
func TestStepUpOfAKnownClient(t *testing.T) {
	w := newWorld(t)
	w.configure(nil)
	b := w.begin(credential.Start{ServerID: w.server.ID, User: "alice", Scopes: []string{"write"}})
	if b.query.Get("client_id") != "configured" || w.directory.registered != 0 {
		t.Errorf("%s, registered %d times", b.query.Get("client_id"), w.directory.registered)
	}
}

func TestABrokerNeedsAClientForStrangers(t *testing.T) {
	w := newWorld(t)
	for what, client := range map[string]*http.Client{"none": nil, "one that dials freely": {}} {
		if _, err := credential.New(credential.Config{Store: w.store, Discovery: w.directory, HTTP: client, PublicURL: public}); err == nil {
			t.Errorf("it takes %s", what)
		}
	}
}
