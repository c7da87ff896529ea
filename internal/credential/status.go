package credential

import (
	"context"
	"errors"
	"time"

	"mcpsidecar/configstore"
)

// State is how a user stands with a server.
type State string

// The states of a connection, as they are written in answers.
const (
	StateConnected   State = "connected"
	StateNeedsAuth   State = "needs_auth"
	StateNeedsReauth State = "needs_reauth"
)

// Connection is how a user stands with a server, without anything secret.
type Connection struct {
	User      string
	State     State
	Since     time.Time // when the account was connected; zero: it is not
	Expires   time.Time // of the access token; zero: not known
	LastError string    // of the last refresh, in plain words; empty: it went well
	Scopes    []string
}

// Status says how a user stands with a server of auth_type oauth2.
func (b *Broker) Status(ctx context.Context, server *configstore.Server, user string) (Connection, error) {
	grant, err := b.store.Grant(ctx, server.ID, user)
	if errors.Is(err, configstore.ErrNotFound) {
		return Connection{User: user, State: StateNeedsAuth}, nil
	}
	if err != nil {
		return Connection{}, err
	}
	return b.connection(server, grant), nil
}

// Grants says who is connected to a server, by user.
func (b *Broker) Grants(ctx context.Context, server *configstore.Server) ([]Connection, error) {
	grants, err := b.store.Grants(ctx, server.ID)
	if err != nil {
		return nil, err
	}
	connections := make([]Connection, len(grants))
	for i, grant := range grants {
		connections[i] = b.connection(server, grant)
	}
	return connections, nil
}

func (b *Broker) connection(server *configstore.Server, grant configstore.Grant) Connection {
	now, h := time.Now(), hold(grant)
	c := Connection{User: grant.User, State: StateConnected, Since: grant.CreatedAt, Expires: grant.Expiry, LastError: grant.LastError, Scopes: grant.Scopes}
	switch {
	case !h.fits(server):
		return Connection{User: grant.User, State: StateNeedsAuth}
	case h.header.IsZero(), !h.valid(now) && grant.RefreshToken.IsZero(), b.believedRefused(grant, now):
		c.State = StateNeedsReauth
	}
	return c
}
