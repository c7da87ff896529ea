package proxy

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"mcpsidecar/internal/trace"
	"mcpsidecar/proxy/rpc"
	"mcpsidecar/proxy/upstream"
)

// parkedCall is a call at a legacy server that waits for an answer of a modern client, while no request of the client is under way. It belongs to the parking until somebody takes it, who then ends it.
type parkedCall struct {
	user  string
	posed []posed // what the client was asked
	conn  *upstream.Conn
	ex    *upstream.Exchange // detached
	link  *link              // held
	size  int                // bytes that it takes, while it is in the parking
	timer *time.Timer        // ends it
	span  *trace.Span        // of the request to the server; nil: it is not traced
}

// posed is a question of a legacy server for a modern client.
type posed struct {
	asked *upstream.Asked
	input input
}

func (q posed) refuse(why string) {
	q.asked.Refuse(rpc.Error{Code: codeInternal, Message: why})
}

// cancel ends the call at the server.
func (c *parkedCall) cancel(why string) {
	for _, q := range c.posed {
		q.refuse(why)
	}
	c.ex.Close()
	c.span.Fail(string(upstream.Canceled))
	c.span.End(c.link.p.now())
	c.link.release()
}

// parking holds the calls that are parked, within bounds.
type parking struct {
	limits Asking

	mu      sync.Mutex
	calls   map[string]*parkedCall // by an id that only a sealed ticket names
	users   map[string]int         // calls, and vigils (taskvigil.go), of each; without zeros
	count   int                    // of them
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
	c.size = c.ex.Keeps()
	for _, q := range c.posed {
		c.size += q.size()
	}
	if !p.fits(c.user, c.size) {
		return ""
	}
	id := newSessionID()
	p.calls[id] = c
	p.add(c.user, c.size)
	c.timer = time.AfterFunc(p.limits.Time, func() { p.expire(id) })
	return id
}

// size is about how many bytes a question takes.
func (q posed) size() int { return len(q.input.params) + len(q.input.method) }

// fits says, under the lock, whether there is room for something of a user's.
func (p *parking) fits(user string, size int) bool {
	return !p.closed && p.count < p.limits.Overall && p.users[user] < p.limits.PerUser && p.bytes+size <= p.limits.Bytes
}

// add counts it in, under the lock.
func (p *parking) add(user string, size int) {
	p.count++
	p.users[user]++
	p.bytes += size
}

// drop counts it out.
func (p *parking) drop(user string, size int) {
	p.count--
	if p.users[user]--; p.users[user] == 0 {
		delete(p.users, user)
	}
	p.bytes -= size
}

// admit counts in what is held elsewhere, if there is room. It is counted out by leave.
func (p *parking) admit(user string, size int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.fits(user, size) {
		return false
	}
	p.add(user, size)
	return true
}

func (p *parking) leave(user string, size int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drop(user, size)
}

// grow says that it takes more bytes, or fewer. False: there is no room.
func (p *parking) grow(size int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if size > 0 && p.bytes+size > p.limits.Bytes {
		return false
	}
	p.bytes += size
	return true
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
	p.drop(c.user, c.size)
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

// askKey begins the names that a legacy server's questions have for a modern client.
const askKey = "question"

// keyOf is the name of one of several questions.
func keyOf(i int) string {
	if i == 0 {
		return askKey
	}
	return askKey + "-" + strconv.Itoa(i+1)
}

// pose keeps what a legacy server asks in the middle of a modern client's call, until the client can be told; or answers for a client that cannot be asked.
func (t *turn) pose(ex *upstream.Exchange, m *rpc.Message) {
	q := posed{asked: ex.Asked(m), input: input{method: m.Method, params: slices.Clone(orEmpty(asPlain(m.Params)))}} // some clients cannot read a question without params
	refusal := able(t.meta.capabilities, m.Method, m.Params)
	if refusal == nil && !mayRequireInput(t.message.Method) {
		refusal = &rpc.Error{Code: codeInternal, Message: "this request of the client's cannot be answered with a question"}
	}
	if refusal != nil {
		q.asked.Refuse(*refusal)
		return
	}
	t.posed = append(t.posed, q)
}

// unpose answers the server for a client that was not asked.
func (t *turn) unpose(why string) {
	for _, q := range t.posed {
		q.refuse(why)
	}
	t.posed = nil
}

// park asks a modern client what was posed, and lets the call wait for the client's next request. False: the server was answered, and the call goes on.
func (t *turn) park(to *target, conn *upstream.Conn, ex *upstream.Exchange, out *upstream.Call) bool {
	for i := range t.posed {
		t.posed[i].input.key = keyOf(i)
	}
	c := &parkedCall{user: t.scope.identity.User, posed: t.posed, conn: conn, ex: ex, link: to.server.link, span: t.traced.outbound}
	if !ex.Detach() {
		t.unpose("the client cannot be asked before it has sent its request")
		return false
	}
	if !t.leave(to, c, out) {
		ex.Attach(t.passing(to.server))
		t.unpose("too many calls wait for an answer")
		return false
	}
	return true
}

// leave parks a call and tells the client how to go on. False: there is no room.
func (t *turn) leave(to *target, c *parkedCall, out *upstream.Call) bool {
	c.link.uses.Add(1) // on top of this request's
	c.span.Event("parked", trace.Text(trace.Method, c.posed[0].input.method))
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
	t.finish([][]byte{inputRequired(c.posed, c.conn.ServerInfo(), state)})
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

// inputRequired is the result by which a client is asked; info is who the server is, or nil.
func inputRequired(asked []posed, info, state []byte) []byte {
	out := []byte(`{"resultType":"input_required","inputRequests":{`)
	for i, q := range asked {
		if i > 0 {
			out = append(out, ',')
		}
		out = q.input.append(out)
	}
	out = append(append(out, `},"requestState":`...), state...)
	if info != nil {
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
	responses, why := responsesIn(out.Params)
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
	ctx := t.passing(to.server)
	if c.posed = t.deliver(ctx, c.posed, responses); len(c.posed) > 0 { // those are asked again (patterns/mrtr, Error Handling)
		if t.leave(to, c, out) {
			c.link.release() // it is held anew
			return
		}
		c.cancel(sayTooMany)
		t.unfinished("too many calls wait for an answer")
		return
	}
	defer c.link.release()
	t.traced.outbound = c.span
	t.traced.span.Link(c.span)
	c.span.Event("resumed")
	c.ex.Attach(ctx)
	t.converse(ctx, to, c.conn, c.ex, out)
}

// deliver brings a client's answers to the server, side by side and also if the client does not wait for that, and returns the questions that have none.
func (t *turn) deliver(ctx context.Context, asked []posed, responses []byte) (open []posed) {
	ctx = context.WithoutCancel(ctx)
	var all sync.WaitGroup
	for _, q := range asked {
		answer := find(responses, q.input.key)
		if answer == nil {
			open = append(open, q)
			continue
		}
		all.Go(func() {
			if err := q.asked.Reply(ctx, answer, nil); err != nil {
				t.proxy.log.Debug("a client's answer did not reach the server", "request_id", t.requestID(), t.traceID(), "server", t.server.slug, "error", err)
			}
		})
	}
	all.Wait()
	return open
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

// responsesIn finds a client's answers among the params; nil: there are none. Answers to what was not asked are ignored, as the specification says.
func responsesIn(params []rpc.Member) (responses []byte, why string) {
	for _, m := range params {
		if m.Name == "inputResponses" {
			responses = m.Value
		}
	}
	if responses == nil {
		return nil, ""
	}
	if responses[0] != '{' {
		return nil, "inputResponses must be an object"
	}
	members, err := rpc.Members(nil, responses)
	if err != nil {
		return nil, "inputResponses cannot be read"
	}
	for _, m := range members {
		if strings.HasPrefix(m.Name, askKey) && m.Value[0] != '{' {
			return nil, "each of inputResponses must be an object"
		}
	}
	return responses, ""
}
