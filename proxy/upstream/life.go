package upstream

import (
	"context"
	"slices"
	"sync"
)

// life is the context of an exchange. It has the values of another, and ends when it is told to and for the reason that it is told, which is its Err as well as its cause.
//
// It stands where context.WithCancelCause could, and does without the channel and the map that a call which nobody takes back never needs.
type life struct {
	context.Context // for its values; it never ends itself

	mu    sync.Mutex // guards what follows; held for moments
	cause error
	done  chan struct{} // made when it is asked for
	after []*epilogue
	first epilogue // the usual one, in place
	room  [1]*epilogue
}

// epilogue is what is to be done at the end.
type epilogue struct {
	life *life
	do   func()
	used bool // of first, which serves once: a stop of long ago must not meet another
}

// begin gives it the values of a context, whose end it does not follow.
func (l *life) begin(ctx context.Context) { l.Context = context.WithoutCancel(ctx) }

// end ends it; what comes first counts.
func (l *life) end(cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cause != nil {
		return
	}
	l.cause = cause
	if l.done != nil {
		close(l.done)
	}
	for _, e := range l.after {
		go e.do()
	}
	l.after = nil
}

func (l *life) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cause
}

func (l *life) Done() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done == nil {
		l.done = make(chan struct{})
		if l.cause != nil {
			close(l.done)
		}
	}
	return l.done
}

// AfterFunc is what [context.AfterFunc] and contexts derived of this one call.
func (l *life) AfterFunc(do func()) (stop func() bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cause != nil {
		go do()
		return func() bool { return false }
	}
	e := &l.first
	if e.used {
		e = new(epilogue)
	}
	*e = epilogue{life: l, do: do, used: true}
	if l.after == nil {
		l.after = l.room[:0]
	}
	l.after = append(l.after, e)
	return e.stop
}

// stop says whether it kept the epilogue from being done.
func (e *epilogue) stop() bool {
	l := e.life
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.Index(l.after, e)
	if i < 0 {
		return false
	}
	l.after = slices.Delete(l.after, i, i+1)
	return true
}
