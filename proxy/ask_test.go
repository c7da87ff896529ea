package proxy_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"mcpsidecar/proxy"
)

const ableToAll = `{"elicitation":{"form":{},"url":{}},"sampling":{"tools":{}},"roots":{}}`

// asks are what a server may ask for, each with an answer.
var asks = map[string]struct{ method, params, answer string }{
	"form elicitation": {"elicitation/create", `{"message":"Who?","requestedSchema":{"type":"object","properties":{"name":{"type":"string"}}}}`, `{"action":"accept","content":{"name":"octocat"}}`},
	"url elicitation":  {"elicitation/create", `{"mode":"url","message":"Go","url":"https://example.com/go","elicitationId":"e-1"}`, `{"action":"accept"}`},
	"sampling":         {"sampling/createMessage", `{"messages":[{"role":"user","content":{"type":"text","text":"2+2?"}}],"tools":[],"maxTokens":5}`, `{"role":"assistant","model":"m","content":{"type":"text","text":"4"}}`},
	"roots":            {"roots/list", ``, `{"roots":[{"uri":"file:///home"}]}`},
}

func asking(method, params string) string {
	if params == "" {
		return fmt.Sprintf(`{"method":%q}`, method)
	}
	return fmt.Sprintf(`{"method":%q,"params":%s}`, method, params)
}

// TestServersAskClientsInEveryCombination of eras, for ableToAll that the protocol lets them ask.
func TestServersAskClientsInEveryCombination(t *testing.T) {
	everyCombination(t, func(t *testing.T, clientEra, serverEra string) {
		a := startAsker(t, serverEra)
		r := newRig(t, a.record("one"))
		token := r.token("user", "alice")
		for _, path := range []string{"/mcp", "/mcp/one"} {
			c := r.clientWith(clientEra, path, token, ableToAll)
			for name, test := range asks {
				out, asked := c.carryOn(asking(test.method, test.params), map[string]string{test.method: test.answer})
				if len(asked) != 1 || asked[0].Method != test.method || test.params != "" && compact(asked[0].Params) != compact([]byte(test.params)) {
					t.Errorf("%s: the client was asked %+v", name, asked)
				}
				if out.IsError || !strings.Contains(out.text(), test.answer) {
					t.Errorf("%s: the server had %s, want %s", name, out.raw.body, test.answer)
				}
				if serverEra == "modern" && !strings.HasPrefix(out.text(), "the <server's> state: ") {
					t.Errorf("%s: the server's state came back as %s", name, out.text())
				}
			}
		}
		announced := a.seenOf("tools/call")[0].Body
		if serverEra == "legacy" {
			initialized := a.seenOf("initialize")
			announced = initialized[len(initialized)-1].Body
		}
		if !strings.Contains(announced, ableToAll) {
			t.Errorf("the server was told: %s", announced)
		}
	})
}

// TestServersAskSeveralThingsAtOnce: however the client's era has it, all answers arrive where they belong.
func TestServersAskSeveralThingsAtOnce(t *testing.T) {
	everyCombination(t, func(t *testing.T, clientEra, serverEra string) {
		a := startAsker(t, serverEra)
		r := newRig(t, a.record("one"))
		c := r.clientWith(clientEra, "/mcp", r.token("user", "alice"), ableToAll)
		answers, list := map[string]string{}, []string{}
		for _, name := range []string{"form elicitation", "sampling", "roots"} {
			answers[asks[name].method] = asks[name].answer
			list = append(list, asking(asks[name].method, asks[name].params))
		}
		out, asked := c.carryOn("["+strings.Join(list, ",")+"]", answers)
		if len(asked) != 3 {
			t.Errorf("the client was asked %d times", len(asked))
		}
		if clientEra == "modern" && c.nextID != 2 {
			t.Errorf("the client needed %d requests for what it could be asked at once", c.nextID)
		}
		for method, answer := range answers {
			if !strings.Contains(out.text(), answer) {
				t.Errorf("the answer to %s is missing: %s", method, out.raw.body)
			}
		}
	})
}

// TestClientsAreNotAskedWhatTheyCannot is M-07: a server hears the specification's error, and the client nothing.
func TestClientsAreNotAskedWhatTheyCannot(t *testing.T) {
	link := func(u string) string {
		return asking("elicitation/create", fmt.Sprintf(`{"mode":"url","message":"Go","url":%q}`, u))
	}
	everyCombination(t, func(t *testing.T, clientEra, serverEra string) {
		a := startAsker(t, serverEra)
		r := newRig(t, a.record("one"))
		token := r.token("user", "alice")
		for name, test := range map[string]struct {
			declared, ask string
			code          int
		}{
			"nothing declared":        {`{}`, asking("roots/list", ""), -32601},
			"another one":             {`{"roots":{}}`, asking("sampling/createMessage", `{}`), -32601},
			"elicitation, undeclared": {`{"roots":{},"sampling":{}}`, asking("elicitation/create", `{"message":"x"}`), -32601},
			"a link, but only forms":  {`{"elicitation":{}}`, link("https://example.com/"), -32602},
			"a form, but only links":  {`{"elicitation":{"url":{}}}`, asking("elicitation/create", `{"message":"x"}`), -32602},
			"tools in sampling":       {`{"sampling":{}}`, asking("sampling/createMessage", `{"tools":[]}`), -32602},
			"a script":                {ableToAll, link("javascript:alert(1)"), -32602},
			"plain http":              {ableToAll, link("http://example.com/"), -32602},
			"a file":                  {ableToAll, link("file:///etc/passwd"), -32602},
			"a host that misleads":    {ableToAll, link("https://example.com@evil.example/"), -32602},
			"no link at all":          {ableToAll, asking("elicitation/create", `{"mode":"url","message":"x"}`), -32602},
			"an unknown mode":         {ableToAll, asking("elicitation/create", `{"mode":"fax"}`), -32602},
			"what nobody knows":       {ableToAll, asking("shell/run", `{}`), -32601},
		} {
			c := r.clientWith(clientEra, "/mcp", token, test.declared)
			out := c.again(`{"ask":`+test.ask+`}`, "")
			if len(out.raw.events) > 1 || out.ResultType == "input_required" {
				t.Errorf("%s: the client was asked: %s", name, out.raw.body)
			}
			if serverEra == "modern" {
				if !out.IsError || !strings.Contains(out.text(), "not completed") {
					t.Errorf("%s: %s", name, out.raw.body)
				}
				continue
			}
			if !strings.Contains(out.text(), fmt.Sprintf(`"code":%d`, test.code)) {
				t.Errorf("%s: the server heard %s, want %d", name, out.text(), test.code)
			}
		}
	})
}

// TestCapabilitiesAreAnnouncedAsTheyAre, with all that is in them, to servers of both eras.
func TestCapabilitiesAreAnnouncedAsTheyAre(t *testing.T) {
	everyCombination(t, func(t *testing.T, clientEra, serverEra string) {
		a := startAsker(t, serverEra)
		r := newRig(t, a.record("one"))
		token := r.token("user", "alice")
		for _, declared := range []string{
			`{"elicitation":{}}`, `{"elicitation":{"url":{}}}`, `{"elicitation":{"form":{"x":1},"url":{}}}`, `{"sampling":{}}`, `{"sampling":{"tools":{},"context":{}}}`,
			`{"roots":{"listChanged":true}}`, `{"roots":{},"experimental":{"a/b":{"c":[1, 2]}},"extensions":{"x/y":{}}}`,
		} {
			r.clientWith(clientEra, "/mcp", token, declared).again(`{"ask":[]}`, "")
			told := a.seenOf("tools/call")
			if serverEra == "legacy" {
				told = a.seenOf("initialize")
			}
			if body := told[len(told)-1].Body; !strings.Contains(compact([]byte(body)), compact([]byte(declared))) {
				t.Errorf("of %s the server was told: %s", declared, body)
			}
		}
	})
}

func TestLoopbackLinksAreShown(t *testing.T) {
	a := startAsker(t, "legacy")
	r := newRig(t, a.record("one"))
	c := r.clientWith("modern", "/mcp", r.token("user", "alice"), ableToAll)
	for _, u := range []string{"http://localhost:8080/x", "http://127.0.0.1/x", "http://[::1]:1/x"} {
		params := fmt.Sprintf(`{"mode":"url","message":"Go","url":%q}`, u)
		if out, asked := c.carryOn(asking("elicitation/create", params), map[string]string{"elicitation/create": `{"action":"accept"}`}); len(asked) != 1 {
			t.Errorf("%s: %s", u, out.raw.body)
		}
	}
}

// TestAnswersAreMatchedToTheirQuestion is M-07 and M-03: what is no answer to a question of this very session goes nowhere.
func TestAnswersAreMatchedToTheirQuestion(t *testing.T) {
	a := startAsker(t, "legacy")
	r := newRig(t, a.record("one"))
	alice := r.token("user", "alice")
	hers := r.clientWith("legacy", "/mcp", alice, ableToAll)
	also := r.clientWith("legacy", "/mcp", alice, ableToAll)
	bobs := r.clientWith("legacy", "/mcp", r.token("user", "bob"), ableToAll)

	v := hers.converse(`{"ask":` + asking("roots/list", "") + `}`)
	q := v.question()
	forged := `{"roots":[{"uri":"file:///forged"}]}`
	for name, test := range map[string]struct {
		c  *client
		id string
	}{
		"another session of hers":  {also, string(q.ID)},
		"another user":             {bobs, string(q.ID)},
		"the server's own id":      {hers, `"q-1"`},
		"the id of the call":       {hers, "1"},
		"an id that nobody gave":   {hers, `"AAAAAAAAAAAAAAAAAAAAAA"`},
		"an id of no kind of ours": {hers, "7"},
	} {
		if got := test.c.respond(json.RawMessage(test.id), forged); got.status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
	stolen := &client{rig: r, token: bobs.token, path: "/mcp", era: "legacy", session: hers.session}
	if got := stolen.respond(q.ID, forged); got.status != http.StatusNotFound {
		t.Errorf("her session with another's token: %d", got.status)
	}
	if got := hers.respond(q.ID, `{"roots":[]}`); got.status != http.StatusAccepted {
		t.Errorf("her answer: %d %s", got.status, got.body)
	}
	if got := hers.respond(q.ID, forged); got.status != http.StatusBadRequest {
		t.Errorf("her answer once more: %d %s", got.status, got.body)
	}
	if out := v.outcome(); strings.Contains(out.text(), "forged") || !strings.Contains(out.text(), `{"roots":[]}`) {
		t.Errorf("the server had %s", out.text())
	}
	if got := hers.respond(q.ID, forged); got.status != http.StatusBadRequest {
		t.Errorf("an answer after the call: %d %s", got.status, got.body)
	}
	modern := r.clientWith("modern", "/mcp", alice, ableToAll)
	if got := modern.post(`{"jsonrpc":"2.0","id":1,"result":{}}`, "Mcp-Protocol-Version", "2026-07-28"); got.status != http.StatusBadRequest {
		t.Errorf("a response of a modern client: %d %s", got.status, got.body)
	}
}

// TestAClientsErrorReachesTheServer: a user who says no.
func TestAClientsErrorReachesTheServer(t *testing.T) {
	for _, serverEra := range eras {
		a := startAsker(t, serverEra)
		r := newRig(t, a.record("one"))
		c := r.clientWith("legacy", "/mcp", r.token("user", "alice"), ableToAll)
		v := c.converse(`{"ask":` + asking("sampling/createMessage", `{"messages":[]}`) + `}`)
		q := v.question()
		if got := c.post(fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"error":{"code":-1,"message":"User rejected sampling request"}}`, q.ID)); got.status != http.StatusAccepted {
			t.Errorf("%d %s", got.status, got.body)
		}
		if out := v.outcome(); !strings.Contains(out.text(), "User rejected sampling request") || out.IsError != (serverEra == "modern") {
			t.Errorf("%s: %s", serverEra, out.raw.body)
		}
	}
}

// TestManyClientsAreNeverMixed: many at once, each asked for its own secret (M-01, M-07).
func TestManyClientsAreNeverMixed(t *testing.T) {
	everyCombination(t, func(t *testing.T, clientEra, serverEra string) {
		a := startAsker(t, serverEra)
		r := newRig(t, a.record("one"))
		var wg sync.WaitGroup
		for user := range 6 {
			token := r.token("user", fmt.Sprintf("user-%d", user))
			for chat := range 2 {
				c := r.clientWith(clientEra, "/mcp", token, ableToAll)
				wg.Go(func() {
					for turn := range 4 {
						secret := fmt.Sprintf("%d/%d/%d", user, chat, turn)
						ask := asking("elicitation/create", fmt.Sprintf(`{"message":"for %s","requestedSchema":{}}`, secret))
						out, asked := c.carryOn(ask, map[string]string{"elicitation/create": fmt.Sprintf(`{"action":"accept","content":{"secret":%q}}`, secret)})
						if len(asked) != 1 || !strings.Contains(string(asked[0].Params), "for "+secret+`"`) || strings.Count(out.text(), `"secret":`) != 1 || !strings.Contains(out.text(), fmt.Sprintf("%q", secret)) {
							t.Errorf("%s: asked %+v, the server had %s", secret, asked, out.text())
						}
					}
				})
			}
		}
		wg.Wait()
	})
}

// TestAServerTakesItsQuestionBack, and the client is told.
func TestAServerTakesItsQuestionBack(t *testing.T) {
	a := startAsker(t, "legacy")
	asked, goOn := make(chan struct{}), make(chan struct{})
	a.call = func(w http.ResponseWriter, _ *http.Request, m seen) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "data: {\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"roots/list\"}\n\n")
		w.(http.Flusher).Flush()
		<-asked
		fmt.Fprint(w, "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":7}}\n\n")
		w.(http.Flusher).Flush()
		<-goOn
		fmt.Fprintf(w, "data: {\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"done\"}]}}\n\n", m.ID)
	}
	r := newRig(t, a.record("one"))
	c := r.clientWith("legacy", "/mcp", r.token("user", "alice"), ableToAll)
	v := c.converse(`{}`)
	q := v.question()
	close(asked)
	if got, want := v.next(), fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":%s}}`, q.ID); got != want {
		t.Errorf("the client was told %s, want %s", got, want)
	}
	for _, want := range []int{http.StatusAccepted, http.StatusBadRequest} { // it may have crossed the withdrawal, but only once
		if got := c.respond(q.ID, `{"roots":[]}`); got.status != want {
			t.Errorf("an answer that comes too late: %d, want %d", got.status, want)
		}
	}
	close(goOn)
	if out := v.outcome(); out.text() != "done" {
		t.Errorf("outcome: %s", out.raw.body)
	}
}

// TestAServerThatDoesNotWait answers the call while its question is open.
func TestAServerThatDoesNotWait(t *testing.T) {
	a := startAsker(t, "legacy")
	r := newRig(t, a.record("one"))
	c := r.clientWith("legacy", "/mcp", r.token("user", "alice"), ableToAll)
	v := c.converse(`{"ask":` + asking("roots/list", "") + `}`)
	q := v.question()
	close(a.stay)
	if got := v.next(); !strings.Contains(got, "notifications/cancelled") || !strings.Contains(got, string(q.ID)) {
		t.Errorf("the client was told %s", got)
	}
	if out := v.outcome(); out.text() != "waited no longer" {
		t.Errorf("outcome: %s", out.raw.body)
	}
}

// TestACallIsCancelledWhileTheClientIsAsked: by a message, or because its session ends. A legacy server hears of both ends.
func TestACallIsCancelledWhileTheClientIsAsked(t *testing.T) {
	for _, serverEra := range eras {
		for _, how := range []string{"cancels", "ends its session"} {
			t.Run(serverEra+" server, the client "+how, func(t *testing.T) {
				a := startAsker(t, serverEra)
				r := newRig(t, a.record("one"))
				c := r.clientWith("legacy", "/mcp", r.token("user", "alice"), ableToAll)
				v := c.converse(`{"ask":` + asking("roots/list", "") + `}`)
				q := v.question()
				switch how {
				case "cancels":
					c.post(fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":%d}}`, c.nextID))
				case "ends its session":
					c.do(c.request(http.MethodDelete, nil))
				}
				v.response.Body.Close()
				waitFor(t, func() bool { // the call is over
					records, _ := os.ReadFile(r.audit)
					return strings.Contains(string(records), `"outcome":`)
				})
				c.respond(q.ID, `{"roots":[]}`) // it crossed the end of the call, which the client could not know
				if got := c.respond(q.ID, `{"roots":[]}`); got.status == http.StatusAccepted {
					t.Error("a second answer was taken after the call")
				}
				if serverEra == "legacy" {
					<-a.over
				}
				if serverEra == "legacy" && how != "ends its session" {
					waitFor(t, func() bool {
						return slices.ContainsFunc(a.seenOf(""), func(m seen) bool { return strings.Contains(m.Body, `"id":"q-1","error"`) })
					})
				}
				if n := len(a.seenOf("tools/call")); n != 1 {
					t.Errorf("%d calls", n)
				}
			})
		}
	}
}

// TestNobodyWaitsForEver: a client that does not answer.
func TestNobodyWaitsForEver(t *testing.T) {
	for _, serverEra := range eras {
		a := startAsker(t, serverEra)
		r := newRigWith(t, func(c *proxy.Config) { c.Asking.Time = shortly }, a.record("one"))
		c := r.clientWith("legacy", "/mcp", r.token("user", "alice"), ableToAll)
		v := c.converse(`{"ask":` + asking("roots/list", "") + `}`)
		q := v.question()
		if out := v.outcome(); !strings.Contains(out.text(), "did not answer in time") {
			t.Errorf("%s: %s", serverEra, out.raw.body)
		}
		for _, want := range []int{http.StatusAccepted, http.StatusBadRequest} {
			if got := c.respond(q.ID, `{"roots":[]}`); got.status != want {
				t.Errorf("%s: an answer that comes too late: %d, want %d", serverEra, got.status, want)
			}
		}
	}
}

// TestAModernServerThatNeverHasEnough is stopped after some rounds.
func TestAModernServerThatNeverHasEnough(t *testing.T) {
	a := startAsker(t, "modern")
	a.call = func(w http.ResponseWriter, _ *http.Request, m seen) {
		reply(w, m, `{"resultType":"input_required","inputRequests":{"k":{"method":"roots/list"}},"requestState":"s"}`)
	}
	r := newRig(t, a.record("one"))
	c := r.clientWith("legacy", "/mcp", r.token("user", "alice"), ableToAll)
	v := c.converse(`{}`)
	for range 8 {
		c.respond(v.question().ID, `{"roots":[]}`)
	}
	if out := v.outcome(); !out.IsError || !strings.Contains(out.text(), "again and again") {
		t.Errorf("%s", out.raw.body)
	}
	if n := len(a.seenOf("tools/call")); n != 9 {
		t.Errorf("%d calls, want 9", n)
	}
}

// TestAModernServerThatShedsLoad is asked again later, without anything for the client to do.
func TestAModernServerThatShedsLoad(t *testing.T) {
	a := startAsker(t, "modern")
	a.call = func(w http.ResponseWriter, _ *http.Request, m seen) {
		if strings.Contains(m.Body, `"requestState":"later"`) {
			a.echo(w, m)
			return
		}
		reply(w, m, `{"resultType":"input_required","requestState":"later"}`)
	}
	r := newRig(t, a.record("one"))
	c := r.client("legacy", "/mcp", r.token("user", "alice"))
	if got := c.call("one__ask", `{}`); got.text() != "ask {}" {
		t.Errorf("%s", got.raw.body)
	}
}

// TestADrainDoesNotWaitForPeople.
func TestADrainDoesNotWaitForPeople(t *testing.T) {
	a := startAsker(t, "legacy")
	r := newRig(t, a.record("one"))
	c := r.clientWith("legacy", "/mcp", r.token("user", "alice"), ableToAll)
	v := c.converse(`{"ask":` + asking("roots/list", "") + `}`)
	v.question()
	go r.proxy.Drain(t.Context())
	if out := v.outcome(); !strings.Contains(out.text(), "shutting down") {
		t.Errorf("%s", out.raw.body)
	}
}

// TestTooManyQuestionsAreRefused: a server that floods its client.
func TestTooManyQuestionsAreRefused(t *testing.T) {
	a := startAsker(t, "legacy")
	r := newRig(t, a.record("one"))
	c := r.clientWith("legacy", "/mcp", r.token("user", "alice"), ableToAll)
	list := strings.TrimSuffix(strings.Repeat(asking("roots/list", "")+",", 70), ",")
	v := c.converse(`{"ask":[` + list + `]}`)
	ids := []json.RawMessage{}
	for range 64 {
		ids = append(ids, v.question().ID)
	}
	waitFor(t, func() bool { return len(a.seenOf("")) == 6 })
	for _, m := range a.seenOf("") {
		if !strings.Contains(m.Body, "too many") {
			t.Errorf("the server heard %s", m.Body)
		}
	}
	for _, id := range ids {
		c.respond(id, `{"roots":[]}`)
	}
	if out := v.outcome(); strings.Count(out.text(), `{"roots":[]}`) != 64 {
		t.Errorf("%s", out.text())
	}
}
