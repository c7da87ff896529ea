package proxy

import (
	"context"
	"errors"

	"mcpsidecar/proxy/rpc"
	"mcpsidecar/proxy/upstream"
)

// This file is modern clients at legacy servers that ask on their standing stream. Nothing there says which call it is about, so that a question is taken for one of the only call under way in its session; where several
// are, it is declined, and from then on each call of a client that can be asked has a session for itself, as long as there are enough. Whose question it is is never guessed: two calls of one caller may be of two chats.

// maxApart is how many calls of one modern client have a session for themselves at the same time, at one server.
const maxApart = 16

// askable makes a modern client's way to the server. Where the client can be asked something, the server's standing stream is listened to as well.
func (l *link) askable(of taskCaller, config upstream.ConnConfig) *upstream.Conn {
	if !answers(config.Capabilities) {
		return l.upstream.Conn(config)
	}
	config.Ask = func(m rpc.Message, asked *upstream.Asked) bool {
		if l.p.vigils.poseAside(of, &m, asked) {
			return true
		}
		l.asksAside.Store(true)
		return false
	}
	conn := l.upstream.Conn(config)
	l.p.goroutines.Go(func() { conn.Listen(l.p.background) })
	return conn
}

// do makes a call, in a session for itself if the server may ask outside of it.
func (t *turn) do(ctx context.Context, to *target, conn *upstream.Conn, out *upstream.Call) (*upstream.Conn, *upstream.Exchange, error) {
	l := to.server.link
	mine := t.task != nil && !t.task.played // a task is there for all requests of its client
	if t.session == nil && !mine && l.asksAside.Load() && answers(t.meta.capabilities) {
		alone, identity := *out, t.scope.identity
		alone.Alone = true
		for apart := range maxApart {
			own := t.proxy.callers.conn(t.ctx, identity.User, identity.TokenID, t.meta.capabilities, l, to.way, apart)
			ex, err := own.Do(ctx, alone)
			if !errors.Is(err, upstream.ErrBusy) {
				return own, ex, err
			}
		}
	}
	ex, err := conn.Do(ctx, *out)
	return conn, ex, err
}
