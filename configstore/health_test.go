package configstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mcpsidecar/configstore"
	"mcpsidecar/configstore/kv"
	"mcpsidecar/configstore/kv/boltkv"
	"mcpsidecar/configstore/kv/kvtest"
	"mcpsidecar/internal/secret"
)

// faulty is an engine that has no room, or fails otherwise, when told so.
type faulty struct {
	kv.Engine
	fault   atomic.Pointer[error]
	updates atomic.Int32
}

func (f *faulty) Update(ctx context.Context, change func(kv.Tx) error) error {
	f.updates.Add(1)
	if err := f.fault.Load(); err != nil {
		return *err
	}
	return f.Engine.Update(ctx, change)
}

func (f *faulty) fail(err error) { f.fault.Store(&err) }
func (f *faulty) mend()          { f.fault.Store(nil) }

// watched is a store on a faulty engine whose log and observations the test sees.
type watched struct {
	*configstore.Store
	engine   *faulty
	log      bytes.Buffer
	observed []string
}

func newWatched(t *testing.T) *watched {
	t.Helper()
	engine, err := boltkv.Open(filepath.Join(t.TempDir(), "store.db"))
	if err != nil {
		t.Fatal(err)
	}
	keyring, err := secret.NewKeyring()
	if err != nil {
		t.Fatal(err)
	}
	w := &watched{engine: &faulty{Engine: engine}}
	w.Store, err = configstore.Open(t.Context(), configstore.Config{
		Engine: w.engine, Keyring: keyring, Logger: slog.New(slog.NewTextHandler(&w.log, nil)),
		Observe: func(op string, d time.Duration, err error) {
			if !slices.Contains(configstore.Operations(), op) || d < 0 {
				t.Errorf("observed %q, which took %s", op, d)
			}
			w.observed = append(w.observed, fmt.Sprintf("%s %t", op, err == nil))
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

func (w *watched) sees(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(w.observed, want) {
		t.Errorf("observed %q, want %q", w.observed, want)
	}
	w.observed = nil
}

func TestAFullDiskIsReportedAndRecovers(t *testing.T) {
	w := newWatched(t)
	one, err := w.CreateServer(t.Context(), example("one"))
	if err != nil {
		t.Fatal(err)
	}
	w.engine.fail(fmt.Errorf("writing: %w", kv.ErrFull))
	for range 3 {
		_, err := w.UpdateServer(t.Context(), one.ID, func(*configstore.Server) error { return nil })
		if !errors.Is(err, configstore.ErrFull) {
			t.Errorf("a write says %v", err)
		}
	}
	if _, err := w.Server(t.Context(), one.ID); err != nil {
		t.Errorf("a read says %v", err)
	}
	if err := w.Healthy(t.Context()); !errors.Is(err, configstore.ErrFull) || !strings.Contains(err.Error(), w.engine.Name()) {
		t.Errorf("health says %v", err)
	}
	w.engine.mend()
	if err := w.Healthy(t.Context()); err != nil { // nobody has written since
		t.Errorf("with room again, health says %v", err)
	}
	before := w.engine.updates.Load()
	if err := w.Healthy(t.Context()); err != nil || w.engine.updates.Load() != before {
		t.Errorf("a healthy store writes to see that it is: %v", err)
	}
	if log := w.log.String(); strings.Count(log, "level=ERROR") != 1 || strings.Count(log, "has room again") != 1 {
		t.Errorf("the log says %s", log)
	}
}

func TestAFullFileSystem(t *testing.T) { kvtest.OnSmallDisk(t, 1<<20, fullFileSystem) }

func fullFileSystem(t *testing.T, directory string, grow func(size int)) {
	path := filepath.Join(directory, "store.db")
	store := mustOpen(t, path)
	var acknowledged []string
	create := func(n int) error {
		s := example(fmt.Sprintf("s%d", n))
		s.Description = strings.Repeat("x", 4000)
		_, err := store.CreateServer(t.Context(), s)
		if err == nil {
			acknowledged = append(acknowledged, s.ID)
		}
		return err
	}
	var err error
	for n := 0; err == nil && n < 5000; n++ {
		err = create(n)
	}
	if !errors.Is(err, configstore.ErrFull) {
		t.Fatalf("a full disk says %v", err)
	}
	if err := store.Healthy(t.Context()); err != nil && !errors.Is(err, configstore.ErrFull) { // a small write may still fit
		t.Errorf("health says %v", err)
	}
	hold := func() {
		t.Helper()
		for _, id := range acknowledged {
			if _, err := store.Server(t.Context(), id); err != nil {
				t.Errorf("%s was acknowledged: %v", id, err)
			}
		}
	}
	hold()
	grow(4 << 20)
	if err := store.Healthy(t.Context()); err != nil {
		t.Errorf("with room again, health says %v", err)
	}
	if err := create(9999); err != nil {
		t.Errorf("with room again, a write says %v", err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	store = mustOpen(t, path)
	hold()
	store.Close()
}

func TestObserve(t *testing.T) {
	w := newWatched(t)
	ctx := t.Context()
	one, _ := w.CreateServer(ctx, example("one"))
	w.Server(ctx, one.ID)
	w.Servers(ctx)
	w.Snapshot(ctx)
	w.sees(t, "create_server true", "server true", "servers true", "snapshot true")

	w.CreateServer(ctx, example("one")) // the slug is taken
	w.Server(ctx, "nobody")
	w.UpdateServer(ctx, one.ID, func(*configstore.Server) error { return errors.New("no") })
	w.EnsureUser(ctx, "not a name")
	w.sees(t, "create_server true", "server true", "update_server true", "ensure_user true")

	w.EnsureUser(ctx, "alice") // a look and a write
	w.EnsureUser(ctx, "alice")
	w.sees(t, "has_user true", "ensure_user true", "has_user true")

	w.engine.fail(errors.New("the disk is on fire"))
	_, err := w.UpdateServer(ctx, one.ID, func(*configstore.Server) error { return nil })
	w.sees(t, "update_server false")
	if err == nil || !strings.HasPrefix(err.Error(), "updating a server: ") {
		t.Errorf("the error does not say what was being done: %v", err)
	}
}

func TestOpenNeedsItsParts(t *testing.T) {
	keyring, err := secret.NewKeyring()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := configstore.Open(t.Context(), configstore.Config{Keyring: keyring}); err == nil {
		t.Error("a store without an engine opens")
	}
	if _, err := configstore.Open(t.Context(), configstore.Config{Engine: &faulty{}}); err == nil {
		t.Error("a store without a keyring opens")
	}
}
