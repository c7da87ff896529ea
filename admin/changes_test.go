package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"mcpsidecar/admin"
	"mcpsidecar/internal/audit"
)

// W-10: of a hundred who read, add one and write at the same time, nobody's addition is lost.
func TestIncrementsInParallelAreAllKept(t *testing.T) {
	f := open(t)
	id := f.root(t).create(body(t, fields{"timeout_ms": 1000}))
	path := servers + "/" + id
	var everybody sync.WaitGroup
	for range 100 {
		everybody.Go(func() {
			for increment(t, f, path) == http.StatusPreconditionFailed {
			}
		})
	}
	everybody.Wait()
	if got := f.root(t).server(id)["timeout_ms"]; got != 1100.0 {
		t.Errorf("after 100 increments of 1000 there are %v", got)
	}
}

// increment reads, adds one and writes. It goes past the fixture's checks of answers, which would take most of the time.
func increment(t *testing.T, f *fixture, path string) int {
	seen := newRecorder(newRequest(t.Context(), "GET", path, ""), f.handler)
	var server admin.Server
	if err := json.Unmarshal(seen.Body.Bytes(), &server); err != nil {
		t.Error(err)
	}
	r := newRequest(t.Context(), "PATCH", path, `{"timeout_ms":`+strconv.Itoa(server.TimeoutMS+1)+`}`)
	r.Header.Set("If-Match", seen.Header().Get("ETag"))
	status := newRecorder(r, f.handler).Code
	if status != http.StatusOK && status != http.StatusPreconditionFailed {
		t.Errorf("status %d", status)
	}
	return status
}

// Changes of different fields do not undo each other, with or without If-Match.
func TestChangesOfDifferentFieldsInParallelAreAllKept(t *testing.T) {
	f := open(t)
	id := f.root(t).create(body(t, nil))
	changes := map[string]string{
		"description": `"a"`, "icon_url": `"https://example.com/a.png"`, "tool_deny_list": `["a"]`, "tool_allow_list": `["b"]`, "plan_tools": `["c"]`, "model_intent": "true", "plan_read_only": "true",
		"allow_in_plan_mode": "true", "timeout_ms": "2000", "max_concurrent": "7", "visible_to": `["ann"]`, "forward_headers": `["X-Trace"]`,
	}
	var everybody sync.WaitGroup
	for field, value := range changes {
		everybody.Go(func() {
			if got := f.root(t).patch(servers+"/"+id, `{"`+field+`":`+value+`}`); got.status != 200 {
				t.Errorf("%s: status %d: %s", field, got.status, got.body)
			}
		})
	}
	everybody.Wait()
	got := string(f.root(t).get(servers + "/" + id).body)
	for field, value := range changes {
		if !strings.Contains(got, `"`+field+`":`+value) {
			t.Errorf("%s is not %s in %s", field, value, got)
		}
	}
}

func TestIfMatch(t *testing.T) {
	f := open(t)
	root := f.root(t)
	created := root.created(body(t, nil))
	path, tag := servers+"/"+created.object()["id"].(string), created.header.Get("ETag")
	if got := root.get(path).header.Get("ETag"); tag == "" || got != tag {
		t.Errorf("the tag is %q after creation and %q when read", tag, got)
	}
	for _, wrong := range []string{`"0"`, "W/" + tag, strings.Trim(tag, `"`), "", "nonsense"} {
		root.with("If-Match", wrong).patch(path, `{"description":"x"}`).want(http.StatusPreconditionFailed)
		root.with("If-Match", wrong).delete(path).want(http.StatusPreconditionFailed)
	}
	next := root.with("If-Match", `"0", `+tag).patch(path, `{"description":"x"}`).want(200).header.Get("ETag")
	if next == tag || next == "" {
		t.Errorf("a change made %q of %q", next, tag)
	}
	root.with("If-Match", tag).patch(path, `{"description":"y"}`).want(http.StatusPreconditionFailed)
	root.with("If-Match", "*").patch(path, `{"description":"z"}`).want(200)
	root.with("If-Match", next).delete(path).want(http.StatusPreconditionFailed)
	root.with("If-Match", "*").delete(path).want(204)
}

// Every change is recorded with who made it and which fields it touched, before it is made; what cannot be recorded is not done.
func TestChangesAreRecorded(t *testing.T) {
	f := open(t)
	root := f.root(t)
	f.servers.list("github", "a")
	id := root.create(body(t, fields{"auth_type": "api_key", "api_key_header": "X-Key", "api_key_value": canary}))
	path := servers + "/" + id
	root.patch(path, `{"description":"x","api_key_value":"`+canary+`2","enabled":true}`).want(200)
	root.patch(path, `{"slug":"Bad Slug"}`).want(400)
	minted := f.mint(t, `{"name":"ann","role":"user","user":"ann"}`)
	root.post(path+"/catalog/approve", "").want(200)
	root.delete("/api/v1/tokens/" + idOf(minted.token)).want(204)
	root.delete("/api/v1/users/ann").want(204)
	root.delete(path).want(204)
	token := idOf(minted.token)
	want := []audit.Change{
		{Action: "create", Kind: "server", ID: id, Slug: "github", Fields: []string{"api_key_header", "api_key_value", "auth_type", "availability", "display_name", "enabled", "slug", "tool_pinning", "transport", "url"}},
		{Action: "update", Kind: "server", ID: id, Slug: "github", Fields: []string{"api_key_value", "description"}},
		{Action: "create", Kind: "token", ID: token, Fields: []string{"name", "role", "user"}},
		{Action: "approve", Kind: "catalog", ID: id, Slug: "github"},
		{Action: "revoke", Kind: "token", ID: token},
		{Action: "delete", Kind: "user", ID: "ann"},
		{Action: "delete", Kind: "server", ID: id, Slug: "github"},
	}
	got := f.audit.all()
	if len(got) != len(want) {
		t.Fatalf("recorded were %+v", got)
	}
	for i, change := range got {
		if change.User != "admin" || change.TokenID != "bootstrap" || change.RequestID == "" {
			t.Errorf("who did it is recorded as %+v", change)
		}
		if change.Action != want[i].Action || change.Kind != want[i].Kind || change.ID != want[i].ID || change.Slug != want[i].Slug || !slices.Equal(change.Fields, want[i].Fields) {
			t.Errorf("recorded is %+v, want %+v", change, want[i])
		}
	}
}

func TestWhatCannotBeRecordedIsNotDone(t *testing.T) {
	f := open(t)
	root := f.root(t)
	f.servers.list("github", "a")
	id := root.create(body(t, nil))
	minted := f.mint(t, `{"name":"ann","role":"user","user":"ann"}`)
	before := root.get(servers + "/" + id)
	f.audit.setBroken(true)
	for _, got := range []*answer{
		root.post(servers, body(t, fields{"slug": "other"})),
		root.patch(servers+"/"+id, `{"enabled":false}`),
		root.delete(servers + "/" + id),
		root.post(servers+"/"+id+"/catalog/approve", ""),
		root.post("/api/v1/tokens", `{"name":"x","role":"admin"}`),
		root.delete("/api/v1/tokens/" + idOf(minted.token)),
		root.delete("/api/v1/users/ann"),
	} {
		got.want(http.StatusServiceUnavailable)
	}
	if after := root.get(servers + "/" + id).want(200); string(after.body) != string(before.body) || len(root.listed()) != 1 {
		t.Errorf("something was done: %s", after.body)
	}
	minted.get("/api/v1/whoami").want(200)
	if root.get(servers + "/" + id + "/catalog/diff").object()["approved"] != false {
		t.Error("a catalog was approved")
	}
}

// What is refused after it was recorded is recorded as refused.
func TestARecordSaysWhatDidNotHappen(t *testing.T) {
	f := open(t)
	f.root(t).create(body(t, nil))
	f.root(t).post(servers, body(t, nil)).want(409)
	changes := f.audit.all()
	if last := changes[len(changes)-1]; len(changes) != 3 || last.Action != "create_failed" || last.Slug != "github" {
		t.Errorf("recorded were %+v", changes)
	}
}

// An answer means that the change holds: it is in effect before, and if it cannot be, the answer says so.
func TestAnAnswerMeansThatTheChangeHolds(t *testing.T) {
	f := open(t)
	root := f.root(t)
	f.mu.Lock()
	f.reload = errors.New("no snapshot")
	f.mu.Unlock()
	got := root.post("/api/v1/tokens", `{"name":"x","role":"admin"}`).want(http.StatusInternalServerError)
	if contains(got, "snapshot") || !contains(got, "not in effect") || contains(got, "mcps_") {
		t.Errorf("the answer is %s", got.body)
	}
}

// Whoever asked may be gone: what was written comes into effect all the same.
func TestAChangeComesIntoEffectThoughTheClientIsGone(t *testing.T) {
	f := open(t)
	config := f.config()
	ctx, leave := context.WithCancel(t.Context())
	var inEffect error
	config.Reload = func(reload context.Context) error {
		leave()
		inEffect = reload.Err()
		return f.reloaded(reload)
	}
	r := newRequest(ctx, "POST", servers, body(t, nil))
	if w := newRecorder(r, newAPI(t, config)); w.Code != 201 || inEffect != nil {
		t.Errorf("status %d, while reloading the context says %v", w.Code, inEffect)
	}
}

// When the store is gone nobody is let through to anything, and nothing is told of why.
func TestAStoreThatIsGone(t *testing.T) {
	f := open(t)
	root := f.root(t)
	must(t, f.store.Close())
	for _, route := range f.api.Routes() {
		got := root.do(route.Method, concrete(route), map[bool]string{true: body(t, nil), false: `{"name":"x","role":"admin"}`}[strings.Contains(route.Path, "servers")])
		switch {
		case route.Agents, strings.HasSuffix(route.Path, "/explain"), strings.HasSuffix(route.Path, "/servers/test"), strings.HasPrefix(route.Path, "/connect/"), route.Path == "/oauth/client.json", strings.HasPrefix(route.Path, "/api/v1/key"), route.Path == "/api/v1/session": // need no store, or were not asked a whole question
		case got.status != http.StatusServiceUnavailable:
			t.Errorf("%s %s: status %d: %s", route.Method, route.Path, got.status, got.body)
		}
	}
	root.get("/api/v1/policy/explain?tool=x").want(http.StatusServiceUnavailable)
	root.get("/connect/" + strings.Repeat("A", 43)).want(http.StatusServiceUnavailable)
}
