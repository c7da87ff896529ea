package proxy

import (
	"context"
	"net/http"
	"slices"
	"time"

	"mcpsidecar/proxy/rpc"
)

// keepAlive is how often an idle stream is written to, so that nobody between takes it for dead.
const keepAlive = 25 * time.Second

var keepAliveComment = []byte(":\n\n")

// get opens the standing stream of a legacy session (2025-11-25, Listening for Messages from the Server).
func (t *turn) get() {
	if values := t.r.Header[versionHeader]; len(values) > 0 && !slices.Contains(legacyVersions, values[0]) {
		t.w.Header().Set("Allow", "POST")
		t.w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	if len(t.r.Header["Accept"]) == 0 || !accepts(t.r.Header, "text/event-stream") {
		t.write(http.StatusNotAcceptable, rpc.AppendError(nil, nil, rpc.Error{Code: codeInvalidRequest, Message: "Accept must list text/event-stream"}))
		return
	}
	if f := t.enterSession(); f != nil {
		t.fail(f)
		return
	}
	primary, ok := t.session.openStream()
	if !ok {
		t.fail(failStreams())
		return
	}
	defer t.session.closeStream()
	t.startStream()
	t.follow(t.session.over, t.flushHead, func() error {
		if !primary {
			return nil // a message goes to one stream only
		}
		return t.event([]byte(`{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`), true)
	})
}

// subscribe answers subscriptions/listen of a modern client (patterns/subscriptions).
func (t *turn) subscribe() {
	wanted := t.message.Find("notifications")
	if len(wanted) == 0 || wanted[0] != '{' {
		t.fail(failInvalidParams("notifications must say what to listen for"))
		return
	}
	tools := string(rpc.Find(wanted, "toolsListChanged")) == "true"
	id := string(t.message.ID)
	tag := `"_meta":{"` + metaSubscription + `":` + id + `}`
	granted := `{}`
	if tools {
		granted = `{"toolsListChanged":true}`
	}
	t.startStream()
	t.outcome = outcomeOK
	acknowledge := func() error {
		return t.event([]byte(`{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{`+tag+`,"notifications":`+granted+`}}`), true)
	}
	graceful := t.follow(nil, acknowledge, func() error {
		if !tools {
			return nil
		}
		return t.event([]byte(`{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{`+tag+`}}`), true)
	})
	if graceful {
		t.event([]byte(`{"jsonrpc":"2.0","id":`+id+`,"result":{"resultType":"complete",`+tag+`}}`), true)
	}
}

// follow opens a stream, keeps it open, and calls changed whenever the caller's list is another; graceful says that it was we who ended it. What changes after the client knows that the stream is open is told.
func (t *turn) follow(over <-chan struct{}, open, changed func() error) (graceful bool) {
	t.leaveBusy()
	t.proxy.config.Metrics.Streams(1)
	defer t.proxy.config.Metrics.Streams(-1)
	woken := t.proxy.hub.join()
	defer t.proxy.hub.leave(woken)
	last := t.proxy.visibleSignature(&t.scope)
	if open() != nil {
		return false
	}
	ticker := time.NewTicker(keepAlive)
	defer ticker.Stop()
	for {
		var err error
		select {
		case <-t.ctx.Done():
			return false
		case <-over:
			return true
		case <-t.proxy.hub.done:
			return true
		case <-ticker.C:
			if t.deadline(); t.stillAllowed() {
				if err = t.send(keepAliveComment); err == nil {
					err = t.flush()
				}
			} else {
				return true
			}
		case <-woken:
			if !t.stillAllowed() {
				return true
			}
			if next := t.proxy.visibleSignature(&t.scope); !sameLists(last, next) {
				last = next
				err = changed()
			}
		}
		if err != nil {
			return false
		}
	}
}

// flushHead lets the client know that the stream is open.
func (t *turn) flushHead() error {
	t.deadline()
	return t.flush()
}

// stillAllowed asks again who this is: a token may have been revoked or have expired.
func (t *turn) stillAllowed() bool {
	identity, err := t.proxy.config.Callers.Authenticate(t.r.WithContext(context.WithoutCancel(t.ctx)))
	return err == nil && identity.User == t.scope.identity.User
}
