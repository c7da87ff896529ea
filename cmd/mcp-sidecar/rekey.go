package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"mcpsidecar/admin"
	"mcpsidecar/configstore"
	"mcpsidecar/internal/secret"
)

// rekeyer changes the key that seals, while the program runs.
type rekeyer struct {
	// Fixed at creation.
	path    string // of the key file
	store   *configstore.Store
	logger  *slog.Logger
	ctx     context.Context // ends with close
	stop    context.CancelFunc
	running sync.WaitGroup // the one goroutine that seals anew

	mu    sync.Mutex
	state admin.KeyState // mu guards
}

// newRekeyer goes on with what an earlier process has not finished.
func newRekeyer(ctx context.Context, path string, store *configstore.Store, keyring *secret.Keyring, logger *slog.Logger) (*rekeyer, error) {
	r := &rekeyer{path: path, store: store, logger: logger, state: admin.KeyState{Keys: keyring.Len()}}
	done, err := store.Resealed(ctx)
	if err != nil {
		return nil, err
	}
	r.ctx, r.stop = context.WithCancel(context.WithoutCancel(ctx))
	if !done {
		r.state.Resealing = true
		r.running.Go(r.reseal)
	}
	return r, nil
}

func (r *rekeyer) close() error {
	r.stop()
	r.running.Wait()
	return nil
}

// KeyState says how far it is.
func (r *rekeyer) KeyState() admin.KeyState {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state
}

// RotateKey writes the new key down first, so that nothing is ever sealed with a key that a crash would lose.
func (r *rekeyer) RotateKey(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state.Resealing || r.ctx.Err() != nil {
		return admin.ErrResealing
	}
	next, err := secret.Rotate(r.path)
	if err != nil {
		return fmt.Errorf("%w: %w", admin.ErrKeyFile, err)
	}
	if err := r.store.Rekey(ctx, next); err != nil {
		return err
	}
	r.state = admin.KeyState{Keys: next.Len(), Resealing: true}
	r.logger.Info("a new key seals from now on; what there is will be sealed anew. Back up the key file", "keys", next.Len())
	r.running.Go(r.reseal)
	return nil
}

// againAfter is how long a store that cannot be written is left alone.
const againAfter = 5 * time.Second

// reseal seals everything anew, however often that has to be begun.
func (r *rekeyer) reseal() {
	for {
		n, err := r.store.Reseal(r.ctx, r.progress)
		if err == nil {
			r.logger.Info("everything is sealed with the newest key", "records", n)
			r.set(func(s *admin.KeyState) { s.Resealing, s.Problem = false, "" })
			return
		}
		if r.ctx.Err() != nil { // the next start goes on with it
			return
		}
		r.logger.Error("records could not be sealed with the newest key; it is tried again", "error", err)
		r.set(func(s *admin.KeyState) { s.Problem = "the store cannot be written" })
		select {
		case <-time.After(againAfter):
		case <-r.ctx.Done():
			return
		}
	}
}

func (r *rekeyer) progress(done, total int) {
	r.set(func(s *admin.KeyState) { s.Done, s.Total, s.Problem = done, total, "" })
}

func (r *rekeyer) set(change func(*admin.KeyState)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.state)
}
