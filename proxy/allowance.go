package proxy

import (
	"context"
	"time"

	"mcpsidecar/internal/caller"
)

// allowance is what lets a stream stand for long after its request was let in. It ends at once with the token, the user or whatever else the request was let in by, and nothing is said on the stream before that was looked at.
type allowance struct {
	// fixed at creation
	t       *turn
	place   *place           // in the hub
	expired <-chan time.Time // receives when the token expires; nil: it does not
	timer   *time.Timer      // of expired; may be nil
}

// stayAllowed begins one. It has to be left.
func (t *turn) stayAllowed() *allowance {
	identity := t.scope.identity
	a := &allowance{t: t, place: t.proxy.hub.join(identity.User)}
	if !identity.Expires.IsZero() {
		a.timer = time.NewTimer(identity.Expires.Sub(t.proxy.now()))
		a.expired = a.timer.C
	}
	if !a.holds() {
		a.place.wake() // what ended it before it had its place woke nobody
	}
	return a
}

func (a *allowance) leave() {
	a.t.proxy.hub.leave(a.place)
	if a.timer != nil {
		a.timer.Stop()
	}
}

// holds asks again who this is: a token may have been revoked or have expired, and its user may have been ended.
func (a *allowance) holds() bool {
	select {
	case <-a.place.ended:
		return false
	default:
	}
	ctx := caller.Again(context.WithoutCancel(a.t.ctx))
	identity, err := a.t.proxy.config.Callers.Authenticate(a.t.r.WithContext(ctx))
	return err == nil && identity.Same(a.t.scope.identity)
}
