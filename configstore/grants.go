package configstore

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"mcpsidecar/configstore/kv"
)

// GrantKey says whose grant it is, and for which server.
type GrantKey struct{ ServerID, User string }

// Grant returns a user's grant for a server; ErrNotFound if there is none.
func (s *Store) Grant(ctx context.Context, serverID, user string) (grant Grant, err error) {
	err = s.view(ctx, opGrant, func(tx kv.Tx) (err error) {
		grant, err = s.grant(tx, serverID, user)
		return err
	})
	return grant, err
}

func (s *Store) grant(tx kv.Tx, serverID, user string) (Grant, error) {
	if !validID(serverID) || !validUser(user) {
		return Grant{}, fmt.Errorf("grant of %q: %w", shortened(user), ErrNotFound)
	}
	key := grantKey(serverID, user)
	value, found, err := tx.Get(key)
	if err != nil {
		return Grant{}, err
	}
	if !found {
		return Grant{}, fmt.Errorf("grant of %s for %s: %w", user, serverID, ErrNotFound)
	}
	grant, err := s.opened(key, value)
	if err != nil {
		return Grant{}, s.damaged(key, err)
	}
	grant.Mark = markOf(value)
	return grant, nil
}

// markOf is the seal of a value, which is another each time it is written.
func markOf(value []byte) string {
	if len(value) < 2 || len(value) < 2+int(value[1]) {
		return ""
	}
	return string(value[2 : 2+int(value[1])])
}

// Grants lists the grants for a server by user.
func (s *Store) Grants(ctx context.Context, serverID string) (grants []Grant, err error) {
	err = s.view(ctx, opGrants, func(tx kv.Tx) (err error) {
		if !validID(serverID) {
			return fmt.Errorf("server %q: %w", shortened(serverID), ErrNotFound)
		}
		grants, err = scan(s, tx, grantsKey(serverID), s.codec.openGrant)
		return err
	})
	return grants, err
}

// GrantMarks lists the marks of all grants, without opening any: who remembers grants sees by them which have changed.
func (s *Store) GrantMarks(ctx context.Context) (marks map[GrantKey]string, err error) {
	err = s.view(ctx, opGrantMarks, func(tx kv.Tx) error {
		marks = make(map[GrantKey]string)
		return tx.Scan(prefixGrant, func(key string, value []byte) bool {
			serverID, user, _ := strings.Cut(strings.TrimPrefix(key, prefixGrant), "/")
			marks[GrantKey{serverID, user}] = markOf(value)
			return true
		})
	})
	return marks, err
}

// UpdateGrant changes one grant by a closure inside the transaction, if it is still of the generation that the caller knows; ErrConflict if it is not, ErrNotFound if it is gone. So a late
// answer overwrites nothing, and nothing that was deleted comes back. The closure does no I/O and may run twice; its error is returned unchanged. Whose the grant is stays what it is.
func (s *Store) UpdateGrant(ctx context.Context, serverID, user string, generation uint64, change func(*Grant) error) (Grant, error) {
	var after Grant
	err := s.update(ctx, opUpdateGrant, func(tx kv.Tx) error {
		before, err := s.grant(tx, serverID, user)
		if err != nil {
			return err
		}
		if before.Generation != generation {
			return fmt.Errorf("grant of %s for %s: %w", user, serverID, ErrConflict)
		}
		after = before
		if err := change(&after); err != nil {
			return refusal{err}
		}
		after.ServerID, after.User, after.CreatedAt = before.ServerID, before.User, before.CreatedAt
		return s.putGrant(tx, &after)
	})
	if err != nil {
		return Grant{}, err
	}
	return after, nil
}

// putGrant writes a grant and sets what the store sets. The next revision makes the generation one that no other write ever had.
func (s *Store) putGrant(tx kv.Tx, grant *Grant) error {
	if grant.State != GrantConnected && grant.State != GrantNeedsReauth {
		return fmt.Errorf("%w: a grant is connected or needs_reauth", ErrInvalid)
	}
	if len(grant.Reason) > MaxReason || len(grant.LastError) > MaxReason {
		return fmt.Errorf("%w: a reason has at most %d bytes", ErrInvalid, MaxReason)
	}
	grant.UpdatedAt, grant.Generation = s.moment(), tx.Revision()+1
	grant.ObtainedAt = grant.ObtainedAt.UTC().Round(0)
	stored, err := s.codec.sealGrant(*grant)
	if err != nil {
		return err
	}
	key := grantKey(grant.ServerID, grant.User)
	value, err := s.codec.encode(key, stored)
	if err != nil {
		return err
	}
	grant.Mark = markOf(value)
	return tx.Put(key, value)
}

// DeleteGrant deletes a user's grant for a server and returns what it was, so that it can be revoked. Flows and links that would bring another one go with it. ErrNotFound if there is no
// grant; what else there is has gone then, too.
func (s *Store) DeleteGrant(ctx context.Context, serverID, user string) (grant Grant, err error) {
	if !validID(serverID) || !validUser(user) {
		return Grant{}, fmt.Errorf("%s: %w", opDeleteGrant.words, ErrNotFound)
	}
	found := true
	err = s.update(ctx, opDeleteGrant, func(tx kv.Tx) error {
		var err error
		grant, err = s.grant(tx, serverID, user)
		if found = !errors.Is(err, ErrNotFound); found && err != nil {
			return err
		}
		ours := func(id, name string) bool { return id == serverID && name == user }
		pending, err := s.deletePending(tx, ours)
		if err != nil {
			return err
		}
		if !found && pending == 0 {
			return errUnchanged
		}
		return tx.Delete(grantKey(serverID, user))
	})
	if err == nil && !found {
		err = fmt.Errorf("%s: %w", opDeleteGrant.words, ErrNotFound)
	}
	return grant, err
}
