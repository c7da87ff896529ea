package proxy_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"mcpsidecar/configstore"
	"mcpsidecar/policy"
)

// askAcme is a call in which the server asks in a method of an extension.
const askAcme = `{"ask":{"method":"acme/ask","params":{"deep":[ 1,2.50 ],"x":"ü"}}}`

// TestAServerAsksInAnExtension: in the course of a call, where the client's own methods of extensions would pass, as it is.
func TestAServerAsksInAnExtension(t *testing.T) {
	a := startAsker(t, "legacy")
	r := newRig(t, a.record("one", exposingAll))
	c := r.clientWith("legacy", "/mcp/one", r.token("user", "alice"), `{}`)
	for what, test := range map[string]struct{ answer, want string }{
		"an answer": {`"result":{"mine":[1, 2.50]}`, `"result":{"mine":[1, 2.50]}`},
		"an error":  {`"error":{"code":-32601,"message":"no such method here","data":{"mine": 1}}`, `"error":{"code":-32601,"message":"no such method here","data":{"mine": 1}}`},
	} {
		v := c.converse(askAcme)
		q := v.question()
		if q.Method != "acme/ask" || string(q.Params) != `{"deep":[ 1,2.50 ],"x":"ü"}` || strings.HasPrefix(string(q.ID), `"q-`) {
			t.Errorf("%s: the client is asked %s %s %s", what, q.ID, q.Method, q.Params)
		}
		if got := c.post(fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,%s}`, q.ID, test.answer)); got.status != http.StatusAccepted {
			t.Errorf("%s: %d %s", what, got.status, got.body)
		}
		if out := v.outcome(); !strings.Contains(out.text(), `"id":"q-`) || !strings.Contains(out.text(), test.want) {
			t.Errorf("%s: the server had %s", what, out.raw.body)
		}
	}
}

// TestWhereAServerMustNotAskInAnExtension it reads at once that there is no such method.
func TestWhereAServerMustNotAskInAnExtension(t *testing.T) {
	planned := func(s *configstore.Server) {
		exposingAll(s)
		s.Rules.AllowInPlanMode, s.Rules.PlanTools = true, []string{"*"}
	}
	for what, test := range map[string]struct {
		era, path string
		rules     func(*configstore.Server)
		method    string
		header    []string
	}{
		"all servers":             {"legacy", "/mcp", exposingAll, "acme/ask", nil},
		"not exposed":             {"legacy", "/mcp/one", exposing(policy.Tools, policy.Resources), "acme/ask", nil},
		"a client of another era": {"modern", "/mcp/one", exposingAll, "acme/ask", nil},
		"plan mode with a list":   {"legacy", "/mcp/one", planned, "acme/ask", []string{"Sidecar-Mode", "plan"}},
		"a tool of the client's":  {"legacy", "/mcp/one", exposingAll, "tools/call", nil},
		"not declared":            {"legacy", "/mcp/one", exposingAll, "elicitation/create", nil},
		"no task of the client's": {"legacy", "/mcp/one", exposingAll, "tasks/ask", nil},
		"in other letters":        {"legacy", "/mcp/one", exposingAll, "Sampling/createMessage", nil},
		"a notification's name":   {"legacy", "/mcp/one", exposingAll, "notifications/acme/ask", nil},
	} {
		a := startAsker(t, "legacy")
		r := newRig(t, a.record("one", test.rules))
		c := r.clientWith(test.era, test.path, r.token("user", "alice"), `{}`)
		for i := 0; i < len(test.header); i += 2 {
			c.header.Set(test.header[i], test.header[i+1])
		}
		out := c.again(fmt.Sprintf(`{"ask":{"method":%q,"params":{"x":1}}}`, test.method), "")
		if !strings.Contains(out.text(), `"code":-32601`) || len(out.raw.events) > 1 {
			t.Errorf("%s: %s", what, out.raw.body)
		}
	}
}

// TestAServerTellsInAnExtension: in the course of a call, between a client and a server of one era, as it is; and nothing that only looks like it.
func TestAServerTellsInAnExtension(t *testing.T) {
	passing := []string{
		`{"jsonrpc":"2.0","method":"notifications/acme/moved","params":{"to": [1, 2.50],"_meta":{"com.acme/a": 1}}}`,
		`{"jsonrpc":"2.0","method":"acme/tick"}`,
	}
	others := []string{"notifications/tools/list_changed", "notifications/tasks/x", "notifications/NOTIFICATIONS/x", "tools/call", "notifications/acme//x", "notifications/resources/updated"}
	everyCombination(t, func(t *testing.T, clientEra, serverEra string) {
		f := startFake(t, serverEra, tool("tell"))
		f.call = func(w http.ResponseWriter, _ *http.Request, m seen) {
			w.Header().Set("Content-Type", "text/event-stream")
			for _, text := range passing {
				io.WriteString(w, "data: "+text+"\n\n")
			}
			for _, method := range others {
				fmt.Fprintf(w, "data: {\"jsonrpc\":\"2.0\",\"method\":%q,\"params\":{}}\n\n", method)
			}
			fmt.Fprintf(w, "data: {\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{%s\"content\":[]}}\n\n", m.ID, f.complete(""))
		}
		for what, test := range map[string]struct {
			path  string
			rules func(*configstore.Server)
			want  bool
		}{
			"exposed":     {"/mcp/one", exposingAll, true},
			"not exposed": {"/mcp/one", exposing(policy.Tools), false},
			"all servers": {"/mcp", exposingAll, false},
		} {
			r := newRig(t, f.record("one", test.rules))
			c := r.client(clientEra, test.path, r.token("user", "alice"))
			out := c.call(c.name("tell"), `{}`).raw
			heard := out.events[:max(len(out.events)-1, 0)]
			want := []string(nil)
			if test.want && clientEra == serverEra {
				want = passing
			}
			if strings.Join(heard, "\n") != strings.Join(want, "\n") {
				t.Errorf("%s: the client heard %q", what, heard)
			}
		}
	})
}

// TestExtensionsOutsideOfCalls: a client that listens hears of its server from then on, whether it has called anything or not, and is asked there.
func TestExtensionsOutsideOfCalls(t *testing.T) {
	a := startAsker(t, "legacy")
	streams := standOn(a.fakeServer)
	r := newRig(t, a.record("one", exposingAll))
	token := r.token("user", "alice")
	hers, also := r.clientWith("legacy", "/mcp/one", token, `{}`), r.clientWith("legacy", "/mcp/one", token, `{}`)
	heard := hers.listenTo(t.Context(), "")
	session := <-streams.opened
	alsoHeard := also.listenTo(t.Context(), "")
	other := <-streams.opened
	if session == other {
		t.Fatal("two chats share a session")
	}
	moved := `{"jsonrpc":"2.0","method":"notifications/acme/moved","params":{"to": [1, 2.50]}}`
	streams.say(session, moved)
	streams.say(session, `{"jsonrpc":"2.0","id":"s-1","method":"acme/ask","params":{"a": 1}}`)
	if got := next(heard); got != moved {
		t.Errorf("she heard %s", got)
	}
	var q request
	json.Unmarshal([]byte(next(heard)), &q)
	if q.Method != "acme/ask" || string(q.Params) != `{"a": 1}` || string(q.ID) == `"s-1"` {
		t.Fatalf("she was asked %+v", q)
	}
	if got := also.respond(q.ID, `{}`); got.status != http.StatusBadRequest {
		t.Errorf("another session answers: %d %s", got.status, got.body)
	}
	if got := hers.respond(q.ID, `{"mine": 2}`); got.status != http.StatusAccepted {
		t.Errorf("her answer: %d %s", got.status, got.body)
	}
	if answered := a.seenOf(""); len(answered) != 1 || answered[0].Body != `{"jsonrpc":"2.0","id":"s-1","result":{"mine": 2}}` || answered[0].Header.Get("Mcp-Session-Id") != session {
		t.Errorf("the server had %+v", answered)
	}
	last := `{"jsonrpc":"2.0","method":"notifications/acme/moved","params":{"to":"the other"}}`
	streams.say(other, last)
	if got := next(alsoHeard); got != last {
		t.Errorf("the other session heard %s", got)
	}

	// The rules of the moment decide.
	r.load(a.record("one", exposing(policy.Tools)))
	streams.say(session, moved)
	streams.say(session, `{"jsonrpc":"2.0","id":"s-2","method":"acme/ask"}`)
	waitFor(t, func() bool {
		answered := a.seenOf("")
		return strings.HasPrefix(answered[len(answered)-1].Body, `{"jsonrpc":"2.0","id":"s-2","error":{"code":-32601`)
	})
	r.load(a.record("one", exposingAll))
	streams.say(session, last)
	if got := next(heard); got != last {
		t.Errorf("she heard %s", got)
	}
}

// next is what is heard next, but for what is said of lists.
func next(heard <-chan string) (got string) {
	for got = range heard {
		if !strings.Contains(got, "list_changed") {
			break
		}
	}
	return got
}

// TestOnlyExtensionsAreHeardBeforeACall: where they are not exposed, a client that listens costs its server nothing.
func TestOnlyExtensionsAreHeardBeforeACall(t *testing.T) {
	for what, test := range map[string]struct {
		path  string
		rules func(*configstore.Server)
	}{
		"not exposed": {"/mcp/one", exposing(policy.Tools)},
		"all servers": {"/mcp", exposingAll},
	} {
		a := startAsker(t, "legacy")
		streams := standOn(a.fakeServer)
		r := newRig(t, a.record("one", test.rules))
		c := r.clientWith("legacy", test.path, r.token("user", "alice"), `{}`)
		c.listenTo(t.Context(), "")
		c.again(`{"ask":[]}`, "") // with this the session is the server's second at most, and what came of listening would have been the first
		if n := len(a.seenOf("initialize")); n > 2 {
			t.Errorf("%s: %d sessions", what, n)
		}
		select {
		case session := <-streams.opened:
			t.Errorf("%s: a stream, of session %s", what, session)
		default:
		}
	}
}

// TestExtensionsOfAServerOfBothEras: for a legacy client it is one of that era, and what it says in the other of its extensions is announced.
func TestExtensionsOfAServerOfBothEras(t *testing.T) {
	for _, clientEra := range eras {
		f := startExtended(t, "modern")
		f.both = true
		modern := f.before
		f.before = func(w http.ResponseWriter, r *http.Request, m seen) bool {
			w.Header().Set("Content-Type", "application/json")
			switch {
			case m.Method == "server/discover":
				reply(w, m, `{"resultType":"complete","supportedVersions":["2026-07-28","2025-11-25"],"capabilities":`+extended+`,"ttlMs":60000,"cacheScope":"public"}`)
			case m.Method == "initialize":
				w.Header().Set("Mcp-Session-Id", "of-both")
				reply(w, m, `{"protocolVersion":"2025-11-25","capabilities":`+extended+`,"serverInfo":{"name":"both","version":"1"}}`)
			default:
				return modern(w, r, m)
			}
			return true
		}
		r := newRig(t, f.record("one", exposingAll))
		token := r.token("user", "alice")
		if said := r.hello(clientEra, "/mcp/one", token, "2025-11-25"); !strings.Contains(string(said["extensions"]), `"com.acme/search":{"deep": [1, 2]}`) {
			t.Errorf("a %s client is told of extensions %s", clientEra, said["extensions"])
		}
		c := r.client(clientEra, "/mcp/one", token)
		if got := c.ask("acme/search", "", `"query":{"x":1}`, "").last(t); got.Error != nil || !strings.Contains(string(got.Result), `"got": {"x":1}`) {
			t.Errorf("a %s client: %+v", clientEra, got)
		}
		if sent := f.lastOf(t, "acme/search"); (sent.Header.Get("Mcp-Session-Id") == "of-both") != (clientEra == "legacy") || (sent.Params.Meta.Version == "") != (clientEra == "legacy") {
			t.Errorf("of a %s client the server got %s, %v", clientEra, sent.Body, sent.Header)
		}
	}
}
