package proxy

import (
	"bytes"
	"strings"

	"mcpsidecar/internal/caller"
	"mcpsidecar/proxy/rpc"
)

// This file is what servers and clients say to each other about tasks in passing (2025-11-25): the _meta that relates a message to one, its progress, and its status.

const (
	methodTaskStatus = "notifications/tasks/status"
	methodProgress   = "notifications/progress"
)

func joined(pieces [][]byte) []byte {
	if len(pieces) == 1 {
		return pieces[0]
	}
	return bytes.Join(pieces, nil)
}

// theirTask is a server's own id of a client's task; empty: the client has no such task there.
func (p *Proxy) theirTask(ours string, identity *caller.Identity, l *link) string {
	k, err := p.sealer.openTask(ours)
	if err != nil || !k.belongsTo(identity, false) || k.Server != l.serverID || !bytes.Equal(k.Place, l.place) {
		return ""
	}
	return k.ID
}

// forClient is what a server says, with the client's id of the task that it is about. A task that is not this client's is not mentioned.
func (b *taskBook) forClient(of taskCaller, params []byte) []byte {
	if memberObject(memberObject(params, "_meta"), metaTask) == nil {
		return params
	}
	if known := b.find(of, relatedTask(params)); known != nil {
		return joined(relate(params, known.ours))
	}
	return joined(relate(params, ""))
}

// asPlain is what a legacy server asks as a modern client is asked it, which knows nothing of the tasks of that era.
func asPlain(params []byte) []byte {
	if relatedTask(params) != "" {
		params = joined(relate(params, ""))
	}
	return without(params, "task")
}

// forServer is what a client answers a server, with the server's id of the task that it is about.
func (p *Proxy) forServer(result []byte, identity *caller.Identity, l *link) []byte {
	if memberObject(memberObject(result, "_meta"), metaTask) == nil {
		return result
	}
	return joined(relate(result, p.theirTask(relatedTask(result), identity, l)))
}

// status is a notification of a task's status as its owner gets it; nil: it is nobody's here.
func (b *taskBook) status(of taskCaller, params []byte) []byte {
	known := b.find(of, taskIn(params))
	if known == nil || known.ours == "" {
		return nil
	}
	return joined(edited(params, rpc.Edit{Name: "taskId", Value: rpc.AppendString(nil, known.ours)}))
}

// reported is a progress notification about a task whose request has been answered, with the client's token; nil: it is about none.
func (b *taskBook) reported(of taskCaller, params []byte) []byte {
	token := find(params, metaProgressToken)
	if token == nil {
		return nil
	}
	known := b.reports(of, string(token))
	if known == nil {
		return nil
	}
	return joined(edited(params, rpc.Edit{Name: metaProgressToken, Value: []byte(known.progress.client)}))
}

// related is forClient for what comes in the course of a request, which is mostly about no task.
func (t *turn) related(params []byte) []byte {
	if t.proxy.tasks.empty() {
		return params
	}
	return t.proxy.tasks.forClient(t.taskCaller(t.server.link), params)
}

func (s *session) taskCaller(l *link) taskCaller {
	return taskCaller{s.sealed.User, s.sealed.TokenID, l.tasksAt}
}

// heardTask deals with what a server says of tasks on the standing stream of a session. False: it is about something else.
func (s *session) heardTask(l *link, m rpc.Message) bool {
	params := m.Params
	switch m.Method {
	case methodTaskStatus:
		params = l.p.tasks.status(s.taskCaller(l), params)
	case methodProgress:
		params = l.p.tasks.reported(s.taskCaller(l), params)
	default:
		return false
	}
	if params != nil && s.mayHear(l) {
		s.post(rpc.AppendNotification(nil, m.Method, params))
	}
	return true
}

// maxClientTasks is how many tasks of a client, begun by servers, one session remembers.
const maxClientTasks = 64

// clientTask is a task that a client keeps for a server: servers can have what they ask done as a task, too.
type clientTask struct {
	link *link
	id   string // the client's own, which no other server may name
}

// keepTask remembers that a client has begun a task for a server.
func (s *session) keepTask(l *link, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id == "" || len(id) > maxTheirTask {
		return
	}
	if len(s.clientTasks) == maxClientTasks {
		s.clientTasks = s.clientTasks[1:]
	}
	s.clientTasks = append(s.clientTasks, clientTask{l, id})
}

// taskOwner is the server for which the client keeps a task; nil: none, or it is forgotten.
func (s *session) taskOwner(id string) *link {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, kept := range s.clientTasks {
		if kept.id == id {
			return kept.link
		}
	}
	return nil
}

// able is able, for a session: a client that keeps tasks for servers can be asked about those of the server that asks.
func (s *session) able(l *link, m *rpc.Message) *rpc.Error {
	what, isTask := strings.CutPrefix(m.Method, "tasks/")
	if !isTask {
		return able(s.sealed.Capabilities, m.Method, m.Params)
	}
	declared := memberObject(s.sealed.Capabilities, "tasks")
	if declared == nil || s.sealed.Version != newestLegacy {
		return notAble(m.Method)
	}
	switch what {
	case "list", "cancel":
		if memberObject(declared, what) == nil {
			return notAble(m.Method)
		}
	case "get", "result":
	default:
		return notAble(m.Method)
	}
	if what != "list" && s.taskOwner(taskIn(m.Params)) != l {
		return &rpc.Error{Code: codeInvalidParams, Message: sayNoTask}
	}
	return nil
}

// heed looks at what a client answers a server: a task that it begins is that server's from now on, and of its tasks it is told no others.
func (s *session) heed(q *question, result []byte) []byte {
	switch {
	case q.begins:
		s.keepTask(q.link, taskIn(find(result, "task")))
	case q.lists:
		elements, err := rpc.Elements(nil, orEmptyArray(find(result, "tasks")))
		if err != nil {
			return emptyObject
		}
		own := elements[:0]
		for _, e := range elements {
			if s.taskOwner(taskIn(e)) == q.link {
				own = append(own, e)
			}
		}
		return joined(edited(result, rpc.Edit{Name: "tasks", Value: rpc.AppendArray(nil, own)}))
	}
	return result
}

func orEmptyArray(raw []byte) []byte {
	if len(raw) == 0 || raw[0] != '[' {
		return []byte("[]")
	}
	return raw
}

// tellStatus passes on what a client says of a task that it keeps for a server.
func (t *turn) tellStatus(p params) {
	for _, m := range p.rest {
		id, ok := rpc.String(m.Value)
		if m.Name != "taskId" || !ok {
			continue
		}
		l := t.session.taskOwner(id)
		if l == nil {
			return
		}
		t.session.mu.Lock()
		conn := t.session.conns[l]
		t.session.mu.Unlock()
		if conn == nil {
			return
		}
		if err := conn.Send(t.ctx, t.message.Method, p.rest); err != nil {
			t.proxy.log.Debug("a client's notification did not reach the server", "request_id", t.requestID(), "server", l.slug, "error", err)
		}
	}
}
