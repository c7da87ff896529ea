package proxy

import (
	"bytes"
	"container/list"
	"sync"
	"time"

	"mcpsidecar/proxy/rpc"
	"mcpsidecar/proxy/upstream"
)

// This file is calls that a legacy client has made as tasks and a modern server has answered at once: there it is the server that decides. The client is told of a task all the same, which is all that it expects, and its
// result waits here for a while.

// keptResult is one of them.
type keptResult struct {
	id, user string
	result   []byte
	began    time.Time
	kept     time.Time
}

// keptResults are those of all users. They die with the process.
type keptResults struct {
	now func() time.Time

	mu    sync.Mutex
	byID  map[string]*list.Element // of *keptResult
	order *list.List               // the oldest first
	bytes int
	users map[string]int // bytes of each; without zeros
}

// Bounds of what is kept. What does not fit pushes out the oldest.
const (
	keptTime         = 5 * time.Minute
	maxResults       = 64 << 20
	maxResultsOfUser = 16 << 20
	keptOverhead     = 512 // of one
)

func newKeptResults(now func() time.Time) *keptResults {
	return &keptResults{now: now, byID: map[string]*list.Element{}, order: list.New(), users: map[string]int{}}
}

func (k *keptResult) size() int { return len(k.result) + keptOverhead }

// put keeps a result; nil: it is too large.
func (k *keptResults) put(user string, result []byte, began time.Time) *keptResult {
	made := &keptResult{id: newSessionID(), user: user, result: result, began: began, kept: k.now()}
	k.mu.Lock()
	defer k.mu.Unlock()
	if made.size() > maxResultsOfUser {
		return nil
	}
	for e := k.order.Front(); e != nil && k.users[user]+made.size() > maxResultsOfUser; {
		oldest := e
		e = e.Next()
		if oldest.Value.(*keptResult).user == user {
			k.remove(oldest)
		}
	}
	for k.bytes+made.size() > maxResults {
		k.remove(k.order.Front())
	}
	k.byID[made.id] = k.order.PushBack(made)
	k.bytes += made.size()
	k.users[user] += made.size()
	return made
}

func (k *keptResults) remove(e *list.Element) {
	old := k.order.Remove(e).(*keptResult)
	delete(k.byID, old.id)
	k.bytes -= old.size()
	if k.users[old.user] -= old.size(); k.users[old.user] == 0 {
		delete(k.users, old.user)
	}
}

// of returns a user's result; nil: it is gone.
func (k *keptResults) of(user, id string) *keptResult {
	k.mu.Lock()
	defer k.mu.Unlock()
	e := k.byID[id]
	if e == nil {
		return nil
	}
	found := e.Value.(*keptResult)
	if found.user != user || k.now().Sub(found.kept) > keptTime {
		return nil
	}
	return found
}

// sweep forgets what has been kept for long enough.
func (k *keptResults) sweep() {
	k.mu.Lock()
	defer k.mu.Unlock()
	limit := k.now().Add(-keptTime)
	for e := k.order.Front(); e != nil && e.Value.(*keptResult).kept.Before(limit); e = k.order.Front() {
		k.remove(e)
	}
}

// state is the result as a task.
func (k *keptResult) state(ours, status string) []byte {
	text := func(at time.Time) []byte { return rpc.AppendString(nil, at.UTC().Format(time.RFC3339)) }
	return rpc.AppendObject(nil, []rpc.Member{
		{Name: "taskId", Value: rpc.AppendString(nil, ours)}, {Name: "status", Value: rpc.AppendString(nil, status)},
		{Name: "createdAt", Value: text(k.began)}, {Name: "lastUpdatedAt", Value: text(k.kept)}, {Name: "ttl", Value: []byte(keptTTL)},
	})
}

// keptTTL is keptTime in milliseconds.
const keptTTL = "300000"

// status is what has become of the task.
func (k *keptResult) status() string {
	if failedAsTool(k.result) {
		return "failed"
	}
	return "completed"
}

// keepResult answers a call that was made as a task and is over: with a task, which every one begins as one that works.
func (t *turn) keepResult(to *target, m *rpc.Message) {
	if kind := m.Find("resultType"); kind != nil && !rpc.Equal(kind, "complete") {
		t.unfinished("the server's answer is of a kind that this client cannot know")
		return
	}
	kept := t.proxy.results.put(t.scope.identity.User, bytes.Clone(legacyResult(m.Result)), t.started)
	if kept == nil {
		t.unfinished("the server has answered, but that is too large to be kept for a task")
		return
	}
	k := t.taskTicketFor(to.server.link, upstream.Modern, to.tool.tool.Name, kept.id)
	k.Kept = true
	ours, err := t.proxy.sealer.sealTask(&k)
	if err != nil {
		t.unfinished("the server has answered, but that cannot be kept for a task")
		return
	}
	t.proxy.tasks.learn(k.known(t.taskCaller(to.server.link), ours))
	t.outcome = outcomeOK
	t.finish([][]byte{[]byte(`{"task":`), kept.state(ours, "working"), closing})
}

// touchKept answers what is about such a task.
func (t *turn) touchKept() {
	kept := t.proxy.results.of(t.scope.identity.User, t.task.theirs)
	switch method := t.message.Method; {
	case kept == nil:
		t.fail(failUnknownTask())
	case method == "tasks/get":
		t.outcome = outcomeOK
		t.finish([][]byte{kept.state(t.task.ours, kept.status())})
	case method == "tasks/result":
		t.answerWith(joined(relate(kept.result, t.task.ours)))
	default:
		t.fail(failTaskOver(kept.status()))
	}
}
