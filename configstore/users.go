package configstore

import (
	"context"
	"fmt"
	"strings"

	"mcpsidecar/configstore/kv"
)

const (
	maxUser        = 128
	userCharacters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._@+-"
)

// validUser says whether a text can be a user's name.
func validUser(name string) bool {
	return name != "" && len(name) <= maxUser && strings.Trim(name, userCharacters) == ""
}

// Users lists the known users by name.
func (s *Store) Users(ctx context.Context) (users []User, err error) {
	err = s.view(ctx, opUsers, func(tx kv.Tx) (err error) {
		users, err = s.users(tx)
		return err
	})
	return users, err
}

// users come in the order of their keys, which is that of their names.
func (s *Store) users(tx kv.Tx) ([]User, error) { return scan(s, tx, prefixUser, openUser) }

// HasUser says whether a user is known.
func (s *Store) HasUser(ctx context.Context, name string) (known bool, err error) {
	if !validUser(name) {
		return false, nil
	}
	err = s.view(ctx, opHasUser, func(tx kv.Tx) (err error) {
		_, known, err = tx.Get(userKey(name))
		return err
	})
	return known, err
}

// EnsureUser makes a user known that an agent names; it writes only the first time. Where as many are known as there may be, one more is ErrUsers.
func (s *Store) EnsureUser(ctx context.Context, name string) error {
	if known, err := s.HasUser(ctx, name); err != nil || known {
		return err
	}
	return s.update(ctx, opEnsureUser, func(tx kv.Tx) error {
		if err := s.roomForUser(tx); err != nil {
			if _, known, _ := tx.Get(userKey(name)); known { // another was faster, and took the last place
				return errUnchanged
			}
			return err
		}
		written, err := s.ensureUser(tx, name)
		if err == nil && !written {
			return errUnchanged
		}
		return err
	})
}

// roomForUser counts keys and opens no record.
func (s *Store) roomForUser(tx kv.Tx) error {
	known := 0
	err := tx.Scan(prefixUser, func(string, []byte) bool {
		known++
		return known < s.maxUsers
	})
	if err == nil && known >= s.maxUsers {
		return ErrUsers
	}
	return err
}

func (s *Store) ensureUser(tx kv.Tx, name string) (written bool, err error) {
	if !validUser(name) {
		return false, fmt.Errorf("%w: %q is no user name", ErrInvalid, shortened(name))
	}
	if _, known, err := tx.Get(userKey(name)); err != nil || known {
		return false, err
	}
	return true, s.put(tx, userKey(name), userRecord{Name: name, FirstSeen: s.moment()})
}

// DeleteUser forgets a user and ends its tokens (those whose User it is), its grants, and what it began. A server that is visible to nobody else stays so: taking the name out of the list could open it to everyone.
func (s *Store) DeleteUser(ctx context.Context, name string) error {
	return s.updateEnding(ctx, opDeleteUser, func(tx kv.Tx, e *ending) error {
		if !validUser(name) {
			return fmt.Errorf("user %q: %w", shortened(name), ErrNotFound)
		}
		if _, known, err := tx.Get(userKey(name)); err != nil {
			return err
		} else if !known {
			return fmt.Errorf("user %s: %w", name, ErrNotFound)
		}
		tokens, err := s.tokens(tx)
		if err != nil {
			return err
		}
		for _, token := range tokens {
			if token.User == name {
				if err := tx.Delete(tokenKey(token.ID)); err != nil {
					return err
				}
			}
		}
		if err := e.ofUser(name); err != nil {
			return err
		}
		return tx.Delete(userKey(name))
	})
}
