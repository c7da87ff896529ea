package configstore

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"mcpsidecar/configstore/kv"
	"mcpsidecar/internal/secret"
)

// What the store can say. They are wrapped with what was being done.
var (
	ErrNotFound  = errors.New("not found")
	ErrDuplicate = errors.New("the slug is taken")                 // of a server
	ErrConflict  = errors.New("the record was changed by another") // an expected revision is not the present one
	ErrFull      = errors.New("the disk is full")
)

// Config is what a Store needs.
type Config struct {
	Engine  kv.Engine                                   // required; the store closes it
	Keyring *secret.Keyring                             // required
	Now     func() time.Time                            // nil: time.Now
	Logger  *slog.Logger                                // nil: discards
	Observe func(op string, d time.Duration, err error) // told each operation; may be nil
}

// Store is the config store. Safe for concurrent use.
type Store struct{}

// Open checks the engine's schema version and key check value, writes them into an empty engine, and returns the store. A wrong key or a newer schema is an error, and nothing is written.
func Open(context.Context, Config) (*Store, error) { panic("unbuilt") }

// Close ends the feed and closes the engine.
func (s *Store) Close() error { panic("unbuilt") }

// NewID mints the id of a server before it is stored.
func NewID() string { panic("unbuilt") }

// Snapshot is everything at one moment.
type Snapshot struct {
	Servers  []Server // by display name, then slug
	Tokens   []APIToken
	Users    []User
	Catalogs map[string]Catalog // by server id
	Revision uint64             // grows with every write to the store
}

// Snapshot reads everything in one transaction.
func (s *Store) Snapshot(context.Context) (Snapshot, error) { panic("unbuilt") }

// Watch returns a channel that receives a value soon after every write, from this process or another; several writes may be one value. The channel is closed when ctx or the store ends.
func (s *Store) Watch(context.Context) <-chan struct{} { panic("unbuilt") }

// Servers lists all servers by display name, then slug.
func (s *Store) Servers(context.Context) ([]Server, error) { panic("unbuilt") }

// Server returns one server.
func (s *Store) Server(ctx context.Context, id string) (Server, error) { panic("unbuilt") }

// CreateServer stores a new server, whose ID is set and whose fields pass Validate; it sets times and revision. ErrDuplicate if the slug is taken.
func (s *Store) CreateServer(ctx context.Context, server Server) (Server, error) { panic("unbuilt") }

// UpdateServer changes one server by a closure inside the transaction; the closure does no I/O and may run twice; its error is returned unchanged. A change of url or transport drops the approved catalog.
func (s *Store) UpdateServer(ctx context.Context, id string, change func(*Server) error) (Server, error) {
	panic("unbuilt")
}

// DeleteServer deletes a server and all that belongs to it.
func (s *Store) DeleteServer(ctx context.Context, id string) error { panic("unbuilt") }

// Catalog returns the approved catalog of a server; ErrNotFound if there is none yet.
func (s *Store) Catalog(ctx context.Context, serverID string) (Catalog, error) { panic("unbuilt") }

// ApproveCatalog stores the approved catalog. With first set it does nothing (and says stored=false) if there is one already.
// ErrNotFound if the server is gone; ErrConflict if the server's revision is not the one the catalog was fetched under (revision 0: not checked).
func (s *Store) ApproveCatalog(ctx context.Context, catalog Catalog, revision uint64, first bool) (stored bool, err error) {
	panic("unbuilt")
}

// Tokens lists all API tokens, the oldest first.
func (s *Store) Tokens(context.Context) ([]APIToken, error) { panic("unbuilt") }

// CreateToken stores a token and, if it names a user, makes the user known.
func (s *Store) CreateToken(ctx context.Context, token APIToken) (APIToken, error) { panic("unbuilt") }

// RevokeToken deletes a token.
func (s *Store) RevokeToken(ctx context.Context, id string) error { panic("unbuilt") }

// Users lists the known users by name.
func (s *Store) Users(context.Context) ([]User, error) { panic("unbuilt") }

// EnsureUser makes a user known; it writes only the first time.
func (s *Store) EnsureUser(ctx context.Context, name string) error { panic("unbuilt") }

// DeleteUser forgets a user and ends its tokens (those whose User it is).
func (s *Store) DeleteUser(ctx context.Context, name string) error { panic("unbuilt") }

// Backup writes a consistent copy of the store; secrets stay sealed.
func (s *Store) Backup(ctx context.Context, w io.Writer) error { panic("unbuilt") }

// Healthy says why the store cannot be read or written at present, or nil.
func (s *Store) Healthy(context.Context) error { panic("unbuilt") }
