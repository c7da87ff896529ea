package proxy

import (
	"slices"
	"time"

	"mcpsidecar/policy"
	"mcpsidecar/proxy/rpc"
	"mcpsidecar/proxy/upstream"
)

// This file is what a legacy server says to a session of its own accord, outside of any call: it goes to the session's standing stream.

// maxElicitations bounds how many elicitations of URL mode a session remembers.
const maxElicitations = 64

// elicitation is one of URL mode that a server may say is complete.
type elicitation struct {
	link *link
	id   string
}

// connect makes the session's way to a server. Where the client can be asked something, the server's standing stream is listened to as well: some ask there even in the middle of a call.
func (s *session) connect(l *link, a *access) *upstream.Conn {
	config := upstream.ConnConfig{
		Header: a.header, ClientInfo: s.sealed.Client, Capabilities: s.sealed.announced(), Version: s.sealed.Version,
	}
	others := s.ownHears(l, a.lists.notified)
	config.Notify = func(m rpc.Message) {
		if !s.heard(l, m) {
			others(m)
		}
	}
	if !answers(config.Capabilities) && !s.extends(l) {
		return l.upstream.Conn(config)
	}
	config.Sessions = true
	config.Ask = func(m rpc.Message, asked *upstream.Asked) bool { return s.askStanding(l, m, asked) }
	conn := l.upstream.Conn(config)
	b := ownBoard(l, conn)
	b.rest = func() {} // it is listened to anyway
	b.listen()
	if s.boards == nil {
		s.boards = map[*link]*board{}
	}
	s.boards[l] = b
	return conn
}

// mayHear says whether a server may still say something to the session of its own accord: the rules of this moment let one of its requests reach the server.
func (s *session) mayHear(l *link) bool {
	from := l.p.snapshot.Load().bySlug[l.slug]
	return from != nil && from.link == l && from.decideServer(s.request(l)).Allowed
}

// request is what the session asks the policy about one server.
func (s *session) request(l *link) policy.Request {
	as := s.sealed
	return policy.Request{User: as.User, Mode: as.Mode, Agent: as.Agent, Selection: narrow(as.Selection, []string{l.slug})}
}

// askStanding passes a server's request on to the standing stream. False: there is none, or not for this server any more.
func (s *session) askStanding(l *link, m rpc.Message, asked *upstream.Asked) bool {
	if !s.mayHear(l) {
		return false
	}
	if refusal := s.able(l, &m); refusal != nil && !s.mayAsk(l, m.Method) {
		asked.Refuse(*refusal)
		return true
	}
	q := s.question(l, &m, asked)
	q.due, q.standing = time.Now().Add(l.p.config.Asking.Time), true
	m.Params = l.p.tasks.forClient(s.taskCaller(l), m.Params)
	if !s.pose(q) {
		return false
	}
	s.noteElicitation(l, m.Method, m.Params)
	if !s.post(q.request(m.Method, m.Params)) {
		return s.take(q.id) == nil
	}
	return true
}

// heard deals with what a server tells this session alone. False: it is about the server's lists.
func (s *session) heard(l *link, m rpc.Message) bool {
	m.Params = l.p.tasks.forClient(s.taskCaller(l), m.Params)
	if s.heardTask(l, m) {
		return true
	}
	switch m.Method {
	case "notifications/elicitation/complete":
		if s.elicited(l, m.Params) && s.mayHear(l) {
			s.post(rpc.AppendNotification(nil, m.Method, m.Params))
		}
	case "notifications/cancelled":
		id := find(m.Params, "requestId")
		for _, q := range s.takeWhere(func(q *question) bool {
			return q.standing && q.link == l && id != nil && string(q.asked.ID()) == string(id)
		}) {
			s.post(q.withdrawal())
		}
	case "notifications/message":
		level, _ := rpc.String(find(m.Params, "level"))
		if wanted := s.logLevel(); (wanted == "" || levelOf(level) >= levelOf(wanted)) && s.mayHear(l) {
			s.post(rpc.AppendNotification(nil, m.Method, m.Params))
		}
	default:
		return s.heardExtension(l, m)
	}
	return true
}

// post leaves a message for one of the standing streams. False: there is none, or it does not fit.
func (s *session) post(message []byte) bool { return s.shelf.say(message) }

// silence ends what waits for a standing stream when the last one has ended.
func (s *session) silence() {
	for _, q := range s.takeWhere(func(q *question) bool { return q.standing }) {
		q.refuse(sayGone)
	}
}

// lapse ends what has waited for too long on standing streams.
func (s *session) lapse(now time.Time) {
	for _, q := range s.takeWhere(func(q *question) bool { return q.standing && !now.Before(q.due) }) {
		q.refuse(sayTooLate)
		s.post(q.withdrawal())
	}
}

// noteElicitation remembers an elicitation of URL mode that the client is shown.
func (s *session) noteElicitation(l *link, method string, params []byte) {
	id, ok := rpc.String(find(params, "elicitationId"))
	if method != methodElicit || !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.elicitations) == maxElicitations {
		s.elicitations = slices.Delete(s.elicitations, 0, 1)
	}
	s.elicitations = append(s.elicitations, elicitation{l, id})
}

// elicited says whether a server may tell this client that an elicitation is complete, which it may once.
func (s *session) elicited(l *link, params []byte) bool {
	id, ok := rpc.String(find(params, "elicitationId"))
	s.mu.Lock()
	defer s.mu.Unlock()
	at := slices.Index(s.elicitations, elicitation{l, id})
	if !ok || at < 0 {
		return false
	}
	s.elicitations = slices.Delete(s.elicitations, at, at+1)
	return true
}

// tellRoots passes on to the session's legacy servers that the client's roots are others now.
func (s *session) tellRoots(p *Proxy) {
	s.mu.Lock()
	conns := make([]*upstream.Conn, 0, len(s.conns))
	for _, conn := range s.conns {
		conns = append(conns, conn)
	}
	s.mu.Unlock()
	for _, conn := range conns {
		p.goroutines.Go(func() { conn.Tell(p.background, "notifications/roots/list_changed") })
	}
}
