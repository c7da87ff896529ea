package upstream

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"mcpsidecar/proxy/rpc"
)

// Values that every request shares; the transport only reads them.
var (
	jsonType    = []string{"application/json"}
	bothTypes   = []string{"application/json, text/event-stream"}
	streamType  = []string{"text/event-stream"}
	noEncoding  = []string{"identity"}
	modernValue = []string{modernVersion}
)

// ours are the headers that only this package sets, and those that belong to one connection; ConnConfig.Header has no say in them.
var ours = map[string]bool{
	"Accept": true, "Accept-Encoding": true, "Content-Type": true, "Content-Length": true, "Content-Encoding": true, "Cache-Control": true, "User-Agent": true, "Host": true,
	"Mcp-Session-Id": true, "Mcp-Protocol-Version": true, "Mcp-Method": true, "Mcp-Name": true, "Last-Event-Id": true,
	"Connection": true, "Proxy-Connection": true, "Keep-Alive": true, "Transfer-Encoding": true, "Te": true, "Trailer": true, "Upgrade": true, "Expect": true,
	"Proxy-Authorization": true, "Idempotency-Key": true, "X-Idempotency-Key": true,
}

// header builds the headers of one request from nothing: the credentials, then what the transport and the link ask for.
func (s *Server) header(given http.Header, l *link) http.Header {
	h := make(http.Header, len(given)+7) // what stands below, and what post and mirror add
	for name, values := range given {
		if name := http.CanonicalHeaderKey(name); !ours[name] && !strings.HasPrefix(name, paramPrefix) {
			h[name] = values
		}
	}
	h["User-Agent"] = s.agent
	h["Accept-Encoding"] = noEncoding
	if l.versionHeader != nil {
		h["Mcp-Protocol-Version"] = l.versionHeader
	}
	if l.sessionHeader != nil {
		h["Mcp-Session-Id"] = l.sessionHeader
	}
	return h
}

// paramPrefix begins the headers that mirror arguments of a tool.
const paramPrefix = "Mcp-Param-"

// mirror adds the headers in which a modern request repeats parts of its body.
func mirror(h http.Header, call *Call) {
	values := make([]string, 2)
	values[0], values[1] = rpc.EncodeHeader(call.Method), rpc.EncodeHeader(call.Name)
	h["Mcp-Method"] = values[:1:1]
	if call.Name != "" {
		h["Mcp-Name"] = values[1:2:2]
	}
	for name, values := range call.ParamHeaders {
		if name := http.CanonicalHeaderKey(name); strings.HasPrefix(name, paramPrefix) {
			h[name] = values
		}
	}
}

func sameHeaders(a, b http.Header) bool { return maps.EqualFunc(a, b, slices.Equal) }
