package proxy

import (
	"context"
	"slices"
	"time"

	"mcpsidecar/proxy/rpc"
	"mcpsidecar/proxy/upstream"
)

// Bounds of what a modern server may want to know in the course of one call.
const (
	maxRounds   = 8
	maxInputs   = 32
	maxPlayTime = 10 * time.Minute // without what the client takes to answer
	maxState    = 1 << 20          // of a requestState
)

// inputs are what a modern server wants before it goes on (patterns/mrtr, InputRequiredResult).
type inputs struct {
	wanted []input
	state  []byte // raw requestState; nil: none
	able   bool   // what is wanted is a client that can deal with tasks, which we are in its stead: nothing is to be asked
}

type input struct {
	key, method string
	params      []byte // nil: none
}

// wantsInput says whether a modern server's result is none yet.
func wantsInput(m *rpc.Message) bool { return rpc.Equal(m.Find("resultType"), "input_required") }

// readInputs reads them, and says why they cannot be relayed to a client that has declared this. What it returns points into the message.
func readInputs(m *rpc.Message, declared []byte) (in inputs, why string) {
	return inputsOf(m.Find("inputRequests"), m.Find("requestState"), declared)
}

// inputsOf does so with the raw values of the two members; nil: there is none.
func inputsOf(raw, state, declared []byte) (in inputs, why string) {
	in.state = state
	switch {
	case in.state != nil && (in.state[0] != '"' || len(in.state) > maxState):
		return in, "the server's requestState cannot be used"
	case raw == nil && in.state == nil, raw != nil && raw[0] != '{':
		return in, "the server asks for something, but does not say what"
	case raw == nil:
		return in, ""
	}
	members, err := rpc.Members(nil, raw)
	if err != nil || len(members) > maxInputs {
		return in, "the server asks for too much at once"
	}
	for _, member := range members {
		wanted := input{key: member.Name}
		wanted.method, _ = rpc.String(find(member.Value, "method"))
		wanted.params = object(find(member.Value, "params"))
		if refusal := able(declared, wanted.method, wanted.params); refusal != nil {
			return in, "the server asks for " + clip(wanted.method) + ", which this client cannot give (" + refusal.Message + ")"
		}
		in.wanted = append(in.wanted, wanted)
	}
	return in, ""
}

// keep copies them out of the message.
func (in inputs) keep() *inputs {
	in.state = slices.Clone(in.state)
	for i := range in.wanted {
		in.wanted[i].params = slices.Clone(in.wanted[i].params)
	}
	return &in
}

// inputRequired deals with what a modern server wants. A modern client gets it as it is; of a legacy one it has to be asked, and then it is returned.
func (t *turn) inputRequired(to *target, m *rpc.Message, out *upstream.Call) *inputs {
	if !mayRequireInput(t.message.Method) {
		t.unfinished("the server asks for something where it must not")
		return nil
	}
	in, why := readInputs(m, t.declared())
	if why == "" && !t.modern {
		return in.keep()
	}
	if why == "" {
		why = t.passInputs(to, m, in, out)
	}
	if why != "" {
		t.unfinished(why)
	}
	return nil
}

// mayRequireInput says whether a request may be answered with input_required (patterns/mrtr, Supported Requests). What extensions do is theirs.
func mayRequireInput(method string) bool { return method != "completion/complete" }

// declared is what the client has declared that it can do.
func (t *turn) declared() []byte {
	if t.session != nil {
		return t.session.sealed.Capabilities
	}
	return t.meta.capabilities
}

// unfinished ends a call that cannot go on.
func (t *turn) unfinished(why string) {
	t.toolError("The call was not completed: " + why + ".")
	t.outcome = outcomeError
}

// play asks a legacy client for what a modern server wants, and returns the params with which the call is made again. Not ok: the call is over, and answered.
func (t *turn) play(ctx context.Context, round int, in *inputs, params []rpc.Member) (again []rpc.Member, ok bool) {
	if round > maxRounds || t.proxy.now().Sub(t.started)-t.waited > maxPlayTime {
		t.unfinished("the server asked again and again")
		return nil, false
	}
	if in.able {
		return params, true
	}
	if len(in.wanted) > 0 && !accepts(t.r.Header, "text/event-stream") {
		t.unfinished("the server asks for something, and the request does not accept a stream on which to say so")
		return nil, false
	}
	asked := t.proxy.now()
	responses, why := t.collect(ctx, in)
	t.waited += t.proxy.now().Sub(asked)
	switch {
	case ctx.Err() != nil:
		t.ended(ctx, ctx.Err())
		return nil, false
	case why != "":
		t.unfinished(why)
		return nil, false
	}
	again = withoutInputs(params)
	if responses != nil {
		again = append(again, rpc.Member{Name: "inputResponses", Value: responses})
	}
	if in.state != nil {
		again = append(again, rpc.Member{Name: "requestState", Value: in.state})
	}
	return again, true
}

// withoutInputs are the params of a request as it was first made. The result is a slice of its own.
func withoutInputs(params []rpc.Member) []rpc.Member {
	kept := make([]rpc.Member, 0, len(params)+2)
	for _, m := range params {
		if m.Name != "inputResponses" && m.Name != "requestState" {
			kept = append(kept, m)
		}
	}
	return kept
}

// shedTime is how long a server that wants nothing but to be asked later is left alone.
const shedTime = 100 * time.Millisecond

// collect has the answers to everything that is wanted, as the raw inputResponses; why says that they could not be had.
func (t *turn) collect(ctx context.Context, in *inputs) (responses []byte, why string) {
	if len(in.wanted) == 0 {
		timer := time.NewTimer(shedTime)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		return nil, ""
	}
	w := t.wait()
	if w == nil {
		return nil, sayTooMany
	}
	defer w.stop()
	defer w.endAll("")
	answers := make(chan told, len(in.wanted))
	for _, wanted := range in.wanted {
		if !w.pose(t.played(wanted, answers)) {
			return nil, sayTooMany
		}
	}
	return w.gather(ctx, len(in.wanted), answers)
}

// played is a question of a modern server as a legacy client is asked it.
func (t *turn) played(wanted input, answers chan told) (q *question, method string, params []byte) {
	q = &question{link: t.server.link, told: answers, key: wanted.key}
	return q, wanted.method, withElicitationID(wanted.method, wanted.params)
}

// gather waits for so many answers.
func (w *patience) gather(ctx context.Context, count int, answers <-chan told) (responses []byte, why string) {
	var members []rpc.Member
	for len(members) < count {
		select {
		case got := <-answers:
			if got.result == nil {
				return nil, "the client answered the server's question with an error: " + clip(got.why)
			}
			members = append(members, rpc.Member{Name: got.key, Value: got.result})
		case <-ctx.Done():
			return nil, ""
		case <-w.beat.C:
			w.t.keepAlive()
		case <-w.due.C:
			if w.dueNow(time.Now()) {
				return nil, sayTooLate
			}
		case <-w.over:
			return nil, sayDraining
		}
	}
	return rpc.AppendObject(nil, members), ""
}
