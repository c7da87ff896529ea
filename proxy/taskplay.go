package proxy

import (
	"context"
	"strconv"

	"mcpsidecar/proxy/rpc"
	"mcpsidecar/proxy/upstream"
)

// This file is tools that can only be called as tasks (2025-11-25, taskSupport required; of modern servers, those that say so when they are called), for a client that calls one as any other: the task is begun and waited for
// here, and the client gets the result as that of its call.

// mustPlay says whether a plain call of a tool has to be made as a task.
func (t *turn) mustPlay(to *target) bool {
	if to.tool.support != "required" {
		return false
	}
	said := t.offersOf(to)
	return said != nil && !said.modern && said.tasks.calls
}

// answerPlayed deals with the answers of a call that is played: of the first it learns of the task, the last goes to the client, which knows of none.
func (t *turn) answerPlayed(to *target, conn *upstream.Conn, ex *upstream.Exchange, m *rpc.Message) {
	id := taskIn(m.Find("task"))
	if t.task.across = ex.Era() == upstream.Modern; t.task.across && rpc.Equal(m.Find("resultType"), "task") {
		id = taskIn(m.Result)
	}
	if t.task.theirs == "" && id != "" {
		if len(id) > maxTheirTask { // what is remembered of tasks is everybody's
			t.unfinished("the server began a task whose id cannot be passed on")
			return
		}
		if t.task.theirs = id; t.task.across {
			return
		}
		t.proxy.tasks.learn(knownTask{caller: t.taskCaller(to.server.link), id: id, tool: t.task.tool, progress: t.progressOf(ex)})
		return
	}
	t.task.over = true
	if relatedTask(m.Result) != "" {
		plain, err := rpc.Read(rpc.AppendResult(nil, m.ID, joined(relate(m.Result, ""))))
		if err != nil {
			t.unfinished("the server's answer cannot be read")
			return
		}
		m = &plain
	}
	t.answer(conn, ex.Era(), m)
}

// playTask waits for a task that was begun for this call, and answers the call. Whoever gives the call up gives up the task.
func (t *turn) playTask(ctx context.Context, to *target, conn *upstream.Conn, out *upstream.Call) {
	if t.task.across {
		t.playFollowed(ctx, to, conn)
		return
	}
	call := t.aboutTask("tasks/result", t.task.theirs)
	call.Timeout, call.Poller = taskWait, out.Poller
	sending, sent := t.openOutbound(ctx, to, &call)
	ex, err := conn.Do(sending, *sent)
	t.sentOutbound(ex, err)
	if err == nil {
		t.carry(ctx, to, conn, ex, out)
	} else {
		t.ended(ctx, err)
	}
	if ctx.Err() != nil && !t.task.over && to.way.lists.offersFor(t.version).tasks.cancel {
		t.dropTask(ctx, conn, to.server.link)
	}
}

// playFollowed does so with a task of a modern server, which it has begun because it could not do without (extension Tasks, Capability Negotiation).
func (t *turn) playFollowed(ctx context.Context, to *target, conn *upstream.Conn) {
	switch state := t.followTask(ctx, to, conn); {
	case state == nil:
		t.dropTask(ctx, conn, to.server.link)
	case statusOf(state) == "completed":
		t.answerWith(legacyResult(object(find(state, "result"))))
	default:
		t.answerUndone(state)
	}
}

// insistsOnTask says whether a modern server has refused a legacy client's call because it can only be answered with a task. Then it is made again, by one who can deal with that.
func (t *turn) insistsOnTask(to *target, era upstream.Era, failure []byte, out *upstream.Call) bool {
	if t.session == nil || era != upstream.Modern || t.task != nil || t.message.Method != "tools/call" || string(find(failure, "code")) != strconv.Itoa(codeMissingCapability) {
		return false
	}
	if memberObject(memberObject(memberObject(object(find(failure, "data")), "requiredCapabilities"), "extensions"), tasksExtension) == nil {
		return false
	}
	t.task = &taskWork{tool: to.tool.tool.Name, played: true}
	out.Capabilities = t.ableToTasks()
	return true
}

// dropTask cancels a task that nobody waits for any more. Nobody waits for that either.
func (t *turn) dropTask(ctx context.Context, conn *upstream.Conn, l *link) {
	p, call := t.proxy, t.aboutTask("tasks/cancel", t.task.theirs)
	l.uses.Add(1) // on top of this request's
	ctx = context.WithoutCancel(ctx)
	p.goroutines.Go(func() {
		defer l.release()
		ctx, cancel := context.WithTimeout(ctx, closeGrace)
		defer cancel()
		ex, err := conn.Do(ctx, call)
		if err == nil {
			_, err = ex.Next()
			ex.Close()
		}
		if err != nil {
			p.log.Debug("a task was not cancelled at its server", "server", l.slug, "error", err)
		}
	})
}
