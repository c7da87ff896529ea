package upstream

import (
	"errors"
	"slices"

	"mcpsidecar/proxy/rpc"
)

// This file is what a legacy server asks on its standing stream in the middle of a call. Nothing there says which call it is about: it is taken for one of the only exchange under way, or, where all exchanges are
// of one client, of the one that began last. Some servers have not even sent the head of their response by then, so that such an exchange is sent and read by a goroutine of its own.

// stray is a message of the standing stream that is taken for one of an exchange.
type stray struct {
	message rpc.Message
	link    *link
}

// maxStrays is how many strays an exchange leaves unread.
const maxStrays = 16

// strays is an exchange's second source of messages. All of it belongs to the exchange's goroutine, but for what the channels carry.
type strays struct {
	inbox chan stray    // whoever hears the standing stream leaves them here, and never waits
	more  chan struct{} // asks the reader for the next reading, with which the last message becomes invalid
	read  chan reading  // has room for one
	busy  bool          // a reading is to come
	first *stray        // came before the exchange had begun
	link  *link         // of the stray that was returned last; nil: the last message was none
}

// reading is what came of sending the request, or the next message of the response.
type reading struct {
	message rpc.Message
	failure *Failure
	begun   bool // the request was sent: this is no message
}

// straying makes room for strays if there may be any. What the exchange sends is then its own, where it may have to outlive the caller's memory.
func (c *Conn) straying(e *Exchange) {
	if known := c.server.known.Load(); !c.heard.Load() || known != nil && c.speaks(known) == Modern {
		return
	}
	e.strays = &strays{inbox: make(chan stray, maxStrays), more: make(chan struct{}, 1), read: make(chan reading, 1)}
	if c.cfg.Shared {
		e.call = e.call.clone()
	}
}

// clone is a call whose spans are its own.
func (c Call) clone() Call {
	c.Params, c.Meta = cloneMembers(c.Params), cloneMembers(c.Meta)
	c.ClientInfo, c.Capabilities = clone(c.ClientInfo), clone(c.Capabilities)
	return c
}

func cloneMembers(members []rpc.Member) []rpc.Member {
	own := slices.Clone(members)
	for i := range own {
		own[i].Raw, own[i].Value = clone(own[i].Raw), clone(own[i].Value)
	}
	return own
}

// begin sends the request. It returns when that is done, or when the server asks something before.
func (e *Exchange) begin() *Failure {
	s := e.strays
	if e.call.Alone && e.ctx.Err() != nil {
		return e.conn.server.ended(e.ctx, false)
	}
	if s == nil {
		return e.start()
	}
	if !e.conn.server.spawn(e.serveStrays) {
		e.strays = nil
		return e.conn.server.failure(Canceled, false, errClosed)
	}
	s.busy = true
	select {
	case r := <-s.read:
		s.busy = false
		return r.failure
	case asked := <-s.inbox:
		s.first = &asked
		return nil
	}
}

// serveStrays sends the request and reads the response, a message whenever it is asked for one.
func (e *Exchange) serveStrays() {
	s := e.strays
	failure := e.start()
	s.read <- reading{failure: failure, begun: true}
	for range s.more {
		m, failure := e.read()
		s.read <- reading{message: m, failure: failure}
	}
}

// next is one reading, or one stray.
func (s *strays) next() (r reading, astray bool) {
	s.link = nil
	if s.first != nil {
		return s.stray(*s.first), true
	}
	if !s.busy {
		s.more <- struct{}{}
		s.busy = true
	}
	select {
	case r = <-s.read:
		s.busy = false
		return r, false
	case asked := <-s.inbox:
		return s.stray(asked), true
	}
}

func (s *strays) stray(asked stray) reading {
	s.first, s.link = nil, asked.link
	return reading{message: asked.message}
}

// waiting says whether there is something that next would return at once; whole says so of the response where nobody is reading it.
func (s *strays) waiting(whole func() bool) bool {
	return s.first != nil || len(s.inbox) > 0 || len(s.read) > 0 || !s.busy && whole()
}

// endStrays waits for the reader, which is given up if it is reading, and declines what nobody has taken.
func (e *Exchange) endStrays() {
	s := e.strays
	if s == nil {
		return
	}
	e.settled.Store(true) // from now on it is left nothing
	if s.busy {
		e.ctx.end(errClosed)
		<-s.read
		s.busy = false
	}
	close(s.more)
	if s.first != nil {
		e.conn.leftOver(*s.first)
	}
	e.conn.mu.Lock() // whoever leaves something holds it
	defer e.conn.mu.Unlock()
	for {
		select {
		case left := <-s.inbox:
			e.conn.leftOver(left)
		default:
			return
		}
	}
}

// leftOver deals with a stray that nobody has taken: a question is declined, and what was told is told to nobody.
func (c *Conn) leftOver(s stray) {
	if s.message.Kind == rpc.Request {
		c.decline(s.link, s.message.ID)
	}
}

// passAsk passes on a request of the standing stream to whoever listens to that, or else to a call under way, or declines it. The message is its own.
func (c *Conn) passAsk(l *link, m rpc.Message) {
	if c.cfg.Ask == nil {
		c.decline(l, m.ID)
		return
	}
	if c.cfg.Ask(m, &Asked{conn: c, link: l, id: clone(m.ID)}) {
		return
	}
	if !c.leave(stray{m, l}) {
		c.decline(l, m.ID)
	}
}

// leave leaves a stray to the exchange that it is taken for. False: there is none, or several, or it takes no more.
func (c *Conn) leave(s stray) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	var last *Exchange
	for e := range c.open {
		switch {
		case e.strays == nil || e.settled.Load():
		case last == nil:
			last = e
		case c.cfg.Shared:
			return false
		case e.number > last.number:
			last = e
		}
	}
	if last == nil {
		return false
	}
	select {
	case last.strays.inbox <- s:
		return true
	default:
		return false
	}
}

// withdraw tells every exchange that may know of it that the server takes a request back. The message is its own.
func (c *Conn) withdraw(l *link, m rpc.Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for e := range c.open {
		if e.strays == nil || e.settled.Load() {
			continue
		}
		select {
		case e.strays.inbox <- stray{m, l}:
		default: // then the answer will be for nobody
		}
	}
}

// ErrBusy is the cause of a failure to make a call that had to be alone.
var ErrBusy = errors.New("another call is under way")

// alone says, under the lock, whether no call is under way.
func (c *Conn) alone() bool {
	for e := range c.open {
		if !e.private && !e.settled.Load() {
			return false
		}
	}
	return true
}
