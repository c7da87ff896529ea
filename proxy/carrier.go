package proxy

import (
	"errors"
	"time"
)

// This file is GET of a legacy client: a standing stream, or the way back to a stream that it has lost (2025-11-25, Resumability and Redelivery). What a client cannot have back is never silence: the answer to a request that is
// not kept any more is an error that says so, and a standing stream that cannot be taken up is a new one, which begins with what may have been missed of changed lists.

const lastEventHeader = "Last-Event-Id"

// openFeed opens the stream that the client wants.
func (t *turn) openFeed() *failure {
	name, after, f := t.lastEvent()
	if f == nil && t.draining && name.kind != answerStream {
		f = failDraining()
	}
	if f != nil {
		return f
	}
	if !t.session.openStream() {
		return failStreams()
	}
	defer t.session.closeStream()
	shelf := t.session.shelf
	var found *feed
	if name.kind != 0 {
		found = shelf.find(name)
	}
	switch {
	case name.kind == answerStream && found == nil:
		t.sayLost(name.request)
		return nil
	case name.kind == answerStream:
		t.carryAnswer(newCarrier(t, found, after))
		return nil
	}
	fresh := found == nil
	if fresh {
		after = 0
		if found = shelf.open(standingStream, "", t.version >= namesSince); found == nil {
			return failStreams()
		}
	}
	c := newCarrier(t, found, after)
	c.resumed, c.known = name.kind != 0, shelf.knows(found)
	t.carryStanding(c, fresh)
	return nil
}

// lastEvent reads Last-Event-ID; without one, the name has no kind. An id that is none of this session's is refused, whosever it is.
func (t *turn) lastEvent() (name streamName, after uint64, f *failure) {
	values := t.r.Header[lastEventHeader]
	if len(values) == 0 || t.version < namesSince || len(values) == 1 && values[0] == "" {
		return name, 0, nil
	}
	ok := len(values) == 1
	if ok {
		name, after, ok = t.proxy.ids.read(t.session.id, values[0])
	}
	if !ok || name.kind != standingStream && name.kind != answerStream {
		return name, 0, failRequest("Last-Event-ID is not of an event of this session")
	}
	return name, after, nil
}

// carrier is one connection that carries a feed.
type carrier struct {
	t       *turn
	feed    *feed
	more    chan struct{}
	upTo    uint64     // the last event that was sent
	allowed *allowance // set before anything is sent
	resumed bool
	known   visible // of a standing stream that is resumed: the lists that the client knows
	over    bool    // everything was sent
}

func newCarrier(t *turn, f *feed, after uint64) *carrier {
	return &carrier{t: t, feed: f, more: t.session.shelf.carry(f), upTo: after}
}

// What ends a connection from our side.
var (
	errDisplaced  = errors.New("another connection carries the stream now")
	errUnread     = errors.New("the client does not read")
	errNotAllowed = errors.New("what let the client in has ended")
)

// pump sends what there is. Of each batch it asks anew whether the client may have it: while one is on its way, the token can end and the server say more.
func (c *carrier) pump() error {
	t := c.t
	for !c.over {
		b := t.session.shelf.after(c.feed, c.more, c.upTo)
		if b.displaced {
			return errDisplaced
		}
		if b.lost {
			b.text = rpcEvent(lostAnswer(c.feed.request))
		}
		if len(b.text) > 0 {
			if !c.allowed.holds() {
				return errNotAllowed
			}
			t.deadline()
			if err := t.send(b.text); err != nil {
				return err
			}
			if err := t.flush(); err != nil {
				return err
			}
		}
		done := b.upTo == c.upTo || len(b.text) == 0
		c.upTo, c.over = b.upTo, b.over
		if done {
			return nil
		}
	}
	return nil
}

// carryStanding carries a standing stream until it ends. fresh: the client knows no id of it yet.
func (t *turn) carryStanding(c *carrier, fresh bool) {
	shelf := t.session.shelf
	t.watcher = t.session.watcherOf(t.proxy, true)
	open := func() error {
		t.beginStream()
		if fresh && t.version >= primedSince {
			t.prime(c.feed)
		}
		if err := t.flushHead(); err != nil {
			return err
		}
		if c.resumed {
			t.learnLists(anyList)
		}
		return c.pump()
	}
	graceful := t.follow(t.session.over, c, open, func(method string) error {
		if shelf.standing() != c.feed { // a message goes to one stream only
			return nil
		}
		return t.say(c, []byte(`{"jsonrpc":"2.0","method":"`+method+`"}`))
	})
	if graceful || c.feed.name == "" || t.version < primedSince && c.upTo == 0 { // the client cannot come back
		shelf.abandon(c.feed, c.more)
		return
	}
	shelf.leave(c.feed, c.more)
}

// say says something on a standing stream: of a legacy client by way of the feed, which c carries.
func (t *turn) say(c *carrier, message []byte) error {
	if c == nil {
		return t.event(message, true)
	}
	if _, event, _ := t.session.shelf.add(c.feed, message); event == nil {
		return errUnread
	}
	return nil
}

func (c *carrier) learned(known visible) { c.t.session.shelf.learned(c.feed, c.more, known) }

// carryAnswer carries the rest of an answer. That is work which a draining program waits for.
func (t *turn) carryAnswer(c *carrier) {
	defer t.session.shelf.leave(c.feed, c.more)
	t.leaveBusy()
	t.leaveRoom()
	t.proxy.config.Metrics.Streams(1)
	defer t.proxy.config.Metrics.Streams(-1)
	allowed := t.stayAllowed()
	defer allowed.leave()
	c.allowed = allowed
	t.beginStream()
	if t.flushHead() != nil || c.pump() != nil {
		return
	}
	ticker := time.NewTicker(keepAlive)
	defer ticker.Stop()
	for !c.over {
		var err error
		select {
		case <-t.ctx.Done():
			return
		case <-t.session.over:
			return
		case <-allowed.place.ended:
			return
		case <-allowed.expired:
			if !allowed.holds() {
				return
			}
		case <-allowed.place.woken:
			if !allowed.holds() {
				return
			}
		case <-c.more:
			err = c.pump()
		case <-ticker.C:
			if !allowed.holds() {
				return
			}
			t.deadline()
			if err = t.send(keepAliveComment); err == nil {
				err = t.flush()
			}
		}
		if err != nil {
			return
		}
	}
}

// sayLost answers whoever comes back for an answer that is not kept any more. Without the id of its request nothing can be said to it.
func (t *turn) sayLost(request string) {
	t.beginStream()
	t.deadline()
	if request != "" {
		t.send(rpcEvent(lostAnswer(request)))
	}
	t.flush()
}

// rpcEvent is one message as an event without an id.
func rpcEvent(message []byte) []byte { return appendEvent(nil, "", 0, [][]byte{message}) }

// newShelf makes the shelf of a session.
func (p *Proxy) newShelf(user, session string) *shelf {
	return &shelf{ids: &p.ids, session: session, limits: &p.config.Resuming, shares: shares{p.keptOf.of(user), p.kept}, now: p.now}
}
