package configstore_test

import (
	"fmt"
	"reflect"
	"testing"

	"mcpsidecar/configstore"
	"mcpsidecar/internal/secret"
	"mcpsidecar/policy"
)

// FuzzRecord reads records that nobody wrote. None panics, and what is read survives being written and read again.
func FuzzRecord(f *testing.F) {
	keyring, err := secret.NewKeyring()
	if err != nil {
		f.Fatal(err)
	}
	server, err := configstore.EncodeServer(keyring, example("one"))
	if err != nil {
		f.Fatal(err)
	}
	token, err := configstore.EncodeToken(configstore.APIToken{ID: "t", Hash: [32]byte{1}, Servers: []string{}})
	if err != nil {
		f.Fatal(err)
	}
	catalog, err := configstore.EncodeCatalog(configstore.Catalog{ServerID: "s", Baseline: policy.Baseline{"a": {ReadOnly: true}}})
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range [][]byte{server, token, catalog, []byte(`{}`), []byte(`null`), []byte(`{"hash":"00"}`), []byte(`{"api_key_value":"AQ=="}`), {1, 0}, {1, 255}, {1, 3, 'a', 'b', 'c', '{', '}'}, {}} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if _, err := configstore.Unwrap(keyring, "k", text); err == nil {
			t.Error("a value that was never sealed opens")
		}
		again(t, text, func(b []byte) (configstore.Server, error) { return configstore.DecodeServer(keyring, b) },
			func(s configstore.Server) ([]byte, error) { return configstore.EncodeServer(keyring, s) })
		again(t, text, configstore.DecodeToken, configstore.EncodeToken)
		again(t, text, configstore.DecodeCatalog, configstore.EncodeCatalog)
	})
}

func again[R any](t *testing.T, text []byte, decode func([]byte) (R, error), encode func(R) ([]byte, error)) {
	first, err := decode(text)
	if err != nil {
		return
	}
	written, err := encode(first)
	if err != nil {
		t.Fatalf("what was read cannot be written: %v", err)
	}
	second, err := decode(written)
	if err != nil || !reflect.DeepEqual(first, second) {
		t.Fatalf("%s\nwas read as %+v\nand again as %+v, %v", text, first, second, err)
	}
}

// FuzzOAuthRecord does the same with what users connected.
func FuzzOAuthRecord(f *testing.F) {
	keyring, err := secret.NewKeyring()
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		`{}`, `null`, `{"server_id":"s","user":"u","state":"connected","expiry":"2026-08-01T12:00:00+02:00","scopes":[]}`, `{"access_token":"AQ=="}`, `{"state":"00","browser":""}`, `{"hash":"zz"}`,
		`{"expiry":"0001-01-01T00:00:00Z"}`, `{"secret_expires":"2026-08-01T12:00:00Z","client_id":"c"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, kind := range []string{"grant", "flow", "link", "registration"} {
			once, twice, err := configstore.AgainOAuth(keyring, kind, text)
			if err != nil || fmt.Sprintf("%+v", once) != fmt.Sprintf("%+v", twice) {
				t.Errorf("a %s was\n%+v\nand is\n%+v (%v)", kind, once, twice, err)
			}
		}
	})
}
