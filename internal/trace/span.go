package trace

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/codes"
	oteltrace "go.opentelemetry.io/otel/trace"
)

// Kind is the part that a span plays in a trace.
type Kind = oteltrace.SpanKind

// The kinds.
const (
	Internal = oteltrace.SpanKindInternal // work of our own
	Inbound  = oteltrace.SpanKindServer   // a request that came
	Outbound = oteltrace.SpanKindClient   // a request that we make
)

// Span is one part of the road of a request. A nil one does nothing. It may be used by one goroutine at a time.
type Span struct {
	tracer *Tracer
	span   oteltrace.Span
}

// Start begins a span under a context that somebody sent, or a trace of its own without one. ambient is another context that came with it, to which it is linked. Of a nil Tracer it is nil.
func (t *Tracer) Start(kind Kind, name string, at time.Time, parent, ambient Context) *Span {
	if t == nil {
		return nil
	}
	if parent.IsZero() {
		parent, ambient = ambient, Context{}
	}
	options := make([]oteltrace.SpanStartOption, 0, 3)
	options = append(options, oteltrace.WithSpanKind(kind), oteltrace.WithTimestamp(at))
	if !ambient.IsZero() {
		options = append(options, oteltrace.WithLinks(oteltrace.Link{SpanContext: ambient.span()}))
	}
	ctx := oteltrace.ContextWithRemoteSpanContext(context.Background(), parent.span())
	_, span := t.spans.Start(ctx, name, options...)
	return &Span{t, span}
}

// Root begins a trace of its own for work that concerns more than one request; it is linked to the one that caused it, which may be nil.
func (t *Tracer) Root(kind Kind, name string, at time.Time, cause *Span) *Span {
	return t.Start(kind, name, at, Context{}, Context{}).linked(cause)
}

func (s *Span) linked(to *Span) *Span {
	s.Link(to)
	return s
}

// Child begins a span under this one.
func (s *Span) Child(kind Kind, name string, at time.Time) *Span {
	if s == nil {
		return nil
	}
	_, span := s.tracer.spans.Start(oteltrace.ContextWithSpan(context.Background(), s.span), name, oteltrace.WithSpanKind(kind), oteltrace.WithTimestamp(at))
	return &Span{s.tracer, span}
}

// Context is what whoever is asked under this span has to know.
func (s *Span) Context() Context {
	if s == nil {
		return Context{}
	}
	return contextOf(s.span.SpanContext())
}

// TraceID is the id that all spans of the trace share; empty if s is nil.
func (s *Span) TraceID() string {
	if s == nil {
		return ""
	}
	return s.span.SpanContext().TraceID().String()
}

// Recording says whether what is set is of any use: the sampler may have left the span out.
func (s *Span) Recording() bool { return s != nil && s.span.IsRecording() }

// Name gives the span the name that is known by now.
func (s *Span) Name(name string) {
	if s != nil {
		s.span.SetName(name)
	}
}

// Set adds attributes. It may reorder what it is given.
func (s *Span) Set(attrs ...Attr) {
	if s != nil {
		s.span.SetAttributes(given(attrs)...)
	}
}

// Event notes that something happened now.
func (s *Span) Event(name string, attrs ...Attr) {
	if s != nil {
		s.span.AddEvent(name, oteltrace.WithAttributes(given(attrs)...))
	}
}

// Link says that this span has to do with another one, which is no ancestor of it.
func (s *Span) Link(to *Span) {
	if s != nil && to != nil {
		s.span.AddLink(oteltrace.Link{SpanContext: to.span.SpanContext()})
	}
}

// Fail says that it came to nothing, and in one word why. There is no description: messages of servers can hold what they were sent.
func (s *Span) Fail(kind string) {
	if s != nil {
		s.Set(Text(ErrorType, kind))
		s.span.SetStatus(codes.Error, "")
	}
}

// End ends the span, which is then queued. What comes after it counts no more.
func (s *Span) End(at time.Time) {
	if s != nil {
		s.span.End(oteltrace.WithTimestamp(at))
	}
}

type spanKey struct{}

// With has the context carry a span. A nil one changes nothing.
func With(ctx context.Context, s *Span) context.Context {
	if s == nil {
		return ctx
	}
	return context.WithValue(ctx, spanKey{}, s)
}

// From is the span that a context carries, or nil.
func From(ctx context.Context) *Span {
	s, _ := ctx.Value(spanKey{}).(*Span)
	return s
}
