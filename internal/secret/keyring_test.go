package secret_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"mcpsidecar/internal/secret"
)

func newKeyring(t testing.TB) *secret.Keyring {
	t.Helper()
	k, err := secret.NewKeyring()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func seal(t testing.TB, k *secret.Keyring, text, place string) []byte {
	t.Helper()
	sealed, err := k.Seal([]byte(text), place)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func opens(t testing.TB, k *secret.Keyring, sealed []byte, place, want string) {
	t.Helper()
	plain, err := k.Open(sealed, place)
	if err != nil || string(plain) != want {
		t.Errorf("opening at %s: %q, %v; want %q", place, plain, err, want)
	}
}

func staysShut(t testing.TB, k *secret.Keyring, sealed []byte, place string) {
	t.Helper()
	if plain, err := k.Open(sealed, place); !errors.Is(err, secret.ErrWrongKey) || plain != nil {
		t.Errorf("opening %d bytes at %q: %q, %v; want ErrWrongKey", len(sealed), place, plain, err)
	}
}

func TestSealedTextOpensAtItsPlaceOnly(t *testing.T) {
	k := newKeyring(t)
	for _, text := range []string{"", "x", canary, strings.Repeat("long ", 4000), "\x00\xff"} {
		sealed := seal(t, k, text, "server/1/api_key_value")
		opens(t, k, sealed, "server/1/api_key_value", text)
		staysShut(t, k, sealed, "server/2/api_key_value")
		staysShut(t, k, sealed, "server/1/oauth2_client_secret")
		staysShut(t, k, sealed, "")
		staysShut(t, newKeyring(t), sealed, "server/1/api_key_value")
		if text == canary && bytes.Contains(sealed, []byte(canary)) {
			t.Error("the sealed text contains the text")
		}
	}
}

func TestShortAndChangedTextsStayShut(t *testing.T) {
	k := newKeyring(t)
	sealed := seal(t, k, canary, "p")
	for n := range len(sealed) {
		staysShut(t, k, sealed[:n], "p")
		changed := bytes.Clone(sealed)
		changed[n] ^= 1
		staysShut(t, k, changed, "p")
	}
	staysShut(t, k, nil, "p")
	staysShut(t, k, append(bytes.Clone(sealed), 0), "p")
}

func TestTenThousandSealsDiffer(t *testing.T) {
	k := newKeyring(t)
	whole, nonces := map[string]bool{}, map[string]bool{}
	for range 10_000 {
		sealed := seal(t, k, canary, "p")
		whole[string(sealed)] = true
		nonces[string(sealed[5:17])] = true // after Tink's prefix of five bytes
	}
	if len(whole) != 10_000 || len(nonces) != 10_000 {
		t.Errorf("%d different texts and %d different nonces of 10000", len(whole), len(nonces))
	}
}

func TestRotationOpensOldAndSealsNew(t *testing.T) {
	old := newKeyring(t)
	before := seal(t, old, "text", "p")
	next, err := old.Rotated()
	if err != nil {
		t.Fatal(err)
	}
	after := seal(t, next, "text", "p")
	opens(t, next, before, "p", "text")
	opens(t, next, after, "p", "text")
	opens(t, old, before, "p", "text")
	staysShut(t, old, after, "p")
	if bytes.Equal(before[:5], after[:5]) {
		t.Error("the new key did not seal")
	}
	if !next.Newest(after) || next.Newest(before) || !old.Newest(before) || next.Newest(nil) || next.Len() != 2 {
		t.Errorf("which key has sealed what is not told: %d keys", next.Len())
	}
	if derive(t, old, "sessions") != derive(t, next, "sessions") {
		t.Error("a rotation changed what is derived: every session would end")
	}
}

func derive(t testing.TB, k *secret.Keyring, purpose string) string {
	t.Helper()
	key, err := k.Derive(purpose)
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(key[:])
}

func TestDerivedKeys(t *testing.T) {
	k := newKeyring(t)
	a, b := derive(t, k, "sessions"), derive(t, k, "other")
	if a == b || a == derive(t, newKeyring(t), "sessions") || a != derive(t, k, "sessions") {
		t.Error("a derived key belongs to one keyring and one purpose")
	}
	if strings.Trim(a, "0") == "" {
		t.Error("the derived key is empty")
	}
}

func TestAKeyringDoesNotPrintItsKeys(t *testing.T) {
	k := newKeyring(t)
	if got := fmt.Sprintf("%v %+v %#v %s", k, k, k, k); got != "a keyring a keyring a keyring a keyring" {
		t.Errorf("it prints %s", got)
	}
	inside := fmt.Sprintf("%+v %#v", struct{ k secret.Keyring }{*k}, struct{ k *secret.Keyring }{k})
	if strings.Contains(inside, "derive") || strings.Contains(inside, "{[") {
		t.Errorf("inside an unexported field it prints %s", inside)
	}
}

func FuzzOpen(f *testing.F) {
	k, err := secret.NewKeyring()
	if err != nil {
		f.Fatal(err)
	}
	sealed, _ := k.Seal([]byte("text"), "p")
	f.Add(sealed, "p")
	f.Add([]byte{}, "")
	f.Fuzz(func(t *testing.T, input []byte, place string) {
		if _, err := k.Open(input, place); err == nil && !(bytes.Equal(input, sealed) && place == "p") {
			t.Errorf("something that was never sealed opens: %x at %q", input, place)
		}
	})
}
