package proxy_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// status is a notification of a task's status as the fake server sends it.
func (k *tasker) status(id string) string {
	return `{"jsonrpc":"2.0","method":"notifications/tasks/status","params":{` + k.state(k.find(id)) + `}}`
}

// TestNewsOfTasks: what a server tells of a task on its standing stream goes to the owner's, in words of the owner's id; of others' tasks nobody hears.
func TestNewsOfTasks(t *testing.T) {
	k := startTasker(t, "legacy", "")
	r := newRig(t, k.record("one"))
	c := r.clientWith("legacy", "/mcp", r.token("user", "alice"), `{}`)
	c.list()
	stream := c.stand()
	task := c.start("one__slow", "", `"progressToken":77`)
	token := k.find("the-servers-own-task-2").token
	k.news <- k.status("others-1")
	k.news <- k.status("the-servers-own-task-2")
	k.news <- `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":` + string(token) + `,"progress":2,"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"the-servers-own-task-2"}}}}`
	k.news <- `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"nobody's","progress":3}}`
	k.news <- `{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":1,"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"others-1"}}}}`
	for _, want := range []string{
		`"method":"notifications/tasks/status","params":{"taskId":"` + task.TaskID + `","status":"working",`,
		`"method":"notifications/progress","params":{"progressToken":77,"progress":2,"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"` + task.TaskID + `"}}}`,
		`"method":"notifications/message","params":{"level":"info","data":1}`,
	} {
		if got := stream.next(); !strings.Contains(got, want) {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// stand opens the standing stream of a session.
func (c *client) stand() *conversation {
	c.rig.t.Helper()
	r := c.request(http.MethodGet, nil)
	r.Header.Set("Accept", "text/event-stream")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		c.rig.t.Fatal(err)
	}
	c.rig.t.Cleanup(func() { response.Body.Close() })
	return &conversation{c: c, response: response, lines: bufio.NewReader(response.Body)}
}

// TestServersBeginTasksAtClients: what a server asks, a client can do as a task. The server can ask about that task, and no other server can.
func TestServersBeginTasksAtClients(t *testing.T) {
	const declared = `{"elicitation":{},"tasks":{"list":{},"requests":{"elicitation":{"create":{}}}}}`
	a, b := startAsker(t, "legacy"), startAsker(t, "legacy")
	r := newRig(t, a.record("one"), b.record("two"))
	c := r.clientWith("legacy", "/mcp", r.token("user", "alice"), declared)
	ask := func(server, question string) *conversation {
		response, err := http.DefaultClient.Do(c.asked("tools/call", "", fmt.Sprintf(`"name":"%s__ask","arguments":{"ask":%s}`, server, question), ""))
		if err != nil {
			t.Fatal(err)
		}
		return &conversation{c: c, response: response, lines: bufio.NewReader(response.Body)}
	}
	v := ask("one", `{"method":"elicitation/create","params":{"message":"who?","task":{"ttl":1}}}`)
	q := v.question()
	if !strings.Contains(string(q.Params), `"task":{"ttl":1}`) {
		t.Errorf("asked %s", q.Params)
	}
	c.respond(q.ID, `{"task":{"taskId":"mine-1","status":"working"}}`)
	if heard := v.outcome().text(); !strings.Contains(heard, `"taskId":"mine-1"`) {
		t.Fatalf("the server heard %s", heard)
	}
	for _, method := range []string{"tasks/get", "tasks/result"} {
		v = ask("one", `{"method":"`+method+`","params":{"taskId":"mine-1"}}`)
		q = v.question()
		c.respond(q.ID, `{"status":"completed","action":"accept"}`)
		if heard := v.outcome().text(); !strings.Contains(heard, `"action":"accept"`) {
			t.Errorf("%s: the server heard %s", method, heard)
		}
		if heard := ask("two", `{"method":"`+method+`","params":{"taskId":"mine-1"}}`).outcome().text(); !strings.Contains(heard, `"code":-32602`) {
			t.Errorf("%s: another server heard %s", method, heard)
		}
	}
	if heard := ask("one", `{"method":"tasks/cancel","params":{"taskId":"mine-1"}}`).outcome().text(); !strings.Contains(heard, `"code":-32601`) {
		t.Errorf("what the client has not declared: %s", heard)
	}
	for server, want := range map[string]bool{"one": true, "two": false} {
		v = ask(server, `{"method":"tasks/list","params":{}}`)
		q = v.question()
		c.respond(q.ID, `{"tasks":[{"taskId":"mine-1"},{"taskId":"mine-2"}]}`)
		if heard := v.outcome().text(); strings.Contains(heard, "mine-1") != want || strings.Contains(heard, "mine-2") {
			t.Errorf("server %s is listed %s", server, heard)
		}
	}
	if got := c.post(`{"jsonrpc":"2.0","method":"notifications/tasks/status","params":{"taskId":"mine-1","status":"completed"}}`); got.status != http.StatusAccepted {
		t.Errorf("%d %s", got.status, got.body)
	}
	waitFor(t, func() bool { return len(a.seenOf("notifications/tasks/status")) == 1 })
	if n := len(b.seenOf("notifications/tasks/status")); n != 0 {
		t.Errorf("the other server was told")
	}
}

// TestToolsThatMustBeTasks: whoever calls one as any other tool gets its result all the same, whatever it asks on the way; whoever gives up has the task cancelled.
func TestToolsThatMustBeTasks(t *testing.T) {
	for _, era := range eras {
		k := startTasker(t, "legacy", "")
		r := newRig(t, k.record("one"))
		token := r.token("user", "alice")
		c := r.plainly(era, "/mcp", token)
		if got := c.list(); len(got) != 3 {
			t.Fatalf("%s: listed %v", era, got)
		}
		answers := make(chan called)
		go func() { answers <- c.call("one__must", `{"a":1}`) }()
		waitFor(t, func() bool { return len(k.seenOf("tasks/result")) == 1 })
		k.set("completed")
		got := <-answers
		if got.text() != "done" || strings.Contains(got.raw.body, "the-servers-own-task-2") || strings.Contains(got.raw.body, "related-task") || !strings.Contains(got.raw.body, `"extra":[1, 2]`) || (got.ResultType == "complete") != (era == "modern") {
			t.Errorf("%s: %s", era, got.raw.body)
		}
		if sent := k.seenOf("tools/call")[0]; sent.field("task") != `{}` || string(sent.Params.Arguments) != `{"a":1}` {
			t.Errorf("%s: the server got %s", era, sent.Body)
		}
		if era == "legacy" {
			if got := c.ask("tasks/list", "", "", "").last(t); !strings.Contains(string(got.Result), `"tasks":[]`) {
				t.Errorf("listed: %s", got.Result)
			}
		}
	}
}

func TestToolsThatMustBeTasksAsk(t *testing.T) {
	for _, era := range eras {
		k := startTasker(t, "legacy", "")
		r := newRig(t, k.record("one"))
		c := r.plainly(era, "/mcp", r.token("user", "alice"))
		arguments := `"name":"one__must","arguments":{"ask":"who?"}`
		const said = `{"action":"accept","content":{"who":"octocat"}}`
		var out called
		if era == "legacy" {
			response, err := http.DefaultClient.Do(c.asked("tools/call", "", arguments, `"progressToken":"p"`))
			if err != nil {
				t.Fatal(err)
			}
			v := &conversation{c: c, response: response, lines: bufio.NewReader(response.Body)}
			if got := v.next(); !strings.Contains(got, `"progressToken":"p"`) || strings.Contains(got, "the-servers-own-task-2") {
				t.Errorf("progress: %s", got)
			}
			q := v.question()
			if strings.Contains(string(q.Params), "the-servers-own-task-2") {
				t.Errorf("asked %s", q.Params)
			}
			c.respond(q.ID, said)
			out = v.outcome()
		} else {
			asked := c.outcome(c.ask("tools/call", "one__must", arguments, "")).required(t)
			if len(asked.InputRequests) != 1 {
				t.Fatalf("asked %v", asked)
			}
			for key, q := range asked.InputRequests {
				if strings.Contains(string(q.Params), "the-servers-own-task-2") {
					t.Errorf("asked %s", q.Params)
				}
				out = c.outcome(c.ask("tools/call", "one__must", arguments+with(asked.RequestState, map[string]string{key: said}), ""))
			}
		}
		var heard struct{ Result json.RawMessage }
		if json.Unmarshal([]byte(out.text()), &heard) != nil || !strings.Contains(string(heard.Result), "octocat") || strings.Contains(out.raw.body, "related-task\":{\"taskId") {
			t.Errorf("%s: %s", era, out.raw.body)
		}
		if n := len(k.seenOf("tools/call")); n != 1 {
			t.Errorf("%s: %d calls", era, n)
		}
	}
}

func TestToolsThatMustBeTasksAreGivenUp(t *testing.T) {
	for _, era := range eras {
		k := startTasker(t, "legacy", "")
		r := newRig(t, k.record("one"))
		c := r.plainly(era, "/mcp", r.token("user", "alice"))
		c.list()
		request := c.asked("tools/call", "one__must", `"name":"one__must","arguments":{}`, "")
		ctx, leave := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			if response, err := http.DefaultClient.Do(request.WithContext(ctx)); err == nil {
				response.Body.Close()
			}
		}()
		waitFor(t, func() bool { return len(k.seenOf("tasks/result")) == 1 })
		if era == "modern" {
			leave()
		} else {
			c.post(fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":%d}}`, c.nextID))
		}
		waitFor(t, func() bool { return len(k.seenOf("tasks/cancel")) == 1 })
		<-ended
		leave()
	}
}
