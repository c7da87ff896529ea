package discovery

import (
	"context"
	"net/http"
	"strings"
)

// probe asks a server for something, without credentials, as any client would, to see what it asks for in return. The question is server/discover: whatever the server's age, it begins
// no session and changes nothing.
const probe = `{"jsonrpc":"2.0","id":1,"method":"server/discover","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"` + protocolVersion + `",` +
	`"io.modelcontextprotocol/clientInfo":{"name":"mcp-sidecar","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}}}`

// demand is what a server said to the probe, or what is known of it without one.
type demand struct {
	made      bool // it asks for credentials
	challenge Challenge
	status    int      // of the answer to the probe
	failure   *Failure // there was none
}

// demand uses the challenge that is known, or asks for one.
func (s *search) demand(ctx context.Context) demand {
	if s.server.Challenge != "" {
		return demand{made: true, challenge: ParseChallenge(s.server.Challenge)}
	}
	d := s.ask(ctx, http.MethodPost, probe)
	if d.status == http.StatusNotFound || d.status == http.StatusMethodNotAllowed {
		// A server with the transport of 2024-11-05 expects a GET there.
		if older := s.ask(ctx, http.MethodGet, ""); older.made {
			return older
		}
	}
	return d
}

func (s *search) ask(ctx context.Context, method, body string) demand {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, s.server.URL, strings.NewReader(body))
	if err != nil {
		return demand{failure: fail(stepProbe, s.server.URL, unacceptable("it cannot be read"))}
	}
	request.Header.Set("Accept", "text/event-stream")
	if method == http.MethodPost {
		request.Header.Set("Accept", "application/json, text/event-stream")
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("MCP-Protocol-Version", protocolVersion)
		request.Header.Set("Mcp-Method", "server/discover")
	}
	response, err := s.do(request)
	if err != nil {
		return demand{failure: unreachable(stepProbe, s.server.URL, err)}
	}
	response.Body.Close() // unread: it may be a stream
	header := response.Header.Values("WWW-Authenticate")
	refused := response.StatusCode == http.StatusUnauthorized || response.StatusCode == http.StatusForbidden && len(header) > 0
	d := demand{made: refused, status: response.StatusCode}
	if refused {
		d.challenge = ParseChallenge(header...)
	}
	return d
}
