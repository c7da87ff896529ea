package configstore_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
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
	"mcpsidecar/policy"
)

// A fixture is a store as an earlier version wrote it: a key file, and a line "key value-in-base64" for each key. It must open for ever, and mean what it meant. A new schema adds one;
// CONFIGSTORE_WRITE_FIXTURE=1 go test -run Fixture writes a missing one.
const fixture = "testdata/schema-1"

// fixtureRecords is what the fixture means.
func fixtureRecords() configstore.Snapshot {
	at := time.Date(2026, 8, 1, 12, 30, 15, 123456789, time.UTC)
	one := configstore.Server{
		ID: "0b0e5b1c-4c0e-4a83-9d0e-111111111111", DisplayName: "GitHub", Slug: "github", Description: "two\nlines", IconURL: "🐙", Transport: configstore.StreamableHTTP,
		URL: "https://github.example/mcp", AuthType: configstore.AuthOAuth2, OAuth2ClientID: "client", OAuth2ClientSecret: secret.New("fixture client secret"),
		OAuth2AuthURL: "https://as.example/authorize", OAuth2TokenURL: "https://as.example/token", OAuth2RevocationURL: "https://as.example/revoke", OAuth2Scopes: "a b",
		OAuth2Issuer: "https://as.example", APIKeyHeader: "X-Key", APIKeyValue: secret.New("fixture key"), CustomHeaders: map[string]secret.Value{"X-A": secret.New("fixture header")},
		Rules: policy.Rules{
			Enabled: true, VisibleTo: []string{"alice"}, Availability: policy.ForceOn, ToolAllowList: []string{"get_*"}, ToolDenyList: []string{"get_secret"}, Expose: []policy.Surface{policy.Tools},
			AllowInPlanMode: true, PlanTools: []string{"get_a"}, PlanReadOnly: true, ToolPinning: policy.PinBlock,
		},
		ModelIntent: true, ForwardHeaders: []string{"X-Tenant"}, TimeoutMS: 5000, MaxConcurrent: 7, CreatedBy: "admin", UpdatedBy: "admin", CreatedAt: at, UpdatedAt: at, Revision: 1,
	}
	two := configstore.Server{ID: "0b0e5b1c-4c0e-4a83-9d0e-222222222222", DisplayName: "Plain", Slug: "plain", Transport: configstore.SSE, URL: "http://plain.example/sse", AuthType: configstore.AuthNone, CreatedAt: at, UpdatedAt: at, Revision: 1}
	return configstore.Snapshot{
		Servers: []configstore.Server{one, two},
		Tokens: []configstore.APIToken{
			{ID: "0123456789abcdef", Hash: [32]byte{1, 2, 254, 255}, Name: "ci", Role: "agent", User: "alice", Mode: "plan", Agent: "subagent", Servers: []string{"github"}, CreatedBy: "admin", CreatedAt: at, ExpiresAt: at.Add(time.Hour)},
			{ID: "fedcba9876543210", Hash: [32]byte{9}, Role: "admin", CreatedAt: at},
		},
		Users: []configstore.User{{Name: "alice", FirstSeen: at}},
		Catalogs: map[string]configstore.Catalog{one.ID: {ServerID: one.ID, ApprovedBy: "admin", ApprovedAt: at, Baseline: policy.Baseline{
			"get_a": {Print: policy.Print{Description: "d", InputSchema: "i", OutputSchema: "o", Annotations: "a"}, ReadOnly: true}, "b": {Print: policy.Print{InputSchema: "i"}},
		}}},
	}
}

func TestFixture(t *testing.T) {
	if _, err := os.Stat(fixture + ".txt"); err != nil && os.Getenv("CONFIGSTORE_WRITE_FIXTURE") != "" {
		writeFixture(t)
	}
	path := filepath.Join(t.TempDir(), "store.db")
	if err := os.WriteFile(path+".key", read(t, fixture+".key"), 0o600); err != nil {
		t.Fatal(err)
	}
	edit(t, path, func(tx kv.Tx) error {
		lines := bufio.NewScanner(bytes.NewReader(read(t, fixture+".txt")))
		for lines.Scan() {
			key, text, _ := strings.Cut(lines.Text(), " ")
			value, err := base64.StdEncoding.DecodeString(text)
			if err != nil {
				return err
			}
			if err := tx.Put(key, value); err != nil {
				return err
			}
		}
		return lines.Err()
	})
	store := mustOpen(t, path)
	defer store.Close()
	got, err := store.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := fixtureRecords()
	want.Revision = got.Revision
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the store of schema 1 means\n%+v\nand meant\n%+v", got, want)
	}
}

func writeFixture(t *testing.T) {
	records := fixtureRecords()
	keyring, _, err := secret.LoadKeyring(fixture+".key", true)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "store.db")
	engine, err := boltkv.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	now := func() time.Time { return records.Servers[0].CreatedAt }
	store, err := configstore.Open(t.Context(), configstore.Config{Engine: engine, Keyring: keyring, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	for _, server := range records.Servers {
		if _, err := store.CreateServer(t.Context(), server); err != nil {
			t.Fatal(err)
		}
	}
	for _, token := range records.Tokens {
		if _, err := store.CreateToken(t.Context(), token); err != nil {
			t.Fatal(err)
		}
	}
	for _, catalog := range records.Catalogs {
		if _, err := store.ApproveCatalog(t.Context(), catalog, 0, false); err != nil {
			t.Fatal(err)
		}
	}
	var dump bytes.Buffer
	engine.View(t.Context(), func(tx kv.Tx) error {
		return tx.Scan("", func(key string, value []byte) bool {
			fmt.Fprintln(&dump, key, base64.StdEncoding.EncodeToString(value))
			return true
		})
	})
	store.Close()
	if err := os.WriteFile(fixture+".txt", dump.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}
