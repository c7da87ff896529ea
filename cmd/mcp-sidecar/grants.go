package main

import (
	"context"
	"errors"
	"fmt"

	"mcpsidecar/configstore"
	"mcpsidecar/internal/credential"
	"mcpsidecar/internal/secret"
	"mcpsidecar/proxy"
)

// grants is the broker as the data path sees it; the two do not know each other.
type grants struct{ *credential.Broker }

// Token is the broker's. What only the user can mend, it says in the proxy's word for it.
func (g grants) Token(ctx context.Context, server *configstore.Server, user string, refused secret.Value) (secret.Value, error) {
	token, err := g.Broker.Token(ctx, server, user, refused)
	if errors.Is(err, credential.ErrNotConnected) || errors.Is(err, credential.ErrNeedsReauth) {
		err = fmt.Errorf("%w: %w", proxy.ErrSignIn, err)
	}
	return token, err
}
