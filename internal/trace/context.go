package trace

import (
	"strings"

	oteltrace "go.opentelemetry.io/otel/trace"
)

// Bounds of what is passed on of a trace context. The specification asks for at least so much of a tracestate; nobody needs more of a traceparent than version 0 has, but a later version may be longer.
const (
	maxParent = 128
	maxState  = 512
	// MaxBaggage is the length up to which baggage has to be passed on, where it is passed on.
	MaxBaggage = 8192
)

// Context is a W3C trace context that was read strictly. The zero value is none.
type Context struct {
	parent string // traceparent
	state  string // tracestate; empty: none
}

// Read reads a traceparent and the tracestate with it. A traceparent that is malformed is none, and then so is the tracestate; a tracestate that is malformed or too long is dropped alone (W3C Trace Context, 3.2 and 3.3).
func Read(parent, state string) Context {
	if !validParent(parent) {
		return Context{}
	}
	if state != "" && !validState(state) {
		state = ""
	}
	return Context{parent, state}
}

// ReadHeader reads the values of the two headers. Of the first there must be one; the second may be sent in parts.
func ReadHeader(parent, state []string) Context {
	if len(parent) != 1 {
		return Context{}
	}
	size := 0
	for _, part := range state {
		if size += len(part) + 1; size > maxState+1 {
			return Read(parent[0], "")
		}
	}
	return Read(parent[0], strings.Join(state, ","))
}

// IsZero says whether there is none.
func (c Context) IsZero() bool { return c.parent == "" }

// Parent is the traceparent; empty: there is none.
func (c Context) Parent() string { return c.parent }

// State is the tracestate; empty: there is none.
func (c Context) State() string { return c.state }

// TraceID is the id that all spans of the trace share; empty: there is none.
func (c Context) TraceID() string {
	if c.IsZero() {
		return ""
	}
	return c.parent[3:35]
}

// span is the context as OpenTelemetry has it.
func (c Context) span() oteltrace.SpanContext {
	if c.IsZero() {
		return oteltrace.SpanContext{}
	}
	traceID, _ := oteltrace.TraceIDFromHex(c.parent[3:35])
	spanID, _ := oteltrace.SpanIDFromHex(c.parent[36:52])
	state, _ := oteltrace.ParseTraceState(c.state)
	flags := oteltrace.TraceFlags(hexDigit(c.parent[53])<<4|hexDigit(c.parent[54])) & knownFlags
	return oteltrace.NewSpanContext(oteltrace.SpanContextConfig{TraceID: traceID, SpanID: spanID, TraceFlags: flags, TraceState: state, Remote: true})
}

// knownFlags are those that may be passed on by somebody who makes a traceparent of its own.
const knownFlags = oteltrace.FlagsSampled

// contextOf is the context of a span, to be sent to whoever is asked under it.
func contextOf(sc oteltrace.SpanContext) Context {
	if !sc.IsValid() {
		return Context{}
	}
	parent := make([]byte, 0, 55)
	parent = append(parent, "00-"...)
	parent = append(append(parent, sc.TraceID().String()...), '-')
	parent = append(append(parent, sc.SpanID().String()...), '-')
	parent = append(parent, (sc.TraceFlags() & knownFlags).String()...)
	return Context{string(parent), boundedState(sc.TraceState())}
}

// boundedState is a tracestate that is not too long for others.
func boundedState(state oteltrace.TraceState) string {
	if text := state.String(); len(text) <= maxState {
		return text
	}
	return ""
}

// validParent reads version-traceid-parentid-flags. Versions to come may append to it (4.3.1, Versioning of traceparent).
func validParent(text string) bool {
	if len(text) < 55 || len(text) > maxParent || text[2] != '-' || text[35] != '-' || text[52] != '-' {
		return false
	}
	version := text[:2]
	if !isHex(version) || version == "ff" || (version == "00" && len(text) != 55) || (len(text) > 55 && text[55] != '-') || !printable(text) {
		return false
	}
	return isID(text[3:35]) && isID(text[36:52]) && isHex(text[53:55])
}

// isID says whether text is hexadecimal and not all zeros.
func isID(text string) bool { return isHex(text) && strings.Trim(text, "0") != "" }

func isHex(text string) bool {
	for i := range len(text) {
		if c := text[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func hexDigit(c byte) byte {
	if c >= 'a' {
		return c - 'a' + 10
	}
	return c - '0'
}

func validState(text string) bool {
	if len(text) > maxState || !printable(text) {
		return false
	}
	_, err := oteltrace.ParseTraceState(text)
	return err == nil
}

// ValidBaggage says whether text may be passed on as baggage: printable, not empty, and no longer than everybody has to accept. Its members mean nothing here, and so are not taken apart.
func ValidBaggage(text string) bool {
	return text != "" && len(text) <= MaxBaggage && printable(text)
}

// printable allows tabs, which may stand between the members of a list.
func printable(text string) bool {
	for i := range len(text) {
		if c := text[i]; (c < 0x20 && c != '\t') || c > 0x7e {
			return false
		}
	}
	return true
}
