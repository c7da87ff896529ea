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
	"errors"
	"io"
)

// What engines can say; wrapped with what was being done.
var (
	ErrClosed   = errors.New("the store is closed")
	ErrReadOnly = errors.New("a view cannot write")
	ErrBadKey   = errors.New("a key has between 1 and 1024 bytes")
	ErrFull     = errors.New("the disk is full")                   // nothing was written; writes work again once there is room
	ErrDamaged  = errors.New("the store is damaged")               // nobody writes to it any more
	ErrInUse    = errors.New("the store is in use")                // by another process
	ErrForeign  = errors.New("this is not a store of mcp-sidecar") // or damaged beyond recognition
)

// MaxKey is how long a key may be, in bytes.
const MaxKey = 1024

// Engine stores keys and values. Safe for concurrent use.
//
// A closure does no I/O of its own, uses its Tx only from its own goroutine, and does not call the engine: a view inside an update could wait for itself.
type Engine interface {
	// Name says for messages where the data are: a file, or a cluster and a prefix.
	Name() string
	// View runs a closure on one consistent state.
	View(ctx context.Context, read func(Tx) error) error
	// Update runs a closure and commits, or changes nothing if it fails. The closure may run more than once and does no I/O of its own; its error is returned unchanged.
	// An I/O error while committing is the one case in which the change may have been made, or not.
	Update(ctx context.Context, change func(Tx) error) error
	// Watch receives a value after every commit, coalesced; closed when ctx or the engine ends.
	Watch(ctx context.Context) <-chan struct{}
	// Backup writes a consistent copy in the engine's own format. A slow writer holds up nobody.
	Backup(ctx context.Context, w io.Writer) error
	// Close waits for the transactions that run. What comes later gets ErrClosed. Closing twice is harmless.
	Close() error
}

// Tx is one transaction.
type Tx interface {
	// Get reads a value; an empty one is there, an absent one is not.
	Get(key string) (value []byte, found bool, err error)
	Put(key string, value []byte) error
	// Delete deletes a key; that it is absent is no error.
	Delete(key string) error
	// Scan calls each for every key with the prefix, in order, until it returns false. each does not write.
	Scan(prefix string, each func(key string, value []byte) bool) error
	// Revision is that of the state the transaction found. It grows with every commit.
	Revision() uint64
}

// CheckKey is the judgement on keys that all engines share.
func CheckKey(key string) error {
	if key == "" || len(key) > MaxKey {
		return ErrBadKey
	}
	return nil
}
