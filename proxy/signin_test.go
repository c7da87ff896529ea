package proxy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"mcpsidecar/configstore"
	"mcpsidecar/internal/secret"
	"mcpsidecar/proxy"
)

// fakeGrants has the tokens that a test gives users.
type fakeGrants struct {
	mu     sync.Mutex
	tokens map[string][]string // by user; the first is in use, each refresh takes one off
	links  []string            // who got one, with the scopes
	why    string              // what is said about the account that was there
}

func (g *fakeGrants) Token(_ context.Context, _ *configstore.Server, user string, refused secret.Value) (secret.Value, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if have := g.tokens[user]; len(have) > 0 && !refused.IsZero() && refused.Reveal() == "Bearer "+have[0] {
		g.tokens[user] = have[1:]
	}
	if len(g.tokens[user]) == 0 {
		return secret.Value{}, fmt.Errorf("%w: no account", proxy.ErrSignIn)
	}
	return secret.New("Bearer " + g.tokens[user][0]), nil
}

func (g *fakeGrants) Why(context.Context, *configstore.Server, string) string { return g.why }

func (g *fakeGrants) NewLink(_ context.Context, serverID, user string, scopes []string) (string, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.links = append(g.links, strings.Join(append([]string{user}, scopes...), " "))
	return "http://127.0.0.1/connect/" + user, nil
}

func (g *fakeGrants) give(user string, tokens ...string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.tokens[user] = tokens
}

// account is a server that wants one of its tokens with every request, but for what open says.
func account(f *fakeServer, open func(seen) bool, tokens ...string) {
	f.before = func(w http.ResponseWriter, r *http.Request, m seen) bool {
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if open(m) || slices.Contains(tokens, token) {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}
}

func closedServer(seen) bool { return false }

func oauth(s *configstore.Server) { s.AuthType = configstore.AuthOAuth2 }

func accountRig(t *testing.T, f *fakeServer) (*rig, *fakeGrants) {
	g := &fakeGrants{tokens: map[string][]string{}}
	return newRigWith(t, func(c *proxy.Config) { c.Grants = g }, f.record("one", oauth)), g
}

// TestEachUserHasAnOwnAccount is A-04 and O-21: never another user's token, never none where one is wanted.
func TestEachUserHasAnOwnAccount(t *testing.T) {
	everyCombination(t, func(t *testing.T, clientEra, serverEra string) {
		f := startFake(t, serverEra, tool("x"))
		account(f, closedServer, "a-1", "b-1")
		r, g := accountRig(t, f)
		g.give("alice", "a-1")
		g.give("bob", "b-1")
		for _, user := range []string{"alice", "bob"} {
			c := r.client(clientEra, "/mcp", r.token("user", user))
			if got := c.list(); !slices.Equal(got, []string{"one__x"}) {
				t.Errorf("%s lists %v", user, got)
			}
			if got := c.call("one__x", `{"u":"`+user+`"}`); got.text() != `x {"u":"`+user+`"}` {
				t.Errorf("%s calls: %s", user, got.raw.body)
			}
		}
		for _, m := range f.seenOf("tools/call") {
			want := map[bool]string{true: "Bearer a-1", false: "Bearer b-1"}[strings.Contains(m.Body, "alice")]
			if got := m.Header.Get("Authorization"); got != want {
				t.Errorf("a call of %s carried %q", m.Body, got)
			}
		}
	})
}

func TestWhoHasNoAccountGetsTheLink(t *testing.T) {
	for name, test := range map[string]struct {
		era, capabilities string
		is                func(answer) bool
	}{
		"a modern client that opens links": {"modern", `{"elicitation":{"url":{}}}`, func(a answer) bool {
			return strings.Contains(a.body, `"resultType":"input_required"`) && strings.Contains(a.body, `"mode":"url","url":"http://127.0.0.1/connect/alice"`)
		}},
		"a modern client that does not": {"modern", `{"elicitation":{"form":{}}}`, toolErrorWithLink},
		"a legacy client that opens links": {"legacy", `{"elicitation":{"url":{}}}`, func(a answer) bool {
			return strings.Contains(a.body, `"code":-32042`) && strings.Contains(a.body, `"url":"http://127.0.0.1/connect/alice"`)
		}},
		"a legacy client that does not": {"legacy", `{}`, toolErrorWithLink},
	} {
		t.Run(name, func(t *testing.T) {
			f := startFake(t, "legacy", tool("x"))
			account(f, func(m seen) bool { return m.Method != "tools/call" }, "a-1")
			r, g := accountRig(t, f)
			c := r.clientWith(test.era, "/mcp", r.token("user", "alice"), test.capabilities)
			if got := c.list(); !slices.Equal(got, []string{"one__x"}) {
				t.Errorf("a server that lists for everyone lists %v", got)
			}
			got := c.ask("tools/call", "one__x", `"name":"one__x"`, "")
			if got.status != http.StatusOK || !test.is(got) {
				t.Errorf("%d %s", got.status, got.body)
			}
			if n := len(f.seenOf("tools/call")); n != 0 {
				t.Errorf("%d calls reached the server", n)
			}
			g.give("alice", "a-1")
			r.proxy.GrantChanged("id-one", "alice")
			again := c.outcome(c.ask("tools/call", "one__x", `"name":"one__x","arguments":{},"inputResponses":{"mcp-sidecar/connect":{"action":"accept"}}`, ""))
			if again.text() != "x {}" {
				t.Errorf("the retry: %s", again.raw.body)
			}
			if sent := f.seenOf("tools/call"); len(sent) != 1 || strings.Contains(sent[0].Body, "inputResponses") {
				t.Errorf("what was answered to us went on to the server: %+v", sent)
			}
		})
	}
}

func toolErrorWithLink(a answer) bool {
	return strings.Contains(a.body, `"isError":true`) && strings.Contains(a.body, `"sign_in_url":"http://127.0.0.1/connect/alice"`) && strings.Count(a.body, "http://127.0.0.1/connect/alice") == 2
}

func TestAServerThatListsForNobodyShowsOneTool(t *testing.T) {
	for _, era := range eras {
		f := startFake(t, "legacy", tool("x"))
		account(f, closedServer, "a-1")
		r, g := accountRig(t, f)
		token := r.token("user", "alice")
		for path, want := range map[string]string{"/mcp": "one__x", "/mcp/one": "x"} {
			g.give("alice")
			r.proxy.GrantChanged("id-one", "alice")
			c := r.client(era, path, token)
			if got := c.list(); !slices.Equal(got, []string{"one__connect"}) {
				t.Errorf("%s %s: %v", era, path, got)
			}
			got := c.call("one__connect", `{}`)
			if got.IsError || !strings.Contains(got.text(), "http://127.0.0.1/connect/alice") {
				t.Errorf("%s %s: the link: %s", era, path, got.raw.body)
			}
			if got := c.call("one__x", `{}`); !got.IsError || !strings.Contains(got.text(), "http://127.0.0.1/connect/alice") {
				t.Errorf("%s %s: a tool that it knows from before: %s", era, path, got.raw.body)
			}
			ctx, cancel := context.WithCancel(t.Context())
			events := c.listen(ctx)
			if era == "modern" {
				<-events
			}
			g.give("alice", "a-1")
			r.proxy.GrantChanged("id-one", "alice")
			if got := <-events; !strings.Contains(got, "list_changed") {
				t.Errorf("%s %s: %s", era, path, got)
			}
			cancel()
			if got := c.list(); !slices.Equal(got, []string{want}) {
				t.Errorf("%s %s, connected: %v", era, path, got)
			}
		}
	}
}

// TestARefusedTokenIsReplacedOnce is U-05 and O-24.
func TestARefusedTokenIsReplacedOnce(t *testing.T) {
	f := startFake(t, "modern", tool("x"))
	account(f, func(m seen) bool { return m.Method != "tools/call" }, "a-2")
	r, g := accountRig(t, f)
	g.give("alice", "a-1", "a-2")
	c := r.client("modern", "/mcp", r.token("user", "alice"))
	if got := c.call("one__x", `{}`); got.text() != "x {}" {
		t.Errorf("with a token that was refused: %s", got.raw.body)
	}
	if n := len(f.seenOf("tools/call")); n != 2 {
		t.Errorf("%d calls, want 2", n)
	}
	g.give("alice", "z-1", "z-2", "z-3")
	if got := c.call("one__x", `{}`); !got.IsError || !strings.Contains(got.text(), "/connect/alice") {
		t.Errorf("with tokens that are all refused: %s", got.raw.body)
	}
	if n := len(f.seenOf("tools/call")); n != 4 {
		t.Errorf("%d calls, want 4", n)
	}
}

func TestAScopeThatIsMissingIsAskedFor(t *testing.T) {
	f := startFake(t, "modern", tool("x"))
	f.call = func(w http.ResponseWriter, _ *http.Request, _ seen) {
		w.Header().Set("WWW-Authenticate", `Bearer error="insufficient_scope", scope="files:read files:write"`)
		w.WriteHeader(http.StatusForbidden)
		io.WriteString(w, `{}`)
	}
	r, g := accountRig(t, f)
	g.give("alice", "a-1")
	if got := r.client("modern", "/mcp", r.token("user", "alice")).call("one__x", `{}`); !got.IsError || !strings.Contains(got.text(), "/connect/alice") {
		t.Errorf("answer: %s", got.raw.body)
	}
	if !slices.Equal(g.links, []string{"alice files:read files:write"}) {
		t.Errorf("links: %v", g.links)
	}
}

// clientWith is client with declared capabilities.
func (r *rig) clientWith(era, path, token, capabilities string) *client {
	r.t.Helper()
	return r.clientSpeaking(era, path, token, capabilities, "2025-11-25")
}

// clientSpeaking is the same, of one of the versions that a legacy client can have.
func (r *rig) clientSpeaking(era, path, token, capabilities, version string) *client {
	r.t.Helper()
	c := &client{rig: r, token: token, path: path, era: era, header: http.Header{}, capabilities: capabilities}
	if era == "legacy" {
		a := c.post(`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"` + version + `","capabilities":` + capabilities + `,"clientInfo":{"name":"c","version":"1"}}}`)
		c.session = a.header.Get("Mcp-Session-Id")
	}
	return c
}

// Whoever had an account reads why it does not do any more, however the link is shown.
func TestTheLinkSaysWhyAnAccountDoesNotDo(t *testing.T) {
	for name, test := range map[string]struct{ era, capabilities string }{
		"a modern client that opens links": {"modern", `{"elicitation":{"url":{}}}`},
		"a modern client that does not":    {"modern", `{}`},
		"a legacy client that opens links": {"legacy", `{"elicitation":{"url":{}}}`},
		"a legacy client that does not":    {"legacy", `{}`},
	} {
		t.Run(name, func(t *testing.T) {
			f := startFake(t, "legacy", tool("x"))
			account(f, func(m seen) bool { return m.Method != "tools/call" }, "a-1")
			r, g := accountRig(t, f)
			c := r.clientWith(test.era, "/mcp", r.token("user", "alice"), test.capabilities)
			c.list()
			if got := c.ask("tools/call", "one__x", `"name":"one__x"`, ""); !strings.Contains(got.body, "To use one, connect your account") || strings.Contains(got.body, "cannot be used") {
				t.Errorf("without an account before: %s", got.body)
			}
			g.why = "it was disconnected"
			if got := c.ask("tools/call", "one__x", `"name":"one__x"`, ""); !strings.Contains(got.body, "The account that was connected to one cannot be used any more: it was disconnected. To use one, connect your account again") {
				t.Errorf("with one before: %s", got.body)
			}
		})
	}
}

// An admin sees the tools of a server that wants accounts with the own one, and is told to connect one without it. What a server lists for everyone is seen without.
func TestPresentToolsOfAServerThatWantsAccounts(t *testing.T) {
	f := startFake(t, "modern", tool("x"))
	account(f, closedServer, "b-1")
	r, g := accountRig(t, f)
	g.give("bob", "b-1")
	if _, err := r.proxy.Present(t.Context(), "id-one", "alice"); !errors.Is(err, proxy.ErrSignIn) {
		t.Errorf("without an account: %v", err)
	}
	if present, err := r.proxy.Present(t.Context(), "id-one", "bob"); err != nil || len(present.Tools) != 1 {
		t.Errorf("with one: %v, %v", present, err)
	}
	if _, err := r.proxy.Present(t.Context(), "id-one", "alice"); !errors.Is(err, proxy.ErrSignIn) {
		t.Errorf("without one, after somebody with: %v", err)
	}
	open := startFake(t, "modern", tool("x"))
	account(open, func(m seen) bool { return m.Method != "tools/call" }, "b-1")
	r, _ = accountRig(t, open)
	if present, err := r.proxy.Present(t.Context(), "id-one", "alice"); err != nil || len(present.Tools) != 1 {
		t.Errorf("a server that lists for everyone: %v, %v", present, err)
	}
}
