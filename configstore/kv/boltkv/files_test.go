package boltkv_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"mcpsidecar/configstore/kv"
	"mcpsidecar/configstore/kv/boltkv"
	"mcpsidecar/configstore/kv/kvtest"
)

// fill writes enough records for a tree of several levels, with some pages free.
func fill(t testing.TB, engine kv.Engine) {
	t.Helper()
	for round := range 3 {
		err := engine.Update(t.Context(), func(tx kv.Tx) error {
			for i := range 400 {
				if err := tx.Put(key(i), value(i, round)); err != nil {
					return err
				}
			}
			return tx.Put("large", bytes.Repeat([]byte("x"), 50_000))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func key(i int) string { return fmt.Sprintf("key/%04d", i) }
func value(i, round int) []byte {
	return fmt.Appendf(nil, "%d/%d %s", i, round, strings.Repeat("v", 100))
}

func open(t testing.TB, path string) kv.Engine {
	t.Helper()
	engine, err := boltkv.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { engine.Close() })
	return engine
}

// filled makes a store with records in it and closes it.
func filled(t testing.TB) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "store.db")
	engine := open(t, path)
	fill(t, engine)
	if err := engine.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// whole reads every record that fill wrote.
func whole(t testing.TB, engine kv.Engine) {
	t.Helper()
	err := engine.View(t.Context(), func(tx kv.Tx) error {
		for i := range 400 {
			got, _, err := tx.Get(key(i))
			if err != nil {
				return err
			}
			if want := value(i, 2); !bytes.Equal(got, want) {
				t.Fatalf("%s is %q, want %q", key(i), got, want)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func write(t testing.TB, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestOtherFilesAreForeign(t *testing.T) {
	path := filepath.Join(t.TempDir(), "other.db")
	other, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = other.Update(func(tx *bbolt.Tx) error {
		bucket, err := tx.CreateBucket([]byte("theirs"))
		if err != nil {
			return err
		}
		inner, err := bucket.CreateBucket([]byte("inner"))
		if err != nil {
			return err
		}
		return inner.Put([]byte("k"), []byte("v"))
	})
	if err := errors.Join(err, other.Close()); err != nil {
		t.Fatal(err)
	}
	before := read(t, path)
	_, err = boltkv.Open(path)
	refused(t, path, err, boltkv.ErrForeign)
	if !bytes.Equal(read(t, path), before) {
		t.Error("the file was changed")
	}
	directory := t.TempDir()
	if _, err := boltkv.Open(directory); err == nil {
		t.Error("a directory opened")
	}
	pipe := filepath.Join(directory, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = boltkv.Open(pipe)
	refused(t, pipe, err, boltkv.ErrForeign)
}

func TestASecondOpenIsRefusedSoon(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	first := open(t, path)
	start := time.Now()
	_, err := boltkv.Open(path)
	if !errors.Is(err, boltkv.ErrLocked) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "another process") {
		t.Errorf("the error is %v", err)
	}
	if waited := time.Since(start); waited > time.Minute { // of which nobody would say that it is soon, on any machine
		t.Errorf("it took %s", waited)
	}
	fill(t, first)
	whole(t, first)
	first.Close()
	whole(t, open(t, path))
}

func mode(t testing.TB, path string) fs.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}

func TestModes(t *testing.T) {
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	path := filepath.Join(t.TempDir(), "a", "b", "store.db")
	open(t, path).Close()
	for name, want := range map[string]fs.FileMode{path: 0o600, filepath.Dir(path): 0o700, filepath.Dir(filepath.Dir(path)): 0o700} {
		if got := mode(t, name); got != want {
			t.Errorf("%s has mode %04o, want %04o", name, got, want)
		}
	}
	onlyFiles(t, filepath.Dir(path), "store.db")
	for _, loose := range []fs.FileMode{0o644, 0o666, 0o640, 0o777} {
		if err := errors.Join(os.Chmod(path, loose), os.Chmod(filepath.Dir(path), 0o777)); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		engine, err := boltkv.OpenWith(boltkv.Config{Path: path, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		engine.Close()
		if file, directory := mode(t, path), mode(t, filepath.Dir(path)); file != 0o600 || directory&0o022 != 0 {
			t.Errorf("%04o became %04o, in a directory of %04o", loose, file, directory)
		}
		if strings.Count(log.String(), "level=WARN") != 2 {
			t.Errorf("the log says %s", log.String())
		}
	}
	shared := filepath.Join(t.TempDir(), "tmp")
	if err := errors.Join(os.Mkdir(shared, 0o700), os.Chmod(shared, 0o777|fs.ModeSticky)); err != nil {
		t.Fatal(err)
	}
	open(t, filepath.Join(shared, "store.db")).Close()
	if got := mode(t, shared); got != 0o777 {
		t.Errorf("a directory like /tmp became %04o", got)
	}
}

func TestManyWhoMakeTheFileAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	results := make(chan error)
	for range 8 {
		go func() {
			engine, err := boltkv.Open(path)
			if err == nil {
				err = errors.Join(engine.Update(context.Background(), func(tx kv.Tx) error { return tx.Put("k", nil) }), engine.Close())
			}
			results <- err
		}()
	}
	opened := 0
	for range 8 {
		if err := <-results; err == nil {
			opened++
		} else if !errors.Is(err, boltkv.ErrLocked) {
			t.Error(err)
		}
	}
	if opened == 0 {
		t.Error("nobody could open it")
	}
	onlyFiles(t, filepath.Dir(path), "store.db")
}

func TestBackupIsAStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	engine := open(t, path)
	fill(t, engine)
	var copied bytes.Buffer
	if err := engine.Backup(t.Context(), &copied); err != nil {
		t.Fatal(err)
	}
	onlyFiles(t, filepath.Dir(path), "store.db")
	restored := filepath.Join(t.TempDir(), "store.db")
	write(t, restored, copied.Bytes())
	if err := boltkv.Check(restored); err != nil {
		t.Fatal(err)
	}
	whole(t, open(t, restored))
}

// A file that somebody cuts while it is open would end the process with a bus error.
func TestAFileThatIsCutWhileOpenIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	engine := open(t, path)
	fill(t, engine)
	if err := os.Truncate(path, 2*page); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		err := engine.View(t.Context(), func(tx kv.Tx) error {
			return tx.Scan("", func(string, []byte) bool { return true })
		})
		if !errors.Is(err, boltkv.ErrDamaged) || !strings.Contains(err.Error(), path) {
			t.Errorf("a view says %v", err)
		}
	}
	if err := engine.Update(t.Context(), func(tx kv.Tx) error { return tx.Put("k", nil) }); !errors.Is(err, boltkv.ErrDamaged) {
		t.Errorf("an update says %v", err)
	}
	if err := engine.Close(); err != nil {
		t.Errorf("closing says %v", err)
	}
}

// C-05: by the kernel's own word.
func TestDiskFull(t *testing.T) { kvtest.OnSmallDisk(t, 2<<20, diskFull) }

func diskFull(t *testing.T, directory string, grow func(size int)) {
	path := filepath.Join(directory, "store.db")
	engine := open(t, path)
	acknowledged := map[string]bool{}
	put := func(name string) error {
		err := engine.Update(t.Context(), func(tx kv.Tx) error { return tx.Put(name, bytes.Repeat([]byte("x"), 8000)) })
		if err == nil {
			acknowledged[name] = true
		}
		return err
	}
	var err error
	for i := 0; err == nil && i < 10_000; i++ {
		err = put(key(i))
	}
	if !errors.Is(err, kv.ErrFull) || !errors.Is(err, syscall.ENOSPC) && !strings.Contains(err.Error(), syscall.EFBIG.Error()) {
		t.Fatalf("a full disk says %v", err)
	}
	for i := range 3 {
		if err := put(fmt.Sprintf("more/%d", i)); !errors.Is(err, kv.ErrFull) {
			t.Errorf("once more: %v", err)
		}
	}
	count := func() (n int) {
		err := engine.View(t.Context(), func(tx kv.Tx) error {
			n = 0
			return tx.Scan("", func(key string, value []byte) bool {
				if !acknowledged[key] || len(value) != 8000 {
					t.Errorf("%s is there with %d bytes", key, len(value))
				}
				n++
				return true
			})
		})
		if err != nil {
			t.Fatalf("reading from a full disk: %v", err)
		}
		return n
	}
	if got := count(); got != len(acknowledged) {
		t.Errorf("%d of %d acknowledged records are there", got, len(acknowledged))
	}
	grow(8 << 20)
	if err := put("after"); err != nil {
		t.Fatalf("with room again: %v", err)
	}
	if err := engine.Close(); err != nil {
		t.Fatal(err)
	}
	engine = open(t, path)
	if got := count(); got != len(acknowledged) {
		t.Errorf("after reopening, %d of %d acknowledged records are there", got, len(acknowledged))
	}
	engine.Close()
}

// Records that are written again and again must not make the file grow: freed pages are used again.
func TestRewritingDoesNotGrowTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	engine := open(t, path)
	const records, size = 50, 2000
	for round := range 200 {
		err := engine.Update(t.Context(), func(tx kv.Tx) error {
			for i := range records {
				if err := tx.Put(key(i), bytes.Repeat([]byte{byte(round)}, size)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if most := int64(4 * records * size); info.Size() > most {
		t.Errorf("%d bytes of records make a file of %d, more than %d", records*size, info.Size(), most)
	}
}
