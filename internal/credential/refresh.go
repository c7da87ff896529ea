package credential

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"time"

	"mcpsidecar/configstore"
	"mcpsidecar/internal/secret"
)

// flight is one refresh, and everyone who waits for it.
type flight struct {
	done chan struct{} // closed at the end
	held *held         // what there is then, if err is nil; valid after done
	err  error
}

// trouble is what went wrong with a grant of late.
type trouble struct {
	failures int
	retryAt  time.Time // no request before
	forcedAt time.Time // the last refresh because of a 401
	stranger bool      // the provider does not know our client any more: only a new sign-in helps
	unsaved  *unsaved  // what a provider gave and the store did not take; only the refresh under way touches it
}

// unsaved is a refresh that could not be stored yet.
type unsaved struct {
	generation uint64
	answer     answer
}

const maxBackOff = time.Minute

// reason is why somebody joins a refresh.
type reason int

const (
	joinAhead   reason = iota // the token is good for a while yet
	joinExpired               // the token is over
	joinRefused               // the server refuses the token
)

// join returns the refresh under way, or begins one; nil with an error if it is not the time for one.
func (b *Broker) join(k key, h *held, why reason) (*flight, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if f := b.flights[k]; f != nil {
		return f, nil
	}
	if s := b.memory.get(k); s != nil && !s.held.header.Equal(h.header) && s.held.fresh(time.Now()) { // one ended while we looked
		return &flight{done: closed, held: s.held}, nil
	}
	now, t := time.Now(), b.trouble[k]
	if t == nil {
		t = &trouble{}
	}
	switch {
	case b.closed:
		return nil, ErrClosed
	case why == joinRefused && now.Before(t.forcedAt.Add(again)):
		return nil, ErrRefused
	case now.Before(t.retryAt) && t.stranger:
		return nil, ErrNeedsReauth
	case now.Before(t.retryAt):
		return nil, ErrUnavailable
	}
	if why == joinRefused {
		t.forcedAt = now
	}
	b.trouble[k] = t
	f := &flight{done: make(chan struct{})}
	b.flights[k] = f
	b.working.Go(func() {
		f.held, f.err = b.fly(k, h, why)
		b.mu.Lock()
		delete(b.flights, k)
		b.mu.Unlock()
		close(f.done)
	})
	return f, nil
}

var closed = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// A refresh that calls wait for asks up to attempts times, if the next attempt is not further away than patience.
const (
	attempts = 3
	patience = 5 * time.Second
)

// fly is one refresh, on its own context: whoever asked for it may have gone.
func (b *Broker) fly(k key, seen *held, why reason) (*held, error) {
	ctx, cancel := context.WithTimeout(b.ctx, 10*b.requestTimeout) // more than all of it can take: a request that is cut off may lose the grant
	defer cancel()
	unlock, err := b.locker.Lock(ctx, "grant/"+k.ServerID+"/"+k.User)
	if err != nil {
		return nil, ErrUnavailable
	}
	defer unlock()
	for attempt := 1; ; attempt++ {
		h, refused, err := b.refresh(ctx, k, seen)
		switch {
		case err != nil && ctx.Err() != nil: // the store's words for that help nobody
			return nil, ErrUnavailable
		case err != nil:
			return nil, err
		case refused == nil:
			return h, nil
		}
		wait := b.fail(k, refused)
		if why == joinAhead || refused.slow || refused.wrongClient() || attempt == attempts || wait > patience || h.valid(time.Now()) {
			return h, b.afterFailure(k, h, why)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return h, ErrUnavailable
		}
	}
}

// afterFailure is what callers get when there is no new token: the old one while it is good, but not who was refused with it.
func (b *Broker) afterFailure(k key, h *held, why reason) error {
	if why != joinRefused && h.valid(time.Now()) {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.troubleOf(k).stranger {
		return ErrNeedsReauth
	}
	return ErrUnavailable
}

// refresh reads the grant again, asks its provider once, and stores what comes. It returns the grant as it is then, or the grant as it was and why there is no new token.
func (b *Broker) refresh(ctx context.Context, k key, seen *held) (*held, *refusal, error) {
	h, server, done, err := b.look(ctx, k, seen)
	if err != nil || done {
		return h, nil, err
	}
	if b.keptFor(k, h) == nil {
		waited, err := b.turnToRefresh(ctx, h.grant.TokenEndpoint)
		if err != nil {
			return nil, nil, err
		}
		if waited { // much can have happened meanwhile
			if h, server, done, err = b.look(ctx, k, seen); err != nil || done {
				return h, nil, err
			}
		}
	}
	who, given := clientOf(h.grant, server), b.keptFor(k, h)
	if given == nil {
		if err := b.store.Healthy(ctx); err != nil {
			return nil, nil, fmt.Errorf("%w: the store cannot be written, so nothing is asked for that could not be kept", ErrUnavailable)
		}
		fresh, refused := b.ask(ctx, h.grant.TokenEndpoint, who, refreshForm(h.grant))
		switch {
		case refused != nil && refused.ends():
			return b.end(ctx, k, h, refused)
		case refused != nil:
			return b.note(ctx, k, h, server.OAuth2ClientID == h.grant.ClientID, refused)
		}
		given = &fresh
	}
	h, err = b.keep(ctx, k, h, who, *given)
	return h, nil, err
}

// look reads a grant again, with its server. done: somebody else has refreshed it.
func (b *Broker) look(ctx context.Context, k key, seen *held) (h *held, server configstore.Server, done bool, err error) {
	h, err = b.load(ctx, k)
	switch {
	case err != nil:
		return nil, server, false, err
	case h.header.IsZero():
		return nil, server, false, ErrNeedsReauth
	case !h.header.Equal(seen.header) && h.fresh(time.Now()):
		return h, server, true, nil
	case h.grant.RefreshToken.IsZero():
		return nil, server, false, ErrNeedsReauth
	}
	server, err = b.server(ctx, k.ServerID)
	if errors.Is(err, configstore.ErrNotFound) || errors.Is(err, ErrNotOAuth2) || err == nil && !h.fits(&server) {
		err = ErrNotConnected
	}
	if err != nil {
		return nil, server, false, err
	}
	return h, server, false, nil
}

// turnToRefresh waits until the provider may be asked, for two requests' time at most: who waits longer is told so instead.
func (b *Broker) turnToRefresh(ctx context.Context, endpoint string) (waited bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*b.requestTimeout)
	defer cancel()
	return b.turns.take(ctx, refreshing, endpoint)
}

func refreshForm(grant configstore.Grant) url.Values {
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {grant.RefreshToken.Reveal()}}
	if grant.Resource != "" {
		form.Set("resource", grant.Resource)
	}
	return form
}

// clientOf is who a grant was given to. A configured client's secret is the server's present one, which an admin may have changed; not that of a server that has another provider by now.
func clientOf(grant configstore.Grant, server configstore.Server) client {
	who := client{id: grant.ClientID, secret: grant.ClientSecret, method: grant.AuthMethod}
	if server.OAuth2ClientID != "" && server.OAuth2ClientID == grant.ClientID && server.OAuthBinding() == grant.Binding {
		who.secret = server.OAuth2ClientSecret
	}
	return who
}

// keptFor is what a provider gave for the grant before and the store did not take.
func (b *Broker) keptFor(k key, h *held) *answer {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t := b.trouble[k]; t != nil && t.unsaved != nil && t.unsaved.generation == h.grant.Generation {
		return &t.unsaved.answer
	}
	return nil
}

// keep stores what a provider gave; only then it is used. Where the store does not take it, it is kept here for the next refresh: the provider may have ended the token before it.
func (b *Broker) keep(ctx context.Context, k key, h *held, who client, given answer) (*held, error) {
	_, err := b.store.UpdateGrant(ctx, k.ServerID, k.User, h.grant.Generation, func(grant *configstore.Grant) error {
		grant.AccessToken, grant.Expiry, grant.ObtainedAt, grant.Refreshed, grant.TokenType = given.access, given.expiry, time.Now(), true, "Bearer"
		if !given.refresh.IsZero() {
			grant.RefreshToken = given.refresh
		}
		if given.scopes != nil {
			grant.Scopes = given.scopes
		}
		grant.LastError, grant.LastErrorAt = "", time.Time{}
		return nil
	})
	switch {
	case errors.Is(err, configstore.ErrNotFound), errors.Is(err, configstore.ErrConflict):
		b.refreshed(k.ServerID, ResultLost)
		if errors.Is(err, configstore.ErrNotFound) { // whoever disconnected could not revoke what was not there yet
			b.revoke(ctx, h.grant.RevocationEndpoint, who, given.refresh, given.access)
		}
		return b.load(ctx, k)
	case err != nil:
		b.mu.Lock()
		t := b.troubleOf(k)
		t.unsaved, t.retryAt = &unsaved{h.grant.Generation, given}, time.Now().Add(time.Second)
		b.mu.Unlock()
		b.logger.Error("a new token could not be stored; it is kept in memory until it can", "server", k.ServerID, "user", k.User, "error", err)
		return h, b.afterFailure(k, h, joinExpired)
	}
	b.settle(k)
	b.refreshed(k.ServerID, ResultOK)
	return b.load(ctx, k)
}

// settle ends the troubles of a grant; that it was asked for because of a 401 stays known.
func (b *Broker) settle(k key) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t := b.trouble[k]; t != nil {
		b.trouble[k] = &trouble{forcedAt: t.forcedAt}
	}
}

// troubleOf is called with mu.
func (b *Broker) troubleOf(k key) *trouble {
	t := b.trouble[k]
	if t == nil {
		t = &trouble{}
		b.trouble[k] = t
	}
	return t
}

// fail plans the next attempt and says how long it is until then.
func (b *Broker) fail(k key, refused *refusal) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.troubleOf(k)
	t.failures++
	wait := min(maxBackOff, time.Second<<min(t.failures-1, 6))
	wait = max(wait/2+rand.N(wait/2+1), refused.after)
	t.retryAt = time.Now().Add(wait)
	return wait
}

// end marks a grant whose provider will not renew it.
func (b *Broker) end(ctx context.Context, k key, h *held, refused *refusal) (*held, *refusal, error) {
	reason := "the connection has ended, and the account must be connected again: " + refused.Error()
	_, err := b.store.UpdateGrant(ctx, k.ServerID, k.User, h.grant.Generation, func(grant *configstore.Grant) error {
		grant.State, grant.Reason = configstore.GrantNeedsReauth, reason
		grant.AccessToken, grant.RefreshToken, grant.Expiry = secret.Value{}, secret.Value{}, time.Time{}
		grant.LastError, grant.LastErrorAt = reason, time.Now()
		return nil
	})
	switch {
	case errors.Is(err, configstore.ErrNotFound), errors.Is(err, configstore.ErrConflict): // a newer grant came, or none is left
		b.refreshed(k.ServerID, ResultLost)
		h, err := b.load(ctx, k)
		if err == nil && h.header.IsZero() {
			err = ErrNeedsReauth
		}
		return h, nil, err
	case err != nil:
		return nil, nil, err
	}
	b.refreshed(k.ServerID, ResultEnded)
	b.memory.drop(k)
	b.logger.Warn("a provider ended a grant", "server", k.ServerID, "user", k.User, "answer", refused.Error())
	b.changed(k.ServerID, k.User)
	return nil, nil, ErrNeedsReauth
}

// note remembers a failure that ends nothing, for who looks at the connection. A registration that its provider does not know any more is forgotten, so that the next connect makes a new one.
func (b *Broker) note(ctx context.Context, k key, h *held, configured bool, refused *refusal) (*held, *refusal, error) {
	b.refreshed(k.ServerID, ResultTransient)
	b.logger.Warn("a token could not be refreshed", "server", k.ServerID, "user", k.User, "answer", refused.Error())
	if refused.wrongClient() && !configured {
		_ = b.store.DropRegistration(ctx, k.ServerID, h.grant.ClientID) // best effort: it may be gone, or another
		b.mu.Lock()
		b.troubleOf(k).stranger = true
		b.mu.Unlock()
	}
	if h.grant.LastError == refused.Error() {
		return h, refused, nil
	}
	_, err := b.store.UpdateGrant(ctx, k.ServerID, k.User, h.grant.Generation, func(grant *configstore.Grant) error {
		grant.LastError, grant.LastErrorAt = refused.Error(), time.Now()
		return nil
	})
	if errors.Is(err, configstore.ErrNotFound) {
		return nil, nil, ErrNotConnected
	}
	noted, err := b.load(ctx, k)
	if err != nil {
		return nil, nil, err
	}
	return noted, refused, nil
}
