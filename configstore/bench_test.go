package configstore_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"mcpsidecar/configstore"
	"mcpsidecar/policy"
)

// hundred is a store with a hundred servers, each with a catalog of twenty tools.
func hundred(b *testing.B) (*configstore.Store, []configstore.Server) {
	b.Helper()
	store := mustOpen(b, filepath.Join(b.TempDir(), "store.db"))
	baseline := policy.Baseline{}
	for i := range 20 {
		baseline[fmt.Sprintf("tool_%d", i)] = policy.Approval{Print: policy.Print{InputSchema: long(64), Description: long(64)}}
	}
	var servers []configstore.Server
	for i := range 100 {
		server, err := store.CreateServer(b.Context(), example(fmt.Sprintf("s%d", i)))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := store.ApproveCatalog(b.Context(), configstore.Catalog{ServerID: server.ID, Baseline: baseline}, 0, true); err != nil {
			b.Fatal(err)
		}
		servers = append(servers, server)
	}
	return store, servers
}

func BenchmarkSnapshotOf100Servers(b *testing.B) {
	store, _ := hundred(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := store.Snapshot(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkServer(b *testing.B) {
	store, servers := hundred(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := store.Server(b.Context(), servers[50].ID); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkUpdateServer(b *testing.B) {
	store, servers := hundred(b)
	b.ReportAllocs()
	for b.Loop() {
		_, err := store.UpdateServer(b.Context(), servers[50].ID, func(s *configstore.Server) error { s.TimeoutMS++; return nil })
		if err != nil {
			b.Fatal(err)
		}
	}
}
