package configstore

import (
	"context"
	"fmt"

	"mcpsidecar/configstore/kv"
)

// Catalog returns the approved catalog of a server; ErrNotFound if there is none yet.
func (s *Store) Catalog(ctx context.Context, serverID string) (catalog Catalog, err error) {
	err = s.view(ctx, opCatalog, func(tx kv.Tx) error {
		if !validID(serverID) {
			return fmt.Errorf("catalog of %q: %w", shortened(serverID), ErrNotFound)
		}
		var stored catalogRecord
		found, err := s.get(tx, catalogKey(serverID), &stored)
		if err != nil {
			return err
		}
		if !found {
			return fmt.Errorf("catalog of %s: %w", serverID, ErrNotFound)
		}
		catalog, err = openCatalog(stored)
		return err
	})
	return catalog, err
}

// ApproveCatalog stores the approved catalog; ApprovedAt is now if it is zero. With first set it does nothing (and says stored=false) if there is one already.
// ErrNotFound if the server is gone; ErrConflict if the server's revision is not the one the catalog was fetched under (revision 0: not checked).
func (s *Store) ApproveCatalog(ctx context.Context, catalog Catalog, revision uint64, first bool) (stored bool, err error) {
	if first {
		return s.approveOnce(ctx, catalog, revision)
	}
	err = s.update(ctx, opApproveCatalog, func(tx kv.Tx) error {
		if err := s.mayApprove(tx, catalog.ServerID, revision, false); err != nil {
			return err
		}
		return s.putCatalog(tx, catalog)
	})
	return err == nil, err
}

// approveOnce looks first whether there is a catalog, which most often there is: then nobody waits for a writer's turn.
func (s *Store) approveOnce(ctx context.Context, catalog Catalog, revision uint64) (stored bool, err error) {
	missing := false
	err = s.view(ctx, opApproveCatalog, func(tx kv.Tx) error {
		err := s.mayApprove(tx, catalog.ServerID, revision, true)
		missing = err == nil
		return err
	})
	if err != nil || !missing {
		return false, err
	}
	err = s.do(opApproveCatalog, func() (err error) {
		stored, err = s.approveFirst(ctx, catalog, revision)
		return err
	})
	return stored && err == nil, err
}

func (s *Store) putCatalog(tx kv.Tx, catalog Catalog) error {
	if catalog.ApprovedAt.IsZero() {
		catalog.ApprovedAt = s.now()
	}
	catalog.ApprovedAt = catalog.ApprovedAt.UTC().Round(0)
	return s.put(tx, catalogKey(catalog.ServerID), storedCatalog(catalog))
}

// mayApprove says why a catalog must not be stored; errUnchanged if there is a first one already.
func (s *Store) mayApprove(tx kv.Tx, serverID string, revision uint64, first bool) error {
	server, err := s.server(tx, serverID)
	if err != nil {
		return err
	}
	if revision != 0 && server.Revision != revision {
		return fmt.Errorf("server %s is at revision %d and the catalog was fetched under %d: %w", serverID, server.Revision, revision, ErrConflict)
	}
	if !first {
		return nil
	}
	if _, found, err := tx.Get(catalogKey(serverID)); err != nil {
		return err
	} else if found {
		return errUnchanged
	}
	return nil
}
