package proxy_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"mcpsidecar/proxy"
)

// shortly is how long the tests of what expires wait for it.
const shortly = 50 * time.Millisecond

const askRoots = `{"ask":{"method":"roots/list"}}`

// TestARequestStateIsWorthNothingElsewhere: to another caller, at another server or tool, with other arguments, or changed (patterns/mrtr, Server Requirements). What was given for the request goes on working.
func TestARequestStateIsWorthNothingElsewhere(t *testing.T) {
	for _, serverEra := range eras {
		t.Run(serverEra+" server", func(t *testing.T) {
			a := startAsker(t, serverEra)
			a.setTools(tool("ask"), tool("other"))
			twin := startAsker(t, serverEra)
			r := newRig(t, a.record("one"), twin.record("two"))
			alice := r.token("user", "alice")
			c := r.clientWith("modern", "/mcp", alice, ableToAll)
			in := c.again(askRoots, "").required(t)
			if strings.Contains(in.RequestState, "server") {
				t.Errorf("the state can be read: %s", in.RequestState)
			}
			var key string
			for key = range in.InputRequests {
			}
			answers := map[string]string{key: `{"roots":[]}`}
			middle := len(in.RequestState) / 2
			changed := in.RequestState[:middle] + swap(in.RequestState[middle]) + in.RequestState[middle+1:]
			fakes := len(a.seenOf("tools/call"))
			for name, try := range map[string]func() called{
				"another user": func() called {
					return r.clientWith("modern", "/mcp", r.token("user", "bob"), ableToAll).again(askRoots, with(in.RequestState, answers))
				},
				"another token of hers": func() called {
					return r.clientWith("modern", "/mcp", r.token("user", "alice"), ableToAll).again(askRoots, with(in.RequestState, answers))
				},
				"other arguments": func() called {
					return c.again(`{"ask":{"method":"roots/list"},"more":1}`, with(in.RequestState, answers))
				},
				"another tool": func() called {
					return c.outcome(c.ask("tools/call", "one__other", `"name":"one__other","arguments":`+askRoots+with(in.RequestState, answers), ""))
				},
				"another server": func() called {
					return c.outcome(c.ask("tools/call", "two__ask", `"name":"two__ask","arguments":`+askRoots+with(in.RequestState, answers), ""))
				},
				"a changed state":      func() called { return c.again(askRoots, with(changed, answers)) },
				"a state of no kind":   func() called { return c.again(askRoots, with("the <server's> state", answers)) },
				"a session's id":       func() called { return c.again(askRoots, with(r.client("legacy", "/mcp", alice).session, answers)) },
				"a state of no string": func() called { return c.again(askRoots, `,"requestState":{}`) },
			} {
				if got := try(); got.code != -32602 {
					t.Errorf("%s: %s", name, got.raw.body)
				}
			}
			if n := len(a.seenOf("tools/call")) + len(twin.seenOf("tools/call")); n != fakes {
				t.Errorf("%d of them reached a server", n-fakes)
			}
			if got := c.again(askRoots, with(in.RequestState, answers)); !strings.Contains(got.text(), `{"roots":[]}`) {
				t.Errorf("the retry that was meant: %s", got.raw.body)
			}
		})
	}
}

func swap(c byte) string {
	if c == 'A' {
		return "B"
	}
	return "A"
}

// TestAParkedCallGoesOnOnce.
func TestAParkedCallGoesOnOnce(t *testing.T) {
	a := startAsker(t, "legacy")
	r := newRig(t, a.record("one"))
	c := r.clientWith("modern", "/mcp", r.token("user", "alice"), ableToAll)
	in := c.again(askRoots, "").required(t)
	more := with(in.RequestState, map[string]string{"question": `{"roots":[]}`})
	if got := c.again(askRoots, with(in.RequestState, map[string]string{"question": `7`})); got.code != -32602 {
		t.Errorf("an answer of no kind: %s", got.raw.body)
	}
	if got := c.again(askRoots, fmt.Sprintf(`,"requestState":%q,"inputResponses":[]`, in.RequestState)); got.code != -32602 {
		t.Errorf("answers of no kind: %s", got.raw.body)
	}
	var wg sync.WaitGroup
	results := make(chan called, 4)
	for range 4 {
		twin := *c
		wg.Go(func() { results <- twin.again(askRoots, more) })
	}
	wg.Wait()
	close(results)
	var good, refused int
	for got := range results {
		switch {
		case strings.Contains(got.text(), `{"roots":[]}`):
			good++
		case got.code == -32602 && strings.Contains(got.raw.body, "has gone on already"):
			refused++
		default:
			t.Errorf("%s", got.raw.body)
		}
	}
	if good != 1 || refused != 3 {
		t.Errorf("%d went on, %d were refused", good, refused)
	}
	if n := len(a.seenOf("tools/call")); n != 1 {
		t.Errorf("%d calls", n)
	}
}

// TestAQuestionThatIsNotAnsweredIsAskedAgain, with a state that holds.
func TestAQuestionThatIsNotAnsweredIsAskedAgain(t *testing.T) {
	a := startAsker(t, "legacy")
	r := newRig(t, a.record("one"))
	c := r.clientWith("modern", "/mcp", r.token("user", "alice"), ableToAll)
	first := c.again(askRoots, "").required(t)
	second := c.again(askRoots, with(first.RequestState, map[string]string{"another": `{}`})).required(t)
	if second.InputRequests["question"].Method != "roots/list" || second.RequestState == first.RequestState {
		t.Errorf("asked again: %+v", second)
	}
	if got := c.again(askRoots, with(first.RequestState, map[string]string{"question": `{"roots":[]}`})); got.code != -32602 {
		t.Errorf("the old state: %s", got.raw.body)
	}
	if got := c.again(askRoots, with(second.RequestState, map[string]string{"question": `{"roots":[]}`})); !strings.Contains(got.text(), `{"roots":[]}`) {
		t.Errorf("the new state: %s", got.raw.body)
	}
}

// TestSomeAnswersOfSeveral: what is answered reaches the server at once, and the rest is asked again.
func TestSomeAnswersOfSeveral(t *testing.T) {
	a := startAsker(t, "legacy")
	r := newRig(t, a.record("one"))
	c := r.clientWith("modern", "/mcp", r.token("user", "alice"), ableToAll)
	arguments := `{"ask":[` + asking("roots/list", "") + `,` + asking("sampling/createMessage", `{"messages":[]}`) + `,` + asking("elicitation/create", `{"message":"x"}`) + `]}`
	first := c.again(arguments, "").required(t)
	if len(first.InputRequests) != 3 || first.InputRequests["question-2"].Method != "sampling/createMessage" {
		t.Fatalf("asked: %+v", first)
	}
	second := c.again(arguments, with(first.RequestState, map[string]string{"question-2": `{"model":"m"}`})).required(t)
	if len(second.InputRequests) != 2 || second.InputRequests["question-3"].Method != "elicitation/create" || second.InputRequests["question"].Method != "roots/list" {
		t.Errorf("asked again: %+v", second)
	}
	if sent := a.seenOf(""); len(sent) != 1 || !strings.Contains(sent[0].Body, `{"model":"m"}`) {
		t.Errorf("the server had %+v", sent)
	}
	got := c.again(arguments, with(second.RequestState, map[string]string{"question": `{"roots":[]}`, "question-3": `{"action":"decline"}`, "question-2": `{"model":"forged"}`}))
	for _, answer := range []string{`{"roots":[]}`, `{"model":"m"}`, `{"action":"decline"}`} {
		if strings.Count(got.text(), answer) != 1 {
			t.Errorf("the server had %s, which lacks %s", got.text(), answer)
		}
	}
	if strings.Contains(got.text(), "forged") {
		t.Errorf("what was answered already was answered again: %s", got.text())
	}
}

// TestACallThatIsOverIsNotParked: a server that asks, and answers without waiting.
func TestACallThatIsOverIsNotParked(t *testing.T) {
	a := startAsker(t, "legacy")
	a.call = func(w http.ResponseWriter, _ *http.Request, m seen) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "data: {\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"roots/list\"}\n\n")
		fmt.Fprintf(w, "data: {\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"done\"}]}}\n\n", m.ID)
	}
	r := newRig(t, a.record("one"))
	c := r.clientWith("modern", "/mcp", r.token("user", "alice"), ableToAll)
	if got := c.again(askRoots, ""); got.text() != "done" {
		t.Errorf("%s", got.raw.body)
	}
	waitFor(t, func() bool { return len(a.seenOf("")) == 1 && strings.Contains(a.seenOf("")[0].Body, `"error"`) })
}

// TestACompletionCannotBeAQuestion: only what the specification lists may be answered with one.
func TestACompletionCannotBeAQuestion(t *testing.T) {
	for _, serverEra := range eras {
		a := startAsker(t, serverEra)
		a.before = func(w http.ResponseWriter, r *http.Request, m seen) bool {
			switch {
			case m.Method == "initialize":
				w.Header().Set("Mcp-Session-Id", "s")
				reply(w, m, `{"protocolVersion":"2025-11-25","capabilities":{"prompts":{},"completions":{}},"serverInfo":{"name":"fake","version":"1"}}`)
			case m.Method == "server/discover" && serverEra == "modern":
				reply(w, m, `{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"prompts":{},"completions":{}},"ttlMs":60000,"cacheScope":"public"}`)
			case m.Method == "prompts/list":
				reply(w, m, `{"resultType":"complete","ttlMs":1,"cacheScope":"public","prompts":[{"name":"p"}]}`)
			case m.Method == "completion/complete" && serverEra == "modern":
				reply(w, m, `{"resultType":"input_required","requestState":"s"}`)
			case m.Method == "completion/complete":
				m.Params.Arguments = []byte(askRoots)
				a.askLegacy(w, r, m)
			default:
				return a.answered(w, r, m)
			}
			return true
		}
		r := newRig(t, a.record("one"))
		c := r.clientWith("modern", "/mcp", r.token("user", "alice"), ableToAll)
		got := c.ask("completion/complete", "", `"ref":{"type":"ref/prompt","name":"one__p"},"argument":{"name":"a","value":"x"}`, "")
		if strings.Contains(got.body, "input_required") || serverEra == "modern" && got.last(t).Error == nil {
			t.Errorf("%s: %s", serverEra, got.body)
		}
		if serverEra == "legacy" && !strings.Contains(got.body, "cannot be answered with a question") {
			t.Errorf("the server heard %s", got.body)
		}
	}
}

// TestAParkedCallEndsForLackOfTime: the server hears of it, and so does a retry.
func TestAParkedCallEndsForLackOfTime(t *testing.T) {
	a := startAsker(t, "legacy")
	r := newRigWith(t, func(c *proxy.Config) { c.Asking.Time = shortly }, a.record("one"))
	c := r.clientWith("modern", "/mcp", r.token("user", "alice"), ableToAll)
	in := c.again(askRoots, "").required(t)
	<-a.over
	waitFor(t, func() bool { return len(a.seenOf("notifications/cancelled")) == 1 })
	got := c.again(askRoots, with(in.RequestState, map[string]string{"question": `{"roots":[]}`}))
	if got.code != -32602 || !strings.Contains(got.raw.body, "cancelled") {
		t.Errorf("a retry that comes too late: %s", got.raw.body)
	}
}

// TestAParkedCallIsLostInARestart, and the retry says so.
func TestAParkedCallIsLostInARestart(t *testing.T) {
	a := startAsker(t, "legacy")
	first := newRig(t, a.record("one"))
	token := first.token("user", "alice")
	c := first.clientWith("modern", "/mcp", token, ableToAll)
	in := c.again(askRoots, "").required(t)
	second := newRig(t, a.record("one"))
	second.tokens = first.tokens
	second.callers.Reload(first.tokens)
	c.rig = second
	got := c.again(askRoots, with(in.RequestState, map[string]string{"question": `{"roots":[]}`}))
	if got.code != -32602 || !strings.Contains(got.raw.body, "restarted") {
		t.Errorf("%s", got.raw.body)
	}
}

// TestAStateOfAModernServerSurvivesARestart: it carries ableToAll.
func TestAStateOfAModernServerSurvivesARestart(t *testing.T) {
	a := startAsker(t, "modern")
	first := newRig(t, a.record("one"))
	c := first.clientWith("modern", "/mcp", first.token("user", "alice"), ableToAll)
	in := c.again(askRoots, "").required(t)
	second := newRig(t, a.record("one"))
	second.tokens = first.tokens
	second.callers.Reload(first.tokens)
	c.rig = second
	if got := c.again(askRoots, with(in.RequestState, map[string]string{"k1": `{"roots":[]}`})); !strings.HasPrefix(got.text(), "the <server's> state: ") {
		t.Errorf("%s", got.raw.body)
	}
}

// TestParkedCallsAreBounded: per user, overall, and in bytes. A server whose call cannot wait is told, and its answer goes to the client.
func TestParkedCallsAreBounded(t *testing.T) {
	for name, test := range map[string]struct {
		limits proxy.Asking
		bobToo bool
	}{
		"per user": {proxy.Asking{PerUser: 2}, true},
		"overall":  {proxy.Asking{Overall: 2}, false},
		"in bytes": {proxy.Asking{Bytes: 36}, false}, // each takes 12
	} {
		t.Run(name, func(t *testing.T) {
			a := startAsker(t, "legacy")
			r := newRigWith(t, func(c *proxy.Config) { c.Asking = test.limits }, a.record("one"))
			alice, bob := r.clientWith("modern", "/mcp", r.token("user", "alice"), ableToAll), r.clientWith("modern", "/mcp", r.token("user", "bob"), ableToAll)
			first := alice.again(askRoots, "").required(t)
			alice.again(askRoots, "").required(t)
			if name == "in bytes" {
				alice.again(askRoots, "").required(t)
			}
			if got := alice.again(askRoots, ""); !strings.Contains(got.text(), "too many calls wait") {
				t.Errorf("one too many: %s", got.raw.body)
			}
			if got := bob.again(askRoots, ""); (got.ResultType == "input_required") != test.bobToo {
				t.Errorf("another user: %s", got.raw.body)
			}
			alice.again(askRoots, with(first.RequestState, map[string]string{"question": `{"roots":[]}`}))
			alice.again(askRoots, "").required(t)
		})
	}
}

// TestAParkedCallEndsWithTheProgram, and with the server that it is at.
func TestAParkedCallEndsWithTheProgram(t *testing.T) {
	a := startAsker(t, "legacy")
	r := newRig(t, a.record("one"))
	c := r.clientWith("modern", "/mcp", r.token("user", "alice"), ableToAll)
	c.again(askRoots, "").required(t)
	r.proxy.Drain(t.Context())
	r.proxy.Close()
	<-a.over
}

// TestAnAnswerGoesToTheServerThatAsked, and to none that has taken its place.
func TestAnAnswerGoesToTheServerThatAsked(t *testing.T) {
	a, successor := startAsker(t, "legacy"), startAsker(t, "legacy")
	r := newRig(t, a.record("one"))
	c := r.clientWith("modern", "/mcp", r.token("user", "alice"), ableToAll)
	in := c.again(askRoots, "").required(t)
	r.load(successor.record("one"))
	c.list()
	got := c.again(askRoots, with(in.RequestState, map[string]string{"question": `{"roots":[]}`}))
	if got.code != -32602 {
		t.Errorf("%s", got.raw.body)
	}
	<-a.over
	if n := len(successor.seenOf("")) + len(successor.seenOf("tools/call")); n != 0 {
		t.Errorf("%d messages reached the successor", n)
	}
}

// TestAnswersKeepTheRulesOfTheCaller: what the policy forbids meanwhile does not go on.
func TestAnswersKeepTheRulesOfTheCaller(t *testing.T) {
	a := startAsker(t, "legacy")
	record := a.record("one")
	r := newRig(t, record)
	c := r.clientWith("modern", "/mcp", r.token("user", "alice"), ableToAll)
	in := c.again(askRoots, "").required(t)
	record.Rules.ToolDenyList = []string{"ask"}
	record.Revision++
	r.load(record)
	got := c.again(askRoots, with(in.RequestState, map[string]string{"question": `{"roots":[]}`}))
	if got.code != -32602 || !strings.Contains(got.raw.body, "Unknown tool") {
		t.Errorf("%s", got.raw.body)
	}
	if n := len(a.seenOf("")); n != 0 {
		t.Errorf("%d answers reached the server", n)
	}
}

// TestWhatClientsCanDoIsKeptApart: a legacy server's session is shared by the calls of a modern client that declare the same, and by no others.
func TestWhatClientsCanDoIsKeptApart(t *testing.T) {
	a := startAsker(t, "legacy")
	r := newRig(t, a.record("one"))
	token := r.token("user", "alice")
	for _, declared := range []string{`{}`, ableToAll, `{"sampling":{}}`, ableToAll, `{}`} {
		c := r.clientWith("modern", "/mcp", token, declared)
		c.again(`{"ask":[]}`, "")
		sent := a.seenOf("tools/call")
		session := sent[len(sent)-1].Header.Get("Mcp-Session-Id")
		var told string
		for i, m := range a.seenOf("initialize") {
			if fmt.Sprintf("upstream-%d", i+1) == session {
				told = m.Body
			}
		}
		if !strings.Contains(told, `"capabilities":`+declared+`,`) {
			t.Errorf("a client that declares %s called in the session of %s", declared, told)
		}
	}
	if n := len(a.seenOf("initialize")); n != 4 { // and one for lists
		t.Errorf("%d sessions, want 4", n)
	}
	for i := range 20 {
		r.clientWith("modern", "/mcp", token, fmt.Sprintf(`{"roots":{},"experimental":{"n":%d}}`, i)).again(`{"ask":[]}`, "")
	}
	if n := len(a.seenOf("initialize")); n > 10 {
		t.Errorf("%d sessions for one caller", n)
	}
}

// TestServersAreToldWhatTheClientSaid, but for tasks in a shape that is not for them.
func TestServersAreToldWhatTheClientSaid(t *testing.T) {
	for _, test := range []struct{ era, version, declared, want string }{
		{"legacy", "2025-11-25", `{"roots":{"listChanged":true},"tasks":{"list":{}},"extensions":{"x/y":{}}}`, `{"roots":{"listChanged":true},"tasks":{"list":{}},"extensions":{"x/y":{}}}`},
		{"legacy", "2025-06-18", `{"roots":{"listChanged":true},"tasks":{"list":{}},"extensions":{"x/y":{}}}`, `{"roots":{"listChanged":true},"extensions":{"x/y":{}}}`},
		{"legacy", "2025-11-25", `{"extensions":{"x/y":{},"io.modelcontextprotocol/tasks":{}},"roots":{}}`, `{"extensions":{"x/y":{}},"roots":{}}`},
		{"modern", "", `{"roots":{"listChanged":true},"tasks":{"list":{}},"extensions":{"x/y":{}}}`, `{"roots":{"listChanged":true},"extensions":{"x/y":{}}}`},
	} {
		a := startAsker(t, "legacy")
		r := newRig(t, a.record("one"))
		c := r.clientSpeaking(test.era, "/mcp", r.token("user", "alice"), test.declared, test.version)
		c.again(`{"ask":[]}`, "")
		initialized := a.seenOf("initialize")
		if got := initialized[len(initialized)-1].Body; !strings.Contains(got, `"capabilities":`+test.want+`,`) {
			t.Errorf("%s %s, %s: %s", test.era, test.version, test.declared, got)
		}
	}
}

// TestRootsThatChange are told to the legacy servers of the session.
func TestRootsThatChange(t *testing.T) {
	a := startAsker(t, "legacy")
	r := newRig(t, a.record("one"))
	c := r.clientWith("legacy", "/mcp", r.token("user", "alice"), `{"roots":{"listChanged":true}}`)
	c.again(`{"ask":[]}`, "")
	if got := c.post(`{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}`); got.status != http.StatusAccepted {
		t.Errorf("%d", got.status)
	}
	waitFor(t, func() bool { return len(a.seenOf("notifications/roots/list_changed")) == 1 })
}

// TestCapabilitiesThatAreTooLong: the client is taken for one that can do nothing.
func TestCapabilitiesThatAreTooLong(t *testing.T) {
	for _, clientEra := range eras {
		a := startAsker(t, "legacy")
		r := newRig(t, a.record("one"))
		c := r.clientWith(clientEra, "/mcp", r.token("user", "alice"), `{"roots":{},"experimental":{"x":"`+strings.Repeat("y", 5000)+`"}}`)
		if got := c.again(askRoots, ""); !strings.Contains(got.text(), `"code":-32601`) && clientEra == "legacy" {
			t.Errorf("%s: the server heard %s", clientEra, got.raw.body)
		}
		for _, m := range a.seenOf("initialize") {
			if strings.Contains(m.Body, "experimental") {
				t.Errorf("%s: the server was told %s", clientEra, m.Body)
			}
		}
	}
}
