package storetest

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"mcpsidecar/configstore"
	"mcpsidecar/internal/secret"
	"mcpsidecar/policy"
)

func serverFields(t *testing.T, s *subject) {
	want := filled[configstore.Server]()
	created := s.create(want)
	want.CreatedAt, want.UpdatedAt, want.Revision = s.clock.UTC(), s.clock.UTC(), 1
	same(t, created, want)
	s.stored(want)

	empty := configstore.Server{ID: configstore.NewID(), Slug: "empty"}
	empty = s.create(empty)
	s.stored(empty)
}

func emptyLists(t *testing.T, s *subject) {
	some := server("some")
	some.Rules.Expose = []policy.Surface{}
	some.Rules.VisibleTo = []string{}
	s.stored(s.create(some))
	none := server("none")
	none.Rules.Expose, none.Rules.VisibleTo = nil, nil
	s.stored(s.create(none))
}

func serverOrder(t *testing.T, s *subject) {
	s.slugsAre()
	for _, c := range [][2]string{{"c", "Beta"}, {"b", "Alpha"}, {"a", "Beta"}, {"d", "alpha"}, {"e", "Ärger"}} {
		one := server(c[0])
		one.DisplayName = c[1]
		s.create(one)
	}
	s.slugsAre("b", "a", "c", "d", "e")
}

func createSets(t *testing.T, s *subject) {
	one := server("one")
	one.CreatedAt, one.UpdatedAt, one.Revision = time.Unix(1, 0), time.Unix(2, 0), 77
	created := s.create(one)
	if at := s.clock.UTC(); created.CreatedAt != at || created.UpdatedAt != at || created.Revision != 1 {
		t.Errorf("it was made at %s, changed at %s, in revision %d", created.CreatedAt, created.UpdatedAt, created.Revision)
	}
	if created.CreatedBy != "alice" {
		t.Errorf("it was made by %q", created.CreatedBy)
	}
}

func slugs(t *testing.T, s *subject) {
	one, two := s.create(server("one")), s.create(server("two"))
	_, err := s.step().CreateServer(s.ctx(), server("one"))
	expect(t, "a second server of the slug", err, configstore.ErrDuplicate)
	_, err = s.step().UpdateServer(s.ctx(), two.ID, func(server *configstore.Server) error { server.Slug = "one"; return nil })
	expect(t, "taking another's slug", err, configstore.ErrDuplicate)
	s.stored(two)

	s.update(one.ID, func(server *configstore.Server) { server.Slug = "other" })
	s.update(two.ID, func(server *configstore.Server) { server.Slug = "one" })
	s.update(two.ID, func(server *configstore.Server) { server.Slug = "one"; server.Description = "again" })
	_, err = s.step().CreateServer(s.ctx(), server("other"))
	expect(t, "a server of the new slug", err, configstore.ErrDuplicate)
	s.create(server("two"))
	s.slugsAre("other", "one", "two")
}

func refusals(t *testing.T, s *subject) {
	for _, id := range []string{"", "a/b", "..", "a b", "é", strings.Repeat("x", 65)} {
		one := server("one")
		one.ID = id
		_, err := s.step().CreateServer(s.ctx(), one)
		expect(t, "a server with the id "+id, err, configstore.ErrInvalid)
	}
	_, err := s.step().CreateServer(s.ctx(), configstore.Server{ID: configstore.NewID()})
	expect(t, "a server without a slug", err, configstore.ErrInvalid)
	one := s.create(server("one"))
	again := server("again")
	again.ID = one.ID
	_, err = s.step().CreateServer(s.ctx(), again)
	expect(t, "a second server of the id", err, configstore.ErrConflict)
	s.slugsAre("one")
}

func updates(t *testing.T, s *subject) {
	want := s.create(server("one"))
	other := s.create(server("two"))
	s.clock = s.clock.Add(time.Minute)
	updated := s.update(want.ID, func(server *configstore.Server) {
		same(t, *server, want)
		server.DisplayName = "New"
		server.Rules.ToolDenyList = append(server.Rules.ToolDenyList, "drop_*")
		server.CustomHeaders["X-Three"] = secret.New("three")
		delete(server.CustomHeaders, "X-One")
		server.APIKeyValue = secret.Value{}
		server.UpdatedBy = "bob"
		server.ID, server.CreatedBy, server.CreatedAt, server.UpdatedAt, server.Revision = "other", "mallory", time.Unix(1, 0), time.Unix(1, 0), 99
	})
	want.DisplayName, want.Rules.ToolDenyList, want.UpdatedBy, want.APIKeyValue = "New", []string{"drop_*"}, "bob", secret.Value{}
	want.CustomHeaders = map[string]secret.Value{"X-Two": secret.New("two of one"), "X-Three": secret.New("three")}
	want.UpdatedAt, want.Revision = s.clock.UTC(), 2
	same(t, updated, want)
	s.stored(want)
	s.stored(other)
}

func refusedUpdate(t *testing.T, s *subject) {
	want := s.create(server("one"))
	refusal := errors.New("no")
	_, err := s.step().UpdateServer(s.ctx(), want.ID, func(server *configstore.Server) error {
		server.DisplayName = "New"
		server.CustomHeaders["X-Three"] = secret.New("three")
		server.Rules.Expose[0] = "changed"
		return refusal
	})
	if err != refusal {
		t.Errorf("the closure's error came back as %v", err)
	}
	s.stored(want)
}

func addressDropsCatalog(t *testing.T, s *subject) {
	one, two := s.create(server("one")), s.create(server("two"))
	s.approve(one.ID, "a")
	s.approve(two.ID, "a")
	s.update(one.ID, func(server *configstore.Server) {
		server.Slug, server.DisplayName, server.AuthType, server.Rules.Enabled = "new", "New", configstore.AuthNone, true
	})
	s.hasCatalog(one.ID, true)
	s.update(one.ID, func(server *configstore.Server) { server.URL += "/v2" })
	s.hasCatalog(one.ID, false)
	s.approve(one.ID, "b")
	s.update(one.ID, func(server *configstore.Server) { server.Transport = configstore.SSE })
	s.hasCatalog(one.ID, false)
	s.hasCatalog(two.ID, true)
}

func deleteServer(t *testing.T, s *subject) {
	one, two := s.create(server("one")), s.create(server("two"))
	s.approve(one.ID, "a")
	s.approve(two.ID, "a")
	if err := s.step().DeleteServer(s.ctx(), one.ID); err != nil {
		t.Fatal(err)
	}
	s.slugsAre("two")
	s.hasCatalog(one.ID, false)
	s.hasCatalog(two.ID, true)
	expect(t, "deleting it again", s.step().DeleteServer(s.ctx(), one.ID), configstore.ErrNotFound)
	again := server("one")
	again.ID = one.ID
	s.create(again)
	s.hasCatalog(one.ID, false)
}

func unknownServer(t *testing.T, s *subject) {
	one := s.create(server("one"))
	for _, id := range []string{"", " ", "..", "my-server", "one", "server/" + one.ID, strings.ToUpper(one.ID), one.ID + "\x00", strings.Repeat("x", 2000), configstore.NewID()} {
		_, err := s.step().Server(s.ctx(), id)
		expect(t, "reading", err, configstore.ErrNotFound)
		_, err = s.step().UpdateServer(s.ctx(), id, func(*configstore.Server) error { t.Error("the closure ran"); return nil })
		expect(t, "updating", err, configstore.ErrNotFound)
		expect(t, "deleting", s.step().DeleteServer(s.ctx(), id), configstore.ErrNotFound)
		_, err = s.step().Catalog(s.ctx(), id)
		expect(t, "reading the catalog", err, configstore.ErrNotFound)
		_, err = s.step().ApproveCatalog(s.ctx(), configstore.Catalog{ServerID: id}, 0, false)
		expect(t, "approving a catalog", err, configstore.ErrNotFound)
	}
	s.stored(one)
}

func catalogs(t *testing.T, s *subject) {
	one := s.create(server("one"))
	s.hasCatalog(one.ID, false)
	approve := func(c configstore.Catalog, revision uint64, first bool) (bool, error) {
		return s.step().ApproveCatalog(s.ctx(), c, revision, first)
	}
	read := func() configstore.Catalog {
		t.Helper()
		c, err := s.step().Catalog(s.ctx(), one.ID)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	_, err := approve(configstore.Catalog{ServerID: one.ID}, one.Revision+1, true)
	expect(t, "a catalog of another revision", err, configstore.ErrConflict)
	s.hasCatalog(one.ID, false)

	first := configstore.Catalog{ServerID: one.ID, Baseline: baseline("a", "b")}
	if stored, err := approve(first, one.Revision, true); err != nil || !stored {
		t.Fatalf("the first: stored %t, %v", stored, err)
	}
	first.ApprovedAt = s.clock.UTC()
	same(t, read(), first)
	if stored, err := approve(configstore.Catalog{ServerID: one.ID, Baseline: baseline("c")}, one.Revision, true); err != nil || stored {
		t.Errorf("another first: stored %t, %v", stored, err)
	}
	same(t, read(), first)

	full := filled[configstore.Catalog]()
	full.ServerID = one.ID
	if stored, err := approve(full, 0, false); err != nil || !stored {
		t.Fatalf("a full one: stored %t, %v", stored, err)
	}
	same(t, read(), full)
	if stored, err := approve(configstore.Catalog{ServerID: one.ID}, one.Revision, false); err != nil || !stored {
		t.Fatalf("one without tools: stored %t, %v", stored, err)
	}
	if c := read(); c.Baseline == nil || len(c.Baseline) != 0 {
		t.Errorf("a catalog without tools came back as %#v: nil would mean that none was approved", c.Baseline)
	}
	if got := read(); !slices.Equal([]uint64{s.revisionOf(one.ID)}, []uint64{one.Revision}) {
		t.Errorf("approving changed the server's revision; catalog %+v", got)
	}
}

func (s *subject) revisionOf(id string) uint64 {
	server, err := s.step().Server(s.ctx(), id)
	if err != nil {
		s.t.Fatal(err)
	}
	return server.Revision
}
