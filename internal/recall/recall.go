package recall

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"mcpsidecar/configstore/kv"
)

// Bounds of what is kept.
const (
	Life       = 48 * time.Hour
	MaxText    = 64 << 10 // bytes of one text
	sweepAfter = time.Hour
)

// ErrTooLarge is what Keep says of a text that is longer than MaxText.
var ErrTooLarge = errors.New("it is too much to be remembered")

// Config is what a Store needs.
type Config struct {
	Engine  kv.Engine        // required; the store closes it, also when Open fails
	Key     [32]byte         // seals; the same key after a restart opens what was kept
	PerUser int              // texts of one user [1024]
	Overall int              // texts [16384]
	Now     func() time.Time // nil: time.Now
}

// Store keeps texts. Safe for concurrent use.
type Store struct {
	// fixed at creation
	engine           kv.Engine
	aead             cipher.AEAD
	names            []byte // key of keyOf
	perUser, overall int
	now              func() time.Time

	writing sync.Mutex // held by whoever writes, so that index is what the engine has
	swept   time.Time  // guarded by writing

	mu    sync.RWMutex                    // guards what follows
	index map[string]map[string]time.Time // of a user's key: when each of its texts ends, by the key of its session
	count int
}

// Open reads what there is. What holds anything else than a Store wrote is refused untouched (kv.ErrForeign): here the oldest would be deleted.
func Open(ctx context.Context, config Config) (*Store, error) {
	s := &Store{engine: config.Engine, perUser: config.PerUser, overall: config.Overall, now: config.Now, index: map[string]map[string]time.Time{}}
	if s.perUser == 0 {
		s.perUser = 1024
	}
	if s.overall == 0 {
		s.overall = 16384
	}
	if s.now == nil {
		s.now = time.Now
	}
	block, err := aes.NewCipher(config.Key[:])
	if err == nil {
		s.names, err = hkdf.Key(sha256.New, config.Key[:], nil, "names", sha256.Size)
	}
	if err == nil {
		s.aead, err = cipher.NewGCMWithRandomNonce(block)
	}
	if err == nil {
		err = s.engine.View(ctx, s.read)
	}
	if err != nil {
		return nil, fmt.Errorf("opening what sessions have asked to be remembered: %w", errors.Join(err, s.engine.Close()))
	}
	s.swept = s.now()
	return s, nil
}

// read notes what the engine has.
func (s *Store) read(tx kv.Tx) error {
	foreign := false
	err := tx.Scan("", func(key string, value []byte) bool {
		user, session, _ := strings.Cut(key, "/")
		ends, ok := endOf(value)
		if foreign = !ok || !isKey(user) || !isKey(session); !foreign {
			s.note(user, session, ends)
		}
		return !foreign
	})
	if err == nil && foreign {
		err = fmt.Errorf("%s: %w: it holds something else than what sessions have asked for; it was left as it is: move it away to begin with an empty one", s.engine.Name(), kv.ErrForeign)
	}
	return err
}

// Close closes the engine.
func (s *Store) Close() error { return s.engine.Close() }

// Keep keeps a text of a user's session in place of the one before. When it returns without an error, the text survives a kill.
func (s *Store) Keep(ctx context.Context, user, session string, text []byte) error {
	if len(text) > MaxText {
		return ErrTooLarge
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	owner, own, now := s.keyOf(user), s.keyOf(session), s.now()
	ends := now.Add(Life)
	old := s.outdated(owner, own, now)
	err := s.engine.Update(ctx, func(tx kv.Tx) error {
		for _, key := range old {
			if err := tx.Delete(key.of()); err != nil {
				return err
			}
		}
		return tx.Put(owner+"/"+own, s.seal(owner+"/"+own, ends, text))
	})
	if err != nil {
		return fmt.Errorf("remembering what a session has asked for: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range old {
		s.drop(key)
	}
	s.note(owner, own, ends)
	return nil
}

// Recall returns the text of a user's session; nil: there is none.
func (s *Store) Recall(ctx context.Context, user, session string) (text []byte, err error) {
	owner, own := s.keyOf(user), s.keyOf(session)
	s.mu.RLock()
	ends, known := s.index[owner][own]
	s.mu.RUnlock()
	if !known || !s.now().Before(ends) {
		return nil, nil
	}
	err = s.engine.View(ctx, func(tx kv.Tx) error {
		value, found, err := tx.Get(owner + "/" + own)
		if err == nil && found {
			text = s.open(owner+"/"+own, value)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("recalling what a session has asked for: %w", err)
	}
	return text, nil
}

// Forget drops the text of a user's session, if there is one.
func (s *Store) Forget(ctx context.Context, user, session string) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	key := place{s.keyOf(user), s.keyOf(session)}
	s.mu.RLock()
	_, known := s.index[key.user][key.session]
	s.mu.RUnlock()
	if !known {
		return nil
	}
	if err := s.engine.Update(ctx, func(tx kv.Tx) error { return tx.Delete(key.of()) }); err != nil {
		return fmt.Errorf("forgetting what a session has asked for: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(key)
	return nil
}

// place is where a text is.
type place struct{ user, session string }

func (p place) of() string { return p.user + "/" + p.session }

// outdated is what has to go before one more text of a user can be kept.
func (s *Store) outdated(user, session string, now time.Time) (old []place) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if now.Sub(s.swept) >= sweepAfter {
		s.swept = now
		for owner, texts := range s.index {
			for own, ends := range texts {
				if !now.Before(ends) {
					old = append(old, place{owner, own})
				}
			}
		}
	}
	if _, known := s.index[user][session]; known || len(old) > 0 {
		return old
	}
	switch {
	case len(s.index[user]) >= s.perUser:
		old = append(old, oldest(map[string]map[string]time.Time{user: s.index[user]}))
	case s.count >= s.overall:
		old = append(old, oldest(s.index))
	}
	return old
}

// oldest is the text that was kept before all others.
func oldest(index map[string]map[string]time.Time) (first place) {
	var least time.Time
	for user, texts := range index {
		for session, ends := range texts {
			if first == (place{}) || ends.Before(least) {
				first, least = place{user, session}, ends
			}
		}
	}
	return first
}

// note adds a text to the index. The caller holds mu, or is Open.
func (s *Store) note(user, session string, ends time.Time) {
	if s.index[user] == nil {
		s.index[user] = map[string]time.Time{}
	}
	if _, known := s.index[user][session]; !known {
		s.count++
	}
	s.index[user][session] = ends
}

// drop takes one out. The caller holds mu.
func (s *Store) drop(key place) {
	if _, known := s.index[key.user][key.session]; known {
		s.count--
	}
	if delete(s.index[key.user], key.session); len(s.index[key.user]) == 0 {
		delete(s.index, key.user)
	}
}

// keyOf is what stands for a user or a session. Nobody can try out without the key which user names it is made of.
func (s *Store) keyOf(name string) string {
	mac := hmac.New(sha256.New, s.names)
	mac.Write([]byte(name))
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

// isKey says whether a text can be what keyOf makes.
func isKey(text string) bool {
	decoded, err := hex.DecodeString(text)
	return err == nil && len(decoded) == 16
}

// A value is when it ends, in eight bytes of Unix seconds, and the sealed text. Both are bound to the key.

func endOf(value []byte) (ends time.Time, ok bool) {
	if len(value) < 8 {
		return ends, false
	}
	return time.Unix(int64(binary.BigEndian.Uint64(value)), 0), true
}

func (s *Store) seal(key string, ends time.Time, text []byte) []byte {
	value := binary.BigEndian.AppendUint64(nil, uint64(ends.Unix()))
	return append(value, s.aead.Seal(nil, nil, text, append([]byte(key), value...))...)
}

func (s *Store) open(key string, value []byte) []byte {
	if len(value) < 8 {
		return nil
	}
	text, err := s.aead.Open(nil, nil, value[8:], append([]byte(key), value[:8]...))
	if err != nil {
		return nil
	}
	return text
}
