package boltkv

import (
	"context"
	"sync"
)

// feed tells watchers that something was committed. A channel holds one value at most: who is slow gets several commits as one.
type feed struct {
	mu       sync.Mutex
	watchers map[chan struct{}]func() bool // mu guards; the value stops the watch on the context
	closed   bool                          // mu guards
}

func (f *feed) subscribe(ctx context.Context) <-chan struct{} {
	watcher := make(chan struct{}, 1)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed || ctx.Err() != nil {
		close(watcher)
		return watcher
	}
	if f.watchers == nil {
		f.watchers = map[chan struct{}]func() bool{}
	}
	f.watchers[watcher] = context.AfterFunc(ctx, func() { f.drop(watcher) })
	return watcher
}

func (f *feed) tell() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for watcher := range f.watchers {
		select {
		case watcher <- struct{}{}:
		default: // a value is waiting there already
		}
	}
}

func (f *feed) drop(watcher chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, there := f.watchers[watcher]; there {
		delete(f.watchers, watcher)
		close(watcher)
	}
}

func (f *feed) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	for watcher, stop := range f.watchers {
		stop()
		delete(f.watchers, watcher)
		close(watcher)
	}
}
