package configstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"mcpsidecar/configstore/kv"
	"mcpsidecar/internal/secret"
)

// What the store can say. They are wrapped with what was being done.
var (
	ErrNotFound  = errors.New("not found")
	ErrDuplicate = errors.New("the slug is taken")                 // of a server
	ErrConflict  = errors.New("the record was changed by another") // an expected revision is not the present one
	ErrNewer     = errors.New("the store was written by a newer version")
	ErrUsers     = errors.New("as many users are known as there may be")
	ErrFull      = kv.ErrFull
	ErrDamaged   = kv.ErrDamaged
	ErrClosed    = kv.ErrClosed
)

// Config is what a Store needs.
type Config struct {
	Engine  kv.Engine        // required; the store closes it, also when Open fails
	Keyring *secret.Keyring  // required
	Now     func() time.Time // nil: time.Now
	Logger  *slog.Logger     // nil: discards

	// Observe is told each operation (see Operations); may be nil. err is what went wrong with the store itself: that a record is not there, or that a closure refused, is an answer
	// and not an error.
	Observe func(op string, d time.Duration, err error)

	// MaxUsers is how many users may be known before EnsureUser makes no more known; 0: DefaultMaxUsers. A token's user is an admin's word and is always taken.
	MaxUsers int

	// Ended is told the grants that a change of something else has ended, once it is written: the server was deleted or is another one now, the user was deleted, or the server got another
	// provider. Each has the secret of its client, so that it can be revoked. May be nil; it must not wait for the store.
	Ended func([]Grant)
}

// DefaultMaxUsers is many more than one deployment of the embedded store serves, and few enough to be read with each change of the configuration.
const DefaultMaxUsers = 10_000

// Store is the config store. Safe for concurrent use.
type Store struct {
	engine   kv.Engine
	codec    codec
	now      func() time.Time
	logger   *slog.Logger
	observe  func(op string, d time.Duration, err error)
	ended    func([]Grant)
	maxUsers int
	full     atomic.Bool // the last write found no room
	firsts   together
}

// Open checks the engine's schema version, key check value and every record, or writes the first two into an empty engine, and returns the store. A wrong key, a damaged record or a newer schema
// is an error, and nothing is written.
func Open(ctx context.Context, config Config) (*Store, error) {
	if config.Engine == nil || config.Keyring == nil {
		return nil, errors.New("opening the store: an engine and a keyring are required")
	}
	s := &Store{
		engine: config.Engine, codec: codecOf(config.Keyring),
		now: config.Now, logger: config.Logger, observe: config.Observe, ended: config.Ended, maxUsers: cmp.Or(config.MaxUsers, DefaultMaxUsers),
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	if s.observe == nil {
		s.observe = func(string, time.Duration, error) {}
	}
	if s.ended == nil {
		s.ended = func([]Grant) {}
	}
	if err := s.prepare(ctx); err != nil {
		return nil, errors.Join(err, s.engine.Close())
	}
	return s, nil
}

// Close ends the feed and closes the engine.
func (s *Store) Close() error { return s.engine.Close() }

// Watch returns a channel that receives a value soon after every write, from this process or another; several writes may be one value. The channel is closed when ctx or the store ends.
func (s *Store) Watch(ctx context.Context) <-chan struct{} { return s.engine.Watch(ctx) }

// Backup writes a consistent copy of the store; secrets stay sealed.
func (s *Store) Backup(ctx context.Context, w io.Writer) error {
	return s.do(opBackup, func() error { return s.engine.Backup(ctx, w) })
}

// moment is now as it is stored: in UTC and without the reading of a clock that other processes do not have.
func (s *Store) moment() time.Time { return s.now().UTC().Round(0) }

// operation names what is done: for metrics, and in words for errors.
type operation struct{ name, words string }

var (
	opSnapshot       = operation{"snapshot", "reading the store"}
	opServers        = operation{"servers", "listing servers"}
	opServer         = operation{"server", "reading a server"}
	opCreateServer   = operation{"create_server", "creating a server"}
	opUpdateServer   = operation{"update_server", "updating a server"}
	opDeleteServer   = operation{"delete_server", "deleting a server"}
	opCatalog        = operation{"catalog", "reading a catalog"}
	opApproveCatalog = operation{"approve_catalog", "approving a catalog"}
	opTokens         = operation{"tokens", "listing tokens"}
	opCreateToken    = operation{"create_token", "creating a token"}
	opRevokeToken    = operation{"revoke_token", "revoking a token"}
	opUsers          = operation{"users", "listing users"}
	opHasUser        = operation{"has_user", "looking for a user"}
	opEnsureUser     = operation{"ensure_user", "noting a user"}
	opDeleteUser     = operation{"delete_user", "deleting a user"}

	opGrant            = operation{"grant", "reading a grant"}
	opGrants           = operation{"grants", "listing grants"}
	opGrantMarks       = operation{"grant_marks", "looking for changed grants"}
	opUpdateGrant      = operation{"update_grant", "updating a grant"}
	opDeleteGrant      = operation{"delete_grant", "deleting a grant"}
	opBeginFlow        = operation{"begin_flow", "beginning a sign-in"}
	opTakeFlow         = operation{"take_flow", "looking for a sign-in"}
	opFinishFlow       = operation{"finish_flow", "storing a grant"}
	opDropFlow         = operation{"drop_flow", "giving up a sign-in"}
	opAddLink          = operation{"add_link", "making a sign-in link"}
	opLink             = operation{"link", "reading a sign-in link"}
	opTakeLink         = operation{"take_link", "using a sign-in link"}
	opRegistration     = operation{"registration", "reading a registration"}
	opPutRegistration  = operation{"put_registration", "storing a registration"}
	opDropRegistration = operation{"drop_registration", "deleting a registration"}

	opBackup  = operation{"backup", "backing up the store"}
	opHealthy = operation{"healthy", "checking the store"}
	opReseal  = operation{"reseal", "sealing the store anew"}

	operations = []operation{
		opSnapshot, opServers, opServer, opCreateServer, opUpdateServer, opDeleteServer, opCatalog, opApproveCatalog, opTokens, opCreateToken, opRevokeToken,
		opUsers, opHasUser, opEnsureUser, opDeleteUser, opBackup, opHealthy, opReseal,
		opGrant, opGrants, opGrantMarks, opUpdateGrant, opDeleteGrant, opBeginFlow, opTakeFlow, opFinishFlow, opDropFlow, opAddLink, opLink, opTakeLink,
		opRegistration, opPutRegistration, opDropRegistration,
	}
)

// Operations lists the names that Config.Observe is told.
func Operations() []string {
	names := make([]string, len(operations))
	for i, op := range operations {
		names[i] = op.name
	}
	return names
}

// errUnchanged ends an update that found nothing to write; the caller hears of no error.
var errUnchanged = errors.New("nothing to write")

// refusal is the error of a caller's closure on its way out of a transaction.
type refusal struct{ error }

func (s *Store) view(ctx context.Context, op operation, read func(kv.Tx) error) error {
	return s.do(op, func() error { return s.engine.View(ctx, read) })
}

func (s *Store) update(ctx context.Context, op operation, change func(kv.Tx) error) error {
	return s.do(op, func() error {
		err := s.engine.Update(ctx, change)
		s.noteRoom(err)
		return err
	})
}

// do runs an operation, observes it, and wraps its error with what was being done. A caller's own error comes out as it is.
func (s *Store) do(op operation, run func() error) error {
	start := time.Now()
	err := run()
	var refused refusal
	switch {
	case err == nil, errors.Is(err, errUnchanged):
		s.observe(op.name, time.Since(start), nil)
		return nil
	case errors.As(err, &refused):
		s.observe(op.name, time.Since(start), nil)
		return refused.error
	case isAnswer(err):
		s.observe(op.name, time.Since(start), nil)
	default:
		s.observe(op.name, time.Since(start), err)
	}
	return fmt.Errorf("%s: %w", op.words, err)
}

// isAnswer says that an error is about the request and not about the store.
func isAnswer(err error) bool {
	for _, answer := range []error{ErrNotFound, ErrDuplicate, ErrConflict, ErrInvalid, ErrUsers, context.Canceled} {
		if errors.Is(err, answer) {
			return true
		}
	}
	return false
}
