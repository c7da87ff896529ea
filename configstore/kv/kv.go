// Package kv is a small ordered key-value engine: what configstore needs of bbolt, and of etcd when one machine is not enough.
//
// It owns the words (Engine, Tx) and their contract, which kvtest runs against every engine. It deliberately does not know records or secrets.
//
// Invariants: transactions are serialisable; an Update whose return was nil survives a kill; keys are ordered bytewise; values are the caller's own copies.
//
// Lifetimes: an Engine lives until Close; a Tx only inside its closure.
package kv

import (
	"context"
	"io"
)

// Engine stores keys and values. Safe for concurrent use.
type Engine interface {
	// View runs a closure on one consistent state.
	View(ctx context.Context, read func(Tx) error) error
	// Update runs a closure and commits, or changes nothing if it fails. The closure may run more than once and does no I/O of its own; its error is returned unchanged.
	Update(ctx context.Context, change func(Tx) error) error
	// Watch receives a value after every commit, coalesced; closed when ctx or the engine ends.
	Watch(ctx context.Context) <-chan struct{}
	// Backup writes a consistent copy in the engine's own format.
	Backup(ctx context.Context, w io.Writer) error
	Close() error
}

// Tx is one transaction.
type Tx interface {
	Get(key string) ([]byte, bool, error)
	Put(key string, value []byte) error
	Delete(key string) error
	// Scan calls each for every key with the prefix, in order, until it returns false.
	Scan(prefix string, each func(key string, value []byte) bool) error
}
