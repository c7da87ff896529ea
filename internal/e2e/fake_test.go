package e2e_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// fake is an MCP server that does exactly what a test says and remembers what it was sent.
type fake struct {
	*httptest.Server
	kind string

	mu    sync.Mutex // guards what follows
	call  func(w http.ResponseWriter, r *http.Request, m heard)
	hears func(id string)
	fresh time.Duration // how long its list stays so
	open  string        // the id of its session, if it wants one of its own to be named; it dies with the server
	list  string        // raw, between the brackets
	heard []heard
}

// Kinds of fakes.
const (
	modernOnly = "modern"
	legacyOnly = "legacy"
)

// heard is one message as it arrived.
type heard struct {
	Header http.Header
	ID     json.RawMessage
	Method string
	Params struct {
		Name      string
		Arguments json.RawMessage
		Meta      struct {
			Version string          `json:"io.modelcontextprotocol/protocolVersion"`
			Token   json.RawMessage `json:"progressToken"`
			Parent  string          `json:"traceparent"`
		} `json:"_meta"`
	}
}

// startFake starts a server with the tools echo, steps and wipe.
func startFake(t testing.TB, kind string) *fake { return startFakeAt(t, "127.0.0.1:0", kind) }

func startFakeAt(t testing.TB, address, kind string) *fake {
	t.Helper()
	f := &fake{kind: kind, fresh: time.Second, list: toolNamed("echo") + "," + toolNamed("steps") + "," + toolNamed("wipe")}
	f.serveAt(t, address)
	t.Cleanup(func() {
		f.CloseClientConnections()
		f.Close()
	})
	return f
}

func toolNamed(name string) string {
	return fmt.Sprintf(`{"name":%q,"description":"does %s","inputSchema":{"type":"object"}}`, name, name)
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodDelete {
		return
	}
	if r.Method != http.MethodPost {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	m := heard{Header: r.Header.Clone()}
	if body, err := io.ReadAll(r.Body); err != nil || json.Unmarshal(body, &m) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	f.mu.Lock()
	f.heard = append(f.heard, m)
	call, list, hears, fresh, open := f.call, f.list, f.hears, f.fresh, f.open
	f.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	modern := m.Params.Meta.Version != ""
	switch {
	case open != "" && m.Method != "initialize" && !modern && r.Header.Get("Mcp-Session-Id") != open:
		w.WriteHeader(http.StatusNotFound)
	case m.ID == nil:
		w.WriteHeader(http.StatusAccepted)
	case m.Method == "" && hears != nil:
		hears(string(m.ID))
		w.WriteHeader(http.StatusAccepted)
	case modern != (f.kind == modernOnly):
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, `{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"that is not the protocol of this server"}}`)
	case m.Method == "server/discover":
		m.reply(w, `"supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},"ttlMs":1000,"cacheScope":"public"`)
	case m.Method == "initialize":
		w.Header().Set("Mcp-Session-Id", cmp.Or(open, "fake-session"))
		m.reply(w, `"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"fake","version":"1"}`)
	case m.Method == "tools/list":
		m.reply(w, fmt.Sprintf(`"ttlMs":%d,"cacheScope":"public","tools":[%s]`, fresh.Milliseconds(), list))
	case m.Method == "tools/call" && call != nil:
		call(w, r, m)
	case m.Method == "tools/call":
		m.answer(w)
	default:
		m.reply(w, ``)
	}
}

// reply writes a result of these members.
func (m heard) reply(w io.Writer, members string) {
	if m.Params.Meta.Version != "" {
		members = strings.TrimSuffix(`"resultType":"complete",`+members, ",")
	}
	fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{%s}}`, m.ID, members)
}

// answer does what the tools are there for: echo returns its arguments, steps reports progress three times.
func (m heard) answer(w http.ResponseWriter) {
	text, _ := json.Marshal(string(m.Params.Arguments)) // a text: cannot fail
	content := fmt.Sprintf(`"content":[{"type":"text","text":%s}]`, text)
	if m.Params.Name != "steps" || m.Params.Meta.Token == nil {
		m.reply(w, content)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	for step := range 3 {
		fmt.Fprintf(w, "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":%s,\"progress\":%d,\"total\":3}}\n\n", m.Params.Meta.Token, step+1)
		w.(http.Flusher).Flush()
	}
	io.WriteString(w, "data: ")
	m.reply(w, content)
	io.WriteString(w, "\n\n")
}

// onCall replaces what tools/call does.
func (f *fake) onCall(call func(w http.ResponseWriter, r *http.Request, m heard)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.call = call
}

// ttl says how long its list stays fresh.
func (f *fake) ttl(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fresh = d
}

// needsSession has legacy requests name a session, one that this life of the server has opened.
func (f *fake) needsSession() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open = fmt.Sprint("session-", time.Now().UnixNano())
}

// again starts it anew at its address, without its memory.
func (f *fake) again(t *testing.T, address string) {
	t.Helper()
	f.needsSession()
	f.serveAt(t, address)
}

func (f *fake) serveAt(t testing.TB, address string) {
	t.Helper()
	listener := must[net.Listener](t)(net.Listen("tcp", address))
	f.Server = httptest.NewUnstartedServer(f)
	f.Listener.Close()
	f.Listener = listener
	f.Start()
}

// onAnswer has what is answered to the server's own requests told.
func (f *fake) onAnswer(hears func(id string)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hears = hears
}

// of returns what was heard of one method.
func (f *fake) of(method string) (found []heard) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range f.heard {
		if m.Method == method {
			found = append(found, m)
		}
	}
	return found
}
