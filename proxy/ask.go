package proxy

import (
	"context"
	"crypto/rand"
	"slices"
	"time"

	"mcpsidecar/proxy/rpc"
	"mcpsidecar/proxy/upstream"
)

// Asking bounds how long, and how much at once, servers may wait for what they ask clients. Zero values mean the defaults in brackets.
type Asking struct {
	Time    time.Duration // for an answer [5m]
	PerUser int           // calls that wait without a connection, of one user [16]
	Overall int           // of all users [1024]
	Bytes   int           // of the questions of those [16 MiB]
}

func (a Asking) orDefaults() Asking {
	if a.Time == 0 {
		a.Time = 5 * time.Minute
	}
	if a.PerUser == 0 {
		a.PerUser = 16
	}
	if a.Overall == 0 {
		a.Overall = 1024
	}
	if a.Bytes == 0 {
		a.Bytes = 16 << 20
	}
	return a
}

// maxQuestions is how many requests of servers may wait for one session at the same time.
const maxQuestions = 64

// question is a request to a legacy client that waits for its answer. It is its session's until somebody takes it: the client with an answer, the server by withdrawing it, or time. Whoever took it ends it, and nobody else.
type question struct {
	id       string // ours; nobody can guess it
	link     *link
	due      time.Time
	standing bool               // it was asked on a standing stream, outside of any call
	asked    *upstream.Asked    // of a legacy server; nil: what a modern server wants to know
	held     *upstream.Exchange // the call whose clock stands still meanwhile; nil: none
	told     chan told          // of a modern server: where the answer goes; has room for it
	key      string             // of a modern server: its name for the question
	begins   bool               // the client may begin a task for it
	lists    bool               // it asks for the client's tasks
}

// question is a legacy server's request to the client of a session.
func (s *session) question(l *link, m *rpc.Message, asked *upstream.Asked) *question {
	return &question{link: l, asked: asked, begins: find(m.Params, "task") != nil, lists: m.Method == "tasks/list"}
}

// told is what a client answered to one question of a modern server.
type told struct {
	key    string
	result []byte // raw; nil: the client answered with an error
	why    string
}

// pose makes a question the session's. False: the session is over, or has as many as it may.
func (s *session) pose(q *question) bool {
	q.id = s.questionID()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.finished || len(s.questions) >= maxQuestions {
		return false
	}
	if s.questions == nil {
		s.questions = map[string]*question{}
	}
	s.questions[q.id] = q
	return true
}

// take takes a question from the session; nil: it waits no more.
func (s *session) take(id string) *question {
	s.mu.Lock()
	q := s.questions[id]
	delete(s.questions, id)
	s.mu.Unlock()
	if q != nil && q.held != nil {
		q.held.Resume()
	}
	return q
}

// takeWhere takes all questions of which pick says so.
func (s *session) takeWhere(pick func(*question) bool) (taken []*question) {
	s.mu.Lock()
	var ids []string
	for id, q := range s.questions {
		if pick(q) {
			ids = append(ids, id)
		}
	}
	s.mu.Unlock()
	for _, id := range ids {
		if q := s.take(id); q != nil {
			s.remember(id)
			taken = append(taken, q)
		}
	}
	return taken
}

// maxLate is how many questions a session remembers that nobody waits for any more.
const maxLate = 64

// remember notes a question that the client may still answer: it could not know that nobody waits.
func (s *session) remember(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.late) == maxLate {
		s.late = s.late[1:]
	}
	s.late = append(s.late, id)
}

// isLate says, once, that a question was asked and is not waited for any more.
func (s *session) isLate(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.late, id)
	if i < 0 {
		return false
	}
	s.late = slices.Delete(s.late, i, i+1)
	return true
}

// questionStream is the kind of name that a question has: no stream's.
const questionStream = 'q'

// questionID makes the id of a question, which says that this session was asked, and in which of its lives. It is authenticated.
func (s *session) questionID() string {
	name := streamName{kind: questionStream, request: string(s.life[:])}
	rand.Read(name.number[:])
	return s.shelf.ids.write(s.id, name)
}

// isOlder says that a question was asked in an earlier life of this session, before a restart or a long rest: whoever asked it is gone.
func (s *session) isOlder(id string) bool {
	name, _, ok := s.shelf.ids.read(s.id, id+".0")
	return ok && name.kind == questionStream && name.request != string(s.life[:])
}

// request is the question as the client reads it.
func (q *question) request(method string, params []byte) []byte {
	return rpc.AppendRequest(nil, rpc.AppendString(nil, q.id), method, params)
}

// withdrawal tells the client that nobody waits for its answer any more.
func (q *question) withdrawal() []byte {
	id := rpc.AppendString([]byte(`{"requestId":`), q.id)
	return rpc.AppendNotification(nil, "notifications/cancelled", append(id, '}'))
}

// What a server reads when its question gets no answer.
const (
	sayTooLate  = "the client did not answer in time"
	sayGone     = "the client is gone, or has given up the request that this was about"
	sayDraining = "the sidecar is shutting down"
	sayTooMany  = "too many requests wait for this client's answer"
)

// refuse answers the server for a client that will not.
func (q *question) refuse(why string) {
	if q.asked != nil {
		q.asked.Refuse(rpc.Error{Code: codeInternal, Message: why})
	}
}

// respond takes a client's answer to a server's request (2025-11-25, Sending Messages to the Server). It goes to whoever asked this very session, and to nobody if nobody waits for it.
func (t *turn) respond() {
	if f := t.enterSession(); f != nil {
		t.fail(f)
		return
	}
	id, _ := rpc.String(t.message.ID)
	q := t.session.take(id)
	if q == nil && (t.session.isLate(id) || t.session.isOlder(id)) { // it crossed the end of the call, or of the process, and some clients take a refusal for the end of everything
		t.accepted()
		return
	}
	if q == nil {
		t.message.ID = nil // what it names is no request of the client's
		t.fail(failRequest("no request of this id waits for an answer in this session"))
		return
	}
	if q.asked == nil {
		q.told <- q.answer(&t.message)
	} else if err := t.pass(q); err != nil {
		t.proxy.log.Debug("a client's answer did not reach the server", "request_id", t.requestID(), "server", q.link.slug, "error", err)
	}
	t.accepted()
}

// pass brings the answer to a legacy server, also if the client does not wait for that.
func (t *turn) pass(q *question) error {
	ctx := t.ctx
	if s := t.proxy.snapshot.Load().bySlug[q.link.slug]; s != nil {
		ctx = t.passing(s)
	}
	ctx = context.WithoutCancel(ctx)
	if t.message.Kind == rpc.Response {
		return q.asked.Reply(ctx, t.proxy.forServer(t.session.heed(q, t.message.Result), t.scope.identity, q.link), nil)
	}
	failure, ok := rpc.ParseError(t.message.Error)
	if !ok {
		failure = rpc.Error{Code: codeInternal, Message: "the client answered with an error that cannot be read"}
	}
	return q.asked.Reply(ctx, nil, &failure)
}

// answer keeps what a client said to a question of a modern server.
func (q *question) answer(m *rpc.Message) told {
	if m.Kind == rpc.Response {
		return told{key: q.key, result: joined(relate(append([]byte(nil), m.Result...), ""))} // tasks have no such names there
	}
	failure, _ := rpc.ParseError(m.Error)
	return told{key: q.key, why: failure.Message}
}
