package caller_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"mcpsidecar/internal/caller"
	"mcpsidecar/policy"
)

// askAgain asks once more about a request that was let in before.
func (d *door) askAgain(headers ...string) (*caller.Identity, error) {
	r := httptest.NewRequest(http.MethodPost, "/mcp", nil)
	r.RemoteAddr = "192.0.2.1:1234"
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return d.Authenticate(r.WithContext(caller.Again(r.Context())))
}

// Streams that stand are asked about again and again. That locks nobody out behind the same address, is not hindered by those who guess there, and brings back no user whose name was ended.
func TestAskingAgainIsNoAttempt(t *testing.T) {
	agent, record := minted(caller.Agent)
	d := newDoor(t, record)
	as := append(bearer(agent), "Sidecar-User", "bob")
	if got, err := d.askAgain(as...); err != nil || got.User != "bob" || len(d.told) != 0 {
		t.Errorf("asked again: %v, %v; announced %v", got, err, d.told)
	}
	d.Reload(nil)
	for range 1000 {
		if _, err := d.askAgain(as...); !errors.Is(err, caller.ErrBadCredential) {
			t.Fatalf("a revoked token: %v", err)
		}
	}
	if _, err := d.knock(bearer(bootstrap)...); err != nil {
		t.Errorf("beside a revoked token, the bootstrap token: %v", err)
	}
	d.guess("192.0.2.1:1", 1000)
	if _, err := d.askAgain(bearer(bootstrap)...); err != nil {
		t.Errorf("beside those who guess, asked again: %v", err)
	}
}

// Two identities are the same if none may do what the other may not; what the token has left to live makes no difference.
func TestWhatMakesAnIdentityAnother(t *testing.T) {
	of := func(change func(*caller.Identity)) *caller.Identity {
		i := &caller.Identity{Role: caller.User, User: "alice", TokenID: "t", Mode: policy.Act, Agent: policy.Root, Servers: []string{"a"}}
		change(i)
		return i
	}
	plain := of(func(*caller.Identity) {})
	for name, row := range map[string]struct {
		change func(*caller.Identity)
		same   bool
	}{
		"nothing":            {func(*caller.Identity) {}, true},
		"its end":            {func(i *caller.Identity) { i.Expires = start }, true},
		"the role":           {func(i *caller.Identity) { i.Role = caller.Admin }, false},
		"the user":           {func(i *caller.Identity) { i.User = "bob" }, false},
		"the token":          {func(i *caller.Identity) { i.TokenID = "u" }, false},
		"the mode":           {func(i *caller.Identity) { i.Mode = policy.Plan }, false},
		"the kind of agent":  {func(i *caller.Identity) { i.Agent = policy.Subagent }, false},
		"other servers":      {func(i *caller.Identity) { i.Servers = []string{"b"} }, false},
		"no server":          {func(i *caller.Identity) { i.Servers = []string{} }, false},
		"no choice at all":   {func(i *caller.Identity) { i.Servers = nil }, false},
		"the same in a copy": {func(i *caller.Identity) { i.Servers = []string{"a"} }, true},
	} {
		if other := of(row.change); other.Same(plain) != row.same || plain.Same(other) != row.same {
			t.Errorf("%s: want %v", name, row.same)
		}
	}
}
