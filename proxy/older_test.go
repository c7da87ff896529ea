package proxy_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"mcpsidecar/configstore"
)

// twofold is a server of both eras: one that has tasks for whoever opens a session, and none for everybody else.
type twofold struct {
	*tasker
	modern *fakeServer
	web    *httptest.Server
}

func startTwofold(t *testing.T) *twofold {
	t.Helper()
	k := startTasker(t, "legacy", "")
	b := &twofold{tasker: k, modern: startFake(t, "modern", k.tools...)}
	b.modern.before = func(w http.ResponseWriter, r *http.Request, m seen) bool {
		if m.Method == "server/discover" {
			w.Header().Set("Content-Type", "application/json")
			reply(w, m, `{"resultType":"complete","supportedVersions":["2026-07-28","2025-11-25"],"capabilities":{"tools":{}},"ttlMs":60000,"cacheScope":"public"}`)
		}
		return m.Method == "server/discover"
	}
	b.web = httptest.NewServer(http.HandlerFunc(b.serve))
	t.Cleanup(func() { b.web.CloseClientConnections(); b.web.Close() })
	return b
}

func (b *twofold) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	var m seen
	if json.Unmarshal(body, &m); m.Params.Meta.Version != "" {
		b.modern.Config.Handler.ServeHTTP(w, r)
		return
	}
	b.fakeServer.Config.Handler.ServeHTTP(w, r)
}

func (b *twofold) record(slug string) configstore.Server {
	return b.tasker.record(slug, func(s *configstore.Server) { s.URL = b.web.URL })
}

// TestServersOfBothErasHaveTasks for the clients of the era in which they have them, and each is told what it has.
func TestServersOfBothErasHaveTasks(t *testing.T) {
	b := startTwofold(t)
	r := newRig(t, b.record("one"))
	token := r.token("user", "alice")
	for _, path := range []string{"/mcp", "/mcp/one"} {
		if said := r.hello("legacy", path, token, "2025-11-25"); string(said["tasks"]) != `{"list":{},"cancel":{},"requests":{"tools":{"call":{}}}}` {
			t.Errorf("%s: %v", path, said)
		}
		if said := r.hello("legacy", path, token, "2025-06-18"); said["tasks"] != nil {
			t.Errorf("an older client on %s: %v", path, said)
		}
		if said := r.hello("modern", path, token, ""); said["tasks"] != nil || said["extensions"] != nil {
			t.Errorf("a modern client on %s: %v", path, said)
		}
	}
	if n := len(b.seenOf("initialize")); n != 1 {
		t.Errorf("%d sessions were opened to learn of it", n)
	}
	waitFor(t, func() bool { b.mu.Lock(); defer b.mu.Unlock(); return len(b.fakeServer.deleted) == 1 })
	if c := r.tasking("modern", "/mcp", token); c.call("one__slow", `{}`).text() != "slow {}" {
		t.Error("a modern client makes no plain call")
	}
}

// TestTasksAtServersOfBothEras: whatever a client can be asked, its tasks are begun where they are, and all that belongs to them is there.
func TestTasksAtServersOfBothEras(t *testing.T) {
	for _, declared := range []string{`{}`, `{"elicitation":{}}`} {
		b := startTwofold(t)
		r := newRig(t, b.record("one"))
		c := r.clientSpeaking("legacy", "/mcp", r.token("user", "alice"), declared, "2025-11-25")
		if got := c.ask("tools/list", "", "", ""); strings.Count(got.body, `"taskSupport"`) != 2 {
			t.Errorf("%s: listed: %s", declared, got.body)
		}
		if got := c.call("one__plain", `{}`); got.text() != "plain {}" {
			t.Errorf("%s: a plain call: %s", declared, got.raw.body)
		}
		task := c.start("one__slow", "", "")
		theirs := b.set("completed")
		if got := c.touch("tasks/result", task.TaskID); c.outcome(got).text() != "done" {
			t.Errorf("%s: %s", declared, got.body)
		}
		if got := c.ask("tasks/list", "", "", ""); !strings.Contains(got.body, task.TaskID) {
			t.Errorf("%s: listed: %s", declared, got.body)
		}
		stream := c.stand()
		b.news <- b.status(theirs)
		if got := stream.next(); !strings.Contains(got, `"method":"notifications/tasks/status","params":{"taskId":"`+task.TaskID+`"`) {
			t.Errorf("%s: told: %s", declared, got)
		}
		for _, call := range b.modern.seenOf("tools/call") {
			if declared != `{}` || strings.Contains(call.Body, `"task":`) {
				t.Errorf("%s: asked in the other era: %s", declared, call.Body)
			}
		}
	}
}

// TestTasksOfBothErasOutliveTheSidecar: a session goes on in a process that has not yet asked what it has.
func TestTasksOfBothErasOutliveTheSidecar(t *testing.T) {
	for _, first := range []string{"a task", "a touch"} {
		b := startTwofold(t)
		before := newRig(t, b.record("one"))
		c := before.clientSpeaking("legacy", "/mcp", before.token("user", "alice"), `{}`, "2025-11-25")
		task := c.start("one__slow", "", "")
		after := newRig(t, b.record("one"))
		after.tokens = before.tokens
		after.callers.Reload(after.tokens)
		c.rig = after
		if first == "a task" {
			c.start("one__slow", "", "")
		}
		if got := c.touch("tasks/get", task.TaskID); !strings.Contains(got.body, fmt.Sprintf(`"taskId":%q,"status":"working"`, task.TaskID)) {
			t.Errorf("%s: %s", first, got.body)
		}
	}
}

// TestServersOfBothErasWithoutSessions are modern ones: what hangs on a session is not there.
func TestServersOfBothErasWithoutSessions(t *testing.T) {
	b := startTwofold(t)
	with := b.before
	b.before = func(w http.ResponseWriter, r *http.Request, m seen) bool {
		if m.Method != "initialize" {
			return with(w, r, m)
		}
		w.Header().Set("Content-Type", "application/json")
		reply(w, m, `{"protocolVersion":"2025-11-25","capabilities":`+legacyTasks+`,"serverInfo":{"name":"fake","version":"1"}}`)
		return true
	}
	r := newRig(t, b.record("one"))
	token := r.token("user", "alice")
	if said := r.hello("legacy", "/mcp", token, "2025-11-25"); said["tasks"] != nil {
		t.Errorf("told %v", said)
	}
	c := r.clientSpeaking("legacy", "/mcp", token, `{}`, "2025-11-25")
	if got := c.outcome(c.startRaw("one__slow", "", "")); got.text() != "slow {}" {
		t.Errorf("%s", got.raw.body)
	}
}
