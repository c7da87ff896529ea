package proxy

import (
	"bytes"
	"context"
	"strconv"
	"time"

	"mcpsidecar/proxy/rpc"
	"mcpsidecar/proxy/upstream"
)

// This file is tasks between the eras. A task stays its server's, and its state is told in the words of the client's era: where that fetches a result with a request of its own (2025-11-25), we look into the state for it
// (taskfollow.go); where the state has it (the extension), we fetch it (taskfetch.go).

// begunAcross is the result of a call that has begun a task, in the shape of the client's era.
func (t *turn) begunAcross(m *rpc.Message, begun []byte, ours string) [][]byte {
	if t.modern {
		return modernBegun(m, begun, ours)
	}
	return [][]byte{[]byte(`{"task":`), legacyState(begun, ours), closing}
}

// touchAcross does what a client wants with a task of a server of the other era.
func (t *turn) touchAcross(ctx context.Context, to *target, conn *upstream.Conn, params []rpc.Member) {
	switch method := t.message.Method; {
	case t.modern && method == "tasks/get":
		t.fetchState(ctx, to, conn)
	case t.modern && method == "tasks/update":
		t.update(ctx, to, params)
	case t.modern:
		t.cancelFetched(ctx, to, conn)
	case method == "tasks/get":
		t.tellState(ctx, to, conn)
	case method == "tasks/result":
		t.followToResult(ctx, to, conn)
	default:
		t.cancelFollowed(ctx, to, conn)
	}
}

// reply is what a server answered to something that we have asked it: one of both.
type reply struct {
	result  []byte // raw
	failure []byte // raw error
}

// query asks a server about a task.
func (t *turn) query(ctx context.Context, to *target, conn *upstream.Conn, call upstream.Call) (reply, error) {
	call.Timeout = to.server.link.timeout
	sending, sent := t.openOutbound(ctx, to, &call)
	got, ex, err := ask(sending, conn, *sent, func(asked *upstream.Asked, m *rpc.Message) bool {
		if !t.modern || relatedTask(m.Params) != t.task.theirs {
			return false
		}
		v := t.vigil(to, conn)
		return v != nil && v.pose(asked, m)
	})
	t.sentOutbound(ex, err)
	t.endOutbound()
	return got, err
}

// ask has a server's answer; the exchange is over. What comes before it is of no use to anybody here, but for questions, which are refused where pose does not take them.
func ask(ctx context.Context, conn *upstream.Conn, call upstream.Call, pose func(*upstream.Asked, *rpc.Message) bool) (reply, *upstream.Exchange, error) {
	ex, err := conn.Do(ctx, call)
	if err != nil {
		return reply{}, nil, err
	}
	defer ex.Close()
	for {
		switch m, err := ex.Next(); {
		case err != nil:
			return reply{}, ex, err
		case m.Kind == rpc.Response:
			return reply{result: bytes.Clone(m.Result)}, ex, nil
		case m.Kind == rpc.ErrorResponse:
			return reply{failure: bytes.Clone(m.Error)}, ex, nil
		case m.Kind == rpc.Request:
			if asked := ex.Asked(&m); !pose(asked, &m) {
				asked.Refuse(*notAble(m.Method))
			}
		}
	}
}

// poseToNobody is for where nobody can be asked.
func poseToNobody(*upstream.Asked, *rpc.Message) bool { return false }

// aboutTask is a request about a task.
func aboutTask(method, id string, more ...rpc.Member) upstream.Call {
	return upstream.Call{Method: method, Name: id, Params: append([]rpc.Member{{Name: "taskId", Value: rpc.AppendString(nil, id)}}, more...)}
}

// aboutTask is one from this client, who can deal with tasks.
func (t *turn) aboutTask(method, id string, more ...rpc.Member) upstream.Call {
	call := aboutTask(method, id, more...)
	call.Capabilities, call.ClientInfo = t.ableToTasks(), t.meta.clientInfo
	return call
}

// ableToTasks is what the client has declared, and that tasks can be dealt with: by the client in its own era's words, or by us in its stead. A legacy server was told what there is to be told already.
func (t *turn) ableToTasks() []byte {
	if t.session == nil {
		return t.meta.capabilities
	}
	declared := orEmpty(t.session.sealed.announced())
	extensions := joined(edited(orEmpty(memberObject(declared, "extensions")), rpc.Edit{Name: tasksExtension, Value: emptyObject}))
	return joined(edited(declared, rpc.Edit{Name: "extensions", Value: extensions}))
}

// taskNames are the members of a task's state that a client of the other era reads under another name, or not at all if that is empty.
type taskNames map[string]string

// forLegacy are those of the extension's state as 2025-11-25 has it: what came of the task, and what it wants, is told elsewhere.
var forLegacy = taskNames{
	"ttlMs": "ttl", "pollIntervalMs": "pollInterval",
	"ttl": "", "pollInterval": "", "resultType": "", "result": "", "error": "", "inputRequests": "", "requestState": "",
}

// restate is the state of a task with the client's id and another status, in the names of the client's era.
func (names taskNames) restate(raw []byte, id, status string) []rpc.Member {
	members, err := rpc.Members(nil, raw)
	if err != nil {
		members = nil
	}
	told := make([]rpc.Member, 0, len(members)+1)
	for _, m := range members {
		name, differs := names[m.Name]
		switch {
		case m.Name == "taskId":
			m.Value = rpc.AppendString(nil, id)
		case m.Name == "status":
			m.Value = rpc.AppendString(nil, status)
		case m.Name == "_meta":
			if m.Value = withoutServerInfo(orEmpty(object(m.Value))); m.Value == nil || relatedTask(raw) != "" {
				continue
			}
		case differs && name == "":
			continue
		case differs:
			m = rpc.Member{Name: name, Value: m.Value}
		}
		told = append(told, m)
	}
	return told
}

// withMember are these members, with another one if it is not among them.
func withMember(members []rpc.Member, name, value string) []rpc.Member {
	for _, m := range members {
		if m.Name == name {
			return members
		}
	}
	return append(members, rpc.Member{Name: name, Value: []byte(value)})
}

// statusOf is the status of a task in its server's words.
func statusOf(state []byte) string {
	status, _ := rpc.String(find(state, "status"))
	return status
}

func hasEnded(status string) bool {
	return status == "completed" || status == "failed" || status == "cancelled"
}

// failedAsTool says whether what came of a call is that its tool has failed.
func failedAsTool(result []byte) bool { return string(find(result, "isError")) == "true" }

// Bounds of how often a server is asked how a task is.
const (
	leastPoll = 100 * time.Millisecond
	usualPoll = time.Second
	mostPoll  = 30 * time.Second
)

// pollAfter is when a server wants to be asked again.
func pollAfter(state []byte, member string) time.Duration {
	ms, err := strconv.ParseFloat(string(find(state, member)), 64)
	if err != nil {
		return usualPoll
	}
	return time.Duration(min(max(ms, float64(leastPoll/time.Millisecond)), float64(mostPoll/time.Millisecond))) * time.Millisecond
}
