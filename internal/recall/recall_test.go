package recall_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"mcpsidecar/configstore/kv"
	"mcpsidecar/configstore/kv/boltkv"
	"mcpsidecar/internal/recall"
)

type subject struct {
	*recall.Store
	t     *testing.T
	path  string
	clock time.Time
}

func begin(t *testing.T) *subject {
	s := &subject{t: t, path: filepath.Join(t.TempDir(), "sessions.db"), clock: time.Unix(1_800_000_000, 0)}
	s.open([32]byte{1})
	t.Cleanup(func() { s.Close() })
	return s
}

func (s *subject) open(key [32]byte) {
	s.t.Helper()
	engine, err := boltkv.Open(s.path)
	if err == nil {
		s.Store, err = recall.Open(s.t.Context(), recall.Config{Engine: engine, Key: key, PerUser: 3, Overall: 5, Now: func() time.Time { return s.clock }})
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *subject) again(key [32]byte) {
	s.t.Helper()
	if err := s.Close(); err != nil {
		s.t.Fatal(err)
	}
	s.open(key)
}

func (s *subject) keep(user, session, text string) {
	s.t.Helper()
	s.clock = s.clock.Add(time.Second)
	if err := s.Keep(s.t.Context(), user, session, []byte(text)); err != nil {
		s.t.Fatal(err)
	}
}

func (s *subject) want(user, session, text string) {
	s.t.Helper()
	got, err := s.Recall(s.t.Context(), user, session)
	if err != nil || string(got) != text {
		s.t.Errorf("%s of %s is %q, %v; want %q", session, user, got, err, text)
	}
}

func TestWhatIsKeptOutlivesTheProcess(t *testing.T) {
	s := begin(t)
	s.want("alice", "one", "")
	s.keep("alice", "one", "first")
	s.keep("alice", "one", "second")
	s.keep("alice", "two", "other")
	if err := s.Forget(t.Context(), "alice", "two"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s.want("alice", "one", "second")
		s.want("alice", "two", "")
		s.want("bob", "one", "")
		s.again([32]byte{1})
	}
	s.clock = s.clock.Add(recall.Life - time.Minute)
	s.want("alice", "one", "second")
	s.clock = s.clock.Add(2 * time.Minute)
	s.want("alice", "one", "")
}

func TestWhatIsKeptIsSealed(t *testing.T) {
	s := begin(t)
	s.keep("alice", "the session", "file:///of-alice")
	content, err := os.ReadFile(s.path)
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.Sum256([]byte("alice")) // with which it could be tried out whose it is
	for _, word := range []string{"alice", "the session", "file:///", hex.EncodeToString(hash[:8])} {
		if bytes.Contains(content, []byte(word)) {
			t.Errorf("the file shows %q", word)
		}
	}
	s.again([32]byte{2})
	s.want("alice", "the session", "")
}

func TestTheOldestGo(t *testing.T) {
	s := begin(t)
	for _, session := range []string{"1", "2", "3", "4"} {
		s.keep("alice", session, session)
	}
	s.want("alice", "1", "")
	s.want("alice", "2", "2")
	s.keep("alice", "2", "again") // in its own place, and the newest now
	s.keep("bob", "1", "1")
	s.keep("bob", "2", "2")
	s.keep("carol", "1", "1")
	s.want("alice", "3", "")
	s.want("alice", "2", "again")
	s.want("bob", "1", "1")
	s.want("carol", "1", "1")
}

func TestWhatHasEndedMakesRoom(t *testing.T) {
	s := begin(t)
	s.keep("alice", "1", "1")
	s.clock = s.clock.Add(recall.Life)
	s.keep("bob", "1", "1")
	s.clock = s.clock.Add(-recall.Life)
	s.want("alice", "1", "")
	s.want("bob", "1", "1")
}

func TestWhatIsRefused(t *testing.T) {
	s := begin(t)
	s.keep("alice", "1", "before")
	if err := s.Keep(t.Context(), "alice", "1", []byte(strings.Repeat("x", recall.MaxText+1))); !errors.Is(err, recall.ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
	s.want("alice", "1", "before")
	s.Close()
	if err := s.Keep(t.Context(), "alice", "1", []byte("after")); err == nil {
		t.Error("a closed store keeps something")
	}
}

// TestManyAtOnce: what is kept side by side is all there.
func TestManyAtOnce(t *testing.T) {
	s := begin(t)
	users := []string{"alice", "bob", "carol"}
	var all sync.WaitGroup
	for _, user := range users {
		for range 10 {
			all.Go(func() {
				if err := s.Keep(t.Context(), user, "1", []byte(user)); err != nil {
					t.Error(err)
				}
				s.want(user, "1", user)
				if err := s.Forget(t.Context(), user, "2"); err != nil {
					t.Error(err)
				}
			})
		}
	}
	all.Wait()
	s.again([32]byte{1})
	for _, user := range users {
		s.want(user, "1", user)
	}
}

// TestWhatIsNotOursIsRefusedUntouched: in a file of something else the oldest would be deleted, sooner or later.
func TestWhatIsNotOursIsRefusedUntouched(t *testing.T) {
	ours := strings.Repeat("0a", 16) + "/" + strings.Repeat("0b", 16)
	for name, entry := range map[string][2]string{
		"a record of the config store": {"meta/schema", `{"schema":1}`},
		"a key without a session":      {strings.Repeat("0a", 16), "12345678"},
		"a session of another length":  {strings.Repeat("0a", 16) + "/0b", "12345678"},
		"a value that is cut short":    {ours, "1234567"},
	} {
		t.Run(name, func(t *testing.T) {
			s := begin(t)
			s.keep("alice", "one", "text")
			s.Close()
			engine, err := boltkv.Open(s.path)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(engine.Update(t.Context(), func(tx kv.Tx) error { return tx.Put(entry[0], []byte(entry[1])) }), engine.Close()); err != nil {
				t.Fatal(err)
			}
			before, err := os.ReadFile(s.path)
			if err != nil {
				t.Fatal(err)
			}
			if engine, err = boltkv.Open(s.path); err != nil {
				t.Fatal(err)
			}
			_, err = recall.Open(t.Context(), recall.Config{Engine: engine, Key: [32]byte{1}})
			if !errors.Is(err, kv.ErrForeign) || !strings.Contains(err.Error(), s.path) || !strings.Contains(err.Error(), "move it away") {
				t.Errorf("opening it: %v", err)
			}
			if after, _ := os.ReadFile(s.path); !bytes.Equal(after, before) {
				t.Error("the file was changed")
			}
		})
	}
}
