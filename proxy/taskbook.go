package proxy

import (
	"container/list"
	"sync"
	"sync/atomic"
	"time"
)

// taskBook remembers tasks that callers have begun here, or asked about: to tell their own from others' in what servers list and notify, which says ids only. Nothing hangs on it: it is forgotten when it is full, and by
// the end of the process, and then filled again as ids come back.
type taskBook struct {
	now func() time.Time

	size atomic.Int64 // of tasks

	mu      sync.Mutex
	callers map[taskCaller]map[string]*list.Element // of *knownTask, by the server's id; none is empty
	order   *list.List                              // the longest unused first
	bytes   int
	users   map[string]int // bytes of each user's; without zeros
}

// taskCaller is one caller at one server.
type taskCaller struct{ user, tokenID, server string } // link.tasksAt

// knownTask is one of them; it is immutable but for its use.
type knownTask struct {
	caller   taskCaller
	id       string // the server's
	ours     string // the id that the client has; empty: it knows nothing of the task
	tool     string // original name
	modern   bool   // its client is
	across   bool   // its server is of the other era
	kept     bool   // see taskkept.go
	begun    int64  // see taskTicket
	progress taskProgress

	used time.Time
}

// taskProgress is how a task's progress is reported: the token of the request that began it stays good.
type taskProgress struct{ theirs, client string } // raw; client is empty if no progress is wanted

func (k *knownTask) size() int {
	return 256 + len(k.caller.user) + len(k.id) + len(k.ours) + len(k.tool) + len(k.progress.client)
}

// Bounds of the book.
const (
	maxTasksEach       = 256     // of one caller at one server
	maxTaskBytes       = 8 << 20 // of all
	maxTaskBytesOfUser = 1 << 20 // of one user, with all tokens and at all servers
	taskIdle           = 24 * time.Hour
)

func newTaskBook(now func() time.Time) *taskBook {
	return &taskBook{now: now, callers: map[taskCaller]map[string]*list.Element{}, order: list.New(), users: map[string]int{}}
}

// learn notes a task, or that it is still in use. What is known of its progress stays known.
func (b *taskBook) learn(task knownTask) {
	b.mu.Lock()
	defer b.mu.Unlock()
	task.used = b.now()
	if e := b.callers[task.caller][task.id]; e != nil {
		if task.progress == (taskProgress{}) {
			task.progress = e.Value.(*knownTask).progress
		}
		b.remove(e)
	}
	if own := b.callers[task.caller]; len(own) >= maxTasksEach {
		b.remove(leastUsed(own))
	}
	b.makeRoom(task.caller.user, task.size())
	for b.bytes+task.size() > maxTaskBytes && b.order.Len() > 0 {
		b.remove(b.order.Front())
	}
	own := b.callers[task.caller]
	if own == nil {
		own = map[string]*list.Element{}
		b.callers[task.caller] = own
	}
	own[task.id] = b.order.PushBack(&task)
	b.size.Add(1)
	b.bytes += task.size()
	b.users[task.caller.user] += task.size()
}

// makeRoom forgets the longest unused tasks of a user who has more than a share, so that nobody pushes out those of others by having many. The caller holds mu.
func (b *taskBook) makeRoom(user string, size int) {
	for e := b.order.Front(); e != nil && b.users[user]+size > maxTaskBytesOfUser; {
		oldest := e
		e = e.Next()
		if oldest.Value.(*knownTask).caller.user == user {
			b.remove(oldest)
		}
	}
}

func leastUsed(own map[string]*list.Element) (oldest *list.Element) {
	for _, e := range own {
		if oldest == nil || e.Value.(*knownTask).used.Before(oldest.Value.(*knownTask).used) {
			oldest = e
		}
	}
	return oldest
}

func (b *taskBook) remove(e *list.Element) {
	task := b.order.Remove(e).(*knownTask)
	b.size.Add(-1)
	own := b.callers[task.caller]
	if delete(own, task.id); len(own) == 0 {
		delete(b.callers, task.caller)
	}
	b.bytes -= task.size()
	if b.users[task.caller.user] -= task.size(); b.users[task.caller.user] == 0 {
		delete(b.users, task.caller.user)
	}
}

// forget drops a task that its server does not know any more.
func (b *taskBook) forget(task *knownTask) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.callers[task.caller][task.id]; e != nil {
		b.remove(e)
	}
}

// find returns a task by its server's id; nil: it is not this caller's, or was forgotten.
func (b *taskBook) find(of taskCaller, id string) *knownTask {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.callers[of][id]; e != nil {
		return e.Value.(*knownTask)
	}
	return nil
}

// reports returns the task whose progress carries a token; nil: nobody wants to know.
func (b *taskBook) reports(of taskCaller, token string) *knownTask {
	for _, task := range b.of(of) {
		if task.progress.theirs == token && task.progress.client != "" {
			return task
		}
	}
	return nil
}

// of are a caller's tasks at one server.
func (b *taskBook) of(caller taskCaller) (tasks []*knownTask) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.callers[caller] {
		tasks = append(tasks, e.Value.(*knownTask))
	}
	return tasks
}

// any says whether a caller has tasks at a server.
func (b *taskBook) any(of taskCaller) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.callers[of]) > 0
}

// empty says that nobody has tasks. It takes no lock.
func (b *taskBook) empty() bool { return b.size.Load() == 0 }

// sweep forgets what nobody has asked about for long.
func (b *taskBook) sweep() {
	b.mu.Lock()
	defer b.mu.Unlock()
	limit := b.now().Add(-taskIdle)
	for e := b.order.Front(); e != nil && e.Value.(*knownTask).used.Before(limit); e = b.order.Front() {
		b.remove(e)
	}
}
