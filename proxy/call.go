package proxy

import (
	"context"
	"errors"
	"net/http"

	"mcpsidecar/configstore"
	"mcpsidecar/policy"
	"mcpsidecar/proxy/rpc"
	"mcpsidecar/proxy/upstream"
)

// call is one tools/call on its way.
type call struct {
	name      string // as the client knows the tool
	arguments []byte // raw object; nil: none
	task      []byte // raw object: it is to be made as a task (2025-11-25); nil: not
	rest      []rpc.Member
}

// readCall reads the params of a tools/call.
func readCall(p params) (call, *failure) {
	var c call
	named := false
	for _, m := range p.rest {
		switch m.Name {
		case "name":
			if c.name, named = rpc.String(m.Value); !named {
				return c, failInvalidParams("name must be a string")
			}
		case "arguments":
			switch m.Value[0] {
			case '{':
				c.arguments = m.Value
			case 'n': // null is how some clients write that there are none
			default:
				return c, failInvalidParams("arguments must be an object")
			}
		case "task":
			if m.Value[0] != '{' {
				return c, failInvalidParams("task must be an object")
			}
			c.task = m.Value
		default:
			c.rest = append(c.rest, m)
		}
	}
	if !named {
		return c, failInvalidParams("name is missing")
	}
	c.rest = withoutOurAnswer(c.rest)
	return c, nil
}

// call answers tools/call: find the tool, ask the policy, and only then have anything to do with the server.
func (t *turn) call(p params) {
	c, f := readCall(p)
	if f == nil {
		f = t.checkName(c.name, t.modern)
	}
	if f != nil {
		t.fail(f)
		return
	}
	t.recordCall(c.name)
	found := t.resolve(c.name)
	if found.server == nil {
		t.refuse(c.name, policy.Decision{Reason: policy.Unknown})
		return
	}
	s := found.server
	t.server = s
	if found.tool != nil {
		t.traced.target = c.name
	}
	decision := s.decideServer(t.scope.question)
	switch {
	case decision.Allowed && found.signIn && (found.err != nil || c.name == connectName(s)):
		t.recordDecision(decision)
		t.offerSignIn(s, nil, c.name == connectName(s))
		return
	case decision.Allowed && found.err != nil:
		t.trouble(found.err)
		return
	case decision.Allowed:
		decision = s.decide(t.scope.question, t.original(c.name, found.tool), found.tool)
	}
	t.recordDecision(decision)
	if !decision.Allowed {
		t.refuse(c.name, decision)
		return
	}
	if found.signIn {
		t.offerSignIn(s, nil, false)
		return
	}
	t.forward(&found, c)
}

// original is the name that rules are written in; of a tool that is not there, the best guess.
func (t *turn) original(name string, tool *listedTool) string {
	if tool != nil {
		t.record.Tool = tool.tool.Name
		return tool.tool.Name
	}
	if t.scope.only == "" && t.server != nil {
		return name[len(t.server.slug)+len("__"):]
	}
	return name
}

// target is where a call goes.
type target struct {
	server *server     // nil: there is none of that name
	tool   *listedTool // nil: the server has none of that name, or err
	way    *access
	signIn bool  // the user has to connect an account before anything can be called
	known  bool  // of prompts and resources: the server has it
	err    error // what the server has cannot be known now
}

// resolve finds the server and the tool of a name.
func (t *turn) resolve(name string) (found target) {
	found, v := t.toolsAt(t.candidate(name))
	if v == nil {
		return found
	}
	found.tool = v.byExposed[name]
	if t.scope.only != "" {
		found.tool = v.byName[name]
	}
	if found.tool == nil {
		found.way.lists.tools.refresh()
	}
	return found
}

// toolsAt finds the caller's way to a server, and what tools it has; nil: the caller may see nothing of it, or found.err says why that cannot be known.
func (t *turn) toolsAt(s *server) (found target, v *view) {
	found.server = s
	if s == nil || !s.decideServer(t.scope.question).Allowed {
		return found, nil
	}
	if s.link == nil {
		found.err = &upstream.Failure{Kind: upstream.Unreachable, Slug: s.slug}
		return found, nil
	}
	found.way, found.signIn = s.link.of(t.ctx, t.scope.identity.User)
	if v = found.way.lists.tools.fresh(t.started); v == nil {
		if v, _, found.err = found.way.lists.tools.get(t.passing(s)); found.err != nil {
			return found, nil
		}
	}
	if !s.hasBaseline { // the fetch has stored one meanwhile, and with it the rules are others
		if newer := t.proxy.snapshot.Load().bySlug[s.slug]; newer != nil && newer.link == s.link { // another link is another way to connect, and what way proves us with is not for that
			found.server = newer
		}
	}
	return found, v
}

func (t *turn) candidate(name string) *server {
	current := t.proxy.snapshot.Load()
	if t.scope.only != "" {
		return current.bySlug[t.scope.only]
	}
	return current.find(name)
}

// passing is the request's context with what goes along to a server, which is mostly nothing.
func (t *turn) passing(s *server) context.Context { return t.passingIn(t.ctx, s) }

func (t *turn) passingIn(ctx context.Context, s *server) context.Context {
	if len(s.forward) == 0 && len(t.r.Header[hopHeader]) == 0 && t.traced.header.IsZero() && (s.link == nil || s.link.record.AuthType != configstore.AuthOAuth2) {
		return ctx
	}
	along := &passed{header: t.r.Header, names: s.forward, trace: t.traced.header}
	if hops := t.r.Header[hopHeader]; len(hops) > 0 {
		along.hops = hops[0]
	}
	return withPassed(ctx, along)
}

// refuse answers a call that policy does not allow, exactly as one of a tool that does not exist.
func (t *turn) refuse(name string, decision policy.Decision) {
	t.deny(decision, failUnknownTool(name))
}

// deny answers what policy does not allow as if it did not exist.
func (t *turn) deny(decision policy.Decision, unknown *failure) {
	t.recordDecision(decision)
	t.countDenied(decision)
	t.fail(unknown)
	t.outcome = outcomeDenied
}

func (t *turn) countDenied(decision policy.Decision) {
	meter := t.proxy.all
	if t.server != nil {
		meter = t.server.meter
	}
	meter.Denied(string(decision.Reason))
}

// forward makes an allowed call.
func (t *turn) forward(to *target, c call) {
	f := t.begins(to, &c)
	if f != nil {
		t.fail(f)
		return
	}
	out, f := t.prepare(to.server, to.tool, c)
	if f != nil {
		t.fail(f)
		return
	}
	t.perform(to, out)
}

// perform makes a request that is allowed and prepared.
func (t *turn) perform(to *target, out upstream.Call) {
	s := to.server
	if !s.link.acquire() {
		t.trouble(&upstream.Failure{Kind: upstream.Canceled, Slug: s.slug, Err: errLinkEnded})
		return
	}
	defer s.link.release()
	if !s.link.enter(s.limit) {
		t.toolError(serverBusy(s.slug, s.limit))
		t.outcome = outcomeError
		return
	}
	defer s.link.leave()
	if err := t.proxy.config.Audit.Begin(&t.record); err != nil {
		t.fail(failAudit())
		return
	}
	t.exchange(to, out)
}

var errLinkEnded = errors.New("the server's configuration changed at this moment")

// prepare builds what is sent: the original name, the arguments as they came, and headers from nothing.
func (t *turn) prepare(s *server, tool *listedTool, c call) (upstream.Call, *failure) {
	arguments := c.arguments
	if s.intent {
		unwrapped, said, err := tool.intent().Unwrap(orEmpty(arguments))
		if err != nil {
			return upstream.Call{}, failInvalidParams(err.Error())
		}
		arguments, t.record.Intent = unwrapped, said
	}
	if t.modern {
		check := tool.tool.CheckHeaders
		if s.intent { // the client has seen, and mirrors, the wrapped schema
			check = tool.tool.CheckWrappedHeaders
		}
		if err := check(t.r.Header, c.arguments); err != nil {
			return upstream.Call{}, failHeader(err.Error())
		}
	}
	out := upstream.Call{
		Method: "tools/call", Name: tool.tool.Name, Meta: t.along(s), Progress: t.meta.progress != nil, LogLevel: t.logLevel(),
		Capabilities: t.meta.capabilities, ClientInfo: t.meta.clientInfo, Timeout: s.link.timeout,
	}
	if t.task != nil && t.task.wanted {
		out.Capabilities = t.ableToTasks()
	}
	if tool.tool.HasHeaders() {
		out.ParamHeaders = http.Header{}
		if err := tool.tool.SetHeaders(out.ParamHeaders, arguments); err != nil {
			return upstream.Call{}, failInvalidParams(err.Error())
		}
	}
	out.Params = append(t.room.out[:0], rpc.Member{Name: "name", Raw: rawName, Value: rpc.AppendString(nil, tool.tool.Name)})
	if arguments != nil {
		out.Params = append(out.Params, rpc.Member{Name: "arguments", Raw: rawArguments, Value: arguments})
	}
	if c.task != nil {
		out.Params = append(out.Params, rpc.Member{Name: "task", Value: c.task})
	}
	out.Params = append(out.Params, c.rest...)
	return out, nil
}

var (
	rawName      = []byte(`"name"`)
	rawArguments = []byte(`"arguments"`)
	emptyObject  = []byte(`{}`)
)

func orEmpty(object []byte) []byte {
	if object == nil {
		return emptyObject
	}
	return object
}

// exchange sends the call and relays its answer, for as long as the client wants it.
func (t *turn) exchange(to *target, out upstream.Call) {
	s := to.server
	ctx := t.passing(s)
	var cancel context.CancelFunc
	if t.session != nil { // a modern client cancels by going away, and no other
		ctx, cancel = context.WithCancel(context.WithoutCancel(ctx))
		defer cancel()
		out.Poller = t
	}
	if t.session == nil && t.continued(to, &out) {
		return
	}
	conn, f := t.conn(s.link, to.way, cancel)
	if f != nil {
		t.fail(f)
		return
	}
	if t.session != nil {
		defer t.session.done(string(t.message.ID))
	}
	if t.task != nil {
		t.speakOfTasks(to, conn)
	}
	if t.task != nil && t.task.across {
		t.touchAcross(ctx, to, conn, out.Params)
		return
	}
	sending, call := t.openOutbound(ctx, to, &out)
	conn, ex, err := t.do(sending, to, conn, call)
	t.sentOutbound(ex, err)
	if err != nil {
		t.ended(ctx, err)
		return
	}
	t.converse(ctx, to, conn, ex, &out)
}

// conn is this client's way to the server. A legacy client's request can be cancelled by its id from now on.
func (t *turn) conn(l *link, way *access, cancel context.CancelFunc) (*upstream.Conn, *failure) {
	if t.session == nil {
		identity := t.scope.identity
		return t.proxy.callers.conn(t.ctx, identity.User, identity.TokenID, t.meta.capabilities, l, way, 0), nil
	}
	conn := t.session.conn(t.ctx, l, way)
	if conn == nil { // it is over, or was just let go of because nobody had used it for long
		again, f := t.proxy.sessions.find(t.session.sealed)
		if f != nil {
			return nil, f
		}
		t.session = again
		if conn = again.conn(t.ctx, l, way); conn == nil {
			return nil, failSession()
		}
	}
	t.out.cancel = cancel
	if !t.session.begin(string(t.message.ID), t) {
		return nil, failRequest("the id is that of another request under way")
	}
	return conn, nil
}

// ended closes a call that got no answer.
func (t *turn) ended(ctx context.Context, err error) {
	switch {
	case t.session == nil && t.ctx.Err() != nil: // the client is gone
		t.outcome, t.traced.cause = outcomeError, string(upstream.Canceled)
	case ctx.Err() != nil: // it has cancelled, and then no answer is sent
		t.claim()
		t.outcome, t.traced.cause = outcomeError, string(upstream.Canceled)
		t.startStream()
	default:
		if scopes, needs := needsSignIn(err); needs && t.server.link.record.AuthType == configstore.AuthOAuth2 {
			t.offerSignIn(t.server, scopes, false)
			return
		}
		t.trouble(err)
	}
}

// trouble tells the model that the server did not answer.
func (t *turn) trouble(err error) {
	slug := t.scope.only
	if t.server != nil {
		slug = t.server.slug
	}
	t.proxy.log.Warn("a call got no answer", "request_id", t.requestID(), t.traceID(), "server", slug, "error", err)
	t.toolError(serverTrouble(slug, t.requestID(), err))
	t.outcome, t.traced.cause = outcomeError, causeOf(err)
}
