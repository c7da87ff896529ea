package proxy

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"mcpsidecar/internal/trace"
	"mcpsidecar/proxy/upstream"
)

// How lists are kept. A list that is too old is fetched anew while the asker waits a moment; longer than that nobody waits for a list that exists.
const (
	fetchDeadline = 30 * time.Second // of a fetch, which goes on for the next asker
	defaultTTL    = time.Minute      // where the server says nothing
	minTTL        = time.Second
	maxTTL        = 5 * time.Minute
	firstPenalty  = time.Second     // without a new try after a failure; doubles
	slowPenalty   = 5 * time.Second // the same after a time-out, which costs whoever asks
	maxPenalty    = time.Minute
	eagerEvery    = 5 * time.Second // at most one extra fetch because somebody named a thing that is not listed
	lapseEvery    = time.Second     // of rest after each fetch, however often the server says that its list is another, which some say with each list
)

// keeper keeps one list of one server for one credential. Readers of a fresh list take no lock.
type keeper[V any] struct {
	// fixed at creation
	p     *Proxy
	slug  string
	what  string                                                        // it is a list of, for the log
	fetch func(context.Context) (list *V, ttl time.Duration, err error) // asks the server; a negative ttl means that it said nothing of that
	took  func(old, list *V)                                            // hears of each list that was fetched, before those who wait for it; old is nil the first time
	late  func(list *V, by time.Duration)                               // hears how old the list is; may be nil
	touch func(now time.Time)                                           // hears of each use

	wanted func() bool // says whether anybody cares for a list that is another; nil: always

	current atomic.Pointer[kept[V]]

	mu        sync.Mutex
	fetching  *fetch[V]     // nil: nobody fetches
	failure   error         // of the last fetch; nil after a good one
	notBefore time.Time     // no fetch before this
	penalty   time.Duration // the next one
	eager     time.Time     // the last extra fetch
	owed      debt          // of changes since the last fetch began
	ended     time.Time     // the last fetch
	renewal   func()        // gives up the next one, which waits for its time; whoever asks meanwhile gets the list there is. nil: none waits
	closed    bool
}

// kept is a list and how long it is good. It is immutable, and so is the list.
type kept[V any] struct {
	list    *V
	expires time.Time
}

// fetch is one fetch under way; list and err are set before done is closed.
type fetch[V any] struct {
	done  chan struct{}
	began time.Time
	owed  debt // which it pays, unless it fails
	list  *V
	ttl   time.Duration
	err   error
}

// errNoList is what an asker gets when there is no list within its time.
var errNoList = errors.New("the server has not answered in time")

// list returns the list there is, however old it may be, or nil.
func (k *keeper[V]) list() *V {
	if have := k.current.Load(); have != nil {
		return have.list
	}
	return nil
}

// fresh returns the present list if it is not too old, and nil otherwise.
func (k *keeper[V]) fresh(now time.Time) *V {
	have := k.current.Load()
	if have == nil || !now.Before(have.expires) {
		return nil
	}
	k.touch(now)
	return have.list
}

// get returns the present list. stale says that a newer one could not be had; an error that there is none at all.
func (k *keeper[V]) get(ctx context.Context) (list *V, stale bool, err error) {
	now := k.p.now()
	if list = k.fresh(now); list != nil {
		return list, false, nil
	}
	k.touch(now)
	if k.p.config.Tracer != nil {
		return k.waitTraced(ctx, now)
	}
	return k.wait(ctx, now)
}

// wait has a list that is fetched now, or an old one where that takes too long.
func (k *keeper[V]) wait(ctx context.Context, now time.Time) (list *V, stale bool, err error) {
	list = k.list()
	f, failure := k.start(ctx, now)
	if f == nil {
		if list != nil {
			return list, true, nil
		}
		return nil, false, failure
	}
	patience := k.p.config.Waiting.List
	if list != nil {
		patience = k.p.config.Waiting.Stale
	}
	// Whoever comes later has less to wait: otherwise each list would be delayed for as long as a server that hangs has not failed for good.
	timer := time.NewTimer(patience - now.Sub(f.began))
	defer timer.Stop()
	select {
	case <-f.done:
		if f.err == nil {
			return f.list, false, nil
		}
		err = f.err
	case <-timer.C:
		err = &upstream.Failure{Kind: upstream.TimedOut, Slug: k.slug, Err: errNoList}
	case <-ctx.Done():
		err = &upstream.Failure{Kind: upstream.Canceled, Slug: k.slug, Err: ctx.Err()}
	}
	if list != nil {
		return list, true, nil
	}
	return nil, false, err
}

// start joins the fetch under way or begins one; nil with the last failure means that it is too early to try again.
func (k *keeper[V]) start(ctx context.Context, now time.Time) (*fetch[V], error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fetching != nil {
		return k.fetching, nil
	}
	if k.closed {
		return nil, &upstream.Failure{Kind: upstream.Canceled, Slug: k.slug, Err: context.Canceled}
	}
	if k.failure != nil && now.Before(k.notBefore) || k.renewal != nil && now.Before(k.ended.Add(lapseEvery)) {
		return nil, k.failure
	}
	return k.begin(ctx, now), nil
}

// begin begins a fetch. The caller holds mu.
func (k *keeper[V]) begin(ctx context.Context, now time.Time) *fetch[V] {
	k.dropRenewal()
	f := &fetch[V]{done: make(chan struct{}), began: now, owed: k.owed}
	k.fetching, k.owed = f, nothing
	detached := context.Background()
	if along, ok := ctx.Value(passedKey{}).(*passed); ok {
		detached = withPassed(detached, &passed{hops: along.hops})
	}
	if k.p.config.Tracer != nil {
		cause := trace.From(ctx)
		k.p.goroutines.Go(func() { k.runTraced(detached, cause, f) })
	} else {
		k.p.goroutines.Go(func() { k.run(detached, f) })
	}
	return f
}

// refresh fetches in the background because somebody named a thing that the list does not have; it says nothing and takes no time, so that nothing can be learned from it.
func (k *keeper[V]) refresh() {
	now := k.p.now()
	k.mu.Lock()
	early := now.Sub(k.eager) < eagerEvery
	if !early {
		k.eager = now
	}
	k.mu.Unlock()
	if !early {
		k.start(context.Background(), now)
	}
}

// wantsAccount says that the server refused to show its list to whoever has no account.
func (k *keeper[V]) wantsAccount() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	var f *upstream.Failure
	return errors.As(k.failure, &f) && f.Kind == upstream.Unauthorized
}

// forgive ends a penalty: an admin has changed something.
func (k *keeper[V]) forgive() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.failure, k.penalty, k.notBefore = nil, 0, time.Time{}
	if k.renewal != nil {
		k.renew()
	}
}

// run fetches once, on nobody's time but its own.
func (k *keeper[V]) run(ctx context.Context, f *fetch[V]) {
	ctx, cancel := context.WithTimeout(ctx, fetchDeadline)
	defer cancel()
	defer context.AfterFunc(k.p.background, cancel)()
	f.list, f.ttl, f.err = k.fetch(ctx)
	k.settle(f)
	close(f.done)
}

// settle publishes what a fetch brought.
func (k *keeper[V]) settle(f *fetch[V]) {
	now := k.p.now()
	if f.err != nil {
		k.failed(f, now)
		return
	}
	k.mu.Lock()
	have := &kept[V]{list: f.list, expires: now.Add(lifetime(f.ttl))}
	if k.owed == surely {
		have.expires = now
	}
	before := k.current.Swap(have)
	k.fetching, k.ended, k.failure, k.penalty = nil, now, nil, 0
	k.renew()
	k.mu.Unlock()
	var old *V
	if before != nil {
		old = before.list
	}
	k.took(old, f.list)
}

// failed notes a failure. What was owed still is.
func (k *keeper[V]) failed(f *fetch[V], now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.fetching, k.ended, k.failure = nil, now, f.err
	k.penalty = min(max(2*k.penalty, penaltyFor(f.err)), maxPenalty)
	k.notBefore = now.Add(k.penalty)
	if k.owed = max(k.owed, f.owed); k.current.Load() == nil {
		k.owed = nothing // the next fetch will be the first
	}
	k.renew()
	k.tellAge(now)
	k.p.log.Warn("the "+k.what+" of a server cannot be listed", "server", k.slug, "error", f.err, "next_try_in", k.penalty)
}

func penaltyFor(err error) time.Duration {
	var failure *upstream.Failure
	if errors.As(err, &failure) && failure.Kind == upstream.TimedOut {
		return slowPenalty
	}
	return firstPenalty
}

// tellAge says how much older the list is than it should be.
func (k *keeper[V]) tellAge(now time.Time) {
	if have := k.current.Load(); have != nil && k.late != nil {
		k.late(have.list, now.Sub(have.expires))
	}
}

// close lets no fetch begin any more.
func (k *keeper[V]) close() {
	k.mu.Lock()
	k.closed = true
	k.dropRenewal()
	k.mu.Unlock()
}

// lifetime bounds what a server says about its list; a negative ttl means that it says nothing.
func lifetime(ttl time.Duration) time.Duration {
	if ttl < 0 {
		return defaultTTL
	}
	return min(max(ttl, minTTL), maxTTL)
}
