package configstore

import (
	"context"

	"mcpsidecar/configstore/kv"
)

// Snapshot is everything at one moment.
type Snapshot struct {
	Servers  []Server // by display name, then slug
	Tokens   []APIToken
	Users    []User
	Catalogs map[string]Catalog // by server id
	Revision uint64             // grows with every write to the store
}

// Snapshot reads everything in one transaction.
func (s *Store) Snapshot(ctx context.Context) (snapshot Snapshot, err error) {
	err = s.view(ctx, opSnapshot, func(tx kv.Tx) (err error) {
		snapshot, err = s.snapshot(tx)
		return err
	})
	return snapshot, err
}

// Revision is that of the present state: what a Snapshot of it would have.
func (s *Store) Revision(ctx context.Context) (revision uint64, err error) {
	err = s.view(ctx, opSnapshot, func(tx kv.Tx) error {
		revision = tx.Revision()
		return nil
	})
	return revision, err
}

func (s *Store) snapshot(tx kv.Tx) (snapshot Snapshot, err error) {
	snapshot.Revision = tx.Revision()
	if snapshot.Servers, err = s.servers(tx); err != nil {
		return Snapshot{}, err
	}
	if snapshot.Tokens, err = s.tokens(tx); err != nil {
		return Snapshot{}, err
	}
	if snapshot.Users, err = s.users(tx); err != nil {
		return Snapshot{}, err
	}
	catalogs, err := scan(s, tx, prefixCatalog, openCatalog)
	if err != nil {
		return Snapshot{}, err
	}
	snapshot.Catalogs = make(map[string]Catalog, len(catalogs))
	for _, catalog := range catalogs {
		snapshot.Catalogs[catalog.ServerID] = catalog
	}
	return snapshot, nil
}
