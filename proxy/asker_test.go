package proxy_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// asker is a server whose tool "ask" asks the client for what its arguments say, {"method":...,"params":...} or a list of that, and answers with what it got.
type asker struct {
	*fakeServer
	stay chan struct{} // closed: legacy calls answer without waiting any longer

	mu      sync.Mutex
	count   int
	waiting map[string]chan string // of a legacy server: whole responses, by id
	over    chan struct{}          // receives when a legacy call is over
}

func startAsker(t *testing.T, era string) *asker {
	a := &asker{fakeServer: startFake(t, era, tool("ask")), stay: make(chan struct{}), waiting: map[string]chan string{}, over: make(chan struct{}, 1024)}
	a.call = a.askLegacy
	if era == "modern" {
		a.call = a.askModern
	}
	a.before = a.answered
	return a
}

type question struct {
	Method string          `json:"method"`
	Params json.RawMessage `json:"params,omitempty"`
}

func questions(raw json.RawMessage) (asked []question) {
	if json.Unmarshal(raw, &asked) != nil {
		asked = make([]question, 1)
		json.Unmarshal(raw, &asked[0])
	}
	return asked
}

// answered takes the responses of clients.
func (a *asker) answered(w http.ResponseWriter, _ *http.Request, m seen) bool {
	if m.Method != "" {
		return false
	}
	a.mu.Lock()
	waits := a.waiting[string(m.ID)]
	delete(a.waiting, string(m.ID))
	a.mu.Unlock()
	if waits != nil {
		waits <- m.Body
	}
	w.WriteHeader(http.StatusAccepted)
	return true
}

func (a *asker) askLegacy(w http.ResponseWriter, r *http.Request, m seen) {
	defer func() { a.over <- struct{}{} }()
	var given struct{ Ask json.RawMessage }
	json.Unmarshal(m.Params.Arguments, &given)
	w.Header().Set("Content-Type", "text/event-stream")
	asked := questions(given.Ask)
	got := make(chan string, len(asked))
	for _, q := range asked {
		a.mu.Lock()
		a.count++
		id := fmt.Sprintf(`"q-%d"`, a.count)
		a.waiting[id] = got
		a.mu.Unlock()
		params := ""
		if q.Params != nil {
			params = `,"params":` + string(q.Params)
		}
		fmt.Fprintf(w, "data: {\"jsonrpc\":\"2.0\",\"id\":%s,\"method\":%q%s}\n\n", id, q.Method, params)
	}
	w.(http.Flusher).Flush()
	var texts []string
	for range asked {
		select {
		case text := <-got:
			texts = append(texts, text)
		case <-r.Context().Done():
			return
		case <-a.stay:
			texts = append(texts, "waited no longer")
		}
	}
	text, _ := json.Marshal(strings.Join(texts, " and "))
	fmt.Fprintf(w, "data: {\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{\"content\":[{\"type\":\"text\",\"text\":%s}]}}\n\n", m.ID, text)
}

func (a *asker) askModern(w http.ResponseWriter, _ *http.Request, m seen) {
	var params struct {
		Params struct {
			Arguments      struct{ Ask json.RawMessage }
			InputResponses map[string]json.RawMessage `json:"inputResponses"`
			RequestState   string                     `json:"requestState"`
		}
	}
	json.Unmarshal([]byte(m.Body), &params)
	p := params.Params
	if p.RequestState == "" {
		requests := map[string]question{}
		for i, q := range questions(p.Arguments.Ask) {
			requests[fmt.Sprintf("k%d", i+1)] = q
		}
		text, _ := json.Marshal(requests)
		reply(w, m, `{"resultType":"input_required","inputRequests":`+string(text)+`,"requestState":"the <server's> state"}`)
		return
	}
	text, _ := json.Marshal(p.InputResponses)
	shown, _ := json.Marshal(p.RequestState + ": " + string(text))
	reply(w, m, `{"resultType":"complete","content":[{"type":"text","text":`+string(shown)+`}]}`)
}

// request is what a client is asked.
type request struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
}

// conversation is a call during which the client can be asked something.
type conversation struct {
	c        *client
	response *http.Response
	lines    *bufio.Reader
}

// converse begins a call of a legacy client.
func (c *client) converse(arguments string) *conversation {
	c.rig.t.Helper()
	response, err := http.DefaultClient.Do(c.asked("tools/call", c.name("ask"), fmt.Sprintf(`"name":%q,"arguments":%s`, c.name("ask"), arguments), ""))
	if err != nil {
		c.rig.t.Fatal(err)
	}
	return &conversation{c: c, response: response, lines: bufio.NewReader(response.Body)}
}

// name is a tool of server "one" as this client knows it.
func (c *client) name(tool string) string {
	if c.path == "/mcp" {
		return "one__" + tool
	}
	return tool
}

// next is the next message of the stream.
func (v *conversation) next() string {
	v.c.rig.t.Helper()
	if !strings.HasPrefix(v.response.Header.Get("Content-Type"), "text/event-stream") {
		text, _ := io.ReadAll(v.response.Body)
		return string(text)
	}
	for {
		line, err := v.lines.ReadString('\n')
		if err != nil {
			v.c.rig.t.Fatalf("the stream ended: %v", err)
		}
		if data, ok := strings.CutPrefix(line, "data: "); ok {
			return strings.TrimSpace(data)
		}
	}
}

// question is next where that has to be a request.
func (v *conversation) question() request {
	v.c.rig.t.Helper()
	text := v.next()
	var q request
	if json.Unmarshal([]byte(text), &q) != nil || q.Method == "" || q.ID == nil {
		v.c.rig.t.Fatalf("no request of the server: %s", text)
	}
	return q
}

// outcome reads on to the result.
func (v *conversation) outcome() called {
	v.c.rig.t.Helper()
	defer v.response.Body.Close()
	for {
		text := v.next()
		if strings.Contains(text, `"result":`) || strings.Contains(text, `"error":`) {
			return v.c.outcome(answer{body: text})
		}
	}
}

// respond answers a request of the server.
func (c *client) respond(id json.RawMessage, result string) answer {
	c.rig.t.Helper()
	return c.post(fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":%s}`, id, result))
}

// inputRequired is what a modern client is asked.
type inputRequired struct {
	ResultType    string              `json:"resultType"`
	InputRequests map[string]question `json:"inputRequests"`
	RequestState  string              `json:"requestState"`
}

func (c called) required(t testing.TB) (in inputRequired) {
	t.Helper()
	m := c.raw.last(t)
	if json.Unmarshal(m.Result, &in) != nil || in.ResultType != "input_required" {
		t.Fatalf("nothing is asked: %s", c.raw.body)
	}
	return in
}

// again repeats a call of a modern client with more params.
func (c *client) again(arguments, more string) called {
	c.rig.t.Helper()
	return c.outcome(c.ask("tools/call", c.name("ask"), fmt.Sprintf(`"name":%q,"arguments":%s%s`, c.name("ask"), arguments, more), ""))
}

// with are the members of a retry.
func with(state string, responses map[string]string) string {
	var members []string
	for key, result := range responses {
		members = append(members, fmt.Sprintf("%q:%s", key, result))
	}
	more := `,"inputResponses":{` + strings.Join(members, ",") + `}`
	if state != "" {
		more += fmt.Sprintf(`,"requestState":%q`, state)
	}
	return more
}

// carryOn makes a call that asks, answers each question with the result that answers has for its method, and returns the outcome.
func (c *client) carryOn(ask string, answers map[string]string) (out called, asked []question) {
	c.rig.t.Helper()
	arguments := `{"ask":` + ask + `}`
	if c.era == "legacy" {
		v := c.converse(arguments)
		for range questions(json.RawMessage(ask)) {
			q := v.question()
			asked = append(asked, question{q.Method, q.Params})
			if got := c.respond(q.ID, answers[q.Method]); got.status != http.StatusAccepted {
				c.rig.t.Fatalf("the answer: %d %s", got.status, got.body)
			}
		}
		return v.outcome(), asked
	}
	out = c.again(arguments, "")
	for out.ResultType == "input_required" {
		in := out.required(c.rig.t)
		responses := map[string]string{}
		for key, q := range in.InputRequests {
			asked = append(asked, q)
			responses[key] = answers[q.Method]
		}
		out = c.again(arguments, with(in.RequestState, responses))
	}
	return out, asked
}

func compact(raw []byte) string {
	var b bytes.Buffer
	json.Compact(&b, raw)
	return b.String()
}
