package kvtest

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"mcpsidecar/configstore/kv"
)

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
