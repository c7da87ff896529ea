package proxy

import (
	"mcpsidecar/policy"
	"mcpsidecar/proxy/rpc"
	"mcpsidecar/proxy/upstream"
)

// This file is methods of extensions the other way round: what a server says and asks in them reaches the client in the same places in which the client's reach the server, judged by the rules of the moment. Only legacy servers ask
// anything. What an extension's request needs the client to declare only the extension knows: a client that does not know it answers so itself, and in all other places we do.

// passesBack says whether a method of an extension may come from this server to a client at a path.
func (l *link) passesBack(only string, question policy.Request, method string) bool {
	if only != l.slug {
		return false
	}
	s := l.p.snapshot.Load().bySlug[l.slug]
	return s != nil && s.link == l && s.decideUse(question, policy.Extensions, method).Allowed
}

// mayAsk says whether a legacy server's request in the course of this one is that of an extension which the client may be asked.
func (t *turn) mayAsk(method string) bool {
	return isExtension(method) && t.server.link.passesBack(t.scope.only, t.scope.question, method)
}

// tellBack passes a notification of an extension on, if client and server are of one era.
func (t *turn) tellBack(era upstream.Era, m *rpc.Message) error {
	if (era == upstream.Modern) != t.modern || !isExtensionNotification(m.Method) || !t.server.link.passesBack(t.scope.only, t.scope.question, m.Method) {
		return nil
	}
	if !accepts(t.r.Header, "text/event-stream") {
		return nil
	}
	t.startStream()
	return t.event(rpc.AppendNotification(nil, m.Method, m.Params), true)
}

// mayAsk is the same for what a legacy server asks outside of requests.
func (s *session) mayAsk(l *link, method string) bool {
	return isExtension(method) && l.passesBack(s.sealed.Path, s.request(l), method)
}

// heardExtension passes on what a legacy server says on the standing stream. False: it is about something else.
func (s *session) heardExtension(l *link, m rpc.Message) bool {
	if !isExtensionNotification(m.Method) {
		return false
	}
	if l.passesBack(s.sealed.Path, s.request(l), m.Method) {
		s.post(rpc.AppendNotification(nil, m.Method, m.Params))
	}
	return true
}

// extends says whether this is a session with one server that exposes its extensions to it.
func (s *session) extends(l *link) bool {
	if s.sealed.Path != l.slug {
		return false
	}
	from := l.p.snapshot.Load().bySlug[l.slug]
	return from != nil && from.link == l && from.decideSurface(s.request(l), policy.Extensions).Allowed
}

// hearExtensions has a server with extensions heard for as long as its client listens, also if that has not called anything: whoever hears nothing until then would miss what an extension is for. The rest of a session waits for the first call.
func (t *turn) hearExtensions() {
	if t.session == nil || t.scope.only == "" {
		return
	}
	s := t.proxy.snapshot.Load().bySlug[t.scope.only]
	if s == nil || s.link == nil || t.session.has(s.link) || !t.session.extends(s.link) || !s.link.acquire() {
		return
	}
	session, p := t.session, t.proxy
	p.goroutines.Go(func() { // which may have to wait for a credential
		defer s.link.release()
		if way, signIn := s.link.of(p.background, session.sealed.User); !signIn {
			session.conn(p.background, s.link, way)
		}
	})
}

// has says whether the session has a way to a server.
func (s *session) has(l *link) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns[l] != nil
}
