package proxy_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"mcpsidecar/configstore"
	"mcpsidecar/internal/secret"
	"mcpsidecar/policy"
	"mcpsidecar/proxy"
)

func withKey(key string) func(*configstore.Server) {
	return func(s *configstore.Server) {
		s.AuthType, s.APIKeyHeader, s.APIKeyValue = configstore.AuthAPIKey, "X-Key", secret.New(key)
	}
}

// TestACallDoesNotFollowAServerThatMoves: between the first list, which is waited for, and the call the server gets another URL. The credential of the old one is not for the new one.
func TestACallDoesNotFollowAServerThatMoves(t *testing.T) {
	everyCombination(t, func(t *testing.T, clientEra, serverEra string) {
		before, after := startFake(t, serverEra, tool("x")), startFake(t, serverEra, tool("x"))
		var r *rig
		r = newRigWith(t, func(c *proxy.Config) {
			c.Baseline = func(context.Context, string, uint64, policy.Baseline) error {
				r.load(after.record("one", withKey("of-after")))
				return nil
			}
		}, before.record("one", withKey("of-before")))
		c := r.client(clientEra, "/mcp", r.token("user", "alice"))
		c.call("one__x", `{}`)
		if got := c.call("one__x", `{}`); got.IsError || got.code != 0 {
			t.Errorf("the next call: %s", got.raw.body)
		}
		after.mu.Lock()
		defer after.mu.Unlock()
		for _, m := range after.requests {
			if got := m.Header.Get("X-Key"); got != "of-after" {
				t.Errorf("%s reached the new server with the key %q", m.Method, got)
			}
		}
	})
}

// TestASessionRemembersTheServersThatAreListed: an id that is handed out can be used, and one that could not be is none.
func TestASessionRemembersTheServersThatAreListed(t *testing.T) {
	f := startFake(t, "modern", tool("x"))
	var slugs []string
	var records []configstore.Server
	for i := range 256 {
		slug := fmt.Sprintf("%s-%03d", strings.Repeat("s", 28), i)
		slugs, records = append(slugs, slug), append(records, f.record(slug))
	}
	r := newRig(t, records...)
	token := r.token("user", "alice")
	c := r.client("legacy", "/mcp", token, "Sidecar-Servers", strings.Join(slugs[:120], ","))
	if got := c.ask("ping", "", "", ""); got.status != http.StatusOK {
		t.Errorf("ping: %d %s", got.status, got.body)
	}
	c = &client{rig: r, token: token, path: "/mcp", header: http.Header{"Sidecar-Servers": {strings.Join(slugs, ",")}}}
	got := c.post(`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}`)
	if got.status != http.StatusBadRequest || got.header.Get("Mcp-Session-Id") != "" {
		t.Errorf("too many: %d %s", got.status, got.body)
	}
}

// TestAnotherAccountBeginsAnotherSession: what a server remembers of a session is of the account that began it.
func TestAnotherAccountBeginsAnotherSession(t *testing.T) {
	for _, era := range eras {
		f := startFake(t, "legacy", tool("x"))
		account(f, closedServer, "a-1", "a-2")
		r, g := accountRig(t, f)
		c := r.client(era, "/mcp", r.token("user", "alice"))
		g.give("alice", "a-1")
		c.call("one__x", `{}`)
		g.give("alice")
		r.proxy.GrantChanged("id-one", "alice")
		g.give("alice", "a-2")
		r.proxy.GrantChanged("id-one", "alice")
		c.call("one__x", `{}`)
		calls := f.seenOf("tools/call")
		if len(calls) != 2 {
			t.Fatalf("%s: %d calls arrived", era, len(calls))
		}
		sessions := []string{calls[0].Header.Get("Mcp-Session-Id"), calls[1].Header.Get("Mcp-Session-Id")}
		tokens := []string{calls[0].Header.Get("Authorization"), calls[1].Header.Get("Authorization")}
		if sessions[0] == sessions[1] || !slices.Equal(tokens, []string{"Bearer a-1", "Bearer a-2"}) {
			t.Errorf("%s: sessions %v of accounts %v", era, sessions, tokens)
		}
	}
}

// TestNothingIsLoadedAfterTheEnd: nobody would close it.
func TestNothingIsLoadedAfterTheEnd(t *testing.T) {
	f := startFake(t, "legacy", tool("echo"))
	r := newRig(t)
	c := r.client("modern", "/mcp", r.token("user", "alice"))
	r.proxy.Close()
	r.load(f.record("one"))
	c.ask("tools/list", "", "", "")
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.requests) != 0 {
		t.Errorf("a server was asked after the end: %+v", f.requests)
	}
}
