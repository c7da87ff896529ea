package configstore

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"mcpsidecar/configstore/kv"
	"mcpsidecar/internal/secret"
)

// A stored value is
//
//	format 1 byte | length of the seal 1 byte | seal | JSON
//
// where the seal is an AEAD of nothing whose associated data are the key and the JSON: it proves who wrote them and hides neither.
const envelopeFormat = 1

// errNotOurs is a value that the key did not write at this place, or that is no record.
var errNotOurs = errors.New("the record is not what was written there")

// codec turns records into values and back.
type codec struct {
	keyring *atomic.Pointer[secret.Keyring] // which Store.Rekey replaces
}

func codecOf(keyring *secret.Keyring) codec {
	c := codec{&atomic.Pointer[secret.Keyring]{}}
	c.keyring.Store(keyring)
	return c
}

func recordPlace(key string, text []byte) string { return "record\x00" + key + "\x00" + string(text) }

func (c codec) wrap(key string, text []byte) ([]byte, error) {
	seal, err := c.keyring.Load().Seal(nil, recordPlace(key, text))
	if err != nil {
		return nil, err
	}
	value := append(make([]byte, 0, 2+len(seal)+len(text)), envelopeFormat, byte(len(seal)))
	return append(append(value, seal...), text...), nil
}

func (c codec) unwrap(key string, value []byte) ([]byte, error) {
	if len(value) < 2 || value[0] != envelopeFormat || len(value) < 2+int(value[1]) {
		return nil, errNotOurs
	}
	seal, text := value[2:2+int(value[1])], value[2+int(value[1]):]
	if plain, err := c.keyring.Load().Open(seal, recordPlace(key, text)); err != nil || len(plain) != 0 {
		return nil, errNotOurs
	}
	return text, nil
}

func (c codec) encode(key string, stored any) ([]byte, error) {
	text, err := json.Marshal(stored)
	if err != nil {
		return nil, fmt.Errorf("encoding %s: %w", key, err)
	}
	return c.wrap(key, text)
}

func (c codec) decode(key string, value []byte, stored any) error {
	text, err := c.unwrap(key, value)
	if err != nil {
		return err
	}
	return unmarshal(text, stored)
}

// unmarshal is strict: a field that this version does not know would be lost with the next write.
func unmarshal(text []byte, stored any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(stored); err != nil {
		return fmt.Errorf("%w: %w", errNotOurs, err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return errNotOurs
	}
	return nil
}

// sealText seals a record's secret for its place; no secret is nil.
func (c codec) sealText(v secret.Value, place string) ([]byte, error) {
	if v.IsZero() {
		return nil, nil
	}
	return c.keyring.Load().Seal([]byte(v.Reveal()), place)
}

func (c codec) openText(sealed []byte, place string) (secret.Value, error) {
	if len(sealed) == 0 {
		return secret.Value{}, nil
	}
	plain, err := c.keyring.Load().Open(sealed, place)
	if err != nil {
		return secret.Value{}, errNotOurs
	}
	return secret.New(string(plain)), nil
}

// put stores a record in its stored form.
func (s *Store) put(tx kv.Tx, key string, stored any) error {
	value, err := s.codec.encode(key, stored)
	if err != nil {
		return err
	}
	return tx.Put(key, value)
}

// get reads a record into its stored form.
func (s *Store) get(tx kv.Tx, key string, stored any) (found bool, err error) {
	value, found, err := tx.Get(key)
	if err != nil || !found {
		return false, err
	}
	if err := s.codec.decode(key, value, stored); err != nil {
		return false, s.damaged(key, err)
	}
	return true, nil
}

// damaged says which record cannot be used, where, and what to do.
func (s *Store) damaged(key string, err error) error {
	return fmt.Errorf("%w: %s holds a record %q that cannot be used: %w; restore a backup", ErrDamaged, s.engine.Name(), key, err)
}

// scan reads all records of a kind. D is the stored form, R the record.
func scan[D, R any](s *Store, tx kv.Tx, prefix string, open func(D) (R, error)) ([]R, error) {
	var records []R
	var failure error
	err := tx.Scan(prefix, func(key string, value []byte) bool {
		var stored D
		err := s.codec.decode(key, value, &stored)
		if err == nil {
			var record R
			record, err = open(stored)
			records = append(records, record)
		}
		if err != nil {
			failure = s.damaged(key, err)
		}
		return err == nil
	})
	return records, errors.Join(err, failure)
}
