package proxy

import (
	"net/http"
	"slices"

	"mcpsidecar/policy"
	"mcpsidecar/proxy/rpc"
)

// serveLegacy answers a client that opens a session with initialize (2024-11-05 to 2025-11-25).
func (t *turn) serveLegacy(p params) {
	if t.message.Method == "initialize" && t.message.Kind == rpc.Request {
		t.initialize(p)
		return
	}
	if f := t.enterSession(); f != nil {
		t.fail(f)
		return
	}
	if t.message.Kind == rpc.Notification {
		t.legacyNotification(p)
		return
	}
	switch t.message.Method {
	case "ping":
		t.result("")
	case "tools/list":
		t.proxy.toolsList(t)
	case "tools/call":
		t.call(p)
	case "logging/setLevel":
		t.setLevel(p)
	case "resources/subscribe":
		t.watchResource(p)
	case "resources/unsubscribe":
		t.unwatchResource(p)
	default:
		if !t.serveSurface(p) && !t.serveTask(p) && !t.serveExtension(p) {
			t.fail(failMethod(t.message.Method))
		}
	}
}

// initialize opens a session: everything that it is lies sealed in its id.
func (t *turn) initialize(p params) {
	if t.r.Header[sessionHeader] != nil {
		t.fail(failRequest("initialize opens a new session and must not name one"))
		return
	}
	var version string
	var client, declared []byte
	for _, m := range p.rest {
		switch m.Name {
		case "protocolVersion":
			version, _ = rpc.String(m.Value)
		case "clientInfo":
			client = m.Value
		case "capabilities":
			declared = m.Value
		}
	}
	if version == "" {
		t.fail(failInvalidParams("initialize must say its protocolVersion"))
		return
	}
	if !slices.Contains(legacyVersions, version) {
		version = newestLegacy
	}
	t.version = version
	id, err := t.proxy.sealer.seal(t.sealedSession(version, object(client), object(declared)))
	if err == errLongSession {
		t.fail(failRequest(err.Error()))
		return
	}
	if err != nil {
		t.fail(fail(http.StatusInternalServerError, http.StatusInternalServerError, codeInternal, "a session could not be opened"))
		return
	}
	t.w.Header()[sessionHeader] = []string{id}
	t.result(`"protocolVersion":"` + version + `","capabilities":` + t.capabilities() + `,"serverInfo":` + string(t.proxy.info))
}

func (t *turn) sealedSession(version string, client, declared []byte) *sealed {
	identity, question := t.scope.identity, t.scope.question
	if len(declared) > maxDeclared {
		t.proxy.log.Warn("a client declares more capabilities than a session can remember; servers are told that it has none", "request_id", t.requestID(), "user", identity.User, "bytes", len(declared))
	}
	return &sealed{
		ID: newSessionID(), User: identity.User, Role: identity.Role, TokenID: identity.TokenID, Path: t.scope.only,
		Mode: question.Mode, Agent: question.Agent, Selection: t.sessionSelection(), Version: version, Client: client, Capabilities: declared,
	}
}

// object is a raw value if that is an object.
func object(raw []byte) []byte {
	if len(raw) == 0 || raw[0] != '{' {
		return nil
	}
	return raw
}

// sessionSelection is what of a selection a session remembers: not the slug of its path, which every request has again.
func (t *turn) sessionSelection() (selection policy.Selection) {
	if t.scope.only == "" {
		selection = t.scope.question.Selection
	}
	return selection
}

// enterSession finds the session that the request names, and makes the scope as strict as that.
func (t *turn) enterSession() *failure {
	values := t.r.Header[sessionHeader]
	if len(values) == 0 {
		return failRequest("a session is needed: send initialize first and then its Mcp-Session-Id, or per-request metadata of protocol version " + modernVersion)
	}
	if len(values) > 1 {
		return failRequest("Mcp-Session-Id was sent more than once")
	}
	what, err := t.proxy.sealer.open(values[0])
	if err != nil || !what.belongsTo(t.scope.identity, t.scope.only) {
		return failSession()
	}
	var f *failure
	if t.session, f = t.proxy.sessions.find(what); f != nil {
		return f
	}
	t.version, t.scope.version = what.Version, what.Version
	t.scope.tighten(what)
	return t.checkLegacyVersion()
}

// checkLegacyVersion holds the version header, where it is sent, against the session.
func (t *turn) checkLegacyVersion() *failure {
	values := t.r.Header[versionHeader]
	switch {
	case len(values) == 0:
		return nil
	case len(values) > 1:
		return failHeader("MCP-Protocol-Version was sent more than once")
	case !slices.Contains(legacyVersions, values[0]):
		return failVersion(values[0])
	case values[0] != t.version:
		return failHeader("MCP-Protocol-Version is not the version of the session")
	}
	return nil
}

// legacyNotification accepts what a client may say without being asked.
func (t *turn) legacyNotification(p params) {
	switch t.message.Method {
	case "notifications/initialized", "notifications/progress":
	case methodTaskStatus:
		t.tellStatus(p)
	case "notifications/roots/list_changed":
		t.session.tellRoots(t.proxy)
	case "notifications/cancelled":
		for _, m := range p.rest {
			if m.Name == "requestId" {
				t.session.cancelRequest(string(m.Value))
			}
		}
	default:
		if !t.tellExtension(p) {
			t.fail(failRequest("unknown notification: " + clip(t.message.Method)))
		}
		return
	}
	t.accepted()
}

// setLevel answers logging/setLevel; the level holds for what this session is sent from now on.
func (t *turn) setLevel(p params) {
	for _, m := range p.rest {
		if level, ok := rpc.String(m.Value); m.Name == "level" && ok && levelOf(level) >= 0 {
			before := t.session.setLevel(level)
			if err := t.proxy.keep(t.session); err != nil {
				t.session.setLevel(before)
				t.notKept(err)
				return
			}
			t.result("")
			return
		}
	}
	t.fail(failInvalidParams("level must be one of debug, info, notice, warning, error, critical, alert and emergency"))
}

// delete ends a session (2025-11-25, Session Management).
func (t *turn) delete() {
	defer t.account()
	t.message.Method = http.MethodDelete
	if f := t.enterSession(); f != nil {
		t.fail(f)
		return
	}
	t.proxy.forget(t.session)
	t.proxy.sessions.end(t.session)
	t.proxy.goroutines.Go(t.session.finish)
	t.outcome = outcomeOK
	t.w.WriteHeader(http.StatusNoContent)
}
