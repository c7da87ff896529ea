package storetest

import (
	"slices"
	"strings"
	"testing"

	"mcpsidecar/configstore"
	"mcpsidecar/internal/secret"
)

// toldEnded returns what the store has told of grants that ended, and forgets it.
func (s *subject) toldEnded() string {
	s.endedMu.Lock()
	defer s.endedMu.Unlock()
	var told []string
	for _, g := range s.ended {
		told = append(told, strings.TrimSpace(g.User+": "+g.AccessToken.Reveal()+", "+g.RefreshToken.Reveal()+" "+g.ClientSecret.Reveal()))
	}
	s.ended = nil
	slices.Sort(told)
	return strings.Join(told, "; ")
}

func (s *subject) told(what, want string) {
	s.t.Helper()
	if got := s.toldEnded(); got != want {
		s.t.Errorf("after %s the store told of %q, want %q", what, got, want)
	}
}

// connectAs stores a grant that a client of this id and provider was given.
func (s *subject) connectAs(server configstore.Server, user, clientID, issuer string) {
	s.t.Helper()
	s.begin(server, user, user)
	if _, err := s.step().TakeFlow(s.ctx(), hash(user), accept); err != nil {
		s.t.Fatal(err)
	}
	g := grant(user)
	g.ClientID, g.Issuer, g.ClientSecret = clientID, issuer, secret.New("registered")
	if _, err := s.step().FinishFlow(s.ctx(), hash(user), g); err != nil {
		s.t.Fatal(err)
	}
}

func endedGrants(t *testing.T, s *subject) {
	one, two := s.oauth("one"), s.oauth("two")
	connect := func() {
		t.Helper()
		s.connectAs(one, "alice", "client", "") // the client that an admin configured
		s.connectAs(one, "bob", "other", "")    // one that was registered
	}
	const alice, bob = "alice: access alice, refresh alice client secret of one", "bob: access bob, refresh bob registered"
	connect()
	s.told("connecting", "")
	s.update(one.ID, func(s *configstore.Server) { s.DisplayName = "New" })
	s.told("a change that ends nothing", "")
	s.update(one.ID, func(s *configstore.Server) {
		s.URL, s.OAuth2ClientSecret = "https://elsewhere.example/mcp", secret.New("of somebody else")
	})
	s.told("another address", alice+"; "+bob)

	one = s.update(one.ID, func(s *configstore.Server) { s.OAuth2ClientSecret = secret.New("client secret of one") })
	connect()
	s.connect(two, "alice", "two")
	if err := s.step().DeleteUser(s.ctx(), "alice"); err != nil {
		t.Fatal(err)
	}
	s.told("the end of a user", "alice: access alice, refresh alice client secret of one; alice: access two, refresh two")
	if err := s.step().DeleteServer(s.ctx(), one.ID); err != nil {
		t.Fatal(err)
	}
	s.told("the end of a server", bob)

	register := func(issuer string) {
		t.Helper()
		if _, err := s.step().PutRegistration(s.ctx(), configstore.Registration{ServerID: two.ID, ClientID: "c", Issuer: issuer, Binding: two.OAuthBinding()}); err != nil {
			t.Fatal(err)
		}
	}
	register("https://a.example")
	s.connectAs(two, "alice", "c", "https://a.example")
	register("https://a.example")
	s.told("the same provider", "")
	register("https://b.example")
	s.told("another provider", "alice: access alice, refresh alice registered")

	s.connect(two, "carol", "x")
	if _, err := s.step().DeleteGrant(s.ctx(), two.ID, "carol"); err != nil {
		t.Fatal(err)
	}
	s.told("a disconnect, which returns its grant", "")
	if _, err := s.step().UpdateServer(s.ctx(), two.ID, func(*configstore.Server) error { return configstore.ErrInvalid }); err == nil {
		t.Error("a refused change was made")
	}
	s.told("a change that was refused", "")
}
