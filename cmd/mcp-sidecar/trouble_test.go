package main_test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// TestWhyAServerIsNotAvailable: the admin reads the reason; an agent reads that it is so, and under which id an admin finds the reason in the log (S-12).
func TestWhyAServerIsNotAvailable(t *testing.T) {
	s := start(t, t.TempDir(), "--allow-private-cidrs", "127.0.0.1/32")
	s.must(t, "server", "create", "--slug", "gone", "--url", "http://127.0.0.1:1/mcp", "--auth-type", "none", "--availability", "default_on")
	if code, stdout, stderr := s.cli(t, "", "server", "test", "gone"); code != 1 || !strings.Contains(stdout+stderr, "refuses the connection") {
		t.Errorf("testing a closed port: exit %d: %s%s", code, stdout, stderr)
	}
	if status, answer := request(t, http.MethodGet, s.base+"/api/v1/servers/"+s.id(t, "gone")+"/tools", s.token(t), ""); status != http.StatusBadGateway || !strings.Contains(answer, "refuses the connection") {
		t.Errorf("the tools of a closed port: %d %s", status, answer)
	}
	body := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"gone__anything","arguments":{},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}`
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.base+"/mcp", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{
		"Authorization": {"Bearer " + s.token(t)}, "Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"},
		"Mcp-Protocol-Version": {"2026-07-28"}, "Mcp-Method": {"tools/call"}, "Mcp-Name": {"gone__anything"},
	}
	status, answer := do(t, req)
	id := regexp.MustCompile(`request_id ([0-9a-zA-Z-]+)\.`).FindStringSubmatch(answer)
	if status != http.StatusOK || id == nil || !strings.Contains(answer, `The server \"gone\" is not available.`) || strings.Contains(answer, "refused") || strings.Contains(answer, "127.0.0.1") {
		t.Fatalf("the agent reads: %d %s", status, answer)
	}
	for line := range strings.Lines(s.stderr.String()) {
		if strings.Contains(line, "request_id="+id[1]) && strings.Contains(line, "refused") {
			return
		}
	}
	t.Errorf("no line of the log has the reason of %s:\n%s", id[1], s.stderr)
}

// id is a server's.
func (s *running) id(t *testing.T, slug string) string {
	t.Helper()
	var server struct{ ID string }
	if err := json.Unmarshal([]byte(s.must(t, "server", "get", slug, "--json")), &server); err != nil {
		t.Fatal(err)
	}
	return server.ID
}
