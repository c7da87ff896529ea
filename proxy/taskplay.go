package proxy

import (
	"context"

	"mcpsidecar/proxy/rpc"
	"mcpsidecar/proxy/upstream"
)

// This file is tools that can only be called as tasks (2025-11-25, taskSupport required), for a client that calls one as any other: the task is begun and waited for here, and the client gets the result as that of its call.

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
	if id := taskIn(m.Find("task")); t.task.theirs == "" && id != "" {
		if len(id) > maxTheirTask { // what is remembered of tasks is everybody's
			t.unfinished("the server began a task whose id cannot be passed on")
			return
		}
		t.task.theirs = id
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
	call := taskCall("tasks/result", t.task.theirs)
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
		t.dropTask(ctx, conn, to.server.link, t.task.theirs)
	}
}

// dropTask cancels a task that nobody waits for any more. Nobody waits for that either.
func (t *turn) dropTask(ctx context.Context, conn *upstream.Conn, l *link, id string) {
	p := t.proxy
	l.uses.Add(1) // on top of this request's
	ctx = context.WithoutCancel(ctx)
	p.goroutines.Go(func() {
		defer l.release()
		ctx, cancel := context.WithTimeout(ctx, closeGrace)
		defer cancel()
		ex, err := conn.Do(ctx, taskCall("tasks/cancel", id))
		if err == nil {
			_, err = ex.Next()
			ex.Close()
		}
		if err != nil {
			p.log.Debug("a task was not cancelled at its server", "server", l.slug, "error", err)
		}
	})
}

func taskCall(method, id string) upstream.Call {
	return upstream.Call{Method: method, Params: []rpc.Member{{Name: "taskId", Value: rpc.AppendString(nil, id)}}}
}
