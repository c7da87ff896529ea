package proxy

import (
	"context"
	"slices"
	"sync"
	"time"

	"mcpsidecar/proxy/rpc"
	"mcpsidecar/proxy/upstream"
)

// parkedCall is a call at a legacy server that waits for an answer of a modern client, while no request of the client is under way. It belongs to the parking until somebody takes it, who then ends it.
type parkedCall struct {
	user  string
	asked *upstream.Asked
	input input // what the client was asked
	conn  *upstream.Conn
	ex    *upstream.Exchange // detached
	link  *link              // held
	timer *time.Timer        // ends it
}

func (c *parkedCall) size() int { return len(c.input.params) + len(c.input.method) }

// cancel ends the call at the server.
func (c *parkedCall) cancel(why string) {
	c.asked.Refuse(rpc.Error{Code: codeInternal, Message: why})
	c.ex.Close()
	c.link.release()
}

// parking holds the calls that are parked, within bounds.
type parking struct {
	limits Asking

	mu      sync.Mutex
	calls   map[string]*parkedCall // by an id that only a sealed ticket names
	users   map[string]int         // calls of each; without zeros
	bytes   int
	closed  bool
	running sync.WaitGroup // of calls that end for lack of time
}

func newParking(limits Asking) *parking {
	return &parking{limits: limits, calls: map[string]*parkedCall{}, users: map[string]int{}}
}

// put parks a call and returns its id; empty: there is no room.
func (p *parking) put(c *parkedCall) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.calls) >= p.limits.Overall || p.users[c.user] >= p.limits.PerUser || p.bytes+c.size() > p.limits.Bytes {
		return ""
	}
	id := newSessionID()
	p.calls[id] = c
	p.users[c.user]++
	p.bytes += c.size()
	c.timer = time.AfterFunc(p.limits.Time, func() { p.expire(id) })
	return id
}

// take takes a call out; nil: it is not here.
func (p *parking) take(id string) *parkedCall {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.remove(id)
}

// remove is take, under the lock.
func (p *parking) remove(id string) *parkedCall {
	c := p.calls[id]
	if c == nil {
		return nil
	}
	c.timer.Stop()
	delete(p.calls, id)
	if p.users[c.user]--; p.users[c.user] == 0 {
		delete(p.users, c.user)
	}
	p.bytes -= c.size()
	return c
}

func (p *parking) expire(id string) {
	p.mu.Lock()
	c := p.remove(id)
	if c != nil {
		p.running.Add(1)
		defer p.running.Done()
	}
	p.mu.Unlock()
	if c != nil {
		c.cancel(sayTooLate)
	}
}

// close cancels everything.
func (p *parking) close() {
	p.mu.Lock()
	p.closed = true
	var all []*parkedCall
	for id := range p.calls {
		all = append(all, p.remove(id))
	}
	p.mu.Unlock()
	for _, c := range all {
		c.cancel(sayDraining)
	}
	p.running.Wait()
}

// askKey is the name that a legacy server's question has for a modern client.
const askKey = "question"

// park answers a modern client with what a legacy server asks in the middle of a call, and lets the call wait for the client's next request. False: the server was answered, and the call goes on.
func (t *turn) park(to *target, conn *upstream.Conn, ex *upstream.Exchange, m *rpc.Message, out *upstream.Call) bool {
	asked := ex.Asked(m)
	if refusal := able(t.meta.capabilities, m.Method, m.Params); refusal != nil {
		asked.Refuse(*refusal)
		return false
	}
	wanted := input{key: askKey, method: m.Method, params: slices.Clone(orEmpty(m.Params))} // some clients cannot read a question without params
	c := &parkedCall{user: t.scope.identity.User, asked: asked, input: wanted, conn: conn, ex: ex, link: to.server.link}
	if !ex.Detach() {
		asked.Refuse(rpc.Error{Code: codeInternal, Message: "the client cannot be asked before it has sent its request"})
		return false
	}
	if !t.leave(to, c, out) {
		ex.Attach(t.passing(to.server))
		asked.Refuse(rpc.Error{Code: codeInternal, Message: "too many calls wait for an answer"})
		return false
	}
	return true
}

// leave parks a call and tells the client how to go on. False: there is no room.
func (t *turn) leave(to *target, c *parkedCall, out *upstream.Call) bool {
	c.link.uses.Add(1) // on top of this request's
	id := t.proxy.parking.put(c)
	if id == "" {
		c.link.release()
		return false
	}
	t.parked = true
	k := t.ticketFor(to, out, t.proxy.config.Asking.Time)
	k.Parked, k.Instance = id, t.proxy.instance
	state, err := t.proxy.sealer.sealTicket(&k)
	if err != nil {
		t.abandon(id)
		t.unfinished("what the server asks could not be passed on")
		return true
	}
	t.outcome = outcomeOK
	t.finish([][]byte{c.input.required(t, c.conn, state)})
	if t.outcome != outcomeOK || t.ctx.Err() != nil {
		t.abandon(id) // the client has not heard of it
	}
	return true
}

// abandon cancels a call that was just parked.
func (t *turn) abandon(id string) {
	if c := t.proxy.parking.take(id); c != nil {
		c.cancel(sayGone)
	}
}

// required is the result by which a client is asked.
func (in input) required(t *turn, conn *upstream.Conn, state []byte) []byte {
	out := []byte(`{"resultType":"input_required","inputRequests":{`)
	out = append(in.append(out), `},"requestState":`...)
	out = append(out, state...)
	if info := conn.ServerInfo(); info != nil {
		out = append(append(append(out, `,"_meta":{"`+metaServerInfo+`":`...), info...), '}')
	}
	return append(out, '}')
}

// append writes one member of inputRequests.
func (in input) append(out []byte) []byte {
	out = append(rpc.AppendString(out, in.key), `:{"method":`...)
	out = rpc.AppendString(out, in.method)
	if in.params != nil {
		out = append(append(out, `,"params":`...), in.params...)
	}
	return append(out, '}')
}

// resume goes on with a parked call.
func (t *turn) resume(to *target, out *upstream.Call, given *ticket) {
	answer, why := answerTo(askKey, out.Params)
	if why != "" {
		t.fail(failInvalidParams(why))
		return
	}
	c := t.proxy.parking.take(given.Parked)
	if c != nil && c.link != to.server.link { // the answer is for the server that asked, not for one that has taken its place
		c.cancel(sayGone)
		c = nil
	}
	if c == nil {
		t.fail(failInvalidParams(t.lost(given)))
		return
	}
	if answer == nil { // it is asked again (patterns/mrtr, Error Handling)
		if t.leave(to, c, out) {
			c.link.release() // it is held anew
			return
		}
		c.cancel(sayTooMany)
		t.unfinished("too many calls wait for an answer")
		return
	}
	defer c.link.release()
	ctx := t.passing(to.server)
	c.ex.Attach(ctx)
	if err := c.asked.Reply(context.WithoutCancel(ctx), answer, nil); err != nil {
		t.proxy.log.Debug("a client's answer did not reach the server", "request_id", t.requestID(), "server", to.server.slug, "error", err)
	}
	t.converse(ctx, to, c.conn, c.ex, out)
}

// lost says why there is no call to go on with.
func (t *turn) lost(given *ticket) string {
	switch {
	case given.Instance != t.proxy.instance:
		return "the call that this would go on with is not held here: the sidecar was restarted. Make the call again, without requestState"
	case given.Expires <= t.proxy.now().Unix():
		return "the call that this would go on with was cancelled, because its answer took longer than " + t.proxy.config.Asking.Time.String() + ". Make the call again, without requestState"
	}
	return "the call that this would go on with has gone on already, or was cancelled. Make the call again, without requestState"
}

// answerTo finds a client's answer among the params; nil: there is none.
func answerTo(key string, params []rpc.Member) (answer []byte, why string) {
	for _, m := range params {
		if m.Name != "inputResponses" {
			continue
		}
		if m.Value[0] != '{' {
			return nil, "inputResponses must be an object"
		}
		if answer = rpc.Find(m.Value, key); answer != nil && answer[0] != '{' {
			return nil, "each of inputResponses must be an object"
		}
	}
	return answer, ""
}
