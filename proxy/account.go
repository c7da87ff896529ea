package proxy

import (
	"cmp"
	"time"

	"mcpsidecar/internal/front"
	"mcpsidecar/policy"
)

func (t *turn) requestID() string { return front.RequestID(t.r.Context()) }

// recordCall begins the audit record of a call.
func (t *turn) recordCall(name string) {
	identity, question := t.scope.identity, t.scope.question
	r := &t.record
	r.RequestID, r.TokenID, r.Role, r.User = t.requestID(), identity.TokenID, string(identity.Role), identity.User
	r.Mode, r.Agent, r.TraceID = string(question.Mode), string(question.Agent), t.traced.id
	r.Method, r.Tool = t.message.Method, clip(name)
}

func (t *turn) recordDecision(d policy.Decision) {
	r := &t.record
	r.Decision = "denied"
	if d.Allowed {
		r.Decision = "allowed"
	}
	r.Reason, r.Rule = string(d.Reason), d.Rule
	if t.server != nil {
		r.Server = t.server.slug
	}
}

// account counts and records a request that is over.
func (t *turn) account() {
	if t.detached {
		return
	}
	took := t.proxy.now().Sub(t.started)
	outcome := cmp.Or(t.outcome, outcomeError)
	meter := t.proxy.all
	if t.server != nil {
		meter = t.server.meter
	}
	meter.Request(t.message.Method, outcome, took)
	t.endTrace(outcome)
	if t.record.Tool == "" {
		return
	}
	if t.server != nil && t.message.Method == "tools/call" {
		meter.Tool(t.record.Tool, outcome)
	}
	r := &t.record
	r.Outcome, r.Milliseconds = outcome, float64(took)/float64(time.Millisecond)
	r.BytesIn, r.BytesOut = t.bytesIn, t.bytesOut
	t.proxy.config.Audit.End(r)
}
