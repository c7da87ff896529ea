package audit_test

import (
	"io"
	"path/filepath"
	"testing"

	"mcpsidecar/internal/audit"
)

func usualCall() *audit.Call {
	return &audit.Call{
		RequestID: "5f0c2f6ab0f24e0b8f6d1b1f0c9d7a11", TokenID: "0011223344556677", Role: "agent", User: "alice@example.com",
		Server: "github", Tool: "create_issue", Mode: "act", Agent: "root", Decision: "allowed", Reason: "allowed",
		Outcome: "ok", Milliseconds: 12.345, BytesIn: 345, BytesOut: 6789,
	}
}

func BenchmarkEnd(b *testing.B) {
	log, err := audit.Open(audit.Config{Path: "-", Stdout: io.Discard})
	if err != nil {
		b.Fatal(err)
	}
	defer log.Close()
	call := usualCall()
	b.ReportAllocs()
	for b.Loop() {
		log.End(call)
	}
}

func BenchmarkEndTogether(b *testing.B) {
	log, err := audit.Open(audit.Config{Path: filepath.Join(b.TempDir(), "audit.log")})
	if err != nil {
		b.Fatal(err)
	}
	defer log.Close()
	call := usualCall()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			log.End(call)
		}
	})
}

// BenchmarkBegin is the price of required records: each waits for a write, which those who wait at the same time share.
func BenchmarkBegin(b *testing.B) {
	log, err := audit.Open(audit.Config{Path: filepath.Join(b.TempDir(), "audit.log"), Required: true})
	if err != nil {
		b.Fatal(err)
	}
	defer log.Close()
	call := usualCall()
	b.SetParallelism(8)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := log.Begin(call); err != nil {
				b.Error(err)
			}
		}
	})
}
