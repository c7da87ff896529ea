package storetest

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"mcpsidecar/configstore"
	"mcpsidecar/internal/secret"
)

// oauth creates a server that people connect to.
func (s *subject) oauth(slug string) configstore.Server {
	s.t.Helper()
	one := server(slug)
	one.AuthType, one.OAuth2ClientID, one.OAuth2TokenURL, one.OAuth2Issuer = configstore.AuthOAuth2, "client", "https://as.example/token", "https://as.example"
	return s.create(one)
}

func hash(text string) (h [32]byte) { copy(h[:], "hash of "+text); return h }

func (s *subject) begin(server configstore.Server, user, state string) {
	s.t.Helper()
	if err := s.step().BeginFlow(s.ctx(), flow(server, user, state)); err != nil {
		s.t.Fatal(err)
	}
}

func flow(server configstore.Server, user, state string) configstore.Flow {
	return configstore.Flow{State: hash(state), ServerID: server.ID, User: user, Browser: hash("browser"), Verifier: secret.New("verifier of " + state), Binding: server.OAuthBinding()}
}

func accept(configstore.Flow) error { return nil }

func grant(text string) configstore.Grant {
	return configstore.Grant{State: configstore.GrantConnected, AccessToken: secret.New("access " + text), RefreshToken: secret.New("refresh " + text), TokenType: "Bearer"}
}

// connect stores a grant as a sign-in does.
func (s *subject) connect(server configstore.Server, user, text string) configstore.Grant {
	s.t.Helper()
	s.begin(server, user, text)
	if _, err := s.step().TakeFlow(s.ctx(), hash(text), accept); err != nil {
		s.t.Fatal(err)
	}
	stored, err := s.step().FinishFlow(s.ctx(), hash(text), grant(text))
	if err != nil {
		s.t.Fatal(err)
	}
	return stored
}

func (s *subject) hasGrant(server configstore.Server, user string, want bool) {
	s.t.Helper()
	_, err := s.step().Grant(s.ctx(), server.ID, user)
	switch {
	case want && err != nil:
		s.t.Errorf("the grant of %s is gone: %v", user, err)
	case !want && !errors.Is(err, configstore.ErrNotFound):
		s.t.Errorf("the grant of %s: %v, want ErrNotFound", user, err)
	}
}

func grantFields(t *testing.T, s *subject) {
	one := s.oauth("one")
	s.begin(one, "alice", "x")
	if _, err := s.step().TakeFlow(s.ctx(), hash("x"), accept); err != nil {
		t.Fatal(err)
	}
	want := filled[configstore.Grant]()
	want.State = configstore.GrantConnected
	stored, err := s.step().FinishFlow(s.ctx(), hash("x"), want)
	if err != nil {
		t.Fatal(err)
	}
	at := s.clock.UTC()
	want.ServerID, want.User, want.Binding, want.CreatedAt, want.UpdatedAt = one.ID, "alice", one.OAuthBinding(), at, at
	want.Generation, want.Mark = stored.Generation, stored.Mark
	same(t, stored, want)
	got, err := s.step().Grant(s.ctx(), one.ID, "alice")
	if err != nil || got.Mark == "" {
		t.Fatalf("mark %q, %v", got.Mark, err)
	}
	want.Mark = got.Mark // sealing anew changes it
	same(t, got, want)
	if got.AccessToken.Reveal() != want.AccessToken.Reveal() {
		t.Error("the access token is another")
	}
	s.usersAre("alice")
	list, err := s.step().Grants(s.ctx(), one.ID)
	want.Mark = ""
	if err != nil || len(list) != 1 {
		t.Fatalf("%d grants, %v", len(list), err)
	}
	same(t, list[0], want)
}

func grantUpdates(t *testing.T, s *subject) {
	one := s.oauth("one")
	first := s.connect(one, "alice", "a")
	refuse := errors.New("no")
	_, err := s.step().UpdateGrant(s.ctx(), one.ID, "alice", first.Generation, func(*configstore.Grant) error { return refuse })
	if err != refuse {
		t.Errorf("the closure's error came back as %v", err)
	}
	set := func(g *configstore.Grant) error {
		g.AccessToken, g.User, g.ServerID = secret.New("access b"), "mallory", "elsewhere"
		return nil
	}
	second, err := s.step().UpdateGrant(s.ctx(), one.ID, "alice", first.Generation, set)
	if err != nil || second.Generation <= first.Generation || second.User != "alice" || second.ServerID != one.ID || second.RefreshToken.Reveal() != "refresh a" {
		t.Fatalf("%+v, %v", second, err)
	}
	_, err = s.step().UpdateGrant(s.ctx(), one.ID, "alice", first.Generation, set)
	expect(t, "a late answer", err, configstore.ErrConflict)
	if _, err := s.step().DeleteGrant(s.ctx(), one.ID, "alice"); err != nil {
		t.Fatal(err)
	}
	_, err = s.step().UpdateGrant(s.ctx(), one.ID, "alice", second.Generation, set)
	expect(t, "an answer after the disconnect", err, configstore.ErrNotFound)
	third := s.connect(one, "alice", "c")
	if third.Generation <= second.Generation {
		t.Errorf("generation %d came back after %d", third.Generation, second.Generation)
	}
	_, err = s.step().UpdateGrant(s.ctx(), one.ID, "alice", second.Generation, set)
	expect(t, "an answer for the grant before", err, configstore.ErrConflict)
	for _, name := range []string{"bob", "", "a/b"} {
		_, err = s.step().UpdateGrant(s.ctx(), one.ID, name, 1, set)
		expect(t, "a grant that is not there", err, configstore.ErrNotFound)
	}
	_, err = s.step().UpdateGrant(s.ctx(), one.ID, "alice", third.Generation, func(g *configstore.Grant) error { g.State = "other"; return nil })
	expect(t, "an unknown state", err, configstore.ErrInvalid)
}

func marks(t *testing.T, s *subject) {
	one, two := s.oauth("one"), s.oauth("two")
	a, b := s.connect(one, "alice", "a"), s.connect(two, "bob", "b")
	before, err := s.store.GrantMarks(s.ctx())
	if err != nil || len(before) != 2 {
		t.Fatalf("%d marks, %v", len(before), err)
	}
	_, err = s.store.UpdateGrant(s.ctx(), one.ID, "alice", a.Generation, func(*configstore.Grant) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	after, _ := s.store.GrantMarks(s.ctx())
	alice, bob := configstore.GrantKey{ServerID: one.ID, User: "alice"}, configstore.GrantKey{ServerID: two.ID, User: "bob"}
	if after[alice] == before[alice] || after[bob] != before[bob] || after[bob] == "" {
		t.Error("a mark changes with each write of its grant, and only then")
	}
	if got, _ := s.store.Grant(s.ctx(), two.ID, "bob"); got.Mark != after[bob] || b.Generation != got.Generation {
		t.Error("a grant has another mark than the list says")
	}
}

func flows(t *testing.T, s *subject) {
	one := s.oauth("one")
	want := filled[configstore.Flow]()
	want.ServerID, want.User, want.Binding = one.ID, "alice", one.OAuthBinding()
	if err := s.step().BeginFlow(s.ctx(), want); err != nil {
		t.Fatal(err)
	}
	refuse := errors.New("no")
	_, err := s.step().TakeFlow(s.ctx(), want.State, func(got configstore.Flow) error {
		want.Taken, want.CreatedAt, want.ExpiresAt = false, s.clock.UTC(), s.clock.UTC().Add(configstore.FlowLifetime)
		same(t, got, want)
		return refuse
	})
	if err != refuse {
		t.Errorf("the refusal came back as %v", err)
	}
	_, err = s.step().FinishFlow(s.ctx(), want.State, grant("x"))
	expect(t, "finishing what was not taken", err, configstore.ErrInvalid)
	s.clock = s.clock.Add(configstore.FlowLifetime - time.Second)
	if _, err := s.step().TakeFlow(s.ctx(), want.State, accept); err != nil {
		t.Fatal(err)
	}
	_, err = s.step().TakeFlow(s.ctx(), want.State, accept)
	expect(t, "taking it again", err, configstore.ErrNotFound)
	s.clock = s.clock.Add(time.Minute) // what was taken in time may finish
	s.begin(one, "bob", "sweeper")
	if _, err := s.step().FinishFlow(s.ctx(), want.State, grant("x")); err != nil {
		t.Error(err)
	}
	_, err = s.step().FinishFlow(s.ctx(), want.State, grant("y"))
	expect(t, "finishing it again", err, configstore.ErrNotFound)

	s.clock = s.clock.Add(configstore.FlowLifetime)
	_, err = s.step().TakeFlow(s.ctx(), hash("sweeper"), accept)
	expect(t, "taking an expired one", err, configstore.ErrNotFound)
	_, err = s.step().TakeFlow(s.ctx(), hash("unknown"), accept)
	expect(t, "taking an unknown one", err, configstore.ErrNotFound)
	expect(t, "beginning for no server", s.step().BeginFlow(s.ctx(), flow(configstore.Server{ID: "x"}, "alice", "x")), configstore.ErrNotFound)
	other := one
	other.URL = "https://other.example"
	expect(t, "beginning for another address", s.step().BeginFlow(s.ctx(), flow(other, "alice", "x")), configstore.ErrConflict)
	expect(t, "beginning for nobody", s.step().BeginFlow(s.ctx(), flow(one, "", "x")), configstore.ErrInvalid)
	s.begin(one, "alice", "dropped")
	if err := s.step().DropFlow(s.ctx(), hash("dropped")); err != nil {
		t.Fatal(err)
	}
	_, err = s.step().TakeFlow(s.ctx(), hash("dropped"), accept)
	expect(t, "taking a dropped one", err, configstore.ErrNotFound)
}

func floods(t *testing.T, s *subject) {
	one := s.oauth("one")
	s.begin(one, "bob", "bob's")
	for i := range 3 * configstore.MaxPerUser {
		s.clock = s.clock.Add(time.Second)
		if err := s.store.BeginFlow(s.ctx(), flow(one, "alice", fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
		if _, err := s.store.AddLink(s.ctx(), configstore.Link{Hash: hash(fmt.Sprint(i)), ServerID: one.ID, User: "alice"}); err != nil {
			t.Fatal(err)
		}
	}
	live, links := 0, 0
	for i := range 3 * configstore.MaxPerUser {
		if _, err := s.store.TakeFlow(s.ctx(), hash(fmt.Sprint(i)), accept); err == nil {
			live++
		}
		if _, err := s.store.Link(s.ctx(), hash(fmt.Sprint(i))); err == nil {
			links++
		}
	}
	if live != configstore.MaxPerUser || links != configstore.MaxPerUser {
		t.Errorf("alice has %d flows and %d links, want %d", live, links, configstore.MaxPerUser)
	}
	if _, err := s.step().TakeFlow(s.ctx(), hash("bob's"), accept); err != nil {
		t.Errorf("bob's: %v", err)
	}
}

func links(t *testing.T, s *subject) {
	one := s.oauth("one")
	want := filled[configstore.Link]()
	want.ServerID, want.User = one.ID, "alice"
	if _, err := s.step().AddLink(s.ctx(), want); err != nil {
		t.Fatal(err)
	}
	want.CreatedAt, want.ExpiresAt = s.clock.UTC(), s.clock.UTC().Add(configstore.FlowLifetime)
	for range 2 {
		got, err := s.step().Link(s.ctx(), want.Hash)
		if err != nil {
			t.Fatal(err)
		}
		same(t, got, want)
	}
	if got, err := s.step().TakeLink(s.ctx(), want.Hash); err != nil || got.User != "alice" {
		t.Fatalf("%+v, %v", got, err)
	}
	_, err := s.step().TakeLink(s.ctx(), want.Hash)
	expect(t, "using it again", err, configstore.ErrNotFound)
	if _, err := s.step().AddLink(s.ctx(), want); err != nil {
		t.Fatal(err)
	}
	s.clock = s.clock.Add(configstore.FlowLifetime)
	_, err = s.step().TakeLink(s.ctx(), want.Hash)
	expect(t, "using an expired one", err, configstore.ErrNotFound)
	_, err = s.step().AddLink(s.ctx(), configstore.Link{Hash: hash("x"), ServerID: "nobody", User: "alice"})
	expect(t, "a link to no server", err, configstore.ErrNotFound)
}

func registrations(t *testing.T, s *subject) {
	one := s.oauth("one")
	want := filled[configstore.Registration]()
	want.ServerID, want.Binding = one.ID, one.OAuthBinding()
	want, err := s.step().PutRegistration(s.ctx(), want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.step().Registration(s.ctx(), one.ID)
	if err != nil || got.CreatedAt != s.clock.UTC() {
		t.Fatalf("made at %s, %v", got.CreatedAt, err)
	}
	same(t, got, want)
	expect(t, "dropping another's", s.step().DropRegistration(s.ctx(), one.ID, "other"), configstore.ErrConflict)
	if err := s.step().DropRegistration(s.ctx(), one.ID, want.ClientID); err != nil {
		t.Fatal(err)
	}
	_, err = s.step().Registration(s.ctx(), one.ID)
	expect(t, "a dropped one", err, configstore.ErrNotFound)
	s.connect(one, "alice", "x") // without an issuer
	moved := want
	moved.Issuer = "https://new.example"
	if _, err := s.step().PutRegistration(s.ctx(), want); err != nil {
		t.Fatal(err)
	}
	s.hasGrant(one, "alice", true)
	if _, err := s.step().PutRegistration(s.ctx(), moved); err != nil {
		t.Fatal(err)
	}
	s.hasGrant(one, "alice", false)
	want.Binding = "other"
	_, err = s.step().PutRegistration(s.ctx(), want)
	expect(t, "one for another server", err, configstore.ErrConflict)
}

func misdirecting(t *testing.T, s *subject) {
	two := s.oauth("two")
	s.connect(two, "alice", "two")
	for i, c := range []struct {
		what   string
		change func(*configstore.Server)
		ends   bool
	}{
		{"another host", func(s *configstore.Server) { s.URL = "https://other.example/mcp" }, true},
		{"another path", func(s *configstore.Server) { s.URL += "/v2" }, true},
		{"another query", func(s *configstore.Server) { s.URL += "?a=b" }, false},
		{"the case of the host", func(s *configstore.Server) { s.URL = "https://MISDIRECT-3.example/mcp" }, false},
		{"another issuer", func(s *configstore.Server) { s.OAuth2Issuer = "https://other.example" }, true},
		{"another client", func(s *configstore.Server) { s.OAuth2ClientID = "other" }, true},
		{"another token endpoint", func(s *configstore.Server) { s.OAuth2TokenURL = "https://other.example/token" }, true},
		{"another kind of authentication", func(s *configstore.Server) { s.AuthType = configstore.AuthNone }, true},
		{"a new client secret", func(s *configstore.Server) { s.OAuth2ClientSecret = secret.New("new") }, false},
		{"another name, slug and scopes", func(s *configstore.Server) {
			s.DisplayName, s.Slug, s.OAuth2Scopes, s.Rules.Enabled = "New", "new", "more", true
		}, false},
	} {
		one := s.oauth(fmt.Sprintf("misdirect-%d", i))
		s.connect(one, "alice", "a")
		if _, err := s.step().PutRegistration(s.ctx(), configstore.Registration{ServerID: one.ID, ClientID: "c", Binding: one.OAuthBinding()}); err != nil {
			t.Fatal(err)
		}
		s.begin(one, "bob", "b")
		s.update(one.ID, c.change)
		_, grant := s.step().Grant(s.ctx(), one.ID, "alice")
		_, registration := s.step().Registration(s.ctx(), one.ID)
		_, flow := s.step().TakeFlow(s.ctx(), hash("b"), accept)
		for what, err := range map[string]error{"grant": grant, "registration": registration, "flow": flow} {
			if ended := errors.Is(err, configstore.ErrNotFound); ended != c.ends {
				t.Errorf("%s: the %s ended: %t, want %t (%v)", c.what, what, ended, c.ends, err)
			}
		}
		if err := s.step().DropFlow(s.ctx(), hash("b")); err != nil {
			t.Fatal(err)
		}
	}
	s.hasGrant(two, "alice", true)
}

func deletions(t *testing.T, s *subject) {
	one, two := s.oauth("one"), s.oauth("two")
	for _, server := range []configstore.Server{one, two} {
		for _, user := range []string{"alice", "bob", "xalice"} {
			s.connect(server, user, "x")
		}
	}
	s.begin(one, "alice", "late")
	if _, err := s.step().TakeFlow(s.ctx(), hash("late"), accept); err != nil {
		t.Fatal(err)
	}
	if got, err := s.step().DeleteGrant(s.ctx(), one.ID, "alice"); err != nil || got.RefreshToken.Reveal() != "refresh x" {
		t.Fatalf("%+v, %v", got, err)
	}
	_, err := s.step().FinishFlow(s.ctx(), hash("late"), grant("late"))
	expect(t, "a sign-in that ends after the disconnect", err, configstore.ErrNotFound)
	_, err = s.step().DeleteGrant(s.ctx(), one.ID, "alice")
	expect(t, "deleting again", err, configstore.ErrNotFound)
	s.hasGrant(one, "alice", false)
	s.hasGrant(two, "alice", true)

	s.begin(two, "alice", "late")
	if _, err := s.step().TakeFlow(s.ctx(), hash("late"), accept); err != nil {
		t.Fatal(err)
	}
	if err := s.step().DeleteUser(s.ctx(), "alice"); err != nil {
		t.Fatal(err)
	}
	_, err = s.step().FinishFlow(s.ctx(), hash("late"), grant("late"))
	expect(t, "a sign-in that ends after its user", err, configstore.ErrNotFound)
	s.hasGrant(two, "alice", false)
	s.hasGrant(two, "xalice", true)
	s.hasGrant(one, "bob", true)

	if err := s.step().DeleteServer(s.ctx(), one.ID); err != nil {
		t.Fatal(err)
	}
	s.hasGrant(one, "bob", false)
	s.hasGrant(two, "bob", true)
}

func flowRace(t *testing.T, s *subject) {
	one := s.oauth("one")
	s.begin(one, "alice", "x")
	var won atomic.Int32
	together(func(int) {
		_, err := s.store.TakeFlow(s.ctx(), hash("x"), accept)
		switch {
		case err == nil:
			won.Add(1)
		case !errors.Is(err, configstore.ErrNotFound):
			t.Error(err)
		}
	})
	if won.Load() != 1 {
		t.Errorf("%d took the flow", won.Load())
	}
}

func grantRace(t *testing.T, s *subject) {
	one := s.oauth("one")
	first := s.connect(one, "alice", "x")
	var won atomic.Int32
	together(func(i int) {
		_, err := s.store.UpdateGrant(s.ctx(), one.ID, "alice", first.Generation, func(g *configstore.Grant) error { g.LastError = fmt.Sprint(i); return nil })
		switch {
		case err == nil:
			won.Add(1)
		case !errors.Is(err, configstore.ErrConflict):
			t.Error(err)
		}
	})
	if won.Load() != 1 {
		t.Errorf("%d wrote over one generation", won.Load())
	}
}
