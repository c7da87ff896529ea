package kvtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"mcpsidecar/configstore/kv"
)

func endedContext(t *testing.T, engine kv.Engine) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	mustNotRun := func(kv.Tx) error { t.Error("the closure ran"); return nil }
	for name, err := range map[string]error{
		"update": engine.Update(ctx, mustNotRun), "view": engine.View(ctx, mustNotRun), "backup": engine.Backup(ctx, io.Discard),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func waitingUpdate(t *testing.T, engine kv.Engine) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	update(t, engine, func(tx kv.Tx) error {
		done := make(chan error)
		go func() { done <- engine.Update(ctx, func(kv.Tx) error { t.Error("the closure ran"); return nil }) }()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("the waiting update: %v", err)
		}
		return nil
	})
}

func watch(t *testing.T, engine kv.Engine) {
	first, second := engine.Watch(t.Context()), engine.Watch(t.Context())
	quiet := func(when string) {
		t.Helper()
		select {
		case <-first:
			t.Errorf("a value came %s", when)
		default:
		}
	}
	quiet("before any commit")
	engine.Update(t.Context(), func(kv.Tx) error { return errors.New("no") })
	engine.View(t.Context(), func(kv.Tx) error { return nil })
	quiet("after a failed update")
	for i := range 20 { // nobody reads meanwhile: nothing blocks
		update(t, engine, put("k", fmt.Sprint(i)))
	}
	<-first
	<-second
	update(t, engine, put("k", "more"))
	<-first
	<-second
}

func watchesEnd(t *testing.T, engine kv.Engine) {
	ctx, cancel := context.WithCancel(t.Context())
	byContext, byEngine := engine.Watch(ctx), engine.Watch(t.Context())
	cancel()
	drained(byContext)
	drained(engine.Watch(ctx))
	update(t, engine, put("k", "v"))
	if _, open := <-byEngine; !open {
		t.Error("one watch ended with the context of another")
	}
	if err := engine.Close(); err != nil {
		t.Fatal(err)
	}
	drained(byEngine)
	drained(engine.Watch(t.Context()))
}

// drained returns when the channel is closed.
func drained(watch <-chan struct{}) {
	for range watch {
	}
}

func closing(t *testing.T, engine kv.Engine) {
	update(t, engine, put("k", "v"))
	inside, leave, done := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		done <- engine.View(t.Context(), func(tx kv.Tx) error {
			close(inside)
			<-leave
			_, _, err := tx.Get("k")
			return err
		})
	}()
	<-inside
	closed := make(chan error)
	go func() { closed <- engine.Close() }()
	close(leave)
	if err := <-done; err != nil {
		t.Errorf("the view that ran: %v", err)
	}
	if err := <-closed; err != nil {
		t.Errorf("closing: %v", err)
	}
	mustNotRun := func(kv.Tx) error { t.Error("the closure ran"); return nil }
	for name, err := range map[string]error{
		"update": engine.Update(t.Context(), mustNotRun), "view": engine.View(t.Context(), mustNotRun), "backup": engine.Backup(t.Context(), io.Discard),
	} {
		if !errors.Is(err, kv.ErrClosed) {
			t.Errorf("%s after closing: %v", name, err)
		}
	}
	if err := engine.Close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
}

// gate is a writer that tells when it was first called and then waits.
type gate struct {
	bytes.Buffer
	once          sync.Once
	reached, open chan struct{}
}

func (g *gate) Write(p []byte) (int, error) {
	g.once.Do(func() { close(g.reached); <-g.open })
	return g.Buffer.Write(p)
}

func backup(t *testing.T, engine kv.Engine) {
	update(t, engine, put("k", strings.Repeat("before", 1000)))
	slow := &gate{reached: make(chan struct{}), open: make(chan struct{})}
	done := make(chan error)
	go func() { done <- engine.Backup(t.Context(), slow) }()
	<-slow.reached
	for i := range 50 {
		update(t, engine, put(fmt.Sprintf("k%d", i), strings.Repeat("after", 10_000)))
	}
	close(slow.open)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if slow.Len() == 0 {
		t.Error("the backup is empty")
	}
	refusal := errors.New("the line is dead")
	if err := engine.Backup(t.Context(), failing{refusal}); !errors.Is(err, refusal) {
		t.Errorf("a backup to a dead line: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func reopening(t *testing.T, open func() (kv.Engine, error)) {
	var want []string
	last := uint64(0)
	for i := range 5 {
		engine := opened(t, open)
		expect(t, engine, want...)
		pair := []string{fmt.Sprintf("k%d", i), "v"}
		update(t, engine, put(pair...))
		want = append(want, strings.Join(pair, "="))
		engine.View(t.Context(), func(tx kv.Tx) error {
			if tx.Revision() <= last {
				t.Errorf("revision %d follows %d", tx.Revision(), last)
			}
			last = tx.Revision()
			return nil
		})
		if err := engine.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
