package proxy_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"mcpsidecar/configstore"
	"mcpsidecar/policy"
	"mcpsidecar/proxy"
)

// TestListeningForTasksIsReadStrictly: whoever asks for tasks must have said that it can deal with them, and then what it asks for must be a list of ids; no server is asked anything otherwise.
func TestListeningForTasksIsReadStrictly(t *testing.T) {
	k := startTasker(t, "modern", "")
	r := newRig(t, k.record("one"))
	token := r.token("user", "alice")
	mute, able := r.client("modern", "/mcp", token), r.tasking("modern", "/mcp", token)
	task := able.start("one__slow", "", "")
	ids := func(n int) string {
		names := make([]string, n)
		for i := range names {
			names[i] = fmt.Sprintf(`"x://%d"`, i)
		}
		return `[` + strings.Join(names, ",") + `]`
	}
	for _, test := range []struct {
		c      *client
		filter string
		code   int
	}{
		{mute, fmt.Sprintf(`{"taskIds":[%q]}`, task.TaskID), -32021},
		{mute, fmt.Sprintf(`{"toolsListChanged":true,"taskIds":[%q]}`, task.TaskID), -32021},
		{mute, `{"taskIds":["nobody's"]}`, -32021},
		{mute, `{"taskIds":[]}`, -32021},
		{mute, `{"taskIds":7}`, -32021},
		{able, `{"taskIds":7}`, -32602},
		{able, `{"taskIds":"` + task.TaskID + `"}`, -32602},
		{able, `{"taskIds":{}}`, -32602},
		{able, `{"taskIds":null}`, -32602},
		{able, `{"taskIds":[7]}`, -32602},
		{able, fmt.Sprintf(`{"taskIds":[%q,null]}`, task.TaskID), -32602},
		{able, `{"taskIds":` + ids(257) + `}`, -32602},
		{able, `{"taskIds":` + ids(200) + `,"resourceSubscriptions":` + ids(200) + `}`, -32602},
	} {
		got := test.c.ask("subscriptions/listen", "", `"notifications":`+test.filter, "")
		m := got.last(t)
		if m.code() != test.code || (got.status == http.StatusBadRequest) != (test.code == -32021) {
			t.Errorf("%.100s: %d %s, want %d", test.filter, got.status, got.body, test.code)
		}
		if test.code == -32021 && string(m.Error.Data) != `{"requiredCapabilities":{"extensions":{"io.modelcontextprotocol/tasks":{}}}}` {
			t.Errorf("%s: %s", test.filter, got.body)
		}
	}
	if n := k.touched(); n != 0 {
		t.Errorf("the server was asked %d times", n)
	}
}

// TestListeningForTasks: the owner hears how they are, in words of the ids it has, until they have ended; of what is not its own nobody hears, and the server is not asked.
func TestListeningForTasks(t *testing.T) {
	for _, path := range []string{"/mcp", "/mcp/one"} {
		h := startHerald(t)
		r := newRig(t, h.record("one"))
		token := r.token("user", "alice")
		c := r.tasking("modern", path, token)
		first, second := c.start(c.name("slow"), `"ask":{"method":"elicitation/create","params":{"message":"who?"}}`, ""), c.start(c.name("slow"), "", "")
		foreign := r.tasking("modern", path, r.token("user", "bob")).start(c.name("slow"), "", "")
		f := c.attend(2, first.TaskID, second.TaskID, foreign.TaskID, "nobody's", "the-servers-own-task-2", "others-1")
		h.isListened(t, "the-servers-own-task-2", "the-servers-own-task-3")
		if got := h.say("the-servers-own-task-4"); got != 0 {
			t.Errorf("bob's is listened for")
		}
		h.say("the-servers-own-task-2")
		if got := f.wantTask(first.TaskID, "working"); !strings.Contains(got, `"extra":[1, 2]`) || !strings.Contains(got, `"kept":1`) {
			t.Errorf("heard %s", got)
		}
		h.become("the-servers-own-task-2", "input_required")
		h.say("the-servers-own-task-2")
		if got := f.wantTask(first.TaskID, "input_required"); !strings.Contains(got, `"inputRequests":{"k1":{"method":"elicitation/create"`) {
			t.Errorf("heard %s", got)
		}
		h.become("the-servers-own-task-3", "completed")
		h.say("the-servers-own-task-3")
		if got := f.wantTask(second.TaskID, "completed"); !strings.Contains(got, `"result":{"resultType":"complete","content":[{"type":"text","text":"done"}]`) {
			t.Errorf("heard %s", got)
		}
		h.isListened(t, "the-servers-own-task-2")
		f.unfollow()
		h.isListened(t)
	}
}

// TestListeningForNothing is acknowledged as such, whatever is wrong with the tasks; nothing tells what is another's from what there is not.
func TestListeningForNothing(t *testing.T) {
	h, older := startHerald(t), startTasker(t, "legacy", "")
	r := newRig(t, h.record("one"), older.record("two"))
	token := r.token("user", "alice")
	c := r.tasking("modern", "/mcp", token)
	task, plain := c.start("one__slow", "", ""), r.tasking("legacy", "/mcp", token).start("two__slow", "", "")
	for what, c := range map[string]*client{
		"another user":   r.tasking("modern", "/mcp", r.token("user", "bob")),
		"another token":  r.tasking("modern", "/mcp", r.token("user", "alice")),
		"another server": r.tasking("modern", "/mcp/two", token),
		"not chosen":     r.tasking("modern", "/mcp?servers=two", token),
		"no calls":       r.tasking("modern", "/mcp", token, "Sidecar-Mode", "plan"),
	} {
		t.Log(what)
		c.attend(0, task.TaskID).unfollow()
	}
	c.attend(0, plain.TaskID, task.TaskID[1:], strings.Repeat("a", 5000), "").unfollow()
	c.attend(0).unfollow()
	r.load(h.record("one", func(s *configstore.Server) { s.Rules.ToolDenyList = []string{"slow"} }))
	c.attend(0, task.TaskID).unfollow()
	select {
	case ids := <-h.asked:
		t.Errorf("the server was asked for %q", ids)
	default:
	}
}

// TestNewsOfTasksAreJudged when they are told: by the rules of the moment, which may let a task be heard of again, and then what was missed is made up for.
func TestNewsOfTasksAreJudged(t *testing.T) {
	changes := map[string]func(*configstore.Server){
		"denied":         func(s *configstore.Server) { s.Rules.ToolDenyList = []string{"slow"} },
		"disabled":       func(s *configstore.Server) { s.Rules.Enabled = false },
		"not visible":    func(s *configstore.Server) { s.Rules.VisibleTo = []string{"bob"} },
		"not exposed":    exposing(policy.Prompts),
		"another server": func(s *configstore.Server) { s.URL += "/elsewhere" },
		"none":           nil,
	}
	for what, change := range changes {
		h := startHerald(t)
		r := newRig(t, h.record("one"))
		c := r.tasking("modern", "/mcp", r.token("user", "alice"))
		task := c.start("one__slow", "", "")
		const theirs = "the-servers-own-task-2"
		f := c.attend(1, task.TaskID)
		h.say(theirs)
		f.wantTask(task.TaskID, "working")
		if change == nil {
			r.load()
		} else {
			r.load(h.record("one", change))
		}
		h.become(theirs, "completed")
		h.say(theirs) // to those who still hear it
		h.isListened(t)
		r.load(h.record("one"))
		f.wantTask(task.TaskID, "completed")
		f.unfollow()
		if n := len(h.seenOf("tasks/get")); n != 1 {
			t.Errorf("%s: the server was asked %d times how it is", what, n)
		}
	}
}

// TestNewsOfTasksOverARestart of the server: what was missed is asked for.
func TestNewsOfTasksOverARestart(t *testing.T) {
	h := startHerald(t)
	r := newRig(t, h.record("one"))
	c := r.tasking("modern", "/mcp", r.token("user", "alice"))
	task := c.start("one__slow", "", "")
	f := c.attend(1, task.TaskID)
	h.set("completed")
	h.restart()
	f.wantTask(task.TaskID, "completed")
	h.isListened(t)
}

// TestNewsOfTasksShareAStream: of one caller at one server there is one, whatever it listens for and how often; what a server does not want to tell of takes nothing from the rest.
func TestNewsOfTasksShareAStream(t *testing.T) {
	for _, picky := range []bool{false, true} {
		h := startHerald(t)
		h.picky = picky
		r := newRig(t, h.record("one"))
		c := r.tasking("modern", "/mcp", r.token("user", "alice"))
		var tasks []begun
		for range 4 {
			tasks = append(tasks, c.start("one__slow", "", ""))
		}
		h.tasker.mu.Lock()
		h.tasks = slices.DeleteFunc(h.tasks, func(task *fakeTask) bool { return task.id == "the-servers-own-task-5" }) // and the server has forgotten one
		h.tasker.mu.Unlock()
		a, b := c.attend(2, tasks[0].TaskID, tasks[1].TaskID, tasks[3].TaskID), c.attend(2, tasks[1].TaskID, tasks[2].TaskID)
		h.isListened(t, "the-servers-own-task-2", "the-servers-own-task-3", "the-servers-own-task-4")
		waitFor(t, func() bool { h.mu.Lock(); defer h.mu.Unlock(); return len(h.streams) == 1 })
		h.say("the-servers-own-task-3")
		a.wantTask(tasks[1].TaskID, "working")
		b.wantTask(tasks[1].TaskID, "working")
		h.say("the-servers-own-task-4")
		b.wantTask(tasks[2].TaskID, "working")
		a.unfollow()
		h.isListened(t, "the-servers-own-task-3", "the-servers-own-task-4")
		b.unfollow()
		h.isListened(t)
	}
}

// TestNewsOfTasksAskNothingUndeclared: a task that wants what the client has not said that it can give is not told of as long as it does.
func TestNewsOfTasksAskNothingUndeclared(t *testing.T) {
	h := startHerald(t)
	r := newRig(t, h.record("one"))
	c := r.clientWith("modern", "/mcp", r.token("user", "alice"), `{"extensions":{"io.modelcontextprotocol/tasks":{}}}`)
	task := c.start("one__slow", `"ask":{"method":"elicitation/create","params":{"message":"who?"}}`, "")
	f := c.attend(1, task.TaskID)
	h.set("input_required")
	h.say("the-servers-own-task-2")
	h.sayOf("the-servers-own-task-2", `"taskId":"the-servers-own-task-2","status":"cancelled"`)
	f.wantTask(task.TaskID, "cancelled")
}

// TestNewsOfTasksThatDoNotFit are asked for when the client is told: what waits for a client is bounded.
func TestNewsOfTasksThatDoNotFit(t *testing.T) {
	h := startHerald(t)
	r := newRigWith(t, func(c *proxy.Config) { c.Resuming.UserBytes = 400 }, h.record("one"))
	c := r.tasking("modern", "/mcp", r.token("user", "alice"))
	task := c.start("one__slow", "", "")
	f := c.attend(1, task.TaskID)
	h.say("the-servers-own-task-2")
	f.wantTask(task.TaskID, "working")
	if n := len(h.seenOf("tasks/get")); n != 0 {
		t.Errorf("the server was asked %d times", n)
	}
	h.set("completed")
	h.sayOf("the-servers-own-task-2", `"taskId":"the-servers-own-task-2","status":"failed","long":"`+strings.Repeat("x", 400)+`"`)
	f.wantTask(task.TaskID, "completed")
	h.isListened(t)
	if n := len(h.seenOf("tasks/get")); n != 1 {
		t.Errorf("the server was asked %d times", n)
	}
}

// TestNewsOfTasksEnd with what lets a stream stand, and gracefully where it is we who end it.
func TestNewsOfTasksEnd(t *testing.T) {
	h := startHerald(t)
	r := newRig(t, h.record("one"))
	for _, end := range []func(){
		func() { r.callers.Reload(nil); r.proxy.GrantChanged("nobody's", "nobody") },
		func() { r.callers.Reload(r.tokens); r.proxy.Drain(t.Context()) },
	} {
		token := r.token("user", "alice")
		c := r.tasking("modern", "/mcp", token)
		task := c.start("one__slow", "", "")
		f := c.attend(1, task.TaskID)
		end()
		last := ""
		for got := range f.heard {
			last = got
		}
		if want := fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"result":{"resultType":"complete","_meta":{"io.modelcontextprotocol/subscriptionId":%d}}}`, f.id, f.id); last != want {
			t.Errorf("the end: %s", last)
		}
		h.isListened(t)
	}
}
