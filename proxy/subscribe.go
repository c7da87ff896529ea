package proxy

import (
	"errors"
	"strings"

	"mcpsidecar/policy"
	"mcpsidecar/proxy/rpc"
	"mcpsidecar/proxy/upstream"
)

// watchResource answers resources/subscribe of a legacy client: like a read, it finds the server, asks the policy, and only then has anything to do with the server.
func (t *turn) watchResource(p params) {
	_, name, f := member(p.rest, "uri")
	if f == nil && len(name) > maxURI {
		f = failInvalidParams("uri is too long")
	}
	if f == nil {
		f = t.checkName(name, false)
	}
	if f != nil {
		t.fail(f)
		return
	}
	t.recordCall(name)
	to, original := t.resourceOf(name, false)
	if t.reject(&to, policy.Resources, original, t.failUnknownResource(name)) {
		return
	}
	if err := t.proxy.config.Audit.Begin(&t.record); err != nil {
		t.fail(failAudit())
		return
	}
	watcher := t.session.watcherOf(t.proxy, true)
	if watcher == nil {
		t.fail(failSession())
		return
	}
	if said := to.way.lists.offers.Load(); said != nil && said.modern && !said.subscriptions {
		t.session.conn(t.ctx, to.server.link, to.way) // in which a server of both eras may tell of changes
	}
	if err := watcher.subscribe(t.passing(to.server), t.watchOf(name, to.server.slug, original)); err != nil {
		t.notWatched(err)
		return
	}
	if err := t.proxy.keep(t.session); err != nil {
		watcher.unsubscribe(name)
		t.notKept(err)
		return
	}
	t.result("")
}

// notKept says that what was asked for is not done, because it would be lost with the process.
func (t *turn) notKept(err error) {
	switch {
	case errors.Is(err, errFinished):
		t.fail(failSession())
		return
	case errors.Is(err, errWatches):
		t.fail(failWatches())
		return
	}
	t.proxy.log.Warn("what a session asks for could not be kept", "request_id", t.requestID(), "user", t.scope.identity.User, "error", err)
	t.fail(failMemory())
}

// watchOf is a subscription of this request.
func (t *turn) watchOf(name, slug, uri string) *watch {
	return &watch{name: strings.Clone(name), slug: slug, uri: uri, question: t.scope.question}
}

// notWatched says why there is no subscription.
func (t *turn) notWatched(err error) {
	var f *upstream.Failure
	switch {
	case errors.Is(err, errWatches):
		t.fail(failWatches())
	case errors.Is(err, errAudit):
		t.fail(failAudit())
	case errors.Is(err, errNoWatch):
		t.fail(failNoWatch(t.server.slug))
	case errors.Is(err, ErrSignIn):
		t.offerSignIn(t.server, nil, false)
	case errors.As(err, &f) && f.Kind == upstream.Refused && f.Refusal != nil:
		t.answerError(t.errorFor(upstream.Legacy, f.Refusal)) // what a modern server says to a whole stream is no answer to this
	default:
		t.ended(t.ctx, err)
	}
}

// unwatchResource answers resources/unsubscribe. Nothing is said of whether there was a subscription: afterwards there is none.
func (t *turn) unwatchResource(p params) {
	_, name, f := member(p.rest, "uri")
	if f == nil {
		f = t.checkName(name, false)
	}
	if f != nil {
		t.fail(f)
		return
	}
	if watcher := t.session.watcherOf(t.proxy, false); watcher != nil {
		watcher.unsubscribe(name)
		if err := t.proxy.keep(t.session); err != nil {
			t.notKept(err)
			return
		}
	}
	t.result("")
}

// tellNews tells the client of resources that are updated and of which it may know; if this stream cannot, another one may.
func (t *turn) tellNews(allowed *allowance, c *carrier) error {
	w := t.watcher
	for {
		name, what, any := w.take()
		if !any {
			return nil
		}
		if what.of.task != nil {
			if err := t.tellTask(w, what); err != nil {
				return err
			}
			continue
		}
		if !w.may(what, &t.scope) {
			continue
		}
		err := errNotAllowed
		if c != nil || allowed.holds() { // a carrier asks for itself
			err = t.say(c, updated(name, w.tag))
		}
		if err == nil && c != nil {
			err = c.pump() // so that it is the connection that sets the pace, and what comes meanwhile is one with what waits
		}
		if err != nil {
			w.note(what.of, what.link, what.uri)
			return err
		}
	}
}

// updated is the notification that a resource is another.
func updated(name, tag string) []byte {
	text := rpc.AppendString([]byte(`{"jsonrpc":"2.0","method":"`+methodUpdated+`","params":{"uri":`), name)
	if tag != "" {
		text = append(append(text, ','), tag...)
	}
	return append(text, `}}`...)
}

// mayWatch says whether subscriptions are offered to this caller: unless it is known that none of its servers has any. No server is asked for that.
func (t *turn) mayWatch() bool {
	for _, s := range t.proxy.allowedServers(&t.scope, policy.Resources) {
		if s.link == nil {
			continue
		}
		way, _ := s.link.of(done, t.scope.identity.User)
		if said := way.lists.offers.Load(); said == nil || said.subscriptions {
			return true
		}
	}
	return false
}

// beginHearing counts a standing stream of the user in, or says that there are too many.
func (t *turn) beginHearing() bool {
	if t.proxy.hearing.enter(t.scope.identity.User) == nil {
		t.fail(failHearing())
		return false
	}
	return true
}

func (t *turn) endHearing() { t.proxy.hearing.leave(t.scope.identity.User) }

// stay keeps what this user alone needs from being forgotten while a stream stands: the ways to servers that go with the user's own accounts.
func (t *turn) stay() {
	for _, s := range t.proxy.allowedServers(&t.scope, policy.Tools) {
		if s.link != nil {
			s.link.of(done, t.scope.identity.User)
		}
	}
}
