package upstream

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sony/gobreaker/v2"
)

const (
	breakerFailures = 5
	breakerRest     = 30 * time.Second
	breakerLongest  = 300 * time.Second
	breakerAway     = 500 * time.Millisecond // of a server that is away rather than in trouble: asking costs nobody anything, and one that restarts is missed from the moment that it is back
	probeRest       = time.Second            // what callers are told while the one probe is under way
)

// breaker is the one schedule of retries for a server. The counting and the half-open probe are gobreaker's; this adds that the rest grows each time the probe fails.
type breaker struct {
	server *Server
	steps  *gobreaker.TwoStepCircuitBreaker[struct{}]
	until  atomic.Int64  // UnixNano until which nothing is sent; 0: no rest
	away   atomic.Bool   // the last failure was that nobody is there
	doubt  atomic.Bool   // something failed since the last success. Without doubt no call takes gobreaker's lock, which all calls share
	rest   time.Duration // the last one; owned by changed, which gobreaker calls under its lock
}

func newBreaker(s *Server) *breaker {
	b := &breaker{server: s}
	b.steps = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Name:          s.cfg.Slug,
		MaxRequests:   1,
		Timeout:       breakerAway, // the shortest; longer ones are kept by until
		ReadyToTrip:   func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= breakerFailures },
		IsSuccessful:  func(err error) bool { return err == nil || !countsAgainst(err.(*Failure)) },
		IsExcluded:    func(err error) bool { return err != nil && saysNothing(err.(*Failure)) },
		OnStateChange: func(_ string, _, to gobreaker.State) { b.changed(to) },
	})
	return b
}

// countsAgainst: the server was not there, or broke.
func countsAgainst(f *Failure) bool {
	return f.Kind == Unreachable || f.Kind == TimedOut || (f.Kind == Status && f.HTTPStatus >= http.StatusInternalServerError)
}

// saysNothing: the failure is ours, so that it tells neither way.
func saysNothing(f *Failure) bool {
	return f.Kind == Canceled || f.Kind == Credential || f.Kind == Forbidden || f.Kind == Open
}

// isAway: nothing listens there, or what did has ended in the midst of things. A server that says nothing is not away.
func isAway(err error) bool {
	var f *Failure
	if !errors.As(err, &f) || f.Kind != Unreachable {
		return false
	}
	for _, sign := range []error{syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.EPIPE, io.EOF, io.ErrUnexpectedEOF} {
		if errors.Is(f.Err, sign) {
			return true
		}
	}
	return false
}

func (b *breaker) changed(to gobreaker.State) {
	switch to {
	case gobreaker.StateOpen:
		if b.rest = min(max(2*b.rest, breakerRest), breakerLongest); b.away.Load() {
			b.rest = breakerAway
		}
		b.until.Store(b.server.cfg.Now().Add(b.rest).UnixNano())
		b.server.cfg.Breaker("open")
	case gobreaker.StateHalfOpen:
		b.server.cfg.Breaker("half_open")
	case gobreaker.StateClosed:
		b.rest = 0
		b.until.Store(0)
		b.server.cfg.Breaker("closed")
	}
}

// allow lets one exchange pass, which must report how it ended, once, or says that the server rests.
func (b *breaker) allow() (report func(error), failure *Failure) {
	if left := b.left(); left > 0 {
		return nil, b.open(left)
	}
	if !b.doubt.Load() {
		return b.first, nil
	}
	done, err := b.steps.Allow()
	if err != nil {
		return nil, b.open(max(b.left(), probeRest))
	}
	return func(err error) {
		b.note(err)
		done(err)
		b.doubt.Store(err != nil || b.until.Load() != 0) // a success of before the rest does not end the rest
	}, nil
}

// first hears of an exchange that began without doubt: a success says nothing new, and a failure is the first of those that count.
func (b *breaker) first(err error) {
	if err == nil {
		return
	}
	if done, refused := b.steps.Allow(); refused == nil {
		b.doubt.Store(true)
		b.note(err)
		done(err)
	}
}

// note says what kind of trouble there is, before gobreaker hears that there is some.
func (b *breaker) note(err error) {
	if err != nil {
		b.away.Store(isAway(err))
	}
}

func (b *breaker) left() time.Duration {
	until := b.until.Load()
	if until == 0 {
		return 0
	}
	return time.Duration(until - b.server.cfg.Now().UnixNano())
}

func (b *breaker) open(left time.Duration) *Failure {
	f := b.server.failure(Open, false, nil)
	f.RetryAfter = left
	return f
}
