package configstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"mcpsidecar/configstore/kv"
	"mcpsidecar/internal/secret"
)

// schema is the version of keys and values that this binary writes and reads.
const schema = 1

const (
	keySchema   = "meta/schema"
	keyKeyCheck = "meta/key_check"
	keyProbe    = "meta/probe"

	// checkText is what the key check value seals. Anything would do.
	checkText = "the key of this store"
)

// schemaRecord is not sealed: it is what tells a wrong key from a store of another version.
type schemaRecord struct {
	Schema int `json:"schema"`
}

// prepare judges what is stored, or begins an empty store.
func (s *Store) prepare(ctx context.Context) error {
	var empty bool
	err := s.engine.View(ctx, func(tx kv.Tx) (err error) {
		empty, err = isEmpty(tx)
		if err != nil || empty {
			return err
		}
		return s.judge(tx)
	})
	if err == nil && empty {
		err = s.begin(ctx)
	}
	if err != nil {
		return fmt.Errorf("opening the store: %w", err)
	}
	return nil
}

func isEmpty(tx kv.Tx) (bool, error) {
	empty := true
	err := tx.Scan("", func(string, []byte) bool { empty = false; return false })
	return empty, err
}

// judge refuses a store that this binary with this key cannot read whole.
func (s *Store) judge(tx kv.Tx) error {
	if err := s.judgeSchema(tx); err != nil {
		return err
	}
	if err := s.judgeKey(tx); err != nil {
		return err
	}
	snapshot, err := s.snapshot(tx)
	if err != nil {
		return err
	}
	return errors.Join(s.judgeSlugs(tx, snapshot.Servers), s.judgeOAuth(tx))
}

func (s *Store) judgeSchema(tx kv.Tx) error {
	text, found, err := tx.Get(keySchema)
	if err != nil {
		return err
	}
	if !found {
		return s.damaged(keySchema, errors.New("it is missing"))
	}
	var stored schemaRecord
	if err := json.Unmarshal(text, &stored); err != nil || stored.Schema < 1 {
		return s.damaged(keySchema, errNotOurs)
	}
	if stored.Schema > schema {
		return fmt.Errorf("%w: %s has schema %d and this version knows %d; run the newer version, or restore a backup that this one made", ErrNewer, s.engine.Name(), stored.Schema, schema)
	}
	return nil
}

func (s *Store) judgeKey(tx kv.Tx) error {
	sealed, found, err := tx.Get(keyKeyCheck)
	if err != nil {
		return err
	}
	if !found {
		return s.damaged(keyKeyCheck, errors.New("it is missing"))
	}
	if plain, err := s.codec.keyring.Load().Open(sealed, keyKeyCheck); err != nil || string(plain) != checkText {
		return fmt.Errorf("wrong key: %w: %s was sealed with another key file; start with the one that was used with it, which may have been moved, replaced or restored from elsewhere",
			secret.ErrWrongKey, s.engine.Name())
	}
	return nil
}

// judgeSlugs holds the index of slugs against the servers.
func (s *Store) judgeSlugs(tx kv.Tx, servers []Server) error {
	owners, err := scan(s, tx, prefixSlug, func(stored slugRecord) (string, error) { return stored.ServerID, nil })
	if err != nil {
		return err
	}
	if len(owners) != len(servers) {
		return s.damaged(prefixSlug, fmt.Errorf("there are %d slugs for %d servers", len(owners), len(servers)))
	}
	for _, server := range servers {
		var owner slugRecord
		if found, err := s.get(tx, slugKey(server.Slug), &owner); err != nil {
			return err
		} else if !found || owner.ServerID != server.ID {
			return s.damaged(serverKey(server.ID), errors.New("its slug belongs to another server"))
		}
	}
	return nil
}

// judgeOAuth opens what users connected, which no snapshot shows.
func (s *Store) judgeOAuth(tx kv.Tx) error {
	_, grants := scan(s, tx, prefixGrant, s.codec.openGrant)
	_, flows := scan(s, tx, prefixFlow, s.codec.openFlow)
	_, links := scan(s, tx, prefixLink, openLink)
	_, registrations := scan(s, tx, prefixRegistration, s.codec.openRegistration)
	return errors.Join(grants, flows, links, registrations)
}

// begin writes schema version and key check value into an empty engine, unless another replica was faster.
func (s *Store) begin(ctx context.Context) error {
	err := s.engine.Update(ctx, func(tx kv.Tx) error {
		empty, err := isEmpty(tx)
		if err != nil {
			return err
		}
		if !empty {
			return s.judge(tx)
		}
		text, err := json.Marshal(schemaRecord{Schema: schema})
		if err != nil {
			return err
		}
		if err := tx.Put(keySchema, text); err != nil {
			return err
		}
		return s.putKeyCheck(tx)
	})
	if err == nil {
		s.logger.Info("a new store was made", "store", s.engine.Name(), "schema", schema)
	}
	return err
}

func (s *Store) putKeyCheck(tx kv.Tx) error {
	sealed, err := s.codec.keyring.Load().Seal([]byte(checkText), keyKeyCheck)
	if err != nil {
		return err
	}
	return tx.Put(keyKeyCheck, sealed)
}
