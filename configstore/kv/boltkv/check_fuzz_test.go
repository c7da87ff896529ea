package boltkv_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"mcpsidecar/configstore/kv"
	"mcpsidecar/configstore/kv/boltkv"
)

// FuzzDamage overwrites a part of a good file and cuts it. What passes the check must open, read and write without a panic; what does not must leave the file as it was.
func FuzzDamage(f *testing.F) {
	good := read(f, filled(f))
	f.Add(uint32(0), []byte{}, uint32(0))
	f.Add(uint32(2*page+8), []byte{0x10}, uint32(0))
	f.Add(uint32(3*page+10), []byte{0xff, 0xff}, uint32(0))
	f.Add(uint32(5*page), make([]byte, 64), uint32(100))
	f.Add(uint32(16), []byte{1, 2, 3}, uint32(page))
	f.Fuzz(func(t *testing.T, at uint32, bytes []byte, cut uint32) {
		path := filepath.Join(t.TempDir(), "store.db")
		damaged := append([]byte(nil), good...)
		if len(bytes) > 0 {
			copy(damaged[int(at)%len(damaged):], bytes)
		}
		damaged = damaged[:len(damaged)-int(cut)%len(damaged)]
		write(t, path, damaged)
		engine, err := boltkv.Open(path)
		if err != nil {
			if string(read(t, path)) != string(damaged) {
				t.Error("a refused file was changed")
			}
			return
		}
		defer engine.Close()
		ctx := context.Background()
		err = engine.View(ctx, func(tx kv.Tx) error { return tx.Scan("", func(string, []byte) bool { return true }) })
		if err != nil {
			t.Fatal(err)
		}
		for i := range 4 {
			err = engine.Update(ctx, func(tx kv.Tx) error {
				for j := i; j < 400; j += 3 {
					if err := tx.Put(key(j), value(j, i)); err != nil {
						return err
					}
					if err := tx.Delete(key(j + 1)); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := engine.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path); err != nil {
			t.Fatal(err)
		}
	})
}
