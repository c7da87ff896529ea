package main_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
)

// eras are the kinds of client that agents have.
var eras = map[string][]client.ClientOption{
	"modern": nil,
	//lint:ignore SA1019 there is no other way to speak the older era, and agents do
	"legacy": {client.WithLegacyProtocolOnly()},
}

// agent connects an MCP client.
func agent(t *testing.T, url string, headers map[string]string, options ...client.ClientOption) *client.Client {
	t.Helper()
	pool := &http.Transport{}
	t.Cleanup(pool.CloseIdleConnections)
	way, err := transport.NewStreamableHTTP(url, transport.WithHTTPHeaders(headers), transport.WithHTTPBasicClient(&http.Client{Transport: pool}))
	if err != nil {
		t.Fatal(err)
	}
	c := client.NewClient(way, options...)
	t.Cleanup(func() { _ = c.Close() })
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	var request mcp.InitializeRequest
	request.Params.ProtocolVersion = mcp.LATEST_PROTOCOL_VERSION
	request.Params.ClientInfo = mcp.Implementation{Name: "test", Version: "1"}
	if _, err := c.Initialize(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	return c
}

func toolsOf(t *testing.T, c *client.Client) string {
	t.Helper()
	list, err := c.ListTools(t.Context(), mcp.ListToolsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, tool := range list.Tools {
		names = append(names, tool.Name)
	}
	return strings.Join(names, " ")
}

func callTool(t *testing.T, c *client.Client, name string, arguments map[string]any) (string, error) {
	t.Helper()
	var request mcp.CallToolRequest
	request.Params.Name, request.Params.Arguments = name, arguments
	result, err := c.CallTool(t.Context(), request)
	if err != nil {
		return "", err
	}
	content, ok := result.Content[0].(mcp.TextContent)
	if !ok {
		t.Fatalf("%s answers with %T", name, result.Content[0])
	}
	return content.Text, nil
}

const (
	everyTool   = "demo__add demo__countdown demo__echo demo__note_add demo__note_delete demo__note_list demo__now"
	readingOnes = "demo__add demo__countdown demo__echo demo__note_list demo__now"
)

// pasted reads what --demo prints for an MCP client.
func (s *running) pasted(t *testing.T) (url string, headers map[string]string) {
	t.Helper()
	text := s.stdout.String()
	at := strings.Index(text, "{")
	if at < 0 {
		t.Fatalf("there is no JSON in\n%s", text)
	}
	var block struct {
		MCPServers map[string]struct {
			Type, URL string
			Headers   map[string]string
		}
	}
	if err := json.NewDecoder(strings.NewReader(text[at:])).Decode(&block); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	entry := block.MCPServers["sidecar"]
	if entry.Type != "http" {
		t.Errorf("the type is %q", entry.Type)
	}
	return entry.URL, entry.Headers
}

// TestDemo is what a newcomer does: paste, list, call; plan; forbid.
func TestDemo(t *testing.T) {
	s := start(t, t.TempDir(), "--demo")
	url, headers := s.pasted(t)
	for era, options := range eras {
		t.Run(era, func(t *testing.T) {
			c := agent(t, url, headers, options...)
			if tools := toolsOf(t, c); tools != everyTool {
				t.Errorf("the tools are %s", tools)
			}
			if said, err := callTool(t, c, "demo__echo", map[string]any{"text": "hello"}); err != nil || said != "hello" {
				t.Errorf("echo: %q, %v", said, err)
			}
			if tools := toolsOf(t, agent(t, url+"?mode=plan", headers, options...)); tools != readingOnes {
				t.Errorf("in plan mode the tools are %s", tools)
			}
			if tools := toolsOf(t, agent(t, url+"/demo", headers, options...)); tools != strings.ReplaceAll(everyTool, "demo__", "") {
				t.Errorf("at /mcp/demo the tools are %s", tools)
			}
		})
	}
	t.Run("denied", func(t *testing.T) {
		c := agent(t, url, headers)
		s.must(t, "server", "update", "demo", "--deny", "note_*")
		if tools := toolsOf(t, c); tools != "demo__add demo__countdown demo__echo demo__now" {
			t.Errorf("the tools are %s", tools)
		}
		_, denied := callTool(t, c, "demo__note_delete", map[string]any{"number": 1})
		_, unknown := callTool(t, c, "demo__nothing_dele", map[string]any{"number": 1})
		if denied == nil || unknown == nil || strings.ReplaceAll(denied.Error(), "note_delete", "nothing_dele") != unknown.Error() {
			t.Errorf("denied: %v\nunknown: %v", denied, unknown)
		}
		if listed := s.must(t, "server", "tools", "demo"); !strings.Contains(listed, "tool_deny_list: note_*") {
			t.Errorf("the rule is not shown:\n%s", listed)
		}
	})
	t.Run("tested", func(t *testing.T) {
		if result := s.must(t, "server", "test", "demo"); !strings.Contains(result, "modern") || !strings.Contains(result, "mcp-sidecar-demo") {
			t.Error(result)
		}
	})
}

// TestDemoAgain: the demo server is somewhere else after a restart, its rules are not.
func TestDemoAgain(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir, "--demo")
	s.must(t, "server", "update", "demo", "--deny", "note_*")
	token := s.token(t)
	s.stop(t)

	s = start(t, dir, "--demo")
	url, headers := s.pasted(t)
	if headers["Authorization"] != "Bearer "+token {
		t.Error("another token is shown")
	}
	if tools := toolsOf(t, agent(t, url, headers)); tools != "demo__add demo__countdown demo__echo demo__now" {
		t.Errorf("the tools are %s", tools)
	}
	if slugs := s.slugs(t); slugs != "demo" {
		t.Errorf("the servers are %s", slugs)
	}
	s.stop(t)

	s = start(t, dir)
	awaitLog(t, s, "start with --demo")
}

// TestDemoSparesAServerOfThatName.
func TestDemoSparesAServerOfThatName(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir)
	s.must(t, "server", "create", "--slug", "demo", "--url", "https://demo.example.com/mcp")
	s.stop(t)
	if line := refused(t, 1, nil, "serve", "--demo", "--data-dir", dir, "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"); !strings.Contains(line, "slug demo") {
		t.Error(line)
	}
	if shown := start(t, dir).must(t, "server", "get", "demo"); !strings.Contains(shown, "https://demo.example.com/mcp") {
		t.Errorf("it is now\n%s", shown)
	}
}

// startCountdown begins a call that takes a while, and returns once the server has reported a step of it.
func startCountdown(t *testing.T, s *running, steps int) (ended chan error) {
	t.Helper()
	url, headers := s.pasted(t)
	c := agent(t, url, headers)
	begun := make(chan struct{}, steps)
	c.OnNotification(func(n mcp.JSONRPCNotification) {
		if n.Method == "notifications/progress" {
			begun <- struct{}{}
		}
	})
	ended = make(chan error, 1)
	go func() {
		var request mcp.CallToolRequest
		request.Params.Name = "demo__countdown"
		request.Params.Arguments = map[string]any{"from": steps, "pause_ms": 100}
		request.Params.Meta = &mcp.Meta{ProgressToken: "t"}
		_, err := c.CallTool(t.Context(), request)
		ended <- err
	}()
	select {
	case <-begun:
	case err := <-ended:
		t.Fatalf("the call ended at once: %v", err)
	}
	return ended
}

// TestDrain: what is under way ends well, while nothing new is let in and readiness says so.
func TestDrain(t *testing.T) {
	s := start(t, t.TempDir(), "--demo")
	ended := startCountdown(t, s, 20)
	s.signals <- syscall.SIGTERM
	awaitLog(t, s, "draining")
	if status, reason := request(t, "GET", s.metrics+"/readyz", "", ""); status != http.StatusServiceUnavailable || !strings.Contains(reason, "draining") {
		t.Errorf("/readyz says %d %s", status, reason)
	}
	if status, _ := request(t, "GET", s.metrics+"/healthz", "", ""); status != http.StatusOK {
		t.Errorf("/healthz says %d", status)
	}
	if err := <-ended; err != nil {
		t.Errorf("the call was cut off: %v", err)
	}
	if code := s.exit(t); code != 0 {
		t.Errorf("exit %d", code)
	}
}

// TestDrainIgnoresSilentConnections: who connected and said nothing does not keep the program.
func TestDrainIgnoresSilentConnections(t *testing.T) {
	s := start(t, t.TempDir(), "--drain-timeout", "4s") // less than the five seconds that net/http would wait
	for range 3 {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.base, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	s.must(t, "server", "list") // accepted after the three, which are known by then
	s.stop(t)
	if log := s.stderr.String(); !strings.Contains(log, "drained") || strings.Contains(log, "cut off") {
		t.Error(log)
	}
}

// TestSecondSignal does not wait for what is under way.
func TestSecondSignal(t *testing.T) {
	s := start(t, t.TempDir(), "--demo", "--drain-timeout", "1h")
	ended := startCountdown(t, s, 60)
	s.signals <- syscall.SIGTERM
	awaitLog(t, s, "draining")
	s.signals <- os.Interrupt
	if code := s.exit(t); code != 0 {
		t.Errorf("exit %d", code)
	}
	if err := <-ended; err == nil {
		t.Error("the call ended well, so that nothing was cut off")
	}
	if !strings.Contains(s.stderr.String(), "cut off") {
		t.Errorf("nobody was told:\n%s", s.stderr)
	}
}

// TestMetricsAndAuditOfACall: a call leaves a count and a record, and neither what it was about nor the token.
func TestMetricsAndAuditOfACall(t *testing.T) {
	log := t.TempDir() + "/audit.log"
	s := start(t, t.TempDir(), "--demo", "--audit-log", log, "--audit-required")
	url, headers := s.pasted(t)
	c := agent(t, url, headers)
	if tools := toolsOf(t, c); tools != everyTool {
		t.Fatalf("the tools are %s", tools)
	}
	if _, err := callTool(t, c, "demo__echo", map[string]any{"text": "canary-4711"}); err != nil {
		t.Fatal(err)
	}
	_, served := request(t, "GET", s.metrics+"/metrics", "", "")
	for _, want := range []string{`mcp_sidecar_requests_total{method="tools/call",outcome="ok",server="demo"} 1`, "mcp_sidecar_ready 1"} {
		if !strings.Contains(served, want) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
	s.stop(t)
	content, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	if !slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, `"echo"`) && strings.Contains(l, `"ok"`) }) {
		t.Errorf("the call is not on record:\n%s", content)
	}
	_, secret, _ := strings.Cut(strings.TrimPrefix(headers["Authorization"], "Bearer mcps_"), "_")
	for _, hidden := range []string{"canary-4711", secret} {
		if strings.Contains(string(content)+s.stderr.String()+served, hidden) {
			t.Errorf("%s is on record", hidden)
		}
	}
}

// TestAuditThatCannotBeWritten: with --audit-required nothing is changed and nobody is sent here; without, work goes on and is counted as lost.
func TestAuditThatCannotBeWritten(t *testing.T) {
	const full = "/dev/full"
	if _, err := os.Stat(full); err != nil {
		t.Skip("there is no device that is always full")
	}
	dir := t.TempDir()
	start(t, dir).stop(t)
	s := start(t, dir, "--audit-log", full, "--audit-required")
	if code, _, _ := s.cli(t, "", "server", "create", "--slug", "a", "--url", "https://a.example.com/mcp"); code != 1 {
		t.Errorf("the change was answered with exit %d", code)
	}
	eventually(t, func() (bool, string) { // the store has two seconds to answer before it is the reason
		status, reason := request(t, "GET", s.metrics+"/readyz", "", "")
		return status == http.StatusServiceUnavailable && strings.Contains(reason, "audit"), fmt.Sprintf("/readyz says %d %s", status, reason)
	})
	if status, _ := request(t, "GET", s.metrics+"/healthz", "", ""); status != http.StatusOK {
		t.Errorf("/healthz says %d: a restart would not help", status)
	}
	refused(t, 1, nil, "serve", "--data-dir", t.TempDir(), "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--audit-log", full, "--audit-required")
}

// TestNobodyComesInWithout a credential, wherever they knock.
func TestNobodyComesInWithout(t *testing.T) {
	s := start(t, t.TempDir(), "--demo")
	const call = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"demo__echo","arguments":{"text":"x"}}}`
	for _, token := range []string{"", s.token(t) + "a"} {
		for _, path := range []string{"/mcp", "/mcp/demo", "/api/v1/servers", "/api/v1/tokens", "/api/v1/whoami", "/api/v1/openapi.json", "/api/experimental/mcp/servers"} {
			for _, method := range []string{"POST", "GET", "DELETE", "PATCH"} {
				if status, answer := request(t, method, s.base+path, token, call); status != http.StatusUnauthorized && status != http.StatusMethodNotAllowed && status != http.StatusNotFound {
					t.Errorf("%s %s with %q: %d %s", method, path, token, status, answer)
				}
			}
		}
	}
}

// TestGuessing is slowed down, and whoever has a token of ours does not notice.
func TestGuessing(t *testing.T) {
	s := start(t, t.TempDir())
	throttled := false
	for range 100 {
		status, _ := request(t, "GET", s.base+"/api/v1/whoami", "guessed-and-guessed-and-guessed-again", "")
		throttled = throttled || status == http.StatusTooManyRequests
	}
	if !throttled {
		t.Error("a hundred guesses were answered")
	}
	s.must(t, "server", "list")
}
