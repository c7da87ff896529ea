package proxy_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"mcpsidecar/configstore"
	"mcpsidecar/policy"
)

func bothPaths(t *testing.T, test func(t *testing.T, era, path string)) {
	for _, era := range eras {
		for _, path := range []string{"/mcp", "/mcp/one"} {
			t.Run(era+" on "+path, func(t *testing.T) { test(t, era, path) })
		}
	}
}

// TestTasks: a task from its beginning to its result. The client has an id of ours and the server its own, all the way.
func TestTasks(t *testing.T) {
	bothPaths(t, func(t *testing.T, era, path string) {
		k := startTasker(t, era, "")
		r := newRig(t, k.record("one"))
		c := r.tasking(era, path, r.token("user", "alice"))
		task := c.start(c.name("slow"), `"a":1`, "")
		theirs := k.set("completed")
		if strings.Contains(task.TaskID, theirs) {
			t.Fatalf("the client got the server's id: %s", task.TaskID)
		}
		got := c.touch("tasks/get", task.TaskID)
		var state begun
		if json.Unmarshal(got.last(t).Result, &state) != nil || state.TaskID != task.TaskID || state.Status != "completed" || !strings.Contains(got.body, `"extra":[1, 2]`) || strings.Contains(got.body, `"`+theirs+`"`) {
			t.Errorf("tasks/get: %s", got.body)
		}
		sent := k.seenOf("tasks/get")[0]
		if sent.field("taskId") != `"`+theirs+`"` || era == "modern" && sent.Header.Get("Mcp-Name") != theirs {
			t.Errorf("the server got %s %v", sent.Body, sent.Header)
		}
		if era == "modern" {
			if !strings.Contains(got.body, `"result":{"resultType":"complete","content":[{"type":"text","text":"done"}]`) {
				t.Errorf("the result: %s", got.body)
			}
			return
		}
		result := c.touch("tasks/result", task.TaskID)
		if c.outcome(result).text() != "done" || !strings.Contains(result.body, `"extra":[1, 2],"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"`+task.TaskID+`"}}`) {
			t.Errorf("tasks/result: %s", result.body)
		}
	})
}

func TestTasksThatAreCancelled(t *testing.T) {
	bothPaths(t, func(t *testing.T, era, path string) {
		k := startTasker(t, era, "")
		r := newRig(t, k.record("one"))
		c := r.tasking(era, path, r.token("user", "alice"))
		task := c.start(c.name("slow"), "", "")
		got := c.touch("tasks/cancel", task.TaskID)
		if m := got.last(t); m.Error != nil || era == "legacy" && !strings.Contains(string(m.Result), `"taskId":"`+task.TaskID+`","status":"cancelled"`) || era == "modern" && string(m.Result) != `{"resultType":"complete"}` {
			t.Errorf("%s", got.body)
		}
		if again := c.touch("tasks/get", task.TaskID); !strings.Contains(again.body, "cancelled") {
			t.Errorf("%s", again.body)
		}
	})
}

// TestTasksOfOthers: an id that was forged, that another caller has, that is for another server, or that is the server's own, is no task. All are told the same, and the server hears of none.
func TestTasksOfOthers(t *testing.T) {
	for _, era := range eras {
		k, other := startTasker(t, era, ""), startTasker(t, era, "")
		r := newRig(t, k.record("one"), other.record("two"))
		token := r.token("user", "alice")
		c := r.tasking(era, "/mcp", token)
		task := c.start("one__slow", "", "")
		id := task.TaskID
		flipped := []byte(id)
		flipped[len(flipped)/2] ^= 1
		other2 := map[string]string{"modern": "legacy", "legacy": "modern"}[era]
		cases := map[string]struct {
			c  *client
			id string
		}{
			"unknown":              {c, "nobody"},
			"a mark":               {c, "-"},
			"forged":               {c, string(flipped)},
			"cut":                  {c, id[:len(id)-4]},
			"the server's own":     {c, "the-servers-own-task-2"},
			"a session id":         {c, r.client("legacy", "/mcp", token).session},
			"another user's":       {r.tasking(era, "/mcp", r.token("user", "bob")), id},
			"another token's":      {r.tasking(era, "/mcp", r.token("user", "alice")), id},
			"another server's":     {r.tasking(era, "/mcp/two", token), id},
			"not chosen":           {r.tasking(era, "/mcp?servers=two", token), id},
			"of the other era":     {r.tasking(other2, "/mcp", token), id},
			"very long":            {c, strings.Repeat("a", 5000)},
			"with line breaks":     {c, id[:9] + "\n" + id[9:]},
			"in a mode of no call": {r.tasking(era, "/mcp", token, "Sidecar-Mode", "plan"), id},
		}
		for what, test := range cases {
			for _, method := range touches[test.c.era] {
				if test.c.era == "modern" && strings.Contains(test.id, "\n") {
					continue // cannot be said in a header
				}
				got := test.c.touch(method, test.id)
				m := got.last(t)
				if what == "of the other era" && m.Error != nil && m.Error.Code == -32601 {
					continue // that client is offered no tasks at all
				}
				if m.Error == nil || m.Error.Code != -32602 || m.Error.Message != "Task not found" || got.status != http.StatusOK {
					t.Errorf("%s, %s, %s: %d %s", era, what, method, got.status, got.body)
				}
			}
		}
		if n := k.touched() + other.touched(); n != 0 {
			t.Errorf("%s: the servers were asked %d times", era, n)
		}
		if got := c.touch("tasks/get", id); got.last(t).Error != nil {
			t.Errorf("%s: the owner: %s", era, got.body)
		}
	}
}

// TestTasksFollowTheRules of now: whoever may not call a tool any more may not have what it began.
func TestTasksFollowTheRules(t *testing.T) {
	changes := map[string]func(*configstore.Server){
		"denied":         func(s *configstore.Server) { s.Rules.ToolDenyList = []string{"slow"} },
		"not allowed":    func(s *configstore.Server) { s.Rules.ToolAllowList = []string{"plain"} },
		"disabled":       func(s *configstore.Server) { s.Rules.Enabled = false },
		"not visible":    func(s *configstore.Server) { s.Rules.VisibleTo = []string{"bob"} },
		"not exposed":    exposing(policy.Prompts),
		"another server": func(s *configstore.Server) { s.URL += "/elsewhere" },
	}
	for _, era := range eras {
		for what, change := range changes {
			k := startTasker(t, era, "")
			r := newRig(t, k.record("one"))
			c := r.tasking(era, "/mcp", r.token("user", "alice"))
			task := c.start("one__slow", "", "")
			r.load(k.record("one", change))
			for _, method := range touches[era] {
				if m := c.touch(method, task.TaskID).last(t); m.Error == nil || m.Error.Code != -32602 && m.Error.Code != -32601 {
					t.Errorf("%s, %s, %s: %+v", era, what, method, m.Error)
				}
			}
			if era == "legacy" {
				if got := c.ask("tasks/list", "", "", ""); strings.Contains(got.body, task.TaskID) {
					t.Errorf("%s: listed: %s", what, got.body)
				}
			}
			if n := k.touched() - len(k.seenOf("tasks/list")); n != 0 {
				t.Errorf("%s, %s: the server was asked %d times", era, what, n)
			}
			r.load(k.record("one"))
			if got := c.touch("tasks/get", task.TaskID); got.last(t).Error != nil {
				t.Errorf("%s, %s, and allowed again: %s", era, what, got.body)
			}
		}
	}
}

// TestTasksOutliveTheSidecar: their ids say where they are.
func TestTasksOutliveTheSidecar(t *testing.T) {
	for _, era := range eras {
		k := startTasker(t, era, "")
		before := newRig(t, k.record("one"))
		token := before.token("user", "alice")
		task := before.tasking(era, "/mcp", token).start("one__slow", "", "")
		after := newRig(t, k.record("one"))
		after.tokens = before.tokens
		after.callers.Reload(after.tokens)
		c := after.tasking(era, "/mcp", token)
		if era == "legacy" {
			if got := c.ask("tasks/list", "", "", ""); strings.Contains(got.body, "taskId") {
				t.Errorf("what it cannot know: %s", got.body)
			}
		}
		if got := c.touch("tasks/get", task.TaskID); !strings.Contains(got.body, task.TaskID) {
			t.Errorf("%s: %s", era, got.body)
		}
		if era == "legacy" {
			if got := c.ask("tasks/list", "", "", ""); !strings.Contains(got.body, task.TaskID) {
				t.Errorf("what has come back: %s", got.body)
			}
		}
	}
}

// TestListOfTasks: those of the caller, of all servers, whatever else they list.
func TestListOfTasks(t *testing.T) {
	k, other := startTasker(t, "legacy", ""), startTasker(t, "legacy", "")
	r := newRig(t, k.record("one"), other.record("two"))
	token := r.token("user", "alice")
	c := r.tasking("legacy", "/mcp", token)
	var mine []string
	for range 3 {
		mine = append(mine, c.start("one__slow", "", "").TaskID, c.start("two__slow", "", "").TaskID)
	}
	r.tasking("legacy", "/mcp", r.token("user", "bob")).start("one__slow", "", "")
	ids := func(c *client, params string) (ids []string, next string) {
		var result struct {
			Tasks      []begun `json:"tasks"`
			NextCursor string  `json:"nextCursor"`
		}
		got := c.ask("tasks/list", "", params, "")
		if err := json.Unmarshal(got.last(t).Result, &result); err != nil {
			t.Fatalf("%v: %s", err, got.body)
		}
		for _, task := range result.Tasks {
			ids = append(ids, task.TaskID)
		}
		return ids, result.NextCursor
	}
	got, next := ids(c, "")
	slices.Sort(got)
	slices.Sort(mine)
	if !slices.Equal(got, mine) || next != "" {
		t.Errorf("listed %d of %d, next %q", len(got), len(mine), next)
	}
	if got, _ := ids(r.tasking("legacy", "/mcp/one", token), ""); len(got) != 3 {
		t.Errorf("on the path of one server: %d", len(got))
	}
	if got, _ := ids(r.tasking("legacy", "/mcp", r.token("user", "carol")), ""); len(got) != 0 {
		t.Errorf("of somebody without tasks: %v", got)
	}
	for range 100 {
		mine = append(mine, c.start("one__slow", "", "").TaskID)
	}
	var all []string
	for cursor := ""; ; {
		page, next := ids(c, cursor)
		if all = append(all, page...); next == "" {
			break
		}
		cursor = fmt.Sprintf(`"cursor":%q`, next)
	}
	slices.Sort(all)
	slices.Sort(mine)
	if !slices.Equal(all, mine) {
		t.Errorf("over pages %d of %d", len(all), len(mine))
	}
	for _, cursor := range []string{`""`, `"x"`, `7`, `"!!"`} {
		if m := c.ask("tasks/list", "", `"cursor":`+cursor, "").last(t); m.Error == nil || m.Error.Code != -32602 {
			t.Errorf("cursor %s: %s", cursor, m.Result)
		}
	}
}

// TestTasksAreAnnounced to clients that speak of them as the server does.
func TestTasksAreAnnounced(t *testing.T) {
	everyCombination(t, func(t *testing.T, clientEra, serverEra string) {
		k, plain := startTasker(t, serverEra, ""), startFake(t, serverEra, tool("x"))
		r := newRig(t, k.record("one"), plain.record("two"))
		token := r.token("user", "alice")
		for path, has := range map[string]bool{"/mcp": true, "/mcp/one": true, "/mcp/two": false} {
			said := r.hello(clientEra, path, token, "2025-11-25")
			want := has
			if got := string(said["tasks"]); (got == `{"list":{},"cancel":{},"requests":{"tools":{"call":{}}}}`) != (want && clientEra == "legacy") {
				t.Errorf("%s: tasks %s", path, got)
			}
			if got := string(said["extensions"]); (got == `{"io.modelcontextprotocol/tasks":{}}`) != (want && clientEra == "modern") {
				t.Errorf("%s: extensions %s", path, got)
			}
		}
		if said := r.hello("legacy", "/mcp", token, "2025-06-18"); said["tasks"] != nil {
			t.Errorf("an older client is told of tasks: %v", said)
		}
	})
}

// TestTaskSupportIsListed where the client can use it.
func TestTaskSupportIsListed(t *testing.T) {
	everyCombination(t, func(t *testing.T, clientEra, serverEra string) {
		k := startTasker(t, serverEra, "")
		r := newRig(t, k.record("one"))
		token := r.token("user", "alice")
		for _, path := range []string{"/mcp", "/mcp/one"} {
			got := r.tasking(clientEra, path, token).ask("tools/list", "", "", "").body
			want := 0
			switch {
			case clientEra == serverEra:
				want = 2
			case clientEra == "legacy": // at a server that decides for itself, every tool can be
				want = 3
			}
			if n := strings.Count(got, `"taskSupport"`); n != want || !strings.Contains(got, `"more": 1`) || strings.Count(got, `"execution"`) != max(1, want) {
				t.Errorf("%s: %s", path, got)
			}
		}
		if got := r.clientSpeaking("legacy", "/mcp", token, `{}`, "2025-06-18").ask("tools/list", "", "", "").body; strings.Contains(got, "taskSupport") || strings.Count(got, `"inputSchema"`) != 3 {
			t.Errorf("an older client: %s", got)
		}
	})
}

// TestTasksOnlyForThoseWhoCan: what nobody has offered is ignored, and what was is refused where it cannot be had, before anything runs.
func TestTasksOnlyForThoseWhoCan(t *testing.T) {
	k, plain := startTasker(t, "legacy", ""), startFake(t, "legacy", tool("x"))
	r := newRig(t, k.record("one"), plain.record("two"))
	token := r.token("user", "alice")
	if got := r.tasking("legacy", "/mcp/two", token).startRaw("x", "", ""); !strings.Contains(got.body, `"content"`) {
		t.Errorf("a server without tasks: %s", got.body)
	}
	if got := r.tasking("legacy", "/mcp", token).startRaw("two__x", "", ""); got.last(t).Error == nil || got.last(t).Error.Code != -32601 {
		t.Errorf("among others: %s", got.body)
	}
	if n := len(plain.seenOf("tools/call")); n != 1 || strings.Contains(plain.seenOf("tools/call")[0].Body, `"task"`) {
		t.Errorf("%d calls: %v", n, plain.seenOf("tools/call"))
	}
	if got := r.clientSpeaking("legacy", "/mcp", token, `{}`, "2025-06-18").startRaw("one__slow", "", ""); !strings.Contains(got.body, `"content"`) {
		t.Errorf("an older client: %s", got.body)
	}
	for _, task := range []string{`7`, `[]`, `null`} {
		c := r.tasking("legacy", "/mcp", token)
		if m := c.ask("tools/call", "", `"name":"one__slow","task":`+task, "").last(t); m.Error == nil || m.Error.Code != -32602 {
			t.Errorf("task %s: %s", task, m.Result)
		}
	}
}

// TestModernClientsMustDeclareTasks: otherwise they get none, and an error of its own where they ask for some.
func TestModernClientsMustDeclareTasks(t *testing.T) {
	k := startTasker(t, "modern", "")
	r := newRig(t, k.record("one"))
	token := r.token("user", "alice")
	task := r.tasking("modern", "/mcp", token).start("one__slow", "", "")
	c := r.client("modern", "/mcp", token)
	for _, method := range touches["modern"] {
		got := c.touch(method, task.TaskID)
		if m := got.last(t); got.status != http.StatusBadRequest || m.Error == nil || m.Error.Code != -32021 || string(m.Error.Data) != `{"requiredCapabilities":{"extensions":{"io.modelcontextprotocol/tasks":{}}}}` {
			t.Errorf("%s: %d %s", method, got.status, got.body)
		}
	}
	if got := c.outcome(c.startRaw("one__slow", "", "")); !got.IsError || strings.Contains(got.raw.body, "the-servers-own-task") {
		t.Errorf("a task that it did not ask for: %s", got.raw.body)
	}
	if n := k.touched(); n != 0 {
		t.Errorf("the server was asked %d times", n)
	}
	able := r.tasking("modern", "/mcp", token)
	for what, header := range map[string]string{"another name": "x", "none": ""} {
		got := able.ask("tasks/get", header, fmt.Sprintf(`"taskId":%q`, task.TaskID), "")
		if m := got.last(t); got.status != http.StatusBadRequest || m.Error == nil || m.Error.Code != -32020 {
			t.Errorf("%s in the header: %d %s", what, got.status, got.body)
		}
	}
}

// TestTaskSaysWhatItWants: a modern one in its state, answered by tasks/update; what the client has not declared it is not asked.
func TestTaskSaysWhatItWants(t *testing.T) {
	k := startTasker(t, "modern", "")
	r := newRig(t, k.record("one"))
	token := r.token("user", "alice")
	c := r.tasking("modern", "/mcp", token)
	task := c.start("one__slow", `"ask":{"method":"elicitation/create","params":{"message":"who?"}}`, "")
	k.set("input_required")
	if got := c.touch("tasks/get", task.TaskID); !strings.Contains(got.body, `"inputRequests":{"k1":{"method":"elicitation/create","params":{"message":"who?"}}}`) {
		t.Errorf("%s", got.body)
	}
	c.capabilities = `{"extensions":{"io.modelcontextprotocol/tasks":{}}}`
	if got := c.touch("tasks/get", task.TaskID); got.last(t).Error == nil || strings.Contains(got.body, "who?") {
		t.Errorf("undeclared: %s", got.body)
	}
	if got := c.touch("tasks/update", task.TaskID); got.last(t).Error != nil {
		t.Errorf("%s", got.body)
	}
	if got := <-k.answers; got != `{"k1":{"action":"accept"}}` {
		t.Errorf("the server heard %s", got)
	}
}

// TestTaskAsks: a legacy one on the stream of tasks/result, in words of the client's id; and so is the answer in words of the server's.
func TestTaskAsks(t *testing.T) {
	k := startTasker(t, "legacy", "")
	r := newRig(t, k.record("one"))
	c := r.tasking("legacy", "/mcp", r.token("user", "alice"))
	task := c.start("one__slow", `"ask":"who?"`, `"progressToken":"mine"`)
	response, err := http.DefaultClient.Do(c.asked("tasks/result", "", fmt.Sprintf(`"taskId":%q`, task.TaskID), ""))
	if err != nil {
		t.Fatal(err)
	}
	v := &conversation{c: c, response: response, lines: bufio.NewReader(response.Body)}
	related := `"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"` + task.TaskID + `"}}`
	if got := v.next(); !strings.Contains(got, `"progressToken":"mine"`) || !strings.Contains(got, related) {
		t.Errorf("progress: %s", got)
	}
	q := v.question()
	if !strings.Contains(string(q.Params), related) || !strings.Contains(string(q.Params), "who?") {
		t.Errorf("asked %s", q.Params)
	}
	if got := c.respond(q.ID, `{"action":"accept",`+related+`}`); got.status != http.StatusAccepted {
		t.Fatalf("%d %s", got.status, got.body)
	}
	heard := v.outcome().text()
	if !strings.Contains(heard, `"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"the-servers-own-task-2"}}`) || strings.Contains(heard, task.TaskID) {
		t.Errorf("the server heard %s", heard)
	}
}

// FuzzTaskID: whatever a client takes for the id of a task, it is told that there is none, and the server hears of it only if it is the client's own.
func FuzzTaskID(f *testing.F) {
	k := startTasker(f, "legacy", "")
	r := newRig(f, k.record("one"))
	c := r.tasking("legacy", "/mcp", r.token("user", "alice"))
	own := c.start("one__slow", "", "").TaskID
	others := r.tasking("legacy", "/mcp", r.token("user", "bob")).start("one__slow", "", "").TaskID
	for _, id := range []string{own, others, own[1:], own + "=", own + "\n", strings.ToUpper(own), c.session, "the-servers-own-task-2", "", "\x00", "ü"} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		r.t = t
		text, _ := json.Marshal(id)
		before := len(k.seenOf("tasks/get"))
		got := c.ask("tasks/get", "", `"taskId":`+string(text), "")
		m := got.last(t)
		if id == own {
			if m.Error != nil {
				t.Fatalf("the owner got %s", got.body)
			}
			return
		}
		if m.Error == nil || m.Error.Code != -32602 || len(k.seenOf("tasks/get")) != before {
			t.Fatalf("%q: %s", id, got.body)
		}
	})
}
