package storetest

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"mcpsidecar/configstore"
)

func tokenFields(t *testing.T, s *subject) {
	want := filled[configstore.APIToken]()
	created, err := s.step().CreateToken(s.ctx(), want)
	if err != nil {
		t.Fatal(err)
	}
	want.CreatedAt = s.clock.UTC()
	same(t, created, want)
	pinnedToNone := token("none", "alice")
	pinnedToNone.Servers = []string{}
	notPinned := token("all", "")
	for _, token := range []configstore.APIToken{pinnedToNone, notPinned} {
		if _, err := s.step().CreateToken(s.ctx(), token); err != nil {
			t.Fatal(err)
		}
	}
	list, err := s.step().Tokens(s.ctx())
	if err != nil || len(list) != 3 {
		t.Fatalf("%d tokens, %v", len(list), err)
	}
	pinnedToNone.CreatedAt, notPinned.CreatedAt = want.CreatedAt, want.CreatedAt
	same(t, list, []configstore.APIToken{notPinned, pinnedToNone, want})
}

func (s *subject) tokensAre(want ...string) {
	s.t.Helper()
	list, err := s.step().Tokens(s.ctx())
	if err != nil {
		s.t.Fatal(err)
	}
	var got []string
	for _, token := range list {
		got = append(got, token.ID)
	}
	same(s.t, got, want)
}

func (s *subject) mint(id, user string) {
	s.t.Helper()
	if _, err := s.step().CreateToken(s.ctx(), token(id, user)); err != nil {
		s.t.Fatal(err)
	}
}

func tokens(t *testing.T, s *subject) {
	s.tokensAre()
	for _, id := range []string{"c", "a", "b"} {
		s.mint(id, "")
		s.clock = s.clock.Add(time.Second)
	}
	s.mint("0", "")
	s.mint("00", "")
	s.tokensAre("c", "a", "b", "0", "00")
	_, err := s.step().CreateToken(s.ctx(), token("a", "mallory"))
	expect(t, "a second token of the id", err, configstore.ErrConflict)
	_, err = s.step().CreateToken(s.ctx(), configstore.APIToken{ID: "x"})
	expect(t, "a token without a hash", err, configstore.ErrInvalid)
	_, err = s.step().CreateToken(s.ctx(), token("a/b", ""))
	expect(t, "a token with a slash in its id", err, configstore.ErrInvalid)
	_, err = s.step().CreateToken(s.ctx(), token("x", "no such name"))
	expect(t, "a token of a user that cannot be", err, configstore.ErrInvalid)
	s.usersAre()

	if err := s.step().RevokeToken(s.ctx(), "a"); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"a", "", "../c", "C", strings.Repeat("x", 5000)} {
		expect(t, "revoking what is not there", s.step().RevokeToken(s.ctx(), id), configstore.ErrNotFound)
	}
	s.tokensAre("c", "b", "0", "00")
}

func (s *subject) usersAre(want ...string) {
	s.t.Helper()
	list, err := s.step().Users(s.ctx())
	if err != nil {
		s.t.Fatal(err)
	}
	var got []string
	for _, user := range list {
		got = append(got, user.Name)
	}
	same(s.t, got, want)
}

func (s *subject) ensure(name string) {
	s.t.Helper()
	if err := s.step().EnsureUser(s.ctx(), name); err != nil {
		s.t.Fatal(err)
	}
}

func users(t *testing.T, s *subject) {
	first := s.clock
	s.ensure("bob")
	s.clock = s.clock.Add(time.Hour)
	s.ensure("Zoe.x_y@example.com+1-2")
	before := s.revision()
	s.store.EnsureUser(s.ctx(), "bob")
	if after := s.revision(); after != before {
		t.Errorf("noting a known user wrote: revision %d after %d", after, before)
	}
	s.mint("1", "alice")
	s.mint("2", "bob")
	s.usersAre("Zoe.x_y@example.com+1-2", "alice", "bob")
	list, _ := s.step().Users(s.ctx())
	if bob := list[2]; !bob.FirstSeen.Equal(first) || bob.FirstSeen.Location() != time.UTC {
		t.Errorf("bob was first seen %s, want %s", bob.FirstSeen, first.UTC())
	}
	for _, name := range []string{"", "a b", "a/b", "ä", "a\n", strings.Repeat("x", 129)} {
		expect(t, "noting "+name, s.step().EnsureUser(s.ctx(), name), configstore.ErrInvalid)
		expect(t, "deleting "+name, s.step().DeleteUser(s.ctx(), name), configstore.ErrNotFound)
	}
	s.ensure(strings.Repeat("x", 128))
}

// revision is that of the store as it is, without a step: weathers write.
func (s *subject) revision() uint64 {
	s.t.Helper()
	snapshot, err := s.store.Snapshot(s.ctx())
	if err != nil {
		s.t.Fatal(err)
	}
	return snapshot.Revision
}

func deleteUser(t *testing.T, s *subject) {
	one := server("one")
	one.Rules.VisibleTo = []string{"alice"}
	one = s.create(one)
	for i, user := range []string{"alice", "bob", "alice", "", "alicex"} {
		s.mint(fmt.Sprint(i), user)
	}
	if err := s.step().DeleteUser(s.ctx(), "alice"); err != nil {
		t.Fatal(err)
	}
	s.usersAre("alicex", "bob")
	s.tokensAre("1", "3", "4")
	s.stored(one) // visible to alice, which is nobody, and not to everyone
	expect(t, "deleting again", s.step().DeleteUser(s.ctx(), "alice"), configstore.ErrNotFound)
}

func snapshots(t *testing.T, s *subject) {
	empty, err := s.step().Snapshot(s.ctx())
	if err != nil || len(empty.Servers)+len(empty.Tokens)+len(empty.Users)+len(empty.Catalogs) != 0 || empty.Catalogs == nil {
		t.Fatalf("an empty store: %+v, %v", empty, err)
	}
	last := empty.Revision
	grows := func(doing string) {
		t.Helper()
		if now := s.revision(); now <= last {
			t.Errorf("after %s the revision is %d, and was %d", doing, now, last)
		} else {
			last = now
		}
	}
	two, one := s.create(server("two")), s.create(server("one"))
	grows("creating servers")
	s.approve(one.ID, "a")
	grows("approving a catalog")
	s.mint("t", "bob")
	grows("creating a token")
	s.ensure("alice")
	grows("noting a user")

	snapshot, err := s.step().Snapshot(s.ctx())
	if err != nil {
		t.Fatal(err)
	}
	same(t, snapshot.Servers, []configstore.Server{one, two})
	if len(snapshot.Tokens) != 1 || snapshot.Tokens[0].ID != "t" || len(snapshot.Users) != 2 || snapshot.Users[0].Name != "alice" {
		t.Errorf("tokens %+v, users %+v", snapshot.Tokens, snapshot.Users)
	}
	same(t, snapshot.Catalogs[one.ID].Baseline, baseline("a"))
	if len(snapshot.Catalogs) != 1 {
		t.Errorf("%d catalogs", len(snapshot.Catalogs))
	}
	snapshot.Servers[0].CustomHeaders["X-One"] = snapshot.Servers[1].CustomHeaders["X-One"] // it is ours
	snapshot.Servers[0].Rules.Expose[0] = "changed"
	s.stored(one)
}

func watches(t *testing.T, s *subject) {
	one := s.create(server("one"))
	s.step()
	store, watch := s.store, s.store.Watch(s.ctx())
	do := func(doing string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", doing, err)
		}
		if _, open := <-watch; !open {
			t.Fatalf("%s: the watch ended", doing)
		}
	}
	_, err := store.CreateServer(s.ctx(), server("two"))
	do("creating a server", err)
	_, err = store.UpdateServer(s.ctx(), one.ID, func(server *configstore.Server) error { server.Rules.Enabled = true; return nil })
	do("updating a server", err)
	_, err = store.ApproveCatalog(s.ctx(), configstore.Catalog{ServerID: one.ID}, 0, true)
	do("approving a catalog", err)
	do("deleting a server", store.DeleteServer(s.ctx(), one.ID))
	_, err = store.CreateToken(s.ctx(), token("t", "alice"))
	do("creating a token", err)
	do("revoking a token", store.RevokeToken(s.ctx(), "t"))
	do("noting a user", store.EnsureUser(s.ctx(), "bob"))
	do("deleting a user", store.DeleteUser(s.ctx(), "bob"))

	store.EnsureUser(s.ctx(), "alice")
	store.Snapshot(s.ctx())
	store.Server(s.ctx(), one.ID)
	store.DeleteServer(s.ctx(), one.ID)
	select {
	case <-watch:
		t.Error("the watch heard of something that was no write")
	default:
	}
	store.Close()
	for range watch {
	}
	s.store = s.open()
}

func backups(t *testing.T, s *subject) {
	s.create(server("one"))
	var copied bytes.Buffer
	if err := s.step().Backup(s.ctx(), &copied); err != nil || copied.Len() == 0 {
		t.Errorf("%d bytes, %v", copied.Len(), err)
	}
	for _, text := range []string{"key of one", "client secret of one", "two of one"} {
		if bytes.Contains(copied.Bytes(), []byte(text)) {
			t.Errorf("the backup shows %q", text)
		}
	}
}

func healthy(t *testing.T, s *subject) {
	if err := s.step().Healthy(s.ctx()); err != nil {
		t.Error(err)
	}
	s.store.Close()
	expect(t, "a closed store", s.store.Healthy(s.ctx()), configstore.ErrClosed)
	_, err := s.store.Snapshot(s.ctx())
	expect(t, "reading a closed store", err, configstore.ErrClosed)
	_, err = s.store.CreateServer(s.ctx(), server("two"))
	expect(t, "writing to a closed store", err, configstore.ErrClosed)
	s.store = s.open()
}
