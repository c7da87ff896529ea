package audit

import (
	"math"
	"strconv"
	"time"
)

// Call is one tools/call or other relayed request. Empty fields are left out of the record.
type Call struct {
	RequestID, TokenID, Role, User string
	TraceID                        string // of the W3C trace context that the request is part of
	Server, Tool                   string
	Method                         string // the MCP method; empty means tools/call
	Mode, Agent                    string
	Decision, Reason, Rule         string // as policy said
	Intent                         string // what the model said it wants, where the server asks for that
	Outcome                        string // ok, tool_error, denied, error
	Milliseconds                   float64
	BytesIn, BytesOut              int64
}

// Change is one change of the stored configuration.
type Change struct {
	RequestID, TokenID, User string
	Action                   string // create, update, delete, approve, revoke, ...
	Kind                     string // server, token, user, catalog, ...
	ID, Slug                 string
	Fields                   []string // names of the fields that changed, never their values
}

// maxFields is how many names of fields a record may have.
const maxFields = 64

// appendBegin appends the record of a call that is about to run, newline included.
func appendBegin(b []byte, now time.Time, call *Call) []byte {
	b = appendCaller(appendHead(b, now, "begin"), call)
	b = appendCount(b, "bytes_in", call.BytesIn)
	return append(b, "}\n"...)
}

// appendEnd appends the record of a call that has ended.
func appendEnd(b []byte, now time.Time, call *Call) []byte {
	b = appendCaller(appendHead(b, now, "call"), call)
	b = appendText(b, "outcome", call.Outcome, 32)
	b = appendMilliseconds(b, call.Milliseconds)
	b = appendCount(b, "bytes_in", call.BytesIn)
	b = appendCount(b, "bytes_out", call.BytesOut)
	return append(b, "}\n"...)
}

func appendCaller(b []byte, call *Call) []byte {
	method := call.Method
	if method == "" {
		method = "tools/call"
	}
	b = appendText(b, "request_id", call.RequestID, 64)
	b = appendText(b, "trace_id", call.TraceID, 32)
	b = appendText(b, "token_id", call.TokenID, 64)
	b = appendText(b, "role", call.Role, 16)
	b = appendText(b, "user", call.User, 128)
	b = appendText(b, "server", call.Server, 64)
	b = appendText(b, "tool", call.Tool, 256)
	b = appendText(b, "method", method, 64)
	b = appendText(b, "mode", call.Mode, 16)
	b = appendText(b, "agent", call.Agent, 16)
	b = appendText(b, "decision", call.Decision, 16)
	b = appendText(b, "reason", call.Reason, 64)
	b = appendText(b, "rule", call.Rule, 512)
	return appendText(b, "intent", call.Intent, 2048)
}

// appendChange appends the record of a change.
func appendChange(b []byte, now time.Time, change *Change) []byte {
	b = appendHead(b, now, "change")
	b = appendText(b, "request_id", change.RequestID, 64)
	b = appendText(b, "token_id", change.TokenID, 64)
	b = appendText(b, "user", change.User, 128)
	b = appendText(b, "action", change.Action, 32)
	b = appendText(b, "object", change.Kind, 32)
	b = appendText(b, "id", change.ID, 128)
	b = appendText(b, "slug", change.Slug, 64)
	b = appendList(b, "fields", change.Fields)
	return append(b, "}\n"...)
}

// appendGap appends the record of a time in which records could not be written.
func appendGap(b []byte, now, since time.Time, lost int) []byte {
	b = appendHead(b, now, "gap")
	b = append(b, `,"since":"`...)
	b = append(appendTime(b, since), '"')
	b = appendCount(b, "lost", int64(lost))
	return append(b, "}\n"...)
}

func appendHead(b []byte, now time.Time, kind string) []byte {
	b = append(b, `{"time":"`...)
	b = appendTime(b, now)
	b = append(b, `","kind":"`...)
	b = append(b, kind...)
	return append(b, '"')
}

// appendTime writes as many digits for every time, so that lines sort.
func appendTime(b []byte, t time.Time) []byte {
	t = t.UTC()
	b = t.AppendFormat(b, time.RFC3339) // which package time formats faster than any layout of ours
	b[len(b)-1] = '.'
	micros := t.Nanosecond() / 1000
	for digit := 100000; digit > 0; digit /= 10 {
		b = append(b, byte('0'+micros/digit%10))
	}
	return append(b, 'Z')
}

func appendKey(b []byte, key string) []byte {
	b = append(b, `,"`...)
	b = append(b, key...)
	return append(b, `":`...)
}

func appendText(b []byte, key, text string, limit int) []byte {
	if text == "" {
		return b
	}
	return appendQuoted(appendKey(b, key), text, limit)
}

func appendCount(b []byte, key string, n int64) []byte {
	if n == 0 {
		return b
	}
	return strconv.AppendInt(appendKey(b, key), n, 10)
}

// appendMilliseconds leaves out what JSON has no number for.
func appendMilliseconds(b []byte, ms float64) []byte {
	if ms == 0 || math.IsNaN(ms) || math.IsInf(ms, 0) {
		return b
	}
	return strconv.AppendFloat(appendKey(b, "ms"), ms, 'f', 3, 64)
}

func appendList(b []byte, key string, texts []string) []byte {
	if len(texts) == 0 {
		return b
	}
	b = append(appendKey(b, key), '[')
	for i, text := range texts[:min(len(texts), maxFields)] {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendQuoted(b, text, 64)
	}
	return append(b, ']')
}
