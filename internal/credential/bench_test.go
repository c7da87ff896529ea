package credential_test

import (
	"testing"

	"mcpsidecar/internal/secret"
)

// BenchmarkToken is what each call pays for a fresh token.
func BenchmarkToken(b *testing.B) {
	w := newWorld(b)
	w.connect("alice")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := w.broker.Token(b.Context(), &w.server, "alice", secret.Value{}); err != nil {
				b.Error(err)
			}
		}
	})
}
