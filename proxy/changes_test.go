package proxy_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// announcer is a server of either era that says when its tools are others, on a stream that is in force when the test lets it be.
type announcer struct {
	*fakeServer
	streams chan *announcing // receives each stream that is asked for
	fail    chan struct{}    // of each of these one list fails
}

// announcing is one of its streams. Whoever asked for it waits until admit receives a status.
type announcing struct {
	after string // Last-Event-ID
	admit chan int
	say   chan string // events, as they are
	end   chan struct{}
}

func startAnnouncer(t *testing.T, era string, tools ...string) *announcer {
	a := &announcer{fakeServer: startFake(t, era, tools...), streams: make(chan *announcing, 16), fail: make(chan struct{}, 1)}
	s := &stock{capabilities: `{"tools":{"listChanged":true}}`}
	a.get = func(w http.ResponseWriter, r *http.Request) { a.stream(w, r, "") }
	a.before = func(w http.ResponseWriter, r *http.Request, m seen) bool {
		switch {
		case m.Method == "tools/list" && len(a.fail) > 0:
			<-a.fail
			w.WriteHeader(http.StatusInternalServerError)
			return true
		case m.Method != "subscriptions/listen":
			return s.serve(a.fakeServer, w, m)
		}
		w.Header().Set("Content-Type", "text/event-stream")
		w.(http.Flusher).Flush() // which is no acknowledgement
		a.stream(w, r, fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":%s},"notifications":{"toolsListChanged":true}}}`, m.ID))
		return true
	}
	return a
}

func (a *announcer) stream(w http.ResponseWriter, r *http.Request, first string) {
	st := &announcing{after: r.Header.Get("Last-Event-Id"), admit: make(chan int), say: make(chan string), end: make(chan struct{})}
	a.streams <- st
	select {
	case status := <-st.admit:
		if status != http.StatusOK {
			w.WriteHeader(status)
			return
		}
	case <-r.Context().Done():
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	if first != "" {
		fmt.Fprintf(w, "data: %s\n\n", first)
	}
	w.(http.Flusher).Flush()
	for {
		select {
		case event := <-st.say:
			fmt.Fprintf(w, "%s\n\n", event)
			w.(http.Flusher).Flush()
		case <-st.end:
			return
		case <-r.Context().Done():
			return
		}
	}
}

// changed is how a server says that its tools are others.
const changed = `data: {"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`

// lists is how often its tools were listed.
func (a *announcer) lists() int { return len(a.seenOf("tools/list")) }

// hears waits for the news that the tools are others.
func hears(t *testing.T, events <-chan string, when string) {
	t.Helper()
	if got := <-events; !strings.Contains(got, "notifications/tools/list_changed") {
		t.Errorf("%s: the client hears %s", when, got)
	}
}

// lists has a client listen that has seen a list.
func (c *client) listAndListen(t *testing.T) (events <-chan string) {
	t.Helper()
	c.list()
	events = c.listen(t.Context())
	if c.era == "modern" {
		<-events // the acknowledgement
	}
	return events
}

// TestWhatChangesWhileNobodyListens, because the stream is not in force yet or is being opened anew, is heard all the same.
func TestWhatChangesWhileNobodyListens(t *testing.T) {
	everyCombination(t, func(t *testing.T, clientEra, serverEra string) {
		t.Parallel()
		a := startAnnouncer(t, serverEra, tool("x"))
		r := newRig(t, a.record("one"))
		c := r.client(clientEra, "/mcp", r.token("user", "alice"))
		events := c.listAndListen(t)
		first := <-a.streams
		a.setTools(tool("x"), tool("y"))
		first.admit <- http.StatusOK
		hears(t, events, "a change before the first stream is in force")
		if got := c.list(); !slices.Equal(got, []string{"one__x", "one__y"}) {
			t.Errorf("then it lists %v", got)
		}
		close(first.end)
		second := <-a.streams
		a.setTools(tool("z"))
		second.admit <- http.StatusOK
		hears(t, events, "a change while the stream is being opened anew")
		if got := c.list(); !slices.Equal(got, []string{"one__z"}) {
			t.Errorf("then it lists %v", got)
		}
		if n := a.lists(); n != 3 {
			t.Errorf("the server was asked for its tools %d times", n)
		}
	})
}

// TestAStreamInForceCostsOneList: a list from before is fetched once more, and of one that is the same nobody hears.
func TestAStreamInForceCostsOneList(t *testing.T) {
	for _, serverEra := range eras {
		t.Run(serverEra+" server", func(t *testing.T) {
			t.Parallel()
			a := startAnnouncer(t, serverEra, tool("x"))
			r := newRig(t, a.record("one"))
			c := r.client("modern", "/mcp", r.token("user", "alice"))
			events := c.listAndListen(t)
			st := <-a.streams
			st.admit <- http.StatusOK
			if _, _, stale := metaOf(t, c); stale != nil {
				t.Errorf("a list that may be old already is said to be: %v", stale)
			}
			waitFor(t, func() bool { return a.lists() == 2 })
			a.setTools(tool("x"), tool("y"))
			st.say <- changed
			hears(t, events, "a change")
			if n := a.lists(); n != 3 {
				t.Errorf("the server was asked for its tools %d times", n)
			}
			r.proxy.Drain(t.Context())
			for event := range events {
				if strings.Contains(event, "list_changed") {
					t.Errorf("the client hears more: %s", event)
				}
			}
		})
	}
}

// TestAChangeOutlivesAFailure: what a server says to be another is fetched again after a fetch that failed, though nobody asks.
func TestAChangeOutlivesAFailure(t *testing.T) {
	a := startAnnouncer(t, "modern", tool("x"))
	r := newRig(t, a.record("one"))
	c := r.client("modern", "/mcp", r.token("user", "alice"))
	events := c.listAndListen(t)
	st := <-a.streams
	st.admit <- http.StatusOK
	waitFor(t, func() bool { return a.lists() == 2 })
	a.fail <- struct{}{}
	a.setTools(tool("y"))
	st.say <- changed
	hears(t, events, "a change whose first fetch failed")
	if got := c.list(); !slices.Equal(got, []string{"one__y"}) {
		t.Errorf("then it lists %v", got)
	}
}

// TestWhoeverListensAfterARestart hears of the servers' changes, though nobody has asked for a list in this life of the program.
func TestWhoeverListensAfterARestart(t *testing.T) {
	everyCombination(t, func(t *testing.T, clientEra, serverEra string) {
		a := startAnnouncer(t, serverEra, tool("x"))
		first := newRig(t, a.record("one"))
		c := first.client(clientEra, "/mcp", first.token("user", "alice"))
		if clientEra == "legacy" {
			before := c.resume("")
			c.header.Set("Last-Event-Id", before.must().id)
			before.drop()
		}
		second := newRig(t, a.record("one"))
		second.tokens = first.tokens
		second.callers.Reload(first.tokens)
		c.rig = second
		events := c.listen(t.Context())
		<-events // the acknowledgement, or what primes the stream
		hears(t, events, "what may have changed in between")
		st := <-a.streams
		st.admit <- http.StatusOK
		a.setTools(tool("y"))
		st.say <- changed
		hears(t, events, "a change")
	})
}
