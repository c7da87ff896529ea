package upstream

import (
	"context"
)

// flight is work that several callers wait for and that none of them can cancel for the others.
type flight[T any] struct {
	done chan struct{} // closed when value and failure are set
	// Written before done is closed.
	value   T
	failure *Failure
}

func newFlight[T any]() *flight[T] { return &flight[T]{done: make(chan struct{})} }

func (f *flight[T]) land(value T, failure *Failure) {
	f.value, f.failure = value, failure
	close(f.done)
}

// wait returns what the flight found. ok is false if ctx ended first.
func (f *flight[T]) wait(ctx context.Context) (value T, failure *Failure, ok bool) {
	select {
	case <-f.done:
		return f.value, f.failure, true
	case <-ctx.Done():
		return value, nil, false
	}
}
