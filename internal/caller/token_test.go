package caller_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"mcpsidecar/internal/caller"
)

func TestMint(t *testing.T) {
	shape := regexp.MustCompile(`^mcps_([0-9a-f]{16})_([a-z2-7]{52})$`)
	seen := map[string]bool{}
	for range 1000 {
		m := caller.Mint()
		parts := shape.FindStringSubmatch(m.Text)
		if parts == nil || parts[1] != m.ID || m.Hash != caller.HashSecret(parts[1], parts[2]) {
			t.Fatalf("minted %q with id %q", m.Text, m.ID)
		}
		if seen[m.ID] || seen[parts[2]] {
			t.Fatal("minted the same twice")
		}
		seen[m.ID], seen[parts[2]] = true, true
	}
}

func TestHashesAreBoundToTheirID(t *testing.T) {
	if caller.HashSecret("a", "secret") == caller.HashSecret("b", "secret") {
		t.Error("a hash can be copied to another record")
	}
	long := strings.Repeat("x", 5000)
	if caller.HashSecret("a", long) == caller.HashSecret("a", long+"x") {
		t.Error("a long secret is cut")
	}
}

func TestTokensDoNotPrint(t *testing.T) {
	m := caller.Mint()
	secret := m.Text[strings.LastIndexByte(m.Text, '_')+1:]
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		for _, value := range []any{m, &m, struct{ M caller.Minted }{m}, []caller.Minted{m}} {
			if strings.Contains(fmt.Sprintf(verb, value), secret) {
				t.Errorf("%s of %T prints the secret", verb, value)
			}
		}
	}
}

// start refuses an admin token that somebody could guess, and does not repeat it.
func TestBootstrapTokens(t *testing.T) {
	for _, good := range []string{
		bootstrap, "0f1e2d3c4b5a69788796a5b4c3d2e1f00112358d", "correct-horse-battery-staple-4711-x", strings.Repeat("kX3vQ9mB7zR2wT5y", 32),
	} {
		if err := caller.ValidBootstrap(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
		if _, err := caller.New(caller.Config{Bootstrap: good}); err != nil {
			t.Errorf("New with %s: %v", good, err)
		}
	}
	for name, bad := range map[string]string{
		"short":             bootstrap[:31],
		"long":              strings.Repeat("kX3vQ9mB7zR2wT5y", 32) + "a",
		"spaces":            bootstrap + " x",
		"a newline":         bootstrap + "\n",
		"beyond ASCII":      bootstrap + "é",
		"zeros":             strings.Repeat("0", 64),
		"changeme":          "changeme-changeme-changeme-changeme",
		"CHANGE_ME":         "CHANGE_ME_0123456789abcdefghijklmnop",
		"a sample":          "your-admin-token-goes-in-here-4711-xyz",
		"a repeated piece":  strings.Repeat("abcdefg", 6),
		"few characters":    strings.Repeat("ababcabcdabcdeabc", 3),
		"two of them again": strings.Repeat("ab", 20),
	} {
		err := caller.ValidBootstrap(bad)
		if err == nil {
			t.Errorf("%s: %q is accepted", name, bad)
			continue
		}
		if strings.Contains(err.Error(), bad) {
			t.Errorf("%s: the error repeats the token", name)
		}
		if _, err := caller.New(caller.Config{Bootstrap: bad}); err == nil {
			t.Errorf("New accepts %s", name)
		}
	}
}
