// Package storetest is the contract of the config store, as tests: run it on an engine, and the store on that engine keeps its promises.
//
// It owns what a user of configstore may rely on, in every weather: on a fresh store, on one that is reopened between all steps, on one whose key is rotated between all steps, and contended.
// It deliberately does not know files; locks, damage and crashes are tested where the file is.
package storetest

import (
	"context"
	"sync"
	"testing"
	"time"

	"mcpsidecar/configstore"
	"mcpsidecar/configstore/kv/kvtest"
	"mcpsidecar/internal/secret"
)

// Run holds a store on an engine against the contract.
func Run(t *testing.T, place kvtest.Place) {
	for _, weather := range []struct {
		name    string
		between func(*subject)
	}{
		{"fresh", func(*subject) {}},
		{"reopened", (*subject).reopen},
		{"re-keyed", (*subject).rekey},
	} {
		t.Run(weather.name, func(t *testing.T) {
			for _, c := range cases() {
				t.Run(c.name, func(t *testing.T) { c.test(t, begin(t, place, weather.between)) })
			}
		})
	}
	t.Run("contended", func(t *testing.T) {
		for _, c := range contendedCases() {
			t.Run(c.name, func(t *testing.T) { c.test(t, begin(t, place, func(*subject) {})) })
		}
	})
}

type namedCase struct {
	name string
	test func(*testing.T, *subject)
}

func cases() []namedCase {
	return []namedCase{
		{"every field of a server comes back", serverFields},
		{"a list that is empty is not a list that is missing", emptyLists},
		{"servers are listed by display name, then slug", serverOrder},
		{"a new server gets times and a revision", createSets},
		{"a slug belongs to one server", slugs},
		{"what cannot be stored is refused", refusals},
		{"an update changes what its closure changes", updates},
		{"an update that its closure refuses changes nothing", refusedUpdate},
		{"a new address drops the approved catalog", addressDropsCatalog},
		{"deleting a server deletes what belongs to it", deleteServer},
		{"an unknown server is not found", unknownServer},
		{"catalogs", catalogs},
		{"every field of a token comes back", tokenFields},
		{"tokens are listed by age and can be revoked", tokens},
		{"users", users},
		{"agents cannot flood users", userFlood},
		{"deleting a user ends its tokens", deleteUser},
		{"every field of a grant comes back", grantFields},
		{"a grant is written over one generation only", grantUpdates},
		{"a mark tells which grant changed", marks},
		{"flows", flows},
		{"nobody can flood flows or links", floods},
		{"links", links},
		{"registrations", registrations},
		{"what would misdirect grants ends them", misdirecting},
		{"what is deleted does not come back", deletions},
		{"what a change ends is told, so that it can be revoked", endedGrants},
		{"a snapshot is everything at one moment", snapshots},
		{"a watch hears of every write", watches},
		{"a backup is written", backups},
		{"the store is healthy", healthy},
	}
}

func contendedCases() []namedCase {
	return []namedCase{
		{"two changes of one server lose nothing", twoPatches},
		{"a hundred increments are a hundred", increments},
		{"one of a hundred gets the slug", slugRace},
		{"a hundred first catalogs are one", firstCatalogRace},
		{"a hundred new users take the places that there are", userRace},
		{"one of a hundred takes the flow", flowRace},
		{"one of a hundred writes over a generation", grantRace},
		{"a hundred at everything", everything},
	}
}

// subject is a store in some weather.
type subject struct {
	t       *testing.T
	open    func() *configstore.Store
	between func(*subject)
	keyring *secret.Keyring
	store   *configstore.Store
	clock   time.Time

	endedMu sync.Mutex
	ended   []configstore.Grant // endedMu guards: what the store told of since it was last looked at
}

func begin(t *testing.T, place kvtest.Place, between func(*subject)) *subject {
	keyring, err := secret.NewKeyring()
	if err != nil {
		t.Fatal(err)
	}
	s := &subject{t: t, between: between, keyring: keyring, clock: time.Date(2026, 8, 1, 12, 0, 0, 123456789, time.FixedZone("somewhere", 7200))}
	engine := place(t)
	s.open = func() *configstore.Store {
		opened, err := engine()
		if err != nil {
			t.Fatal(err)
		}
		store, err := configstore.Open(t.Context(), configstore.Config{Engine: opened, Keyring: s.keyring, Now: s.now, Ended: s.noteEnded, MaxUsers: userPlaces})
		if err != nil {
			t.Fatal(err)
		}
		return store
	}
	s.store = s.open()
	t.Cleanup(func() { s.store.Close() })
	return s
}

// now is a clock that the test moves. Contended tests do not.
func (s *subject) now() time.Time { return s.clock }

func (s *subject) noteEnded(ended []configstore.Grant) {
	s.endedMu.Lock()
	defer s.endedMu.Unlock()
	s.ended = append(s.ended, ended...)
}

// step is the store for the next step, after whatever the weather does between steps.
func (s *subject) step() *configstore.Store {
	s.between(s)
	return s.store
}

// ctx is the test's.
func (s *subject) ctx() context.Context { return s.t.Context() }

func (s *subject) reopen() {
	s.t.Helper()
	if err := s.store.Close(); err != nil {
		s.t.Fatal(err)
	}
	s.store = s.open()
}

// rekey rotates the key, seals everything anew, and from then on knows the new key only.
func (s *subject) rekey() {
	s.t.Helper()
	rotated, err := s.keyring.Rotated()
	if err != nil {
		s.t.Fatal(err)
	}
	s.keyring = rotated
	s.reopen()
	if _, err := s.store.Reseal(s.ctx(), nil); err != nil {
		s.t.Fatal(err)
	}
}
