package configstore_test

import (
	"os"
	"path/filepath"
	"testing"

	"mcpsidecar/configstore/kv"
	"mcpsidecar/configstore/kv/boltkv"
	"mcpsidecar/configstore/storetest"
	"mcpsidecar/internal/leak"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(childPath); path != "" {
		child(path)
		return
	}
	leak.Main(m)
}

func TestContract(t *testing.T) {
	storetest.Run(t, func(t testing.TB) func() (kv.Engine, error) {
		path := filepath.Join(t.TempDir(), "store.db")
		return func() (kv.Engine, error) { return boltkv.Open(path) }
	})
}
