package credential

import (
	"context"
	"net/url"
	"sync"

	"golang.org/x/time/rate"
)

// turns spread out the token requests to each provider: after a restart, or when many tokens end together, many want one at once, and a provider that is asked too much refuses everybody. Who has to
// wait is served in order.
//
// Sign-ins have a line of their own with a quarter of the turns, so that nobody at a browser stands behind a thousand refreshes. Refreshes have the rest; of these only a few can go at once, so that
// there are no more than the rate in any second.
type turns struct {
	// Fixed at creation.
	rate   float64 // a second
	ctx    context.Context
	closed context.CancelFunc

	mu    sync.Mutex
	lines map[line]*rate.Limiter // mu guards; an entry lives until nobody has used it for a while, looked for when there are many
}

// line is where requests of one kind wait for one provider.
type line struct {
	kind     kind
	provider string // scheme and host
}

type kind int

const (
	refreshing kind = iota
	signingIn
)

// manyLines is how many lines there are before idle ones are looked for.
const manyLines = 1000

func newTurns(perSecond float64) *turns {
	t := &turns{rate: perSecond, lines: map[line]*rate.Limiter{}}
	t.ctx, t.closed = context.WithCancel(context.Background())
	return t
}

// close sends everybody away who waits.
func (t *turns) close() { t.closed() }

// take waits for a turn at the provider that has an endpoint, and says whether it had to wait. Who would have to wait beyond the end of ctx is told at once: ErrUnavailable.
func (t *turns) take(ctx context.Context, kind kind, endpoint string) (waited bool, err error) {
	limiter := t.line(kind, endpoint)
	if limiter.Allow() {
		return false, nil
	}
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(t.ctx, cancel)()
	err = limiter.Wait(waiting)
	switch {
	case err == nil:
		return true, nil
	case t.ctx.Err() != nil:
		return true, ErrClosed
	}
	return true, ErrUnavailable
}

func (t *turns) line(kind kind, endpoint string) *rate.Limiter {
	at := line{kind: kind}
	if u, err := url.Parse(endpoint); err == nil {
		at.provider = u.Scheme + "://" + u.Host
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if found := t.lines[at]; found != nil {
		return found
	}
	if len(t.lines) >= manyLines {
		t.sweep()
	}
	share, atOnce := t.rate*3/4, t.rate*3/16
	if kind == signingIn {
		share, atOnce = t.rate/4, t.rate/4
	}
	t.lines[at] = rate.NewLimiter(rate.Limit(share), max(1, int(atOnce)))
	return t.lines[at]
}

// sweep drops the lines in which nobody has been for a while; called with mu.
func (t *turns) sweep() {
	for at, limiter := range t.lines {
		if limiter.Tokens() >= float64(limiter.Burst()) {
			delete(t.lines, at)
		}
	}
}
