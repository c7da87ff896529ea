package upstream_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"mcpsidecar/proxy/rpc"
	"mcpsidecar/proxy/upstream"
)

// registry is a modern server that tells of tasks. It does not want to tell of those that are called bad; drop ends every stream.
func newRegistry() *library {
	lib := newLibrary(upstream.Modern)
	lib.on["subscriptions/listen"] = func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
		filter := string(rpc.Find(m.Params, "notifications"))
		lib.asked <- filter
		if strings.Contains(filter, "bad") {
			refusal(200, "", `{"code":-32602,"message":"Task not found"}`)(w, r, m)
			return
		}
		lib.stream(w, r, nil, `{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"notifications":`+filter+`}}`)
	}
	return lib
}

// attendTo listens for tasks only.
func attendTo(t *testing.T, lib *library, s setup) *reader {
	r := &reader{t: t, library: lib, heard: make(chan string, 64)}
	r.Conn = s.Server.Conn(upstream.ConnConfig{Header: noHeaders, Tasks: true, Notify: func(m rpc.Message) { r.heard <- m.Method + " " + string(m.Params) }})
	over := make(chan struct{})
	go func() { defer close(over); r.Listen(t.Context()) }()
	t.Cleanup(func() { s.Server.Close(); <-over })
	return r
}

// wantAsked waits for what the server is asked to tell of next. When a stream ends, a server notices at its leisure.
func (r *reader) wantAsked(filter string) {
	r.t.Helper()
	got := ""
	for got = range r.asked {
		if got != "end" && got != "stream" {
			break
		}
	}
	if got != filter {
		r.t.Fatalf("the server is asked %s, want %s", got, filter)
	}
}

func TestAModernServerIsAskedForTasks(t *testing.T) {
	lib := newRegistry()
	r := attendTo(t, lib, connect(t, serve(t, lib)))
	r.watch("a") // before which nothing was asked for
	r.wantAsked(`{"taskIds":["a"]}`)
	r.watch("b")
	r.wantAsked(`{"taskIds":["a","b"]}`)
	r.settle()
	if failure := asFailure(t, r.Watch(t.Context(), "bad")); failure.Kind != upstream.Refused {
		t.Errorf("what the server does not want: %v", failure)
	}
	r.wantAsked(`{"taskIds":["a","b","bad"]}`)
	r.Unwatch("b")
	r.wantAsked(`{"taskIds":["a"]}`)
	r.settle()

	r.drop(false)
	r.wantAsked(`{"taskIds":["a"]}`)
	if got := <-r.heard; got != `notifications/tasks {"taskId":"a"}` {
		t.Errorf("after a stream broke: heard %s", got)
	}
	r.Unwatch("a")
	for got := range r.asked {
		if got == "end" && r.streams() == 0 {
			break
		}
	}
	r.watch("c")
	r.wantAsked(`{"taskIds":["c"]}`)
}

func (lib *library) streams() int {
	lib.mu.Lock()
	defer lib.mu.Unlock()
	return len(lib.out)
}

// TestWhoTellsOfNoTasks is not waited for.
func TestWhoTellsOfNoTasks(t *testing.T) {
	legacy := newLibrary(upstream.Legacy)
	for what, test := range map[string]struct {
		url  string
		kind upstream.FailureKind
	}{
		"a legacy server":       {serve(t, legacy), upstream.Refused},
		"one that is not there": {"http://127.0.0.1:1/", upstream.Unreachable},
	} {
		r := attendTo(t, legacy, connect(t, test.url))
		var failure *upstream.Failure
		if err := r.Watch(t.Context(), "a"); !errors.As(err, &failure) || failure.Kind != test.kind {
			t.Errorf("%s: %v", what, err)
		}
	}
	if len(legacy.asked) != 0 {
		t.Errorf("the server is asked %s", <-legacy.asked)
	}
}
