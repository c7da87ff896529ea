package e2e_test

import (
	"fmt"
	"testing"
)

// TestTheFirstListIsJudgedByItsOwnBaseline: what a server lists first is approved before anybody has the list of it. Only what is approved as read-only is there in plan mode, so that a list which came too early would be empty.
func TestTheFirstListIsJudgedByItsOwnBaseline(t *testing.T) {
	t.Parallel()
	const servers = 8
	s := start(t)
	for n := range servers {
		f := startFake(t, []string{modernOnly, legacyOnly}[n%2])
		f.list = `{"name":"look","inputSchema":{"type":"object"},"annotations":{"readOnlyHint":true}}`
		s.register(fmt.Sprintf("s%d", n), f.URL, "allow_in_plan_mode", true, "plan_read_only", true)
	}
	if names := s.modern("/mcp", s.token("alice", "mode", "plan")).list(); len(names) != servers {
		t.Errorf("the first list has %q", names)
	}
}
