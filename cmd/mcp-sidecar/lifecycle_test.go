package main_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	sidecar "mcpsidecar/cmd/mcp-sidecar"
)

// TestFirstStart: what a first start makes, and that nobody else can read it.
func TestFirstStart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := start(t, dir)
	for name, mode := range map[string]os.FileMode{".": 0o700, "admin.token": 0o600, "sidecar.db": 0o600, "sessions.db": 0o600, "sidecar.key": 0o600} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
		} else if info.Mode().Perm() != mode {
			t.Errorf("%s has mode %v", name, info.Mode().Perm())
		}
	}
	if place, _ := s.stdout.value(t.Context(), "admin token"); place != "in "+filepath.Join(dir, "admin.token") {
		t.Errorf("the token is announced %s", place)
	}
	if strings.Contains(s.stdout.String()+s.stderr.String(), s.token(t)) {
		t.Error("the token itself is printed")
	}
	if !strings.Contains(s.stderr.String(), "sidecar.key") {
		t.Error("nobody was warned that the key is beside the store")
	}
	if list := s.must(t, "token", "list"); !strings.Contains(list, "initial") {
		t.Errorf("the token is not listed:\n%s", list)
	}
	s.stop(t)
}

// TestAnOpenTokenFileIsClosed: a copy of the data directory, or a volume for a group, must not leave the admin token to everybody.
func TestAnOpenTokenFileIsClosed(t *testing.T) {
	s := start(t, t.TempDir())
	s.stop(t)
	file := filepath.Join(s.dir, "admin.token")
	if err := os.Chmod(file, 0o664); err != nil {
		t.Fatal(err)
	}
	s = start(t, s.dir)
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, %v", info.Mode(), err)
	}
	if said := s.stderr.String(); !strings.Contains(said, "others could read the admin token") || strings.Contains(said, s.token(t)) {
		t.Errorf("said: %s", said)
	}
}

// TestRestartKeepsEverything: servers, tokens and the first token, of which there is no second.
func TestRestartKeepsEverything(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir)
	s.must(t, "server", "create", "--slug", "docs", "--url", "https://docs.example.com/mcp")
	chat := strings.TrimSpace(s.must(t, "token", "create", "--name", "chat", "--role", "user", "--user", "alice"))
	first := s.token(t)
	s.stop(t)

	s = start(t, dir)
	if slugs := s.slugs(t); slugs != "docs" {
		t.Errorf("the servers are %q", slugs)
	}
	if s.token(t) != first {
		t.Error("a second first token was made")
	}
	if status, answer := request(t, "GET", s.base+"/api/v1/whoami", chat, ""); status != http.StatusOK || !strings.Contains(answer, `"alice"`) {
		t.Errorf("alice's token: %d %s", status, answer)
	}
}

// TestAdminTokenOfTheEnvironment makes the first token unnecessary.
func TestAdminTokenOfTheEnvironment(t *testing.T) {
	const token = "Zq8vLw3nXr5tKc7yBm2dGh9sPf4jUa6e"
	s := startWith(t, t.TempDir(), []string{"MCP_SIDECAR_ADMIN_TOKEN=" + token})
	if _, err := os.Stat(filepath.Join(s.dir, "admin.token")); !os.IsNotExist(err) {
		t.Errorf("a token was made all the same: %v", err)
	}
	if status, answer := request(t, "GET", s.base+"/api/v1/whoami", token, ""); status != http.StatusOK {
		t.Errorf("%d %s", status, answer)
	}
	for name, weak := range map[string]string{"short": "Zq8vLw3nXr5tKc7", "sample": "changeme-changeme-changeme-changeme", "monotonous": strings.Repeat("ab", 20)} {
		line := refused(t, 1, []string{"MCP_SIDECAR_ADMIN_TOKEN=" + weak}, "serve", "--data-dir", t.TempDir(), "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0")
		if !strings.Contains(line, "MCP_SIDECAR_ADMIN_TOKEN") || strings.Contains(line, weak) {
			t.Errorf("%s: %s", name, line)
		}
	}
}

// sayMemory is what an operator reads of a broken sessions.db: which file it is, that nothing was done to it, what to do, and what that costs.
var sayMemory = []string{"sessions.db", "move it away", "what clients have subscribed to", "they have to do so again"}

// TestStartsThatCannotBe: one line that says what is wrong and what to do, and the data directory as it was.
func TestStartsThatCannotBe(t *testing.T) {
	tests := []struct {
		name    string
		prepare func(t *testing.T, dir string) (args []string)
		want    []string
	}{
		{"a key that is not the store's", func(t *testing.T, dir string) []string {
			other := t.TempDir()
			start(t, other).stop(t)
			return []string{"--key-file", filepath.Join(other, "sidecar.key")}
		}, []string{"sidecar.key", "sidecar.db", "--key-file"}},
		{"no key", func(t *testing.T, dir string) []string {
			remove(t, dir, "sidecar.key")
			return nil
		}, []string{"sidecar.key", "restore"}},
		{"a key of zeros", func(t *testing.T, dir string) []string {
			replace(t, dir, "sidecar.key", make([]byte, 64))
			return nil
		}, []string{"sidecar.key"}},
		{"a store that is half there", func(t *testing.T, dir string) []string {
			content, _ := os.ReadFile(filepath.Join(dir, "sidecar.db"))
			replace(t, dir, "sidecar.db", content[:len(content)/2])
			return nil
		}, []string{"sidecar.db"}},
		{"an empty store", func(t *testing.T, dir string) []string {
			replace(t, dir, "sidecar.db", nil)
			return nil
		}, []string{"sidecar.db"}},
		{"a store of another program", func(t *testing.T, dir string) []string {
			replace(t, dir, "sidecar.db", []byte(strings.Repeat("hello ", 10_000)))
			return nil
		}, []string{"sidecar.db"}},
		{"a memory of sessions that is half there", func(t *testing.T, dir string) []string {
			content, _ := os.ReadFile(filepath.Join(dir, "sessions.db"))
			replace(t, dir, "sessions.db", content[:len(content)/2])
			return nil
		}, sayMemory},
		{"an empty memory of sessions", func(t *testing.T, dir string) []string {
			replace(t, dir, "sessions.db", nil)
			return nil
		}, sayMemory},
		{"a memory of sessions of another program", func(t *testing.T, dir string) []string {
			replace(t, dir, "sessions.db", []byte(strings.Repeat("hello ", 10_000)))
			return nil
		}, sayMemory},
		{"the store in place of the memory of sessions", func(t *testing.T, dir string) []string {
			content, _ := os.ReadFile(filepath.Join(dir, "sidecar.db"))
			replace(t, dir, "sessions.db", content)
			return nil
		}, sayMemory},
		{"a port in use", func(t *testing.T, dir string) []string {
			return []string{"--listen", take(t)}
		}, []string{"--listen", "in use"}},
		{"a metrics port in use", func(t *testing.T, dir string) []string {
			return []string{"--metrics-listen", take(t)}
		}, []string{"--metrics-listen", "in use"}},
		{"an audit log that is a directory", func(t *testing.T, dir string) []string {
			return []string{"--audit-log", t.TempDir()}
		}, []string{"audit"}},
		{"an address of somebody else", func(t *testing.T, dir string) []string {
			return []string{"--listen", "192.0.2.1:0"}
		}, []string{"--listen 192.0.2.1:0", "cannot be listened on"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			start(t, dir).stop(t)
			args := append([]string{"serve", "--data-dir", dir, "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"}, test.prepare(t, dir)...)
			before := fingerprint(t, dir)
			line := refused(t, 1, nil, args...)
			for _, want := range test.want {
				if !strings.Contains(line, want) {
					t.Errorf("%q does not say %q", line, want)
				}
			}
			if after := fingerprint(t, dir); after != before {
				t.Errorf("the data directory was\n%sand is\n%s", before, after)
			}
		})
	}
}

func remove(t *testing.T, dir, name string) {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

func replace(t *testing.T, dir, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// fingerprint tells two states of a directory apart.
func fingerprint(t *testing.T, dir string) (text string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		content, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		text += fmt.Sprintf("%s %x\n", entry.Name(), sha256.Sum256(content))
	}
	return text
}

// TestSecondProcess leaves, and says why; the first goes on.
func TestSecondProcess(t *testing.T) {
	s := start(t, t.TempDir())
	line := refused(t, 1, nil, "serve", "--data-dir", s.dir, "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0")
	if !strings.Contains(line, "in use") || !strings.Contains(line, "--data-dir") {
		t.Error(line)
	}
	s.must(t, "server", "list")
}

// TestPaths: what is not exactly a path of ours is nothing, and the metrics listener has three.
func TestPaths(t *testing.T) {
	s := start(t, t.TempDir())
	token := s.token(t)
	for _, path := range []string{
		"/", "/mcp/", "//mcp", "/MCP", "/mcp/a/b", "/mcp/%2e%2e/api", "/mcp/../api/v1/servers", "//api/v1/servers", "/API/v1/servers", "/%61pi/v1/servers",
		"/api", "/metrics", "/healthz", "/readyz", "/debug/pprof/", "/debug/vars", "/mcp%2fdemo", "/mcp;/api/v1/servers",
	} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", s.base, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.URL.Opaque = path
		req.Header.Set("Authorization", "Bearer "+token)
		// Ambiguous ones are 400, those that read as another host 403.
		status, answer := do(t, req)
		if refused := []int{http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound}; !slices.Contains(refused, status) || !json.Valid([]byte(answer)) {
			t.Errorf("%s: %d %s", path, status, answer)
		}
	}
	for path, want := range map[string]int{
		"/metrics": 200, "/healthz": 200, "/readyz": 200, "/": 404, "/mcp": 404, "/api/v1/servers": 404,
		"/debug/pprof/": 404, "/debug/pprof/heap": 404, "/debug/pprof/cmdline": 404, "/debug/vars": 404, "/metrics/": 404,
	} {
		if status, _ := request(t, "GET", s.metrics+path, "", ""); status != want {
			t.Errorf("metrics listener %s: %d, want %d", path, status, want)
		}
	}
	if status, _ := request(t, "POST", s.metrics+"/metrics", "", ""); status != http.StatusMethodNotAllowed {
		t.Errorf("POST /metrics: %d", status)
	}
}

// TestHealthcheck asks as a container would.
func TestHealthcheck(t *testing.T) {
	s := start(t, t.TempDir())
	env := []string{"MCP_SIDECAR_METRICS_LISTEN=" + strings.TrimPrefix(s.metrics, "http://")}
	for _, args := range [][]string{{"healthcheck"}, {"healthcheck", "--ready"}} {
		eventually(t, func() (bool, string) { // it gives up after three seconds
			code, stdout, stderr := command(t, "", env, args...)
			return code == 0 && stdout+stderr == "", fmt.Sprintf("%v: exit %d %s%s", args, code, stdout, stderr)
		})
	}
	s.stop(t)
	refused(t, 1, env, "healthcheck")
	refused(t, 1, env, "healthcheck", "--ready")
	refused(t, 2, []string{"MCP_SIDECAR_METRICS_LISTEN=here"}, "healthcheck")
}

// TestHangup: a log that was rotated away gets a successor, and a second one changes nothing else.
func TestHangup(t *testing.T) {
	dir := t.TempDir()
	log := filepath.Join(dir, "audit.log")
	s := start(t, filepath.Join(dir, "data"), "--audit-log", log)
	s.must(t, "server", "create", "--slug", "one", "--url", "https://one.example.com/mcp")
	if err := os.Rename(log, log+".1"); err != nil {
		t.Fatal(err)
	}
	s.signals <- syscall.SIGHUP
	awaitLog(t, s, "opened anew")
	s.must(t, "server", "create", "--slug", "two", "--url", "https://two.example.com/mcp")
	s.stop(t)
	for name, slugs := range map[string][2]string{log + ".1": {"one", "two"}, log: {"two", "one"}} {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if text := string(content); !strings.Contains(text, `"`+slugs[0]+`"`) || strings.Contains(text, `"`+slugs[1]+`"`) {
			t.Errorf("%s has\n%s", name, text)
		}
	}
}

// awaitLog waits until the log says something.
func awaitLog(t *testing.T, s *running, what string) {
	t.Helper()
	for {
		text, changed := s.stderr.now()
		if strings.Contains(text, what) {
			return
		}
		select {
		case <-changed:
		case <-t.Context().Done():
			t.Fatalf("the log never says %q", what)
		}
	}
}

// TestAuditOnStdout: then it is the only thing there.
func TestAuditOnStdout(t *testing.T) {
	dir := t.TempDir()
	stdout, stderr := newOutput(), newOutput()
	signals, ended := make(chan os.Signal, 1), make(chan int, 1)
	go func() {
		ended <- sidecar.Run(t.Context(), sidecar.Process{
			Args:   []string{"serve", "--data-dir", dir, "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--audit-log", "-", "--log-format", "json"},
			Stdout: stdout, Stderr: stderr,
			Signals: func() (<-chan os.Signal, func()) { return signals, func() {} },
		})
	}()
	if _, err := stderr.value(t.Context(), "endpoint"); err != nil {
		t.Fatal(err)
	}
	signals <- syscall.SIGINT
	if code := <-ended; code != 0 {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	for line := range strings.Lines(stdout.String()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("stdout has %q", line)
		}
	}
	if !strings.Contains(stdout.String(), `"token"`) {
		t.Errorf("the first token is not on record:\n%s", stdout)
	}
}

// TestListenOnEverything is possible, and a warning.
func TestListenOnEverything(t *testing.T) {
	s := start(t, t.TempDir(), "--listen", "0.0.0.0:0")
	if host, _, _ := net.SplitHostPort(strings.TrimPrefix(s.base, "http://")); host != "127.0.0.1" {
		t.Errorf("it is announced at %s, where nobody can connect", s.base)
	}
	if warnings := strings.Count(s.stderr.String(), "not on loopback"); warnings != 1 {
		t.Errorf("there are %d warnings", warnings)
	}
	s.must(t, "server", "list")
}

// TestPublicURL: others are sent there, and the address that is listened on is said as well. Under either name it answers, under others it does not.
func TestPublicURL(t *testing.T) {
	s := start(t, t.TempDir(), "--public-url", "https://tools.example.com/")
	if s.base != "https://tools.example.com" {
		t.Errorf("it is announced at %s", s.base)
	}
	address, err := s.stdout.value(t.Context(), "listen")
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]int{"": 200, "tools.example.com": 200, "evil.example.com": 403, "tools.example.com.evil.example": 403} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+address+"/api/v1/whoami", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		req.Header.Set("Authorization", "Bearer "+s.token(t))
		if status, answer := do(t, req); status != want {
			t.Errorf("Host %q: %d %s, want %d", host, status, answer, want)
		}
	}
}
