package proxy_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mcpsidecar/configstore"
	"mcpsidecar/internal/secret"
	"mcpsidecar/proxy"
)

// event is one event as a client reads it.
type event struct{ id, retry, data string }

// connection is a stream of events that a client reads.
type connection struct {
	t        testing.TB
	response *http.Response
	lines    *bufio.Reader
}

func (c *client) connect(r *http.Request) *connection {
	c.rig.t.Helper()
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		c.rig.t.Fatal(err)
	}
	return &connection{c.rig.t, response, bufio.NewReader(response.Body)}
}

// next is the next event; ok is false at the end of the stream.
func (c *connection) next() (e event, ok bool) {
	c.t.Helper()
	any := false
	for {
		line, err := c.lines.ReadString('\n')
		if err != nil {
			return e, false
		}
		line = strings.TrimSuffix(line, "\n")
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "id":
			e.id, any = value, true
		case "retry":
			e.retry, any = value, true
		case "data":
			e.data, any = value, true
		case "":
			if line == "" && any {
				return e, true
			}
		}
	}
}

// must is the next event where there has to be one.
func (c *connection) must() event {
	c.t.Helper()
	e, ok := c.next()
	if !ok {
		c.t.Fatal("the stream ended")
	}
	return e
}

// rest is everything up to the end of the stream.
func (c *connection) rest() (events []event) {
	c.t.Helper()
	defer c.drop()
	for e, ok := c.next(); ok; e, ok = c.next() {
		events = append(events, e)
	}
	return events
}

// drop loses the connection.
func (c *connection) drop() { c.response.Body.Close() }

// lasting begins a call of the tool "last" with progress, of which the server says something at once.
func (c *client) lasting(l *laster, first string) *connection {
	if l != nil {
		go func() { l.say <- first }()
	}
	return c.connect(c.asked("tools/call", c.name("last"), fmt.Sprintf(`"name":%q,"arguments":{}`, c.name("last")), `"progressToken":"p"`))
}

// back is the request by which a client comes back.
func (c *client) back(id string) *http.Request {
	r := c.request(http.MethodGet, nil)
	if id != "" {
		r.Header.Set("Last-Event-ID", id)
	}
	return r
}

// resume comes back after an event.
func (c *client) resume(id string) *connection {
	c.rig.t.Helper()
	conn := c.connect(c.back(id))
	if conn.response.StatusCode != http.StatusOK {
		c.rig.t.Fatalf("coming back: %d", conn.response.StatusCode)
	}
	return conn
}

// laster is a server whose tool "last" does what the test says: each text is a report, "!" the answer.
type laster struct {
	*fakeServer
	say  chan string
	gone chan struct{} // receives when a call was cut off

	greets bool // it begins with a report of its own
}

func startLaster(t *testing.T) *laster {
	l := &laster{fakeServer: startFake(t, "legacy", tool("last")), say: make(chan string), gone: make(chan struct{}, 64)}
	l.call = func(w http.ResponseWriter, r *http.Request, m seen) {
		w.Header().Set("Content-Type", "text/event-stream")
		if l.greets {
			fmt.Fprintf(w, "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":%s,\"progress\":0}}\n\n", m.Params.Meta.Token)
		}
		w.(http.Flusher).Flush()
		for n := 1; ; n++ {
			select {
			case text := <-l.say:
				if answer, is := strings.CutPrefix(text, "!"); is {
					fmt.Fprintf(w, "data: {\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{\"content\":[{\"type\":\"text\",\"text\":%q}]}}\n\n", m.ID, answer)
					return
				}
				fmt.Fprintf(w, "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":%s,\"progress\":%d,\"message\":%q}}\n\n", m.Params.Meta.Token, n, text)
				w.(http.Flusher).Flush()
			case <-r.Context().Done():
				l.gone <- struct{}{}
				return
			}
		}
	}
	return l
}

// wantData checks what events say.
func wantData(t *testing.T, what string, got []event, want ...string) {
	t.Helper()
	ok := len(got) == len(want)
	for i := 0; ok && i < len(got); i++ {
		ok = strings.Contains(got[i].data, want[i])
	}
	if !ok {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

// TestALostConnectionIsNoCancellation: the call goes on, and the client that comes back has what it missed, once, in order, and then the rest; as often as it likes.
func TestALostConnectionIsNoCancellation(t *testing.T) {
	l := startLaster(t)
	r := newRig(t, l.record("one"))
	c := r.client("legacy", "/mcp", r.token("user", "alice"))
	first := c.lasting(l, "r1")
	prime, one := first.must(), first.must()
	if prime.data != "" || prime.id == "" || prime.retry == "" || !strings.Contains(one.data, `"r1"`) || !strings.Contains(one.data, `"progressToken":"p"`) {
		t.Errorf("the stream begins with %q and %q", prime, one)
	}
	first.drop()
	l.say <- "r2"
	second := c.resume(one.id)
	two := second.must()
	wantData(t, "missed", []event{two}, `"r2"`)
	l.say <- "r3"
	wantData(t, "then", []event{second.must()}, `"r3"`)
	second.drop()
	l.say <- "r4"
	l.say <- "!done"
	wantData(t, "after that", c.resume(two.id).rest(), `"r3"`, `"r4"`, `"id":1,"result":{"content":[{"type":"text","text":"done"}]}`)
	all := c.resume(prime.id).rest()
	wantData(t, "from the start", all, `"r1"`, `"r2"`, `"r3"`, `"r4"`, `"done"`)
	wantData(t, "after all", c.resume(all[len(all)-1].id).rest())
	wantData(t, "after more than there is", c.resume(all[0].id+"99").rest())
	ids := map[string]bool{}
	for _, e := range append(all, prime) {
		ids[e.id] = true
	}
	if len(ids) != len(all)+1 {
		t.Errorf("the ids are not unique: %q", all)
	}
	if calls, cancelled := l.seenOf("tools/call"), l.seenOf("notifications/cancelled"); len(calls) != 1 || len(cancelled) != 0 {
		t.Errorf("the server had %d calls and %d cancellations", len(calls), len(cancelled))
	}
}

// TestAnotherConnectionTakesOver: the stream goes on on the one that came last, and the others end.
func TestAnotherConnectionTakesOver(t *testing.T) {
	l := startLaster(t)
	r := newRig(t, l.record("one"))
	c := r.client("legacy", "/mcp", r.token("user", "alice"))
	first := c.lasting(l, "r1")
	prime := first.must()
	first.must()
	second := c.resume(prime.id)
	wantData(t, "second", []event{second.must()}, `"r1"`)
	third := c.resume(prime.id)
	wantData(t, "third", []event{third.must()}, `"r1"`)
	wantData(t, "second, when there is a third", second.rest())
	l.say <- "r2"
	wantData(t, "first, when there is a third", first.rest())
	l.say <- "!done"
	wantData(t, "third", third.rest(), `"r2"`, `"done"`)
}

// TestEventIDsBelongToASession: whatever is not of the very session is refused with the same words; and each stream is its own.
func TestEventIDsBelongToASession(t *testing.T) {
	l := startLaster(t)
	r := newRig(t, l.record("one"))
	token := r.token("user", "alice")
	hers, also := r.client("legacy", "/mcp", token), r.client("legacy", "/mcp", token)
	var firsts []event
	for range 2 {
		call := hers.lasting(l, "r")
		firsts = append(firsts, call.must())
		l.say <- "!x"
		call.rest()
	}
	a, b := firsts[0], firsts[1]
	name, number, _ := strings.Cut(a.id, ".")
	for what, id := range map[string]string{
		"nonsense": "nonsense", "a number": "1", "no number": name + ".", "a negative one": name + ".-1", "a huge one": name + ".99999999999999999999",
		"another name": strings.Repeat("A", 16) + name[16:] + "." + number, "a longer name": name + "A." + number, "very long": strings.Repeat("a", 4096) + ".1",
	} {
		if got := hers.do(hers.back(id)); got.status != http.StatusBadRequest || !strings.Contains(got.body, "not of an event of this session") {
			t.Errorf("%s: %d %s", what, got.status, got.body)
		}
	}
	if got := also.do(also.back(a.id)); got.status != http.StatusBadRequest || !strings.Contains(got.body, "not of an event of this session") {
		t.Errorf("another session of hers: %d %s", got.status, got.body)
	}
	bob := *hers
	bob.token = r.token("user", "bob")
	if got := bob.do(bob.back(a.id)); got.status != http.StatusNotFound {
		t.Errorf("another user, with her session: %d %s", got.status, got.body)
	}
	one, two := hers.resume(a.id).rest(), hers.resume(b.id).rest()
	wantData(t, "one", one, `"r"`, `"result"`)
	wantData(t, "two", two, `"r"`, `"result"`)
	if one[1].data == two[1].data {
		t.Errorf("two streams have the same answer: %q", one)
	}
	two1 := hers.back(a.id)
	two1.Header.Add("Last-Event-ID", b.id)
	if got := hers.do(two1); got.status != http.StatusBadRequest {
		t.Errorf("two ids at once: %d", got.status)
	}
}

// TestWhatIsNotKeptIsSaid: after a restart, when time is up, or when it was too large, the request has an answer that says that the answer is lost.
func TestWhatIsNotKeptIsSaid(t *testing.T) {
	lost := `{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"the answer was lost; the outcome of the request is unknown"}}`
	t.Run("after a restart", func(t *testing.T) {
		l := startLaster(t)
		before := newRig(t, l.record("one"))
		c := before.client("legacy", "/mcp", before.token("user", "alice"))
		call := c.lasting(l, "r1")
		prime := call.must()
		l.say <- "!done"
		call.rest()
		after := newRig(t, l.record("one"))
		after.callers.Reload(before.tokens)
		c.rig = after
		wantData(t, "the answer", c.resume(prime.id).rest(), lost)
	})
	t.Run("when time is up", func(t *testing.T) {
		l := startLaster(t)
		clock := newClock()
		r := newRigWith(t, func(c *proxy.Config) { c.Now = clock.now }, l.record("one"))
		c := r.client("legacy", "/mcp", r.token("user", "alice"))
		call := c.lasting(l, "r1")
		prime := call.must()
		call.drop()
		l.say <- "!done"
		waitFor(t, func() bool { return len(c.resume(prime.id).rest()) == 2 })
		clock.add(6 * time.Minute)
		waitFor(t, func() bool {
			got := c.resume(prime.id).rest()
			return len(got) == 1 && got[0].data == lost
		})
	})
	t.Run("when it is too large", func(t *testing.T) {
		l := startLaster(t)
		r := newRigWith(t, func(c *proxy.Config) { c.Resuming.PerSession = 2000 }, l.record("one"))
		c := r.client("legacy", "/mcp", r.token("user", "alice"))
		call := c.lasting(l, "r1")
		prime := call.must()
		l.say <- "!" + strings.Repeat("x", 4000)
		if got := call.rest(); len(got) != 2 || len(got[1].data) < 4000 || got[1].id == "" {
			t.Errorf("the connection had %d events", len(got))
		}
		wantData(t, "the answer", c.resume(prime.id).rest(), lost)
	})
}

// TestWhatIsKeptIsBounded: the oldest reports go first, and the answer is still there.
func TestWhatIsKeptIsBounded(t *testing.T) {
	for name, change := range map[string]func(*proxy.Resuming){
		"per session": func(r *proxy.Resuming) { r.PerSession = 4000 },
		"per user":    func(r *proxy.Resuming) { r.UserBytes = 4000 },
		"overall":     func(r *proxy.Resuming) { r.Overall = 4000 },
	} {
		t.Run(name, func(t *testing.T) {
			l := startLaster(t)
			r := newRigWith(t, func(c *proxy.Config) { change(&c.Resuming) }, l.record("one"))
			c := r.client("legacy", "/mcp", r.token("user", "alice"))
			call := c.lasting(l, "report 0")
			for n := range 99 {
				l.say <- fmt.Sprintf("report %d", n+1)
			}
			prime := call.must()
			l.say <- "!done"
			if got := call.rest(); len(got) != 101 {
				t.Errorf("the connection had %d events", len(got))
			}
			got := c.resume(prime.id).rest()
			if len(got) < 2 || len(got) > 20 || !strings.Contains(got[len(got)-2].data, "report 99") || !strings.Contains(got[len(got)-1].data, "done") {
				t.Errorf("%d events are kept, the last %q", len(got), got[max(0, len(got)-2):])
			}
		})
	}
}

// TestSilenceBecomesAStream: a request that takes long begins a stream, which a client can come back to, if its revision knows that.
func TestSilenceBecomesAStream(t *testing.T) {
	f := startFake(t, "legacy", tool("last"))
	called, goOn := make(chan struct{}, 2), make(chan struct{})
	f.call = func(w http.ResponseWriter, _ *http.Request, m seen) {
		called <- struct{}{}
		<-goOn
		f.echo(w, m)
	}
	clock := newClock()
	r := newRigWith(t, func(c *proxy.Config) { c.Now = clock.now }, f.record("one"))
	c := r.client("legacy", "/mcp", r.token("user", "alice"))
	go func() {
		<-called
		clock.add(2 * time.Second)
	}()
	call := c.lasting(nil, "")
	prime := call.must()
	if prime.data != "" || prime.id == "" || prime.retry != "1000" {
		t.Errorf("the stream begins with %q", prime)
	}
	call.drop()
	back := c.resume(prime.id)
	close(goOn)
	wantData(t, "the answer", back.rest(), `"id":1,"result"`)
	if got := c.lasting(nil, ""); got.response.Header.Get("Content-Type") != "application/json" {
		t.Errorf("a request that is answered at once has %v", got.response.Header)
	}
}

// TestWhatEachRevisionHas: ids since 2025-03-26, streams that begin without data since 2025-11-25.
func TestWhatEachRevisionHas(t *testing.T) {
	for _, tt := range []struct {
		version     string
		ids, primed bool
	}{{"2024-11-05", false, false}, {"2025-03-26", true, false}, {"2025-06-18", true, false}, {"2025-11-25", true, true}} {
		t.Run(tt.version, func(t *testing.T) {
			l := startLaster(t)
			r := newRig(t, l.record("one"))
			c := r.clientOf(tt.version, r.token("user", "alice"), `{}`)
			call := c.lasting(l, "r1")
			first := call.must()
			if (first.data == "") != tt.primed || (first.id != "") != tt.ids || (first.retry != "") != tt.primed {
				t.Errorf("the stream begins with %q", first)
			}
			call.drop()
			if !tt.ids {
				l.say <- "!done"
				return
			}
			l.say <- "r2"
			l.say <- "!done"
			want := []string{`"r2"`, `"done"`}
			if tt.primed {
				want = append([]string{`"r1"`}, want...)
			}
			wantData(t, "missed", c.resume(first.id).rest(), want...)
		})
	}
}

// clientOf opens a session of one revision.
func (r *rig) clientOf(version, token, capabilities string) *client {
	r.t.Helper()
	c := &client{rig: r, token: token, path: "/mcp", era: "legacy", header: http.Header{}}
	a := c.post(`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"` + version + `","capabilities":` + capabilities + `,"clientInfo":{"name":"c","version":"1"}}}`)
	if c.session = a.header.Get("Mcp-Session-Id"); c.session == "" {
		r.t.Fatalf("initialize: %d %s", a.status, a.body)
	}
	return c
}

// TestCallsWithoutClientsAreBounded: in number, in time, by the end of their session and of the program.
func TestCallsWithoutClientsAreBounded(t *testing.T) {
	clock := newClock()
	for _, tt := range []struct {
		name   string
		change func(*proxy.Resuming)
		end    func(*rig, *client)
		passes time.Duration // again and again
		after  int           // how many are cut off
	}{
		{name: "in number", change: func(r *proxy.Resuming) { r.PerUser = 1 }, after: 2},
		{name: "in number overall", change: func(r *proxy.Resuming) { r.All = 2 }, after: 1},
		{name: "in time", passes: time.Minute, after: 3},
		{name: "by the session", end: func(r *rig, c *client) { c.do(c.request(http.MethodDelete, nil)) }, after: 3},
		{name: "by the program", end: func(r *rig, c *client) { r.proxy.Drain(c.rig.t.Context()) }, after: 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := startLaster(t)
			r := newRigWith(t, func(c *proxy.Config) {
				c.Now = clock.now
				if tt.change != nil {
					tt.change(&c.Resuming)
				}
			}, l.record("one"))
			c := r.client("legacy", "/mcp", r.token("user", "alice"))
			l.greets = true
			for range 3 {
				call := c.lasting(nil, "")
				call.must()
				call.drop()
			}
			if tt.end != nil {
				tt.end(r, c)
			}
			waitFor(t, func() bool {
				clock.add(tt.passes)
				return len(l.gone) == tt.after
			})
			for range 3 - tt.after {
				l.say <- "!done"
			}
			waitFor(t, func() bool {
				records, _ := os.ReadFile(r.audit)
				return strings.Count(string(records), `"outcome":`) == 3
			})
		})
	}
}

// TestAQuestionOutlivesTheConnection: the client that comes back is asked, and its answer reaches the server.
func TestAQuestionOutlivesTheConnection(t *testing.T) {
	everyServer := eras
	for _, era := range everyServer {
		t.Run(era+" server", func(t *testing.T) {
			a := startAsker(t, era)
			r := newRig(t, a.record("one"))
			c := r.clientWith("legacy", "/mcp", r.token("user", "alice"), ableToAll)
			call := c.connect(c.asked("tools/call", "one__ask", `"name":"one__ask","arguments":{"ask":`+asking("roots/list", "")+`}`, ""))
			prime, q := call.must(), call.must()
			call.drop()
			back := c.resume(prime.id)
			if again := back.must(); again != q || !strings.Contains(q.data, "roots/list") {
				t.Errorf("asked %q, and after coming back %q", q, again)
			}
			if got := c.respond([]byte(between(q.data, `"id":`, `,`)), `{"roots":[]}`); got.status != http.StatusAccepted {
				t.Errorf("the answer: %d %s", got.status, got.body)
			}
			got := back.rest()
			if len(got) != 1 || !strings.Contains(got[0].data, `{\"roots\":[]}`) {
				t.Errorf("the outcome is %q", got)
			}
		})
	}
}

func between(text, before, after string) string {
	_, rest, _ := strings.Cut(text, before)
	value, _, _ := strings.Cut(rest, after)
	return value
}

// TestAServerThatWantsToBePolled: the client polls as well, and has the answer from there.
func TestAServerThatWantsToBePolled(t *testing.T) {
	var mu sync.Mutex
	var id string
	goOn := make(chan struct{})
	f := startFake(t, "legacy", tool("last"))
	f.call = func(w http.ResponseWriter, _ *http.Request, m seen) {
		mu.Lock()
		id = string(m.ID)
		mu.Unlock()
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "id: e1\nretry: 20\ndata:\n\n")
	}
	f.get = func(w http.ResponseWriter, r *http.Request) {
		<-goOn
		mu.Lock()
		defer mu.Unlock()
		w.Header().Set("Content-Type", "text/event-stream")
		if r.Header.Get("Last-Event-ID") == "e1" {
			fmt.Fprintf(w, "id: e2\ndata: {\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{\"content\":[]}}\n\n", id)
		}
	}
	for _, tt := range []struct {
		version string
		polls   bool
	}{{"2025-11-25", true}, {"2025-06-18", false}} {
		t.Run(tt.version, func(t *testing.T) {
			goOn = make(chan struct{})
			r := newRig(t, f.record("one"))
			c := r.clientOf(tt.version, r.token("user", "alice"), `{}`)
			if !tt.polls {
				close(goOn)
				if got := c.call("one__last", `{}`); got.raw.status != http.StatusOK || got.code != 0 || len(got.raw.events) > 0 {
					t.Errorf("the answer: %s", got.raw.body)
				}
				return
			}
			first := c.lasting(nil, "").rest()
			if len(first) != 1 || first[0].data != "" || first[0].retry != "20" {
				t.Fatalf("the connection had %q", first)
			}
			close(goOn)
			wantData(t, "polling", c.resume(first[0].id).rest(), `"id":1,"result":{"content":[]}`)
		})
	}
}

// TestStandingStreamsAreTakenUp: what was said while the client was away, on the stream that it had, and what has become of the lists.
func TestStandingStreamsAreTakenUp(t *testing.T) {
	a := startAsker(t, "legacy")
	streams := standOn(a.fakeServer)
	clock := newClock()
	r := newRigWith(t, func(c *proxy.Config) { c.Now = clock.now }, a.record("one"))
	c := r.clientWith("legacy", "/mcp", r.token("user", "alice"), ableToAll)
	c.list()
	log := func(text string) string {
		return `{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"` + text + `"}}`
	}
	first := c.resume("")
	prime := first.must()
	if prime.data != "" || prime.id == "" {
		t.Errorf("the stream begins with %q", prime)
	}
	c.again(`{"ask":[]}`, "")
	session := <-streams.opened
	streams.say(session, log("one"))
	one := first.must()
	first.drop()
	streams.say(session, log("two"))
	second := c.resume(one.id)
	two := second.must()
	wantData(t, "missed", []event{two}, log("two"))
	streams.say(session, log("three"))
	wantData(t, "then", []event{second.must()}, log("three"))
	beside := c.resume("")
	if fresh := beside.must(); fresh.id == prime.id || fresh.data != "" {
		t.Errorf("a new stream begins with %q", fresh)
	}
	second.drop()
	next := make(chan event, 1)
	go func() {
		e, _ := beside.next()
		next <- e
	}()
	for heard := false; !heard; { // once the first is known to be gone, the other one is the one, and it has nothing of what the first had
		streams.say(session, log("four"))
		select {
		case e := <-next:
			wantData(t, "beside", []event{e}, log("four"))
			heard = true
		case <-time.After(time.Millisecond):
		}
	}
	beside.drop()

	// What the lists are now is told, where they are others than when the client went.
	a.setTools(tool("ask"), tool("more"))
	third := c.resume(two.id)
	r.load(a.record("one"), a.record("two"))
	c.list()
	for told := ""; !strings.Contains(told, "notifications/tools/list_changed"); {
		told = third.must().data
	}
	third.drop()

	// After too long it is a new stream, which says that the lists may be others.
	waitFor(t, func() bool {
		clock.add(2 * time.Minute)
		last := c.resume(two.id)
		defer last.drop()
		e := last.must()
		if e.data != "" || e.id == two.id {
			return false
		}
		return strings.Contains(last.must().data, "notifications/tools/list_changed")
	})
}

// TestAServersQuestionWaitsForAClientThatComesBack, and not for ever.
func TestAServersQuestionWaitsForAClientThatComesBack(t *testing.T) {
	a := startAsker(t, "legacy")
	streams := standOn(a.fakeServer)
	clock := newClock()
	r := newRigWith(t, func(c *proxy.Config) { c.Now = clock.now }, a.record("one"))
	c := r.clientWith("legacy", "/mcp", r.token("user", "alice"), ableToAll)
	c.list()
	first := c.resume("")
	prime := first.must()
	c.again(`{"ask":[]}`, "")
	session := <-streams.opened
	first.drop()
	streams.say(session, `{"jsonrpc":"2.0","id":"s-1","method":"roots/list"}`)
	second := c.resume(prime.id)
	q := second.must()
	if got := c.respond([]byte(between(q.data, `"id":`, `,`)), `{"roots":[]}`); got.status != http.StatusAccepted {
		t.Errorf("the answer: %d %s", got.status, got.body)
	}
	second.drop()
	streams.say(session, `{"jsonrpc":"2.0","id":"s-2","method":"roots/list"}`)
	waitFor(t, func() bool {
		clock.add(time.Minute)
		return slices.ContainsFunc(a.seenOf(""), func(m seen) bool { return strings.Contains(m.Body, `"id":"s-2","error"`) })
	})
	if answered := a.seenOf(""); !strings.Contains(answered[0].Body, `"id":"s-1","result":{"roots":[]}`) {
		t.Errorf("the server had %+v", answered)
	}
}

// handClock is a clock that a test sets.
type handClock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *handClock { return &handClock{at: time.Now()} }

func (c *handClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *handClock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// TestWhatHasArrivedMakesRoom, and never what a client may still come back for: not for all that others have.
func TestWhatHasArrivedMakesRoom(t *testing.T) {
	l := startLaster(t)
	r := newRigWith(t, func(c *proxy.Config) { c.Resuming.Overall = 4000 }, l.record("one"))
	hers, his := r.client("legacy", "/mcp", r.token("user", "alice")), r.client("legacy", "/mcp", r.token("user", "bob"))
	first := hers.lasting(l, "r1")
	prime := first.must()
	first.must()
	second := hers.resume(prime.id) // the first is over, from where the server is
	second.must()
	second.drop()
	l.say <- "!kept"
	call := his.lasting(l, "r1")
	arrived := call.must()
	l.say <- "!" + strings.Repeat("x", 2000)
	call.rest()
	waitFor(t, func() bool { return len(his.resume(arrived.id).rest()) == 1 })
	wantData(t, "what is hers", hers.resume(prime.id).rest(), `"r1"`, `"kept"`)
}

// restless is grants that change whenever somebody looks at them.
type restless struct {
	*fakeGrants
	changed atomic.Pointer[func()]
}

func (g *restless) Token(ctx context.Context, server *configstore.Server, user string, refused secret.Value) (secret.Value, error) {
	if changed := g.changed.Load(); changed != nil {
		(*changed)()
	}
	return g.fakeGrants.Token(ctx, server, user, refused)
}

// TestComingBackWhileSomethingChanges: a stream that is resumed looks at the lists anew, and does not wait to be told to while it is told so by others.
func TestComingBackWhileSomethingChanges(t *testing.T) {
	g := &restless{fakeGrants: &fakeGrants{tokens: map[string][]string{}}}
	g.give("alice", "one")
	server := startFake(t, "legacy", tool("read")).record("one", oauth)
	r := newRigWith(t, func(c *proxy.Config) { c.Grants = g }, server)
	c := r.client("legacy", "/mcp", r.token("user", "alice"))
	first := c.connect(c.back(""))
	id := first.must().id
	first.drop()
	changed := func() { r.proxy.GrantChanged(server.ID, "bob") }
	g.changed.Store(&changed)
	c.resume(id).drop()
}

// TestDrainingLeavesTheWayBackOpen: what belongs to a call under way is no new work.
func TestDrainingLeavesTheWayBackOpen(t *testing.T) {
	l := startLaster(t)
	r := newRig(t, l.record("one"))
	token := r.token("user", "alice")
	c, idle := r.client("legacy", "/mcp", token), r.client("legacy", "/mcp", token)
	call := c.lasting(l, "r1")
	prime := call.must()
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		r.proxy.Drain(t.Context())
	}()
	ping := `{"jsonrpc":"2.0","id":7,"method":"ping"}`
	waitFor(t, func() bool { return c.post(ping).status == http.StatusServiceUnavailable })
	call.drop()
	for what, got := range map[string]answer{
		"a standing stream":               c.do(c.back("")),
		"another session's notification":  idle.post(`{"jsonrpc":"2.0","method":"notifications/progress"}`),
		"another session's way back":      idle.do(idle.back(prime.id)),
		"a request of no session":         r.client("modern", "/mcp", token).ask("tools/list", "", "", ""),
		"a session that nobody knows of.": (&client{rig: r, token: token, path: "/mcp", session: "x", header: http.Header{}}).post(ping),
	} {
		if got.status != http.StatusServiceUnavailable {
			t.Errorf("%s: %d", what, got.status)
		}
	}
	back := c.resume(prime.id)
	if got := c.post(`{"jsonrpc":"2.0","method":"notifications/progress"}`); got.status != http.StatusAccepted {
		t.Errorf("a notification: %d %s", got.status, got.body)
	}
	if got := c.respond([]byte(`"nothing"`), `{}`); got.status != http.StatusBadRequest {
		t.Errorf("an answer that nobody waits for: %d %s", got.status, got.body)
	}
	l.say <- "!done"
	wantData(t, "the answer", back.rest(), `"r1"`, `"done"`)
	<-drained
}
