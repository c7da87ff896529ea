package proxy

import (
	"context"
	"time"
)

// This file is how a list is fetched anew that nobody asks for: the server has changed it, or may have while nobody listened, and clients that listen are to hear of that.

// debt is what a keeper knows of changes that no fetch has seen which began since.
type debt uint8

const (
	nothing debt = iota
	perhaps      // the server could not tell: the list is good until it is found to be another
	surely       // the server says so: the list is too old
)

// lapse makes the list too old at once and fetches it anew: the server says that it is another.
func (k *keeper[V]) lapse() { k.owe(surely) }

// doubt fetches the list anew: the server may have said that it is another while nobody listened.
func (k *keeper[V]) doubt() { k.owe(perhaps) }

// owe has a list fetched anew. One that nobody has asked for yet stays unknown.
func (k *keeper[V]) owe(what debt) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.current.Load() == nil && k.fetching == nil {
		return
	}
	k.owed = max(k.owed, what)
	if what == surely {
		k.expire(k.p.now())
	}
	if k.fetching == nil {
		k.failure, k.penalty, k.notBefore = nil, 0, time.Time{} // it lives
		k.renew()
	}
}

// expire makes the list that there is too old. The caller holds mu.
func (k *keeper[V]) expire(now time.Time) {
	if have := k.current.Load(); have != nil && now.Before(have.expires) {
		k.current.Store(&kept[V]{list: have.list, expires: now})
	}
}

// renew fetches what is owed: at once, unless the last fetch ended a moment ago or has failed. The caller holds mu.
func (k *keeper[V]) renew() {
	if k.owed == nothing || k.fetching != nil || k.closed {
		return
	}
	k.dropRenewal()
	now := k.p.now()
	wait := k.earliest().Sub(now)
	if wait <= 0 {
		k.begin(context.Background(), now)
		return
	}
	ctx, cancel := context.WithCancel(k.p.background)
	k.renewal = cancel
	k.p.goroutines.Go(func() { k.renewAfter(ctx, wait) })
}

// earliest is when a list may be fetched anew that nobody asks for. The caller holds mu.
func (k *keeper[V]) earliest() time.Time {
	rested := k.ended.Add(lapseEvery)
	if k.failure != nil && k.notBefore.After(rested) {
		return k.notBefore
	}
	return rested
}

// renewAfter does so after a while, if anybody still wants to know.
func (k *keeper[V]) renewAfter(ctx context.Context, wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return
	}
	wanted := k.wanted == nil || k.wanted()
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case ctx.Err() != nil: // there was a fetch in the meantime, or there is to be none
	case wanted:
		k.begin(context.Background(), k.p.now())
	default:
		k.dropRenewal()
		k.expire(k.p.now()) // so that whoever asks next has it fetched
	}
}

// dropRenewal gives up the fetch that waits for its time. The caller holds mu.
func (k *keeper[V]) dropRenewal() {
	if k.renewal != nil {
		k.renewal()
		k.renewal = nil
	}
}
