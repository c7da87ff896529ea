package proxy

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strconv"
	"time"

	"mcpsidecar/configstore"
	"mcpsidecar/internal/metrics"
	"mcpsidecar/internal/trace"
	"mcpsidecar/proxy/rpc"
	"mcpsidecar/proxy/upstream"
)

// The headers of trace context. In _meta they have the same names in lower case (2026-07-28, basic/index, OpenTelemetry trace context).
const (
	parentHeader  = "Traceparent"
	stateHeader   = "Tracestate"
	baggageHeader = "Baggage"
)

var (
	rawParent  = []byte(`"traceparent"`)
	rawState   = []byte(`"tracestate"`)
	rawBaggage = []byte(`"baggage"`)
)

// traced is what is known of the trace that a request belongs to. Most requests belong to none.
type traced struct {
	id           string        // of the trace: ours, else the client's; empty: there is none
	meta, header trace.Context // what goes to the server as it came, each in its own place
	span         *trace.Span   // of the request; nil: it is not traced
	outbound     *trace.Span   // of the request to the server that is under way
	target       string        // the tool or prompt, if it is one that is listed: a name that a client made up can hold anything
	cause        string        // in one word, why there is no answer
	code         int           // of the JSON-RPC error that is the answer
}

// trace reads the context that a request came with and begins its span. Of a request without one, in a program that does not trace, it is a look at three fields.
func (t *turn) trace() {
	if t.proxy.config.Tracer == nil && t.meta.parent == nil && t.r.Header[parentHeader] == nil {
		return
	}
	meta, header := t.meta.context(), trace.ReadHeader(t.r.Header[parentHeader], t.r.Header[stateHeader])
	t.traced.id = cmp.Or(meta.TraceID(), header.TraceID())
	tracer := t.proxy.config.Tracer
	if !tracer.Propagates() {
		t.traced.meta, t.traced.header = meta, header
		meta, header = trace.Context{}, trace.Context{}
	}
	if tracer == nil || t.message.Method == "subscriptions/listen" { // a stream that stands for hours is no request whose road could be told
		return
	}
	// The context of the message is the parent, that of the HTTP request is linked to, or the parent where the message has none (semantic conventions for MCP, Context propagation).
	t.traced.span = tracer.Start(trace.Inbound, metrics.MethodLabel(t.message.Method), t.started, meta, header)
	t.traced.id = t.traced.span.TraceID()
	t.ctx = trace.With(t.ctx, t.traced.span)
}

// context is the trace context of _meta.
func (m *meta) context() trace.Context {
	if m.parent == nil {
		return trace.Context{}
	}
	parent, _ := rpc.String(m.parent) // what is no string is no context either
	state := ""
	if m.state != nil {
		state, _ = rpc.String(m.state)
	}
	return trace.Read(parent, state)
}

// along is what of a request's _meta goes to a server. Baggage can hold anything and was meant for whoever the client trusts: it goes only where an admin has listed it among the headers that are forwarded.
func (t *turn) along(s *server) []rpc.Member {
	members := t.meta.rest
	if t.meta.related != nil {
		members = t.withRelated(members, s)
	}
	if !t.traced.meta.IsZero() {
		members = withContext(members, t.traced.meta)
	}
	if t.meta.baggage != nil && slices.Contains(s.forward, baggageHeader) {
		if text, ok := rpc.String(t.meta.baggage); ok && trace.ValidBaggage(text) {
			members = append(slices.Clip(members), rpc.Member{Name: "baggage", Raw: rawBaggage, Value: t.meta.baggage})
		}
	}
	return members
}

// withContext are these members of _meta and a trace context.
func withContext(members []rpc.Member, c trace.Context) []rpc.Member {
	members = append(slices.Clip(members), rpc.Member{Name: "traceparent", Raw: rawParent, Value: rpc.AppendString(nil, c.Parent())})
	if c.State() != "" {
		members = append(members, rpc.Member{Name: "tracestate", Raw: rawState, Value: rpc.AppendString(nil, c.State())})
	}
	return members
}

// told is a context with which a server is told of a span, in the headers and, by the members it returns, in _meta.
func (p *Proxy) told(ctx context.Context, span *trace.Span, meta []rpc.Member) (context.Context, []rpc.Member) {
	ctx = trace.With(ctx, span)
	if !p.config.Tracer.Propagates() {
		return ctx, meta
	}
	next := &passed{}
	if before, ok := ctx.Value(passedKey{}).(*passed); ok {
		next.hops, next.header, next.names = before.hops, before.header, before.names
	}
	next.trace = span.Context()
	return withPassed(ctx, next), withContext(meta, next.trace)
}

// aside is what goes to a server with what has no span of its own there: a notification.
func (t *turn) aside(s *server) (context.Context, []rpc.Member) {
	ctx, meta := t.passing(s), t.along(s)
	if t.traced.span == nil {
		return ctx, meta
	}
	return t.proxy.told(ctx, t.traced.span, meta)
}

// openOutbound begins the span of a request to a server, if the client's request has one, and returns the context and the request as they are to be sent then.
func (t *turn) openOutbound(ctx context.Context, to *target, out *upstream.Call) (context.Context, *upstream.Call) {
	if t.traced.span == nil {
		return ctx, out
	}
	method, call := metrics.MethodLabel(out.Method), *out
	span := t.traced.span.Child(trace.Outbound, cmp.Or(spanName(method, out.Name), method), t.proxy.now())
	span.Set(to.server.link.about(method)...)
	span.Set(targetOf(method, out.Name)...)
	t.traced.outbound = span
	ctx, call.Meta = t.proxy.told(ctx, span, out.Meta)
	return ctx, &call
}

// sentOutbound says in the span what is known when the answer begins, or ends it where there is none.
func (t *turn) sentOutbound(ex *upstream.Exchange, err error) {
	span := t.traced.outbound
	switch {
	case span == nil:
	case err != nil:
		span.Fail(causeOf(err))
		span.End(t.proxy.now())
		t.traced.outbound = nil
	case span.Recording():
		span.Set(trace.Text(trace.RequestID, ex.ID()), trace.Text(trace.ProtocolVersion, ex.Version()), trace.Text(trace.ServerEra, string(ex.Era())))
	}
}

// about is what a span says of the server it asks.
func (l *link) about(method string) []trace.Attr {
	host, port := hostOf(&l.record)
	return []trace.Attr{
		trace.Text(trace.Method, method), trace.Text(trace.Server, l.slug), trace.Text(trace.ServerAddress, host), trace.Number(trace.ServerPort, port),
		trace.Text(trace.Transport, "tcp"), trace.Text(trace.Protocol, "http"),
	}
}

func hostOf(record *configstore.Server) (host string, port int) {
	at, err := url.Parse(record.URL)
	if err != nil {
		return "", 0
	}
	port, _ = net.LookupPort("tcp", cmp.Or(at.Port(), at.Scheme))
	return at.Hostname(), port
}

// targetOf is what a span says of the tool or prompt that it is about. Resources have none: their URIs can be as telling as arguments.
func targetOf(method, name string) []trace.Attr {
	switch method {
	case "tools/call":
		return []trace.Attr{trace.Text(trace.ToolName, name), trace.Text(trace.Operation, "execute_tool")}
	case "prompts/get":
		return []trace.Attr{trace.Text(trace.PromptName, name)}
	}
	return nil
}

// spanName is what a span is called whose target is known; empty: as its method.
func spanName(method, target string) string {
	if target == "" || method != "tools/call" && method != "prompts/get" {
		return ""
	}
	return method + " " + target
}

// askedLabel is the method of a server's request as spans have it: what is an extension's can be as telling as arguments.
func askedLabel(method string) string {
	if isExtension(method) {
		return metrics.MethodLabel(method)
	}
	return method
}

// endOutbound ends the span of the request to the server.
func (t *turn) endOutbound() {
	if t.traced.outbound == nil {
		return
	}
	t.failSpan(t.traced.outbound)
	t.traced.outbound.End(t.proxy.now())
	t.traced.outbound = nil
}

// endTrace ends the span of the request.
func (t *turn) endTrace(outcome string) {
	span := t.traced.span
	if span == nil {
		return
	}
	if span.Recording() {
		t.describe(span, outcome)
	}
	span.End(t.proxy.now())
}

// describe says what became of the request. Of whom it came from it says nothing but the id under which the audit record is found.
func (t *turn) describe(span *trace.Span, outcome string) {
	method := metrics.MethodLabel(t.message.Method)
	span.Set(
		trace.Text(trace.Method, method), trace.Text(trace.ProtocolVersion, t.version), trace.Text(trace.RequestID, idText(t.message.ID)),
		trace.Text(trace.Transport, "tcp"), trace.Text(trace.Protocol, "http"), trace.Text(trace.OwnID, t.requestID()),
		trace.Text(trace.Mode, string(t.scope.question.Mode)), trace.Text(trace.Decision, t.record.Decision), trace.Text(trace.Reason, t.record.Reason), trace.Text(trace.Outcome, outcome),
	)
	if t.server != nil {
		span.Set(trace.Text(trace.Server, t.server.slug))
	}
	if t.traced.target != "" {
		span.Name(cmp.Or(spanName(method, t.traced.target), method))
	}
	span.Set(targetOf(method, t.traced.target)...)
	t.failSpan(span)
}

// failSpan says of a span that it failed, if the request did.
func (t *turn) failSpan(span *trace.Span) {
	switch {
	case t.outcome == outcomeToolError:
		span.Fail(outcomeToolError)
	case t.traced.cause != "":
		span.Fail(t.traced.cause)
	case t.traced.code != 0:
		code := strconv.Itoa(t.traced.code)
		span.Set(trace.Text(trace.StatusCode, code))
		span.Fail(code)
	case t.outcome == outcomeError:
		span.Fail("_OTHER")
	}
}

// maxID bounds what a trace has of the id that a client gave its request.
const maxID = 64

// idText is the text of a raw id.
func idText(raw []byte) string {
	if text, ok := rpc.String(raw); ok {
		return text[:min(len(text), maxID)]
	}
	return string(raw[:min(len(raw), maxID)])
}

// causeOf is, in one word, why something failed.
func causeOf(err error) string {
	var f *upstream.Failure
	switch {
	case errors.Is(err, ErrSignIn):
		return "sign_in"
	case errors.As(err, &f):
		return string(f.Kind)
	case errors.Is(err, context.Canceled):
		return string(upstream.Canceled)
	case errors.Is(err, context.DeadlineExceeded):
		return string(upstream.TimedOut)
	}
	return "_OTHER"
}

// traceID is the trace of a request as an attribute of a log line; the zero one, which no line shows, if there is none.
func (t *turn) traceID() slog.Attr {
	if t.traced.id == "" {
		return slog.Attr{}
	}
	return slog.String("trace_id", t.traced.id)
}

// worthTelling is from which time on it is worth a span that something was waited for.
const worthTelling = time.Millisecond

// tellCredential makes a span of a credential that was waited for, or could not be had.
func (l *link) tellCredential(ctx context.Context, began time.Time, err error) {
	now := l.p.now()
	if err == nil && now.Sub(began) < worthTelling {
		return
	}
	span := trace.From(ctx).Child(trace.Internal, "credential", began)
	span.Set(trace.Text(trace.Server, l.slug))
	if err != nil {
		span.Fail(causeOf(err))
	}
	span.End(now)
}

// waitTraced waits for a list under a span.
func (k *keeper[V]) waitTraced(ctx context.Context, now time.Time) (list *V, stale bool, err error) {
	span := trace.From(ctx).Child(trace.Internal, "wait for list", now)
	span.Set(trace.Text(trace.Server, k.slug), trace.Text(trace.List, k.what))
	list, stale, err = k.wait(ctx, now)
	if err != nil {
		span.Fail(causeOf(err))
	}
	span.End(k.p.now())
	return list, stale, err
}

// runTraced fetches under a trace of its own, since a fetch is on behalf of everybody; it is linked to the request that caused it.
func (k *keeper[V]) runTraced(ctx context.Context, cause *trace.Span, f *fetch[V]) {
	span := k.p.config.Tracer.Root(trace.Internal, "fetch list", k.p.now(), cause)
	span.Set(trace.Text(trace.Server, k.slug), trace.Text(trace.List, k.what))
	k.run(trace.With(ctx, span), f)
	if f.err != nil {
		span.Fail(causeOf(f.err))
	}
	span.End(k.p.now())
}

// list asks the server for a list, under a span if there is one to be under.
func (ls *lists) list(ctx context.Context, method, member string) (elements [][]byte, ttl time.Duration, err error) {
	parent := trace.From(ctx)
	if parent == nil {
		elements, ttl, _, err = ls.conn.List(ctx, method, member)
		return elements, ttl, err
	}
	span := parent.Child(trace.Outbound, method, ls.p.now())
	span.Set(ls.link.about(method)...)
	ctx, meta := ls.p.told(ctx, span, nil)
	if elements, ttl, _, err = ls.conn.List(ctx, method, member, meta...); err != nil {
		span.Fail(causeOf(err))
	}
	span.End(ls.p.now())
	return elements, ttl, err
}
