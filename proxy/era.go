package proxy

import (
	"slices"
	"strings"

	"mcpsidecar/proxy/rpc"
)

// Protocol versions. The modern era has one so far.
const (
	modernVersion = "2026-07-28"
	newestLegacy  = "2025-11-25"
)

var legacyVersions = []string{newestLegacy, "2025-06-18", "2025-03-26", "2024-11-05"}

// supportedVersions is the list of all of them, as JSON.
const supportedVersions = `["2026-07-28","2025-11-25","2025-06-18","2025-03-26","2024-11-05"]`

// Keys of _meta that belong to one hop (basic/index of 2026-07-28, Reserved keys).
const (
	metaVersion       = "io.modelcontextprotocol/protocolVersion"
	metaClientInfo    = "io.modelcontextprotocol/clientInfo"
	metaCapabilities  = "io.modelcontextprotocol/clientCapabilities"
	metaLogLevel      = "io.modelcontextprotocol/logLevel"
	metaServerInfo    = "io.modelcontextprotocol/serverInfo"
	metaSubscription  = "io.modelcontextprotocol/subscriptionId"
	metaProgressToken = "progressToken"
	metaParent        = "traceparent"
	metaState         = "tracestate"
	metaBaggage       = "baggage"
)

// meta is what a request says about itself in _meta.
type meta struct {
	version      string
	clientInfo   []byte
	capabilities []byte
	logLevel     string
	progress     []byte // raw token; nil: no progress is wanted
	parent       []byte // raw trace context; see trace.go
	state        []byte
	baggage      []byte
	related      []byte       // raw: the task that the request is about; nil: none
	rest         []rpc.Member // goes along to the server
}

// params are the members of a request's params.
type params struct {
	meta meta
	rest []rpc.Member // all but _meta, in order
}

// readParams takes params apart, which have been read strictly already.
func (t *turn) readParams() (params, *failure) {
	var p params
	members, err := t.message.Members(t.room.params[:0])
	if err != nil {
		return p, failInvalidParams("params cannot be read")
	}
	for i, m := range members {
		if m.Name != "_meta" {
			continue
		}
		var f *failure
		if p.meta, f = t.readMeta(m.Value); f != nil {
			return p, f
		}
		p.rest = slices.Delete(members, i, i+1)
		return p, nil
	}
	p.rest = members
	return p, nil
}

func (t *turn) readMeta(raw []byte) (meta, *failure) {
	var m meta
	if len(raw) == 0 || raw[0] != '{' {
		return m, failInvalidParams("_meta must be an object")
	}
	members, err := rpc.Members(t.room.meta[:0], raw)
	if err != nil {
		return m, failInvalidParams("_meta cannot be read")
	}
	m.rest = members[:0]
	for _, member := range members {
		if f := m.take(member); f != nil {
			return m, f
		}
	}
	return m, nil
}

// take puts one member of _meta where it belongs.
func (m *meta) take(member rpc.Member) *failure {
	ok := true
	switch member.Name {
	case metaVersion:
		m.version, ok = rpc.String(member.Value)
	case metaLogLevel:
		m.logLevel, ok = rpc.String(member.Value)
		ok = ok && levelOf(m.logLevel) >= 0
	case metaClientInfo:
		m.clientInfo, ok = member.Value, member.Value[0] == '{'
	case metaCapabilities:
		m.capabilities, ok = member.Value, member.Value[0] == '{'
	case metaProgressToken:
		m.progress, ok = member.Value, validToken(member.Value)
	case metaParent:
		m.parent = member.Value
	case metaState:
		m.state = member.Value
	case metaTask:
		m.related = member.Value // its id is ours
	case metaBaggage:
		m.baggage = member.Value
	default:
		m.rest = append(m.rest, member)
	}
	if !ok {
		return failMeta("_meta has an invalid " + member.Name)
	}
	return nil
}

// validToken says whether a progress token is a string or an integer (patterns/progress).
func validToken(raw []byte) bool {
	return raw[0] == '"' || raw[0] == '-' || '0' <= raw[0] && raw[0] <= '9'
}

var levels = []string{"debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"}

// levelOf orders log levels; an unknown one is -1.
func levelOf(level string) int { return slices.Index(levels, level) }

// dispatch settles the era, holds headers against the body, and hands the message to its method.
func (t *turn) dispatch() {
	if t.message.Kind == rpc.Response || t.message.Kind == rpc.ErrorResponse {
		t.respond()
		return
	}
	p, f := t.readParams()
	t.modern = p.meta.version != "" || t.announcesModern()
	t.meta = p.meta
	t.trace()
	if f == nil {
		f = t.checkMethodHeader()
	}
	if f != nil {
		t.fail(f)
		return
	}
	if t.modern {
		t.serveModern(p)
		return
	}
	t.serveLegacy(p)
}

const (
	versionHeader = "Mcp-Protocol-Version"
	methodHeader  = "Mcp-Method"
	nameHeader    = "Mcp-Name"
	sessionHeader = "Mcp-Session-Id"
)

// announcesModern says whether the header names the modern version, or one that is not known, which only a modern error can answer.
func (t *turn) announcesModern() bool {
	if t.message.Method == "initialize" {
		return false
	}
	values := t.r.Header[versionHeader]
	return len(values) > 0 && !slices.Contains(legacyVersions, values[0])
}

// checkMethodHeader holds Mcp-Method, where it is sent, against the body, in every era.
func (t *turn) checkMethodHeader() *failure {
	values := t.r.Header[methodHeader]
	switch {
	case len(values) == 0:
		if t.modern && t.message.Kind == rpc.Request {
			return failHeader("Mcp-Method is missing")
		}
	case len(values) > 1 || values[0] != t.message.Method:
		return failHeader("Mcp-Method is not the method of the body")
	}
	return nil
}

// checkModern holds the version against header and body (transports/streamable-http, Server Validation).
func (t *turn) checkModern(p params) *failure {
	values := t.r.Header[versionHeader]
	switch {
	case len(values) == 0:
		return failHeader("MCP-Protocol-Version is missing")
	case len(values) > 1:
		return failHeader("MCP-Protocol-Version was sent more than once")
	case p.meta.version == "" && t.message.Kind == rpc.Request:
		if values[0] != modernVersion {
			return failVersion(values[0])
		}
		return failMeta("_meta must have " + metaVersion)
	case p.meta.version != "" && values[0] != p.meta.version:
		return failHeader("MCP-Protocol-Version is not the version of the body")
	case values[0] != modernVersion:
		return failVersion(values[0])
	case p.meta.capabilities == nil && t.message.Kind == rpc.Request:
		return failMeta("_meta must have " + metaCapabilities)
	}
	return nil
}

// checkName holds Mcp-Name against the name of the body; required says whether it must be there.
func (t *turn) checkName(name string, required bool) *failure {
	values := t.r.Header[nameHeader]
	if len(values) == 0 {
		if required {
			return failHeader("Mcp-Name is missing")
		}
		return nil
	}
	if len(values) > 1 {
		return failHeader("Mcp-Name was sent more than once")
	}
	if decoded, err := rpc.DecodeHeader(values[0]); err != nil || decoded != name {
		return failHeader("Mcp-Name is not the name of the body")
	}
	return nil
}

// serverInfo is who we say we are, as JSON.
func serverInfo(version string) []byte {
	if version == "" {
		version = "unknown"
	}
	info := rpc.AppendString([]byte(`{"name":"mcp-sidecar","title":"MCP sidecar","version":`), strings.ToValidUTF8(version, "?"))
	return append(info, '}')
}
