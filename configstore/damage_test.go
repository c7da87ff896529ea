package configstore_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"mcpsidecar/configstore"
	"mcpsidecar/configstore/kv"
	"mcpsidecar/configstore/kv/boltkv"
	"mcpsidecar/internal/secret"
	"mcpsidecar/policy"
)

// example is a valid server with every kind of secret.
func example(slug string) configstore.Server {
	s := configstore.Server{
		ID: configstore.NewID(), DisplayName: "Server " + slug, Slug: slug, Transport: configstore.StreamableHTTP, URL: "https://" + slug + ".example/mcp",
		AuthType: configstore.AuthAPIKey, APIKeyValue: secret.New("key-of-" + slug), OAuth2ClientSecret: secret.New("client-secret-of-" + slug),
		CustomHeaders: map[string]secret.Value{"X-One": secret.New("one-of-" + slug)},
	}
	s.Rules = policy.Rules{Enabled: true, Availability: policy.DefaultOn, ToolDenyList: []string{"drop_*"}}
	s.Normalize()
	return s
}

// stored makes a store with something of every kind in it and closes it.
func stored(t testing.TB) (path string, server configstore.Server) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "store.db")
	store := mustOpen(t, path)
	server, err := store.CreateServer(t.Context(), example("one"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = store.ApproveCatalog(t.Context(), configstore.Catalog{ServerID: server.ID, Baseline: policy.Baseline{"a": {ReadOnly: true}}}, 0, true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = store.CreateToken(t.Context(), configstore.APIToken{ID: "t1", Hash: [32]byte{1}, Role: "agent", User: "alice"}); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	return path, server
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// edit changes the raw values of a store.
func edit(t testing.TB, path string, change func(kv.Tx) error) {
	t.Helper()
	engine, err := boltkv.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(engine.Update(t.Context(), change), engine.Close()); err != nil {
		t.Fatal(err)
	}
}

// swapped replaces a part of a value.
func swapped(key, old, new string) func(kv.Tx) error {
	return func(tx kv.Tx) error {
		value, found, err := tx.Get(key)
		if err != nil || !found || !bytes.Contains(value, []byte(old)) {
			return errors.Join(errors.New("the value of "+key+" is not what the test thinks"), err)
		}
		return tx.Put(key, bytes.Replace(value, []byte(old), []byte(new), 1))
	}
}

// moved copies a value to another key.
func moved(from, to string) func(kv.Tx) error {
	return func(tx kv.Tx) error {
		value, found, err := tx.Get(from)
		if err != nil || !found {
			return errors.Join(errors.New("there is no "+from), err)
		}
		return tx.Put(to, value)
	}
}

func TestRecordsThatTheKeyDidNotWriteAreRefused(t *testing.T) {
	base, server := stored(t)
	key := "server/" + server.ID
	flip := func(key string, at int) func(kv.Tx) error {
		return func(tx kv.Tx) error {
			value, _, err := tx.Get(key)
			if err != nil {
				return err
			}
			value[(at+len(value))%len(value)] ^= 1
			return tx.Put(key, value)
		}
	}
	for _, c := range []struct {
		name   string
		change func(kv.Tx) error
		want   error
	}{
		{"a flipped format", flip(key, 0), configstore.ErrDamaged},
		{"a flipped length", flip(key, 1), configstore.ErrDamaged},
		{"a flipped seal", flip(key, 10), configstore.ErrDamaged},
		{"a flipped sealed secret", swapped(key, `"api_key_value":"`, `"api_key_value":"A`), configstore.ErrDamaged},
		{"a flipped end", flip(key, -1), configstore.ErrDamaged},
		{"an empty value", func(tx kv.Tx) error { return tx.Put(key, nil) }, configstore.ErrDamaged},
		{"another address", swapped(key, "one.example", "two.example"), configstore.ErrDamaged},
		{"a shorter deny list", swapped(key, `["drop_*"]`, `[]`), configstore.ErrDamaged},
		{"a higher role", swapped("token/t1", "agent", "admin"), configstore.ErrDamaged},
		{"a copied token", moved("token/t1", "token/t2"), configstore.ErrDamaged},
		{"a copied server", moved(key, "server/other"), configstore.ErrDamaged},
		{"a catalog for a server", moved(key, "catalog/"+server.ID), configstore.ErrDamaged},
		{"a user that nobody wrote", func(tx kv.Tx) error { return tx.Put("user/mallory", []byte(`{"name":"mallory"}`)) }, configstore.ErrDamaged},
		{"a lost slug", func(tx kv.Tx) error { return tx.Delete("slug/one") }, configstore.ErrDamaged},
		{"a lost server", func(tx kv.Tx) error { return tx.Delete(key) }, configstore.ErrDamaged},
		{"no schema", func(tx kv.Tx) error { return tx.Delete("meta/schema") }, configstore.ErrDamaged},
		{"a schema that is none", func(tx kv.Tx) error { return tx.Put("meta/schema", []byte("{")) }, configstore.ErrDamaged},
		{"schema 0", func(tx kv.Tx) error { return tx.Put("meta/schema", []byte(`{"schema":0}`)) }, configstore.ErrDamaged},
		{"no key check", func(tx kv.Tx) error { return tx.Delete("meta/key_check") }, configstore.ErrDamaged},
		{"a newer schema", func(tx kv.Tx) error { return tx.Put("meta/schema", []byte(`{"schema":2,"of":"tomorrow"}`)) }, configstore.ErrNewer},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := copied(t, base)
			edit(t, path, c.change)
			refusedUntouched(t, path, c.want)
		})
	}
}

// copied copies a store and its key to a directory of its own.
func copied(t testing.TB, base string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "store.db")
	for _, suffix := range []string{"", ".key"} {
		if err := os.WriteFile(path+suffix, read(t, base+suffix), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// refusedUntouched holds a refusal against what an operator needs of it.
func refusedUntouched(t testing.TB, path string, want error) {
	t.Helper()
	before := sha256.Sum256(read(t, path))
	store, err := openFile(path)
	if err == nil {
		store.Close()
		t.Fatal("it opened")
	}
	if !errors.Is(err, want) {
		t.Errorf("the error is %v, want %v", err, want)
	}
	text := err.Error()
	if !strings.Contains(text, path) || strings.Contains(text, "\n") || !strings.Contains(text, "restore") && !strings.Contains(text, "start with") {
		t.Errorf("the error does not name the file and what to do in one line: %s", text)
	}
	if sha256.Sum256(read(t, path)) != before {
		t.Error("the file was changed")
	}
	again, err := boltkv.Open(path) // a refused store is not left locked
	if err == nil {
		again.Close()
	} else if errors.Is(err, boltkv.ErrLocked) {
		t.Error("the file is still locked")
	}
}

// The engine refuses these; here it is the way through the store that counts.
func TestDamagedFilesAreRefused(t *testing.T) {
	base, _ := stored(t)
	for name, damage := range map[string]func([]byte) []byte{
		"empty":           func(b []byte) []byte { return nil },
		"garbage":         func(b []byte) []byte { return bytes.Repeat([]byte{0x5a}, len(b)) },
		"a stub":          func(b []byte) []byte { return b[:100] },
		"half":            func(b []byte) []byte { return b[:len(b)/2] },
		"two pages":       func(b []byte) []byte { return b[:8192] },
		"both headers":    func(b []byte) []byte { clear(b[:8192]); return b },
		"page headers":    func(b []byte) []byte { return eachPage(b, func(p []byte) { clear(p[:16]) }) },
		"flipped pages":   func(b []byte) []byte { return eachPage(b, func(p []byte) { p[8] ^= 0xff }) },
		"flipped content": func(b []byte) []byte { return bytes.ReplaceAll(b, []byte(`"role":"agent"`), []byte(`"role":"admin"`)) },
	} {
		t.Run(name, func(t *testing.T) {
			path := copied(t, base)
			if err := os.WriteFile(path, damage(read(t, path)), 0o600); err != nil {
				t.Fatal(err)
			}
			want := configstore.ErrDamaged
			if name == "garbage" || name == "both headers" {
				want = kv.ErrForeign
			}
			refusedUntouched(t, path, want)
		})
	}
	t.Run("one header", func(t *testing.T) {
		path := copied(t, base)
		text := read(t, path)
		clear(text[:4096])
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		store := mustOpen(t, path)
		if _, err := store.Snapshot(t.Context()); err != nil {
			t.Error(err)
		}
		store.Close()
	})
}

func eachPage(b []byte, change func([]byte)) []byte {
	for at := 8192; at+4096 <= len(b); at += 4096 {
		change(b[at : at+4096])
	}
	return b
}

func TestTheWrongKey(t *testing.T) {
	path, server := stored(t)
	right := read(t, path+".key")
	other := filepath.Join(t.TempDir(), "other.key")
	if _, _, err := secret.LoadKeyring(other, true); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".key", read(t, other), 0o600); err != nil {
		t.Fatal(err)
	}
	refusedUntouched(t, path, secret.ErrWrongKey)
	if _, err := openFile(path); !strings.Contains(err.Error(), "wrong key") {
		t.Errorf("the error is %v", err)
	}
	if err := os.WriteFile(path+".key", right, 0o600); err != nil {
		t.Fatal(err)
	}
	store := mustOpen(t, path)
	if got, err := store.Server(t.Context(), server.ID); err != nil || got.APIKeyValue.Reveal() != "key-of-one" {
		t.Errorf("with the right key again: %q, %v", got.APIKeyValue.Reveal(), err)
	}
	store.Close()
}

func TestAfterARotationAndAResealTheOldKeyIsNotNeeded(t *testing.T) {
	path, _ := stored(t)
	old := loadKey(t, path)
	rotated, err := secret.Rotate(path + ".key")
	if err != nil {
		t.Fatal(err)
	}
	store, err := openWith(path, rotated)
	if err != nil {
		t.Fatal(err)
	}
	before, err := store.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n, err := store.Reseal(t.Context(), nil); err != nil || n != 6 { // server, slug, catalog, token, user, key check
		t.Errorf("%d values sealed anew, %v", n, err)
	}
	after, err := store.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(after.Servers) != 1 || after.Servers[0].Revision != before.Servers[0].Revision || !after.Servers[0].UpdatedAt.Equal(before.Servers[0].UpdatedAt) {
		t.Error("sealing anew changed a record")
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := openWith(path, old); !errors.Is(err, secret.ErrWrongKey) {
		t.Errorf("the old key still opens something: %v", err)
	}
	engine, err := boltkv.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	prefix := oldPrefix(t, old)
	engine.View(t.Context(), func(tx kv.Tx) error {
		return tx.Scan("", func(key string, value []byte) bool {
			if bytes.Contains(value, prefix) {
				t.Errorf("%s holds something that the old key sealed", key)
			}
			return true
		})
	})
}

// oldPrefix is how texts begin that a keyring's key sealed.
func oldPrefix(t *testing.T, keyring *secret.Keyring) []byte {
	t.Helper()
	sealed, err := keyring.Seal(nil, "")
	if err != nil {
		t.Fatal(err)
	}
	return sealed[:5]
}

func TestModesOfTheFiles(t *testing.T) {
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	path := filepath.Join(t.TempDir(), "data", "store.db")
	store := mustOpen(t, path)
	mode := func(path string) fs.FileMode {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Mode().Perm()
	}
	for name, want := range map[string]fs.FileMode{path: 0o600, path + ".key": 0o600, filepath.Dir(path): 0o700} {
		if got := mode(name); got != want {
			t.Errorf("%s has mode %04o, want %04o", name, got, want)
		}
	}
	store.Close()
	for _, name := range []string{path, path + ".key"} {
		if err := os.Chmod(name, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	mustOpen(t, path).Close()
	if file, key := mode(path), mode(path+".key"); file != 0o600 || key != 0o600 {
		t.Errorf("0644 became %04o and %04o", file, key)
	}
}
