package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	sidecar "mcpsidecar/cmd/mcp-sidecar"
	"mcpsidecar/internal/leak"
)

// asSidecar makes the test binary be the program, for tests that kill it.
const asSidecar = "TEST_AS_SIDECAR"

func TestMain(m *testing.M) {
	if os.Getenv(asSidecar) != "" {
		os.Exit(sidecar.Run(context.Background(), sidecar.Self()))
	}
	leak.Main(m)
}

// patience is how long a test waits for what must happen; only a broken program takes that long.
const patience = 60 * time.Second

// eventually polls until something holds that a busy machine may take its time for.
func eventually(t *testing.T, holds func() (bool, string)) {
	t.Helper()
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		is, instead := holds()
		if is {
			return
		}
		if time.Since(began) > patience {
			t.Fatal(instead)
		}
	}
}

// output collects what the program writes, and lets a test wait for it.
type output struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{} // closed, and replaced, with each write
}

func newOutput() *output { return &output{changed: make(chan struct{})} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.changed)
	o.changed = make(chan struct{})
	return o.text.Write(p)
}

func (o *output) String() string {
	text, _ := o.now()
	return text
}

func (o *output) now() (string, <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String(), o.changed
}

// value waits for a line "name: value".
func (o *output) value(ctx context.Context, name string) (string, error) {
	for {
		text, changed := o.now()
		for line := range strings.Lines(text) {
			if value, ok := strings.CutPrefix(line, name+": "); ok && strings.HasSuffix(value, "\n") {
				return strings.TrimSpace(value), nil
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return "", fmt.Errorf("%s was not announced in:\n%s", name, text)
		}
	}
}

// running is a sidecar in this process.
type running struct {
	dir            string
	base           string // of the main listener, without a path
	metrics        string // likewise
	stdout, stderr *output
	signals        chan os.Signal
	ended          chan int
}

// start runs a sidecar until the test ends, unless the test ends it before.
func start(t *testing.T, dir string, args ...string) *running {
	t.Helper()
	return startWith(t, dir, nil, args...)
}

func startWith(t *testing.T, dir string, env []string, args ...string) *running {
	t.Helper()
	s := &running{dir: dir, stdout: newOutput(), stderr: newOutput(), signals: make(chan os.Signal, 4), ended: make(chan int, 1)}
	args = append([]string{"serve", "--data-dir", dir, "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"}, args...)
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	go func() {
		code := sidecar.Run(ctx, sidecar.Process{
			Args: args, Env: env, Stdin: strings.NewReader(""), Stdout: s.stdout, Stderr: s.stderr,
			Signals: func() (<-chan os.Signal, func()) { return s.signals, func() {} },
		})
		stop()
		s.ended <- code
	}()
	t.Cleanup(func() {
		stop()
		s.exit(t)
	})
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	endpoint, err := s.stdout.value(waiting, "endpoint")
	if err != nil {
		t.Fatalf("%v\nstderr:\n%s", err, s.stderr)
	}
	metrics, err := s.stdout.value(waiting, "metrics")
	if err != nil {
		t.Fatal(err)
	}
	s.base, s.metrics = strings.TrimSuffix(endpoint, "/mcp"), strings.TrimSuffix(metrics, "/metrics")
	return s
}

// exit waits for the program's end.
func (s *running) exit(t *testing.T) int {
	t.Helper()
	select {
	case code := <-s.ended:
		s.ended <- code
		return code
	case <-time.After(patience):
		t.Fatalf("it does not end; stderr:\n%s", s.stderr)
		return -1
	}
}

// stop ends it as an operator would.
func (s *running) stop(t *testing.T) {
	t.Helper()
	s.signals <- syscall.SIGTERM
	if code := s.exit(t); code != 0 {
		t.Errorf("the exit code is %d; stderr:\n%s", code, s.stderr)
	}
}

// token is the admin token that the first start left.
func (s *running) token(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, "admin.token"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// cli runs a command against the sidecar.
func (s *running) cli(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	return command(t, stdin, []string{"MCP_SIDECAR_URL=" + s.base, "MCP_SIDECAR_TOKEN=" + s.token(t)}, args...)
}

// must runs a command that has to succeed, and returns its stdout.
func (s *running) must(t *testing.T, args ...string) string {
	t.Helper()
	code, stdout, stderr := s.cli(t, "", args...)
	if code != 0 {
		t.Fatalf("%v: exit %d: %s", args, code, stderr)
	}
	return stdout
}

// command runs the program to its end.
func command(t *testing.T, stdin string, env []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errors bytes.Buffer
	code = sidecar.Run(t.Context(), sidecar.Process{Args: args, Env: env, Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: &errors})
	return code, out.String(), errors.String()
}

// refused runs a command that has to fail with one line on stderr, which it returns.
func refused(t *testing.T, code int, env []string, args ...string) string {
	t.Helper()
	got, stdout, stderr := command(t, "", env, args...)
	var errorLines []string
	for line := range strings.Lines(stderr) {
		if !strings.HasPrefix(line, "time=") { // the log's
			errorLines = append(errorLines, line)
		}
	}
	if got != code || stdout != "" || len(errorLines) != 1 || !strings.HasPrefix(errorLines[0], "mcp-sidecar: ") {
		t.Fatalf("%v: exit %d, want %d and one line\nstdout: %s\nstderr: %s", args, got, code, stdout, stderr)
	}
	return errorLines[0]
}

// request sends one request on a connection of its own.
func request(t *testing.T, method, url, token, body string) (status int, answer string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	return do(t, req)
}

func do(t *testing.T, req *http.Request) (status int, answer string) {
	t.Helper()
	client := http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// slugs lists the registered servers.
func (s *running) slugs(t *testing.T) string {
	t.Helper()
	var servers []struct{ Slug string }
	if err := json.Unmarshal([]byte(s.must(t, "server", "list", "--json")), &servers); err != nil {
		t.Fatal(err)
	}
	var slugs []string
	for _, server := range servers {
		slugs = append(slugs, server.Slug)
	}
	return strings.Join(slugs, " ")
}
