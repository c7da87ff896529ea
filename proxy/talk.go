package proxy

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"mcpsidecar/internal/trace"
	"mcpsidecar/proxy/rpc"
	"mcpsidecar/proxy/upstream"
)

// patience is what a call looks after while a legacy client is asked something: that the stream is not taken for dead, that nobody waits for ever, and that the program can end.
type patience struct {
	t     *turn
	beat  *time.Ticker
	due   *time.Timer
	over  <-chan struct{} // closed when the program ends; nil: that has been dealt with
	count *atomic.Int64   // of the user's calls that wait for people, who are no work
	room  [4]*question
	open  []*question // posed by this call; somebody may have taken them
}

// wait begins to wait; nil: too many calls of this user do.
func (t *turn) wait() *patience {
	count := t.proxy.waiting.enter(t.scope.identity.User)
	if count == nil {
		return nil
	}
	t.busy.Add(-t.weight)
	w := &patience{t: t, beat: time.NewTicker(keepAlive), due: time.NewTimer(t.proxy.config.Asking.Time), over: t.proxy.hub.done, count: count}
	w.open = w.room[:0]
	return w
}

// pose asks the client on the call's stream. False: it could not be asked.
func (w *patience) pose(q *question, method string, params []byte) bool {
	q.due = time.Now().Add(w.t.proxy.config.Asking.Time)
	if w.over == nil || !w.t.session.pose(q) {
		return false
	}
	if len(w.open) == 0 {
		w.due.Reset(w.t.proxy.config.Asking.Time)
	}
	w.open = append(w.open, q)
	w.t.session.noteElicitation(q.link, method, params)
	w.t.traced.span.Event("asked", trace.Text(trace.Method, askedLabel(method)))
	w.t.startStream()
	return w.t.event(q.request(method, params), true) == nil
}

// dueNow ends the questions that have waited for too long, and says whether there were any.
func (w *patience) dueNow(now time.Time) (any bool) {
	rest := w.open[:0]
	next := w.t.proxy.config.Asking.Time
	for _, q := range w.open {
		if left := q.due.Sub(now); left > 0 {
			rest, next = append(rest, q), min(next, left)
			continue
		}
		any = w.end(q, sayTooLate) || any
	}
	w.open = rest
	w.due.Reset(next)
	return any
}

// end takes a question back from the client and, unless why is empty, answers the server.
func (w *patience) end(q *question, why string) bool {
	if w.t.session.take(q.id) == nil {
		return false
	}
	w.t.session.remember(q.id)
	if why != "" {
		q.refuse(why)
	}
	w.t.event(q.withdrawal(), true)
	return true
}

// endAll ends every question that is still open.
func (w *patience) endAll(why string) {
	for _, q := range w.open {
		w.end(q, why)
	}
	w.open = w.open[:0]
}

func (w *patience) stop() {
	w.beat.Stop()
	w.due.Stop()
	w.count.Add(-1)
	w.t.busy.Add(w.t.weight)
}

// talk is a call of a legacy client during which a legacy server has asked something: from then on there is more to look after than what the server says, so that another goroutine reads that.
type talk struct {
	*patience
	ex   *upstream.Exchange
	more chan struct{} // asks for the next message, with which the last one becomes invalid
	read chan reading
}

type reading struct {
	message rpc.Message
	err     error
}

// ask passes a legacy server's request on to a legacy client, or answers for a client that cannot.
func (t *turn) ask(ex *upstream.Exchange, m *rpc.Message) {
	asked := ex.Asked(m)
	if refusal := t.session.able(t.server.link, m); refusal != nil && !t.mayAsk(m.Method) {
		asked.Refuse(*refusal)
		return
	}
	if !accepts(t.r.Header, "text/event-stream") {
		asked.Refuse(*notAble(m.Method))
		return
	}
	if t.talk == nil {
		w := t.wait()
		if w == nil {
			asked.Refuse(rpc.Error{Code: codeInternal, Message: sayTooMany})
			return
		}
		t.setTalk(startTalk(w, ex))
	}
	q := t.session.question(t.server.link, m, asked)
	q.held = ex
	ex.Hold()
	if !t.talk.pose(q, m.Method, t.related(m.Params)) {
		if t.session.take(q.id) == nil { // with which the clock would go on
			ex.Resume()
		}
		asked.Refuse(rpc.Error{Code: codeInternal, Message: sayTooMany})
	}
}

// setTalk lets Polled know, too, whose goroutine may be another one's.
func (t *turn) setTalk(k *talk) {
	t.out.mu.Lock()
	defer t.out.mu.Unlock()
	t.talk = k
}

func startTalk(w *patience, ex *upstream.Exchange) *talk {
	k := &talk{patience: w, ex: ex, more: make(chan struct{}), read: make(chan reading)}
	go func() {
		defer close(k.read)
		for range k.more {
			m, err := ex.Next()
			k.read <- reading{m, err}
		}
	}()
	return k
}

// next is Exchange.Next. When the call is over, so are its questions.
func (k *talk) next() (rpc.Message, error) {
	k.more <- struct{}{}
	for {
		select {
		case r := <-k.read:
			if r.err != nil || r.message.Kind == rpc.Response || r.message.Kind == rpc.ErrorResponse {
				k.endAll(sayGone)
			}
			return r.message, r.err
		case <-k.beat.C:
			k.t.keepAlive()
		case <-k.due.C:
			k.dueNow(time.Now())
		case <-k.over:
			k.over = nil
			k.endAll(sayDraining)
		}
	}
}

// close ends the reader, which waits to be asked for more.
func (k *talk) close() {
	k.endAll(sayGone)
	close(k.more)
	<-k.read
	k.stop()
}

// withdrawn hears that a server takes a request back.
func (t *turn) withdrawn(params []byte) {
	id := find(params, "requestId")
	if id == nil {
		return
	}
	t.posed = slices.DeleteFunc(t.posed, func(q posed) bool { return string(q.asked.ID()) == string(id) })
	if t.talk == nil {
		return
	}
	for _, q := range t.talk.open {
		if string(q.asked.ID()) == string(id) {
			t.talk.end(q, "")
		}
	}
}

// errNothingMore says that nothing has come since the client was to be asked something.
var errNothingMore = errors.New("nothing more has come")

// nextOf is the next message of a call. What a modern client is asked it is asked at once, as soon as nothing else is here.
func (t *turn) nextOf(ex *upstream.Exchange) (rpc.Message, error) {
	switch {
	case t.talk != nil:
		return t.talk.next()
	case len(t.posed) == 0:
		return ex.Next()
	case len(t.posed) < maxInputs:
		if m, ok, err := ex.Arrived(); ok {
			return m, err
		}
	}
	return rpc.Message{}, errNothingMore
}

// finished lets go of a call's exchange, unless it is parked: then it is not this request's any more.
func (t *turn) finished(ex *upstream.Exchange) {
	if t.talk != nil {
		t.talk.close()
		t.setTalk(nil)
	}
	if t.parked {
		return
	}
	ex.Close()
	t.endOutbound()
}

// converse relays an exchange, and then those by which a modern server goes on once it has what it asked for.
func (t *turn) converse(ctx context.Context, to *target, conn *upstream.Conn, ex *upstream.Exchange, out *upstream.Call) {
	wanted := t.carry(ctx, to, conn, ex, out)
	for round := 1; wanted != nil; round++ {
		params, ok := t.play(ctx, round, wanted, out.Params)
		if !ok {
			return
		}
		out.Params = params
		sending, call := t.openOutbound(ctx, to, out)
		ex, err := conn.Do(sending, *call)
		t.sentOutbound(ex, err)
		if err != nil {
			t.ended(ctx, err)
			return
		}
		wanted = t.carry(ctx, to, conn, ex, out)
	}
	if t.task != nil && t.task.played && t.task.theirs != "" && !t.task.over {
		t.playTask(ctx, to, conn, out)
	}
}

func (t *turn) carry(ctx context.Context, to *target, conn *upstream.Conn, ex *upstream.Exchange, out *upstream.Call) *inputs {
	defer t.finished(ex)
	if t.waitsForTask() || t.task != nil && t.task.theirs != "" && t.task.played {
		ex.Hold() // the server has nothing to say before the task's end, and that is no sign of trouble
	}
	return t.relay(ctx, to, conn, ex, out)
}
