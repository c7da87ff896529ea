package proxy

import (
	"context"
	"sync"
	"sync/atomic"
)

// work counts the requests under way, so that a drain can wait for them.
type work struct {
	count    atomic.Int64
	draining atomic.Bool
	idle     chan struct{} // closed when draining and nothing is under way
	once     sync.Once
}

func newWork() *work { return &work{idle: make(chan struct{})} }

// begin counts one request in; false means that no new work is taken.
func (w *work) begin() bool {
	w.count.Add(1)
	if w.draining.Load() {
		w.end()
		return false
	}
	return true
}

// hold counts more of a request in that was counted in already.
func (w *work) hold() { w.count.Add(1) }

func (w *work) end() {
	if w.count.Add(-1) == 0 && w.draining.Load() {
		w.once.Do(func() { close(w.idle) })
	}
}

func (w *work) drain() {
	w.draining.Store(true)
	if w.count.Load() == 0 {
		w.once.Do(func() { close(w.idle) })
	}
}

func (w *work) wait(ctx context.Context) {
	select {
	case <-w.idle:
	case <-ctx.Done():
	}
}

// busy bounds how many requests of one user are under way, so that one caller cannot take everything.
type busy struct {
	limit  int64
	counts sync.Map // user name → *atomic.Int64; one entry per user that ever called, which the deployment bounds
}

func newBusy(limit int64) *busy { return &busy{limit: limit} }

// enter counts one request of the user in; nil means that there are too many. Whoever entered leaves by subtracting one from the counter.
func (b *busy) enter(user string) (counter *atomic.Int64) { return b.enterWith(user, 1) }

// enterWith is enter for what counts as more than one.
func (b *busy) enterWith(user string, weight int64) (counter *atomic.Int64) {
	value, ok := b.counts.Load(user)
	if !ok {
		value, _ = b.counts.LoadOrStore(user, new(atomic.Int64))
	}
	count := value.(*atomic.Int64)
	if count.Add(weight) > b.limit {
		count.Add(-weight)
		return nil
	}
	return count
}

// leave counts one of the user's out.
func (b *busy) leave(user string) {
	if value, ok := b.counts.Load(user); ok {
		value.(*atomic.Int64).Add(-1)
	}
}
