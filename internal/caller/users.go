package caller

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mcpsidecar/configstore"
)

// How fast one agent token may make users known: a company that is brought in on
// one morning passes, and whoever invents names keeps the disk busy for nobody.
const (
	newUsersAtOnce = 500
	newUserEvery   = 200 * time.Millisecond
)

// pace is how fast one token makes users known. One request at a time does so;
// those that name a known user neither wait here nor count.
type pace struct {
	turn chan struct{} // holds a value while a request has its turn
	paid time.Time     // owned by who has the turn: up to when the users made so far count
}

func newPace() *pace { return &pace{turn: make(chan struct{}, 1)} }

// wait says how long the next new user has to wait.
func (p *pace) wait(now time.Time) time.Duration {
	if p.paid.Before(now) {
		return 0
	}
	return max(0, p.paid.Sub(now)-(newUsersAtOnce-1)*newUserEvery)
}

// count counts a user that was made known.
func (p *pace) count(now time.Time) {
	if p.paid.Before(now) {
		p.paid = now
	}
	p.paid = p.paid.Add(newUserEvery)
}

// announce sees that the user of an agent's request is known, before anything is
// done on its behalf. For one that the last Reload brought that is one look into
// a map.
func (a *Authenticator) announce(ctx context.Context, current *index, identity *Identity) error {
	name := identity.User
	if _, known := current.users[name]; known || a.users == nil {
		return nil
	}
	if _, seen := current.seen.Load(name); seen || isAgain(ctx) {
		return nil
	}
	known, err := a.users.HasUser(ctx, name)
	if err == nil && !known {
		err = a.introduce(ctx, current.tokens[identity.TokenID].pace, name)
	}
	switch {
	case err == nil:
		current.seen.Store(name, struct{}{})
		return nil
	case errors.Is(err, configstore.ErrUsers):
		return ErrUsers
	case errors.Is(err, ErrNewUsers):
		return err
	}
	return fmt.Errorf("%w: recording user: %w", ErrUnavailable, err)
}

// introduce makes a user known, once it is the token's turn.
func (a *Authenticator) introduce(ctx context.Context, pace *pace, name string) error {
	select {
	case pace.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-pace.turn }()
	if known, err := a.users.HasUser(ctx, name); err != nil || known { // another request had its turn before
		return err
	}
	if wait := pace.wait(a.now()); wait > 0 {
		return &ThrottledError{wait, ErrNewUsers}
	}
	if err := a.users.EnsureUser(ctx, name); err != nil {
		return err
	}
	pace.count(a.now())
	return nil
}
