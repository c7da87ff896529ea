package configstore

import (
	"context"
	"strings"

	"mcpsidecar/configstore/kv"
	"mcpsidecar/internal/secret"
)

// resealStep is how many records one transaction seals, so that other writers get their turn.
const resealStep = 64

// Rekey makes the store seal with another keyring from now on: one that opens what is there, as a rotated one does (secret.Rotate). What is there stays as it is until Reseal.
// It takes its turn among the writers, so that whatever was sealed with the keyring before is there when it returns, for Reseal to find.
func (s *Store) Rekey(ctx context.Context, next *secret.Keyring) error {
	return s.update(ctx, opReseal, func(tx kv.Tx) error {
		sealed, _, err := tx.Get(keyKeyCheck)
		if err != nil {
			return err
		}
		if plain, err := next.Open(sealed, keyKeyCheck); err != nil || string(plain) != checkText {
			return secret.ErrWrongKey
		}
		s.codec.keyring.Store(next)
		return errUnchanged
	})
}

// Resealed says whether everything is sealed with the key that seals now.
func (s *Store) Resealed(ctx context.Context) (yes bool, err error) {
	err = s.view(ctx, opReseal, func(tx kv.Tx) error {
		sealed, _, err := tx.Get(keyKeyCheck)
		yes = s.codec.keyring.Load().Newest(sealed)
		return err
	})
	return yes, err
}

// Reseal seals every record and secret anew with the primary key of the store's keyring, and says how many values it wrote. After a rotation (secret.Rotate, then Rekey or a store opened with the new
// keyring) and a whole Reseal no present value needs the old key. It can be interrupted and begun again at any point, and others can write meanwhile: each value opens with the keyring before and after.
// told hears after each step how far it is; it may be nil.
func (s *Store) Reseal(ctx context.Context, told func(done, total int)) (resealed int, err error) {
	var keys []string
	if err := s.view(ctx, opReseal, func(tx kv.Tx) error {
		keys = nil
		return tx.Scan("", func(key string, _ []byte) bool {
			if key != keyKeyCheck {
				keys = append(keys, key)
			}
			return true
		})
	}); err != nil {
		return 0, err
	}
	keys = append(keys, keyKeyCheck) // the last, so that it says whether all were done
	for total := len(keys); len(keys) > 0; {
		step := keys[:min(resealStep, len(keys))]
		keys = keys[len(step):]
		count := 0
		err := s.update(ctx, opReseal, func(tx kv.Tx) error {
			count = 0
			for _, key := range step {
				done, err := s.reseal(tx, key)
				if err != nil {
					return err
				}
				if done {
					count++
				}
			}
			return nil
		})
		if err != nil {
			return resealed, err
		}
		if resealed += count; told != nil {
			told(total-len(keys), total)
		}
	}
	return resealed, nil
}

// reseal writes one value again; false if it is gone by now or carries no seal.
func (s *Store) reseal(tx kv.Tx, key string) (bool, error) {
	value, found, err := tx.Get(key)
	switch {
	case err != nil || !found || key == keySchema || key == keyProbe:
		return false, err
	case key == keyKeyCheck:
		return true, s.putKeyCheck(tx)
	case strings.HasPrefix(key, prefixServer):
		server, err := s.server(tx, strings.TrimPrefix(key, prefixServer))
		if err != nil {
			return false, err
		}
		return true, s.putServer(tx, server)
	case strings.HasPrefix(key, prefixGrant):
		return true, sealAgain(s, tx, key, s.codec.openGrant, s.codec.sealGrant)
	case strings.HasPrefix(key, prefixFlow):
		return true, sealAgain(s, tx, key, s.codec.openFlow, s.codec.sealFlow)
	case strings.HasPrefix(key, prefixRegistration):
		return true, sealAgain(s, tx, key, s.codec.openRegistration, s.codec.sealRegistration)
	}
	text, err := s.codec.unwrap(key, value)
	if err != nil {
		return false, s.damaged(key, err)
	}
	if value, err = s.codec.wrap(key, text); err != nil {
		return false, err
	}
	return true, tx.Put(key, value)
}

// sealAgain writes a record with secrets again, as it is.
func sealAgain[D, R any](s *Store, tx kv.Tx, key string, open func(D) (R, error), seal func(R) (D, error)) error {
	var stored D
	if _, err := s.get(tx, key, &stored); err != nil {
		return err
	}
	record, err := open(stored)
	if err != nil {
		return s.damaged(key, err)
	}
	if stored, err = seal(record); err != nil {
		return err
	}
	return s.put(tx, key, stored)
}
