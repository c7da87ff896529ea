package discovery

import (
	"context"
	"sync"
	"time"
)

// maxMemory is how many servers and challenges are remembered. One that falls out is asked for again.
const maxMemory = 1024

// memory keeps what was found for a while, and has no more than one discovery under way for one server.
type memory struct {
	// fixed at creation
	good   time.Duration // how long what was found is believed
	bad    time.Duration // how long a failure is
	now    func() time.Time
	ctx    context.Context // of what is under way
	cancel context.CancelFunc

	mu      sync.Mutex
	entries map[Server]*entry
	closed  bool
	work    sync.WaitGroup
}

// entry is one discovery, under way or done.
type entry struct {
	done chan struct{} // closed when the rest is there

	metadata Metadata
	failure  *Failure
	until    time.Time
}

func newMemory(good, bad time.Duration, now func() time.Time) *memory {
	m := &memory{good: good, bad: bad, now: now, entries: make(map[Server]*entry)}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	return m
}

// result is what was found. The entry must be done.
func (e *entry) result() (Metadata, error) {
	if e.failure != nil {
		return Metadata{}, e.failure
	}
	return e.metadata.clone(), nil
}

func (e *entry) isDone() bool {
	select {
	case <-e.done:
		return true
	default:
		return false
	}
}

// recall returns what is known of a server or is just being found out, or else begins to find out. With anew, what is known does not count.
func (m *memory) recall(server Server, anew bool, find func(context.Context) (Metadata, *Failure)) *entry {
	m.mu.Lock()
	defer m.mu.Unlock()
	if known, ok := m.entries[server]; ok && (!known.isDone() || !anew && m.now().Before(known.until)) {
		return known
	}
	begun := &entry{done: make(chan struct{})}
	if m.closed {
		begun.failure = fail(stepConfig, server.URL, errClosed)
		close(begun.done)
		return begun
	}
	m.makeRoom()
	m.entries[server] = begun
	m.work.Go(func() { m.finish(begun, find) })
	return begun
}

func (m *memory) finish(e *entry, find func(context.Context) (Metadata, *Failure)) {
	defer close(e.done)
	e.metadata, e.failure = find(m.ctx)
	e.until = m.now().Add(m.good)
	if e.failure != nil {
		e.until = m.now().Add(m.bad)
	}
}

// makeRoom forgets what is no longer believed, and if that is not enough something else that is not under way.
func (m *memory) makeRoom() {
	if len(m.entries) < maxMemory {
		return
	}
	now := m.now()
	for server, e := range m.entries {
		if e.isDone() && !now.Before(e.until) {
			delete(m.entries, server)
		}
	}
	for server, e := range m.entries {
		if len(m.entries) < maxMemory {
			return
		}
		if e.isDone() {
			delete(m.entries, server)
		}
	}
}

// close ends what is under way and waits for it.
func (m *memory) close() {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	m.cancel()
	m.work.Wait()
}
