package proxy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
)

// herald is a tasker of the newer era that tells whoever listens for a task how it is.
type herald struct {
	*tasker
	asked chan string // receives what is listened for, each time
	picky bool        // it refuses all that is asked for at once for the sake of one that it does not know

	mu      sync.Mutex
	streams map[*heraldStream]bool
}

type heraldStream struct {
	ids []string
	say chan string
	end context.CancelFunc
}

func startHerald(t testing.TB) *herald {
	t.Helper()
	h := &herald{tasker: startTasker(t, "modern", ""), asked: make(chan string, 256), streams: map[*heraldStream]bool{}}
	serve := h.before
	h.before = func(w http.ResponseWriter, r *http.Request, m seen) bool {
		if m.Method != "subscriptions/listen" {
			return serve(w, r, m)
		}
		h.listen(w, r, m)
		return true
	}
	return h
}

// listen grants what exists.
func (h *herald) listen(w http.ResponseWriter, r *http.Request, m seen) {
	var filter struct{ TaskIDs []string }
	json.Unmarshal([]byte(m.field("notifications")), &filter)
	refuse := func(code int, message string) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"error":{"code":%d,"message":%q}}`, m.ID, code, message)
	}
	if filter.TaskIDs == nil { // for changes of lists, of which there are none
		refuse(-32601, "no changes")
		return
	}
	if !strings.Contains(m.Body, `"extensions":{"io.modelcontextprotocol/tasks":{}}`) {
		refuse(-32021, "not declared")
		return
	}
	h.asked <- strings.Join(filter.TaskIDs, " ")
	known := slices.DeleteFunc(slices.Clone(filter.TaskIDs), func(id string) bool { return h.find(id) == nil })
	if h.picky && len(known) < len(filter.TaskIDs) {
		refuse(-32602, "no task here")
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	st := &heraldStream{ids: known, say: make(chan string, 256), end: cancel}
	h.mu.Lock()
	h.streams[st] = true
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		delete(h.streams, st)
		h.mu.Unlock()
	}()
	list, _ := json.Marshal(known)
	w.Header().Set("Content-Type", "text/event-stream")
	fmt.Fprintf(w, "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/subscriptions/acknowledged\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/subscriptionId\":%s},\"notifications\":{\"taskIds\":%s}}}\n\n", m.ID, list)
	w.(http.Flusher).Flush()
	for {
		select {
		case text := <-st.say:
			fmt.Fprintf(w, "data: %s\n\n", text)
			w.(http.Flusher).Flush()
		case <-ctx.Done():
			return
		}
	}
}

// become changes how a task is, and tells nobody.
func (h *herald) become(id, status string) {
	h.tasker.mu.Lock()
	defer h.tasker.mu.Unlock()
	i := slices.IndexFunc(h.tasks, func(task *fakeTask) bool { return task.id == id })
	h.tasks[i].status = status
}

// say tells how a task is on the streams where somebody listens for it; how many there were is returned.
func (h *herald) say(id string) int { return h.sayOf(id, h.state(h.find(id))) }

func (h *herald) sayOf(id, state string) (told int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for st := range h.streams {
		if slices.Contains(st.ids, id) {
			told++
			st.say <- `{"jsonrpc":"2.0","method":"notifications/tasks","params":{` + state + `,"_meta":{"io.modelcontextprotocol/subscriptionId":"the server's","kept":1}}}`
		}
	}
	return told
}

// listened are the tasks that somebody listens for at present.
func (h *herald) listened() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	ids := map[string]bool{}
	for st := range h.streams {
		for _, id := range st.ids {
			ids[id] = true
		}
	}
	return slices.Sorted(maps.Keys(ids))
}

func (h *herald) isListened(t *testing.T, ids ...string) {
	t.Helper()
	waitFor(t, func() bool { return slices.Equal(h.listened(), ids) || len(ids)+len(h.listened()) == 0 })
}

// restart cuts every stream.
func (h *herald) restart() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for st := range h.streams {
		st.end()
	}
}

// attend has a client listen for tasks, of which so many have to be granted: the first ones.
func (c *client) attend(granted int, ids ...string) *follower {
	c.rig.t.Helper()
	ctx, cancel := context.WithCancel(c.rig.t.Context())
	f := &follower{client: c, end: cancel, id: c.nextID + 1}
	list, _ := json.Marshal(append([]string{}, ids...))
	f.heard = c.listenTo(ctx, `{"taskIds":`+string(list)+`}`)
	want := `{}`
	if granted > 0 {
		list, _ = json.Marshal(ids[:granted])
		want = `{"taskIds":` + string(list) + `}`
	}
	if got := <-f.heard; got != fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":%d},"notifications":%s}}`, f.id, want) {
		c.rig.t.Fatalf("acknowledged: %s, want %s", got, want)
	}
	return f
}

// wantTask waits for the next notification, which has to say this of a task.
func (f *follower) wantTask(id, status string) string {
	f.rig.t.Helper()
	got := <-f.heard
	var said struct {
		Method string
		Params struct {
			begun
			ResultType string `json:"resultType"`
			Meta       map[string]json.RawMessage
		}
	}
	json.Unmarshal([]byte(got), &said)
	if said.Method != "notifications/tasks" || said.Params.TaskID != id || said.Params.Status != status || said.Params.ResultType != "" ||
		!strings.Contains(got, fmt.Sprintf(`"io.modelcontextprotocol/subscriptionId":%d`, f.id)) || strings.Contains(got, "the server's") {
		f.rig.t.Fatalf("heard %s, want that %s is %s", got, id, status)
	}
	return got
}
