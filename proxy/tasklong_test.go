package proxy_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// TestLongTaskIDsPushOutNoOthers: what a server calls a task that is played behind the client's back is bounded as any other's name is. A server whose ids are as long as all that is remembered made everybody's tasks be forgotten.
func TestLongTaskIDsPushOutNoOthers(t *testing.T) {
	k, long := startTasker(t, "legacy", ""), startTasker(t, "legacy", strings.Repeat("x", 9<<20))
	serve := long.before
	long.before = func(w http.ResponseWriter, r *http.Request, m seen) bool {
		if m.Method == "tasks/result" {
			reply(w, m, `{"content":[{"type":"text","text":"waited for"}]}`)
			return true
		}
		return serve(w, r, m)
	}
	r := newRig(t, k.record("one"), long.record("two"))
	alice := r.tasking("legacy", "/mcp", r.token("user", "alice"))
	alice.start("one__slow", "", "")
	got := r.tasking("legacy", "/mcp", r.token("user", "mallory")).ask("tools/call", "two__must", `"name":"two__must"`, "")
	if m := got.last(t); !strings.Contains(string(m.Result), `"isError":true`) || len(m.Result) > 1024 {
		t.Errorf("the call: %.200s", got.body)
	}
	var listed struct {
		Tasks []begun `json:"tasks"`
	}
	answer := alice.ask("tasks/list", "", "", "")
	if err := json.Unmarshal(answer.last(t).Result, &listed); err != nil || len(listed.Tasks) != 1 {
		t.Errorf("the task of another is listed %d times: %v, %s", len(listed.Tasks), err, answer.body)
	}
	if len(long.seenOf("tasks/result")) > 0 {
		t.Error("the task was waited for")
	}
}
