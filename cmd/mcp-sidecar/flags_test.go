package main_test

import (
	"fmt"
	"net"
	"strings"
	"testing"

	sidecar "mcpsidecar/cmd/mcp-sidecar"
)

// TestMalformedValues: whatever is wrong, on the command line or in the environment, is named, with what would be right.
func TestMalformedValues(t *testing.T) {
	tests := []struct{ flag, value, allowed string }{
		{"listen", "localhost", "host:port"},
		{"listen", "127.0.0.1:http", "between 0 and 65535"},
		{"listen", "127.0.0.1:65536", "between 0 and 65535"},
		{"metrics-listen", "9090", "host:port"},
		{"public-url", "sidecar.example.com", "https://host"},
		{"public-url", "ftp://sidecar.example.com", "https://host"},
		{"public-url", "https://sidecar.example.com/path", "https://host"},
		{"allow-private-cidrs", "10.0.0.0/8,localhost", "10.0.0.0/8"},
		{"allow-private-cidrs", "10.1.2.3/8", "10.0.0.0/8"},
		{"allow-private-cidrs", "127.0.0.1", "a network such as"},
		{"audit-required", "yes", "true nor false"},
		{"log-level", "loud", "debug, info, warn and error"},
		{"log-level", "INFO", "debug, info, warn and error"},
		{"log-format", "xml", "text nor json"},
		{"max-body", "4MB", "4MiB"},
		{"max-body", "0", "4MiB"},
		{"max-body", "-1", "4MiB"},
		{"max-body", "2GiB", "at most 1GiB"},
		{"max-message", "99999999999999999999", "at most 1GiB"},
		{"max-pages", "0", "between 1 and 10000"},
		{"token-rate", "0", "between 1 and 10000"},
		{"upstream-timeout", "60", "30s"},
		{"upstream-timeout", "-1s", "30s"},
		{"upstream-max-time", "25h", "at most 24h"},
		{"drain-timeout", "soon", "30s"},
		{"demo", "maybe", "true nor false"},
	}
	for _, test := range tests {
		name := strings.ToUpper(strings.ReplaceAll("MCP_SIDECAR_"+test.flag, "-", "_"))
		for source, line := range map[string]string{
			"--" + test.flag: refused(t, 2, nil, "serve", "--"+test.flag+"="+test.value),
			name:             refused(t, 2, []string{name + "=" + test.value}, "serve"),
		} {
			if !strings.Contains(line, source+": ") || !strings.Contains(line, test.allowed) {
				t.Errorf("%s=%s is refused with %q; want the name and %q", source, test.value, line, test.allowed)
			}
		}
	}
}

// TestPasswordsAreNotRepeated: a URL that is refused may hold one.
func TestPasswordsAreNotRepeated(t *testing.T) {
	line := refused(t, 2, []string{"MCP_SIDECAR_PUBLIC_URL=https://me:hunter22@example.com"}, "serve")
	if strings.Contains(line, "hunter22") {
		t.Error(line)
	}
}

func TestUnknownNames(t *testing.T) {
	tests := []struct {
		env  string
		args []string
		want string
	}{
		{"MCP_SIDECAR_LISTEM=:8080", []string{"serve"}, "MCP_SIDECAR_LISTEM"},
		{"MCP_SIDECAR_=x", []string{"serve"}, "MCP_SIDECAR_"},
		{"", []string{"serve", "--listem", ":8080"}, "--listem"},
		{"", []string{"serve", "now"}, `"now"`},
		{"", []string{"sevre"}, "did you mean serve"},
		{"", []string{"server", "lits"}, `"lits"`},
		{"", []string{"server", "get"}, "slug or id is missing"},
		{"", []string{"server", "get", "a", "b"}, `"b"`},
		{"", []string{"server", "create", "--slug", "a"}, "--url"},
		{"", []string{"token", "create", "--name", "a"}, "--role"},
		{"", []string{"token", "create", "--name", "a", "--role", "user", "--expires-in", "1ms"}, "--expires-in"},
		{"", []string{"serve", "--audit-required"}, "--audit-log"},
	}
	for _, test := range tests {
		if line := refused(t, 2, []string{test.env}, test.args...); !strings.Contains(line, test.want) {
			t.Errorf("%s %v: %q does not name %s", test.env, test.args, line, test.want)
		}
	}
}

// TestFlagBeatsEnvironment finds out by the address that is taken. An empty variable counts as none.
func TestFlagBeatsEnvironment(t *testing.T) {
	taken, other := take(t), take(t)
	base := []string{"serve", "--data-dir", t.TempDir()}
	tests := []struct {
		env  string
		args []string
		want string
	}{
		{"MCP_SIDECAR_LISTEN=" + taken, nil, "--listen " + taken},
		{"MCP_SIDECAR_LISTEN=" + taken, []string{"--listen", other}, "--listen " + other},
		{"MCP_SIDECAR_LISTEN=", []string{"--listen", other}, "--listen " + other},
	}
	for _, test := range tests {
		line := refused(t, 1, []string{test.env}, append(base, test.args...)...)
		if !strings.Contains(line, test.want+" is in use") {
			t.Errorf("%s %v: %s", test.env, test.args, line)
		}
	}
}

// take listens on a port for the length of a test.
func take(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return listener.Addr().String()
}

// TestHelpNamesEveryFlag holds serve --help against the table of flags.
func TestHelpNamesEveryFlag(t *testing.T) {
	code, help, _ := command(t, "", nil, "serve", "--help")
	if code != 0 {
		t.Fatalf("exit %d", code)
	}
	for _, flag := range sidecar.Flags() {
		for _, want := range []string{"--" + flag.Name, "[" + flag.Env() + "]"} {
			if !strings.Contains(help, want) {
				t.Errorf("the help lacks %s", want)
			}
		}
	}
}

func TestEveryCommandHelps(t *testing.T) {
	for _, args := range []string{
		"", "serve", "version", "healthcheck", "token", "token create", "token list", "token revoke",
		"server", "server list", "server get", "server create", "server update", "server delete", "server test", "server tools", "server approve",
	} {
		code, help, stderr := command(t, "", nil, append(strings.Fields(args), "--help")...)
		if code != 0 || stderr != "" || !strings.Contains(help, fmt.Sprintf("mcp-sidecar %s", args)) {
			t.Errorf("%s --help: exit %d\n%s%s", args, code, help, stderr)
		}
	}
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if code, script, _ := command(t, "", nil, "completion", shell); code != 0 || !strings.Contains(script, "mcp-sidecar") {
			t.Errorf("completion %s: exit %d", shell, code)
		}
	}
}

func TestVersion(t *testing.T) {
	if code, text, _ := command(t, "", nil, "version"); code != 0 || !strings.HasPrefix(text, "mcp-sidecar ") {
		t.Errorf("exit %d: %s", code, text)
	}
	if code, text, _ := command(t, "", nil, "version", "--json"); code != 0 || !strings.Contains(text, `"version":`) {
		t.Errorf("exit %d: %s", code, text)
	}
}
