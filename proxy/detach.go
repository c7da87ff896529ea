package proxy

import (
	"bytes"
	"net/http"

	"mcpsidecar/internal/front"
	"mcpsidecar/proxy/rpc"
)

// detach answers with a stream that stands for long. It does so on a goroutine of its own where it can (front.Detach says what that saves), with a turn of its own: the one that served the request so far, and its memory, are free.
func (t *turn) detach(answer func(*turn)) {
	own := t.twin()
	t.proxy.work.hold()
	if own == nil || !front.Detach(t.r, func() { own.stand(answer) }) {
		t.proxy.work.end()
		answer(t)
		return
	}
	t.detached, t.busy = true, nil
}

// stand answers, and ends what serve and post would have.
func (t *turn) stand(answer func(*turn)) {
	defer t.proxy.work.end()
	if t.r.Method == http.MethodPost {
		defer t.account()
	}
	defer t.leaveBusy()
	defer t.leaveRoom()
	answer(t)
}

// twin is a turn that needs nothing of this one's memory. nil: there is none, of a message that could be read only once.
func (t *turn) twin() *turn {
	own := &turn{
		proxy: t.proxy, ctx: t.ctx, w: t.w, r: t.r, scope: t.scope, started: t.started, room: rooms.Get().(*room),
		modern: t.modern, draining: t.draining, session: t.session, version: t.version, busy: t.busy, weight: t.weight, server: t.server, bytesIn: t.bytesIn,
	}
	if t.body == nil {
		return own
	}
	message, err := rpc.Read(bytes.Clone(t.body))
	own.message = message
	p, f := own.readParams()
	if err != nil || f != nil {
		return nil
	}
	own.meta = p.meta
	own.meta.rest = nil // was in the room
	return own
}
