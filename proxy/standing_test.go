package proxy_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"mcpsidecar/configstore"
)

// standing is the standing streams of a legacy server, by its session.
type standing struct {
	mu     sync.Mutex
	out    map[string]chan string
	opened chan string // receives the session of each stream that was opened
}

func standOn(f *fakeServer) *standing {
	s := &standing{out: map[string]chan string{}, opened: make(chan string, 64)}
	f.get = func(w http.ResponseWriter, r *http.Request) {
		session := r.Header.Get("Mcp-Session-Id")
		out := s.of(session)
		w.Header().Set("Content-Type", "text/event-stream")
		w.(http.Flusher).Flush()
		s.opened <- session
		for {
			select {
			case text := <-out:
				fmt.Fprintf(w, "data: %s\n\n", text)
				w.(http.Flusher).Flush()
			case <-r.Context().Done():
				return
			}
		}
	}
	return s
}

// of is where the stream of a session takes what it says, whether it is open yet or not.
func (s *standing) of(session string) chan string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.out[session] == nil {
		s.out[session] = make(chan string)
	}
	return s.out[session]
}

func (s *standing) say(session, text string) { s.of(session) <- text }

// TestWhatAServerAsksOutsideOfCalls goes to the standing stream of the very session, and the answer back.
func TestWhatAServerAsksOutsideOfCalls(t *testing.T) {
	a := startAsker(t, "legacy")
	streams := standOn(a.fakeServer)
	r := newRig(t, a.record("one"))
	token := r.token("user", "alice")
	hers, also := r.clientWith("legacy", "/mcp", token, ableToAll), r.clientWith("legacy", "/mcp", token, ableToAll)
	hers.list()
	heard, alsoHeard := hers.listenTo(t.Context(), ""), also.listenTo(t.Context(), "")
	hers.again(`{"ask":[]}`, "")
	session := <-streams.opened
	also.again(`{"ask":[]}`, "")
	other := <-streams.opened
	if session == other {
		t.Fatal("two chats share a session")
	}

	streams.say(session, `{"jsonrpc":"2.0","id":"s-1","method":"roots/list"}`)
	var q request
	json.Unmarshal([]byte(<-heard), &q)
	if q.Method != "roots/list" || string(q.ID) == `"s-1"` {
		t.Errorf("the client is asked %+v", q)
	}
	if got := also.respond(q.ID, `{"roots":[]}`); got.status != http.StatusBadRequest {
		t.Errorf("another session answers: %d", got.status)
	}
	if got := hers.respond(q.ID, `{"roots":[]}`); got.status != http.StatusAccepted {
		t.Errorf("her answer: %d %s", got.status, got.body)
	}
	if answered := a.seenOf(""); len(answered) != 1 || answered[0].Body != `{"jsonrpc":"2.0","id":"s-1","result":{"roots":[]}}` || answered[0].Header.Get("Mcp-Session-Id") != session {
		t.Errorf("the server had %+v", answered)
	}

	// It takes the next one back.
	streams.say(session, `{"jsonrpc":"2.0","id":"s-2","method":"roots/list"}`)
	json.Unmarshal([]byte(<-heard), &q)
	streams.say(session, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"s-2"}}`)
	if got := <-heard; !strings.Contains(got, "notifications/cancelled") || !strings.Contains(got, string(q.ID)) {
		t.Errorf("the client is told %s", got)
	}

	// What the client has not declared is refused, and what concerns one session is not told another.
	streams.say(session, `{"jsonrpc":"2.0","id":"s-3","method":"elicitation/create","params":{"mode":"url","url":"javascript:x","message":"m"}}`)
	waitFor(t, func() bool {
		answered := a.seenOf("")
		return strings.Contains(answered[len(answered)-1].Body, `"id":"s-3","error":{"code":-32602`)
	})
	streams.say(session, `{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"to her"}}`)
	if got := <-heard; !strings.Contains(got, "to her") {
		t.Errorf("the client is told %s", got)
	}
	select {
	case got := <-alsoHeard:
		t.Errorf("another session heard %s", got)
	default:
	}
}

// TestWhoMayNotBeSeenAnyMore has nothing to say on a standing stream either, though its session goes on.
func TestWhoMayNotBeSeenAnyMore(t *testing.T) {
	log := func(data string) string {
		return fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":%q}}`, data)
	}
	for name, hide := range map[string]func(*configstore.Server){
		"disabled":         func(s *configstore.Server) { s.Rules.Enabled = false },
		"for others":       func(s *configstore.Server) { s.Rules.VisibleTo = []string{"bob"} },
		"not in plan mode": func(s *configstore.Server) { s.Rules.AllowInPlanMode = false },
	} {
		t.Run(name, func(t *testing.T) {
			a := startAsker(t, "legacy")
			streams := standOn(a.fakeServer)
			open := a.record("one", func(s *configstore.Server) { s.Rules.AllowInPlanMode = true })
			shut := open
			hide(&shut)
			r := newRig(t, open)
			c := r.clientWith("legacy", "/mcp", r.token("user", "alice", func(token *configstore.APIToken) { token.Mode = "plan" }), ableToAll)
			heard := c.listenTo(t.Context(), "")
			c.again(`{"ask":[]}`, "")
			session := <-streams.opened
			streams.say(session, log("before"))
			next := func() (got string) {
				for got = range heard {
					if !strings.Contains(got, "list_changed") {
						break
					}
				}
				return got
			}
			if got := next(); got != log("before") {
				t.Errorf("heard %s", got)
			}
			r.load(shut)
			streams.say(session, log("meanwhile"))
			streams.say(session, `{"jsonrpc":"2.0","id":"s-1","method":"roots/list"}`)
			waitFor(t, func() bool {
				answered := a.seenOf("")
				return len(answered) == 1 && strings.Contains(answered[0].Body, `"id":"s-1","error"`)
			})
			r.load(open)
			streams.say(session, log("after"))
			if got := next(); got != log("after") {
				t.Errorf("heard %s", got)
			}
		})
	}
}

// TestNobodyListens: a server that asks a session without a standing stream has its answer at once.
func TestNobodyListens(t *testing.T) {
	a := startAsker(t, "legacy")
	streams := standOn(a.fakeServer)
	r := newRig(t, a.record("one"))
	c := r.clientWith("legacy", "/mcp", r.token("user", "alice"), ableToAll)
	c.again(`{"ask":[]}`, "")
	streams.say(<-streams.opened, `{"jsonrpc":"2.0","id":"s-1","method":"roots/list"}`)
	waitFor(t, func() bool {
		answered := a.seenOf("")
		return len(answered) == 1 && strings.Contains(answered[0].Body, `"id":"s-1","error"`)
	})
}

// TestAClientWithoutAbilitiesCostsNoStream.
func TestAClientWithoutAbilitiesCostsNoStream(t *testing.T) {
	a := startAsker(t, "legacy")
	streams := standOn(a.fakeServer)
	r := newRig(t, a.record("one"))
	token := r.token("user", "alice")
	r.clientWith("legacy", "/mcp", token, `{"experimental":{}}`).again(`{"ask":[]}`, "")
	r.clientWith("legacy", "/mcp", token, ableToAll).again(`{"ask":[]}`, "")
	session := <-streams.opened
	if sent := a.seenOf("tools/call"); sent[1].Header.Get("Mcp-Session-Id") != session {
		t.Errorf("the stream is not that of the client that can be asked")
	}
	select {
	case session := <-streams.opened:
		t.Errorf("another stream, of session %s", session)
	default:
	}
}

// TestACompletedElicitation is told to the session that was shown it, once, and to no other.
func TestACompletedElicitation(t *testing.T) {
	a := startAsker(t, "legacy")
	streams := standOn(a.fakeServer)
	r := newRig(t, a.record("one"))
	token := r.token("user", "alice")
	hers, also := r.clientWith("legacy", "/mcp", token, ableToAll), r.clientWith("legacy", "/mcp", token, ableToAll)
	hers.list()
	heard, alsoHeard := hers.listenTo(t.Context(), ""), also.listenTo(t.Context(), "")
	hers.carryOn(asking("elicitation/create", asks["url elicitation"].params), map[string]string{"elicitation/create": `{"action":"accept"}`})
	session := <-streams.opened
	also.again(`{"ask":[]}`, "")
	other := <-streams.opened
	complete := func(id string) string {
		return fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/elicitation/complete","params":{"elicitationId":%q}}`, id)
	}
	log := `{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"that was all"}}`
	streams.say(session, complete("unknown"))
	streams.say(session, complete("e-1"))
	streams.say(session, complete("e-1"))
	streams.say(session, log)
	streams.say(other, complete("e-1"))
	streams.say(other, log)
	if got := <-heard; got != complete("e-1") {
		t.Errorf("she heard %s", got)
	}
	for _, events := range []<-chan string{heard, alsoHeard} {
		if got := <-events; got != log {
			t.Errorf("heard %s", got)
		}
	}
}

// oldAsker is a server of the HTTP+SSE transport that asks for the client's roots in the middle of each call.
type oldAsker struct {
	*fakeServer
	mu     sync.Mutex
	out    map[string]chan string
	posted chan string // receives every body
}

func startOldAsker(t *testing.T) *oldAsker {
	o := &oldAsker{fakeServer: startFake(t, "legacy"), out: map[string]chan string{}, posted: make(chan string, 64)}
	count := 0
	o.get = func(w http.ResponseWriter, r *http.Request) {
		o.mu.Lock()
		count++
		session := fmt.Sprint(count)
		out := make(chan string, 16)
		o.out[session] = out
		o.mu.Unlock()
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, "event: endpoint\ndata: /?s=%s\n\n", session)
		w.(http.Flusher).Flush()
		for {
			select {
			case text := <-out:
				fmt.Fprintf(w, "event: message\ndata: %s\n\n", text)
				w.(http.Flusher).Flush()
			case <-r.Context().Done():
				return
			}
		}
	}
	pending := map[string]json.RawMessage{}
	o.before = func(w http.ResponseWriter, r *http.Request, m seen) bool {
		session := r.URL.Query().Get("s")
		o.mu.Lock()
		defer o.mu.Unlock()
		w.WriteHeader(http.StatusAccepted)
		say := func(result string) {
			o.out[session] <- fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":%s}`, m.ID, result)
		}
		switch m.Method {
		case "initialize":
			say(`{"protocolVersion":"2024-11-05","capabilities":{"tools":{}},"serverInfo":{"name":"old","version":"1"}}`)
		case "tools/list":
			say(`{"tools":[` + tool("ask") + `]}`)
		case "tools/call":
			pending[session] = m.ID
			o.out[session] <- `{"jsonrpc":"2.0","id":5,"method":"roots/list"}`
		case "":
			m.ID = pending[session]
			text, _ := json.Marshal(m.Body)
			say(`{"content":[{"type":"text","text":` + string(text) + `}]}`)
		}
		return true
	}
	return o
}

// TestServersOfTheOldTransportAskToo: there is one stream for everything.
func TestServersOfTheOldTransportAskToo(t *testing.T) {
	for _, era := range eras {
		o := startOldAsker(t)
		r := newRig(t, o.record("one", func(s *configstore.Server) { s.Transport = configstore.SSE }))
		c := r.clientWith(era, "/mcp", r.token("user", "alice"), ableToAll)
		out, asked := c.carryOn(asking("roots/list", ""), map[string]string{"roots/list": `{"roots":[]}`})
		if len(asked) != 1 || !strings.Contains(out.text(), `{"roots":[]}`) {
			t.Errorf("%s: asked %+v, the server had %s", era, asked, out.raw.body)
		}
	}
}
