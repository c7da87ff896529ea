package e2e_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"mcpsidecar/internal/e2e/rig"
)

// TestLoadOfKills is C-01: four clients create, change and delete servers while the sidecar is killed again and again. What was acknowledged is there, what was under way is there wholly or not at all, and the file is sound.
func TestLoadOfKills(t *testing.T) {
	kills := sized(5, 200)
	s := startMeasured(t)
	writers := make([]*writer, 4)
	for n := range writers {
		writers[n] = &writer{name: fmt.Sprintf("w%d", n), records: map[string]record{}}
	}
	acknowledged, slowest := 0, time.Duration(0)
	for round := range kills {
		var writing sync.WaitGroup
		for _, w := range writers {
			writing.Go(func() { w.writeUntilGone(s) })
		}
		time.Sleep(time.Duration(20+rand.IntN(280)) * time.Millisecond)
		s.Kill()
		writing.Wait()
		checkFile(t, filepath.Join(s.dir, "sidecar.db"))
		began := time.Now()
		s = s.again()
		slowest = max(slowest, time.Since(began))
		stored := s.records()
		for _, w := range writers {
			acknowledged += w.settle(t, round, stored)
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%d kills, %d acknowledged writes, none lost; the slowest start took %s", kills, acknowledged, slowest.Round(time.Millisecond))
	if full && slowest > 2*time.Second {
		t.Error("that is too slow")
	}
}

// record is what a writer knows of a server; without an id there is none.
type record struct{ id, description string }

// writer is one client, and the journal that it keeps.
type writer struct {
	name    string
	made    int
	records map[string]record // by slug, as acknowledged
	slug    string            // of the write under way; empty: none is
	wanted  record            // what that would make of it
	written int               // since settle
}

// writeUntilGone writes until the sidecar is gone.
func (w *writer) writeUntilGone(s *sidecar) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for w.write(ctx, s) {
	}
}

// write makes one write; false: it was not acknowledged.
func (w *writer) write(ctx context.Context, s *sidecar) bool {
	known := slices.Sorted(maps.Keys(w.records))
	w.made++
	w.wanted = record{description: fmt.Sprintf("%s %d", w.name, w.made)}
	var err error
	switch what := rand.IntN(4); {
	case what == 0 && len(known) > 5:
		w.slug, w.wanted = known[rand.IntN(len(known))], record{}
		err = s.API(ctx, http.MethodDelete, "/servers/"+w.records[w.slug].id, nil, nil)
	case what < 3 && len(known) > 0:
		w.slug = known[rand.IntN(len(known))]
		w.wanted.id = w.records[w.slug].id
		err = s.API(ctx, http.MethodPatch, "/servers/"+w.wanted.id, rig.Fields{"description": w.wanted.description}, nil)
	default:
		w.slug = fmt.Sprintf("%s-%d", w.name, w.made)
		w.wanted.id, err = s.Register(ctx, w.slug, "https://one.example.com/mcp", rig.Fields{"description": w.wanted.description, "enabled": false})
	}
	if err != nil {
		return false
	}
	w.keep(w.wanted)
	w.written++
	return true
}

// keep notes what is known of the write under way.
func (w *writer) keep(r record) {
	if w.records[w.slug] = r; r.id == "" {
		delete(w.records, w.slug)
	}
	w.slug = ""
}

// settle holds what is stored against the journal, and returns how many writes were acknowledged.
func (w *writer) settle(t *testing.T, round int, stored map[string]record) (written int) {
	if w.slug != "" { // it has been made or not
		is, was := stored[w.slug], w.records[w.slug]
		if is.description != was.description && is.description != w.wanted.description {
			t.Errorf("round %d: %s is half written: %+v; it was %+v and should become %+v", round, w.slug, is, was, w.wanted)
		}
		w.keep(is)
	}
	for slug, want := range w.records {
		if stored[slug] != want {
			t.Errorf("round %d: %s is %+v, acknowledged was %+v", round, slug, stored[slug], want)
		}
		delete(stored, slug)
	}
	for slug, is := range stored {
		if len(slug) > 2 && slug[:2] == w.name {
			t.Errorf("round %d: %s is %+v, acknowledged was that it is deleted", round, slug, is)
		}
	}
	written, w.written = w.written, 0
	return written
}

// records are all servers that are stored, by slug.
func (s *sidecar) records() map[string]record {
	s.t.Helper()
	var all []struct{ ID, Slug, Description string }
	if err := s.API(s.t.Context(), http.MethodGet, "/servers", nil, &all); err != nil {
		s.t.Fatal(err)
	}
	found := map[string]record{}
	for _, one := range all {
		found[one.Slug] = record{one.ID, one.Description}
	}
	return found
}

// checkFile has the engine that others wrote look for damage.
func checkFile(t *testing.T, path string) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: patience, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.View(func(tx *bbolt.Tx) error {
		for damage := range tx.Check() {
			t.Errorf("%s: %v", path, damage)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
