package proxy

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"strconv"

	"mcpsidecar/policy"
	"mcpsidecar/proxy/rpc"
	"mcpsidecar/proxy/upstream"
)

// This file is taskIds of subscriptions/listen (extension Tasks, Task Status Notifications): a modern client hears of its tasks as a server says how they are. Each id is judged as a touch of the task when it is asked for, and again
// whenever something is to be told. It is heard on a way of the caller's own, which declares what the caller has declared; what may have been missed there, or does not fit while the client does not read, is asked of the server instead.

const methodTasks = "notifications/tasks"

// onlyTasks is what is declared for a client that declares too much, or too many different things.
var onlyTasks = []byte(`{"extensions":{"` + tasksExtension + `":{}}}`)

// taskKey tells a task from a resource among what a watcher watches.
func taskKey(id string) string { return "\x00" + id }

// resolveTask opens an id and judges the task.
func (t *turn) resolveTask(one *wish) {
	one.decision, one.err = policy.Decision{Reason: policy.Unknown}, errUnknown
	k, err := t.proxy.sealer.openTask(one.name)
	if err != nil || !k.belongsTo(t.scope.identity, true) {
		return
	}
	one.to = t.taskTarget(k)
	to := &one.to
	one.decision = t.judgeTask(to, k)
	switch {
	case !one.decision.Allowed:
	case to.err != nil:
		one.err = to.err
	case to.signIn:
		one.err = ErrSignIn
	default:
		one.err = nil
		one.watch = &watch{name: taskKey(one.name), uri: k.ID, task: k, question: t.scope.question}
	}
}

// taskBoard is where a caller's tasks at a server hang.
func (m *modernCallers) taskBoard(key modernKey, declared []byte, a *access) *board {
	key.link, key.apart = a.link, hearsTasks
	value, ok := m.conns.Load(key)
	if !ok {
		value = m.makeForTasks(key, declared, a)
	}
	held := value.(*modernConn)
	if key.abilities != 0 && held.declared != nil && !bytes.Equal(held.declared, declared) { // the hashes are the same
		key.abilities = 0
		return m.taskBoard(key, nil, a)
	}
	held.used.Store(m.now().Unix())
	return held.board
}

// makeForTasks makes that way, unless somebody else just has.
func (m *modernCallers) makeForTasks(key modernKey, declared []byte, a *access) any {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.sets[key.alike()] >= maxSets {
		key.abilities = 0
	}
	if value, ok := m.conns.Load(key); ok {
		return value
	}
	made := &modernConn{}
	config := upstream.ConnConfig{Header: a.header, Tasks: true, Capabilities: onlyTasks, Notify: func(m rpc.Message) {
		if m.Method == methodTasks {
			made.board.progressed(m.Params)
		}
	}}
	if key.abilities != 0 {
		made.declared = bytes.Clone(declared)
		config.Capabilities = made.declared
	}
	made.conn = key.link.upstream.Conn(config)
	made.board = ownBoard(key.link, made.conn)
	m.conns.Store(key, made)
	m.sets[key.alike()]++
	return made
}

// progressed hears how a task is, and tells whoever listens for it. It waits for nothing.
func (b *board) progressed(state []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, w := range b.by[taskIn(state)] {
		w.by.noteTask(w, b.link, state)
	}
}

// taskHome is where a task hangs now.
func (w *watcher) taskHome(ctx context.Context, one *watch) (*board, error) {
	s := w.p.snapshot.Load().byID(one.task.Server)
	if s == nil || s.link == nil || !s.decideServer(one.question).Allowed {
		return nil, errNoWatch
	}
	way, needs := s.link.of(ctx, w.user)
	if needs {
		return nil, ErrSignIn
	}
	v, _, err := way.lists.tools.get(ctx)
	if err != nil {
		return nil, err
	}
	said := way.lists.offers.Load()
	if !said.modern || !said.tasks.calls || !bytes.Equal(s.link.place, one.task.Place) || !s.decide(one.question, one.task.Tool, v.byName[one.task.Tool]).Allowed {
		return nil, errNoWatch
	}
	return w.ownTasks(way), nil
}

// noteTask remembers how a task is until somebody tells the client; what was to be told of it before is not told any more. A state that there is no room for is asked of the server then.
func (w *watcher) noteTask(of *watch, by *link, state []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.watches[of.name] != of {
		return
	}
	before, waits := w.news[of.name]
	w.forget(before)
	if !waits {
		w.order = append(w.order, of.name)
	}
	what := news{of: of, link: by, uri: of.uri}
	if size := int64(len(state)); find(state, "status") != nil && w.room.fit(size) {
		w.room.add(size)
		what.state = bytes.Clone(state)
	}
	w.news[of.name] = what
	w.signal()
}

// postpone leaves what cannot be told now to the next time that subscriptions are looked after.
func (w *watcher) postpone(what news) {
	w.mu.Lock()
	defer w.mu.Unlock()
	name := what.of.name
	if _, waits := w.news[name]; waits || w.watches[name] != what.of {
		return
	}
	what.state = nil
	w.news[name] = what
	w.order = append(w.order, name)
}

// remind wakes a stream if there is something that was postponed.
func (w *watcher) remind() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.order) > 0 {
		w.signal()
	}
}

// forget gives back the room of a state.
func (w *watcher) forget(what news) {
	if what.state != nil {
		w.room.add(-int64(len(what.state)))
	}
}

// tellTask tells the client how one of its tasks is, if it may still know. A task that has ended has nothing more to tell.
func (t *turn) tellTask(w *watcher, what news) error {
	defer w.forget(what)
	k := what.of.task
	to := t.taskAtHand(k)
	if !t.judgeTask(&to, k).Allowed || to.err != nil || to.signIn || to.server.link != what.link {
		return nil
	}
	state := what.state
	if state == nil {
		state = t.stateNow(w, what, &to)
	}
	if state = t.taskNews(what.of, state); state == nil {
		return nil
	}
	if sum := sha256.Sum256(state); sum != what.of.told { // of two streams, of which one takes the place of the other, both may tell
		what.of.told = sum
		if err := t.event(rpc.AppendNotification(nil, methodTasks, state), true); err != nil {
			return err
		}
	}
	if hasEnded(statusOf(state)) {
		w.unsubscribe(what.of.name)
	}
	return nil
}

// taskAtHand is taskTarget by what is known of the server's tools: a stream that stands waits for no list.
func (t *turn) taskAtHand(k *taskTicket) (to target) {
	s := t.taskServer(k)
	if to.server = s; s == nil || s.link == nil || !s.decideServer(t.scope.question).Allowed {
		to.server = nil
		return to
	}
	if to.way, to.signIn = s.link.of(t.ctx, t.scope.identity.User); to.way.lists.tools.list() != nil {
		to.tool = to.way.lists.tools.list().byName[k.Tool]
	}
	return to
}

// taskNews is what a server says of a task as this client hears it; nil: it cannot be told, since the task wants what the client has not declared that it can give (M-07).
func (t *turn) taskNews(of *watch, state []byte) []byte {
	if find(state, "status") == nil {
		return nil
	}
	if find(state, "inputRequests") != nil {
		m, err := rpc.Read(rpc.AppendResult(nil, t.message.ID, state))
		if err != nil {
			return nil
		}
		if _, why := readInputs(&m, t.meta.capabilities); why != "" {
			t.proxy.log.Debug("a task is not told of", "request_id", t.requestID(), "reason", why)
			return nil
		}
	}
	ours := of.name[len(taskKey("")):]
	if relatedTask(state) != "" {
		state = joined(relate(state, ours))
	}
	meta := joined(edited(orEmpty(memberObject(state, "_meta")), rpc.Edit{Name: metaSubscription, Value: t.message.ID}))
	return joined(edited(state, rpc.Edit{Name: "taskId", Value: rpc.AppendString(nil, ours)}, rpc.Edit{Name: "resultType"}, rpc.Edit{Name: "_meta", Value: meta}))
}

// stateNow asks how a task is whose state was not said, or not kept; nil: that cannot be had, or not yet.
func (t *turn) stateNow(w *watcher, what news, to *target) []byte {
	state, err := t.askTask(to, what.of.task)
	switch {
	case err == nil:
		return state
	case errors.Is(err, errNoTask):
		w.unsubscribe(what.of.name)
	default:
		t.proxy.log.Debug("a task could not be asked about", "request_id", t.requestID(), "server", to.server.slug, "error", err)
		w.postpone(what)
	}
	return nil
}

var errUnasked = errors.New("the server answered with an error")

// askTask asks a server how a task is.
func (t *turn) askTask(to *target, k *taskTicket) (state []byte, err error) {
	s, identity := to.server, t.scope.identity
	if !s.link.acquire() {
		return nil, errLinkEnded
	}
	defer s.link.release()
	conn := t.proxy.callers.conn(t.ctx, identity.User, identity.TokenID, t.meta.capabilities, s.link, to.way, 0)
	call := aboutTask("tasks/get", k.ID)
	call.Capabilities, call.ClientInfo, call.Timeout = t.meta.capabilities, t.meta.clientInfo, resolveTime
	got, _, err := ask(t.passing(s), conn, call, poseToNobody)
	switch code := find(got.failure, "code"); {
	case err != nil:
		return nil, err
	case string(code) == strconv.Itoa(codeInvalidParams):
		return nil, errNoTask
	case got.failure != nil:
		return nil, errUnasked
	}
	return got.result, nil
}
