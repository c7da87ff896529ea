package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// sizes of the results of tools/call, by tool.
var sizes = map[string]int{"call_1k": 1 << 10, "call_64k": 64 << 10, "call_1m": 1 << 20}

// answers of the upstream as ready bytes; the id is put in front.
type answers struct {
	calls map[string][]byte
	list  []byte
}

func newAnswers() *answers {
	a := &answers{calls: map[string][]byte{}}
	for name, size := range sizes {
		a.calls[name] = []byte(`,"result":{"resultType":"complete","content":[{"type":"text","text":"` + text(size) + `"}]}}`)
	}
	a.list = []byte(`,"result":{"resultType":"complete","ttlMs":300000,"cacheScope":"public","tools":[` + strings.Join(tools(), ",") + `]}}`)
	return a
}

// text is what a tool says: lines of words.
func text(size int) string {
	line := `The quick brown fox jumps over the lazy dog, and it says hello to it.\n`
	return strings.Repeat(line, size/len(line)+1)[:size/len(line)*len(line)]
}

// tools are twenty definitions of an ordinary size, those that are called among them.
func tools() []string {
	names := []string{"call_1k", "call_64k", "call_1m", "call_sse", "call_pause"}
	for i := len(names); i < 20; i++ {
		names = append(names, fmt.Sprintf("tool_%02d", i))
	}
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = fmt.Sprintf(`{"name":%q,"title":"Tool %d","description":"Searches the records of the system by the words that are given, newest first, and returns at most as many as asked for.",`+
			`"inputSchema":{"type":"object","properties":{"query":{"type":"string","description":"Words to look for"},"limit":{"type":"integer","minimum":1,"maximum":100},"since":{"type":"string","format":"date-time"}},"required":["query"],"additionalProperties":false},`+
			`"annotations":{"readOnlyHint":true,"openWorldHint":false}}`, name, i)
	}
	return out
}

// upstream is the server that costs as little as it can.
type upstream struct {
	answers *answers
	accepts atomic.Int64 // connections so far
}

func serveUpstream(address string) error {
	u := &upstream{answers: newAnswers()}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: u, ConnState: func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			u.accepts.Add(1)
		}
	}}
	return server.Serve(listener)
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/accepts" {
		fmt.Fprint(w, u.accepts.Load())
		return
	}
	switch {
	case r.URL.Path == "/token":
		serveToken(w)
		return
	case r.URL.Path == guardedPath && r.Header.Get("Authorization") != credential:
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if r.Method == http.MethodDelete {
		return
	}
	if r.Method != http.MethodPost {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	id := idOf(body)
	method := r.Header.Get("Mcp-Method")
	if method == "" {
		method = legacyMethod(body)
	}
	switch method {
	case "tools/call":
		u.call(w, id, body)
	case "tools/list":
		answer(w, id, u.answers.list)
	case "server/discover":
		answer(w, id, []byte(`,"result":{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},"ttlMs":300000,"cacheScope":"public"}}`))
	case "initialize":
		w.Header().Set("Mcp-Session-Id", strconv.FormatInt(time.Now().UnixNano(), 36))
		answer(w, id, []byte(`,"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"bench","version":"1"}}}`))
	default:
		w.WriteHeader(http.StatusAccepted)
	}
}

// call answers by the tool's name, which is looked for rather than parsed.
func (u *upstream) call(w http.ResponseWriter, id, body []byte) {
	name := nameOf(body)
	switch name {
	case "call_sse":
		progress(w, id, body, 0)
	case "call_pause":
		progress(w, id, body, 20*time.Millisecond)
	default:
		answer(w, id, u.answers.calls[name])
	}
}

// progress answers with ten events of progress and the result; pause is between the first and the rest.
func progress(w http.ResponseWriter, id, body []byte, pause time.Duration) {
	w.Header().Set("Content-Type", "text/event-stream")
	token := between(body, `"progressToken":`, ",}")
	for i := range 10 {
		fmt.Fprintf(w, "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":%s,\"progress\":%d,\"total\":10,\"at\":%d}}\n\n", token, i+1, time.Now().UnixNano())
		if i == 0 && pause > 0 {
			w.(http.Flusher).Flush()
			time.Sleep(pause)
		}
	}
	fmt.Fprintf(w, "event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{\"resultType\":\"complete\",\"content\":[{\"type\":\"text\",\"text\":\"done\"}]}}\n\n", id)
}

func answer(w http.ResponseWriter, id, rest []byte) {
	const head = `{"jsonrpc":"2.0","id":`
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(head)+len(id)+len(rest)))
	io.WriteString(w, head)
	w.Write(id)
	w.Write(rest)
}

func idOf(body []byte) []byte { return between(body, `"id":`, ",}") }

func nameOf(body []byte) string { return string(bytes.Trim(between(body, `"name":`, ",}"), `"`)) }

func legacyMethod(body []byte) string {
	return string(bytes.Trim(between(body, `"method":`, ",}"), `"`))
}

// between returns what stands between a text and the first of some bytes after it.
func between(body []byte, after, until string) []byte {
	i := bytes.Index(body, []byte(after))
	if i < 0 {
		return []byte("null")
	}
	rest := body[i+len(after):]
	if end := bytes.IndexAny(rest, until); end >= 0 {
		rest = rest[:end]
	}
	return rest
}
