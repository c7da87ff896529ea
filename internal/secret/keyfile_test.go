package secret_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"google.golang.org/protobuf/proto"

	gcmpb "github.com/tink-crypto/tink-go/v2/proto/aes_gcm_go_proto"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"

	"mcpsidecar/internal/secret"
)

func made(t *testing.T) (path string, k *secret.Keyring) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "sidecar.key")
	k, made, err := secret.LoadKeyring(path, true)
	if err != nil || !made {
		t.Fatalf("made %t, %v", made, err)
	}
	return path, k
}

func modeOf(t *testing.T, path string) fs.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}

func TestAKeyFileIsMadeOnceAndLoadedAfterwards(t *testing.T) {
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	path := filepath.Join(t.TempDir(), "data", "sidecar.key")
	k, wasMade, err := secret.LoadKeyring(path, true)
	if err != nil || !wasMade {
		t.Fatalf("made %t, %v", wasMade, err)
	}
	if mode := modeOf(t, path); mode != 0o600 {
		t.Errorf("its mode is %04o", mode)
	}
	if mode := modeOf(t, filepath.Dir(path)); mode != 0o700 {
		t.Errorf("its directory's mode is %04o", mode)
	}
	sealed := seal(t, k, "text", "p")
	for _, create := range []bool{true, false} {
		again, wasMade, err := secret.LoadKeyring(path, create)
		if err != nil || wasMade {
			t.Fatalf("again: made %t, %v", wasMade, err)
		}
		opens(t, again, sealed, "p", "text")
		if derive(t, again, "x") != derive(t, k, "x") {
			t.Error("what is derived changed")
		}
	}
	onlyFile(t, filepath.Dir(path), "sidecar.key")
}

func onlyFile(t *testing.T, directory, name string) {
	t.Helper()
	entries, err := os.ReadDir(directory)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if entry.Name() != name {
			t.Errorf("%s was left behind", entry.Name())
		}
	}
}

func TestAnAbsentKeyFileIsNotMadeUnasked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sidecar.key")
	_, _, err := secret.LoadKeyring(path, false)
	if !errors.Is(err, secret.ErrBadKey) || !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("the error is %v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("something was made: %v", err)
	}
}

func TestManyWhoMakeTheKeyFileAgree(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sidecar.key")
	derived := make([]string, 16)
	makers := 0
	var mu sync.Mutex
	var all sync.WaitGroup
	for i := range derived {
		all.Go(func() {
			k, wasMade, err := secret.LoadKeyring(path, true)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if wasMade {
				makers++
			}
			derived[i] = derive(t, k, "x")
		})
	}
	all.Wait()
	if makers != 1 {
		t.Errorf("%d made it", makers)
	}
	for _, d := range derived {
		if d != derived[0] {
			t.Fatal("they hold different keys")
		}
	}
	onlyFile(t, filepath.Dir(path), "sidecar.key")
}

func TestALooseModeIsTightened(t *testing.T) {
	for _, loose := range []fs.FileMode{0o644, 0o640, 0o666, 0o604, 0o444} {
		path, _ := made(t)
		if err := os.Chmod(path, loose); err != nil {
			t.Fatal(err)
		}
		k, _, err := secret.LoadKeyring(path, false)
		if err != nil {
			t.Fatal(err)
		}
		if mode := modeOf(t, path); mode&0o077 != 0 {
			t.Errorf("%04o became %04o", loose, mode)
		}
		if w := k.Warnings(); len(w) != 1 || !strings.Contains(w[0], path) {
			t.Errorf("the warnings are %q", w)
		}
	}
	path, _ := made(t)
	k, _, err := secret.LoadKeyring(path, false)
	if err != nil || len(k.Warnings()) != 0 {
		t.Errorf("a tight file warns: %q, %v", k.Warnings(), err)
	}
}

func TestRotateTheFile(t *testing.T) {
	path, old := made(t)
	before := seal(t, old, "text", "p")
	for range 3 {
		rotated, err := secret.Rotate(path)
		if err != nil {
			t.Fatal(err)
		}
		loaded, _, err := secret.LoadKeyring(path, false)
		if err != nil {
			t.Fatal(err)
		}
		opens(t, loaded, before, "p", "text")
		opens(t, loaded, seal(t, rotated, "new", "p"), "p", "new")
		staysShut(t, old, seal(t, loaded, "new", "p"), "p")
	}
	if mode := modeOf(t, path); mode != 0o600 {
		t.Errorf("its mode is %04o", mode)
	}
	onlyFile(t, filepath.Dir(path), "sidecar.key")
}

func TestRotateDoesNotReplaceABadFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sidecar.key")
	if _, err := secret.Rotate(path); !errors.Is(err, secret.ErrBadKey) {
		t.Errorf("rotating nothing: %v", err)
	}
	onlyFile(t, filepath.Dir(path), "")
}

// keyFile builds the content of a key file around a keyset and a secret to derive from.
func keyFile(t *testing.T, set *tinkpb.Keyset, derive []byte) []byte {
	t.Helper()
	var text bytes.Buffer
	if err := keyset.NewJSONWriter(&text).Write(set); err != nil {
		t.Fatal(err)
	}
	file, err := json.Marshal(map[string]any{"format": "mcp-sidecar-keys/1", "keyset": json.RawMessage(text.Bytes()), "derive": derive})
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// with returns a keyset of one AES-GCM key of that material.
func with(t *testing.T, material []byte, prefix tinkpb.OutputPrefixType) *tinkpb.Keyset {
	t.Helper()
	key, err := proto.Marshal(&gcmpb.AesGcmKey{KeyValue: material})
	if err != nil {
		t.Fatal(err)
	}
	return &tinkpb.Keyset{PrimaryKeyId: 7, Key: []*tinkpb.Keyset_Key{{
		KeyId: 7, Status: tinkpb.KeyStatusType_ENABLED, OutputPrefixType: prefix,
		KeyData: &tinkpb.KeyData{TypeUrl: "type.googleapis.com/google.crypto.tink.AesGcmKey", Value: key, KeyMaterialType: tinkpb.KeyData_SYMMETRIC},
	}}}
}

func ofTemplate(t *testing.T, template *tinkpb.KeyTemplate) *tinkpb.Keyset {
	t.Helper()
	handle, err := keyset.NewHandle(template)
	if err != nil {
		t.Fatal(err)
	}
	return insecurecleartextkeyset.KeysetMaterial(handle)
}

func random(n int) []byte {
	sum := sha256.Sum256([]byte("as good as random for a test"))
	return bytes.Repeat(sum[:], 2)[:n]
}

func counting() []byte {
	b := make([]byte, 32)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

func TestBadKeyFilesAreRefused(t *testing.T) {
	const tinkPrefix = tinkpb.OutputPrefixType_TINK
	good := with(t, random(32), tinkPrefix)
	if _, err := load(t, keyFile(t, good, random(32)), 0o600); err != nil {
		t.Fatalf("the good file is refused: %v", err)
	}
	whole := keyFile(t, good, random(32))
	text := "a secret key that somebody typed"
	for name, content := range map[string][]byte{
		"empty":                      {},
		"blank":                      []byte(" \n\t\n"),
		"64 zeros":                   []byte(strings.Repeat("0", 64)),
		"16 bytes":                   random(16),
		"32 raw bytes":               random(32),
		"base64 of 32 bytes":         []byte(base64.StdEncoding.EncodeToString(random(32))),
		"half":                       whole[:len(whole)/2],
		"one byte short":             whole[:len(whole)-1],
		"something behind":           append(bytes.Clone(whole), "x"...),
		"two objects":                append(bytes.Clone(whole), whole...),
		"null":                       []byte("null"),
		"an array":                   []byte("[]"),
		"an empty object":            []byte("{}"),
		"another format":             bytes.Replace(whole, []byte("keys/1"), []byte("keys/2"), 1),
		"an unknown member":          bytes.Replace(whole, []byte("{"), []byte(`{"x":1,`), 1),
		"no keyset":                  []byte(`{"format":"mcp-sidecar-keys/1","derive":"` + base64.StdEncoding.EncodeToString(random(32)) + `"}`),
		"null keyset":                []byte(`{"format":"mcp-sidecar-keys/1","keyset":null,"derive":"` + base64.StdEncoding.EncodeToString(random(32)) + `"}`),
		"empty keyset":               keyFile(t, &tinkpb.Keyset{}, random(32)),
		"no primary":                 keyFile(t, &tinkpb.Keyset{PrimaryKeyId: 8, Key: good.Key}, random(32)),
		"zero key":                   keyFile(t, with(t, make([]byte, 32), tinkPrefix), random(32)),
		"all-equal key":              keyFile(t, with(t, bytes.Repeat([]byte{0xa5}, 32), tinkPrefix), random(32)),
		"repeating key":              keyFile(t, with(t, bytes.Repeat([]byte{0xde, 0xad, 0xbe, 0xef}, 8), tinkPrefix), random(32)),
		"counting key":               keyFile(t, with(t, counting(), tinkPrefix), random(32)),
		"typed key":                  keyFile(t, with(t, []byte(text), tinkPrefix), random(32)),
		"16-byte key":                keyFile(t, with(t, random(16), tinkPrefix), random(32)),
		"key without a number":       keyFile(t, with(t, random(32), tinkpb.OutputPrefixType_RAW), random(32)),
		"key of another kind":        keyFile(t, ofTemplate(t, aead.XChaCha20Poly1305KeyTemplate()), random(32)),
		"AES-128":                    keyFile(t, ofTemplate(t, aead.AES128GCMKeyTemplate()), random(32)),
		"no secret to derive from":   keyFile(t, good, nil),
		"short secret to derive":     keyFile(t, good, random(31)),
		"all-equal secret to derive": keyFile(t, good, make([]byte, 32)),
		"huge":                       bytes.Repeat([]byte(" x"), 1<<20),
	} {
		t.Run(name, func(t *testing.T) {
			path, err := load(t, content, 0o600)
			if !errors.Is(err, secret.ErrBadKey) {
				t.Fatalf("the error is %v", err)
			}
			if !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "restore") {
				t.Errorf("the error does not name the file and what to do: %v", err)
			}
			if strings.Contains(err.Error(), text) || strings.Contains(err.Error(), "\n") {
				t.Errorf("the error repeats the content: %v", err)
			}
			after, err := os.ReadFile(path)
			if err != nil || !bytes.Equal(after, content) {
				t.Error("the file was touched")
			}
		})
	}
}

// load writes a file and loads it, asking for a new key, which a bad file must not give.
func load(t *testing.T, content []byte, mode fs.FileMode) (string, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sidecar.key")
	if err := os.WriteFile(path, content, mode); err != nil {
		t.Fatal(err)
	}
	_, wasMade, err := secret.LoadKeyring(path, true)
	if wasMade {
		t.Error("a new key was made over a bad one")
	}
	return path, err
}

func TestADirectoryIsNoKeyFile(t *testing.T) {
	if _, _, err := secret.LoadKeyring(t.TempDir(), true); !errors.Is(err, secret.ErrBadKey) {
		t.Errorf("the error is %v", err)
	}
}
