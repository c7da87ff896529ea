package e2e_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// The wire, as agents write it themselves.

// answer is an HTTP answer, read to its end.
type answer struct {
	status int
	header http.Header
	body   string
}

// web is a client that keeps no secrets and follows nothing.
func web(t testing.TB) *http.Client {
	pool := &http.Transport{MaxIdleConnsPerHost: 256, Proxy: nil}
	t.Cleanup(pool.CloseIdleConnections)
	return &http.Client{Transport: pool, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// send sends one request and reads the answer. header are pairs.
func send(t testing.TB, client *http.Client, method, url, token, body string, header ...string) answer {
	t.Helper()
	a, err := try(t, client, method, url, token, body, header...)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	return a
}

func try(t testing.TB, client *http.Client, method, url, token, body string, header ...string) (answer, error) {
	response, err := client.Do(newRequest(t, method, url, token, body, header...))
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, string(text)}, err
}

func newRequest(t testing.TB, method, url, token, body string, header ...string) *http.Request {
	t.Helper()
	request := must[*http.Request](t)(http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body)))
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		if request.Header.Set(header[i], header[i+1]); header[i] == "Host" {
			request.Host = header[i+1]
		}
	}
	return request
}

// agent speaks MCP to one endpoint, in one era.
type agent struct {
	t       testing.TB
	client  *http.Client
	url     string
	token   string
	session string // of a legacy agent
}

// modern is an agent without a session.
func (s *sidecar) modern(path, token string) *agent {
	return &agent{t: s.t, client: web(s.t), url: s.Base + path, token: token}
}

// legacy opens a session.
func (s *sidecar) legacy(path, token string) *agent {
	s.t.Helper()
	a := s.modern(path, token)
	opened := a.post(`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"agent","version":"1"}}}`)
	if a.session = opened.header.Get("Mcp-Session-Id"); a.session == "" {
		s.t.Fatalf("initialize: %d %s", opened.status, opened.body)
	}
	if noted := a.post(`{"jsonrpc":"2.0","method":"notifications/initialized"}`); noted.status != http.StatusAccepted {
		s.t.Fatalf("initialized: %d %s", noted.status, noted.body)
	}
	return a
}

const acceptBoth = "application/json, text/event-stream"

// post sends a body as it is.
func (a *agent) post(body string, header ...string) answer {
	a.t.Helper()
	return send(a.t, a.client, http.MethodPost, a.url, a.token, body, a.with(header)...)
}

func (a *agent) with(header []string) []string {
	header = append([]string{"Accept", acceptBoth}, header...)
	if a.session != "" {
		header = append(header, "Mcp-Session-Id", a.session)
	}
	return header
}

// message is a JSON-RPC answer.
type message struct {
	ID     json.RawMessage
	Result json.RawMessage
	Error  *struct {
		Code    int
		Message string
	}
}

// meta is what a modern request says in each message; more are further members.
func meta(more string) string {
	if more != "" {
		more = "," + more
	}
	return `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"agent","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}` + more + `}`
}

// request builds a request in the agent's era; params are members without braces.
func (a *agent) request(id int, method, name, params string) (body string, header []string) {
	if a.session == "" {
		if params != "" {
			params += ","
		}
		params += meta("")
		header = []string{"Mcp-Protocol-Version", "2026-07-28", "Mcp-Method", method}
		if name != "" {
			header = append(header, "Mcp-Name", name)
		}
	}
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":%q,"params":{%s}}`, id, method, params), header
}

// ask sends a request and returns the answer to it.
func (a *agent) ask(id int, method, name, params string) message {
	a.t.Helper()
	body, header := a.request(id, method, name, params)
	got := a.post(body, header...)
	m, err := lastMessage(got)
	if err != nil {
		a.t.Fatalf("%s: %d %s: %v", method, got.status, got.body, err)
	}
	return m
}

func lastMessage(a answer) (m message, err error) {
	text := a.body
	if strings.HasPrefix(a.header.Get("Content-Type"), "text/event-stream") {
		lines := bufio.NewScanner(strings.NewReader(a.body))
		lines.Buffer(nil, 64<<20)
		for lines.Scan() {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				text = data
			}
		}
	}
	return m, json.Unmarshal([]byte(text), &m)
}

// list returns the names of the listed tools.
func (a *agent) list() (names []string) {
	a.t.Helper()
	var result struct{ Tools []struct{ Name string } }
	m := a.ask(1, "tools/list", "", "")
	if m.Error != nil || json.Unmarshal(m.Result, &result) != nil {
		a.t.Fatalf("tools/list: %+v %s", m.Error, m.Result)
	}
	for _, tool := range result.Tools {
		names = append(names, tool.Name)
	}
	return names
}

// call calls a tool.
func (a *agent) call(name, arguments string) said {
	a.t.Helper()
	return saidBy(a.t, a.ask(2, "tools/call", name, fmt.Sprintf(`"name":%q,"arguments":%s`, name, arguments)))
}

// saidBy reads the result of a tool.
func saidBy(t testing.TB, m message) said {
	t.Helper()
	if m.Error != nil {
		return said{Error: m.Error.Message}
	}
	var result struct {
		Content []struct{ Text string }
		IsError bool
	}
	if err := json.Unmarshal(m.Result, &result); err != nil {
		t.Fatalf("%v in %s", err, m.Result)
	}
	var text bytes.Buffer
	for _, part := range result.Content {
		text.WriteString(part.Text)
	}
	if result.IsError {
		return said{Error: text.String()}
	}
	return said{Text: text.String()}
}

// stream opens a standing stream of the agent's era and returns its events, the first of which a modern agent has to read itself.
func (a *agent) stream() *events {
	a.t.Helper()
	var request *http.Request
	if a.session != "" {
		request = newRequest(a.t, http.MethodGet, a.url, a.token, "", a.with([]string{"Accept", "text/event-stream"})...)
	} else {
		body, header := a.request(9, "subscriptions/listen", "", `"notifications":{"toolsListChanged":true}`)
		request = newRequest(a.t, http.MethodPost, a.url, a.token, body, a.with(header)...)
	}
	response, err := a.client.Do(request)
	if err != nil {
		a.t.Fatal(err)
	}
	if response.StatusCode != http.StatusOK {
		a.t.Fatalf("the stream answers %s", response.Status)
	}
	a.t.Cleanup(func() { response.Body.Close() })
	return &events{response.Body, bufio.NewReaderSize(response.Body, 1<<20)}
}

// events are those of a stream.
type events struct {
	io.Closer
	lines *bufio.Reader
}

// next returns the data of the next event; comments are passed over. The error of a stream that ended is io.EOF.
func (e *events) next() (string, error) {
	for {
		line, err := e.lines.ReadString('\n')
		if err != nil {
			return "", err
		}
		if data, ok := strings.CutPrefix(strings.TrimRight(line, "\r\n"), "data: "); ok {
			return data, nil
		}
	}
}
