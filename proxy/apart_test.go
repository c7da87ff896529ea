//lint:file-ignore SA1019 what is deprecated is what is tried

package proxy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	mcpgo "github.com/mark3labs/mcp-go/mcp"
	mcpgoserver "github.com/mark3labs/mcp-go/server"

	"mcpsidecar/configstore"
	"mcpsidecar/policy"
)

// askAside makes a legacy server ask on the standing stream of the session, with nothing of the call's response sent before, as mcp-go's do.
func askAside(a *asker) *standing {
	streams := standOn(a.fakeServer)
	a.call = func(w http.ResponseWriter, r *http.Request, m seen) {
		defer func() { a.over <- struct{}{} }()
		var given struct{ Ask json.RawMessage }
		json.Unmarshal(m.Params.Arguments, &given)
		asked := questions(given.Ask)
		got := make(chan string, len(asked))
		for _, q := range asked {
			a.mu.Lock()
			a.count++
			id := fmt.Sprintf(`"q-%d"`, a.count)
			a.waiting[id] = got
			a.mu.Unlock()
			text, _ := json.Marshal(struct {
				V      string          `json:"jsonrpc"`
				ID     json.RawMessage `json:"id"`
				Method string          `json:"method"`
				Params json.RawMessage `json:"params,omitempty"`
			}{"2.0", json.RawMessage(id), q.Method, q.Params})
			select {
			case streams.of(r.Header.Get("Mcp-Session-Id")) <- string(text):
			case <-r.Context().Done():
				return
			}
		}
		var texts []string
		for range asked {
			select {
			case text := <-got:
				texts = append(texts, text)
			case <-a.stay:
				texts = append(texts, "waited no longer")
			case <-r.Context().Done():
				return
			}
		}
		text, _ := json.Marshal(strings.Join(texts, " and "))
		reply(w, m, `{"content":[{"type":"text","text":`+string(text)+`}]}`)
	}
	return streams
}

// TestWhatIsAskedOnTheStandingStreamOfACall reaches a client of either era that has no standing stream itself.
func TestWhatIsAskedOnTheStandingStreamOfACall(t *testing.T) {
	for _, clientEra := range eras {
		t.Run(clientEra+" client", func(t *testing.T) {
			a := startAsker(t, "legacy")
			askAside(a)
			r := newRig(t, a.record("one"))
			c := r.clientWith(clientEra, "/mcp", r.token("user", "alice"), ableToAll)
			for name, test := range asks {
				out, asked := c.carryOn(asking(test.method, test.params), map[string]string{test.method: test.answer})
				if len(asked) != 1 || asked[0].Method != test.method || test.params != "" && compact(asked[0].Params) != compact([]byte(test.params)) {
					t.Errorf("%s: the client was asked %+v", name, asked)
				}
				if out.IsError || !strings.Contains(out.text(), test.answer) {
					t.Errorf("%s: the server had %s, want %s", name, out.raw.body, test.answer)
				}
			}
			out, _ := c.carryOn("["+asking("roots/list", "")+","+asking("roots/list", "")+"]", map[string]string{"roots/list": `{"roots":[]}`})
			if strings.Count(out.text(), `{"roots":[]}`) != 2 {
				t.Errorf("two questions: %s", out.raw.body)
			}
			if out := c.again(`{"ask":`+asking("elicitation/create", `{"mode":"url","message":"Go","url":"javascript:x"}`)+`}`, ""); !strings.Contains(out.text(), `"code":-32602`) {
				t.Errorf("a script: the server had %s", out.raw.body)
			}
		})
	}
}

// TestManyModernClientsAskedAside: each call of a server that asks on its standing stream is asked its own, and no other's.
func TestManyModernClientsAskedAside(t *testing.T) {
	a := startAsker(t, "legacy")
	askAside(a)
	r := newRig(t, a.record("one"))
	token := r.token("user", "alice")
	first := r.clientWith("modern", "/mcp", token, ableToAll)
	first.carryOn(asking("roots/list", ""), map[string]string{"roots/list": `{"roots":[]}`}) // now it is known what the server does
	var wg sync.WaitGroup
	for chat := range 12 {
		c := r.clientWith("modern", "/mcp", token, ableToAll)
		wg.Go(func() {
			for turn := range 3 {
				secret := fmt.Sprintf("%d/%d", chat, turn)
				ask := asking("sampling/createMessage", fmt.Sprintf(`{"messages":[],"systemPrompt":"for %s"}`, secret))
				out, asked := c.carryOn(ask, map[string]string{"sampling/createMessage": fmt.Sprintf(`{"secret":%q}`, secret)})
				if len(asked) != 1 || !strings.Contains(string(asked[0].Params), "for "+secret+`"`) || !strings.Contains(out.text(), fmt.Sprintf("%q", secret)) {
					t.Errorf("%s: asked %+v, the server had %s", secret, asked, out.text())
				}
			}
		})
	}
	wg.Wait()
	if n := len(a.seenOf("initialize")); n > 1+16 {
		t.Errorf("%d sessions", n)
	}
	for range 4 { // one after the other they share one
		first.again(`{"ask":[]}`, "")
	}
	sent := a.seenOf("tools/call")
	last := sent[len(sent)-4:]
	if slices.ContainsFunc(last, func(m seen) bool {
		return m.Header.Get("Mcp-Session-Id") != last[0].Header.Get("Mcp-Session-Id")
	}) {
		t.Error("calls one after the other were made in several sessions")
	}
}

// TestWhoDeclaresSomethingElseEachTime has no more sessions than others have.
func TestWhoDeclaresSomethingElseEachTime(t *testing.T) {
	a := startAsker(t, "legacy")
	askAside(a)
	begun := make(chan struct{})
	aside := a.call
	a.call = func(w http.ResponseWriter, r *http.Request, m seen) {
		if strings.Contains(string(m.Params.Arguments), "wait") {
			close(begun)
			<-a.stay
		}
		aside(w, r, m)
	}
	r := newRig(t, a.record("one"))
	token := r.token("user", "alice")
	r.clientWith("modern", "/mcp", token, ableToAll).carryOn(asking("roots/list", ""), map[string]string{"roots/list": `{"roots":[]}`}) // now it is known what the server does
	other := func(n int) *client {
		return r.clientWith("modern", "/mcp", token, fmt.Sprintf(`{"roots":{},"experimental":{"n":%d}}`, n))
	}
	for n := range 8 {
		other(n).again(`{"ask":[]}`, "")
	}
	var wg sync.WaitGroup
	late := other(100)
	wg.Go(func() { late.again(`{"wait":1,"ask":[]}`, "") })
	<-begun
	before := len(a.seenOf("initialize"))
	for n := range 20 {
		other(200+n).again(`{"ask":[]}`, "")
	}
	if made := len(a.seenOf("initialize")) - before; made > 1 {
		t.Errorf("%d sessions more", made)
	}
	close(a.stay)
	wg.Wait()
}

// TestAQuestionThatMayBeOfSeveralCalls is nobody's; what is asked after that is again somebody's.
func TestAQuestionThatMayBeOfSeveralCalls(t *testing.T) {
	a := startAsker(t, "legacy")
	askAside(a)
	begun := make(chan struct{})
	aside := a.call
	a.call = func(w http.ResponseWriter, r *http.Request, m seen) {
		if strings.Contains(string(m.Params.Arguments), "wait") {
			close(begun)
			<-a.stay
			a.echo(w, m)
			return
		}
		aside(w, r, m)
	}
	r := newRig(t, a.record("one"))
	token := r.token("user", "alice")
	c, other := r.clientWith("modern", "/mcp", token, ableToAll), r.clientWith("modern", "/mcp", token, ableToAll)
	var wg sync.WaitGroup
	wg.Go(func() {
		if got := other.again(`{"wait":1}`, ""); !strings.HasPrefix(got.text(), "ask") {
			t.Errorf("the other call: %s", got.raw.body)
		}
	})
	<-begun
	if got := c.again(askRoots, ""); !strings.Contains(got.text(), `"error"`) {
		t.Errorf("the question may have been the other call's: %s", got.raw.body)
	}
	out, asked := c.carryOn(asking("roots/list", ""), map[string]string{"roots/list": `{"roots":[]}`})
	if len(asked) != 1 || !strings.Contains(out.text(), `{"roots":[]}`) {
		t.Errorf("asked %+v, the server had %s", asked, out.raw.body)
	}
	close(a.stay)
	wg.Wait()
}

// TestACallThatIsAskedAsideEnds while it waits: by time, by the program's end, or with an answer that did not wait.
func TestACallThatIsAskedAsideEnds(t *testing.T) {
	a := startAsker(t, "legacy")
	askAside(a)
	r := newRig(t, a.record("one"))
	c := r.clientWith("modern", "/mcp", r.token("user", "alice"), ableToAll)
	in := c.again(askRoots, "").required(t)
	close(a.stay) // it answers while it is parked
	<-a.over      // and before there is anything else that it could answer with
	got := c.again(askRoots, with(in.RequestState, map[string]string{"question": `{"roots":[]}`}))
	if got.text() != "waited no longer" {
		t.Errorf("the retry: %s", got.raw.body)
	}
	a.stay = make(chan struct{})
	c.again(askRoots, "").required(t)
	r.proxy.Drain(t.Context())
	r.proxy.Close()
	<-a.over
}

// TestAServerTakesBackWhatItAskedAside.
func TestAServerTakesBackWhatItAskedAside(t *testing.T) {
	a := startAsker(t, "legacy")
	streams := askAside(a)
	r := newRig(t, a.record("one"))
	c := r.clientWith("legacy", "/mcp", r.token("user", "alice"), ableToAll)
	v := c.converse(askRoots)
	q := v.question()
	session := a.seenOf("tools/call")[0].Header.Get("Mcp-Session-Id")
	streams.say(session, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"q-1"}}`)
	if got := v.next(); !strings.Contains(got, "notifications/cancelled") || !strings.Contains(got, string(q.ID)) {
		t.Errorf("the client was told %s", got)
	}
	close(a.stay)
	if out := v.outcome(); out.text() != "waited no longer" {
		t.Errorf("%s", out.raw.body)
	}
}

// startMCPGo is a server of mcp-go that knows these versions only. Its tool asks for all that there is, through the session.
func startMCPGo(t *testing.T, versions ...string) configstore.Server {
	server := mcpgoserver.NewMCPServer("mcp-go", "1", mcpgoserver.WithElicitation(), mcpgoserver.WithRoots())
	server.EnableSampling()
	server.AddTool(mcpgo.NewTool("ask"), mcpgoserver.ToolHandlerFunc(askThroughSession(server)))
	web := httptest.NewServer(mcpgoserver.NewStreamableHTTPServer(server, mcpgoserver.WithStreamableHTTPProtocolVersions(versions...), mcpgoserver.WithStreamableHTTPLogger(slog.New(slog.DiscardHandler))))
	t.Cleanup(func() {
		web.CloseClientConnections()
		web.Close()
	})
	return configstore.Server{
		ID: "one", Slug: "one", Transport: configstore.StreamableHTTP, URL: web.URL + "/mcp", AuthType: configstore.AuthNone, Revision: 1,
		Rules: policy.Rules{Enabled: true, Availability: policy.DefaultOn, ToolPinning: policy.PinWarn},
	}
}

// askThroughSession asks for all that there is: what mcp-go asks for sampling and roots comes on the standing stream.
func askThroughSession(server *mcpgoserver.MCPServer) func(context.Context, mcpgo.CallToolRequest) (*mcpgo.CallToolResult, error) {
	return func(ctx context.Context, _ mcpgo.CallToolRequest) (*mcpgo.CallToolResult, error) {
		var form, page mcpgo.ElicitationRequest
		form.Params.Mode, form.Params.Message, form.Params.RequestedSchema = "form", "Who?", map[string]any{"type": "object", "properties": map[string]any{"name": map[string]any{"type": "string"}}}
		page.Params.Mode, page.Params.Message, page.Params.URL, page.Params.ElicitationID = "url", "Go", "https://example.com/go", "e-1"
		var poem mcpgo.CreateMessageRequest
		poem.MaxTokens, poem.Messages = 5, []mcpgo.SamplingMessage{{Role: mcpgo.RoleUser, Content: mcpgo.NewTextContent("a poem")}}
		who, err := server.RequestElicitation(ctx, form)
		if err != nil {
			return nil, err
		}
		opened, err := server.RequestElicitation(ctx, page)
		if err != nil {
			return nil, err
		}
		said, err := server.RequestSampling(ctx, poem)
		if err != nil {
			return nil, err
		}
		roots, err := server.RequestRoots(ctx, mcpgo.ListRootsRequest{})
		if err != nil {
			return nil, err
		}
		name := who.Content.(map[string]any)["name"]
		return mcpgo.NewToolResultText(fmt.Sprintf("%v %s %s %s", name, opened.Action, said.Content.(mcpgo.TextContent).Text, roots.Roots[0].URI)), nil
	}
}

// TestARealServerAsksAside: mcp-go's, whose questions come on both streams, and a real client of each era.
func TestARealServerAsksAside(t *testing.T) {
	for _, era := range eras {
		t.Run(era+" client", func(t *testing.T) {
			askRealClient(t, newRig(t, startMCPGo(t, "2025-11-25", "2025-06-18")), era)
		})
	}
}

// TestAServerOfBothErasAsksInTheOlderOne, where the client is of that: mcp-go's refuses to ask in the newer one.
func TestAServerOfBothErasAsksInTheOlderOne(t *testing.T) {
	askRealClient(t, newRig(t, startMCPGo(t, "2026-07-28", "2025-11-25", "2025-06-18")), "legacy")
}
