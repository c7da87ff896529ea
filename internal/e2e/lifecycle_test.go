package e2e_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mcpsidecar/internal/e2e/rig"
)

// TestKilledDuringUse: after a power cut, so to speak, configuration and sessions are as they were acknowledged.
func TestKilledDuringUse(t *testing.T) {
	f := startFake(t, legacyOnly)
	s := start(t)
	id := s.register("one", f.URL)
	token := s.token("alice")
	for round := range 3 {
		old := s.legacy("/mcp", token)
		if got := old.call("one__echo", `{"round":1}`); got.Text != `{"round":1}` {
			t.Fatalf("before: %+v", got)
		}
		acknowledged := s.writeUntilKilled(id, round)
		s = s.again()
		var stored struct {
			Description string
			URL         string
		}
		if err := s.API(t.Context(), http.MethodGet, "/servers/"+id, nil, &stored); err != nil {
			t.Fatal(err)
		}
		// The write under way at the moment of the kill may or may not have been made; an acknowledged one has.
		if next := fmt.Sprintf("%d.%d", round, acknowledged+1); stored.Description != fmt.Sprintf("%d.%d", round, acknowledged) && stored.Description != next {
			t.Errorf("round %d: the description is %q after %d acknowledged writes", round, stored.Description, acknowledged)
		}
		survivor := &agent{t: t, client: web(t), url: s.Base + "/mcp", token: token, session: old.session}
		if got := survivor.call("one__echo", `{"round":2}`); got.Text != `{"round":2}` {
			t.Errorf("round %d: the session is lost: %+v", round, got)
		}
	}
}

// writeUntilKilled writes to a server's record, kills the sidecar in the midst, and returns the number of the last acknowledged write.
func (s *sidecar) writeUntilKilled(id string, round int) (acknowledged int) {
	s.t.Helper()
	enough, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for n := 1; ; n++ {
			if err := s.API(context.WithoutCancel(s.t.Context()), http.MethodPatch, "/servers/"+id, rig.Fields{"description": fmt.Sprintf("%d.%d", round, n)}, nil); err != nil {
				return
			}
			if acknowledged = n; n == 5 {
				close(enough)
			}
		}
	}()
	select {
	case <-enough:
	case <-ended:
	}
	s.Kill()
	<-ended
	if acknowledged < 5 {
		s.t.Fatalf("only %d writes were acknowledged", acknowledged)
	}
	return acknowledged
}

// TestLoadAtTheEnd is Z-01: what is under way ends well, nothing new is let in, streams are taken leave of.
func TestLoadAtTheEnd(t *testing.T) {
	calls, streams := sized(50, 500), sized(50, 1000)
	f := startFake(t, legacyOnly)
	release := make(chan struct{})
	f.onCall(func(w http.ResponseWriter, r *http.Request, m heard) {
		select {
		case <-release:
			m.answer(w)
		case <-r.Context().Done():
		}
	})
	s := start(t)
	s.register("one", f.URL)
	client := web(t)
	client.Transport.(*http.Transport).MaxIdleConnsPerHost = calls
	token := "" // another one for each hundred: no user may have too much under way
	ofUser := func(n int) string {
		if n%100 == 0 {
			token = s.token(fmt.Sprintf("user-%d", n/100))
		}
		return token
	}
	results := make(chan error, calls)
	for n := range calls {
		a := s.modern("/mcp", ofUser(n))
		a.client = client
		go func() { results <- drainedCall(a, n) }()
	}
	eventually(t, "all calls are under way", func() bool { return len(f.of("tools/call")) == calls })
	var standing []*events
	for n := range streams {
		a := s.modern("/mcp", ofUser(n))
		if n%2 == 0 {
			a = s.legacy("/mcp", a.token)
		}
		stream := a.stream()
		if a.session == "" {
			if _, err := stream.next(); err != nil { // the acknowledgement
				t.Fatal(err)
			}
		}
		standing = append(standing, stream)
	}

	told := time.Now()
	s.Signal(syscall.SIGTERM)
	eventually(t, "readiness says no", func() bool {
		status, _, err := s.Scrape(t.Context(), "/readyz")
		return err == nil && status == http.StatusServiceUnavailable
	})
	notReady := time.Since(told)
	if got, err := try(t, web(t), http.MethodPost, s.Base+"/mcp", token, `{}`); err == nil && got.status != http.StatusServiceUnavailable {
		t.Errorf("a new request is answered with %d", got.status)
	}
	for n, stream := range standing {
		last, err := "", error(nil)
		for err == nil {
			var data string
			if data, err = stream.next(); err == nil {
				last = data
			}
		}
		if err != io.EOF || n%2 == 1 && !strings.Contains(last, `"result":`) {
			t.Errorf("stream %d ended with %v after %q", n, err, last)
		}
	}
	left := time.Since(told)
	select {
	case <-s.Ended():
		t.Fatal("it ended before its calls")
	default:
	}
	close(release)
	for range calls {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	last := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if code := must[int](t)(s.Wait(ctx)); code != 0 {
		t.Errorf("it ended with %d", code)
	}
	over := time.Since(last)
	t.Logf("%d calls and %d streams: not ready after %s, all streams ended after %s, the process %s after the last call", calls, streams, notReady, left, over)
	if full && (notReady > 150*time.Millisecond || left > notReady+time.Second || over > time.Second) {
		t.Error("that is too slow")
	}
}

func drainedCall(a *agent, n int) error {
	arguments := fmt.Sprintf(`{"n":%d}`, n)
	body, header := a.request(n, "tools/call", "one__echo", `"name":"one__echo","arguments":`+arguments)
	got, err := try(a.t, a.client, http.MethodPost, a.url, a.token, body, a.with(header)...)
	if err != nil {
		return err
	}
	m, err := lastMessage(got)
	if err != nil || m.Error != nil || !strings.Contains(string(m.Result), fmt.Sprintf(`{\"n\":%d}`, n)) {
		return fmt.Errorf("call %d: %d %s", n, got.status, got.body)
	}
	return nil
}

// refused runs a command that has to fail soon with one line on stderr and nothing on stdout, and returns the line.
func refused(t *testing.T, env []string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	code, stdout, stderr, err := rig.Run(ctx, rig.Command{Path: must[string](t)(sidecarBinary()), Args: args, Env: env})
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(stderr) {
		if !strings.HasPrefix(line, "time=") { // the log's
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	if code == 0 || stdout != "" || len(lines) == 0 || !strings.HasPrefix(lines[0], "mcp-sidecar: ") || strings.Contains(stderr, "goroutine ") {
		t.Fatalf("%v: exit %d\nstdout: %s\nstderr: %s", args, code, stdout, stderr)
	}
	return lines[0]
}

// serveArgs are those of a sidecar with its data in dir.
func serveArgs(dir string, more ...string) []string {
	return append(rig.SidecarCommand(rig.SidecarConfig{Dir: dir}).Args, more...)
}

// TestSecondProcess is C-09.
func TestSecondProcess(t *testing.T) {
	s := start(t)
	if line := refused(t, nil, serveArgs(s.dir)...); !strings.Contains(line, "another") {
		t.Error(line)
	}
	if got := send(t, web(t), http.MethodGet, s.Base+"/api/v1/servers", rig.AdminToken, ""); got.status != http.StatusOK {
		t.Errorf("the first one now answers %d", got.status)
	}
}

// TestWrongKey is D-04: the store and the key stay as they are.
func TestWrongKey(t *testing.T) {
	s, other := start(t), start(t)
	s.register("one", "https://one.example.com/mcp", "auth_type", "api_key", "api_key_header", "X-Key", "api_key_value", "secret")
	s.stop()
	other.stop()
	key := must[[]byte](t)(os.ReadFile(filepath.Join(other.dir, "sidecar.key")))
	if err := os.WriteFile(filepath.Join(s.dir, "sidecar.key"), key, 0o600); err != nil {
		t.Fatal(err)
	}
	before := fingerprint(t, s.dir)
	if line := refused(t, nil, serveArgs(s.dir)...); !strings.Contains(line, "key") || !strings.Contains(line, "sidecar.db") {
		t.Error(line)
	}
	if after := fingerprint(t, s.dir); after != before {
		t.Errorf("the files changed:\n%s\n%s", before, after)
	}
}

// TestDamagedStore is C-08.
func TestDamagedStore(t *testing.T) {
	s := start(t)
	s.register("one", "https://one.example.com/mcp")
	s.stop()
	good := must[[]byte](t)(os.ReadFile(filepath.Join(s.dir, "sidecar.db")))
	for what, content := range map[string][]byte{
		"empty": {}, "garbage": []byte(strings.Repeat("garbage ", 4096)), "half": good[:len(good)/2], "a stub": good[:100],
	} {
		t.Run(what, func(t *testing.T) {
			if err := os.WriteFile(filepath.Join(s.dir, "sidecar.db"), content, 0o600); err != nil {
				t.Fatal(err)
			}
			before := fingerprint(t, s.dir)
			if line := refused(t, nil, serveArgs(s.dir)...); !strings.Contains(line, "sidecar.db") {
				t.Error(line)
			}
			if after := fingerprint(t, s.dir); after != before {
				t.Errorf("the files changed:\n%s\n%s", before, after)
			}
		})
	}
}

func fingerprint(t *testing.T, dir string) string {
	t.Helper()
	var lines []string
	for _, entry := range must[[]os.DirEntry](t)(os.ReadDir(dir)) {
		content := must[[]byte](t)(os.ReadFile(filepath.Join(dir, entry.Name())))
		lines = append(lines, fmt.Sprintf("%s %x", entry.Name(), sha256.Sum256(content)))
	}
	return strings.Join(lines, "\n")
}

// TestBadStarts: each names what is wrong.
func TestBadStarts(t *testing.T) {
	taken := start(t)
	occupied := strings.TrimPrefix(taken.Base, "http://")
	for _, test := range []struct {
		env  []string
		args []string
		says string
	}{
		{nil, []string{"--listen", "nowhere"}, "--listen"},
		{nil, []string{"--listen", occupied}, "in use"},
		{nil, []string{"--metrics-listen", occupied}, "--metrics-listen"},
		{nil, []string{"--allow-private-cidrs", "10.0.0.0"}, "--allow-private-cidrs"},
		{nil, []string{"--log-level", "loud"}, "--log-level"},
		{nil, []string{"--nonsense"}, "--nonsense"},
		{nil, []string{"--audit-required"}, "--audit-required"},
		{nil, []string{"--public-url", "ftp://x"}, "--public-url"},
		{nil, []string{"more"}, "more"},
		{[]string{"MCP_SIDECAR_ADMIN_TOKEN=tiny-canary"}, nil, "MCP_SIDECAR_ADMIN_TOKEN"},
		{[]string{"MCP_SIDECAR_LISTN=x"}, nil, "MCP_SIDECAR_LISTN"},
		{[]string{"MCP_SIDECAR_LOG_FORMAT=xml"}, nil, "MCP_SIDECAR_LOG_FORMAT"},
	} {
		t.Run(test.says, func(t *testing.T) {
			t.Parallel()
			if line := refused(t, test.env, serveArgs(filepath.Join(t.TempDir(), "data"), test.args...)...); !strings.Contains(line, test.says) || strings.Contains(line, "tiny-canary") {
				t.Error(line)
			}
		})
	}
}

// TestAPolicyChangeHoldsAtOnce is P-19: for the next call of a session that is open, on a connection that is open, and for its list.
func TestAPolicyChangeHoldsAtOnce(t *testing.T) {
	f := startFake(t, legacyOnly)
	s := start(t)
	id := s.register("one", f.URL)
	token := s.token("alice")
	for _, era := range []struct {
		name string
		open func(path, token string) *agent
	}{{"modern", s.modern}, {"legacy", s.legacy}} {
		t.Run(era.name, func(t *testing.T) {
			s.update(id, "tool_deny_list", []string{})
			a := era.open("/mcp", token)
			a.t = t
			if got := a.call("one__echo", `{}`); got.Text != `{}` {
				t.Fatalf("before: %+v", got)
			}
			stream := a.stream()
			if a.session == "" {
				if _, err := stream.next(); err != nil {
					t.Fatal(err)
				}
			}
			before := len(f.of("tools/call"))
			s.update(id, "tool_deny_list", []string{"echo"})
			if got := a.call("one__echo", `{}`); !strings.Contains(got.Error, "Unknown tool") {
				t.Errorf("after: %+v", got)
			}
			if tools := a.list(); slices.Contains(tools, "one__echo") || !slices.Contains(tools, "one__steps") {
				t.Errorf("the list is %v", tools)
			}
			if after := len(f.of("tools/call")); after != before {
				t.Error("the server was called")
			}
			if data, err := stream.next(); err != nil || !strings.Contains(data, "notifications/tools/list_changed") {
				t.Errorf("the stream says %q, %v", data, err)
			}
		})
	}
	t.Run("a token that was revoked", func(t *testing.T) {
		a := s.modern("/mcp", token)
		var tokens []struct{ ID, User string }
		if err := s.API(t.Context(), http.MethodGet, "/tokens", nil, &tokens); err != nil || len(tokens) != 1 {
			t.Fatalf("%v, %v", tokens, err)
		}
		if err := s.API(t.Context(), http.MethodDelete, "/tokens/"+tokens[0].ID, nil, nil); err != nil {
			t.Fatal(err)
		}
		if got := a.post(`{}`); got.status != http.StatusUnauthorized {
			t.Errorf("it is answered with %d", got.status)
		}
	})
}

// TestAnswersAreNotMixedUp is M-01: every client counts from the same number, and each hears what is its own.
func TestAnswersAreNotMixedUp(t *testing.T) {
	f := startFake(t, legacyOnly)
	f.onCall(func(w http.ResponseWriter, _ *http.Request, m heard) {
		time.Sleep(time.Duration(len(f.of("tools/call"))%7) * time.Millisecond) // answers come in another order than requests
		m.answer(w)
	})
	s := start(t)
	s.register("one", f.URL)
	var users sync.WaitGroup
	for n := range 20 {
		user := fmt.Sprintf("user-%d", n)
		a := s.modern("/mcp", s.token(user))
		if n%2 == 0 {
			a = s.legacy("/mcp", a.token)
		}
		for part := range 2 { // two at a time
			users.Go(func() {
				for id := 1 + part; id <= 40; id += 2 {
					text := fmt.Sprintf(`{"text":"%s %d"}`, user, id)
					body, header := a.request(id, "tools/call", "one__echo", `"name":"one__echo","arguments":`+text)
					got, err := try(t, a.client, http.MethodPost, a.url, a.token, body, a.with(header)...)
					if err != nil {
						t.Error(err)
						return
					}
					m, err := lastMessage(got)
					if err != nil || string(m.ID) != fmt.Sprint(id) || saidBy(t, m).Text != text {
						t.Errorf("%s asked %d and heard %s", user, id, got.body)
					}
				}
			})
		}
	}
	users.Wait()
}
