package configstore

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"mcpsidecar/configstore/kv"
)

// Tokens lists all API tokens, the oldest first.
func (s *Store) Tokens(ctx context.Context) (tokens []APIToken, err error) {
	err = s.view(ctx, opTokens, func(tx kv.Tx) (err error) {
		tokens, err = s.tokens(tx)
		return err
	})
	return tokens, err
}

func (s *Store) tokens(tx kv.Tx) ([]APIToken, error) {
	tokens, err := scan(s, tx, prefixToken, openToken)
	slices.SortFunc(tokens, func(a, b APIToken) int { return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID)) })
	return tokens, err
}

// CreateToken stores a token, sets when it was made, and, if it names a user, makes the user known.
func (s *Store) CreateToken(ctx context.Context, token APIToken) (APIToken, error) {
	err := s.update(ctx, opCreateToken, func(tx kv.Tx) error {
		if !validID(token.ID) || token.Hash == [32]byte{} {
			return fmt.Errorf("%w: a token needs an id and the hash of its secret", ErrInvalid)
		}
		if _, taken, err := tx.Get(tokenKey(token.ID)); err != nil {
			return err
		} else if taken {
			return fmt.Errorf("%w: there is a token %s already", ErrConflict, token.ID)
		}
		token.CreatedAt = s.moment()
		if !token.ExpiresAt.IsZero() {
			token.ExpiresAt = token.ExpiresAt.UTC().Round(0)
		}
		if token.User != "" {
			if _, err := s.ensureUser(tx, token.User); err != nil {
				return err
			}
		}
		return s.put(tx, tokenKey(token.ID), storedToken(token))
	})
	if err != nil {
		return APIToken{}, err
	}
	return token, nil
}

// RevokeToken deletes a token.
func (s *Store) RevokeToken(ctx context.Context, id string) error {
	return s.update(ctx, opRevokeToken, func(tx kv.Tx) error {
		if !validID(id) {
			return fmt.Errorf("token %q: %w", shortened(id), ErrNotFound)
		}
		if _, found, err := tx.Get(tokenKey(id)); err != nil {
			return err
		} else if !found {
			return fmt.Errorf("token %s: %w", id, ErrNotFound)
		}
		return tx.Delete(tokenKey(id))
	})
}
