package rig

import (
	"context"
	"fmt"
	"strings"
	"sync"
)

// maxOutput bounds what is kept of a process that prints without end; the beginning is kept, where addresses are.
const maxOutput = 64 << 20

// Output collects what a process prints and lets others wait for it.
type Output struct {
	mu      sync.Mutex // guards what follows
	text    strings.Builder
	changed chan struct{} // closed, and replaced, with each write
}

func newOutput() *Output { return &Output{changed: make(chan struct{})} }

// Write keeps p.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.text.Len() < maxOutput {
		o.text.Write(p)
	}
	close(o.changed)
	o.changed = make(chan struct{})
	return len(p), nil
}

// String is everything so far.
func (o *Output) String() string {
	text, _ := o.now()
	return text
}

func (o *Output) now() (string, <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String(), o.changed
}

// await waits until find finds something in the output, or until dead is closed.
func (o *Output) await(ctx context.Context, dead <-chan struct{}, find func(text string) bool) error {
	for {
		text, changed := o.now()
		if find(text) {
			return nil
		}
		select {
		case <-changed:
		case <-dead:
			if text, _ := o.now(); !find(text) {
				return fmt.Errorf("it ended before it said so")
			}
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// value finds a whole line "name: value".
func value(text, name string) (string, bool) {
	for line := range strings.Lines(text) {
		if found, ok := strings.CutPrefix(line, name+": "); ok && strings.HasSuffix(found, "\n") {
			return strings.TrimSpace(found), true
		}
	}
	return "", false
}
