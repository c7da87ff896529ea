package caller_test

import (
	"strings"
	"testing"

	"mcpsidecar/internal/caller"
)

func TestContext(t *testing.T) {
	if caller.From(t.Context()) != nil {
		t.Error("there is an identity without Into")
	}
	identity := &caller.Identity{User: "alice"}
	if got := caller.From(caller.Into(t.Context(), identity)); got != identity {
		t.Errorf("got %v", got)
	}
}

func TestParseRole(t *testing.T) {
	for _, role := range []caller.Role{caller.Admin, caller.User, caller.Agent} {
		if got, err := caller.ParseRole(string(role)); got != role || err != nil {
			t.Errorf("%s: %v %v", role, got, err)
		}
	}
	for _, text := range []string{"", "Admin", "admin ", "root", "user,admin"} {
		if got, err := caller.ParseRole(text); err == nil || got != "" {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestValidUser(t *testing.T) {
	for _, name := range []string{"a", "alice", "alice@example.com", "A.b_c+d-9", strings.Repeat("a", 128)} {
		if err := caller.ValidUser(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"", strings.Repeat("a", 129), "a b", "a/b", "a:b", "a\x00", "a\n", "é", "\u0430lice", "a,b", "*", "a%20b", "<a>", "\xff"} {
		if caller.ValidUser(name) == nil {
			t.Errorf("%q is accepted", name)
		}
	}
}
