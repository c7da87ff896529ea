package proxy

import (
	"net/url"
	"strings"

	"mcpsidecar/proxy/rpc"
)

// connectSuffix ends the name of the one tool that a server shows to a user who has to connect an account before it shows any other.
const connectSuffix = "__connect"

func connectName(s *server) string { return s.slug + connectSuffix }

// connectTool is its definition.
func connectTool(s *server) []byte {
	definition := rpc.AppendString([]byte(`{"name":`), connectName(s))
	definition = rpc.AppendString(append(definition, `,"title":`...), "Connect "+s.slug)
	definition = rpc.AppendString(append(definition, `,"description":`...),
		"Returns the link by which the user connects an account to "+s.slug+". Its tools are there once that is done.")
	return append(definition, `,"inputSchema":{"type":"object","additionalProperties":false},"annotations":{"readOnlyHint":true,"openWorldHint":false}}`...)
}

// connectKey is the key of our question in an input_required result.
const connectKey = "mcp-sidecar/connect"

// offerSignIn answers a call that needs an account of the user: with the link as the client can take it, and never with a 401, which would start a login that the client cannot finish. asked says that the link is what was
// called for.
func (t *turn) offerSignIn(s *server, scopes []string, asked bool) {
	link, err := s.link.grants.NewLink(t.ctx, s.id, t.scope.identity.User, scopes)
	if err != nil || !showable(link) {
		t.proxy.log.Error("a sign-in link could not be made", "request_id", t.requestID(), "server", s.slug, "error", err)
		t.toolError("An account has to be connected to " + s.slug + ", and the link for that could not be made at present. The call was not made.")
		t.outcome = outcomeError
		return
	}
	please := t.pleaseConnect(s, scopes)
	message := please + ": " + link
	switch {
	case asked:
		t.result(signInResult(s.slug, link, message, false))
	case t.modern && opensURLs(t.meta.capabilities):
		t.askToOpen(link, please+".")
	case !t.modern && t.version == newestLegacy && opensURLs(t.session.sealed.Capabilities):
		t.fail(failURLElicitation(link, please+".", t.requestID()))
	case t.message.Method != "tools/call":
		t.fail(failServer(message))
	default:
		t.result(signInResult(s.slug, link, message+" The call was not made; repeat it afterwards.", true))
	}
	if !asked {
		t.outcome = outcomeError
	}
}

// pleaseConnect asks for an account, and says of one that was there why it does not do.
func (t *turn) pleaseConnect(s *server, scopes []string) string {
	why := s.link.grants.Why(t.ctx, &s.link.record, t.scope.identity.User)
	switch {
	case why != "":
		return "The account that was connected to " + s.slug + " cannot be used any more: " + why + ". To use " + s.slug + ", connect your account again"
	case len(scopes) > 0:
		return "The server " + s.slug + " asks for more permissions than it was given. To use it, connect your account again"
	}
	return "To use " + s.slug + ", connect your account"
}

// showable says whether a link can be shown to a user: it is ours, so anything else is a mistake.
func showable(link string) bool {
	u, err := url.Parse(link)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != ""
}

// signInResult is the link for a client that can do nothing with it but show it.
func signInResult(slug, link, message string, isError bool) string {
	var b strings.Builder
	b.WriteString(`"content":[{"type":"text","text":`)
	b.Write(rpc.AppendString(nil, message))
	b.WriteString(`}],"structuredContent":{"sign_in_url":`)
	b.Write(rpc.AppendString(nil, link))
	b.WriteString(`,"server":`)
	b.Write(rpc.AppendString(nil, slug))
	b.WriteString(`}`)
	if isError {
		b.WriteString(`,"isError":true`)
	}
	return b.String()
}

// askToOpen asks a modern client to open the link and to repeat the call (patterns/mrtr, client/elicitation).
func (t *turn) askToOpen(link, message string) {
	out := append([]byte(`{"jsonrpc":"2.0","id":`), t.message.ID...)
	out = append(out, `,"result":{"resultType":"input_required","inputRequests":{"`+connectKey+`":{"method":"elicitation/create","params":{"mode":"url","url":`...)
	out = rpc.AppendString(append(rpc.AppendString(out, link), `,"message":`...), message)
	t.write(200, append(out, `}}}}}`...))
}

// opensURLs says whether a client has declared that it can open links for its user (client/elicitation, URL mode).
func opensURLs(capabilities []byte) bool {
	elicitation := rpc.Find(capabilities, "elicitation")
	return len(elicitation) > 0 && elicitation[0] == '{' && rpc.Find(elicitation, "url") != nil
}

// withoutOurAnswer drops from a retry what answers our question and is not for the server.
func withoutOurAnswer(rest []rpc.Member) []rpc.Member {
	for i, m := range rest {
		if m.Name == "inputResponses" && m.Value[0] == '{' && isOurs(m.Value) {
			return append(rest[:i:i], rest[i+1:]...)
		}
	}
	return rest
}

// challengedScopes reads the scope parameter of a WWW-Authenticate header (RFC 6750 section 3).
func challengedScopes(challenge string) []string {
	_, rest, found := strings.Cut(challenge, `scope="`)
	if !found {
		return nil
	}
	text, _, closed := strings.Cut(rest, `"`)
	if !closed || len(text) > 2048 {
		return nil
	}
	return strings.Fields(text)
}
