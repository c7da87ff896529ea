package proxy

import (
	"context"
	"strconv"

	"mcpsidecar/proxy/rpc"
	"mcpsidecar/proxy/upstream"
)

// This file is tasks of legacy servers for modern clients: calls of tools that can be tasks are made as such, and the state, which the client asks for, has in it what the server hands out by itself, which are the result and
// (taskvigil.go) questions.

// mayBeTask says whether a modern client's call is to be made as a task. The client leaves that to the server, and a legacy one to us: a tool that can be one is.
func (t *turn) mayBeTask(to *target) bool {
	if support := to.tool.support; support != "optional" && support != "required" || !declaresTasks(t.meta.capabilities) {
		return false
	}
	said := t.offersOf(to)
	return said != nil && !said.modern && said.tasks.calls
}

// forModern are the members of a task's state of 2025-11-25 as the extension has them.
var forModern = taskNames{
	"ttl": "ttlMs", "pollInterval": "pollIntervalMs",
	"ttlMs": "", "pollIntervalMs": "", "resultType": "", "result": "", "error": "", "inputRequests": "", "requestState": "",
}

// modernState are the members of the state of a legacy server's task as a modern client reads them, in a result of some type.
func modernState(state []byte, kind, id, status string) []rpc.Member {
	members := []rpc.Member{{Name: "resultType", Value: rpc.AppendString(nil, kind)}}
	return withMember(append(members, forModern.restate(state, id, status)...), "ttlMs", "null")
}

// modernBegun is the result of a call that has begun a task.
func modernBegun(m *rpc.Message, begun []byte, ours string) [][]byte {
	state := modernState(begun, "task", ours, statusOf(begun))
	if meta := memberObject(joined(relate(m.Result, "")), "_meta"); meta != nil {
		state = withMember(state, "_meta", string(meta))
	}
	return [][]byte{rpc.AppendObject(nil, state)}
}

// fetchState answers tasks/get.
func (t *turn) fetchState(ctx context.Context, to *target, conn *upstream.Conn) {
	state := t.stateOf(ctx, to, conn)
	if state == nil {
		return
	}
	switch status := statusOf(state); status {
	case "completed", "failed":
		t.fetchResult(ctx, to, conn, state)
	case "cancelled":
		t.finishState(state, status)
	default:
		t.fetchQuestions(ctx, to, conn, state)
	}
}

func (t *turn) finishState(state []byte, status string, more ...rpc.Member) {
	t.outcome = outcomeOK
	t.finish([][]byte{rpc.AppendObject(nil, append(modernState(state, "complete", t.task.ours, status), more...))})
}

// fetchResult answers with a task that is over, and what came of it. A tool that has failed has completed its task; in this era a task fails for want of a result.
func (t *turn) fetchResult(ctx context.Context, to *target, conn *upstream.Conn, state []byte) {
	got, err := t.query(ctx, to, conn, t.aboutTask("tasks/result", t.task.theirs))
	switch {
	case err != nil:
		t.ended(ctx, err)
	case got.failure != nil:
		t.finishState(state, "failed", rpc.Member{Name: "error", Value: got.failure})
	default:
		t.finishState(state, "completed", rpc.Member{Name: "result", Value: modernResult(got.result)})
	}
}

// modernResult is a result of a legacy server's task as every one is in the client's era: it says that it is one, and there is no other place that says of which task.
func modernResult(result []byte) []byte {
	result = joined(relate(result, ""))
	if find(result, "resultType") != nil {
		return result
	}
	return joined(edited(result, rpc.Edit{Name: "resultType", Value: []byte(`"complete"`)}))
}

// fetchQuestions answers with a task that goes on, and with what its server wants to know. One that waits for something of which we know nothing (yet), goes on for all that the client can do about it.
func (t *turn) fetchQuestions(ctx context.Context, to *target, conn *upstream.Conn, state []byte) {
	v := t.proxy.vigils.at(vigilPlace{t.taskCaller(to.server.link), t.task.theirs})
	if v == nil && statusOf(state) == "input_required" {
		if v = t.vigil(to, conn); v != nil {
			v.first(ctx)
		}
	}
	var open []posed
	if v != nil {
		open = t.askable(v)
	}
	if len(open) == 0 {
		t.finishState(state, "working")
		return
	}
	requests := []byte{'{'}
	for i, q := range open {
		if i > 0 {
			requests = append(requests, ',')
		}
		requests = q.input.append(requests)
	}
	t.finishState(state, "input_required", rpc.Member{Name: "inputRequests", Value: append(requests, '}')})
}

// askable are the questions of a vigil that the client can answer. For others the server is answered (M-07).
func (t *turn) askable(v *vigil) []posed {
	declared := t.meta.capabilities
	for _, q := range v.take(func(q posed) bool { return able(declared, q.input.method, q.input.params) != nil }) {
		q.asked.Refuse(*able(declared, q.input.method, q.input.params))
	}
	return v.open()
}

// update answers tasks/update: what the server has asked is answered, and answers to what it has not are ignored, as the extension says.
func (t *turn) update(ctx context.Context, to *target, params []rpc.Member) {
	responses, why := responsesIn(params)
	if why != "" {
		t.fail(failInvalidParams(why))
		return
	}
	if v := t.proxy.vigils.at(vigilPlace{t.taskCaller(to.server.link), t.task.theirs}); v != nil && responses != nil {
		var answers []rpc.Member
		taken := v.take(func(q posed) bool {
			answer := find(responses, q.input.key)
			if answer != nil {
				answers = append(answers, rpc.Member{Name: q.input.key, Value: joined(relate(answer, t.task.theirs))})
			}
			return answer != nil
		})
		t.deliver(ctx, taken, rpc.AppendObject(nil, answers))
	}
	t.result("")
}

// cancelFetched answers tasks/cancel, which in this era means that somebody would rather have the task end: one that is over, or that cannot be cancelled, is none the worse.
func (t *turn) cancelFetched(ctx context.Context, to *target, conn *upstream.Conn) {
	if said := t.offersOf(to); said != nil && said.tasks.cancel {
		got, err := t.query(ctx, to, conn, t.aboutTask("tasks/cancel", t.task.theirs))
		if err != nil {
			t.ended(ctx, err)
			return
		}
		if got.failure != nil && !t.isOver(ctx, to, conn, got.failure) {
			return
		}
	}
	if v := t.proxy.vigils.at(vigilPlace{t.taskCaller(to.server.link), t.task.theirs}); v != nil {
		v.stop()
	}
	t.result("")
}

// isOver says whether a server has refused to cancel a task because it has ended. False: the client has been answered.
func (t *turn) isOver(ctx context.Context, to *target, conn *upstream.Conn, failure []byte) bool {
	if string(find(failure, "code")) != strconv.Itoa(codeInvalidParams) {
		t.answerError(failure)
		return false
	}
	return t.stateOf(ctx, to, conn) != nil
}
