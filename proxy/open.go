package proxy

import (
	"bytes"
	"strconv"
	"strings"

	"mcpsidecar/proxy/rpc"
	"mcpsidecar/proxy/upstream"
)

// This file is elicitation in URL mode where it is no request: the error by which a legacy server says that a link has to be opened first (2025-11-25, client/elicitation, URL Elicitation Required Error).

// ourPrefix begins the keys under which we ask a modern client something that the server did not ask as a modern one would. What is answered to them is not for the server.
const ourPrefix = "mcp-sidecar/"

const urlKey = ourPrefix + "url-"

// mustOpen answers for a server that says so, where its error cannot be passed on as it is: to a client that knows only its own era's way, or none. False: the error can be passed on.
func (t *turn) mustOpen(to *target, conn *upstream.Conn, raw []byte) (answered bool) {
	failure, ok := rpc.ParseError(raw)
	if !ok || failure.Code != codeURLElicitation {
		return false
	}
	wanted, ok := readElicitations(failure.Data)
	if !ok {
		t.unfinished("the server asks to open a link that is not shown to users")
		return true
	}
	switch {
	case !opensURLs(t.declared()), !t.modern && t.version != newestLegacy:
		t.unfinished("the server wants a link to be opened first" + linksOf(wanted))
	case t.modern:
		t.outcome = outcomeOK
		t.finish([][]byte{requiredLinks(conn, wanted)})
	default:
		for _, w := range wanted {
			t.session.noteElicitation(to.server.link, w.method, w.params)
		}
		return false
	}
	return true
}

// readElicitations reads what the error asks for; not ok: some of it cannot be shown to a user.
func readElicitations(data []byte) (wanted []input, ok bool) {
	list := find(data, "elicitations")
	if len(list) == 0 || list[0] != '[' {
		return nil, false
	}
	elements, err := rpc.Elements(nil, list)
	if err != nil || len(elements) == 0 || len(elements) > maxInputs {
		return nil, false
	}
	for i, element := range elements {
		link, _ := rpc.String(find(element, "url"))
		if !rpc.Equal(find(element, "mode"), "url") || !openable(link) {
			return nil, false
		}
		wanted = append(wanted, input{key: urlKey + strconv.Itoa(i+1), method: methodElicit, params: element})
	}
	return wanted, true
}

// linksOf is what a client without the capability can at least show.
func linksOf(wanted []input) string {
	var text strings.Builder
	for _, w := range wanted {
		link, _ := rpc.String(find(w.params, "url"))
		message, _ := rpc.String(find(w.params, "message"))
		text.WriteString("; " + strings.TrimRight(message, ".") + ": " + link)
	}
	return text.String()
}

// requiredLinks asks a modern client to open them and to make the request again: there is nothing to go on with.
func requiredLinks(conn *upstream.Conn, wanted []input) []byte {
	out := []byte(`{"resultType":"input_required","inputRequests":{`)
	for i, w := range wanted {
		if i > 0 {
			out = append(out, ',')
		}
		out = w.append(out)
	}
	out = append(out, '}')
	if info := conn.ServerInfo(); info != nil {
		out = append(append(append(out, `,"_meta":{"`+metaServerInfo+`":`...), info...), '}')
	}
	return append(out, '}')
}

// withElicitationID gives an elicitation of URL mode the id that legacy clients want and modern servers do not send.
func withElicitationID(method string, params []byte) []byte {
	if method != methodElicit || !rpc.Equal(find(params, "mode"), "url") || find(params, "elicitationId") != nil {
		return params
	}
	parts, err := rpc.EditObject(nil, params, rpc.Edit{Name: "elicitationId", Value: rpc.AppendString(nil, newSessionID())})
	if err != nil {
		return params
	}
	return bytes.Join(parts, nil)
}

// isOurs says whether inputResponses answer a question of ours.
func isOurs(responses []byte) bool {
	members, err := rpc.Members(nil, responses)
	if err != nil {
		return false
	}
	for _, m := range members {
		if strings.HasPrefix(m.Name, ourPrefix) {
			return true
		}
	}
	return false
}
