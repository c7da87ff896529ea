package caller_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"mcpsidecar/configstore"
	"mcpsidecar/internal/caller"
)

const bootstrap = "kX3vQ9mB7zR2wT5yL8nC4jH6pD1sF0gA"

var start = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// door is an authenticator with what tests do to it.
type door struct {
	*caller.Authenticator
	t testing.TB

	mu    sync.Mutex
	now   time.Time
	asked []string // names that were looked for
	told  []string // users that were made known
	most  int      // how many may be; 0: any number
	fails error    // what becomes of it
}

func newDoor(t testing.TB, tokens ...configstore.APIToken) *door {
	t.Helper()
	d := &door{t: t, now: start}
	var _ caller.Users = d
	a, err := caller.New(caller.Config{Bootstrap: bootstrap, Now: d.clock, Users: d})
	if err != nil {
		t.Fatal(err)
	}
	a.Reload(tokens)
	d.Authenticator = a
	return d
}

func (d *door) clock() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.now
}

func (d *door) wait(for_ time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now = d.now.Add(for_)
}

func (d *door) HasUser(_ context.Context, name string) (bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = append(d.asked, name)
	return slices.Contains(d.told, name), nil
}

func (d *door) EnsureUser(_ context.Context, name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.fails != nil:
		return d.fails
	case d.most > 0 && len(d.told) >= d.most:
		return fmt.Errorf("noting a user: %w", configstore.ErrUsers)
	}
	d.told = append(d.told, name)
	return nil
}

// knock is a request with headers in pairs, from one address.
func (d *door) knock(headers ...string) (*caller.Identity, error) {
	return d.knockFrom("192.0.2.1:1234", headers...)
}

func (d *door) knockFrom(address string, headers ...string) (*caller.Identity, error) {
	r := httptest.NewRequest(http.MethodPost, "/mcp", nil)
	r.RemoteAddr = address
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return d.Authenticate(r)
}

// bearer is a right or wrong token as a header.
func bearer(text string) []string { return []string{"Authorization", "Bearer " + text} }

// minted is a token's text and its record, changed as a test wants it.
func minted(role caller.Role, change ...func(*configstore.APIToken)) (string, configstore.APIToken) {
	m := caller.Mint()
	record := configstore.APIToken{ID: m.ID, Hash: m.Hash, Role: string(role)}
	if role == caller.User {
		record.User = "alice"
	}
	for _, c := range change {
		c(&record)
	}
	return m.Text, record
}
