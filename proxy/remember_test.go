package proxy_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"mcpsidecar/configstore"
	"mcpsidecar/proxy"
)

// memory is a proxy.Memory that outlives proxies, and can be full.
type memory struct {
	mu     sync.Mutex
	texts  map[string]string
	writes int
	full   bool
}

func newMemory() *memory { return &memory{texts: map[string]string{}} }

func (m *memory) Keep(_ context.Context, user, session string, text []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.full {
		return errors.New("the disk is full")
	}
	m.writes++
	m.texts[user+"/"+session] = string(text)
	return nil
}

func (m *memory) Recall(_ context.Context, user, session string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if text, ok := m.texts[user+"/"+session]; ok {
		return []byte(text), nil
	}
	return nil, nil
}

func (m *memory) Forget(_ context.Context, user, session string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.texts, user+"/"+session)
	return nil
}

func (m *memory) fill(full bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.full = full
}

func (m *memory) held() (texts, writes int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.texts), m.writes
}

func (m *memory) remembers(c *proxy.Config) { c.Memory = m }

// restarted is a proxy that comes after another one, with the same key, tokens and memory; the clients go on there as if nothing had been.
func (r *rig) restarted(m *memory, servers []configstore.Server, clients ...*client) *rig {
	r.t.Helper()
	next := newRigWith(r.t, m.remembers, servers...)
	next.tokens = r.tokens
	next.callers.Reload(r.tokens)
	for _, c := range clients {
		c.rig = next
	}
	return next
}

// TestSubscriptionsSurviveARestart: whatever brings the session back to mind, a stream or any request, its subscriptions stand again, and the client is told once that it may have missed something.
func TestSubscriptionsSurviveARestart(t *testing.T) {
	for _, serverEra := range eras {
		for _, first := range []string{"the stream", "a request"} {
			t.Run(serverEra+", "+first, func(t *testing.T) {
				l := startTeller(t, serverEra, "x://a", "x://b", "x://c")
				m := newMemory()
				record := l.record("one")
				before := newRigWith(t, m.remembers, record)
				c := before.client("legacy", "/mcp", before.token("user", "alice"))
				for _, uri := range []string{"x://a", "x://b", "x://c"} {
					c.subscribe(uri)
				}
				l.isWatched(t, "x://a", "x://b", "x://c")
				(&follower{client: c}).unfollow("x://b")
				before.proxy.Close()

				before.restarted(m, []configstore.Server{record}, c)
				if first == "a request" {
					c.ask("ping", "", "", "")
				}
				f := c.follow()
				l.isWatched(t, "x://a", "x://c")
				missed := map[string]bool{f.next(): true, f.next(): true}
				for _, uri := range []string{"x://a", "x://c"} {
					if !missed[fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":%q}}`, uri)] {
						t.Errorf("nobody said that %s may be another now: %v", uri, missed)
					}
				}
				l.say("x://c")
				f.wantUpdate("x://c")
				f.unfollow("x://a", "x://c")
				l.isWatched(t)
				if texts, _ := m.held(); texts != 0 {
					t.Error("something is still remembered")
				}
			})
		}
	}
}

// TestLevelsSurviveARestart: logging/setLevel is acknowledged once and for all.
func TestLevelsSurviveARestart(t *testing.T) {
	f := startFake(t, "legacy", tool("x"))
	f.before = func(w http.ResponseWriter, _ *http.Request, m seen) bool {
		if m.Method == "initialize" {
			w.Header().Set("Mcp-Session-Id", "s")
			w.Header().Set("Content-Type", "application/json")
			reply(w, m, `{"protocolVersion":"2025-11-25","capabilities":{"tools":{},"logging":{}},"serverInfo":{"name":"fake","version":"1"}}`)
		}
		return m.Method == "initialize"
	}
	m := newMemory()
	record := f.record("one")
	before := newRigWith(t, m.remembers, record)
	c := before.client("legacy", "/mcp", before.token("user", "alice"))
	c.ask("logging/setLevel", "", `"level":"warning"`, "")
	c.ask("logging/setLevel", "", `"level":"warning"`, "") // the same is not written again
	if _, writes := m.held(); writes != 1 {
		t.Errorf("%d writes", writes)
	}
	before.proxy.Close()
	before.restarted(m, []configstore.Server{record}, c)
	if got := c.call("one__x", `{}`); got.text() != "x {}" {
		t.Fatal(got.raw.body)
	}
	levels := f.seenOf("logging/setLevel")
	if len(levels) != 1 || !strings.Contains(levels[0].Body, `evel":"warning"`) {
		t.Errorf("the server is told %v", levels)
	}
}

// TestWhatIsRecalledIsJudged: a subscription is worth no more than the rules, the selection and the session are at this moment.
func TestWhatIsRecalledIsJudged(t *testing.T) {
	l := startTeller(t, "legacy", "x://a")
	m := newMemory()
	record := l.record("one")
	before := newRigWith(t, m.remembers, record)
	c := before.client("legacy", "/mcp", before.token("user", "alice"))
	gone := before.client("legacy", "/mcp", c.token)
	c.subscribe("x://a")
	gone.subscribe("x://a")
	if texts, _ := m.held(); texts != 2 {
		t.Fatalf("%d sessions are remembered", texts)
	}
	if got := gone.do(gone.request(http.MethodDelete, nil)); got.status != http.StatusNoContent {
		t.Fatal(got.body)
	}
	if texts, _ := m.held(); texts != 1 {
		t.Errorf("%d sessions are remembered after one has ended", texts)
	}
	before.proxy.Close()

	hidden := record
	hidden.Rules.VisibleTo = []string{"bob"}
	after := before.restarted(m, []configstore.Server{hidden}, c)
	f := c.follow()
	c.ask("ping", "", "", "")
	l.isWatched(t)
	after.load(record) // she may again
	l.isWatched(t, "x://a")
	f.wantUpdate("x://a")
}

// TestWhatCannotBeKeptIsNotPromised: nothing is acknowledged that a restart would forget.
func TestWhatCannotBeKeptIsNotPromised(t *testing.T) {
	l := startTeller(t, "legacy", "x://a", "x://"+strings.Repeat("b", 4000))
	m := newMemory()
	r := newRigWith(t, m.remembers, l.record("one"))
	c := r.client("legacy", "/mcp", r.token("user", "alice"))
	m.fill(true)
	f := c.follow()
	if got := c.subscribe("x://a"); got.Error == nil {
		t.Error("a subscription is acknowledged that could not be kept")
	}
	if got := c.ask("logging/setLevel", "", `"level":"error"`, ""); got.status != http.StatusServiceUnavailable {
		t.Errorf("a level that could not be kept: %d %s", got.status, got.body)
	}
	l.isWatched(t)
	m.fill(false)
	if got := c.subscribe("x://a"); got.Error != nil {
		t.Fatalf("once there is room: %+v", got.Error)
	}
	l.isWatched(t, "x://a")
	f.unfollow("x://a")
}

// TestAnswersToQuestionsOfAnEarlierLife: who answers what was asked before a restart hears no refusal, which some clients take for the end of everything; what nobody asked is refused as ever.
func TestAnswersToQuestionsOfAnEarlierLife(t *testing.T) {
	a := startAsker(t, "legacy")
	record := a.record("one")
	m := newMemory()
	before := newRigWith(t, m.remembers, record)
	c := before.clientOf("2025-11-25", before.token("user", "alice"), `{"elicitation":{}}`)
	other := before.clientOf("2025-11-25", c.token, `{"elicitation":{}}`)
	v := c.converse(`{"ask":[{"method":"elicitation/create","params":{"message":"m","requestedSchema":{"type":"object","properties":{}}}}]}`)
	q := v.question()
	before.proxy.Close()

	before.restarted(m, []configstore.Server{record}, c, other)
	for name, test := range map[string]struct {
		by   *client
		id   string
		want int
	}{
		"its own":        {c, string(q.ID), http.StatusAccepted},
		"another chat's": {other, string(q.ID), http.StatusBadRequest},
		"a forged one":   {c, `"` + strings.Repeat("A", len(q.ID)-2) + `"`, http.StatusBadRequest},
		"a number":       {c, `7`, http.StatusBadRequest},
		"an event's":     {c, `"a.1"`, http.StatusBadRequest},
	} {
		if got := test.by.respond([]byte(test.id), `{"action":"decline"}`); got.status != test.want {
			t.Errorf("%s: %d %s, want %d", name, got.status, got.body, test.want)
		}
	}
}
