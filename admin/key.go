package admin

import (
	"context"
	"errors"

	"mcpsidecar/internal/audit"
)

// Keys changes the key that secrets are sealed with. Safe for concurrent use.
type Keys interface {
	// RotateKey makes a new key, with which everything is sealed that is written from then on, and begins to seal anew what there is. Errors are ErrResealing, ErrKeyFile, or the store's.
	RotateKey(ctx context.Context) error
	KeyState() KeyState
}

// KeyState says with how many keys secrets are sealed at present.
type KeyState struct {
	Keys      int    `json:"keys" doc:"in the key file. The newest seals; the older ones open what it has not sealed yet, and older backups"`
	Resealing bool   `json:"resealing" doc:"whether what older keys have sealed is being sealed anew"`
	Done      int    `json:"done" doc:"records that this is done with"`
	Total     int    `json:"total" doc:"records that there are"`
	Problem   string `json:"problem,omitempty" doc:"why it does not go on at present; it is tried again"`
}

// What a rotation can say.
var (
	ErrResealing = errors.New("everything is still being sealed with the newest key")
	ErrKeyFile   = errors.New("the key file cannot be written")
)

func (a *API) showKey(context.Context, *request, nothing) (KeyState, error) {
	return a.config.Keys.KeyState(), nil
}

func (a *API) rotateKey(ctx context.Context, req *request, _ nothing) (KeyState, error) {
	change := audit.Change{Action: "rotate", Kind: "key"}
	err := a.commit(ctx, req, change, func() error { return a.config.Keys.RotateKey(ctx) })
	return a.config.Keys.KeyState(), err
}
