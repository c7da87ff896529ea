package credential

import (
	"context"
	"sync"
)

// Locker gives locks by name to one holder at a time, across all replicas. A lock is a courtesy that keeps two replicas from asking twice; what must never happen is prevented by
// generations in the store, so a lock that is lost while it is held costs a request and no grant. Safe for concurrent use.
type Locker interface {
	// Lock waits for the lock. unlock is called once.
	Lock(ctx context.Context, name string) (unlock func(), err error)
}

// LocalLocker gives locks within this process: enough for one replica. The zero value is ready.
type LocalLocker struct {
	mu    sync.Mutex
	locks map[string]*localLock // mu guards; an entry lives while somebody holds it or waits for it
}

type localLock struct {
	token chan struct{} // holds one value while nobody holds the lock
	users int           // holder and waiters; LocalLocker.mu guards
}

// Lock waits for the lock or the context.
func (l *LocalLocker) Lock(ctx context.Context, name string) (func(), error) {
	l.mu.Lock()
	lock := l.locks[name]
	if lock == nil {
		lock = &localLock{token: make(chan struct{}, 1)}
		lock.token <- struct{}{}
		if l.locks == nil {
			l.locks = map[string]*localLock{}
		}
		l.locks[name] = lock
	}
	lock.users++
	l.mu.Unlock()
	select {
	case <-lock.token:
		return func() { lock.token <- struct{}{}; l.leave(name, lock) }, nil
	case <-ctx.Done():
		l.leave(name, lock)
		return nil, ctx.Err()
	}
}

func (l *LocalLocker) leave(name string, lock *localLock) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if lock.users--; lock.users == 0 {
		delete(l.locks, name)
	}
}
