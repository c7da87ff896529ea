package boltkv_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mcpsidecar/configstore/kv"
	"mcpsidecar/configstore/kv/boltkv"
)

const page = 4096

// rootPage reads from the newer header page where the tree begins.
func rootPage(file []byte) uint64 {
	first, second := file[16:], file[page+16:]
	if binary.NativeEndian.Uint64(first[48:]) < binary.NativeEndian.Uint64(second[48:]) {
		first = second
	}
	return binary.NativeEndian.Uint64(first[16:])
}

func TestDamagedFilesAreRefusedUntouched(t *testing.T) {
	good := read(t, filled(t))
	root := rootPage(good)
	flip := func(at int, mask byte) func([]byte) []byte {
		return func(b []byte) []byte { b[at] ^= mask; return b }
	}
	zero := func(from, to int) func([]byte) []byte {
		return func(b []byte) []byte { clear(b[from:to]); return b }
	}
	eachPage := func(change func(page []byte)) func([]byte) []byte {
		return func(b []byte) []byte {
			for at := 2 * page; at+page <= len(b); at += page {
				change(b[at : at+page])
			}
			return b
		}
	}
	for _, c := range []struct {
		name   string
		damage func([]byte) []byte
		want   error
	}{
		{"empty", func(b []byte) []byte { return nil }, boltkv.ErrDamaged},
		{"garbage", func(b []byte) []byte { return bytes.Repeat([]byte("garbage "), 4096) }, boltkv.ErrForeign},
		{"a text", func(b []byte) []byte { return []byte("# not a store\n") }, boltkv.ErrForeign},
		{"100 bytes of it", func(b []byte) []byte { return b[:100] }, boltkv.ErrDamaged},
		{"half of it", func(b []byte) []byte { return b[:len(b)/2] }, boltkv.ErrDamaged},
		{"two pages of it", func(b []byte) []byte { return b[:2*page] }, boltkv.ErrDamaged},
		{"a page and a half", func(b []byte) []byte { return b[:page*3/2] }, boltkv.ErrDamaged},
		{"both header pages zeroed", zero(0, 2*page), boltkv.ErrForeign},
		{"both checksums wrong", func(b []byte) []byte { return flip(16+56, 1)(flip(page+16+56, 1)(b)) }, boltkv.ErrDamaged},
		{"both header pages of another format", func(b []byte) []byte { return flip(16+4, 3)(flip(page+16+4, 3)(b)) }, boltkv.ErrDamaged},
		{"the headers of all pages zeroed", eachPage(func(p []byte) { clear(p[:16]) }), boltkv.ErrDamaged},
		{"the kinds of all pages changed", eachPage(func(p []byte) { p[8] ^= 0x13 }), boltkv.ErrDamaged},
		{"the counts of all pages too large", eachPage(func(p []byte) { p[10], p[11] = 0xff, 0xfe }), boltkv.ErrDamaged},
		{"the overflow of all pages too large", eachPage(func(p []byte) { p[15] = 0xff }), boltkv.ErrDamaged},
		{"the root page flipped", func(b []byte) []byte {
			for i := range page {
				b[int(root)*page+i] ^= 0xff
			}
			return b
		}, boltkv.ErrDamaged},
		{"all pages flipped", eachPage(func(p []byte) {
			for i := range p {
				p[i] ^= 0xff
			}
		}), boltkv.ErrDamaged},
		{"everything zero", zero(0, len(good)), boltkv.ErrForeign},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "store.db")
			write(t, path, c.damage(bytes.Clone(good)))
			before := sha256.Sum256(read(t, path))
			engine, err := boltkv.Open(path)
			if err == nil {
				engine.Close()
				t.Fatal("it opened")
			}
			refused(t, path, err, c.want)
			if sha256.Sum256(read(t, path)) != before {
				t.Error("the file was changed")
			}
			if err := boltkv.Check(path); !errors.Is(err, c.want) {
				t.Errorf("Check says %v", err)
			}
			onlyFiles(t, filepath.Dir(path), "store.db")
		})
	}
}

// refused holds an error against what an operator needs of it: one line, the file, and what to do.
func refused(t testing.TB, path string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("the error is %v, want %v", err, want)
	}
	text := err.Error()
	if !strings.Contains(text, path) || strings.Contains(text, "\n") || strings.Contains(text, "goroutine") {
		t.Errorf("the error does not name the file in one line: %s", text)
	}
	if !strings.Contains(text, "restore") && !strings.Contains(text, "name another") {
		t.Errorf("the error does not say what to do: %s", text)
	}
}

func onlyFiles(t testing.TB, directory string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(directory)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, entry := range entries {
		found = append(found, entry.Name())
	}
	if fmt.Sprint(found) != fmt.Sprint(names) {
		t.Errorf("the directory holds %q, want %q", found, names)
	}
}

func TestOneDamagedHeaderPageOpensWithAWarning(t *testing.T) {
	good := read(t, filled(t))
	for name, at := range map[string]int{"first": 0, "second": page} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "store.db")
			damaged := bytes.Clone(good)
			clear(damaged[at : at+page])
			write(t, path, damaged)
			var log bytes.Buffer
			engine, err := boltkv.OpenWith(boltkv.Config{Path: path, Logger: slog.New(slog.NewTextHandler(&log, nil))})
			if err != nil {
				t.Fatal(err)
			}
			defer engine.Close()
			if !strings.Contains(log.String(), "header") || !strings.Contains(log.String(), path) {
				t.Errorf("the log says %q", log.String())
			}
			// The state is the last one or the one before; either is a state that was committed.
			err = engine.View(t.Context(), func(tx kv.Tx) error {
				got, found, err := tx.Get(key(0))
				if !found || !bytes.Equal(got, value(0, 2)) && !bytes.Equal(got, value(0, 1)) {
					t.Errorf("%s is %q", key(0), got)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			fill(t, engine)
			whole(t, engine)
			engine.Close()
			log.Reset()
			again, err := boltkv.OpenWith(boltkv.Config{Path: path, Logger: slog.New(slog.NewTextHandler(&log, nil))})
			if err != nil || log.Len() > 0 {
				t.Fatalf("after writing, the file still warns: %q, %v", log.String(), err)
			}
			again.Close()
		})
	}
}

// What the check takes for damage must never be what bbolt itself writes: every committed state of a busy file passes.
func TestEveryCommittedStatePassesTheCheck(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	engine := open(t, path)
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 120 {
		err := engine.Update(t.Context(), func(tx kv.Tx) error {
			for range 1 + random.IntN(200) {
				name := fmt.Sprintf("%s/%d", strings.Repeat("k", random.IntN(60)), random.IntN(400))
				if random.IntN(5) < 2+round/60 {
					if err := tx.Delete(name); err != nil {
						return err
					}
				} else if err := tx.Put(name, make([]byte, random.IntN(1<<random.IntN(15)))); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := boltkv.Check(path); err != nil {
			t.Fatalf("after %d commits: %v", round+1, err)
		}
	}
}
