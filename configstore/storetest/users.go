package storetest

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"mcpsidecar/configstore"
)

// userPlaces is how many users agents may have made known in every subject.
const userPlaces = 12

// userFlood: names that agents make up find an end; who is known stays so, an admin's word always counts, and whoever is ended makes room.
func userFlood(t *testing.T, s *subject) {
	s.mint("1", "alice")
	for i := range userPlaces - 1 {
		s.ensure(fmt.Sprintf("user-%02d", i))
	}
	before := s.revision()
	for range 3 {
		expect(t, "one user too many", s.store.EnsureUser(s.ctx(), "mallory"), configstore.ErrUsers)
	}
	if after := s.revision(); after != before {
		t.Errorf("refusing users wrote: revision %d after %d", after, before)
	}
	s.ensure("user-00")
	s.ensure("alice")
	s.mint("2", "carol")
	s.ensure("carol")
	for name, want := range map[string]bool{"user-00": true, "alice": true, "carol": true, "mallory": false, "a b": false} {
		if known, err := s.step().HasUser(s.ctx(), name); err != nil || known != want {
			t.Errorf("%s is known: %v, %v", name, known, err)
		}
	}
	for _, name := range []string{"user-01", "user-02"} {
		if err := s.step().DeleteUser(s.ctx(), name); err != nil {
			t.Fatal(err)
		}
	}
	s.ensure("dave")
	expect(t, "one user too many again", s.step().EnsureUser(s.ctx(), "mallory"), configstore.ErrUsers)
}

func userRace(t *testing.T, s *subject) {
	var made atomic.Int32
	together(func(i int) {
		switch err := s.store.EnsureUser(s.ctx(), fmt.Sprintf("user-%02d", i/2)); {
		case err == nil:
			made.Add(1)
		case !errors.Is(err, configstore.ErrUsers):
			t.Error(err)
		}
	})
	list, err := s.store.Users(s.ctx())
	if err != nil || len(list) != userPlaces || made.Load() != 2*userPlaces {
		t.Errorf("%d users are known and %d of %d requests were let through, %v", len(list), made.Load(), 2*userPlaces, err)
	}
}
