package proxy_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"mcpsidecar/proxy"
)

// modernAtLegacy is a modern client that can deal with tasks, at a legacy server that has them.
func modernAtLegacy(t *testing.T, path string, change ...func(*proxy.Config)) (*tasker, *rig, *client) {
	k := startTasker(t, "legacy", "")
	r := newRigWith(t, func(c *proxy.Config) {
		for _, one := range change {
			one(c)
		}
	}, k.record("one"))
	return k, r, r.tasking("modern", path, r.token("user", "alice"))
}

// taskState is a task as a modern client is told of it.
type taskState struct {
	ResultType    string              `json:"resultType"`
	TaskID        string              `json:"taskId"`
	Status        string              `json:"status"`
	InputRequests map[string]question `json:"inputRequests"`
	Result, Error json.RawMessage
	body          string
}

func (c *client) state(id string) (state taskState) {
	c.rig.t.Helper()
	got := c.touch("tasks/get", id)
	if m := got.last(c.rig.t); json.Unmarshal(m.Result, &state) != nil || state.TaskID != id || state.ResultType != "complete" {
		c.rig.t.Fatalf("no state: %s", got.body)
	}
	state.body = got.body
	return state
}

// answerTask answers questions about a task.
func (c *client) answerTask(id, responses string) answer {
	c.rig.t.Helper()
	return c.ask("tasks/update", id, fmt.Sprintf(`"taskId":%q,"inputResponses":%s`, id, responses), "")
}

// only is the only question of a task, and its name.
func (s taskState) only(t *testing.T) (key string, q question) {
	t.Helper()
	if s.Status != "input_required" || len(s.InputRequests) != 1 {
		t.Fatalf("not one question: %s", s.body)
	}
	for key, q = range s.InputRequests {
	}
	return key, q
}

// heard are the answers to what the server has asked.
func (k *tasker) heard() (bodies []string) {
	for _, m := range k.requestsOf(func(m seen) bool { return m.Method == "" }) {
		bodies = append(bodies, m.Body)
	}
	return bodies
}

// TestModernTasksOfLegacyServers: from the beginning to the end, in words of the extension.
func TestModernTasksOfLegacyServers(t *testing.T) {
	for _, path := range []string{"/mcp", "/mcp/one"} {
		for _, tool := range []string{"slow", "must"} {
			k, _, c := modernAtLegacy(t, path)
			got := c.ask("tools/call", c.name(tool), fmt.Sprintf(`"name":%q,"arguments":{"a":1}`, c.name(tool)), "")
			var task begun
			json.Unmarshal(got.last(t).Result, &task)
			id := task.TaskID
			if want := `{"resultType":"task","taskId":"` + id + `","status":"working","createdAt":"2026-01-01T00:00:02Z","lastUpdatedAt":"2026-01-01T00:00:00Z","extra":[1, 2],"ttlMs":60000,"pollIntervalMs":1,"_meta":{"io.modelcontextprotocol/model-immediate-response":"wait"}}`; string(got.last(t).Result) != want || strings.Contains(id, "the-servers") {
				t.Errorf("begun: %s\nwant %s", got.body, want)
			}
			if sent := k.seenOf("tools/call")[0]; sent.field("task") != "{}" {
				t.Errorf("the server was sent %s", sent.Body)
			}
			theirs := k.set("working")
			if state := c.state(id); state.Status != "working" || strings.Contains(state.body, `"ttl"`) {
				t.Errorf("tasks/get: %s", state.body)
			}
			if sent := k.seenOf("tasks/get")[0]; sent.field("taskId") != `"`+theirs+`"` {
				t.Errorf("the server was asked %s", sent.Body)
			}
			k.set("completed")
			for range 2 {
				if state := c.state(id); state.Status != "completed" || string(state.Result) != `{"content":[{"type":"text","text":"done"}],"extra":[1, 2],"resultType":"complete"}` {
					t.Errorf("tasks/get at the end: %s", state.body)
				}
			}
			if got := c.touch("tasks/cancel", id); got.last(t).Error != nil || !strings.Contains(got.body, `"resultType":"complete"`) {
				t.Errorf("tasks/cancel at the end: %s", got.body)
			}
		}
	}
}

// TestModernTasksOnlyOfTheTools that can be tasks, and of clients that can deal with them.
func TestModernTasksOnlyOfTheTools(t *testing.T) {
	k, r, c := modernAtLegacy(t, "/mcp")
	if got := c.call("one__plain", `{}`); got.text() != "plain {}" || got.ResultType != "complete" {
		t.Errorf("%s", got.raw.body)
	}
	if got := r.client("modern", "/mcp", c.token).call("one__slow", `{}`); got.text() != "slow {}" {
		t.Errorf("%s", got.raw.body)
	}
	for _, sent := range k.seenOf("tools/call") {
		if sent.field("task") != "null" {
			t.Errorf("made as a task: %s", sent.Body)
		}
	}
}

// TestModernTasksEndInEveryWay that a legacy server knows.
func TestModernTasksEndInEveryWay(t *testing.T) {
	cases := map[string]struct{ status, answer, told, want string }{
		"completed":         {"completed", `"result":{"content":[]}`, "completed", `"result":{"content":[],"resultType":"complete"}`},
		"of a tool failing": {"failed", `"result":{"content":[],"isError":true}`, "completed", `"result":{"content":[],"isError":true,"resultType":"complete"}`},
		"failed":            {"failed", `"error":{"code":-32050,"message":"broke","data":7}`, "failed", `"error":{"code":-32050,"message":"broke","data":7}`},
		"cancelled":         {"cancelled", ``, "cancelled", `"status":"cancelled"`},
	}
	for what, test := range cases {
		k, _, c := modernAtLegacy(t, "/mcp")
		serve := k.before
		k.before = func(w http.ResponseWriter, r *http.Request, m seen) bool {
			if m.Method != "tasks/result" {
				return serve(w, r, m)
			}
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,%s}`, m.ID, test.answer)
			return true
		}
		id := c.start("one__slow", "", "").TaskID
		k.set(test.status)
		if state := c.state(id); state.Status != test.told || !strings.Contains(state.body, test.want) {
			t.Errorf("%s: %s", what, state.body)
		}
	}
}

// TestModernTasksAreCancelled: the server is told.
func TestModernTasksAreCancelled(t *testing.T) {
	k, _, c := modernAtLegacy(t, "/mcp")
	id := c.start("one__slow", "", "").TaskID
	if got := c.touch("tasks/cancel", id); got.last(t).Error != nil {
		t.Errorf("%s", got.body)
	}
	if state := c.state(id); state.Status != "cancelled" || len(k.seenOf("tasks/cancel")) != 1 {
		t.Errorf("%s", state.body)
	}
}

// TestModernClientIsAskedForATask of a legacy server: each time it asks how the task is until it has answered, and the server has its answer on the road where it asked.
func TestModernClientIsAskedForATask(t *testing.T) {
	k, r, c := modernAtLegacy(t, "/mcp")
	id := c.start("one__slow", `"ask":"who?"`, "").TaskID
	theirs := k.set("input_required")
	key, q := c.state(id).only(t)
	if q.Method != "elicitation/create" || strings.Contains(string(q.Params), "related-task") || !strings.Contains(string(q.Params), "who?") {
		t.Errorf("asked %s %s", q.Method, q.Params)
	}
	if again, _ := c.state(id).only(t); again != key {
		t.Errorf("asked as %s, then as %s", key, again)
	}
	if got := c.answerTask(id, `{"another":{"action":"accept"}}`); got.last(t).Error != nil || len(k.answers) != 0 {
		t.Errorf("an answer to nothing: %s", got.body)
	}
	if got := c.answerTask(id, `{"`+key+`":7}`); got.last(t).Error == nil {
		t.Errorf("an answer that is none: %s", got.body)
	}
	other := r.tasking("modern", "/mcp", r.token("user", "bob"))
	if m := other.answerTask(id, `{"`+key+`":{"action":"accept"}}`).last(t); m.Error == nil || m.Error.Message != "Task not found" {
		t.Errorf("an answer of another: %s", m.Result)
	}
	k.set("working")
	if got := c.answerTask(id, `{"`+key+`":{"action":"accept","content":{"a":1}}}`); got.last(t).Error != nil {
		t.Errorf("%s", got.body)
	}
	if state := c.state(id); state.Status != "working" {
		t.Errorf("once it is answered: %s", state.body)
	}
	k.set("completed")
	serve := k.before
	k.before = func(w http.ResponseWriter, r *http.Request, m seen) bool {
		if m.Method == "tasks/result" {
			w.Header().Set("Content-Type", "application/json")
			reply(w, m, `{"content":[{"type":"text","text":"done"}]}`)
			return true
		}
		return serve(w, r, m)
	}
	if state := c.state(id); state.Status != "completed" {
		t.Errorf("%s", state.body)
	}
	if got := c.answerTask(id, `{"`+key+`":{"action":"accept"}}`); got.last(t).Error != nil {
		t.Errorf("a second answer: %s", got.body)
	}
	heard := k.heard()
	want := `"result":{"action":"accept","content":{"a":1},"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"` + theirs + `"}}}`
	if len(heard) != 1 || !strings.Contains(heard[0], want) || !strings.Contains(heard[0], `"id":"q"`) {
		t.Errorf("the server heard %v", heard)
	}
}

// TestModernClientIsNotAskedWhatItCannot: the server is told so.
func TestModernClientIsNotAskedWhatItCannot(t *testing.T) {
	k, _, c := modernAtLegacy(t, "/mcp")
	c.capabilities = `{"extensions":{"io.modelcontextprotocol/tasks":{}}}`
	id := c.start("one__slow", `"ask":"who?"`, "").TaskID
	k.set("input_required")
	if state := c.state(id); state.Status != "working" || strings.Contains(state.body, "who?") {
		t.Errorf("%s", state.body)
	}
	waitFor(t, func() bool { return len(k.heard()) == 1 })
	if heard := k.heard()[0]; !strings.Contains(heard, `"error":{"code":-32601`) {
		t.Errorf("the server heard %s", heard)
	}
}

// TestQuestionsOfTasksAreBounded: as calls that are parked are, in number and in size. For whom there is no room, the task goes on for all that one can do.
func TestQuestionsOfTasksAreBounded(t *testing.T) {
	for what, limit := range map[string]proxy.Asking{"in number": {PerUser: 1}, "in size": {Bytes: 1500}} {
		k, r, c := modernAtLegacy(t, "/mcp", func(c *proxy.Config) { c.Asking = limit })
		ask := func(c *client) taskState {
			id := c.start("one__slow", `"ask":"who?"`, "").TaskID
			k.set("input_required")
			return c.state(id)
		}
		first := ask(c)
		first.only(t)
		if second := ask(c); second.Status != "working" {
			t.Errorf("%s: %s", what, second.body)
		}
		if what == "in number" {
			ask(r.tasking("modern", "/mcp", r.token("user", "bob"))).only(t)
		}
		c.touch("tasks/cancel", first.TaskID)
		waitFor(t, func() bool { return ask(c).Status == "input_required" })
	}
}

// TestModernTasksFollowTheRules: those of other callers, or whose tool may not be called now, are none; and no server is asked anything.
func TestModernTasksFollowTheRules(t *testing.T) {
	k, r, c := modernAtLegacy(t, "/mcp")
	id := c.start("one__slow", "", "").TaskID
	others := []*client{
		r.tasking("modern", "/mcp", r.token("user", "bob")), r.tasking("modern", "/mcp", r.token("user", "alice")), r.tasking("modern", "/mcp", c.token, "Sidecar-Mode", "plan"),
		r.tasking("legacy", "/mcp", c.token),
	}
	for i, other := range others {
		for _, method := range touches[other.era] {
			if m := other.touch(method, id).last(t); m.Error == nil || m.Error.Message != "Task not found" {
				t.Errorf("%d, %s: %s", i, method, m.Result)
			}
		}
	}
	if k.touched() != 0 {
		t.Errorf("the server was asked: %v", k.beyondHello())
	}
	c.capabilities = `{}`
	if m := c.touch("tasks/get", id).last(t); m.Error == nil || m.Error.Code != -32021 {
		t.Errorf("not declared: %s", m.Result)
	}
}

// TestModernTasksOutliveTheSidecar: also those of legacy servers; what was asked is asked again.
func TestModernTasksOutliveTheSidecar(t *testing.T) {
	k, r, c := modernAtLegacy(t, "/mcp")
	id := c.start("one__slow", `"ask":"who?"`, "").TaskID
	k.set("input_required")
	before, _ := c.state(id).only(t)
	after := newRig(t, k.record("one"))
	after.tokens = r.tokens
	after.callers.Reload(after.tokens)
	again := after.tasking("modern", "/mcp", c.token)
	if key, _ := again.state(id).only(t); key == before {
		t.Errorf("two questions have the name %s", key)
	}
	if n := len(k.seenOf("tasks/result")); n != 2 {
		t.Errorf("the result was asked for %d times", n)
	}
}

// TestVigilsEnd with the program: the server's question is not left open.
func TestVigilsEnd(t *testing.T) {
	k, r, c := modernAtLegacy(t, "/mcp")
	id := c.start("one__slow", `"ask":"who?"`, "").TaskID
	k.set("input_required")
	c.state(id).only(t)
	r.proxy.Drain(t.Context())
	r.proxy.Close()
	if methods := k.beyondHello(); !slices.Contains(methods, "tasks/result") {
		t.Errorf("%v", methods)
	}
}
