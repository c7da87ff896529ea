package credential

import (
	"context"
	"errors"
	"time"

	"mcpsidecar/configstore"
	"mcpsidecar/internal/secret"
)

// Token returns what to send to a server as Authorization on a user's behalf. server is the record that the request is made from; the token goes nowhere else.
//
// refused is what the server has just answered 401 to, as Token returned it, or zero. Then a new token is asked for, once for all who were refused, and at most once in half a minute; ask at most
// once per call.
//
// Errors are ErrNotConnected and ErrNeedsReauth (offer a link), ErrUnavailable and ErrRefused (nothing the user could do now), one of ctx, or one of the store. Never another user's token.
func (b *Broker) Token(ctx context.Context, server *configstore.Server, user string, refused secret.Value) (secret.Value, error) {
	k := key{ServerID: server.ID, User: user}
	if s := b.memory.get(k); s != nil && refused.IsZero() && s.held.fresh(time.Now()) && s.fits(server) {
		return s.held.header, nil
	}
	return b.obtain(ctx, k, server, refused)
}

// obtain is Token where something has to be done.
func (b *Broker) obtain(ctx context.Context, k key, server *configstore.Server, refused secret.Value) (secret.Value, error) {
	h, err := b.known(ctx, k)
	if err != nil {
		return secret.Value{}, err
	}
	now := time.Now()
	switch {
	case !h.fits(server):
		return secret.Value{}, ErrNotConnected
	case h.header.IsZero(), now.Before(h.refused):
		return secret.Value{}, ErrNeedsReauth
	case !refused.IsZero() && h.header.Equal(refused):
		return b.replace(ctx, k, server, h)
	case h.refreshAt.IsZero() || now.Before(h.refreshAt):
		return h.header, nil
	case h.valid(now):
		if !h.grant.RefreshToken.IsZero() {
			b.join(k, h, joinAhead)
		}
		return h.header, nil
	case h.grant.RefreshToken.IsZero():
		return secret.Value{}, ErrNeedsReauth
	}
	f, err := b.join(k, h, joinExpired)
	if f == nil {
		return secret.Value{}, err
	}
	return f.wait(ctx, server)
}

// replace gets another token in place of one that the server refused.
func (b *Broker) replace(ctx context.Context, k key, server *configstore.Server, h *held) (secret.Value, error) {
	if h.grant.RefreshToken.IsZero() {
		b.believeRefused(k, h)
		return secret.Value{}, ErrNeedsReauth
	}
	f, err := b.join(k, h, joinRefused)
	if f == nil {
		return secret.Value{}, err
	}
	header, err := f.wait(ctx, server)
	if err == nil && header.Equal(h.header) {
		return secret.Value{}, ErrUnavailable
	}
	return header, err
}

// believeRefused makes the calls of the next while ask for a sign-in at once, instead of trying out again a token that was refused and that nothing can replace.
func (b *Broker) believeRefused(k key, h *held) {
	marked, epoch := *h, b.memory.epoch.Load()
	marked.refused = time.Now().Add(again)
	if s := b.memory.get(k); s != nil && s.held == h {
		b.memory.put(k, &marked, epoch)
	}
}

// known returns the grant from memory, or reads it.
func (b *Broker) known(ctx context.Context, k key) (*held, error) {
	if s := b.memory.get(k); s != nil {
		if s.held.refused.IsZero() || time.Now().Before(s.held.refused) {
			return s.held, nil
		}
	}
	return b.load(ctx, k)
}

// load reads a grant from the store into the memory.
func (b *Broker) load(ctx context.Context, k key) (*held, error) {
	for {
		epoch := b.memory.epoch.Load()
		grant, err := b.store.Grant(ctx, k.ServerID, k.User)
		if errors.Is(err, configstore.ErrNotFound) {
			if b.memory.get(k) != nil {
				b.memory.drop(k)
			}
			return nil, ErrNotConnected
		}
		if err != nil {
			return nil, err
		}
		h := hold(grant)
		if b.memory.put(k, h, epoch) {
			return h, nil
		}
	}
}

// wait returns what a refresh brought for a caller.
func (f *flight) wait(ctx context.Context, server *configstore.Server) (secret.Value, error) {
	select {
	case <-f.done:
	case <-ctx.Done():
		return secret.Value{}, ctx.Err()
	}
	switch {
	case f.err != nil:
		return secret.Value{}, f.err
	case !f.held.fits(server):
		return secret.Value{}, ErrNotConnected
	case f.held.valid(time.Now()):
		return f.held.header, nil
	}
	return secret.Value{}, ErrUnavailable
}
