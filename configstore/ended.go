package configstore

import (
	"context"
	"strings"

	"mcpsidecar/configstore/kv"
)

// ending deletes grants in a transaction and keeps what they were, so that they can be revoked.
type ending struct {
	store *Store
	tx    kv.Tx
	ended []Grant
}

// updateEnding is update for changes that end grants: once they have ended, Config.Ended is told which.
func (s *Store) updateEnding(ctx context.Context, op operation, change func(kv.Tx, *ending) error) error {
	var e *ending
	err := s.update(ctx, op, func(tx kv.Tx) error {
		e = &ending{store: s, tx: tx} // a change may run twice, and the last time counts
		return change(tx, e)
	})
	if err == nil && len(e.ended) > 0 {
		s.ended(e.ended)
	}
	return err
}

// grants deletes those below a key: of one user, or of all for an empty name, and of these the ones that which says.
func (e *ending) grants(prefix, user string, which func(Grant) bool) error {
	var keys []string
	var found []Grant
	if err := e.tx.Scan(prefix, func(key string, value []byte) bool {
		if user != "" && !strings.HasSuffix(key, "/"+user) {
			return true
		}
		grant, err := e.store.opened(key, value)
		if !which(grant) {
			return true
		}
		keys = append(keys, key)
		if err == nil { // one that cannot be read goes with the others; nobody can revoke it
			found = append(found, grant)
		}
		return true
	}); err != nil {
		return err
	}
	for _, key := range keys {
		if err := e.tx.Delete(key); err != nil {
			return err
		}
	}
	for _, grant := range found {
		e.ended = append(e.ended, e.withClient(grant))
	}
	return nil
}

func every(Grant) bool { return true }

// opened reads a stored grant.
func (s *Store) opened(key string, value []byte) (Grant, error) {
	var stored grantRecord
	if err := s.codec.decode(key, value, &stored); err != nil {
		return Grant{}, err
	}
	return s.codec.openGrant(stored)
}

// withClient gives a grant the secret of a client that an admin configured, which is the server's and may go or change with it.
func (e *ending) withClient(grant Grant) Grant {
	server, err := e.store.server(e.tx, grant.ServerID)
	if err == nil && server.OAuth2ClientID != "" && server.OAuth2ClientID == grant.ClientID {
		grant.ClientSecret = server.OAuth2ClientSecret
	}
	return grant
}

// all ends what there is of a server, when it would go elsewhere or nowhere. The server is still what it was.
func (e *ending) all(serverID string) error {
	if err := e.grants(grantsKey(serverID), "", every); err != nil {
		return err
	}
	if _, err := e.store.deletePending(e.tx, func(id, _ string) bool { return id == serverID }); err != nil {
		return err
	}
	return e.tx.Delete(registrationKey(serverID))
}

// ofUser ends what a user connected and began to.
func (e *ending) ofUser(name string) error {
	if err := e.grants(prefixGrant, name, every); err != nil {
		return err
	}
	_, err := e.store.deletePending(e.tx, func(_, user string) bool { return user == name })
	return err
}

// ofOthers ends what other issuers gave than the one that a server has now.
func (e *ending) ofOthers(serverID, issuer string) error {
	return e.grants(grantsKey(serverID), "", func(grant Grant) bool { return grant.Issuer != issuer })
}
