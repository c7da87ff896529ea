package main_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestServerCommands goes once through the life of a server.
func TestServerCommands(t *testing.T) {
	s := start(t, t.TempDir())
	made := s.must(t, "server", "create", "--slug", "docs", "--url", "https://docs.example.com/mcp", "--availability", "default_on", "--deny", "delete_*,drop")
	if !strings.Contains(made, "docs is registered") {
		t.Error(made)
	}
	list := s.must(t, "server", "list")
	for _, want := range []string{"SLUG", "docs", "yes", "default_on", "none", "streamable_http", "https://docs.example.com/mcp"} {
		if !strings.Contains(list, want) {
			t.Errorf("the list lacks %s:\n%s", want, list)
		}
	}
	s.must(t, "server", "update", "docs", "--name", "Documents", "--plan-read-only", "--allow-in-plan-mode", "--enabled=false", "--deny", "")
	want := map[string]any{
		"slug": "docs", "display_name": "Documents", "plan_read_only": true, "allow_in_plan_mode": true, "enabled": false,
		"availability": "default_on", "url": "https://docs.example.com/mcp",
	}
	got := map[string]any{}
	if err := json.Unmarshal([]byte(s.must(t, "server", "get", "docs", "--json")), &got); err != nil {
		t.Fatal(err)
	}
	for field, value := range want {
		if got[field] != value {
			t.Errorf("%s is %v, want %v", field, got[field], value)
		}
	}
	if denied, _ := got["tool_deny_list"].([]any); len(denied) != 0 {
		t.Errorf("the deny list is %v", denied)
	}
	if shown := s.must(t, "server", "get", got["id"].(string)); !strings.Contains(shown, "display_name") || !strings.Contains(shown, "Documents") {
		t.Errorf("by id:\n%s", shown)
	}
	s.must(t, "server", "delete", "docs")
	if slugs := s.slugs(t); slugs != "" {
		t.Errorf("after the deletion there are %q", slugs)
	}
}

// TestServerTest: loopback is refused, and the reason is said; the exit code tells a script.
func TestServerTest(t *testing.T) {
	s := start(t, t.TempDir())
	s.must(t, "server", "create", "--slug", "inside", "--url", "http://inside.invalid/mcp")
	code, stdout, stderr := s.cli(t, "", "server", "test", "inside")
	if code != 1 || !strings.Contains(stdout, "reachable") || !strings.Contains(stderr, "cannot be used") {
		t.Errorf("exit %d\n%s%s", code, stdout, stderr)
	}
	code, stdout, _ = s.cli(t, "", "server", "test", "inside", "--json")
	var result struct {
		Reachable *bool
		Reason    string
	}
	if err := json.Unmarshal([]byte(stdout), &result); code != 1 || err != nil || result.Reachable == nil || *result.Reachable || result.Reason == "" {
		t.Errorf("exit %d: %v\n%s", code, err, stdout)
	}
}

// TestSecretsComeFromFiles, or from stdin, and never come back.
func TestSecretsComeFromFiles(t *testing.T) {
	const key, header = "Bearer canary-key-5129", "canary-header-7733"
	s := start(t, t.TempDir())
	file := filepath.Join(t.TempDir(), "headers.txt")
	if err := os.WriteFile(file, []byte("X-One: "+header+"\n\nX-Two: 2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := s.cli(t, key+"\n", "server", "create", "--slug", "keyed", "--url", "https://a.example.com/mcp",
		"--auth-type", "api_key", "--api-key-header", "Authorization", "--api-key-file", "-")
	if code != 0 {
		t.Fatal(stderr)
	}
	s.must(t, "server", "create", "--slug", "headed", "--url", "https://b.example.com/mcp", "--auth-type", "custom_headers", "--headers-file", file)
	shown := s.must(t, "server", "get", "keyed", "--json") + s.must(t, "server", "get", "headed", "--json") + s.must(t, "server", "list", "--json")
	if !strings.Contains(shown, `"has_api_key": true`) || !strings.Contains(shown, `"has_custom_headers": true`) {
		t.Errorf("the secrets are not stored:\n%s", shown)
	}
	for _, secret := range []string{"canary-key-5129", header} {
		if strings.Contains(shown+s.stderr.String(), secret) {
			t.Errorf("%s came back", secret)
		}
	}
}

// TestHeadersFileErrors name the line, and not what is in it.
func TestHeadersFileErrors(t *testing.T) {
	for content, want := range map[string]string{
		"X-One: a\ncanary":        "line 2",
		"X-One: canary\nx-one: b": "line 2",
		": canary":                "line 1",
		"X-One:":                  "line 1",
		"\n\n":                    "empty",
	} {
		file := filepath.Join(t.TempDir(), "headers")
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		line := refused(t, 1, []string{"MCP_SIDECAR_TOKEN=x"}, "server", "create", "--slug", "a", "--url", "https://a.example.com", "--headers-file", file)
		if !strings.Contains(line, want) || strings.Contains(line, "canary") {
			t.Errorf("%q: %s", content, line)
		}
	}
}

// TestServerFromFile: the whole record as JSON; flags replace what it says.
func TestServerFromFile(t *testing.T) {
	s := start(t, t.TempDir())
	record := `{"slug":"filed","url":"https://c.example.com/mcp","display_name":"Filed","expose":["tools"],"tool_allow_list":["read_*"]}`
	code, stdout, stderr := s.cli(t, record, "server", "create", "--file", "-", "--name", "Replaced", "--json")
	var got struct {
		DisplayName   string   `json:"display_name"`
		Expose        []string `json:"expose"`
		ToolAllowList []string `json:"tool_allow_list"`
	}
	if err := json.Unmarshal([]byte(stdout), &got); code != 0 || err != nil {
		t.Fatalf("exit %d: %v %s", code, err, stderr)
	}
	if got.DisplayName != "Replaced" || strings.Join(got.Expose, " ") != "tools" || strings.Join(got.ToolAllowList, " ") != "read_*" {
		t.Errorf("the record is %+v", got)
	}
}

// TestRefusalsOfTheAPI become one line with every field that is wrong, and exit 1.
func TestRefusalsOfTheAPI(t *testing.T) {
	s := start(t, t.TempDir())
	s.must(t, "server", "create", "--slug", "taken", "--url", "https://a.example.com/mcp")
	tests := []struct {
		args []string
		want []string
	}{
		{[]string{"server", "create", "--slug", "Not_A_Slug", "--url", "nowhere", "--availability", "sometimes"}, []string{"slug", "url", "availability"}},
		{[]string{"server", "create", "--slug", "taken", "--url", "https://b.example.com/mcp"}, []string{"slug"}},
		{[]string{"server", "create", "--slug", "local", "--url", "http://127.0.0.1/mcp"}, []string{"url"}},
		{[]string{"server", "get", "nobody"}, []string{`"nobody"`}},
		{[]string{"server", "update", "taken", "--tool-pinning", "hard"}, []string{"tool_pinning"}},
		{[]string{"token", "create", "--name", "x", "--role", "king"}, []string{"role"}},
		{[]string{"token", "revoke", "0000000000000000"}, []string{"0000000000000000"}},
	}
	for _, test := range tests {
		code, stdout, stderr := s.cli(t, "", test.args...)
		if code != 1 || stdout != "" || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%v: exit %d\n%s%s", test.args, code, stdout, stderr)
		}
		for _, want := range test.want {
			if !strings.Contains(stderr, want) {
				t.Errorf("%v: %q does not say %s", test.args, stderr, want)
			}
		}
	}
}

// TestTokenCommands: made, used, listed without its text, revoked at once.
func TestTokenCommands(t *testing.T) {
	s := start(t, t.TempDir())
	code, stdout, stderr := s.cli(t, "", "token", "create", "--name", "review", "--role", "user", "--user", "alice", "--mode", "plan", "--expires-in", "1h")
	token := strings.TrimSpace(stdout)
	if code != 0 || !strings.HasPrefix(token, "mcps_") || strings.ContainsAny(token, " \n") {
		t.Fatalf("exit %d: stdout is %q, stderr %q", code, stdout, stderr)
	}
	list := s.must(t, "token", "list")
	for _, want := range []string{"review", "user", "alice", "plan"} {
		if !strings.Contains(list, want) {
			t.Errorf("the list lacks %s:\n%s", want, list)
		}
	}
	id, secret, _ := strings.Cut(strings.TrimPrefix(token, "mcps_"), "_")
	if strings.Contains(list+s.must(t, "token", "list", "--json"), secret) {
		t.Error("the list shows the token")
	}
	if status, _ := request(t, "GET", s.base+"/api/v1/whoami", token, ""); status != http.StatusOK {
		t.Errorf("the token is answered %d", status)
	}
	s.must(t, "token", "revoke", id)
	if status, _ := request(t, "GET", s.base+"/api/v1/whoami", token, ""); status != http.StatusUnauthorized {
		t.Errorf("the revoked token is answered %d", status)
	}
	if code, _, stderr := s.cli(t, "", "token", "revoke", id); code != 1 || !strings.Contains(stderr, "token list") {
		t.Errorf("revoked again: exit %d: %s", code, stderr)
	}
}

// TestWhereANewServerIsFound: one that nobody gets without selecting it is announced with the way to it, and scripts are left alone.
func TestWhereANewServerIsFound(t *testing.T) {
	s := start(t, t.TempDir())
	for slug, test := range map[string]struct {
		more string
		told bool
	}{"off": {"--enabled", true}, "on": {"--availability=default_on", false}, "script": {"--json", false}, "out": {"--enabled=false", false}} {
		code, _, stderr := s.cli(t, "", "server", "create", "--slug", slug, "--url", "https://docs.example.com/mcp", test.more)
		if code != 0 || strings.Contains(stderr, "/mcp/"+slug) != test.told {
			t.Errorf("%s: exit %d: %s", slug, code, stderr)
		}
	}
}

// TestClientTrouble: each cause of a command that cannot work is a line of its own.
func TestClientTrouble(t *testing.T) {
	s := start(t, t.TempDir())
	stranger := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/elsewhere" {
			t.Error("the redirect was followed, with the token")
		}
		http.Redirect(w, r, "/elsewhere", http.StatusFound)
	}))
	defer stranger.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(s.token(t)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		url   string
		token string
		want  string
	}{
		{"no token", s.base, "", "MCP_SIDECAR_TOKEN"},
		{"a wrong token", s.base, "mcps_0123456789abcdef_wrong", "not valid"},
		{"a token that is none", s.base, "a b", "MCP_SIDECAR_TOKEN"},
		{"nobody there", gone.URL, "x", "MCP_SIDECAR_URL"},
		{"somebody else", stranger.URL, "x", "not one of a sidecar's"},
		{"no URL", "sidecar", "x", "http://host:port"},
		{"a URL with a password", "http://me:hunter22@127.0.0.1", "x", "http://host:port"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			env := []string{"MCP_SIDECAR_URL=" + test.url, "MCP_SIDECAR_TOKEN=" + test.token}
			line := refused(t, 1, env, "server", "list")
			if !strings.Contains(line, test.want) || strings.Contains(line, "hunter22") {
				t.Error(line)
			}
		})
	}
	if code, _, stderr := command(t, "", nil, "server", "list", "--sidecar-url", s.base, "--token-file", file); code != 0 {
		t.Errorf("with flags alone: %s", stderr)
	}
}

// TestLocalToken: from the directory that serve was started in, no token need be given; to another machine it is never sent.
func TestLocalToken(t *testing.T) {
	dir := t.TempDir()
	s := start(t, filepath.Join(dir, "data"))
	t.Chdir(dir)
	if code, _, stderr := command(t, "", []string{"MCP_SIDECAR_URL=" + s.base}, "server", "list"); code != 0 {
		t.Error(stderr)
	}
	line := refused(t, 1, []string{"MCP_SIDECAR_URL=https://sidecar.example.com"}, "server", "list")
	if !strings.Contains(line, "no usable token") {
		t.Error(line)
	}
}

// TestTablesAreHarmless: what a server says of itself does not drive the terminal.
func TestTablesAreHarmless(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode([]map[string]any{{"slug": "a", "display_name": "\x1b[2Jnothing\r\nto see\u202e"}})
	}))
	defer api.Close()
	_, stdout, _ := command(t, "", []string{"MCP_SIDECAR_URL=" + api.URL, "MCP_SIDECAR_TOKEN=x"}, "server", "list")
	if strings.ContainsAny(stdout, "\x1b\r\u202e") || strings.Count(stdout, "\n") != 2 {
		t.Errorf("%q", stdout)
	}
}
