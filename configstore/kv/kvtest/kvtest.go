// Package kvtest is the contract of a kv engine, as tests. An engine's own test calls Run.
//
// It owns what every engine must do; it deliberately does not know how one stores anything. Tests of files, locks and damage are the engine's own.
package kvtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"mcpsidecar/configstore/kv"
)

// Place makes an empty place for an engine. The function it returns opens an engine there; called again, after the engine was closed, it opens one on the same state.
type Place func(t testing.TB) (open func() (kv.Engine, error))

// Run holds an engine against the contract.
func Run(t *testing.T, place Place) {
	for _, c := range []struct {
		name string
		test func(*testing.T, kv.Engine)
	}{
		{"put, get and delete", putGetDelete},
		{"keys are judged", keysAreJudged},
		{"keys are in the order of their bytes", order},
		{"scan takes a prefix and stops when told", scan},
		{"values are copies", copies},
		{"a failed update changes nothing", failedUpdate},
		{"a panic changes nothing and blocks nobody", panicking},
		{"a view cannot write", readOnly},
		{"a view sees one state", isolation},
		{"an update sees its own writes", ownWrites},
		{"concurrent updates lose nothing", contended},
		{"the revision grows with each commit", revision},
		{"a context that ended stops work", endedContext},
		{"a waiting update can be given up", waitingUpdate},
		{"watch", watch},
		{"watches end", watchesEnd},
		{"close", closing},
		{"a backup is written while others write", backup},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, opened(t, place(t))) })
	}
	t.Run("what was committed is there after reopening", func(t *testing.T) { reopening(t, place(t)) })
}

func opened(t testing.TB, open func() (kv.Engine, error)) kv.Engine {
	t.Helper()
	engine, err := open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { engine.Close() })
	return engine
}

func update(t testing.TB, engine kv.Engine, change func(kv.Tx) error) {
	t.Helper()
	if err := engine.Update(t.Context(), change); err != nil {
		t.Fatal(err)
	}
}

// put returns a closure that puts keys and values in turn.
func put(pairs ...string) func(kv.Tx) error {
	return func(tx kv.Tx) error {
		for i := 0; i < len(pairs); i += 2 {
			if err := tx.Put(pairs[i], []byte(pairs[i+1])); err != nil {
				return err
			}
		}
		return nil
	}
}

// all reads everything under a prefix as "key=value".
func all(t testing.TB, engine kv.Engine, prefix string) []string {
	t.Helper()
	var found []string
	err := engine.View(t.Context(), func(tx kv.Tx) error {
		found = nil
		return tx.Scan(prefix, func(key string, value []byte) bool {
			found = append(found, key+"="+string(value))
			return true
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func expect(t testing.TB, engine kv.Engine, want ...string) {
	t.Helper()
	if got := all(t, engine, ""); !slices.Equal(got, want) {
		t.Errorf("the store holds %q, want %q", got, want)
	}
}

func putGetDelete(t *testing.T, engine kv.Engine) {
	if engine.Name() == "" {
		t.Error("it has no name")
	}
	update(t, engine, put("a", "1", "empty", ""))
	update(t, engine, put("a", "2", "b", strings.Repeat("long", 20_000)))
	err := engine.View(t.Context(), func(tx kv.Tx) error {
		for key, want := range map[string]string{"a": "2", "empty": "", "b": strings.Repeat("long", 20_000)} {
			value, found, err := tx.Get(key)
			if err != nil || !found || value == nil || string(value) != want {
				t.Errorf("%s: %d bytes, found %t, %v", key, len(value), found, err)
			}
		}
		for _, absent := range []string{"A", "aa", "e", "zz", "empt", "empty\x00"} {
			if value, found, err := tx.Get(absent); err != nil || found || value != nil {
				t.Errorf("%q: %q, found %t, %v", absent, value, found, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	update(t, engine, func(tx kv.Tx) error {
		return errors.Join(tx.Delete("b"), tx.Delete("empty"), tx.Delete("never there"))
	})
	expect(t, engine, "a=2")
}

func keysAreJudged(t *testing.T, engine kv.Engine) {
	for _, key := range []string{"", strings.Repeat("k", kv.MaxKey+1)} {
		err := engine.Update(t.Context(), func(tx kv.Tx) error {
			if _, _, err := tx.Get(key); !errors.Is(err, kv.ErrBadKey) {
				t.Errorf("get of a key of %d bytes: %v", len(key), err)
			}
			if err := tx.Delete(key); !errors.Is(err, kv.ErrBadKey) {
				t.Errorf("delete of a key of %d bytes: %v", len(key), err)
			}
			return tx.Put(key, nil)
		})
		if !errors.Is(err, kv.ErrBadKey) {
			t.Errorf("put of a key of %d bytes: %v", len(key), err)
		}
	}
	longest := strings.Repeat("k", kv.MaxKey)
	update(t, engine, put(longest, "v"))
	expect(t, engine, longest+"=v")
}

func order(t *testing.T, engine kv.Engine) {
	keys := []string{"\x00", "\x01", "A", "B", "a", "a/", "a/b", "a0", "b", "\x7f", "é", "\xff", "\xff\xff"}
	slices.Sort(keys)
	backwards := slices.Clone(keys)
	slices.Reverse(backwards)
	update(t, engine, func(tx kv.Tx) error {
		for _, key := range backwards {
			if err := tx.Put(key, []byte("v")); err != nil {
				return err
			}
		}
		return nil
	})
	var want []string
	for _, key := range keys {
		want = append(want, key+"=v")
	}
	expect(t, engine, want...)
}

func scan(t *testing.T, engine kv.Engine) {
	update(t, engine, put("a/1", "x", "a/2", "x", "a/3", "x", "a0", "x", "b/1", "x", "\xff\xff", "x", "\xff\xff\x01", "x"))
	for prefix, want := range map[string][]string{
		"a/":       {"a/1=x", "a/2=x", "a/3=x"},
		"a":        {"a/1=x", "a/2=x", "a/3=x", "a0=x"},
		"a/2":      {"a/2=x"},
		"c":        nil,
		"\xff\xff": {"\xff\xff=x", "\xff\xff\x01=x"},
	} {
		if got := all(t, engine, prefix); !slices.Equal(got, want) {
			t.Errorf("scan of %q: %q, want %q", prefix, got, want)
		}
	}
	var seen []string
	err := engine.View(t.Context(), func(tx kv.Tx) error {
		return tx.Scan("a/", func(key string, _ []byte) bool {
			seen = append(seen, key)
			return len(seen) < 2
		})
	})
	if err != nil || !slices.Equal(seen, []string{"a/1", "a/2"}) {
		t.Errorf("a scan that was told to stop saw %q, %v", seen, err)
	}
}

func copies(t *testing.T, engine kv.Engine) {
	value := []byte("value")
	update(t, engine, func(tx kv.Tx) error {
		err := tx.Put("k", value)
		value[0] = 'X'
		return err
	})
	var kept, scanned []byte
	err := engine.View(t.Context(), func(tx kv.Tx) error {
		kept, _, _ = tx.Get("k")
		return tx.Scan("", func(_ string, v []byte) bool { scanned = v; return true })
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 { // whatever the engine reuses, it reuses by now
		update(t, engine, put("k", strings.Repeat("other", i*100)))
	}
	if string(kept) != "value" || string(scanned) != "value" {
		t.Errorf("the values changed after the transaction: %q, %q", kept, scanned)
	}
	kept[0], scanned[0] = 'Y', 'Y' // and they may be written to
}

func failedUpdate(t *testing.T, engine kv.Engine) {
	update(t, engine, put("a", "1", "b", "1"))
	refusal := errors.New("no")
	err := engine.Update(t.Context(), func(tx kv.Tx) error {
		if err := errors.Join(tx.Put("a", []byte("2")), tx.Put("c", []byte("2")), tx.Delete("b")); err != nil {
			t.Error(err)
		}
		return refusal
	})
	if err != refusal {
		t.Errorf("the closure's error came back as %v", err)
	}
	expect(t, engine, "a=1", "b=1")
	if err := engine.View(t.Context(), func(kv.Tx) error { return refusal }); err != refusal {
		t.Errorf("a view's error came back as %v", err)
	}
}

func panicking(t *testing.T, engine kv.Engine) {
	update(t, engine, put("a", "1"))
	for _, run := range []func(func(kv.Tx) error) error{
		func(f func(kv.Tx) error) error { return engine.Update(t.Context(), f) },
		func(f func(kv.Tx) error) error { return engine.View(t.Context(), f) },
	} {
		func() {
			defer func() {
				if r := recover(); r != "mistake" {
					t.Errorf("the panic came back as %v", r)
				}
			}()
			run(func(tx kv.Tx) error {
				tx.Put("a", []byte("2"))
				panic("mistake")
			})
		}()
	}
	expect(t, engine, "a=1")
	update(t, engine, put("a", "3"))
	expect(t, engine, "a=3")
}

func readOnly(t *testing.T, engine kv.Engine) {
	update(t, engine, put("a", "1"))
	err := engine.View(t.Context(), func(tx kv.Tx) error {
		if err := tx.Put("a", []byte("2")); !errors.Is(err, kv.ErrReadOnly) {
			t.Errorf("put: %v", err)
		}
		if err := tx.Delete("a"); !errors.Is(err, kv.ErrReadOnly) {
			t.Errorf("delete: %v", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	expect(t, engine, "a=1")
}

func isolation(t *testing.T, engine kv.Engine) {
	update(t, engine, put("a", "1"))
	err := engine.View(t.Context(), func(tx kv.Tx) error {
		done := make(chan error)
		go func() { done <- engine.Update(t.Context(), put("a", "2", "b", "2")) }()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if value, _, _ := tx.Get("a"); string(value) != "1" {
			t.Errorf("the view sees %q, which was written after it began", value)
		}
		if _, found, _ := tx.Get("b"); found {
			t.Error("the view sees a key that was written after it began")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	expect(t, engine, "a=2", "b=2")
}

func ownWrites(t *testing.T, engine kv.Engine) {
	update(t, engine, func(tx kv.Tx) error {
		tx.Put("a", []byte("1"))
		tx.Put("b", []byte("1"))
		tx.Put("a", []byte("2"))
		tx.Delete("b")
		if value, found, err := tx.Get("a"); string(value) != "2" || !found || err != nil {
			t.Errorf("a: %q, %t, %v", value, found, err)
		}
		if _, found, _ := tx.Get("b"); found {
			t.Error("b is still there")
		}
		var keys []string
		tx.Scan("", func(key string, _ []byte) bool { keys = append(keys, key); return true })
		if !slices.Equal(keys, []string{"a"}) {
			t.Errorf("a scan sees %q", keys)
		}
		return nil
	})
	expect(t, engine, "a=2")
}

func contended(t *testing.T, engine kv.Engine) {
	const workers, rounds = 100, 5
	var running sync.WaitGroup
	for w := range workers {
		running.Go(func() {
			for range rounds {
				err := engine.Update(t.Context(), func(tx kv.Tx) error {
					count := 0
					if value, found, err := tx.Get("count"); err != nil {
						return err
					} else if found {
						fmt.Sscan(string(value), &count)
					}
					return put("count", fmt.Sprint(count+1), fmt.Sprintf("worker/%03d", w), "x")(tx)
				})
				if err != nil {
					t.Error(err)
				}
				err = engine.View(t.Context(), func(tx kv.Tx) error { _, _, err := tx.Get("count"); return err })
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	running.Wait()
	if got := all(t, engine, "count"); !slices.Equal(got, []string{fmt.Sprintf("count=%d", workers*rounds)}) {
		t.Errorf("after %d increments: %q", workers*rounds, got)
	}
	if got := len(all(t, engine, "worker/")); got != workers {
		t.Errorf("%d of %d workers left their mark", got, workers)
	}
}

func revision(t *testing.T, engine kv.Engine) {
	at := func() (r uint64) {
		err := engine.View(t.Context(), func(tx kv.Tx) error { r = tx.Revision(); return nil })
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	before := at()
	for i := range 5 {
		update(t, engine, func(tx kv.Tx) error {
			if tx.Revision() != before {
				t.Errorf("an update begins at revision %d, want %d", tx.Revision(), before)
			}
			return tx.Put("k", []byte{byte(i)})
		})
		after := at()
		if after <= before {
			t.Errorf("revision %d follows %d", after, before)
		}
		before = after
	}
	if engine.Update(t.Context(), func(kv.Tx) error { return errors.New("no") }); at() != before {
		t.Error("a failed update changed the revision")
	}
}

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
