package kvtest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"mcpsidecar/configstore/kv"
)

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
