package proxy_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// tasker is a server that has tasks in the shape of its era. It keeps them for everyone alike, as servers do that tell nobody from anybody: its list has those of others.
type tasker struct {
	*fakeServer
	prefix string

	mu    sync.Mutex
	tasks []*fakeTask
	news  chan string // messages for the standing stream

	answers chan string // to what it asked
}

type fakeTask struct {
	id, status string
	ask        json.RawMessage // what it asks for before it ends
	input      json.RawMessage // of a modern client
	token      json.RawMessage // for progress
	over       chan struct{}   // closed when it has ended
	fails      bool            // its tool does
}

// ended says whether it has.
func (f *fakeTask) ended() bool {
	select {
	case <-f.over:
		return true
	default:
		return false
	}
}

const (
	legacyTasks = `{"tools":{},"tasks":{"list":{},"cancel":{},"requests":{"tools":{"call":{}}}}}`
	modernTasks = `{"tools":{},"extensions":{"io.modelcontextprotocol/tasks":{}}}`
	ableToTask  = `{"extensions":{"io.modelcontextprotocol/tasks":{}},"elicitation":{}}`
)

func startTasker(t testing.TB, era, prefix string) *tasker {
	t.Helper()
	f := startStocked(t, era, &stock{capabilities: map[string]string{"legacy": legacyTasks, "modern": modernTasks}[era]})
	k := &tasker{fakeServer: f, prefix: prefix, news: make(chan string), answers: make(chan string, 16)}
	f.setTools(tool("slow", `"execution":{"taskSupport":"optional","more": 1}`), tool("must", `"execution":{"taskSupport":"required"}`), tool("plain"))
	stocked := f.before
	f.before = func(w http.ResponseWriter, r *http.Request, m seen) bool { return k.serve(w, r, m) || stocked(w, r, m) }
	f.get = k.stand
	for _, id := range []string{"others-1", "others-2"} {
		k.begin(id, nil, nil)
	}
	return k
}

func (k *tasker) begin(id string, ask, token json.RawMessage) *fakeTask {
	task := &fakeTask{id: k.prefix + id, status: "working", ask: ask, token: token, over: make(chan struct{})}
	k.mu.Lock()
	k.tasks = append(k.tasks, task)
	k.mu.Unlock()
	return task
}

func (k *tasker) find(id string) *fakeTask {
	k.mu.Lock()
	defer k.mu.Unlock()
	i := slices.IndexFunc(k.tasks, func(task *fakeTask) bool { return task.id == id })
	if i < 0 {
		return nil
	}
	return k.tasks[i]
}

// set changes a task's status; the last of them is the one that the calls of a test have begun last.
func (k *tasker) set(status string) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	task := k.tasks[len(k.tasks)-1]
	task.status = status
	if status != "working" && status != "input_required" {
		close(task.over)
	}
	return task.id
}

func (k *tasker) stand(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.(http.Flusher).Flush()
	for {
		select {
		case message := <-k.news:
			fmt.Fprintf(w, "data: %s\n\n", message)
			w.(http.Flusher).Flush()
		case <-r.Context().Done():
			return
		}
	}
}

// state is a task as it is told of.
func (k *tasker) state(task *fakeTask) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	text := fmt.Sprintf(`"taskId":%q,"status":%q,"createdAt":"2026-01-01T00:00:%02dZ","lastUpdatedAt":"2026-01-01T00:00:00Z","extra":[1, 2]`, task.id, task.status, slices.Index(k.tasks, task))
	if k.era == "legacy" {
		return text + `,"ttl":60000,"pollInterval":1`
	}
	text += `,"ttlMs":60000,"pollIntervalMs":1`
	switch task.status {
	case "completed":
		text += `,"result":{"resultType":"complete","content":[{"type":"text","text":"done"}],"isError":` + strconv.FormatBool(task.fails) + `,"extra":[1, 2],"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"x"}}}`
	case "failed":
		text += `,"error":{"code":-32050,"message":"broke","data":7}`
	case "input_required":
		text += `,"inputRequests":{"k1":` + string(task.ask) + `}`
	}
	return text
}

func (k *tasker) serve(w http.ResponseWriter, r *http.Request, m seen) bool {
	if m.Method == "" {
		k.answers <- m.Body
		w.WriteHeader(http.StatusAccepted)
		return true
	}
	name, _ := strings.CutPrefix(m.Method, "tasks/")
	id := ""
	json.Unmarshal([]byte(m.field("taskId")), &id)
	task := k.find(id)
	w.Header().Set("Content-Type", "application/json")
	switch {
	case m.Method == "tools/call":
		return k.called(w, m)
	case name == m.Method:
		return false
	case k.era == "modern" && !strings.Contains(m.Body, `"io.modelcontextprotocol/tasks"`):
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"error":{"code":-32021,"message":"not declared"}}`, m.ID)
	case name == "list":
		k.list(w, m)
	case task == nil:
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"error":{"code":-32602,"message":"no task here"}}`, m.ID)
	case name == "get":
		reply(w, m, `{`+k.complete("")+k.state(task)+`}`)
	case name == "cancel" && task.ended() && k.era == "legacy":
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"error":{"code":-32602,"message":"it is over"}}`, m.ID)
	case name == "cancel":
		k.mu.Lock()
		task.status = "cancelled"
		k.mu.Unlock()
		close(task.over)
		if k.era == "modern" {
			reply(w, m, `{"resultType":"complete"}`)
			break
		}
		reply(w, m, `{`+k.state(task)+`}`)
	case name == "update":
		k.mu.Lock()
		task.input = json.RawMessage(m.field("inputResponses"))
		k.mu.Unlock()
		k.answers <- string(task.input)
		reply(w, m, `{"resultType":"complete"}`)
	case name == "result":
		k.result(w, r, m, task)
	}
	return true
}

func (k *tasker) called(w http.ResponseWriter, m seen) bool {
	var arguments struct {
		Ask  json.RawMessage `json:"ask"`
		Task bool            `json:"task"`
	}
	json.Unmarshal(m.Params.Arguments, &arguments)
	wanted := m.field("task") != "null"
	if k.era == "modern" {
		wanted = arguments.Task
		if m.Params.Name == "must" && !strings.Contains(m.Body, `"io.modelcontextprotocol/tasks"`) {
			fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"error":{"code":-32021,"message":"must be a task","data":{"requiredCapabilities":{"extensions":{"io.modelcontextprotocol/tasks":{}}}}}}`, m.ID)
			return true
		}
	} else if m.Params.Name == "must" && !wanted {
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":"must be a task"}}`, m.ID)
		return true
	}
	if !wanted {
		return false
	}
	k.mu.Lock()
	n := len(k.tasks)
	k.mu.Unlock()
	task := k.begin(fmt.Sprintf("the-servers-own-task-%d", n), arguments.Ask, m.Params.Meta.Token)
	if k.era == "modern" {
		reply(w, m, `{"resultType":"task",`+k.state(task)+`}`)
		return true
	}
	reply(w, m, `{"task":{`+k.state(task)+`},"_meta":{"io.modelcontextprotocol/model-immediate-response":"wait"}}`)
	return true
}

// list has two tasks on a page.
func (k *tasker) list(w http.ResponseWriter, m seen) {
	from, next := 0, ""
	fmt.Sscanf(m.field("cursor"), `"%d"`, &from)
	k.mu.Lock()
	all := slices.Clone(k.tasks)
	k.mu.Unlock()
	to := min(len(all), from+2)
	if to < len(all) {
		next = fmt.Sprintf(`,"nextCursor":"%d"`, to)
	}
	var states []string
	for _, task := range all[from:to] {
		states = append(states, `{`+k.state(task)+`}`)
	}
	reply(w, m, `{"tasks":[`+strings.Join(states, ",")+`]`+next+`}`)
}

// result waits for a task's end, and asks on the way there.
func (k *tasker) result(w http.ResponseWriter, r *http.Request, m seen, task *fakeTask) {
	related := fmt.Sprintf(`"_meta":{"io.modelcontextprotocol/related-task":{"taskId":%q}}`, task.id)
	text := "done"
	send := func(message string) { reply(w, m, message) }
	if task.ask != nil {
		w.Header().Set("Content-Type", "text/event-stream")
		send = func(result string) {
			fmt.Fprintf(w, "data: {\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":%s}\n\n", m.ID, result)
		}
		fmt.Fprintf(w, "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":%s,\"progress\":1,%s}}\n\n", orNull(task.token), related)
		fmt.Fprintf(w, "data: {\"jsonrpc\":\"2.0\",\"id\":\"q\",\"method\":\"elicitation/create\",\"params\":{\"message\":%q,%s}}\n\n", task.ask, related)
		w.(http.Flusher).Flush()
		select {
		case text = <-k.answers:
		case <-r.Context().Done():
			return
		}
	} else {
		select {
		case <-task.over:
		case <-r.Context().Done():
			return
		}
	}
	shown, _ := json.Marshal(text)
	send(`{"content":[{"type":"text","text":` + string(shown) + `}],"extra":[1, 2],` + related + `}`)
}

func orNull(raw json.RawMessage) string {
	if raw == nil {
		return "null"
	}
	return string(raw)
}

// begun is what a client is told of a task.
type begun struct {
	TaskID string `json:"taskId"`
	Status string `json:"status"`
}

// start calls a tool as a task.
func (c *client) start(name, arguments, meta string) begun {
	c.rig.t.Helper()
	got := c.startRaw(name, arguments, meta)
	var result struct {
		begun
		ResultType string `json:"resultType"`
		Task       begun  `json:"task"`
	}
	if m := got.last(c.rig.t); json.Unmarshal(m.Result, &result) != nil {
		c.rig.t.Fatalf("no result: %s", got.body)
	}
	if c.era == "legacy" {
		result.begun = result.Task
	} else if result.ResultType != "task" {
		c.rig.t.Fatalf("no task: %s", got.body)
	}
	if result.TaskID == "" || result.Status != "working" {
		c.rig.t.Fatalf("no task: %s", got.body)
	}
	return result.begun
}

func (c *client) startRaw(name, arguments, meta string) answer {
	c.rig.t.Helper()
	if c.era == "legacy" {
		return c.ask("tools/call", "", fmt.Sprintf(`"name":%q,"arguments":{%s},"task":{"ttl": 60000}`, name, arguments), meta)
	}
	if arguments != "" {
		arguments = "," + arguments
	}
	return c.ask("tools/call", name, fmt.Sprintf(`"name":%q,"arguments":{"task":true%s}`, name, arguments), meta)
}

// touch asks about a task.
func (c *client) touch(method, id string) answer {
	c.rig.t.Helper()
	more := ""
	if method == "tasks/update" {
		more = `,"inputResponses":{"k1":{"action":"accept"}}`
	}
	return c.ask(method, id, fmt.Sprintf(`"taskId":%q%s`, id, more), "")
}

// touches are the methods by which a client of an era asks about one task.
var touches = map[string][]string{"legacy": {"tasks/get", "tasks/result", "tasks/cancel"}, "modern": {"tasks/get", "tasks/update", "tasks/cancel"}}

func (k *tasker) touched() (n int) {
	for _, method := range k.beyondHello() {
		if strings.HasPrefix(method, "tasks/") {
			n++
		}
	}
	return n
}

// plainly is a client that can be asked, and knows of no tasks.
func (r *rig) plainly(era, path, token string) *client {
	return r.clientWith(era, path, token, `{"elicitation":{}}`)
}

// tasking is a client that can deal with tasks.
func (r *rig) tasking(era, path, token string, more ...string) *client {
	capabilities := `{"elicitation":{}}`
	if era == "modern" {
		capabilities = ableToTask
	}
	c := r.clientWith(era, path, token, capabilities)
	for i := 0; i < len(more); i += 2 {
		c.header.Add(more[i], more[i+1])
	}
	return c
}
