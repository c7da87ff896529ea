package proxy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
)

// teller is a server of either era that tells of changes of its resources. Its tool "touch" changes one, of which it tells only the session that called; say changes one by itself, of which it tells everybody.
type teller struct {
	*fakeServer
	stock  *stock
	events chan string // receives what it is asked about subscriptions

	mu       sync.Mutex
	sessions int
	known    map[string]bool            // sessions
	wanted   map[string]map[string]bool // by session
	streams  map[*tellerStream]bool
	most     int // streams at once
}

type tellerStream struct {
	session string
	wanted  map[string]bool // of a modern one
	say     chan string
	end     context.CancelFunc
}

const telling = `{"tools":{},"resources":{"subscribe":true}}`

func startTeller(t *testing.T, era string, uris ...string) *teller {
	t.Helper()
	s := &stock{capabilities: telling}
	for _, uri := range uris {
		s.resources = append(s.resources, resource(uri))
	}
	l := &teller{fakeServer: startFake(t, era, tool("touch"), tool("x")), stock: s, events: make(chan string, 256),
		known: map[string]bool{}, wanted: map[string]map[string]bool{}, streams: map[*tellerStream]bool{}}
	l.before = l.answer
	l.get = func(w http.ResponseWriter, r *http.Request) {
		session := r.Header.Get("Mcp-Session-Id")
		if !l.knows(session) {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		l.stream(w, r, &tellerStream{session: session}, "")
	}
	return l
}

func (l *teller) knows(session string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.known[session]
}

func (l *teller) answer(w http.ResponseWriter, r *http.Request, m seen) bool {
	session := r.Header.Get("Mcp-Session-Id")
	if l.era == "legacy" && m.ID != nil && m.Params.Meta.Version == "" && m.Method != "initialize" && !l.knows(session) {
		w.WriteHeader(http.StatusNotFound)
		return true
	}
	var uri string
	json.Unmarshal([]byte(m.field("uri")), &uri)
	switch m.Method {
	case "initialize":
		l.mu.Lock()
		l.sessions++
		session = fmt.Sprint("teller-", l.sessions)
		l.known[session] = true
		l.mu.Unlock()
		w.Header().Set("Mcp-Session-Id", session)
		w.Header().Set("Content-Type", "application/json")
		reply(w, m, `{"protocolVersion":"2025-11-25","capabilities":`+l.stock.capabilities+`,"serverInfo":{"name":"fake","version":"1"}}`)
		return true
	case "resources/subscribe", "resources/unsubscribe":
		l.events <- m.Method + " " + uri
		l.subscribe(w, m, session, uri)
		return true
	case "subscriptions/listen":
		l.listen(w, r, m)
		return true
	case "tools/call":
		if m.Params.Name == "touch" {
			var arguments struct{ URI string }
			json.Unmarshal(m.Params.Arguments, &arguments)
			l.tell(arguments.URI, func(st *tellerStream) bool { return st.session == session })
		}
		return false
	}
	return l.stock.serve(l.fakeServer, w, m)
}

func (l *teller) subscribe(w http.ResponseWriter, m seen, session, uri string) {
	w.Header().Set("Content-Type", "application/json")
	if strings.Contains(uri, "missing") {
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"error":{"code":-32002,"message":"Resource not found","data":{"uri":%q}}}`, m.ID, uri)
		return
	}
	l.mu.Lock()
	if l.wanted[session] == nil {
		l.wanted[session] = map[string]bool{}
	}
	l.wanted[session][uri] = m.Method == "resources/subscribe"
	l.mu.Unlock()
	reply(w, m, `{}`)
}

func (l *teller) listen(w http.ResponseWriter, r *http.Request, m seen) {
	var filter struct{ ResourceSubscriptions []string }
	json.Unmarshal([]byte(m.field("notifications")), &filter)
	l.events <- "listen " + strings.Join(filter.ResourceSubscriptions, " ")
	st := &tellerStream{wanted: map[string]bool{}}
	granted := []string{}
	for _, uri := range filter.ResourceSubscriptions {
		if !strings.Contains(uri, "missing") {
			st.wanted[uri] = true
			granted = append(granted, uri)
		}
	}
	list, _ := json.Marshal(granted)
	l.stream(w, r, st, fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":%s},"notifications":{"resourceSubscriptions":%s}}}`, m.ID, list))
}

func (l *teller) stream(w http.ResponseWriter, r *http.Request, st *tellerStream, first string) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	st.say, st.end = make(chan string, 256), cancel
	l.mu.Lock()
	l.streams[st] = true
	l.most = max(l.most, len(l.streams))
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		delete(l.streams, st)
		l.mu.Unlock()
	}()
	w.Header().Set("Content-Type", "text/event-stream")
	if first != "" {
		fmt.Fprintf(w, "data: %s\n\n", first)
	}
	w.(http.Flusher).Flush()
	for {
		select {
		case text := <-st.say:
			fmt.Fprintf(w, "data: %s\n\n", text)
			w.(http.Flusher).Flush()
		case <-ctx.Done():
			return
		}
	}
}

// tell says that a resource is updated on the streams where it is wanted and that are picked; how many there were is returned.
func (l *teller) tell(uri string, pick func(*tellerStream) bool) (told int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for st := range l.streams {
		if !pick(st) || !l.wants(st, uri) {
			continue
		}
		told++
		st.say <- fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":%q,"_meta":{"io.modelcontextprotocol/subscriptionId":7}}}`, uri)
	}
	return told
}

// wants says whether a stream wants a resource, or what it is a part of. The caller holds mu.
func (l *teller) wants(st *tellerStream, uri string) bool {
	wanted := st.wanted
	if l.era == "legacy" {
		wanted = l.wanted[st.session]
	}
	for whole, yes := range wanted {
		if yes && strings.HasPrefix(uri, whole) {
			return true
		}
	}
	return false
}

func (l *teller) say(uri string) int {
	return l.tell(uri, func(*tellerStream) bool { return true })
}

// restart forgets every session and stream.
func (l *teller) restart() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.known, l.wanted = map[string]bool{}, map[string]map[string]bool{}
	for st := range l.streams {
		st.end()
	}
}

// watched are the resources that anybody is subscribed to at present, with the number of subscriptions.
func (l *teller) watched() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := map[string]int{}
	if l.era == "legacy" {
		for st := range l.streams { // without it a subscription is worth nothing
			for uri, yes := range l.wanted[st.session] {
				if yes {
					all[uri]++
				}
			}
		}
		return all
	}
	for st := range l.streams {
		for uri := range st.wanted {
			all[uri]++
		}
	}
	return all
}

func (l *teller) isWatched(t *testing.T, uris ...string) {
	t.Helper()
	waitFor(t, func() bool {
		got := []string{}
		for uri := range l.watched() {
			got = append(got, uri)
		}
		slices.Sort(got)
		return slices.Equal(got, uris) || len(got) == 0 && len(uris) == 0
	})
}

// follower is a client that has subscribed, and hears.
type follower struct {
	*client
	heard <-chan string
	end   context.CancelFunc
	id    int // of its subscriptions/listen
}

// follow subscribes in the client's own way, and listens.
func (c *client) follow(uris ...string) *follower {
	c.rig.t.Helper()
	ctx, cancel := context.WithCancel(c.rig.t.Context())
	f := &follower{client: c, end: cancel}
	if c.era == "legacy" {
		f.heard = c.listenTo(ctx, "")
		for _, uri := range uris {
			if got := c.subscribe(uri); string(got.Result) != `{}` {
				c.rig.t.Fatalf("subscribing to %s: %+v", uri, got.Error)
			}
		}
		return f
	}
	wanted := `{}`
	if len(uris) > 0 {
		list, _ := json.Marshal(uris)
		wanted = `{"resourceSubscriptions":` + string(list) + `}`
	}
	f.id = c.nextID + 1
	f.heard = c.listenTo(ctx, wanted)
	want := fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":%d},"notifications":%s}}`, f.id, wanted)
	if got := <-f.heard; got != want {
		c.rig.t.Fatalf("acknowledged: %s, want %s", got, want)
	}
	return f
}

func (c *client) subscribe(uri string) message {
	c.rig.t.Helper()
	return c.ask("resources/subscribe", "", fmt.Sprintf(`"uri":%q`, uri), "").last(c.rig.t)
}

// unfollow ends it in the client's own way.
func (f *follower) unfollow(uris ...string) {
	f.rig.t.Helper()
	if f.era == "legacy" {
		for _, uri := range uris {
			if got := f.ask("resources/unsubscribe", "", fmt.Sprintf(`"uri":%q`, uri), "").last(f.rig.t); string(got.Result) != `{}` {
				f.rig.t.Errorf("unsubscribing from %s: %+v", uri, got.Error)
			}
		}
		return
	}
	f.end()
	for range f.heard {
	}
}

// next is the next notification that is not about lists, of which a legacy client is always told.
func (f *follower) next() string {
	for got := range f.heard {
		if f.era == "modern" || !strings.Contains(got, "list_changed") {
			return got
		}
	}
	return "the end"
}

// wantUpdate waits for the next notification, which has to be this one exactly.
func (f *follower) wantUpdate(uri string) {
	f.rig.t.Helper()
	tag := ""
	if f.era == "modern" {
		tag = fmt.Sprintf(`,"_meta":{"io.modelcontextprotocol/subscriptionId":%d}`, f.id)
	}
	want := fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":%q%s}}`, uri, tag)
	if got := f.next(); got != want {
		f.rig.t.Fatalf("heard %s, want %s", got, want)
	}
}
