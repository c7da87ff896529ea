package credential

import (
	"context"
	"errors"
	"time"

	"mcpsidecar/configstore"
)

// What a user reads about an account that was connected and cannot be used any more.
const (
	whyRevoked      = "its provider has ended the connection, because it was revoked there or has expired"
	whyExpired      = "the connection has expired, and its provider gave nothing to renew it with"
	whyRefused      = "the server does not accept it any more"
	whyChanged      = "an admin has changed the server or ended the connection"
	whyDisconnected = "it was disconnected"
)

// Why says for a user why the account that was connected to a server cannot be used any more; empty: there was none, it can be used, or nothing is known of it. What the provider said is not repeated.
func (b *Broker) Why(ctx context.Context, server *configstore.Server, user string) string {
	k := key{ServerID: server.ID, User: user}
	grant, err := b.store.Grant(ctx, server.ID, user)
	switch {
	case errors.Is(err, configstore.ErrNotFound):
		return b.parting(k)
	case err != nil:
		return ""
	}
	h, now := hold(grant), time.Now()
	switch {
	case !h.fits(server):
		return whyChanged
	case grant.State == configstore.GrantNeedsReauth:
		return whyRevoked
	case b.believedRefused(grant, now):
		return whyRefused
	case h.header.IsZero(), !h.valid(now) && grant.RefreshToken.IsZero():
		return whyExpired
	}
	return ""
}

// believedRefused says that the server has refused this very token, and there is no other.
func (b *Broker) believedRefused(grant configstore.Grant, now time.Time) bool {
	s := b.memory.get(key{ServerID: grant.ServerID, User: grant.User})
	return s != nil && now.Before(s.held.refused) && s.held.grant.Generation == grant.Generation
}

// maxPartings is how many connections are remembered that were ended here; of older ones nobody learns why.
const maxPartings = 10_000

// part remembers why a connection was ended. It is called with mu.
func (b *Broker) part(k key, why string) {
	for old := range b.partings {
		if len(b.partings) < maxPartings {
			break
		}
		delete(b.partings, old)
	}
	b.partings[k] = why
}

func (b *Broker) parting(k key) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.partings[k]
}
