package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"mcpsidecar/configstore"
	"mcpsidecar/internal/caller"
	"mcpsidecar/proxy"
)

// reloader brings the stored state into use: after each write of the API, before its answer, and after each change that the store reports.
type reloader struct {
	// fixed at creation
	store   *configstore.Store
	callers *caller.Authenticator
	proxy   *proxy.Proxy
	logger  *slog.Logger

	slugs atomic.Pointer[map[string]string] // of the servers in use, by id; nil until something was loaded

	mu     sync.Mutex // held from reading the state until it is in use, so that no older state replaces a newer one
	loaded bool
	inUse  uint64 // the revision in use, once something was loaded
}

// reload returns when everything that was written before it was called is in use.
func (r *reloader) reload(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	revision, err := r.store.Revision(ctx)
	if err != nil {
		return fmt.Errorf("reading the configuration: %w", err)
	}
	if r.loaded && revision == r.inUse { // most often another one's reload was for this, too
		return nil
	}
	state, err := r.store.Snapshot(ctx)
	if err != nil {
		return fmt.Errorf("reading the configuration: %w", err)
	}
	r.callers.Reload(state.Tokens, state.Users...)
	r.proxy.Load(state)
	slugs := make(map[string]string, len(state.Servers))
	for _, server := range state.Servers {
		slugs[server.ID] = server.Slug
	}
	r.slugs.Store(&slugs)
	r.loaded, r.inUse = true, state.Revision
	return nil
}

// slug is what a server is called.
func (r *reloader) slug(serverID string) (slug string, ok bool) {
	if slugs := r.slugs.Load(); slugs != nil {
		slug, ok = (*slugs)[serverID]
	}
	return slug, ok
}

// retryReload is how long a state that could not be read is left alone.
const retryReload = time.Second

// follow starts a goroutine that reloads after each change of the store. The returned func ends it and waits for it.
func (r *reloader) follow(ctx context.Context) (stop func() error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	changes := r.store.Watch(ctx)
	go func() {
		defer close(ended)
		for range changes {
			r.insist(ctx)
		}
	}()
	return func() error {
		cancel()
		<-ended
		return nil
	}
}

// insist reloads until it works: a change that was reported once must not be lost.
func (r *reloader) insist(ctx context.Context) {
	for ctx.Err() == nil {
		err := r.reload(ctx)
		if err == nil {
			return
		}
		r.logger.Error("a change of the configuration is not in use yet", "err", err)
		select {
		case <-ctx.Done():
		case <-time.After(retryReload):
		}
	}
}
