package proxy_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
)

// startAcross calls a tool as a task: at a server of the other era, which may have to be told in the arguments that it is to begin one.
func (c *client) startAcross(name, arguments string) begun {
	c.rig.t.Helper()
	if arguments != "" {
		arguments = "," + arguments
	}
	return c.start(name, `"task":true`+arguments, "")
}

// awaits asks for the result of a task, as a legacy client does.
func (c *client) awaits(id string) *conversation {
	c.rig.t.Helper()
	response, err := http.DefaultClient.Do(c.asked("tasks/result", "", fmt.Sprintf(`"taskId":%q`, id), ""))
	if err != nil {
		c.rig.t.Fatal(err)
	}
	return &conversation{c: c, response: response, lines: bufio.NewReader(response.Body)}
}

// whole is outcome, as it was written.
func (v *conversation) whole() string { return v.outcome().raw.body }

// become changes the status of a task when the server is asked for the nth time how it is.
func (k *tasker) become(status string, nth int) {
	serve, asked := k.before, 0
	k.before = func(w http.ResponseWriter, r *http.Request, m seen) bool {
		if m.Method == "tasks/get" {
			if asked++; asked == nth {
				k.set(status)
			}
		}
		return serve(w, r, m)
	}
}

// legacyAtModern is a legacy client at a modern server that has tasks.
func legacyAtModern(t *testing.T, path string) (*tasker, *rig, *client) {
	k := startTasker(t, "modern", "")
	r := newRig(t, k.record("one"))
	return k, r, r.tasking("legacy", path, r.token("user", "alice"))
}

// TestLegacyTasksOfModernServers: from the beginning to the end, in words of 2025-11-25.
func TestLegacyTasksOfModernServers(t *testing.T) {
	for _, path := range []string{"/mcp", "/mcp/one"} {
		k, r, c := legacyAtModern(t, path)
		got := c.ask("tools/call", "", fmt.Sprintf(`"name":%q,"arguments":{"task":true},"task":{"ttl":60000}`, c.name("slow")), "")
		var result struct{ Task map[string]json.RawMessage }
		if err := json.Unmarshal(got.last(t).Result, &result); err != nil {
			t.Fatal(err)
		}
		id := strings.Trim(string(result.Task["taskId"]), `"`)
		delete(result.Task, "taskId")
		told, _ := json.Marshal(result.Task)
		if want := `{"createdAt":"2026-01-01T00:00:02Z","extra":[1,2],"lastUpdatedAt":"2026-01-01T00:00:00Z","pollInterval":1,"status":"working","ttl":60000}`; string(told) != want || strings.Contains(id, "the-servers") {
			t.Errorf("begun: %s\n%s", told, got.body)
		}
		if sent := k.seenOf("tools/call")[0]; strings.Contains(sent.Body, `"ttl"`) || !strings.Contains(sent.Body, `"extensions":{"io.modelcontextprotocol/tasks":{}}`) || !strings.Contains(sent.Body, `"elicitation":{}`) {
			t.Errorf("the server was sent %s", sent.Body)
		}
		theirs := k.set("working")
		if got := c.touch("tasks/get", id); !strings.Contains(got.body, `"taskId":"`+id+`","status":"working"`) {
			t.Errorf("tasks/get: %s", got.body)
		}
		if sent := k.seenOf("tasks/get")[0]; sent.field("taskId") != `"`+theirs+`"` || sent.Header.Get("Mcp-Name") != theirs {
			t.Errorf("the server was asked %s %v", sent.Body, sent.Header)
		}
		if got := c.ask("tasks/list", "", "", ""); strings.Count(got.body, `"taskId"`) != 1 || !strings.Contains(got.body, id) {
			t.Errorf("tasks/list: %s", got.body)
		}
		if got := r.tasking("legacy", path, r.token("user", "bob")).ask("tasks/list", "", "", ""); strings.Contains(got.body, `"taskId"`) {
			t.Errorf("tasks/list of another: %s", got.body)
		}
		k.set("completed")
		if got := c.touch("tasks/result", id); string(got.last(t).Result) != `{"content":[{"type":"text","text":"done"}],"isError":false,"extra":[1, 2],"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"`+id+`"}}}` {
			t.Errorf("tasks/result: %s", got.body)
		}
		if got := c.touch("tasks/get", id); !strings.Contains(got.body, `"status":"completed"`) || strings.Contains(got.body, "done") {
			t.Errorf("tasks/get at the end: %s", got.body)
		}
		if m := c.touch("tasks/cancel", id).last(t); m.Error == nil || m.Error.Code != -32602 || len(k.seenOf("tasks/cancel")) != 0 {
			t.Errorf("tasks/cancel at the end: %s", m.Result)
		}
	}
}

// TestLegacyTasksEndInEveryWay that a modern server knows.
func TestLegacyTasksEndInEveryWay(t *testing.T) {
	cases := map[string]struct {
		status, told, result string
		fails                bool
	}{
		"completed":         {"completed", "completed", `"text":"done"`, false},
		"of a tool failing": {"completed", "failed", `"isError":true`, true},
		"failed":            {"failed", "failed", `"error":{"code":-32050,"message":"broke","data":7}`, false},
		"cancelled":         {"cancelled", "cancelled", `the task is cancelled`, false},
	}
	for what, test := range cases {
		k, _, c := legacyAtModern(t, "/mcp")
		id := c.startAcross("one__slow", "").TaskID
		k.tasks[len(k.tasks)-1].fails = test.fails
		k.set(test.status)
		if got := c.touch("tasks/get", id); !strings.Contains(got.body, `"status":"`+test.told+`"`) || strings.Contains(got.body, `"error"`) {
			t.Errorf("%s: %s", what, got.body)
		}
		if got := c.touch("tasks/result", id); !strings.Contains(got.body, test.result) {
			t.Errorf("%s: the result: %s", what, got.body)
		}
	}
}

// TestLegacyTasksAreCancelled: the answer is what has become of them.
func TestLegacyTasksAreCancelled(t *testing.T) {
	_, _, c := legacyAtModern(t, "/mcp")
	id := c.startAcross("one__slow", "").TaskID
	if got := c.touch("tasks/cancel", id); !strings.Contains(got.body, `"taskId":"`+id+`","status":"cancelled"`) {
		t.Errorf("%s", got.body)
	}
}

// TestLegacyClientIsAskedForATask of a modern server: on the stream of tasks/result, where it hears of the status as well. It is asked once, also if it takes the server a while to know.
func TestLegacyClientIsAskedForATask(t *testing.T) {
	k, _, c := legacyAtModern(t, "/mcp")
	id := c.startAcross("one__slow", `"ask":{"method":"elicitation/create","params":{"message":"who?"}}`).TaskID
	k.become("input_required", 2)
	v := c.awaits(id)
	if got := v.next(); !strings.Contains(got, "notifications/tasks/status") || !strings.Contains(got, `"taskId":"`+id+`","status":"input_required"`) || strings.Contains(got, "who?") {
		t.Errorf("the news: %s", got)
	}
	q := v.question()
	related := `"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"` + id + `"}}`
	if q.Method != "elicitation/create" || !strings.Contains(string(q.Params), related) || !strings.Contains(string(q.Params), "who?") {
		t.Errorf("asked %s %s", q.Method, q.Params)
	}
	if got := c.respond(q.ID, `{"action":"accept","content":{"a":1},`+related+`}`); got.status != http.StatusAccepted {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if got := <-k.answers; got != `{"k1":{"action":"accept","content":{"a":1}}}` {
		t.Errorf("the server heard %s", got)
	}
	if got := c.touch("tasks/get", id); !strings.Contains(got.body, `"status":"input_required"`) || strings.Contains(got.body, "who?") {
		t.Errorf("tasks/get meanwhile: %s", got.body)
	}
	k.set("completed")
	if got := v.whole(); !strings.Contains(got, `"text":"done"`) || !strings.Contains(got, related) {
		t.Errorf("the result: %s", got)
	}
	if n := len(k.seenOf("tasks/update")); n != 1 {
		t.Errorf("the server was answered %d times", n)
	}
}

// TestLegacyClientIsNotAskedWhatItCannot: then nobody waits for the result.
func TestLegacyClientIsNotAskedWhatItCannot(t *testing.T) {
	k, _, c := legacyAtModern(t, "/mcp")
	id := c.startAcross("one__slow", `"ask":{"method":"sampling/createMessage","params":{"messages":[]}}`).TaskID
	k.set("input_required")
	if got := c.touch("tasks/result", id); got.last(t).Error == nil || strings.Contains(got.body, "messages") {
		t.Errorf("%s", got.body)
	}
}

// TestTasksAnsweredAtOnce: where the server decides, it may answer a call that was to be a task. The client has a task all the same.
func TestTasksAnsweredAtOnce(t *testing.T) {
	k, r, c := legacyAtModern(t, "/mcp")
	id := c.start("one__slow", `"a":1`, "").TaskID
	for method, want := range map[string]string{
		"tasks/get": `"status":"completed"`, "tasks/cancel": `"code":-32602`,
		"tasks/result": `"text":"slow {\"a\":1}"}],"extra":{"kept":[1, 2]},"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"` + id + `"}}}`,
	} {
		if got := c.touch(method, id); !strings.Contains(got.body, want) || strings.Contains(got.body, "resultType") {
			t.Errorf("%s: %s", method, got.body)
		}
		other := r.tasking("legacy", "/mcp", r.token("user", "bob"))
		if m := other.touch(method, id).last(t); m.Error == nil || m.Error.Message != "Task not found" {
			t.Errorf("%s of another: %s", method, m.Result)
		}
	}
	if got := c.ask("tasks/list", "", "", ""); strings.Count(got.body, id) != 1 {
		t.Errorf("tasks/list: %s", got.body)
	}
	after := newRig(t, k.record("one"))
	after.tokens = r.tokens
	after.callers.Reload(after.tokens)
	again := after.tasking("legacy", "/mcp", c.token)
	for _, method := range touches["legacy"] {
		if m := again.touch(method, id).last(t); m.Error == nil || m.Error.Message != "Task not found" {
			t.Errorf("%s after a restart: %s", method, m.Result)
		}
	}
	if k.touched() != 0 {
		t.Errorf("the server was asked about a task that it has not: %v", k.beyondHello())
	}
}

// TestLegacyTasksOutliveTheSidecar: also those of modern servers.
func TestLegacyTasksOutliveTheSidecar(t *testing.T) {
	k, r, c := legacyAtModern(t, "/mcp")
	id := c.startAcross("one__slow", "").TaskID
	k.set("completed")
	after := newRig(t, k.record("one"))
	after.tokens = r.tokens
	after.callers.Reload(after.tokens)
	again := after.tasking("legacy", "/mcp", c.token)
	if got := again.touch("tasks/result", id); !strings.Contains(got.body, `"text":"done"`) {
		t.Errorf("%s", got.body)
	}
	if got := again.ask("tasks/list", "", "", ""); !strings.Contains(got.body, id) {
		t.Errorf("what has come back: %s", got.body)
	}
}

// TestModernServersThatInsistOnTasks: a legacy client calls the tool as any other, and has the result as that of its call. Nobody else is said to be able to deal with tasks.
func TestModernServersThatInsistOnTasks(t *testing.T) {
	for _, version := range []string{"2024-11-05", "2025-06-18", "2025-11-25"} {
		k := startTasker(t, "modern", "")
		r := newRig(t, k.record("one"))
		c := r.clientSpeaking("legacy", "/mcp", r.token("user", "alice"), `{"elicitation":{}}`, version)
		if got := c.call("one__slow", `{}`); got.IsError || strings.Contains(k.seenOf("tools/call")[0].Body, "io.modelcontextprotocol/tasks") {
			t.Errorf("%s: another tool: %s %s", version, got.raw.body, k.seenOf("tools/call")[0].Body)
		}
		if got := c.call("one__must", `{"a":1}`); got.text() != `must {"a":1}` {
			t.Errorf("%s: answered at once: %s", version, got.raw.body)
		}
		k.become("input_required", 1)
		response, err := http.DefaultClient.Do(c.asked("tools/call", "", `"name":"one__must","arguments":{"task":true,"ask":{"method":"elicitation/create","params":{"message":"who?"}}}`, ""))
		if err != nil {
			t.Fatal(err)
		}
		v := &conversation{c: c, response: response, lines: bufio.NewReader(response.Body)}
		q := v.question()
		if strings.Contains(string(q.Params), "related-task") {
			t.Errorf("%s: it is told of a task: %s", version, q.Params)
		}
		c.respond(q.ID, `{"action":"accept"}`)
		<-k.answers
		k.set("completed")
		if got := v.whole(); !strings.Contains(got, `"text":"done"`) || strings.Contains(got, "task") {
			t.Errorf("%s: the result: %s", version, got)
		}
	}
}

// TestTaskOfACallGivenUp is given up, also at a modern server.
func TestTaskOfACallGivenUp(t *testing.T) {
	k, _, c := legacyAtModern(t, "/mcp")
	cancelled, taken, once := make(chan struct{}), make(chan struct{}), sync.Once{}
	serve, id := k.before, c.nextID+1
	k.before = func(w http.ResponseWriter, r *http.Request, m seen) bool {
		if m.Method == "tasks/cancel" {
			defer close(cancelled)
		}
		if m.Method == "tasks/get" {
			once.Do(func() {
				c.post(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":` + fmt.Sprint(id) + `}}`)
				close(taken)
			})
		}
		return serve(w, r, m)
	}
	c.ask("tools/call", "", `"name":"one__must","arguments":{"task":true}`, "")
	<-taken
	<-cancelled
	if methods := k.beyondHello(); !slices.Contains(methods, "tasks/cancel") {
		t.Errorf("%v", methods)
	}
}
