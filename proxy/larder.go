package proxy

import (
	"container/list"
	"sync"
	"sync/atomic"
)

// larder bounds the events that are kept in many shelves: those of one user, or all. What is given up for others is what has been ready for its client the longest.
type larder struct {
	limit int64 // fixed at creation
	bytes atomic.Int64

	mu    sync.Mutex // guards spare; taken with a shelf's mu held, and nothing is waited for under it
	spare list.List  // of the feeds that could be given up, the oldest first
}

// larders are those of each user; one per user that ever called, which the deployment bounds.
type larders struct {
	limit int64 // fixed at creation
	users sync.Map
}

func (l *larders) of(user string) *larder {
	value, ok := l.users.Load(user)
	if !ok {
		value, _ = l.users.LoadOrStore(user, &larder{limit: l.limit})
	}
	return value.(*larder)
}

// shares are the larders that a shelf takes from: its user's, and everybody's.
type shares [2]*larder

const (
	ofUser = iota
	ofAll
)

func (s *shares) add(bytes int64) {
	for _, l := range s {
		l.bytes.Add(bytes)
	}
}

// fit says whether there is room for so many bytes.
func (s *shares) fit(bytes int64) bool {
	return s[ofUser].fits(bytes) && s[ofAll].fits(bytes)
}

func (l *larder) fits(bytes int64) bool { return l.bytes.Load()+bytes <= l.limit }

// place notes whether a feed could be given up now. The caller holds the mu of its shelf.
func (s *shares) place(f *feed) {
	ready := f.over && !f.carried && len(f.text) > 0
	for i, l := range s {
		if ready == (f.spare[i] != nil) {
			continue
		}
		l.mu.Lock()
		if ready {
			f.spare[i] = l.spare.PushBack(f)
		} else {
			l.spare.Remove(f.spare[i])
			f.spare[i] = nil
		}
		l.mu.Unlock()
	}
}

// makeRoom gives up the oldest feed that anyone could do without for one that needs so many bytes: of the same user, and if all together have too much, of others. The caller holds the mu of the shelf that asks.
func (s *shares) makeRoom(asking *shelf, bytes int64) bool {
	return s[ofUser].dropOldest(asking) || !s[ofAll].fits(bytes) && s[ofAll].dropOldest(asking)
}

// dropOldest gives up the oldest feed. A shelf that somebody is busy with is passed over, since two that wait for each other would wait for ever.
func (l *larder) dropOldest(asking *shelf) bool {
	f := l.oldest(asking)
	if f == nil {
		return false
	}
	f.shelf.drop(f)
	if f.shelf != asking {
		f.shelf.mu.Unlock()
	}
	return true
}

// oldest is the oldest feed, with the mu of its shelf held; nil: there is none.
func (l *larder) oldest(asking *shelf) *feed {
	l.mu.Lock()
	defer l.mu.Unlock()
	for e := l.spare.Front(); e != nil; e = e.Next() {
		if f := e.Value.(*feed); f.shelf == asking || f.shelf.mu.TryLock() {
			return f
		}
	}
	return nil
}
