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

// grants is the Broker as the data path sees it: it says which errors the user can mend by signing in.
type grants struct{ broker *credential.Broker }

func (g grants) Token(ctx context.Context, server *configstore.Server, user string, refused secret.Value) (secret.Value, error) {
	token, err := g.broker.Token(ctx, server, user, refused)
	if errors.Is(err, credential.ErrNotConnected) || errors.Is(err, credential.ErrNeedsReauth) {
		err = fmt.Errorf("%w: %w", proxy.ErrSignIn, err)
	}
	return token, err
}

func (g grants) NewLink(ctx context.Context, serverID, user string, scopes []string) (string, error) {
	return g.broker.NewLink(ctx, serverID, user, scopes)
}
