package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"mcpsidecar/internal/e2e/rig"
)

// document is where the suite says that our metadata document is.
const document = "https://conformance-test.local/client-metadata.json"

// given is what the suite tells a client besides the address.
type given struct {
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret"`
	ToolCalls    []toolCall
}

type toolCall struct {
	Name      string
	Arguments json.RawMessage
}

// play plays admin, agent and user for one scenario.
func play(ctx context.Context, scenario, address string) error {
	dir, err := os.MkdirTemp("", "play-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var known given
	if text := os.Getenv("MCP_CONFORMANCE_CONTEXT"); text != "" {
		if err := json.Unmarshal([]byte(text), &known); err != nil {
			return err
		}
	}
	s, err := rig.StartSidecar(ctx, rig.SidecarConfig{Binary: os.Getenv(sidecarVariable), Dir: filepath.Join(dir, "data"), Args: []string{"--client-metadata-url", document}})
	if err != nil {
		return err
	}
	defer s.Kill()
	defer func() { fmt.Fprintln(os.Stderr, s.Stderr) }()
	fields := rig.Fields{}
	if strings.HasPrefix(scenario, "auth/") {
		fields["auth_type"] = "oauth2"
	}
	if known.ClientID != "" {
		fields["oauth2_client_id"], fields["oauth2_client_secret"] = known.ClientID, known.ClientSecret
	}
	id, err := s.Register(ctx, "server", address, fields)
	if err != nil {
		return fmt.Errorf("the sidecar refuses the server: %w", err)
	}
	token, err := s.Mint(ctx, "alice", nil)
	if err != nil {
		return err
	}
	p := &player{sidecar: s, id: id, token: token, known: known}
	if fields["auth_type"] == nil { // the older era, so that whatever the newer one asks for beyond the body is the sidecar's work
		if err := p.open(ctx, able(scenario)); err != nil {
			return err
		}
	}
	return p.use(ctx)
}

// player is the agent and its user.
type player struct {
	sidecar *rig.Sidecar
	id      string
	token   string
	known   given
	session string // of the older era; empty: the newest
	signIns int
}

// maxSignIns is how often a user follows a link before losing patience.
const maxSignIns = 3

// use lists the tools and calls each, twice round where the account at the provider turns out to be gone.
func (p *player) use(ctx context.Context) error {
	for {
		tools, err := p.list(ctx)
		if err != nil {
			return err
		}
		signIns := p.signIns
		for _, tool := range tools {
			for _, arguments := range tool.arguments(p.known, tools) {
				if err := p.call(ctx, tool.Name, arguments); err != nil {
					return err
				}
			}
		}
		if p.signIns == signIns {
			return nil
		}
	}
}

type tool struct {
	Name        string
	InputSchema json.RawMessage
}

// arguments are those that the suite asks for, each a call, or something of the right types.
func (t tool) arguments(known given, others []tool) (all []json.RawMessage) {
	for _, call := range known.ToolCalls {
		if call.Name == t.Name {
			all = append(all, call.Arguments)
		}
	}
	if all != nil {
		return all
	}
	arguments := map[string]any{}
	var schema struct {
		Properties map[string]struct{ Type any }
	}
	_ = json.Unmarshal(t.InputSchema, &schema) // what cannot be read has no arguments
	for name, property := range schema.Properties {
		switch property.Type {
		case "object": // one is to be told the schema of another
			for _, other := range others {
				if other.Name != t.Name {
					arguments[name] = other.InputSchema
				}
			}
		case "number", "integer":
			arguments[name] = 2
		case "boolean":
			arguments[name] = true
		case "string":
			arguments[name] = "text"
		}
	}
	text, _ := json.Marshal(arguments) // of simple values: cannot fail
	return []json.RawMessage{text}
}

func (p *player) list(ctx context.Context) ([]tool, error) {
	answer, err := p.ask(ctx, "tools/list", "", `{`)
	if err != nil {
		return nil, err
	}
	var result struct{ Tools []tool }
	return result.Tools, json.Unmarshal(answer.Result, &result)
}

var linkIn = regexp.MustCompile(`http://[^\s"\\]+/connect/[A-Za-z0-9_-]{43}`)

// call calls a tool, and signs in where that is what the answer asks for.
func (p *player) call(ctx context.Context, name string, arguments json.RawMessage) error {
	for {
		text, _ := json.Marshal(name) // a text: cannot fail
		answer, err := p.ask(ctx, "tools/call", name, fmt.Sprintf(`{"name":%s,"arguments":%s,`, text, arguments))
		if err != nil {
			return err
		}
		fmt.Printf("%s: %s%s\n", name, answer.Result, answer.Error)
		link := linkIn.FindString(string(answer.Result) + string(answer.Error))
		if link == "" {
			return nil
		}
		if p.signIns++; p.signIns > maxSignIns {
			return errors.New("the server asks for one sign-in after the other")
		}
		if err := p.browse(ctx, link); err != nil {
			return err
		}
		if strings.HasSuffix(name, "__connect") {
			return nil
		}
	}
}

type answer struct{ Result, Error json.RawMessage }

// newestMeta is what a request of the newest revision says in each message.
const newestMeta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"agent","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}`

// ask sends one request to the sidecar; params is the beginning of an object.
func (p *player) ask(ctx context.Context, method, name, params string) (a answer, err error) {
	header := map[string]string{"Mcp-Protocol-Version": "2026-07-28", "Mcp-Method": method}
	end := newestMeta
	switch {
	case p.session != "":
		header, end = map[string]string{"Mcp-Protocol-Version": "2025-11-25", "Mcp-Session-Id": p.session}, `"_meta":{}`
	case name != "":
		header["Mcp-Name"] = name
	}
	response, text, err := p.post(ctx, `{"jsonrpc":"2.0","id":1,"method":"`+method+`","params":`+params+end+`}}`, header)
	if err != nil {
		return a, err
	}
	if err := json.Unmarshal(text, &a); err != nil {
		return a, fmt.Errorf("%s: %s: %w in %s", method, response.Status, err, text)
	}
	return a, nil
}

// able is what the agent says that it can do. It says no more than the scenario needs: whoever can be asked has the sidecar listen for questions, and the server of sse-retry answers whoever listens.
func able(scenario string) string {
	if scenario == "sep-2322-client-request-state" {
		return `{"elicitation":{}}`
	}
	return `{}`
}

// open begins a session of the older era.
func (p *player) open(ctx context.Context, capabilities string) error {
	response, text, err := p.post(ctx, `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":`+capabilities+`,"clientInfo":{"name":"agent","version":"1"}}}`, nil)
	if err != nil {
		return err
	}
	if p.session = response.Header.Get("Mcp-Session-Id"); p.session == "" {
		return fmt.Errorf("initialize: %s %s", response.Status, text)
	}
	_, _, err = p.post(ctx, `{"jsonrpc":"2.0","method":"notifications/initialized"}`, map[string]string{"Mcp-Session-Id": p.session})
	return err
}

// post sends a message and returns the last one of what comes back.
func (p *player) post(ctx context.Context, body string, header map[string]string) (*http.Response, []byte, error) {
	response, err := p.send(ctx, http.MethodPost, body, header)
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close()
	if !isStream(response) {
		text, err := io.ReadAll(response.Body)
		return response, text, err
	}
	heard := &heard{}
	err = p.hear(ctx, response.Body, heard)
	for err == nil && !heard.answered && heard.id != "" { // it is to be asked for
		err = p.comeBack(ctx, heard, header)
	}
	return response, heard.last, err
}

func isStream(response *http.Response) bool {
	return strings.HasPrefix(response.Header.Get("Content-Type"), "text/event-stream")
}

func (p *player) send(ctx context.Context, method, body string, header map[string]string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, p.sidecar.Base+"/mcp/server", strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+p.token)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json, text/event-stream")
	for name, value := range header {
		request.Header.Set(name, value)
	}
	return http.DefaultClient.Do(request)
}

// heard is what streams of one request have said.
type heard struct {
	last     []byte // message
	answered bool
	id       string // of the last event
	retry    time.Duration
}

// comeBack waits as long as the stream said and goes on after its last event.
func (p *player) comeBack(ctx context.Context, h *heard, header map[string]string) error {
	select {
	case <-time.After(h.retry):
	case <-ctx.Done():
		return ctx.Err()
	}
	with := maps.Clone(header)
	with["Last-Event-ID"] = h.id
	response, err := p.send(ctx, http.MethodGet, "", with)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if !isStream(response) {
		return fmt.Errorf("coming back for the rest: %s", response.Status)
	}
	return p.hear(ctx, response.Body, h)
}

// hear reads a stream to its end and answers what the server asks on it. What the sidecar sends are events of one line of data each.
func (p *player) hear(ctx context.Context, stream io.Reader, h *heard) error {
	lines := bufio.NewScanner(stream)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		field, value, _ := bytes.Cut(lines.Bytes(), []byte(": "))
		switch string(field) {
		case "id":
			h.id = string(value)
		case "retry":
			if ms, err := strconv.Atoi(string(value)); err == nil {
				h.retry = time.Duration(ms) * time.Millisecond
			}
		case "data":
			if err := p.message(ctx, value, h); err != nil {
				return err
			}
		}
	}
	return lines.Err()
}

// message takes one message of a stream.
func (p *player) message(ctx context.Context, text []byte, h *heard) error {
	if len(text) == 0 {
		return nil
	}
	h.last = bytes.Clone(text)
	var said struct {
		ID     json.RawMessage
		Method string
	}
	if json.Unmarshal(h.last, &said) != nil {
		return nil
	}
	h.answered = said.Method == "" && said.ID != nil
	if said.Method != "elicitation/create" {
		return nil
	}
	_, _, err := p.post(ctx, `{"jsonrpc":"2.0","id":`+string(said.ID)+`,"result":{"action":"accept","content":{"confirmed":true}}}`, map[string]string{"Mcp-Session-Id": p.session})
	return err
}

// browse follows a sign-in link as a browser does: the question, the provider, and back.
func (p *player) browse(ctx context.Context, link string) error {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return err
	}
	browser := &http.Client{Jar: jar}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, link, nil)
	if err != nil {
		return err
	}
	response, err := browser.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	page, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the sign-in ended with %s at %s:\n%s", response.Status, response.Request.URL.Path, page)
	}
	return nil
}
