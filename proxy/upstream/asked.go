package upstream

import (
	"context"

	"mcpsidecar/proxy/rpc"
)

// Asked is a request of a legacy server that waits for its answer. Safe for concurrent use; it should be answered once.
type Asked struct {
	conn *Conn
	link *link
	id   []byte
}

// Asked takes a request of the server that Next returned, so that it can be answered later, from anywhere.
func (e *Exchange) Asked(m *rpc.Message) *Asked {
	if e.strays != nil && e.strays.link != nil {
		return &Asked{conn: e.conn, link: e.strays.link, id: clone(m.ID)}
	}
	return &Asked{conn: e.conn, link: e.link, id: clone(m.ID)}
}

// ID is the raw id that the server gave its request.
func (a *Asked) ID() []byte { return a.id }

// Reply answers: result or failure, the other is nil.
func (a *Asked) Reply(ctx context.Context, result []byte, failure *rpc.Error) error {
	b := new(body)
	b.reply(a.id, result, failure)
	if f := a.conn.deliver(ctx, a.link, b, ""); f != nil {
		return f
	}
	return nil
}

// Refuse answers with an error and waits for nothing. If very many are under way, the server hears nothing.
func (a *Asked) Refuse(failure rpc.Error) {
	b := new(body)
	b.reply(a.id, nil, &failure)
	a.conn.replyAside(a.link, b)
}

// Hold says that the server waits for us, and not we for it: until Resume, which may be called from any goroutine, as often as Hold was, no clock runs but that of how long a call may be held in all.
func (e *Exchange) Hold() { e.clock.hold() }

// Resume ends a Hold.
func (e *Exchange) Resume() { e.clock.resume() }

// Detach lets an exchange outlive the context and the memory that Do was given, while nobody calls Next; until Attach, Close alone ends it, and the time it may be held. False: it is over, or the server may not have all
// of the request yet, and then nothing has changed.
func (e *Exchange) Detach() bool {
	own := e.strays != nil && e.conn.cfg.Shared // then it has no memory of others
	if e.over != nil || !own && (e.strays != nil || !e.body.wasSent()) || !e.detach() {
		return false
	}
	if !own {
		e.body.release()
		e.call = Call{Method: e.call.Method, Progress: e.call.Progress}
	}
	e.aside.Store(true)
	e.clock.hold()
	return true
}

// Keeps is how many bytes of the request a detached exchange goes on to hold, but for what every one does.
func (e *Exchange) Keeps() (size int) {
	for _, m := range e.call.Params {
		if len(m.Value) > inlineSpan {
			size += len(m.Value)
		}
	}
	for _, m := range e.call.Meta {
		if len(m.Value) > inlineSpan {
			size += len(m.Value)
		}
	}
	return size
}

// Attach ends a Detach: the exchange ends with this context from now on.
func (e *Exchange) Attach(ctx context.Context) {
	e.aside.Store(false)
	e.clock.resume()
	e.follow(ctx)
}

// Tell sends a notification without params to a legacy server that knows this session. Others have not asked to hear of it.
func (c *Conn) Tell(ctx context.Context, method string) {
	l := c.current.Load()
	if l == nil || l.era == Modern || !c.stillValid(l) {
		return
	}
	b := new(body)
	b.notification(method, nil)
	if failure := c.deliver(ctx, l, b, method); failure != nil {
		c.server.cfg.Logger.Debug("a server was not told of a change", "server", c.server.cfg.Slug, "error", failure)
	}
}
