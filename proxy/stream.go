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
	t.detach((*turn).listen)
}

// listen keeps the stream open until its client, its session or the program goes.
func (t *turn) listen() {
	primary, ok := t.session.openStream()
	if !ok {
		t.fail(failStreams())
		return
	}
	defer t.session.closeStream()
	t.startStream()
	t.follow(t.session.over, t.flushHead, func(method string) error {
		if !primary {
			return nil // a message goes to one stream only
		}
		return t.event([]byte(`{"jsonrpc":"2.0","method":"`+method+`"}`), true)
	})
}

// subscribe answers subscriptions/listen of a modern client (patterns/subscriptions).
func (t *turn) subscribe() {
	wanted := t.message.Find("notifications")
	if len(wanted) == 0 || wanted[0] != '{' {
		t.fail(failInvalidParams("notifications must say what to listen for"))
		return
	}
	granted, methods := grant(wanted)
	id := string(t.message.ID)
	tag := `"_meta":{"` + metaSubscription + `":` + id + `}`
	t.startStream()
	t.outcome = outcomeOK
	acknowledge := func() error {
		return t.event([]byte(`{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{`+tag+`,"notifications":`+granted+`}}`), true)
	}
	graceful := t.follow(nil, acknowledge, func(method string) error {
		if !slices.Contains(methods, method) {
			return nil
		}
		return t.event([]byte(`{"jsonrpc":"2.0","method":"`+method+`","params":{`+tag+`}}`), true)
	})
	if graceful {
		t.event([]byte(`{"jsonrpc":"2.0","id":`+id+`,"result":{"resultType":"complete",`+tag+`}}`), true)
	}
}

// grant is what of a client's wishes we can fulfil, and the notifications that do.
func grant(wanted []byte) (granted string, methods []string) {
	for _, wish := range []struct{ name, method string }{
		{"toolsListChanged", methodToolsChanged}, {"promptsListChanged", methodPromptsChanged}, {"resourcesListChanged", methodResourcesChanged},
	} {
		if string(rpc.Find(wanted, wish.name)) != "true" {
			continue
		}
		if methods != nil {
			granted += ","
		}
		granted, methods = granted+`"`+wish.name+`":true`, append(methods, wish.method)
	}
	return "{" + granted + "}", methods
}

// follow opens a stream, keeps it open, and calls changed with a notification for each of the caller's lists that is another; graceful says that it was we who ended it. What changes after the client knows that the stream is open is told.
func (t *turn) follow(over <-chan struct{}, open func() error, changed func(method string) error) (graceful bool) {
	t.leaveBusy()
	t.leaveRoom()
	t.proxy.config.Metrics.Streams(1)
	defer t.proxy.config.Metrics.Streams(-1)
	woken := t.proxy.hub.join()
	defer t.proxy.hub.leave(woken)
	last := t.proxy.visible(&t.scope)
	if open() != nil {
		return false
	}
	var outbox <-chan []byte
	if t.session != nil {
		outbox = t.session.outbox
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
		case message := <-outbox:
			err = t.event(message, true)
		case <-ticker.C:
			if t.session != nil {
				t.session.lapse(time.Now())
			}
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
			next := t.proxy.visible(&t.scope)
			for _, method := range last.changedMethods(next) {
				if err = changed(method); err != nil {
					break
				}
			}
			last = next
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
