package proxy_test

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"mcpsidecar/configstore"
	"mcpsidecar/internal/audit"
	"mcpsidecar/internal/caller"
	"mcpsidecar/internal/front"
	"mcpsidecar/internal/metrics"
	"mcpsidecar/policy"
	"mcpsidecar/proxy"
)

// patience is how long a test waits for what must happen; only a broken program takes that long.
const patience = time.Minute

// rig is a proxy with everything around it, in front of fake servers.
type rig struct {
	t       testing.TB
	proxy   *proxy.Proxy
	metrics *metrics.Metrics
	web     *httptest.Server
	audit   string // the file
	log     *audit.Log
	tokens  []configstore.APIToken
	callers *caller.Authenticator

	mu     sync.Mutex
	stored configstore.Snapshot
}

var sessionKey = [32]byte{1, 2, 3}

func newRig(t testing.TB, servers ...configstore.Server) *rig {
	return newRigWith(t, func(*proxy.Config) {}, servers...)
}

func newRigWith(t testing.TB, change func(*proxy.Config), servers ...configstore.Server) *rig {
	t.Helper()
	r := &rig{t: t, metrics: metrics.New(metrics.Config{}), audit: filepath.Join(t.TempDir(), "audit.log")}
	log, err := audit.Open(audit.Config{Path: r.audit})
	if err != nil {
		t.Fatal(err)
	}
	r.log = log
	if r.callers, err = caller.New(caller.Config{}); err != nil {
		t.Fatal(err)
	}
	config := proxy.Config{
		Callers: r.callers, Client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}, SessionKey: sessionKey, Metrics: r.metrics, Audit: log,
		Baseline: r.baseline, Version: "test",
		Waiting: proxy.Waiting{Hello: patience, List: patience, Stale: patience, Move: patience}, // so that no answer depends on how busy the machine is; servers that hang have tests that say how long they do
	}
	change(&config)
	if r.proxy, err = proxy.New(config); err != nil {
		t.Fatal(err)
	}
	r.stored = configstore.Snapshot{Revision: 1, Catalogs: map[string]configstore.Catalog{}}
	r.load(servers...)
	gate := front.Wrap(front.Config{Listen: "127.0.0.1:0"}, r.proxy)
	r.web = httptest.NewServer(gate)
	t.Cleanup(func() {
		r.proxy.Drain(t.Context())
		r.web.CloseClientConnections()
		r.web.Close()
		gate.Close()
		r.proxy.Close()
		log.Close()
		config.Client.CloseIdleConnections()
	})
	return r
}

// load stores servers and has the proxy use them.
func (r *rig) load(servers ...configstore.Server) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stored.Servers = servers
	r.stored.Revision++
	r.proxy.Load(r.stored)
}

func (r *rig) baseline(_ context.Context, id string, _ uint64, first policy.Baseline) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	catalogs := map[string]configstore.Catalog{}
	for k, v := range r.stored.Catalogs {
		catalogs[k] = v
	}
	if _, ok := catalogs[id]; !ok {
		catalogs[id] = configstore.Catalog{ServerID: id, Baseline: first}
	}
	r.stored.Catalogs = catalogs
	r.stored.Revision++
	r.proxy.Load(r.stored)
	return nil
}

// token mints a token and returns its text.
func (r *rig) token(role, user string, change ...func(*configstore.APIToken)) string {
	minted := caller.Mint()
	record := configstore.APIToken{ID: minted.ID, Hash: minted.Hash, Role: role, User: user}
	for _, c := range change {
		c(&record)
	}
	r.tokens = append(r.tokens, record)
	r.callers.Reload(r.tokens)
	return minted.Text
}

// client is one MCP client of one era.
type client struct {
	rig     *rig
	token   string
	path    string
	era     string
	session string
	header  http.Header
	nextID  int

	capabilities string // of a modern client, as JSON; empty: none
}

func (r *rig) client(era, path, token string, header ...string) *client {
	r.t.Helper()
	c := &client{rig: r, token: token, path: path, era: era, header: http.Header{}}
	for i := 0; i < len(header); i += 2 {
		c.header.Add(header[i], header[i+1])
	}
	if era == "legacy" {
		answer := c.post(`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}`)
		if c.session = answer.header.Get("Mcp-Session-Id"); c.session == "" {
			r.t.Fatalf("initialize: %d %s", answer.status, answer.body)
		}
		if notified := c.post(`{"jsonrpc":"2.0","method":"notifications/initialized"}`); notified.status != http.StatusAccepted {
			r.t.Fatalf("initialized: %d %s", notified.status, notified.body)
		}
	}
	return c
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
	events []string // data of each event, if it was a stream
}

// message is the last JSON-RPC message of an answer.
type message struct {
	ID     json.RawMessage `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Code    int             `json:"code"`
		Message string          `json:"message"`
		Data    json.RawMessage `json:"data"`
	} `json:"error"`
}

func (a answer) last(t testing.TB) message {
	t.Helper()
	text := a.body
	if len(a.events) > 0 {
		text = a.events[len(a.events)-1]
	}
	var m message
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		t.Fatalf("answer %d is no message: %v\n%s", a.status, err, a.body)
	}
	return m
}

func (c *client) request(method string, body io.Reader) *http.Request {
	r, err := http.NewRequestWithContext(c.rig.t.Context(), method, c.rig.web.URL+c.path, body)
	if err != nil {
		c.rig.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	if c.session != "" {
		r.Header.Set("Mcp-Session-Id", c.session)
	}
	for name, values := range c.header {
		r.Header[name] = values
	}
	return r
}

// post sends a body as it is.
func (c *client) post(body string, header ...string) answer {
	c.rig.t.Helper()
	r := c.request(http.MethodPost, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return c.do(r)
}

func (c *client) do(r *http.Request) answer {
	c.rig.t.Helper()
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		c.rig.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		c.rig.t.Fatal(err)
	}
	a := answer{status: response.StatusCode, header: response.Header, body: string(text)}
	if strings.HasPrefix(response.Header.Get("Content-Type"), "text/event-stream") {
		a.events = eventsOf(bytes.NewReader(text))
	}
	return a
}

func eventsOf(r io.Reader) (events []string) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 32<<20)
	for lines.Scan() {
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			events = append(events, data)
		}
	}
	return events
}

const modernMeta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"c","version":"1"},"io.modelcontextprotocol/clientCapabilities":%s%s}`

// ask sends one request in the client's era; params are members without braces, meta are members of _meta.
func (c *client) ask(method, name, params, meta string) answer {
	c.rig.t.Helper()
	return c.do(c.asked(method, name, params, meta))
}

func (c *client) asked(method, name, params, meta string) *http.Request {
	c.nextID++
	var members []string
	if params != "" {
		members = append(members, params)
	}
	if c.era == "modern" {
		if meta != "" {
			meta = "," + meta
		}
		members = append(members, fmt.Sprintf(modernMeta, cmp.Or(c.capabilities, "{}"), meta))
	} else if meta != "" {
		members = append(members, `"_meta":{`+meta+`}`)
	}
	r := c.request(http.MethodPost, strings.NewReader(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":%q,"params":{%s}}`, c.nextID, method, strings.Join(members, ","))))
	if c.era == "modern" {
		r.Header.Set("Mcp-Protocol-Version", "2026-07-28")
		r.Header.Set("Mcp-Method", method)
		if name != "" {
			r.Header.Set("Mcp-Name", name)
		}
	}
	return r
}

// list returns the names of the listed tools.
func (c *client) list() []string {
	c.rig.t.Helper()
	var result struct {
		Tools []struct {
			Name string `json:"name"`
		} `json:"tools"`
	}
	m := c.ask("tools/list", "", "", "").last(c.rig.t)
	if m.Error != nil {
		c.rig.t.Fatalf("tools/list: %+v", m.Error)
	}
	if err := json.Unmarshal(m.Result, &result); err != nil {
		c.rig.t.Fatal(err)
	}
	names := []string{}
	for _, tool := range result.Tools {
		names = append(names, tool.Name)
	}
	return names
}

// called is the outcome of a call.
type called struct {
	Content []struct {
		Text string `json:"text"`
	} `json:"content"`
	IsError    bool            `json:"isError"`
	ResultType string          `json:"resultType"`
	Extra      json.RawMessage `json:"extra"`
	code       int
	raw        answer
}

func (c called) text() string {
	if len(c.Content) == 0 {
		return ""
	}
	return c.Content[0].Text
}

func (c *client) call(name, arguments string) called {
	c.rig.t.Helper()
	return c.outcome(c.ask("tools/call", name, fmt.Sprintf(`"name":%q,"arguments":%s`, name, arguments), ""))
}

func (c *client) outcome(a answer) called {
	c.rig.t.Helper()
	out := called{raw: a}
	m := a.last(c.rig.t)
	if m.Error != nil {
		out.code = m.Error.Code
		return out
	}
	if err := json.Unmarshal(m.Result, &out); err != nil {
		c.rig.t.Fatal(err)
	}
	return out
}
