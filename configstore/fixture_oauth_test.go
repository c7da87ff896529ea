package configstore_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"mcpsidecar/configstore"
	"mcpsidecar/configstore/kv"
	"mcpsidecar/configstore/kv/boltkv"
	"mcpsidecar/internal/secret"
)

// oauthFixture is a store with what users connected, as the first version that knew grants wrote it. Like the other fixture, it must open for ever.
const oauthFixture = "testdata/schema-1-oauth"

// connected is what the fixture means, but for what the store sets.
type connected struct {
	Server       configstore.Server
	Grant        configstore.Grant
	Flow         configstore.Flow
	Link         configstore.Link
	Registration configstore.Registration
}

func fixtureConnected() connected {
	at := time.Date(2026, 8, 1, 12, 30, 15, 123456789, time.UTC)
	server := configstore.Server{
		ID: "0b0e5b1c-4c0e-4a83-9d0e-333333333333", DisplayName: "GitHub", Slug: "github", Transport: configstore.StreamableHTTP, URL: "https://github.example/mcp",
		AuthType: configstore.AuthOAuth2, OAuth2Issuer: "https://as.example", CreatedAt: at, UpdatedAt: at, Revision: 1,
	}
	flow := configstore.Flow{
		State: [32]byte{1, 255}, ServerID: server.ID, User: "alice", Browser: [32]byte{2}, Verifier: secret.New("fixture verifier"), RedirectURI: "https://sidecar.example/callback",
		Issuer: "https://as.example", IssParameter: true, Resource: "https://github.example/mcp", TokenEndpoint: "https://as.example/token", RevocationEndpoint: "https://as.example/revoke",
		ClientID: "client", ClientSecret: secret.New("fixture client secret"), AuthMethod: "client_secret_basic", Scopes: []string{"a", "b"}, Binding: server.OAuthBinding(), CreatedAt: at,
		ExpiresAt: at.Add(configstore.FlowLifetime),
	}
	return connected{
		Server: server, Flow: flow,
		Grant: configstore.Grant{
			ServerID: server.ID, User: "alice", State: configstore.GrantConnected, AccessToken: secret.New("fixture access token"), RefreshToken: secret.New("fixture refresh token"),
			TokenType: "Bearer", Expiry: at.Add(time.Hour), ObtainedAt: at, Refreshed: true, Scopes: []string{"a"}, Requested: []string{"a", "b"}, Issuer: flow.Issuer, Resource: flow.Resource,
			TokenEndpoint: flow.TokenEndpoint, RevocationEndpoint: flow.RevocationEndpoint, ClientID: "client", ClientSecret: flow.ClientSecret, AuthMethod: flow.AuthMethod,
			Binding: flow.Binding, LastError: "the provider answered HTTP 503", LastErrorAt: at, CreatedAt: at, UpdatedAt: at,
		},
		Link: configstore.Link{Hash: [32]byte{3}, ServerID: server.ID, User: "bob", Scopes: []string{"c"}, CreatedAt: at, ExpiresAt: at.Add(configstore.FlowLifetime)},
		Registration: configstore.Registration{
			ServerID: server.ID, Issuer: flow.Issuer, RedirectURI: flow.RedirectURI, ClientID: "client", ClientSecret: flow.ClientSecret, AuthMethod: flow.AuthMethod, SecretExpires: at.Add(time.Hour),
			Configured: true, Document: true, Resource: flow.Resource, AuthorizationEndpoint: "https://as.example/authorize", TokenEndpoint: flow.TokenEndpoint,
			RevocationEndpoint: flow.RevocationEndpoint, Scopes: []string{"a"}, Binding: flow.Binding, CreatedAt: at,
		},
	}
}

func TestOAuthFixture(t *testing.T) {
	want := fixtureConnected()
	now := func() time.Time { return want.Server.CreatedAt }
	if _, err := os.Stat(oauthFixture + ".txt"); err != nil && os.Getenv("CONFIGSTORE_WRITE_FIXTURE") != "" {
		writeOAuthFixture(t, want, now)
	}
	path := filepath.Join(t.TempDir(), "store.db")
	edit(t, path, func(tx kv.Tx) error {
		lines := bufio.NewScanner(bytes.NewReader(read(t, oauthFixture+".txt")))
		for lines.Scan() {
			key, text, _ := strings.Cut(lines.Text(), " ")
			value, err := base64.StdEncoding.DecodeString(text)
			if err := errors.Join(err, tx.Put(key, value)); err != nil {
				return err
			}
		}
		return lines.Err()
	})
	store := openAt(t, path, oauthFixture+".key", now)
	defer store.Close()
	var got connected
	var errs [5]error
	got.Server, errs[0] = store.Server(t.Context(), want.Server.ID)
	got.Grant, errs[1] = store.Grant(t.Context(), want.Server.ID, "alice")
	got.Flow, errs[2] = store.TakeFlow(t.Context(), want.Flow.State, func(configstore.Flow) error { return nil })
	got.Link, errs[3] = store.Link(t.Context(), want.Link.Hash)
	got.Registration, errs[4] = store.Registration(t.Context(), want.Server.ID)
	if err := errors.Join(errs[:]...); err != nil {
		t.Fatal(err)
	}
	want.Flow.Taken, want.Grant.Generation, want.Grant.Mark = true, got.Grant.Generation, got.Grant.Mark
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the store means\n%+v\nand meant\n%+v", got, want)
	}
}

func openAt(t *testing.T, path, keyFile string, now func() time.Time) *configstore.Store {
	t.Helper()
	copied := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(copied, read(t, keyFile), 0o600); err != nil {
		t.Fatal(err)
	}
	keyring, _, err := secret.LoadKeyring(copied, false)
	if err != nil {
		t.Fatal(err)
	}
	engine, err := boltkv.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	store, err := configstore.Open(t.Context(), configstore.Config{Engine: engine, Keyring: keyring, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func writeOAuthFixture(t *testing.T, c connected, now func() time.Time) {
	if _, _, err := secret.LoadKeyring(oauthFixture+".key", true); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "store.db")
	store := openAt(t, path, oauthFixture+".key", now)
	accept := func(configstore.Flow) error { return nil }
	first := c.Flow
	first.State = [32]byte{9}
	_, created := store.CreateServer(t.Context(), c.Server)
	err := errors.Join(created, store.BeginFlow(t.Context(), first))
	_, taken := store.TakeFlow(t.Context(), first.State, accept)
	_, finished := store.FinishFlow(t.Context(), first.State, c.Grant)
	_, linked := store.AddLink(t.Context(), c.Link)
	_, registered := store.PutRegistration(t.Context(), c.Registration)
	if err := errors.Join(err, taken, finished, linked, registered, store.BeginFlow(t.Context(), c.Flow), store.Close()); err != nil {
		t.Fatal(err)
	}
	engine, err := boltkv.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	var dump bytes.Buffer
	err = engine.View(t.Context(), func(tx kv.Tx) error {
		return tx.Scan("", func(key string, value []byte) bool {
			fmt.Fprintln(&dump, key, base64.StdEncoding.EncodeToString(value))
			return true
		})
	})
	if err := errors.Join(err, engine.Close(), os.WriteFile(oauthFixture+".txt", dump.Bytes(), 0o644)); err != nil {
		t.Fatal(err)
	}
}
