package configstore_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"testing/synctest"

	"mcpsidecar/configstore"
	"mcpsidecar/configstore/kv"
	"mcpsidecar/configstore/kv/boltkv"
	"mcpsidecar/internal/secret"
	"mcpsidecar/policy"
)

// gated is an engine whose writes wait at a gate, and are counted.
type gated struct {
	kv.Engine
	gate   chan struct{} // nil: it is open
	writes int
	fails  error
}

func (g *gated) Update(ctx context.Context, change func(kv.Tx) error) error {
	if g.gate != nil {
		<-g.gate
	}
	g.writes++
	if g.fails != nil {
		return g.fails
	}
	return g.Engine.Update(ctx, change)
}

// crowd has the first catalogs of servers stored while the very first of them is being written, and says what each was told.
func crowd(store *configstore.Store, engine *gated, servers []configstore.Server) (stored []bool, errs []error) {
	stored, errs = make([]bool, len(servers)), make([]error, len(servers))
	engine.gate, engine.writes = make(chan struct{}), 0
	for i, server := range servers {
		go func() {
			catalog := configstore.Catalog{ServerID: server.ID, Baseline: policy.Baseline{server.Slug: {}}}
			stored[i], errs[i] = store.ApproveCatalog(context.Background(), catalog, server.Revision, true)
		}()
		synctest.Wait() // it is at the gate, or waits for whoever is
	}
	close(engine.gate)
	synctest.Wait()
	return stored, errs
}

// TestFirstCatalogsAreStoredTogether: those that come while one is written share the next transaction, and each is told what became of its own.
func TestFirstCatalogsAreStoredTogether(t *testing.T) {
	bolt, err := boltkv.Open(filepath.Join(t.TempDir(), "store.db"))
	if err != nil {
		t.Fatal(err)
	}
	keyring, err := secret.NewKeyring()
	if err != nil {
		t.Fatal(err)
	}
	engine := &gated{Engine: bolt}
	store, err := configstore.Open(t.Context(), configstore.Config{Engine: engine, Keyring: keyring})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	var servers []configstore.Server
	for i := range 20 {
		server, err := store.CreateServer(t.Context(), example(fmt.Sprintf("s%d", i)))
		if err != nil {
			t.Fatal(err)
		}
		servers = append(servers, server)
	}

	t.Run("a failure is everybody's", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			engine.fails = errors.New("no disk")
			stored, errs := crowd(store, engine, servers[:3])
			for i := range stored {
				if stored[i] || !errors.Is(errs[i], engine.fails) {
					t.Errorf("server %d: %v, %v", i, stored[i], errs[i])
				}
			}
			engine.fails = nil
		})
	})
	t.Run("all of them", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			late := servers[5]
			late.Revision++
			some := append(append([]configstore.Server{}, servers...), servers[3], late) // one of them twice, and one that has changed since
			some = append(some[:5:5], some[6:]...)
			stored, errs := crowd(store, engine, some)
			for i, server := range some {
				twice, changed := i == len(some)-2, i == len(some)-1
				if stored[i] == (twice || changed) || errors.Is(errs[i], configstore.ErrConflict) != changed || errs[i] != nil && !changed {
					t.Errorf("server %s: %v, %v", server.Slug, stored[i], errs[i])
				}
			}
			if engine.writes != 3 { // the first, sixteen, the rest
				t.Errorf("%d transactions", engine.writes)
			}
		})
	})
	engine.gate = nil
	snapshot, err := store.Snapshot(t.Context())
	if err != nil || len(snapshot.Catalogs) != len(servers)-1 {
		t.Errorf("%d catalogs are stored, %v", len(snapshot.Catalogs), err)
	}
	if revision, err := store.Revision(t.Context()); err != nil || revision != snapshot.Revision {
		t.Errorf("the revision is %d, that of the snapshot %d; %v", revision, snapshot.Revision, err)
	}
}
