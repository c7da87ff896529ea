package proxy

import (
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

// listen keeps a stream open until its client, its session or the program goes.
func (t *turn) listen() {
	if !t.beginHearing() {
		return
	}
	defer t.endHearing()
	if f := t.openFeed(); f != nil {
		t.fail(f)
	}
}

// follow opens a stream, keeps it open, and calls changed with a notification for each of the caller's lists that is another; graceful says that it was we who ended it. What changes after the client knows that the stream is open
// is told. Of a legacy client the stream is carried.
func (t *turn) follow(over <-chan struct{}, c *carrier, open func() error, changed func(method string) error) (graceful bool) {
	t.leaveBusy()
	t.leaveRoom()
	t.proxy.config.Metrics.Streams(1)
	defer t.proxy.config.Metrics.Streams(-1)
	allowed := t.stayAllowed()
	defer allowed.leave()
	woken := allowed.place.woken
	last := t.proxy.visible(&t.scope)
	var more <-chan struct{}
	if c != nil {
		if c.resumed {
			last = c.known
			select {
			case woken <- struct{}{}: // the lists may be others since
			default: // it is to be looked at already
			}
		}
		more, c.allowed = c.more, allowed
		c.learned(last)
	}
	if err := open(); err != nil {
		return err == errNotAllowed
	}
	t.hearExtensions()
	var updates <-chan struct{}
	if t.watcher != nil {
		updates = t.watcher.ready
		t.watcher.review()
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
		case <-allowed.place.ended:
			return true
		case <-allowed.expired:
			if !allowed.holds() {
				return true
			}
		case <-more:
			err = c.pump()
		case <-updates:
			err = t.tellNews(allowed, c)
		case <-ticker.C:
			if t.session != nil {
				t.session.lapse(time.Now())
			}
			t.watcher.review()
			t.hearExtensions()
			t.stay()
			if t.deadline(); allowed.holds() {
				if err = t.send(keepAliveComment); err == nil {
					err = t.flush()
				}
			} else {
				return true
			}
		case <-woken:
			if !allowed.holds() {
				return true
			}
			t.watcher.review()
			t.hearExtensions()
			next := t.proxy.visible(&t.scope)
			for _, method := range last.changedMethods(next) {
				if err = changed(method); err != nil {
					break
				}
			}
			if last = next; c != nil {
				c.learned(last)
			}
		}
		if err != nil {
			return err == errNotAllowed
		}
	}
}

// flushHead lets the client know that the stream is open.
func (t *turn) flushHead() error {
	t.deadline()
	return t.flush()
}
