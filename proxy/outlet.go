package proxy

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// This file is how the answer to a legacy client goes out: over the request's own connection while that lasts, and into a feed, from which the client can have it when it comes back. To lose a connection is not to cancel
// (2025-11-25, Sending Messages to the Server), so the request goes on without its client, within bounds.

// outlet is what a turn needs for it.
type outlet struct {
	cancel context.CancelFunc // ends the request under way; fixed before others see the turn

	mu      sync.Mutex // guards what follows, and what is written in the middle of a request; attend writes too
	final   bool       // the answer is being written
	gone    bool       // the connection carries nothing any more
	feed    *feed      // nil: there is none, or not yet
	retry   int64      // milliseconds that the client is asked to wait before it comes back; 0: the default
	written time.Time  // when something was written last
	alone   time.Time  // since when nobody waits for the answer
	orphans *atomic.Int64
	belated int // how often it was found alone while the program ends
}

const (
	namesSince  = "2025-03-26" // the first revision whose events have ids
	primedSince = "2025-11-25" // and whose streams begin with an event without data
	comeBackIn  = 1000         // milliseconds
	maxBelated  = 2            // times attendEvery that a client has to come back while the program ends
)

// claim says that the answer is written from now on, by the request's own goroutine.
func (t *turn) claim() {
	if t.session == nil {
		return
	}
	t.out.mu.Lock()
	t.out.final = true
	t.out.mu.Unlock()
}

// startStream makes the answer a stream of events, if it is not one yet.
func (t *turn) startStream() {
	t.out.mu.Lock()
	defer t.out.mu.Unlock()
	t.beginStream()
}

// beginStream does that for whoever holds the outlet.
func (t *turn) beginStream() {
	if t.streaming {
		return
	}
	t.streaming = true
	header := t.w.Header()
	header["Content-Type"] = eventType
	header["X-Accel-Buffering"] = noBuffer
	t.w.WriteHeader(http.StatusOK)
	if t.session == nil || t.version < namesSince || t.message.ID == nil {
		return
	}
	t.out.feed = t.session.shelf.open(answerStream, nameable(t.message.ID), true)
	if t.out.feed != nil && t.version >= primedSince {
		t.prime(t.out.feed)
	}
}

// prime tells the client after what it can resume, before there is anything.
func (t *turn) prime(f *feed) {
	retry := t.out.retry
	if retry == 0 {
		retry = comeBackIn
	}
	t.deadline()
	t.send(appendPriming(make([]byte, 0, 128), f.name, retry))
}

// eventOf writes one message in pieces as an event; flush says that nothing more is known to come at once. An error means that it did not reach the client, and never will.
func (t *turn) eventOf(flush bool, pieces ...[]byte) error {
	t.out.mu.Lock()
	defer t.out.mu.Unlock()
	if t.out.feed != nil {
		t.feedEvent(flush, pieces)
		return nil
	}
	return t.directEvent(flush, pieces)
}

func (t *turn) directEvent(flush bool, pieces [][]byte) error {
	t.deadline()
	if t.session != nil {
		t.out.written = time.Now()
	}
	if err := t.writeEvent(pieces...); err != nil {
		return err
	}
	if flush {
		return t.flush()
	}
	return nil
}

// feedEvent writes an event of a feed, unless the client is gone, or has come back elsewhere.
func (t *turn) feedEvent(flush bool, pieces [][]byte) {
	f := t.out.feed
	number, event, elsewhere := t.session.shelf.add(f, pieces...)
	if elsewhere {
		t.hangUp()
	}
	if t.out.gone {
		return
	}
	t.deadline()
	t.out.written = time.Now()
	var err error
	if event != nil {
		err = t.send(event)
	} else if err = t.send(appendEventHead(nil, f.name, number)); err == nil {
		err = t.writeData(pieces)
	}
	if err == nil && flush {
		err = t.flush()
	}
	t.out.gone = err != nil
}

// hangUp closes the request's own connection in good order, and lets the request go on.
func (t *turn) hangUp() {
	if t.out.gone {
		return
	}
	t.out.gone = true
	if !t.r.ProtoAtLeast(1, 1) || t.flush() != nil {
		return
	}
	conn, _, err := http.NewResponseController(t.w).Hijack()
	if err != nil {
		return // then it stays open, with nothing on it, until the request ends
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Second))
	conn.Write([]byte("0\r\n\r\n")) // the end of a chunked answer
}

// Polled hears that the server has ended its connection in the middle of a call, and wants to be asked again after some time. The client learns the same, and comes back for whatever comes of that.
func (t *turn) Polled(retry time.Duration) {
	t.out.mu.Lock()
	defer t.out.mu.Unlock()
	if t.session == nil || t.version < primedSince || !accepts(t.r.Header, "text/event-stream") {
		return
	}
	t.out.retry = retry.Milliseconds()
	if t.streaming && t.out.feed != nil && !t.out.gone {
		t.prime(t.out.feed)
	}
	t.beginStream()
	if t.out.feed != nil {
		t.hangUp()
	}
}

// attend looks after a request that takes long: that its client can come back for the answer, that its connection is not taken for dead, and that it does not go on without its client for too long. It returns what has to be
// done on the connection, or nil. The outlet is held, also while that is done.
func (t *turn) attend(now time.Time) (do func()) {
	if t.out.final {
		return nil
	}
	if t.r.Context().Err() != nil {
		t.out.gone = true
	}
	switch elsewhere := t.out.feed != nil && t.session.shelf.elsewhere(t.out.feed); {
	case elsewhere:
		t.out.alone = time.Time{}
		if !t.out.gone {
			return t.hangUp
		}
	case t.out.gone:
		t.goOnAlone(now)
	case !accepts(t.r.Header, "text/event-stream"):
	case t.streaming:
		if time.Since(t.out.written) >= keepAlive {
			return t.keepStream
		}
	default:
		if age := now.Sub(t.started); t.version >= primedSince && age >= t.proxy.config.Resuming.Prime || age >= keepAlive {
			return t.keepStream
		}
	}
	return nil
}

// goOnAlone lets a request without its client go on, if there are not too many and it is not for too long.
func (t *turn) goOnAlone(now time.Time) {
	p := t.proxy
	if t.out.alone.IsZero() {
		t.out.alone = now
	}
	if t.out.orphans == nil {
		t.out.orphans = p.orphans.enter(t.scope.identity.User)
	}
	if p.work.draining.Load() {
		t.out.belated++
	}
	if t.out.orphans == nil || now.Sub(t.out.alone) >= p.config.Resuming.Time || t.out.belated > maxBelated {
		t.out.cancel()
	}
}

// belated says whether a request that comes when no new work is taken may belong to work that is under way in its session: an answer, a notification, or the way back to a lost connection.
func (t *turn) belated() bool {
	values := t.r.Header[sessionHeader]
	if len(values) != 1 {
		return false
	}
	what, err := t.proxy.sealer.open(values[0])
	if err != nil {
		return false
	}
	value, ok := t.proxy.sessions.live.Load(what.ID)
	t.draining = ok && value.(*session).busy()
	return t.draining
}

// keepAlive shows that the stream lives.
func (t *turn) keepAlive() {
	t.out.mu.Lock()
	defer t.out.mu.Unlock()
	if !t.out.gone {
		t.keepStream()
	}
}

func (t *turn) keepStream() {
	t.beginStream()
	t.deadline()
	t.out.written = time.Now()
	if t.send(keepAliveComment) != nil || t.flush() != nil {
		t.out.gone = true
	}
}

// endOutlet says that nothing more comes.
func (t *turn) endOutlet() {
	if t.out.orphans != nil {
		t.proxy.orphans.leave(t.out.orphans)
	}
	if f := t.out.feed; f != nil {
		sent := !t.out.gone && t.flush() == nil && t.r.Context().Err() == nil
		t.session.shelf.finish(f, sent)
	}
}

// attend looks after the requests under way, and the streams, of all sessions.
func (p *Proxy) attend() {
	ticker := time.NewTicker(attendEvery)
	defer ticker.Stop()
	for {
		select {
		case <-p.background.Done():
			return
		case <-ticker.C:
			pressed := p.kept.bytes.Load() > p.config.Resuming.Overall/2
			p.sessions.live.Range(func(_, value any) bool {
				s := value.(*session)
				s.attend(p)
				if pressed {
					s.shelf.press()
				}
				return true
			})
		}
	}
}

// attendEvery is how often.
const attendEvery = time.Second

func (s *session) attend(p *Proxy) {
	now := p.now()
	s.mu.Lock()
	for _, t := range s.calls {
		if !t.out.mu.TryLock() { // something is being written
			continue
		}
		if do := t.attend(now); do == nil {
			t.out.mu.Unlock()
		} else {
			p.goroutines.Go(func() { // a client that reads nothing must not keep others waiting
				defer t.out.mu.Unlock()
				do()
			})
		}
	}
	s.mu.Unlock()
	if s.shelf.expire(now) && s.shelf.standing() == nil {
		s.silence()
	}
}

// orphans bounds the requests that go on without their clients.
type orphans struct {
	perUser *busy
	limit   int64
	all     atomic.Int64
}

func newOrphans(limits Resuming) *orphans {
	return &orphans{perUser: newBusy(int64(limits.PerUser)), limit: int64(limits.All)}
}

// enter counts one in; nil: there are too many.
func (o *orphans) enter(user string) *atomic.Int64 {
	if o.all.Add(1) <= o.limit {
		if count := o.perUser.enter(user); count != nil {
			return count
		}
	}
	o.all.Add(-1)
	return nil
}

func (o *orphans) leave(count *atomic.Int64) {
	count.Add(-1)
	o.all.Add(-1)
}
