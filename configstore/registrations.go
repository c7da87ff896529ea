package configstore

import (
	"context"
	"errors"
	"fmt"

	"mcpsidecar/configstore/kv"
)

// Registration returns who we are at a server's authorization server; ErrNotFound if nobody yet.
func (s *Store) Registration(ctx context.Context, serverID string) (registration Registration, err error) {
	err = s.view(ctx, opRegistration, func(tx kv.Tx) (err error) {
		registration, err = s.registration(tx, serverID)
		return err
	})
	return registration, err
}

func (s *Store) registration(tx kv.Tx, serverID string) (Registration, error) {
	if !validID(serverID) {
		return Registration{}, fmt.Errorf("registration for %q: %w", shortened(serverID), ErrNotFound)
	}
	var stored registrationRecord
	found, err := s.get(tx, registrationKey(serverID), &stored)
	if err != nil {
		return Registration{}, err
	}
	if !found {
		return Registration{}, fmt.Errorf("registration for %s: %w", serverID, ErrNotFound)
	}
	registration, err := s.codec.openRegistration(stored)
	if err != nil {
		return Registration{}, s.damaged(registrationKey(serverID), err)
	}
	return registration, nil
}

// PutRegistration stores a registration in place of the one before it. ErrConflict if the server is no longer what it was made for. If it is at another issuer than the one before, the grants of
// other issuers end: a server gets no tokens but those of its own authorization server.
func (s *Store) PutRegistration(ctx context.Context, registration Registration) (Registration, error) {
	err := s.updateEnding(ctx, opPutRegistration, func(tx kv.Tx, e *ending) error {
		if err := s.bound(tx, registration.ServerID, registration.Binding); err != nil {
			return err
		}
		before, err := s.registration(tx, registration.ServerID)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		if err == nil && before.Issuer != registration.Issuer {
			if err := e.ofOthers(registration.ServerID, registration.Issuer); err != nil {
				return err
			}
		}
		registration.CreatedAt = s.moment()
		return s.putRegistration(tx, registration)
	})
	if err != nil {
		return Registration{}, err
	}
	return registration, nil
}

func (s *Store) putRegistration(tx kv.Tx, registration Registration) error {
	stored, err := s.codec.sealRegistration(registration)
	if err != nil {
		return err
	}
	return s.put(tx, registrationKey(registration.ServerID), stored)
}

// DropRegistration deletes a registration that its authorization server no longer knows, if it is still of that client id.
func (s *Store) DropRegistration(ctx context.Context, serverID, clientID string) error {
	return s.update(ctx, opDropRegistration, func(tx kv.Tx) error {
		registration, err := s.registration(tx, serverID)
		if err != nil {
			return err
		}
		if registration.ClientID != clientID {
			return fmt.Errorf("registration for %s: %w", serverID, ErrConflict)
		}
		return tx.Delete(registrationKey(serverID))
	})
}
