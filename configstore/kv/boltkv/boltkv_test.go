package boltkv_test

import (
	"path/filepath"
	"testing"

	"mcpsidecar/configstore/kv"
	"mcpsidecar/configstore/kv/boltkv"
	"mcpsidecar/configstore/kv/kvtest"
	"mcpsidecar/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

func TestContract(t *testing.T) {
	kvtest.Run(t, func(t testing.TB) func() (kv.Engine, error) {
		path := filepath.Join(t.TempDir(), "store.db")
		return func() (kv.Engine, error) { return boltkv.Open(path) }
	})
}
