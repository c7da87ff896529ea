package upstream

import (
	"sync"
	"sync/atomic"
	"time"
)

// clock ends an exchange that takes too long. It is one timer that looks, when it fires, whether something has happened meanwhile; so that what happens costs no more than noting the time.
type clock struct {
	// Fixed by start.
	life  *life         // what it ends
	call  time.Duration // without a message
	idle  time.Duration // without a byte, once streaming
	timer *time.Timer

	begun   time.Time
	message atomic.Int64 // when the last message came, since begun
	bytes   atomic.Int64 // when the last byte of a stream came, since begun; negative: no stream

	mu    sync.Mutex    // guards what follows
	total time.Duration // when it has to be over, since begun; moves on by the time that it was held
	holds int           // reasons why the server is not waited for at present
	since time.Duration // when the first of them came, since begun
	spent time.Duration // how long it was held before that
}

// maxHeld is how long a call may be held in all. Each question has a shorter limit, of whoever asks it.
const maxHeld = time.Hour

func (k *clock) start(life *life, call, idle, total time.Duration) {
	k.life, k.call, k.idle, k.total, k.begun = life, call, idle, total, time.Now()
	k.bytes.Store(-1)
	k.timer = time.AfterFunc(min(call, total), k.look)
}

// streaming says that from now on bytes must come.
func (k *clock) streaming() {
	k.bytes.Store(int64(time.Since(k.begun)))
	if k.idle < k.call {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.timer.Reset(min(k.idle, k.total-time.Since(k.begun)))
	}
}

// sawBytes notes that something came, be it a comment. Of a body that is no stream it means nothing: one byte a second would keep it alive.
func (k *clock) sawBytes() {
	if k.bytes.Load() >= 0 {
		k.bytes.Store(int64(time.Since(k.begun)))
	}
}

func (k *clock) sawMessage() { k.message.Store(int64(time.Since(k.begun))) }

// sawEvent is sawMessage for a message on the exchange's own stream: it came with the bytes that came last, whose time is known. A burst of events is read at once.
func (k *clock) sawEvent() {
	switch bytes := k.bytes.Load(); {
	case bytes < 0:
		k.sawMessage()
	case bytes > k.message.Load():
		k.message.Store(bytes)
	}
}

// hold says that it is not the server that keeps us waiting; resume says that it is again.
func (k *clock) hold() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.holds++; k.holds == 1 {
		k.since = time.Since(k.begun)
	}
}

func (k *clock) resume() {
	k.sawMessage()
	k.sawBytes()
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.holds--; k.holds == 0 {
		held := time.Since(k.begun) - k.since
		k.total, k.spent = k.total+held, k.spent+held
	}
}

func (k *clock) stop() { k.timer.Stop() }

// look ends the exchange if a limit has passed, and else comes back when the next one may.
func (k *clock) look() {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Since(k.begun)
	if k.holds > 0 {
		left := maxHeld - k.spent - (now - k.since)
		k.again(min(left, k.call), left, errHeld)
		return
	}
	left, cause := k.total-now, errTotal
	if l := k.call - (now - time.Duration(k.message.Load())); l < left {
		left, cause = l, errSilent
	}
	if bytes := k.bytes.Load(); bytes >= 0 {
		if l := k.idle - (now - time.Duration(bytes)); l < left {
			left, cause = l, errIdle
		}
	}
	k.again(left, left, cause)
}

// again comes back after some time, or ends the exchange if none is left.
func (k *clock) again(after, left time.Duration, cause error) {
	if left <= 0 {
		k.life.end(cause)
		return
	}
	k.timer.Reset(after)
}
