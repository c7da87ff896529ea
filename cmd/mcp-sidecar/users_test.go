package main_test

import (
	"net/http"
	"strings"
	"testing"
)

// ping is a call of an agent for one user; it says how it was answered.
func (s *running) ping(t *testing.T, token, user string) (status int, answer string) {
	t.Helper()
	body := `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}`
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.base+"/mcp", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{"Authorization": {"Bearer " + token}, "Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}, "Sidecar-User": {user}}
	return do(t, req)
}

// TestUsersThatAgentsMakeUp find an end; who is known goes on, before and after a restart, and an admin's word counts always.
func TestUsersThatAgentsMakeUp(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir, "--max-users", "2")
	token := strings.TrimSpace(s.must(t, "token", "create", "--name", "chat", "--role", "agent"))
	expect := func(user string, want int, says string) {
		t.Helper()
		if status, answer := s.ping(t, token, user); status != want || !strings.Contains(answer, says) {
			t.Errorf("%s: %d %s", user, status, answer)
		}
	}
	expect("alice", 200, "result")
	expect("bob", 200, "result")
	for range 3 {
		expect("mallory", 403, "--max-users")
	}
	expect("alice", 200, "result")
	s.must(t, "token", "create", "--name", "carol's", "--role", "user", "--user", "carol")
	expect("carol", 200, "result")
	s.stop(t)

	s = start(t, dir, "--max-users", "2")
	for _, user := range []string{"alice", "bob", "carol"} {
		expect(user, 200, "result")
	}
	expect("mallory", 403, "--max-users")
	for _, user := range []string{"alice", "bob"} {
		if status, answer := request(t, http.MethodDelete, s.base+"/api/v1/users/"+user, s.token(t), ""); status != http.StatusNoContent {
			t.Fatalf("ending %s: %d %s", user, status, answer)
		}
	}
	expect("mallory", 200, "result")
	expect("alice", 403, "--max-users")
}
