package proxy

import (
	"bytes"
	"slices"
	"time"

	"mcpsidecar/policy"
	"mcpsidecar/proxy/rpc"
	"mcpsidecar/proxy/upstream"
)

// This file is tasks: requests whose result is fetched later, by an id. Clients get ids of ours (taskid.go); every touch of a task is judged as a call of the tool that began it, now. The two shapes are those of 2025-11-25 and of
// the extension of 2026-07-28; a task of a server of the other era is told in the shape of the client's (taskacross.go).

// taskWork is what a request has to do with a task.
type taskWork struct {
	tool   string // original name
	theirs string // the server's id of the task; empty: the request begins one
	ours   string // the client's
	across bool   // the server is of the other era
	kept   bool   // the server has no task; see taskkept.go
	wanted bool   // the client wants a task, whatever the server answers
	played bool   // the client knows nothing of the task; see taskplay.go
	over   bool   // of a played one: its result is there
}

// serveTask answers the methods of tasks. False: this client's era does not have the method, or nothing that it can reach has tasks.
func (t *turn) serveTask(p params) bool {
	legacy := !t.modern && t.version == newestLegacy
	switch t.message.Method {
	case "tasks/get", "tasks/cancel":
		if !t.modern && !legacy {
			return false
		}
	case "tasks/update":
		if !t.modern {
			return false
		}
	case "tasks/result":
		if !legacy {
			return false
		}
	case "tasks/list":
		if legacy && t.offersTasks() {
			t.listTasks()
			return true
		}
		return false
	default:
		return false
	}
	return t.touchTask(p)
}

// offersTasks says whether this client has been told, or would be, that there are tasks.
func (t *turn) offersTasks() bool {
	what := t.announced()
	return what != nil && what.tasks.calls
}

// declaresTasks says whether a modern client can deal with tasks.
func declaresTasks(capabilities []byte) bool {
	return memberObject(memberObject(capabilities, "extensions"), tasksExtension) != nil
}

// taskSupport is what a tool's definition says of tasks (2025-11-25, Tool-Level Negotiation).
func taskSupport(definition []byte) string {
	support, _ := rpc.String(find(find(definition, "execution"), "taskSupport"))
	return support
}

// support is how a client is told that tools can be called as tasks.
type support int

const (
	hideSupport support = iota // it cannot call any so
	keepSupport                // as their server says it; a modern client gets what a modern server lists as it is
	addSupport                 // all can be: their server is modern and does not say it, because it is it that decides
)

func (sc *scope) supportOf(said *offers) support {
	switch {
	case said == nil:
	case said.modern && sc.version == modernVersion, !said.modern && said.tasks.calls && sc.version == newestLegacy:
		return keepSupport
	case said.modern && said.tasks.calls && sc.version == newestLegacy:
		return addSupport
	}
	return hideSupport
}

// as is a tool's definition as it is listed so.
func (how support) as(definition []byte, says bool) []byte {
	switch {
	case how == hideSupport && says:
		return withoutSupport(definition)
	case how == addSupport && !says:
		return withSupport(definition)
	}
	return definition
}

// withSupport is a definition that says that the tool can be called as a task.
func withSupport(definition []byte) []byte {
	execution := joined(edited(orEmpty(memberObject(definition, "execution")), rpc.Edit{Name: "taskSupport", Value: []byte(`"optional"`)}))
	return joined(edited(definition, rpc.Edit{Name: "execution", Value: execution}))
}

// withoutSupport is a definition that says nothing of tasks.
func withoutSupport(definition []byte) []byte {
	rest := without(memberObject(definition, "execution"), "taskSupport")
	if len(rest) <= len("{}") {
		return without(definition, "execution")
	}
	return joined(edited(definition, rpc.Edit{Name: "execution", Value: rest}))
}

// touchTask answers what is about one task. An id that is forged, another caller's, or of a task whose tool the caller may not call now is one that does not exist.
func (t *turn) touchTask(p params) bool {
	at, id, f := member(p.rest, "taskId")
	if f == nil {
		f = t.checkName(id, t.modern)
	}
	if f == nil && t.modern && !declaresTasks(t.meta.capabilities) {
		f = failNoTasks()
	}
	k, err := t.proxy.sealer.openTask(id)
	known := f == nil && err == nil && k.belongsTo(t.scope.identity, t.modern)
	if !known && !t.offersTasks() {
		return false
	}
	if f != nil {
		t.fail(f)
		return true
	}
	t.recordCall("task")
	if !known {
		t.deny(policy.Decision{Reason: policy.Unknown}, failUnknownTask())
		return true
	}
	to := t.taskTarget(k)
	if t.rejectTask(&to, k) {
		return true
	}
	p.rest[at].Value = rpc.AppendString(nil, k.ID)
	t.task = &taskWork{tool: k.Tool, theirs: k.ID, ours: id, across: k.Across, kept: k.Kept}
	t.proxy.tasks.learn(k.known(t.taskCaller(to.server.link), id))
	if k.Kept {
		t.touchKept()
		return true
	}
	t.meta.related = nil // the parameter says it (Associating Task-Related Messages)
	out := t.outgoing(to.server, k.ID, p.rest)
	if t.waitsForTask() {
		out.Timeout = max(out.Timeout, taskWait)
	}
	t.perform(&to, out)
	return true
}

func (t *turn) taskCaller(l *link) taskCaller {
	return taskCaller{t.scope.identity.User, t.scope.identity.TokenID, l.tasksAt}
}

// taskTarget is the server of a task and the tool that began it.
func (t *turn) taskTarget(k *taskTicket) target {
	to, v := t.toolsAt(t.taskServer(k))
	if v != nil {
		to.tool = v.byName[k.Tool]
	}
	return to
}

// taskServer is the server of a task; nil: there is none that this request may name.
func (t *turn) taskServer(k *taskTicket) *server {
	if s := t.proxy.snapshot.Load().byID(k.Server); s != nil && (t.scope.only == "" || t.scope.only == s.slug) {
		return s
	}
	return nil
}

// judgeTask asks of a task what a call of its tool would be asked.
func (t *turn) judgeTask(to *target, k *taskTicket) policy.Decision {
	decision := policy.Decision{Reason: policy.Unknown}
	if to.server != nil {
		decision = to.server.decideServer(t.scope.question)
		if decision.Allowed && to.err == nil {
			decision = to.server.decide(t.scope.question, k.Tool, to.tool)
		}
	}
	if decision.Allowed && to.err == nil && !t.keepsTask(to, k) {
		decision = policy.Decision{Reason: policy.Unknown}
	}
	return decision
}

// rejectTask answers a touch that goes nowhere.
func (t *turn) rejectTask(to *target, k *taskTicket) (rejected bool) {
	t.server = to.server
	decision := t.judgeTask(to, k)
	t.recordDecision(decision)
	switch {
	case !decision.Allowed:
		t.deny(decision, failUnknownTask())
	case to.err != nil:
		t.trouble(to.err)
	case to.signIn:
		t.offerSignIn(to.server, nil, false)
	default:
		t.record.Tool = k.Tool
		return false
	}
	return true
}

// keepsTask says whether this is still the server that made the task, and whether it still has tasks in that shape.
func (t *turn) keepsTask(to *target, k *taskTicket) bool {
	said := t.offersOf(to)
	return said != nil && said.modern == (k.Modern != k.Across) && said.tasks.calls && bytes.Equal(to.server.link.place, k.Place)
}

// taskWait is how long tasks/result may wait for a task to end: as long as any answer.
const taskWait = 10 * time.Minute

func (t *turn) waitsForTask() bool { return t.message.Method == "tasks/result" }

// begins says whether a call is to be made as a task, and whether it can be. Whoever has not been told that we have tasks is not understood to want one (Task Support and Handling).
func (t *turn) begins(to *target, c *call) *failure {
	if t.modern && t.mayBeTask(to) {
		c.task, t.task = emptyObject, &taskWork{tool: to.tool.tool.Name}
		return nil
	}
	if c.task == nil {
		if t.mustPlay(to) {
			c.task, t.task = emptyObject, &taskWork{tool: to.tool.tool.Name, played: true}
		}
		return nil
	}
	switch said := t.offersOf(to); {
	case t.modern || t.version != newestLegacy:
		c.task = nil
	case said != nil && said.modern && said.tasks.calls:
		c.task, t.task = nil, &taskWork{tool: to.tool.tool.Name, wanted: true}
		return nil
	case said != nil && said.tasks.calls:
		t.task = &taskWork{tool: to.tool.tool.Name}
	case t.scope.only == "" && t.offersTasks():
		return failMethodSaying("the tool cannot be called as a task")
	default:
		c.task = nil
	}
	if c.task == nil {
		return t.begins(to, c)
	}
	return nil
}

// concernsTask says whether an answer has to do with a task. A modern server begins one unasked.
func (t *turn) concernsTask(era upstream.Era, m *rpc.Message) bool {
	return t.task != nil || era == upstream.Modern && rpc.Equal(m.Find("resultType"), "task")
}

// answerTask relays a result that has to do with a task, with the client's ids in it.
func (t *turn) answerTask(to *target, conn *upstream.Conn, ex *upstream.Exchange, m *rpc.Message) {
	switch {
	case t.task != nil && t.task.played:
		t.answerPlayed(to, conn, ex, m)
		return
	case t.message.Method == "tools/call":
		t.answerBegun(to, conn, ex, m)
		return
	}
	if t.task == nil {
		t.unfinished("the server began a task, which nobody has expected")
		return
	}
	if why := t.unanswerable(m); why != "" {
		t.unfinished(why)
		return
	}
	t.outcome = outcomeOK
	result := m.Result
	switch {
	case t.waitsForTask():
		if string(m.Find("isError")) == "true" {
			t.outcome = outcomeToolError
		}
		result = joined(relate(result, t.task.ours))
	case m.Find("taskId") != nil:
		result = joined(edited(result, rpc.Edit{Name: "taskId", Value: rpc.AppendString(nil, t.task.ours)}))
	}
	if t.message.Method != "tasks/result" && relatedTask(result) != "" {
		result = joined(relate(result, t.task.ours))
	}
	t.finish([][]byte{result})
}

// unanswerable says why what a task of a modern server wants to know cannot be asked of this client (M-07).
func (t *turn) unanswerable(m *rpc.Message) (why string) {
	if t.modern && m.Find("inputRequests") != nil {
		_, why = readInputs(m, t.meta.capabilities)
	}
	return why
}

// answerBegun answers a call that may have begun a task.
func (t *turn) answerBegun(to *target, conn *upstream.Conn, ex *upstream.Exchange, m *rpc.Message) {
	begun := m.Result
	if ex.Era() == upstream.Legacy {
		begun = object(m.Find("task"))
	} else if !rpc.Equal(m.Find("resultType"), "task") {
		begun = nil
	}
	if begun == nil && t.task != nil && t.task.wanted {
		t.keepResult(to, m)
		return
	}
	if begun == nil {
		t.answer(conn, ex.Era(), m)
		return
	}
	if t.modern && !declaresTasks(t.meta.capabilities) || t.task == nil && !t.modern {
		t.unfinished("the server began a task, which this client has not said that it can deal with")
		return
	}
	ours, err := t.noteTask(to, ex, taskIn(begun))
	if err != nil {
		t.unfinished("the server began a task whose id cannot be passed on")
		return
	}
	t.outcome = outcomeOK
	result := edited(begun, rpc.Edit{Name: "taskId", Value: rpc.AppendString(nil, ours)})
	switch {
	case t.modern != (ex.Era() == upstream.Modern):
		result = t.begunAcross(m, begun, ours)
	case !t.modern:
		result = edited(m.Result, rpc.Edit{Name: "task", Value: joined(result)})
		if relatedTask(m.Result) != "" {
			result = relate(joined(result), ours)
		}
	}
	t.finish(result)
}

// noteTask makes the client's id of a task that was begun, and has its news heard.
func (t *turn) noteTask(to *target, ex *upstream.Exchange, id string) (ours string, err error) {
	l, tool := to.server.link, to.tool.tool.Name
	k := t.taskTicketFor(l, ex.Era(), tool, id)
	if ours, err = t.proxy.sealer.sealTask(&k); err != nil {
		return "", err
	}
	known := k.known(t.taskCaller(l), ours)
	known.progress = t.progressOf(ex)
	t.proxy.tasks.learn(known)
	if t.session != nil {
		if b := t.session.own(l); b != nil {
			b.keep()
		}
	}
	return ours, nil
}

// progressOf is how the progress of the task is told that a request begins.
func (t *turn) progressOf(ex *upstream.Exchange) (progress taskProgress) {
	if len(t.meta.progress) > 0 && len(t.meta.progress) <= maxKeptToken {
		progress = taskProgress{string(ex.Token()), string(t.meta.progress)}
	}
	return progress
}

// maxKeptToken bounds a progress token that is kept for as long as a task.
const maxKeptToken = 128

// withRelated are these members of _meta and the task that the request says it is about, by that server's own id, if it is a task of that server.
func (t *turn) withRelated(members []rpc.Member, s *server) []rpc.Member {
	id := t.proxy.theirTask(taskIn(t.meta.related), t.scope.identity, s.link)
	if id == "" {
		return members
	}
	return append(slices.Clip(members), rpc.Member{Name: metaTask, Value: append(rpc.AppendString([]byte(`{"taskId":`), id), '}')})
}
