package proxy

import (
	"context"
	"strconv"
	"time"

	"mcpsidecar/proxy/rpc"
	"mcpsidecar/proxy/upstream"
)

// This file is tasks of modern servers for legacy clients. They are asked how they are until they have ended, at the client's request for the result; and what they want to know meanwhile the client is asked on that
// request's stream.

// legacyState is the state of a modern server's task as a legacy client reads it. There a tool that fails has its task fail.
func legacyState(state []byte, id string) []byte {
	status := statusOf(state)
	if status == "completed" && failedAsTool(find(state, "result")) {
		status = "failed"
	}
	return rpc.AppendObject(nil, withMember(forLegacy.restate(state, id, status), "ttl", "null"))
}

// stateOf asks a server how a task is. Nil: the client has been answered.
func (t *turn) stateOf(ctx context.Context, to *target, conn *upstream.Conn) []byte {
	got, err := t.query(ctx, to, conn, t.aboutTask("tasks/get", t.task.theirs))
	switch {
	case err != nil:
		t.ended(ctx, err)
		return nil
	case got.failure != nil:
		t.answerError(got.failure)
		return nil
	}
	return got.result
}

// tellState answers tasks/get.
func (t *turn) tellState(ctx context.Context, to *target, conn *upstream.Conn) {
	if state := t.stateOf(ctx, to, conn); state != nil {
		t.outcome = outcomeOK
		t.finish([][]byte{legacyState(state, t.task.ours)})
	}
}

// cancelFollowed answers tasks/cancel. In the client's era a task that has ended cannot be cancelled, and the answer is what has become of the others.
func (t *turn) cancelFollowed(ctx context.Context, to *target, conn *upstream.Conn) {
	state := t.stateOf(ctx, to, conn)
	if state == nil {
		return
	}
	if status := statusOf(state); hasEnded(status) {
		t.fail(failTaskOver(status))
		return
	}
	got, err := t.query(ctx, to, conn, t.aboutTask("tasks/cancel", t.task.theirs))
	switch {
	case err != nil:
		t.ended(ctx, err)
	case got.failure != nil:
		t.answerError(got.failure)
	default:
		t.tellState(ctx, to, conn)
	}
}

// followToResult answers tasks/result.
func (t *turn) followToResult(ctx context.Context, to *target, conn *upstream.Conn) {
	state := t.followTask(ctx, to, conn)
	switch {
	case state == nil:
	case statusOf(state) == "completed":
		t.answerWith(joined(relate(legacyResult(object(find(state, "result"))), t.task.ours)))
	default:
		t.answerUndone(state)
	}
}

// answerWith answers with the result of a tool.
func (t *turn) answerWith(result []byte) {
	t.outcome = outcomeOK
	if failedAsTool(result) {
		t.outcome = outcomeToolError
	}
	t.finish([][]byte{result})
}

// answerUndone answers with why a task has no result.
func (t *turn) answerUndone(state []byte) {
	if failure := object(find(state, "error")); statusOf(state) == "failed" && failure != nil {
		t.answerError(failure)
		return
	}
	t.unfinished("the task is " + clip(statusOf(state)))
}

// legacyResult is the result of a modern server's task without what only the server's era has.
func legacyResult(result []byte) []byte {
	result = without(orEmpty(result), "resultType")
	if meta := memberObject(result, "_meta"); meta != nil {
		if meta = withoutServerInfo(meta); meta == nil {
			return without(result, "_meta")
		}
		return joined(edited(result, rpc.Edit{Name: "_meta", Value: meta}))
	}
	return result
}

// followTask waits for the end of a task, and has the client answer what is wanted for it. Nil: the client has been answered, or nobody waits any more.
func (t *turn) followTask(ctx context.Context, to *target, conn *upstream.Conn) (state []byte) {
	told, answered := "", map[string]bool{}
	for {
		if state = t.stateOf(ctx, to, conn); state == nil {
			return nil
		}
		status := statusOf(state)
		if hasEnded(status) {
			return state
		}
		if status != told && told != "" {
			t.tellTaskNews(state)
		}
		told = status
		if status == "input_required" && !t.supply(ctx, to, conn, state, answered) {
			return nil
		}
		if !t.pause(ctx, pollAfter(state, "pollIntervalMs")) {
			return nil
		}
	}
}

// tellTaskNews tells the client, while it waits for the result, that the status is another.
func (t *turn) tellTaskNews(state []byte) {
	if t.task.played || !accepts(t.r.Header, "text/event-stream") {
		return
	}
	t.startStream()
	t.event(rpc.AppendNotification(nil, methodTaskStatus, legacyState(state, t.task.ours)), true)
}

// pause waits until the server is to be asked again. False: nobody waits any more, or it has taken too long, and the client has been answered.
func (t *turn) pause(ctx context.Context, after time.Duration) bool {
	if t.proxy.now().Sub(t.started)-t.waited > taskWait {
		t.unfinished("the task has not ended yet")
		return false
	}
	timer := time.NewTimer(after)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		t.ended(ctx, ctx.Err())
	case <-t.proxy.hub.done:
		t.unfinished(sayDraining)
	}
	return false
}

// supply has the client answer what a task wants to know and what it was not asked before, and brings the server the answers. False: it could not be done, and the client has been answered.
func (t *turn) supply(ctx context.Context, to *target, conn *upstream.Conn, state []byte, answered map[string]bool) bool {
	wanted := find(state, "inputRequests")
	if wanted == nil {
		return true
	}
	in, why := inputsOf(wanted, nil, t.declared())
	if why != "" {
		t.unfinished(why)
		return false
	}
	fresh := in.wanted[:0]
	for _, wanted := range in.wanted {
		if !answered[wanted.key] {
			fresh = append(fresh, wanted)
		}
	}
	if in.wanted = fresh; len(fresh) == 0 {
		return true
	}
	asked := t.proxy.now()
	responses, why := t.collectAbout(ctx, &in)
	t.waited += t.proxy.now().Sub(asked)
	switch {
	case ctx.Err() != nil:
		t.ended(ctx, ctx.Err())
		return false
	case why != "":
		t.unfinished(why)
		return false
	}
	got, err := t.query(ctx, to, conn, t.aboutTask("tasks/update", t.task.theirs, rpc.Member{Name: "inputResponses", Value: responses}))
	switch {
	case err != nil:
		t.ended(ctx, err)
		return false
	case got.failure != nil:
		t.answerError(got.failure)
		return false
	}
	for _, wanted := range fresh {
		answered[wanted.key] = true // it may take the server a while to know
	}
	return true
}

// collectAbout is collect for what a task wants to know, of which the client is told which task that is, if it knows of it.
func (t *turn) collectAbout(ctx context.Context, in *inputs) (responses []byte, why string) {
	if !accepts(t.r.Header, "text/event-stream") {
		return nil, "the task asks for something, and the request does not accept a stream on which to say so"
	}
	if !t.task.played {
		for i := range in.wanted {
			in.wanted[i].params = joined(relate(orEmpty(in.wanted[i].params), t.task.ours))
		}
	}
	return t.collect(ctx, in)
}

// tasksFollowed are the caller's tasks at a modern server, which has no list of them: those that the book knows. Each is asked for when it is shown.
func (t *turn) tasksFollowed(to *target, v *view) *taskEntries {
	entries := taskEntries{}
	for _, known := range t.proxy.tasks.of(t.taskCaller(to.server.link)) {
		if known.across && t.lists(known, to, v) {
			begun := time.Unix(known.begun, 0).UTC().Format(time.RFC3339)
			entries = append(entries, taskEntry{position: positionOf(begun, known), ask: func(ctx context.Context) []byte { return t.showFollowed(ctx, to, known) }})
		}
	}
	return &entries
}

// showFollowed is how a task is, as it is listed; nil: nobody knows.
func (t *turn) showFollowed(ctx context.Context, to *target, known *knownTask) []byte {
	if known.kept {
		if kept := t.proxy.results.of(known.caller.user, known.id); kept != nil {
			return kept.state(known.ours, kept.status())
		}
		return nil
	}
	l := to.server.link
	if !l.acquire() {
		return nil
	}
	defer l.release()
	conn := t.session.conn(ctx, l, to.way)
	if conn == nil {
		return nil
	}
	got, _, err := ask(t.passingIn(ctx, to.server), conn, t.aboutTask("tasks/get", known.id), poseToNobody)
	if err == nil && string(find(got.failure, "code")) == strconv.Itoa(codeInvalidParams) {
		t.proxy.tasks.forget(known)
	}
	if err != nil || got.failure != nil {
		return nil
	}
	return legacyState(got.result, known.ours)
}
