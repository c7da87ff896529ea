package credential

import (
	"context"
	"errors"

	"mcpsidecar/configstore"
)

// Revocation says what became of the tokens at the provider.
type Revocation struct {
	Revoked bool
	Problem string // why not, in words for the user; empty: revoked, or there was nothing to revoke
}

// Disconnect ends a user's connection to a server: here at once, and then at the provider, as far as it can be done. The answer is the same whether there was a connection, and whether there is
// such a server. A refresh under way cannot bring it back. The error is of the store.
func (b *Broker) Disconnect(ctx context.Context, serverID, user string) (Revocation, error) {
	k := key{ServerID: serverID, User: user}
	grant, err := b.store.DeleteGrant(ctx, serverID, user)
	b.memory.drop(k)
	b.links.drop(k)
	if errors.Is(err, configstore.ErrNotFound) {
		return Revocation{}, nil
	}
	if err != nil {
		return Revocation{}, err
	}
	b.mu.Lock()
	delete(b.trouble, k)
	b.part(k, whyDisconnected)
	b.mu.Unlock()
	b.logger.Info("a connection ended", "server", serverID, "user", user)
	b.changed(serverID, user)
	ctx = context.WithoutCancel(ctx)
	server, err := b.store.Server(ctx, serverID)
	if err != nil {
		server = configstore.Server{} // gone, which needs no secret of a configured client to be known
	}
	return b.revoke(ctx, grant.RevocationEndpoint, clientOf(grant, server), grant.RefreshToken, grant.AccessToken), nil
}
