package upstream

import (
	"context"
	"errors"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	"mcpsidecar/proxy/rpc"
)

// listChanges is what a modern server is always asked for.
const listChanges = `{"toolsListChanged":true,"promptsListChanged":true,"resourcesListChanged":true`

// subscription is one subscriptions/listen under way at a modern server.
type subscription struct {
	uris   []string    // asked for, sorted
	acked  chan []byte // receives the filter that the server acknowledges
	cancel context.CancelFunc
	done   chan struct{} // closed when it has ended
	// Of listenModern.
	acknowledged bool
	// Written before done is closed; see listenOnce.
	offered bool
	failure *Failure
}

// listenModern keeps one subscriptions/listen under way. What it asks for cannot be changed, so that it is replaced when other resources are watched: the next one is there before the last one ends, and nothing is missed between them.
//
// One resource that the server does not want to tell of makes it refuse all of them. So whatever is new is halved until the one is alone that it does not want.
func (c *Conn) listenModern(ctx context.Context, l *link) (offered bool, failure *Failure) {
	var current *subscription
	defer func() {
		current.end()
		c.watches.lost()
	}()
	for most := math.MaxInt; ; {
		uris, fresh, changed := c.watches.wanted(l, most)
		if c.cfg.Tasks && len(uris) == 0 {
			current.end()
			current = nil
			select {
			case <-changed:
				continue
			case <-ctx.Done():
				return true, nil
			}
		}
		if current == nil || !slices.Equal(current.uris, uris) {
			next, outcome := c.replace(ctx, l, current, uris, fresh)
			switch outcome {
			case inForce:
				current, most = next, math.MaxInt
				continue
			case refusedAsWhole:
				most = max(1, len(fresh)/2)
				continue
			case leftOut:
				most = math.MaxInt
				continue
			}
			return next.offered || current != nil, next.failure
		}
		select {
		case <-changed:
		case filter := <-current.acked: // late
			current.acknowledged = true
			c.inForce(l, current, filter, true)
		case <-current.done:
			return current.offered, current.failure
		}
	}
}

// What became of the next subscription.
type outcome uint8

const (
	inForce        outcome = iota // it has taken the place of the last one
	refusedAsWhole                // the server does not want one of several resources that are new in it
	leftOut                       // it does not want this one
	over                          // there is no stream, or none at present
)

// replace opens the next subscription and, once the server has acknowledged that, ends the last one.
func (c *Conn) replace(ctx context.Context, l *link, last *subscription, uris, fresh []string) (*subscription, outcome) {
	next := c.subscribe(ctx, l, uris)
	timer := time.NewTimer(c.server.cfg.Limits.Connect)
	defer timer.Stop()
	var filter []byte
	select {
	case filter = <-next.acked:
		next.acknowledged = true
	case <-timer.C: // a server that does not acknowledge may tell of changes of its lists all the same, and may be slow
		c.watches.giveUp(uris, c.server.failure(TimedOut, false, errSilent))
	case <-next.done:
		select {
		case filter = <-next.acked: // it is over already
			next.acknowledged = true
		default:
			return next, c.refusedBy(next, fresh)
		}
	}
	ended := last.over()
	if ended {
		c.watches.lost()
	}
	c.inForce(l, next, filter, ended || !last.acknowledged)
	last.end()
	return next, inForce
}

// refusedBy says how to go on after a subscription that never was.
func (c *Conn) refusedBy(next *subscription, fresh []string) outcome {
	switch {
	case len(fresh) == 0 || next.failure != nil && next.failure.Kind == Canceled:
		return over
	case next.offered && next.failure == nil:
		next.failure = c.server.malformed(false, "the stream ended before it was acknowledged")
		fallthrough
	case next.failure != nil:
		c.watches.refuse(fresh, next.failure)
		return over
	case len(fresh) > 1:
		return refusedAsWhole
	}
	c.watches.refuse(fresh, c.unwilling())
	return leftOut
}

// inForce notes what a server has agreed to, if it has said so. gap: nobody has heard what it may have had to say until now.
func (c *Conn) inForce(l *link, sub *subscription, filter []byte, gap bool) {
	if sub.acknowledged {
		c.missed(c.watches.agree(l, sub.uris, c.granted(filter), c.unwilling())...)
	}
	if gap {
		c.missedLists()
	}
}

var errUnwilling = errors.New("the server does not tell of changes of this")

func (c *Conn) unwilling() *Failure { return c.server.failure(Refused, false, errUnwilling) }

// named is the member of a filter that names what is watched.
func (c *Conn) named() string {
	if c.cfg.Tasks {
		return "taskIds"
	}
	return "resourceSubscriptions"
}

// granted is what a server acknowledges of what is watched.
func (c *Conn) granted(filter []byte) (uris []string) {
	elements, err := rpc.ElementsUpTo(nil, orEmpty(find(filter, c.named())), maxElements)
	if err != nil {
		return nil
	}
	for _, raw := range elements {
		if uri, ok := rpc.String(raw); ok {
			uris = append(uris, uri)
		}
	}
	return uris
}

// subscribe asks a modern server for changes of its lists and of resources, and hears what it says.
func (c *Conn) subscribe(ctx context.Context, l *link, uris []string) *subscription {
	ctx, cancel := context.WithCancel(ctx)
	sub := &subscription{uris: uris, acked: make(chan []byte, 1), cancel: cancel, done: make(chan struct{}), offered: true}
	if !c.server.spawn(func() { c.runSubscription(ctx, l, sub) }) {
		sub.failure = c.server.failure(Canceled, false, errClosed)
		cancel()
		close(sub.done)
	}
	return sub
}

func (c *Conn) runSubscription(ctx context.Context, l *link, sub *subscription) {
	defer close(sub.done)
	defer sub.cancel()
	call := Call{Method: methodListen, Params: []rpc.Member{{Name: "notifications", Value: c.filterOf(sub.uris)}}}
	b := new(body)
	defer b.release()
	b.request(strconv.AppendInt(nil, nextID(), 10), &call, l.identity)
	told := false
	acked := func(params []byte) {
		if !told {
			told = true
			sub.acked <- clone(find(params, "notifications"))
		}
	}
	open := func(ctx context.Context) (*http.Response, *Failure) { return c.post(ctx, l, b, &call) }
	sub.offered, sub.failure = c.listenOn(ctx, l, ears{new(place), acked}, open)
}

// filterOf is the filter of a subscription.
func (c *Conn) filterOf(uris []string) []byte {
	filter := []byte(`{`)
	if !c.cfg.Tasks {
		if filter = append(filter[:0], listChanges...); len(uris) == 0 {
			return append(filter, '}')
		}
		filter = append(filter, ',')
	}
	filter = append(append(append(filter, '"'), c.named()...), `":[`...)
	for i, uri := range uris {
		if i > 0 {
			filter = append(filter, ',')
		}
		filter = rpc.AppendString(filter, uri)
	}
	return append(filter, `]}`...)
}

// over says whether a subscription has ended; nil: there was none.
func (sub *subscription) over() bool {
	if sub == nil {
		return true
	}
	select {
	case <-sub.done:
		return true
	default:
		return false
	}
}

// end ends a subscription, if there is one, and returns when nothing more is heard of it.
func (sub *subscription) end() {
	if sub != nil {
		sub.cancel()
		<-sub.done
	}
}
