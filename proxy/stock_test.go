package proxy_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
)

// stock is what a fake server has besides tools.
type stock struct {
	prompts, resources, templates []string // raw entries
	capabilities                  string   // empty: of everything, with changes announced
	page                          int      // entries on one page; 0: all

	mu     sync.Mutex
	broken bool // lists fail
}

func prompt(name string) string {
	return fmt.Sprintf(`{"name":%q,"description":"says %s","arguments":[{"name":"who"}],"extra":[1, 2]}`, name, name)
}

func resource(uri string) string {
	return fmt.Sprintf(`{"uri":%q,"name":"n","extra":[1, 2]}`, uri)
}

func resourceTemplate(text string) string { return fmt.Sprintf(`{"uriTemplate":%q,"name":"n"}`, text) }

const everything = `{"tools":{"listChanged":true},"prompts":{"listChanged":true},"resources":{"listChanged":true},"completions":{}}`

// startStocked starts a fake server with a stock.
func startStocked(t testing.TB, era string, s *stock) *fakeServer {
	t.Helper()
	f := startFake(t, era, tool("x"))
	f.before = func(w http.ResponseWriter, _ *http.Request, m seen) bool { return s.serve(f, w, m) }
	return f
}

func (s *stock) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// serve answers what concerns the stock; what it reads back is what it was asked for, so that tests see it.
func (s *stock) serve(f *fakeServer, w http.ResponseWriter, m seen) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.era == "legacy" && m.Params.Meta.Version != "" {
		return false
	}
	capabilities := s.capabilities
	if capabilities == "" {
		capabilities = everything
	}
	w.Header().Set("Content-Type", "application/json")
	switch m.Method {
	case "server/discover":
		reply(w, m, `{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":`+capabilities+`,"ttlMs":60000,"cacheScope":"public"}`)
	case "initialize":
		w.Header().Set("Mcp-Session-Id", "stocked")
		reply(w, m, `{"protocolVersion":"2025-11-25","capabilities":`+capabilities+`,"serverInfo":{"name":"fake","version":"1"}}`)
	case "prompts/list":
		s.list(f, w, m, "prompts", s.prompts)
	case "resources/list":
		s.list(f, w, m, "resources", s.resources)
	case "resources/templates/list":
		s.list(f, w, m, "resourceTemplates", s.templates)
	case "prompts/get":
		reply(w, m, `{`+f.complete("")+`"messages":[],"got":`+m.field("name")+`,"arguments":`+m.field("arguments")+`}`)
	case "resources/read":
		if strings.Contains(m.field("uri"), "missing") {
			code := map[string]int{"modern": -32602, "legacy": -32002}[f.era]
			fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"error":{"code":%d,"message":"Resource not found","data":{"uri":%s}}}`, m.ID, code, m.field("uri"))
			return true
		}
		reply(w, m, `{`+f.complete(`"ttlMs":7000,"cacheScope":"public",`)+`"contents":[{"uri":`+m.field("uri")+`,"text":"t"}]}`)
	case "completion/complete":
		reply(w, m, `{`+f.complete("")+`"completion":{"values":["a"]},"ref":`+m.field("ref")+`}`)
	default:
		return false
	}
	return true
}

// complete is what only a modern server's results have.
func (f *fakeServer) complete(more string) string {
	if f.era != "modern" {
		return ""
	}
	return `"resultType":"complete",` + more
}

// list answers with one page; its cursors are places in the list.
func (s *stock) list(f *fakeServer, w http.ResponseWriter, m seen, member string, entries []string) {
	if s.broken {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	from := 0
	if cursor := m.field("cursor"); cursor != "null" {
		fmt.Sscanf(cursor, `"%d"`, &from)
	}
	next := ""
	to := len(entries)
	if s.page > 0 && from+s.page < to {
		to = from + s.page
		next = fmt.Sprintf(`,"nextCursor":"%d"`, to)
	}
	reply(w, m, `{`+f.complete(`"ttlMs":60000,"cacheScope":"public",`)+`"`+member+`":[`+strings.Join(entries[from:to], ",")+`]`+next+`}`)
}

// field is one raw member of the params.
func (m seen) field(name string) string {
	var body struct {
		Params map[string]json.RawMessage `json:"params"`
	}
	json.Unmarshal([]byte(m.Body), &body)
	if raw := body.Params[name]; raw != nil {
		return string(raw)
	}
	return "null"
}

// shelf is one page of a list as a client reads it.
type shelf struct {
	keys        []string
	raw         string
	next        string
	unavailable []string
	stale       []string
	result      map[string]json.RawMessage
}

// members of lists, and what an entry is named by.
var shelves = map[string][2]string{
	"prompts/list": {"prompts", "name"}, "resources/list": {"resources", "uri"}, "resources/templates/list": {"resourceTemplates", "uriTemplate"},
}

// shelf asks for one page; an empty cursor is none.
func (c *client) shelf(method, cursor string) shelf {
	c.rig.t.Helper()
	params := ""
	if cursor != "" {
		params = fmt.Sprintf(`"cursor":%q`, cursor)
	}
	a := c.ask(method, "", params, "")
	m := a.last(c.rig.t)
	if m.Error != nil {
		c.rig.t.Fatalf("%s: %s", method, a.body)
	}
	s := shelf{raw: string(m.Result)}
	var meta struct {
		Next string `json:"nextCursor"`
		Meta struct {
			Unavailable []string `json:"mcp-sidecar/unavailable"`
			Stale       []string `json:"mcp-sidecar/stale"`
		} `json:"_meta"`
	}
	var entries []map[string]json.RawMessage
	for _, err := range []error{
		json.Unmarshal(m.Result, &s.result), json.Unmarshal(m.Result, &meta), json.Unmarshal(s.result[shelves[method][0]], &entries),
	} {
		if err != nil {
			c.rig.t.Fatalf("%s: %v: %s", method, err, a.body)
		}
	}
	s.next, s.unavailable, s.stale = meta.Next, meta.Meta.Unavailable, meta.Meta.Stale
	for _, e := range entries {
		var key string
		json.Unmarshal(e[shelves[method][1]], &key)
		s.keys = append(s.keys, key)
	}
	return s
}

// get, read and complete use what is listed; they return the last message.
func (c *client) get(name string) message {
	c.rig.t.Helper()
	return c.ask("prompts/get", name, fmt.Sprintf(`"name":%q,"arguments":{"who":"you"}`, name), "").last(c.rig.t)
}

func (c *client) read(uri string) message {
	c.rig.t.Helper()
	return c.ask("resources/read", uri, fmt.Sprintf(`"uri":%q`, uri), "").last(c.rig.t)
}

func (c *client) complete(kind, key, name string) message {
	c.rig.t.Helper()
	params := fmt.Sprintf(`"ref":{"type":%q,%q:%q,"title":"kept"},"argument":{"name":"who","value":"y"}`, kind, key, name)
	return c.ask("completion/complete", "", params, "").last(c.rig.t)
}

// code is the code of an error, or 0.
func (m message) code() int {
	if m.Error == nil {
		return 0
	}
	return m.Error.Code
}

// refusal is the whole of an error, but for the name that was asked for; empty: there was none.
func (m message) refusal(name string) string {
	if m.Error == nil {
		return ""
	}
	return strings.ReplaceAll(fmt.Sprint(m.Error.Code, m.Error.Message, string(m.Error.Data)), name, "NAME")
}

// lastOf is the last request of a method that a server was sent.
func (f *fakeServer) lastOf(t *testing.T, method string) seen {
	t.Helper()
	all := f.seenOf(method)
	if len(all) == 0 {
		t.Fatalf("the server was never asked for %s", method)
	}
	return all[len(all)-1]
}

func wantKeys(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}
