// Package kvtest is the contract of a kv engine, as tests. An engine's own test calls Run.
//
// It owns what every engine must do; it deliberately does not know how one stores anything. Tests of files, locks and damage are the engine's own.
package kvtest

import (
	"slices"
	"testing"

	"mcpsidecar/configstore/kv"
)

// Place makes an empty place for an engine. The function it returns opens an engine there; called again, after the engine was closed, it opens one on the same state.
type Place func(t testing.TB) (open func() (kv.Engine, error))

// Run holds an engine against the contract.
func Run(t *testing.T, place Place) {
	for _, c := range []struct {
		name string
		test func(*testing.T, kv.Engine)
	}{
		{"put, get and delete", putGetDelete},
		{"keys are judged", keysAreJudged},
		{"keys are in the order of their bytes", order},
		{"scan takes a prefix and stops when told", scan},
		{"values are copies", copies},
		{"a failed update changes nothing", failedUpdate},
		{"a panic changes nothing and blocks nobody", panicking},
		{"a view cannot write", readOnly},
		{"a view sees one state", isolation},
		{"an update sees its own writes", ownWrites},
		{"concurrent updates lose nothing", contended},
		{"the revision grows with each commit", revision},
		{"a context that ended stops work", endedContext},
		{"a waiting update can be given up", waitingUpdate},
		{"watch", watch},
		{"watches end", watchesEnd},
		{"close", closing},
		{"a backup is written while others write", backup},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, opened(t, place(t))) })
	}
	t.Run("what was committed is there after reopening", func(t *testing.T) { reopening(t, place(t)) })
}

func opened(t testing.TB, open func() (kv.Engine, error)) kv.Engine {
	t.Helper()
	engine, err := open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { engine.Close() })
	return engine
}

func update(t testing.TB, engine kv.Engine, change func(kv.Tx) error) {
	t.Helper()
	if err := engine.Update(t.Context(), change); err != nil {
		t.Fatal(err)
	}
}

// put returns a closure that puts keys and values in turn.
func put(pairs ...string) func(kv.Tx) error {
	return func(tx kv.Tx) error {
		for i := 0; i < len(pairs); i += 2 {
			if err := tx.Put(pairs[i], []byte(pairs[i+1])); err != nil {
				return err
			}
		}
		return nil
	}
}

// all reads everything under a prefix as "key=value".
func all(t testing.TB, engine kv.Engine, prefix string) []string {
	t.Helper()
	var found []string
	err := engine.View(t.Context(), func(tx kv.Tx) error {
		found = nil
		return tx.Scan(prefix, func(key string, value []byte) bool {
			found = append(found, key+"="+string(value))
			return true
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func expect(t testing.TB, engine kv.Engine, want ...string) {
	t.Helper()
	if got := all(t, engine, ""); !slices.Equal(got, want) {
		t.Errorf("the store holds %q, want %q", got, want)
	}
}
