package proxy

import (
	"context"
	"slices"
	"strings"

	"mcpsidecar/policy"
	"mcpsidecar/proxy/rpc"
	"mcpsidecar/proxy/upstream"
)

// This file is methods that the specification does not know. They pass on /mcp/{slug}, to a server that exposes extensions and speaks the client's era, as they are: what they mean, and how the other era would say it, nobody here can know.

// maxExtensionMethod is how long such a method may be.
const maxExtensionMethod = 128

// reserved are the first parts of methods that only the rules for them let pass, and those that a lenient server could take for one. Whatever begins with one of these, in any case, is no extension's.
var reserved = []string{
	"initialize", "initialized", "ping", "cancelled", "progress", "message", "rpc", "mcp", "sidecar", "mcp-sidecar",
	"tool", "tools", "prompt", "prompts", "resource", "resources", "completion", "completions", "logging", "root", "roots", "sampling", "elicitation", "task", "tasks",
	"server", "client", "session", "sessions", "subscription", "subscriptions", "notification", "notifications",
}

// isExtension says whether a method can be an extension's: made of plain parts, so that no two servers read it differently, of which the first is not reserved.
func isExtension(method string) bool {
	if method == "" || len(method) > maxExtensionMethod || strings.HasPrefix(strings.ToLower(method), strings.ToLower(tasksExtension)) {
		return false
	}
	parts := strings.FieldsFunc(method, separates)
	if len(parts) == 0 || slices.Contains(reserved, strings.ToLower(parts[0])) {
		return false
	}
	rest := method
	for i, part := range parts { // exactly one separator between two parts, and none around them
		if i > 0 {
			rest = rest[1:]
		}
		if !strings.HasPrefix(rest, part) || strings.ContainsFunc(part, unusual) {
			return false
		}
		rest = rest[len(part):]
	}
	return rest == ""
}

func separates(r rune) bool { return r == '/' || r == '.' || r == ':' }

// unusual is a character that no part of a method has.
func unusual(r rune) bool {
	return r != '_' && r != '-' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
}

// isExtensionNotification says the same of a notification, whose name usually has the prefix of all notifications.
func isExtensionNotification(method string) bool {
	return isExtension(strings.TrimPrefix(method, "notifications/"))
}

// serveExtension answers a request of an extension. False: this is no place for one.
func (t *turn) serveExtension(p params) bool {
	method := t.message.Method
	if t.scope.only == "" || !isExtension(method) {
		return false
	}
	t.recordCall(method)
	to := t.extensionTarget()
	if t.reject(&to, policy.Extensions, method, failMethod(method)) {
		return true
	}
	name, f := t.repeatedName(p.rest)
	if f != nil {
		t.fail(f)
		return true
	}
	t.perform(&to, t.outgoing(to.server, name, p.rest))
	return true
}

// extensionTarget is the server of the path, if it can be sent what this client says. Where the eras differ it is as if it knew no such method.
func (t *turn) extensionTarget() (to target) {
	to = t.reach(t.proxy.snapshot.Load().bySlug[t.scope.only], policy.Extensions)
	if to.way == nil {
		return to
	}
	var said *offers
	if said, to.err = to.way.lists.offered(t.passing(to.server)); to.err == nil {
		to.known = said.modern == t.modern || said.both && !t.modern && t.speaksLegacy(&to)
	}
	return to
}

// speaksLegacy says whether a server of both eras is spoken to in the older one by this session.
func (t *turn) speaksLegacy(to *target) bool {
	conn := t.session.conn(t.ctx, to.server.link, to.way)
	if conn == nil {
		return false
	}
	info, err := conn.Info(t.passing(to.server))
	to.err = err
	return err == nil && info.Era == upstream.Legacy
}

// repeatedName is what the client repeats of the params in Mcp-Name; empty: nothing. Which member it is only the extension knows, but one it must be: what is sent on has to agree with the body.
func (t *turn) repeatedName(rest []rpc.Member) (string, *failure) {
	values := t.r.Header[nameHeader]
	if len(values) == 0 {
		return "", nil
	}
	if len(values) == 1 {
		if name, err := rpc.DecodeHeader(values[0]); err == nil && name != "" && slices.ContainsFunc(rest, func(m rpc.Member) bool { return rpc.Equal(m.Value, name) }) {
			return name, nil
		}
	}
	return "", failHeader("Mcp-Name is no member of the params")
}

// tellExtension passes a notification of an extension on. False: this is no place for one, or nobody is to hear it; nobody learns which.
func (t *turn) tellExtension(p params) bool {
	method := t.message.Method
	if t.scope.only == "" || !isExtensionNotification(method) {
		return false
	}
	t.recordCall(method)
	to := t.extensionTarget()
	t.server = to.server
	decision := policy.Decision{Reason: policy.Unknown}
	if to.server != nil {
		decision = to.server.decideUse(t.scope.question, policy.Extensions, method)
	}
	if decision.Allowed && (to.err != nil || !to.known || to.signIn) {
		decision = policy.Decision{Reason: policy.Unknown}
	}
	t.recordDecision(decision)
	if !decision.Allowed {
		t.countDenied(decision)
		return false
	}
	t.tell(&to, p)
	return true
}

// tell sends the notification. Whether it arrives the client is not told, as with any notification.
func (t *turn) tell(to *target, p params) {
	s := to.server
	if !s.link.acquire() {
		t.accepted()
		return
	}
	defer s.link.release()
	if !s.link.enter(s.limit) {
		t.fail(failBusy())
		return
	}
	defer s.link.leave()
	if err := t.proxy.config.Audit.Begin(&t.record); err != nil {
		t.fail(failAudit())
		return
	}
	params := p.rest
	ctx, meta := t.aside(s)
	if len(meta) > 0 {
		params = append(slices.Clip(params), rpc.Member{Name: "_meta", Value: rpc.AppendObject(nil, meta)})
	}
	conn := t.standingConn(s.link, to.way)
	if conn == nil {
		t.fail(failSession())
		return
	}
	if err := conn.Send(context.WithoutCancel(ctx), t.message.Method, params); err != nil {
		t.proxy.log.Debug("a client's notification did not reach the server", "request_id", t.requestID(), t.traceID(), "server", s.slug, "error", err)
	}
	t.accepted()
}

// standingConn is this client's way to the server, for what is no request that could be cancelled; nil: the session has ended.
func (t *turn) standingConn(l *link, way *access) *upstream.Conn {
	if t.session == nil {
		identity := t.scope.identity
		return t.proxy.callers.conn(t.ctx, identity.User, identity.TokenID, t.meta.capabilities, l, way, 0)
	}
	return t.session.conn(t.ctx, l, way)
}
