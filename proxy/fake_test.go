package proxy_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"mcpsidecar/configstore"
	"mcpsidecar/policy"
)

// fakeServer is an MCP server that does exactly what a test says, and remembers what it was sent.
type fakeServer struct {
	*httptest.Server
	era   string // modern or legacy
	both  bool   // a modern one that answers initialize as well
	tools []string

	// call answers tools/call; nil echoes. It may write what it likes.
	call func(w http.ResponseWriter, r *http.Request, m seen)
	// before is asked first; true means that it has answered.
	before func(w http.ResponseWriter, r *http.Request, m seen) bool

	// get answers GET; nil: there is no standing stream.
	get http.HandlerFunc

	mu       sync.Mutex
	requests []seen
	sessions int
	deleted  []string
}

// seen is one request as it arrived.
type seen struct {
	Header http.Header
	Body   string
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params struct {
		Name      string          `json:"name"`
		Arguments json.RawMessage `json:"arguments"`
		RequestID json.RawMessage `json:"requestId"`
		Meta      struct {
			Token   json.RawMessage `json:"progressToken"`
			Version string          `json:"io.modelcontextprotocol/protocolVersion"`
		} `json:"_meta"`
	} `json:"params"`
}

func tool(name string, more ...string) string {
	return fmt.Sprintf(`{"name":%q,"description":"does %s","inputSchema":{"type":"object"}%s}`, name, name, strings.Join(append([]string{""}, more...), ","))
}

func startFake(t testing.TB, era string, tools ...string) *fakeServer {
	t.Helper()
	f := &fakeServer{era: era, tools: tools}
	f.Server = httptest.NewServer(http.HandlerFunc(f.serve))
	t.Cleanup(f.Close)
	return f
}

func (f *fakeServer) serve(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodDelete {
		f.mu.Lock()
		f.deleted = append(f.deleted, r.Header.Get("Mcp-Session-Id"))
		f.mu.Unlock()
		return
	}
	if r.Method == http.MethodGet && f.get != nil {
		f.get(w, r)
		return
	}
	if r.Method != http.MethodPost {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	body, _ := io.ReadAll(r.Body)
	m := seen{Header: r.Header.Clone(), Body: string(body)}
	json.Unmarshal(body, &m)
	f.mu.Lock()
	f.requests = append(f.requests, m)
	f.mu.Unlock()
	if f.era == "modern" && !f.both && m.Method == "initialize" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if f.before != nil && f.before(w, r, m) {
		return
	}
	w.Header().Set("Content-Type", "application/json")
	switch {
	case m.ID == nil:
		w.WriteHeader(http.StatusAccepted)
	case f.era == "legacy" && m.Params.Meta.Version != "":
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, `{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"Bad Request: no valid session"}}`)
	case m.Method == "server/discover":
		reply(w, m, `{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},"ttlMs":60000,"cacheScope":"public"}`)
	case m.Method == "initialize":
		f.mu.Lock()
		f.sessions++
		w.Header().Set("Mcp-Session-Id", fmt.Sprintf("upstream-%d", f.sessions))
		f.mu.Unlock()
		reply(w, m, `{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"fake","version":"1"}}`)
	case m.Method == "tools/list":
		f.mu.Lock()
		list := strings.Join(f.tools, ",")
		f.mu.Unlock()
		if f.era == "modern" {
			reply(w, m, `{"resultType":"complete","ttlMs":60000,"cacheScope":"public","tools":[`+list+`]}`)
		} else {
			reply(w, m, `{"tools":[`+list+`]}`)
		}
	case m.Method == "tools/call" && f.call != nil:
		f.call(w, r, m)
	case m.Method == "tools/call":
		f.echo(w, m)
	default:
		reply(w, m, `{}`)
	}
}

// echo answers with what it was called with.
func (f *fakeServer) echo(w http.ResponseWriter, m seen) {
	kind := ""
	if f.era == "modern" {
		kind = `"resultType":"complete",`
	}
	text, _ := json.Marshal(m.Params.Name + " " + string(m.Params.Arguments))
	reply(w, m, `{`+kind+`"content":[{"type":"text","text":`+string(text)+`}],"extra":{"kept":[1, 2]}}`)
}

func reply(w http.ResponseWriter, m seen, result string) {
	fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":%s}`, m.ID, result)
}

// seenOf are the requests of one method so far.
func (f *fakeServer) seenOf(method string) (of []seen) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range f.requests {
		if m.Method == method {
			of = append(of, m)
		}
	}
	return of
}

// requestsOf are those of which pick says so.
func (f *fakeServer) requestsOf(pick func(seen) bool) (of []seen) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range f.requests {
		if pick(m) {
			of = append(of, m)
		}
	}
	return of
}

// beyondHello are the methods that it was sent, but for those by which we find out what it has to offer.
func (f *fakeServer) beyondHello() (methods []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range f.requests {
		switch m.Method {
		case "server/discover", "initialize", "notifications/initialized":
		default:
			methods = append(methods, m.Method)
		}
	}
	return methods
}

func (f *fakeServer) setTools(tools ...string) {
	f.mu.Lock()
	f.tools = tools
	f.mu.Unlock()
}

// record is the stored server of a fake, open to everyone.
func (f *fakeServer) record(slug string, change ...func(*configstore.Server)) configstore.Server {
	s := configstore.Server{
		ID: "id-" + slug, DisplayName: slug, Slug: slug, Transport: configstore.StreamableHTTP, URL: f.URL, AuthType: configstore.AuthNone, Revision: 1,
		Rules: policy.Rules{Enabled: true, Availability: policy.DefaultOn, ToolPinning: policy.PinWarn},
	}
	for _, c := range change {
		c(&s)
	}
	return s
}
