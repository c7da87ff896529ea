package boltkv

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"mcpsidecar/configstore/kv"
)

// engine is one open file.
type engine struct {
	db     *bbolt.DB
	path   string
	turn   chan struct{} // holds a value while somebody writes; unlike bbolt's lock, waiting for it can be given up
	feed   feed
	closed chan struct{}
	once   sync.Once
	broken atomic.Bool // the file was cut or a disk failed below our feet; set once, and then nobody touches it
}

func newEngine(db *bbolt.DB, path string) *engine {
	return &engine{db: db, path: path, turn: make(chan struct{}, 1), closed: make(chan struct{})}
}

// Name is the file's path.
func (e *engine) Name() string { return e.path }

// View runs a closure on one consistent state.
func (e *engine) View(ctx context.Context, read func(kv.Tx) error) error {
	if err := e.ready(ctx); err != nil {
		return err
	}
	var inner error
	err := e.guard(func() error {
		return e.db.View(func(tx *bbolt.Tx) error {
			inner = read(transaction{tx.Bucket(bucketName), uint64(tx.ID())})
			return inner
		})
	})
	if inner != nil && !e.broken.Load() {
		return inner
	}
	return e.explain(err)
}

// Update runs a closure and commits.
func (e *engine) Update(ctx context.Context, change func(kv.Tx) error) error {
	if err := e.takeTurn(ctx); err != nil {
		return err
	}
	defer func() { <-e.turn }()
	if err := e.ready(ctx); err != nil {
		return err
	}
	var inner error
	err := e.guard(func() error {
		return e.db.Update(func(tx *bbolt.Tx) error {
			inner = change(transaction{tx.Bucket(bucketName), uint64(tx.ID()) - 1})
			return inner
		})
	})
	if inner != nil && !e.broken.Load() {
		return inner
	}
	if err == nil {
		e.feed.tell()
	}
	return e.explain(err)
}

func (e *engine) takeTurn(ctx context.Context) error {
	select {
	case e.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-e.closed:
		return kv.ErrClosed
	}
}

// ready says why nothing can be done at present.
func (e *engine) ready(ctx context.Context) error {
	select {
	case <-e.closed:
		return kv.ErrClosed
	default:
	}
	if e.broken.Load() {
		return e.brokenError()
	}
	return ctx.Err()
}

func (e *engine) brokenError() error {
	return fmt.Errorf("%s: %w: it was changed or its disk failed while it was open; stop, and restore a backup", e.path, kv.ErrDamaged)
}

// guard turns a fault of the memory map into an error. Everything else that panics is a mistake of ours and goes on.
func (e *engine) guard(do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		if _, fault := r.(interface{ Addr() uintptr }); !fault {
			panic(r)
		}
		e.broken.Store(true)
		err = e.brokenError()
	}()
	return do()
}

// explain puts an error of bbolt into the words of kv.
func (e *engine) explain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, bolterrors.ErrDatabaseNotOpen):
		return kv.ErrClosed
	case errors.Is(err, kv.ErrDamaged):
		return err
	}
	return fmt.Errorf("%s: %w", e.path, full(err))
}

// Watch receives a value after every commit.
func (e *engine) Watch(ctx context.Context) <-chan struct{} { return e.feed.subscribe(ctx) }

// Close waits for the transactions that run, ends the watches and releases the file.
func (e *engine) Close() error {
	var err error
	e.once.Do(func() {
		close(e.closed)
		e.feed.close()
		if e.broken.Load() {
			return // bbolt's locks may be held for ever; the kernel releases the file when the process ends
		}
		err = e.db.Close()
	})
	return err
}

// transaction is a kv.Tx on the bucket.
type transaction struct {
	bucket   *bbolt.Bucket
	revision uint64
}

func (t transaction) Revision() uint64 { return t.revision }

func (t transaction) Get(key string) ([]byte, bool, error) {
	if err := kv.CheckKey(key); err != nil {
		return nil, false, err
	}
	found, value := t.bucket.Cursor().Seek([]byte(key)) // Bucket.Get cannot tell an empty value from none
	if string(found) != key {
		return nil, false, nil
	}
	return copied(value), true, nil
}

func (t transaction) Put(key string, value []byte) error {
	if err := kv.CheckKey(key); err != nil {
		return err
	}
	if !t.bucket.Writable() {
		return kv.ErrReadOnly
	}
	return t.bucket.Put([]byte(key), copied(value))
}

func (t transaction) Delete(key string) error {
	if err := kv.CheckKey(key); err != nil {
		return err
	}
	if !t.bucket.Writable() {
		return kv.ErrReadOnly
	}
	return t.bucket.Delete([]byte(key))
}

func (t transaction) Scan(prefix string, each func(key string, value []byte) bool) error {
	cursor := t.bucket.Cursor()
	for key, value := cursor.Seek([]byte(prefix)); key != nil && strings.HasPrefix(string(key), prefix); key, value = cursor.Next() {
		if !each(string(key), copied(value)) {
			break
		}
	}
	return nil
}

// copied is never nil, and does not die with the transaction.
func copied(value []byte) []byte { return append(make([]byte, 0, len(value)), value...) }
