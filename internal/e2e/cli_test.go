package e2e_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mcpsidecar/internal/e2e/rig"
)

// cli runs a command of the binary against the sidecar.
func (s *sidecar) cli(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	return runCLI(t, []string{"MCP_SIDECAR_URL=" + s.Base, "MCP_SIDECAR_TOKEN=" + rig.AdminToken}, args...)
}

func runCLI(t *testing.T, env []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	code, stdout, stderr, err := rig.Run(ctx, rig.Command{Path: must[string](t)(sidecarBinary()), Args: args, Env: env})
	if err != nil {
		t.Fatal(err)
	}
	return code, stdout, stderr
}

// TestCommandLine is what an admin does, one command after another.
func TestCommandLine(t *testing.T) {
	f := startFake(t, modernOnly)
	s := start(t)
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("canary-key-of-a-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	dead := "http://" + takePort(t) + "/mcp"
	for _, step := range []struct {
		args []string
		code int      // 0: it succeeds and says nothing on stderr; otherwise it says nothing on stdout
		says []string // in the one place where it may say something
	}{
		{[]string{"server", "list"}, 0, []string{"SLUG"}},
		{[]string{"server", "create", "--slug", "one", "--url", f.URL, "--availability", "default_on"}, 0, []string{"one"}},
		{[]string{"server", "create", "--slug", "one", "--url", f.URL}, 1, []string{"slug"}},
		{[]string{"server", "create", "--slug", "Not A Slug", "--url", "nowhere"}, 1, []string{"slug", "url"}},
		{[]string{"server", "create", "--slug", "two", "--url", f.URL, "--auth-type", "api_key", "--api-key-header", "X-Key", "--api-key-file", key}, 0, []string{"two"}},
		{[]string{"server", "create", "--slug", "dead", "--url", dead}, 0, []string{"dead"}},
		{[]string{"server", "list"}, 0, []string{"one", "two", "dead", f.URL}},
		{[]string{"server", "get", "two"}, 0, []string{"api_key", "X-Key"}},
		{[]string{"server", "get", "three"}, 1, []string{"three"}},
		{[]string{"server", "update", "one", "--deny", "wipe", "--allow-in-plan-mode"}, 0, []string{"one"}},
		{[]string{"server", "update", "one", "--availability", "sometimes"}, 1, []string{"availability"}},
		{[]string{"server", "test", "one"}, 0, []string{"modern", "2026-07-28", "echo"}},
		{[]string{"server", "tools", "one"}, 0, []string{"echo", "wipe", "tool_deny_list"}},
		{[]string{"token", "create", "--name", "review", "--role", "user", "--user", "alice", "--mode", "plan"}, 0, []string{"mcps_"}},
		{[]string{"token", "create", "--name", "x", "--role", "king"}, 1, []string{"role"}},
		{[]string{"token", "create", "--name", "x", "--role", "user"}, 1, []string{"user"}},
		{[]string{"token", "list"}, 0, []string{"review", "alice", "plan"}},
		{[]string{"token", "revoke", "nothing"}, 1, []string{"nothing"}},
		{[]string{"server", "delete", "two"}, 0, []string{"deleted"}},
		{[]string{"server", "get", "two"}, 1, []string{"two"}},
		{[]string{"version"}, 0, []string{"mcp-sidecar"}},
		{[]string{"completion", "bash"}, 0, []string{"mcp-sidecar"}},
		{[]string{"healthcheck", "--metrics-listen", strings.TrimPrefix(s.Metrics, "http://")}, 0, nil},
		{[]string{"healthcheck", "--ready", "--metrics-listen", strings.TrimPrefix(s.Metrics, "http://")}, 0, nil},
		{[]string{"healthcheck", "--metrics-listen", strings.TrimPrefix(strings.TrimSuffix(dead, "/mcp"), "http://")}, 1, []string{"does not answer"}},
	} {
		code, stdout, stderr := s.cli(t, step.args...)
		said, silent := stdout, stderr
		if step.code != 0 {
			said, silent = stderr, stdout
		}
		if (code == 0) != (step.code == 0) || step.code != 0 && silent != "" {
			t.Errorf("%v: exit %d\nstdout: %s\nstderr: %s", step.args, code, stdout, stderr)
		}
		for _, want := range step.says {
			if !strings.Contains(said, want) {
				t.Errorf("%v does not say %q:\nstdout: %s\nstderr: %s", step.args, want, stdout, stderr)
			}
		}
		if strings.Contains(stdout+stderr, "canary-key") || strings.Contains(stdout+stderr, rig.AdminToken) || strings.Contains(stderr, "goroutine ") {
			t.Errorf("%v says too much:\n%s%s", step.args, stdout, stderr)
		}
	}
	if code, stdout, stderr := s.cli(t, "server", "test", "dead"); !strings.Contains(stdout+stderr, "dead") && !strings.Contains(stdout+stderr, "not") || code == 0 {
		t.Errorf("testing a dead server: exit %d\n%s%s", code, stdout, stderr)
	}
}

// TestCommandLineForScripts: --json is what the API says, and the token alone is on stdout.
func TestCommandLineForScripts(t *testing.T) {
	f := startFake(t, legacyOnly)
	s := start(t)
	asJSON := func(into any, args ...string) {
		t.Helper()
		code, stdout, stderr := s.cli(t, append(args, "--json")...)
		if err := json.Unmarshal([]byte(stdout), into); code != 0 || err != nil {
			t.Fatalf("%v: exit %d, %v\n%s%s", args, code, err, stdout, stderr)
		}
	}
	var server struct{ ID, Slug string }
	asJSON(&server, "server", "create", "--slug", "one", "--url", f.URL, "--availability", "default_on")
	var servers []struct{ ID, Slug string }
	if asJSON(&servers, "server", "list"); len(servers) != 1 || servers[0] != server || server.Slug != "one" {
		t.Errorf("%+v, %+v", server, servers)
	}
	var tested struct {
		Reachable bool
		Era       string
	}
	if asJSON(&tested, "server", "test", "one"); !tested.Reachable || tested.Era != "legacy" {
		t.Errorf("%+v", tested)
	}
	var minted struct{ ID, Token string }
	asJSON(&minted, "token", "create", "--name", "x", "--role", "user", "--user", "alice")
	code, stdout, _ := s.cli(t, "token", "create", "--name", "script", "--role", "user", "--user", "bob")
	for _, token := range []string{minted.Token, strings.TrimSpace(stdout)} {
		if got := s.modern("/mcp", token).call("one__echo", `{}`); code != 0 || got.Text != `{}` {
			t.Errorf("a token of the command line is answered with %+v", got)
		}
	}
	if code, _, stderr := s.cli(t, "token", "revoke", minted.ID); code != 0 {
		t.Errorf("exit %d: %s", code, stderr)
	}
	if got := s.modern("/mcp", minted.Token).post(`{}`); got.status != 401 {
		t.Errorf("the revoked token is answered with %d", got.status)
	}
}

// TestCommandLineTrouble: each says in one line what is wrong.
func TestCommandLineTrouble(t *testing.T) {
	s := start(t)
	here := "MCP_SIDECAR_URL=" + s.Base
	for what, test := range map[string]struct {
		env  []string
		says string
	}{
		"a wrong token":    {[]string{here, "MCP_SIDECAR_TOKEN=nonsense"}, "token"},
		"no token":         {[]string{here}, "MCP_SIDECAR_TOKEN"},
		"a wrong address":  {[]string{"MCP_SIDECAR_URL=http://127.0.0.1:1", "MCP_SIDECAR_TOKEN=x"}, "127.0.0.1:1"},
		"no address":       {[]string{"MCP_SIDECAR_URL=nowhere", "MCP_SIDECAR_TOKEN=x"}, "http://host:port"},
		"a user's token":   {[]string{here, "MCP_SIDECAR_TOKEN=" + s.token("alice")}, "role"},
		"a wrong variable": {[]string{here, "MCP_SIDECAR_TOKN=x"}, "MCP_SIDECAR_TO"},
	} {
		t.Run(what, func(t *testing.T) {
			code, stdout, stderr := runCLI(t, test.env, "token", "list")
			if code == 0 || stdout != "" || !strings.HasPrefix(stderr, "mcp-sidecar: ") || !strings.Contains(stderr, test.says) {
				t.Errorf("exit %d\nstdout: %s\nstderr: %s", code, stdout, stderr)
			}
		})
	}
}
