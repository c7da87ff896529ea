package storetest

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"mcpsidecar/configstore"
)

const crowd = 100

// together runs something a hundred times at once.
func together(run func(i int)) {
	var running sync.WaitGroup
	for i := range crowd {
		running.Go(func() { run(i) })
	}
	running.Wait()
}

func twoPatches(t *testing.T, s *subject) {
	one := s.create(server("one"))
	const rounds = 50
	var running sync.WaitGroup
	patch := func(change func(server *configstore.Server, round int)) {
		running.Go(func() {
			for round := range rounds {
				_, err := s.store.UpdateServer(s.ctx(), one.ID, func(server *configstore.Server) error { change(server, round); return nil })
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	patch(func(server *configstore.Server, round int) { server.Description = fmt.Sprint(round) })
	patch(func(server *configstore.Server, round int) {
		server.Rules.ToolDenyList = append(server.Rules.ToolDenyList, fmt.Sprint(round))
	})
	running.Wait()
	got, err := s.store.Server(s.ctx(), one.ID)
	if err != nil {
		t.Fatal(err)
	}
	if got.Description != fmt.Sprint(rounds-1) || len(got.Rules.ToolDenyList) != rounds || got.Revision != 1+2*rounds {
		t.Errorf("description %s, %d denied tools, revision %d", got.Description, len(got.Rules.ToolDenyList), got.Revision)
	}
}

func increments(t *testing.T, s *subject) {
	one := s.create(server("one"))
	together(func(int) {
		_, err := s.store.UpdateServer(s.ctx(), one.ID, func(server *configstore.Server) error { server.TimeoutMS++; return nil })
		if err != nil {
			t.Error(err)
		}
	})
	got, err := s.store.Server(s.ctx(), one.ID)
	if err != nil || got.TimeoutMS != crowd {
		t.Errorf("%d of %d increments are there, %v", got.TimeoutMS, crowd, err)
	}
}

func slugRace(t *testing.T, s *subject) {
	var won atomic.Int32
	together(func(int) {
		_, err := s.store.CreateServer(s.ctx(), server("one"))
		switch {
		case err == nil:
			won.Add(1)
		case !errors.Is(err, configstore.ErrDuplicate):
			t.Error(err)
		}
	})
	if won.Load() != 1 {
		t.Errorf("%d got the slug", won.Load())
	}
	s.slugsAre("one")
}

func firstCatalogRace(t *testing.T, s *subject) {
	one := s.create(server("one"))
	var won atomic.Int32
	together(func(i int) {
		stored, err := s.store.ApproveCatalog(s.ctx(), configstore.Catalog{ServerID: one.ID, Baseline: baseline(fmt.Sprint(i))}, one.Revision, true)
		if err != nil {
			t.Error(err)
		}
		if stored {
			won.Add(1)
		}
	})
	if won.Load() != 1 {
		t.Errorf("%d stored the first catalog", won.Load())
	}
}

// everything lets each of a crowd keep a server, a token and a user of its own while all of them change one more server and read everything. What a reader sees is always whole: every catalog
// has its server, and every token's user is known.
func everything(t *testing.T, s *subject) {
	shared := s.create(server("shared"))
	together(func(i int) {
		fail := func(err error) {
			if err != nil {
				t.Error(err)
			}
		}
		name := fmt.Sprintf("w%d", i)
		own, err := s.store.CreateServer(s.ctx(), server(name))
		fail(err)
		_, err = s.store.ApproveCatalog(s.ctx(), configstore.Catalog{ServerID: own.ID, Baseline: baseline(name)}, own.Revision, true)
		fail(err)
		_, err = s.store.CreateToken(s.ctx(), token(name, name))
		fail(err)
		_, err = s.store.UpdateServer(s.ctx(), shared.ID, func(server *configstore.Server) error {
			server.Rules.VisibleTo = append(server.Rules.VisibleTo, name)
			return nil
		})
		fail(err)
		snapshot, err := s.store.Snapshot(s.ctx())
		fail(err)
		isWhole(t, snapshot)
		if i%2 == 0 {
			fail(s.store.DeleteServer(s.ctx(), own.ID))
			fail(s.store.DeleteUser(s.ctx(), name))
		}
	})
	snapshot, err := s.store.Snapshot(s.ctx())
	if err != nil {
		t.Fatal(err)
	}
	isWhole(t, snapshot)
	if len(snapshot.Servers) != crowd/2+1 || len(snapshot.Tokens) != crowd/2 || len(snapshot.Users) != crowd/2 || len(snapshot.Catalogs) != crowd/2 {
		t.Errorf("%d servers, %d tokens, %d users, %d catalogs", len(snapshot.Servers), len(snapshot.Tokens), len(snapshot.Users), len(snapshot.Catalogs))
	}
	for _, server := range snapshot.Servers {
		if server.ID == shared.ID && len(server.Rules.VisibleTo) != crowd {
			t.Errorf("%d of %d changes of the shared server are there", len(server.Rules.VisibleTo), crowd)
		}
	}
}

func isWhole(t *testing.T, snapshot configstore.Snapshot) {
	servers, names := map[string]bool{}, map[string]bool{}
	for _, server := range snapshot.Servers {
		servers[server.ID] = true
		if server.APIKeyValue.Reveal() != "key of "+server.Slug || !strings.HasPrefix(server.URL, "https://"+server.Slug+".") {
			t.Errorf("server %s is mixed up", server.Slug)
		}
	}
	for _, user := range snapshot.Users {
		names[user.Name] = true
	}
	for id := range snapshot.Catalogs {
		if !servers[id] {
			t.Errorf("a catalog of %s is there, and the server is not", id)
		}
	}
	for _, token := range snapshot.Tokens {
		if !names[token.User] {
			t.Errorf("a token of %s is there, and the user is not", token.User)
		}
	}
}
