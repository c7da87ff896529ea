package upstream_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mcpsidecar/proxy/rpc"
	"mcpsidecar/proxy/upstream"
)

// pages answers each cursor with its page; the first page has none.
func pages(byCursor map[string]string) handler {
	return func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
		cursor := string(rpc.Find(m.Params, "cursor"))
		page, ok := byCursor[cursor]
		if !ok {
			page = byCursor["*"]
		}
		result(strings.ReplaceAll(page, "%N", fmt.Sprint(len(cursor))))(w, r, m)
	}
}

func TestList(t *testing.T) {
	const never = -1
	for _, tt := range []struct {
		name    string
		says    handler
		legacy  bool
		want    string // the elements, joined
		ttl     time.Duration
		private bool
		fails   upstream.FailureKind
		asked   int // 0: once
	}{
		{name: "one page", says: result(`{"tools":[{"name":"a"},{"name":"b"}]}`), want: `{"name":"a"} {"name":"b"}`, ttl: never},
		{name: "none", says: result(`{"tools":[]}`), ttl: never},
		{name: "three pages", says: pages(map[string]string{"": `{"tools":[1],"nextCursor":"x"}`, `"x"`: `{"tools":[2,3],"nextCursor":"y"}`, `"y"`: `{"tools":[4]}`}), want: "1 2 3 4", ttl: never, asked: 3},
		{name: "an empty cursor is one", says: pages(map[string]string{"": `{"tools":[1],"nextCursor":""}`, `""`: `{"tools":[2]}`}), want: "1 2", ttl: never, asked: 2},
		{name: "a null cursor is none", says: result(`{"tools":[1],"nextCursor":null}`), want: "1", ttl: never},
		{name: "a cursor is sent as it came", says: pages(map[string]string{"": `{"tools":[1],"nextCursor":"\u0041"}`, `"\u0041"`: `{"tools":[2]}`}), want: "1 2", ttl: never, asked: 2},
		{name: "the shortest time, and private if any page is", ttl: 2 * time.Second, private: true, want: "1 2", asked: 2,
			says: pages(map[string]string{"": `{"tools":[1],"nextCursor":"x","ttlMs":5000,"cacheScope":"public"}`, `"x"`: `{"tools":[2],"ttlMs":2000,"cacheScope":"private"}`})},
		{name: "a time that cannot be read", says: result(`{"tools":[1],"ttlMs":"soon","cacheScope":7}`), want: "1", ttl: 0, private: true},
		{name: "a negative time", says: result(`{"tools":[1],"ttlMs":-5}`), want: "1", ttl: 0},
		{name: "a time beyond all bounds", says: result(`{"tools":[1],"ttlMs":1e300}`), want: "1", ttl: 24 * time.Hour},
		{name: "legacy servers say nothing about caching", legacy: true, says: result(`{"tools":[1],"ttlMs":5000,"cacheScope":"private"}`), want: "1", ttl: never},
		{name: "a server without such a list", says: refusal(404, "", `{"code":-32601,"message":"no"}`), ttl: never},

		//
		{name: "the same cursor again and again", says: result(`{"tools":[1],"nextCursor":"x"}`), fails: upstream.Malformed, asked: 2},
		{name: "an empty cursor again and again", says: result(`{"tools":[1],"nextCursor":""}`), fails: upstream.Malformed, asked: 2},
		{name: "two cursors in turn", says: pages(map[string]string{"": `{"tools":[],"nextCursor":"x"}`, `"x"`: `{"tools":[],"nextCursor":"y"}`, `"y"`: `{"tools":[],"nextCursor":"x"}`}), fails: upstream.Malformed, asked: 3},
		{name: "the same cursor in other words", says: pages(map[string]string{"": `{"tools":[],"nextCursor":"A"}`, `"A"`: `{"tools":[],"nextCursor":"\u0041"}`}), fails: upstream.Malformed, asked: 2},
		{name: "ever new cursors", says: func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
			result(`{"tools":[1],"nextCursor":"`+strings.Repeat("x", len(m.ID)+len(rpc.Find(m.Params, "cursor")))+`"}`)(w, r, m)
		}, fails: upstream.Malformed, asked: 100},
		{name: "a cursor that is no string", says: result(`{"tools":[1],"nextCursor":7}`), fails: upstream.Malformed},
		{name: "no list", says: result(`{}`), fails: upstream.Malformed},
		{name: "a list that is none", says: result(`{"tools":{}}`), fails: upstream.Malformed},
		{name: "an error", says: refusal(200, "", `{"code":-32603,"message":"no"}`), fails: upstream.Refused},
		{name: "more than one message may hold", says: pages(map[string]string{"": `{"tools":["` + strings.Repeat("x", 9000) + `"],"nextCursor":"x"}`, `"x"`: `{"tools":["` + strings.Repeat("x", 9000) + `"]}`}), fails: upstream.TooLarge, asked: 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := modernServer(tt.says)
			if tt.legacy {
				server = legacyServer(tt.says)
			}
			c := connect(t, serve(t, server), limits(upstream.Limits{Message: 16 << 10}))
			elements, ttl, private, err := c.List(t.Context(), "tools/list", "tools")
			if asked := server.count("tools/list"); asked != max(tt.asked, 1) {
				t.Errorf("the server was asked %d times, want %d", asked, max(tt.asked, 1))
			}
			if tt.fails != "" {
				wantFailure(t, asFailure(t, err), tt.fails, false)
				return
			}
			var got []string
			for _, e := range elements {
				got = append(got, string(e))
			}
			if err != nil || strings.Join(got, " ") != tt.want || ttl != tt.ttl || private != tt.private {
				t.Errorf("got %q for %v, private: %v, %v; want %q for %v, private: %v", got, ttl, private, err, tt.want, tt.ttl, tt.private)
			}
		})
	}
}

// A list of very many very small things takes ten times its size once they are apart.
func TestAListHasAnEnd(t *testing.T) {
	server := modernServer(result(`{"tools":[` + strings.Repeat(`{},`, 1<<20) + `{}]}`))
	elements, _, _, err := connect(t, serve(t, server)).List(t.Context(), "tools/list", "tools")
	if err == nil {
		t.Fatalf("%d elements were kept", len(elements))
	}
	wantFailure(t, asFailure(t, err), upstream.Malformed, false)
}

// A list may be asked for twice, so a connection that breaks is no matter; but not three times.
func TestListIsAskedForAgain(t *testing.T) {
	for breaks, works := range map[int]bool{1: true, 2: false} {
		var broken atomic.Int64
		server := modernServer(func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
			if broken.Add(1) <= int64(breaks) {
				panic(http.ErrAbortHandler)
			}
			result(`{"tools":[]}`)(w, r, m)
		})
		_, _, _, err := connect(t, serve(t, server)).List(t.Context(), "tools/list", "tools")
		if (err == nil) != works || server.count("tools/list") != 2 {
			t.Errorf("after %d breaks: %v, asked %d times", breaks, err, server.count("tools/list"))
		}
	}
}

// listener runs Listen and tells what it hears.
func listener(t *testing.T, s setup, done chan<- error) (*upstream.Conn, <-chan string) {
	heard := make(chan string, 100)
	c := s.Server.Conn(upstream.ConnConfig{Header: noHeaders, Notify: func(m rpc.Message) { heard <- m.Method }})
	go func() { done <- c.Listen(t.Context()) }()
	return c, heard
}

const (
	toolsChanged   = "notifications/tools/list_changed"
	promptsChanged = "notifications/prompts/list_changed"
)

func notification(method string) string { return `{"jsonrpc":"2.0","method":"` + method + `"}` }

// The standing stream of either era and transport: it is heard, opened again when it ends, and ends with the Conn.
func TestListen(t *testing.T) {
	stream := then(events(notification("notifications/subscriptions/acknowledged"), notification(toolsChanged)), time.Minute, events(notification(promptsChanged)))
	gets := func(s *mcpServer) *mcpServer { s.on["GET"] = stream; return s }
	listens := func(s *mcpServer) *mcpServer {
		s.on["subscriptions/listen"] = func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
			if got := string(rpc.Find(m.Params, "notifications")); got != `{"toolsListChanged":true,"promptsListChanged":true,"resourcesListChanged":true}` || r.Header.Get("Mcp-Method") != "subscriptions/listen" {
				t.Errorf("it asked for %s with the headers %v", got, r.Header)
			}
			stream(w, r, m)
		}
		return s
	}
	sse := newSSEServer()
	sse.opening = "event: endpoint\ndata: /messages?id=%STREAM\n\ndata: " + notification(toolsChanged) + "\n\ndata: " + notification(promptsChanged) + "\n\n"
	for _, tt := range []struct {
		name   string
		server http.Handler
		sse    bool
	}{{"legacy", gets(legacyServer(nil)), false}, {"modern", listens(modernServer(nil)), false}, {"HTTP+SSE", sse, true}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				done := make(chan error, 1)
				s := connect(t, "", inMemory(t, tt.server), func(c *upstream.Config) { c.SSE = tt.sse })
				_, heard := listener(t, s, done)
				for range 3 {
					if a, b := <-heard, <-heard; a != toolsChanged || b != promptsChanged {
						t.Errorf("heard %s and %s", a, b)
					}
					if tt.sse {
						close(sse.last().cut)
					}
				}
				s.Server.Close()
				wantFailure(t, asFailure(t, <-done), upstream.Canceled, false)
			})
		})
	}
}

func TestListenWhereThereIsNothingToHear(t *testing.T) {
	for _, tt := range []struct {
		name   string
		server *mcpServer
		on     string
		says   handler
	}{
		{"legacy, 405", legacyServer(nil), "GET", status(405, "")},
		{"legacy, JSON", legacyServer(nil), "GET", result(`{}`)},
		{"modern, not known", modernServer(nil), "subscriptions/listen", refusal(404, "", `{"code":-32601,"message":"no"}`)},
		{"modern, not known, on a stream", modernServer(nil), "subscriptions/listen", events(`{"jsonrpc":"2.0","id":%ID,"error":{"code":-32601,"message":"no"}}`)},
		{"modern, not known, with 200", modernServer(nil), "subscriptions/listen", refusal(200, "", `{"code":-32601,"message":"no"}`)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.server.on[tt.on] = tt.says
			if err := connect(t, serve(t, tt.server)).Listen(t.Context()); err != nil {
				t.Error(err)
			}
			if n := tt.server.count(tt.on); n != 1 {
				t.Errorf("it was tried %d times", n)
			}
		})
	}
}

// A standing stream that cannot be had is tried again, ever more rarely.
func TestListenBacksOff(t *testing.T) {
	for name, says := range map[string]handler{"503": status(503, ""), "401": status(401, ""), "an early end": events(), "nonsense": events("{"), "a hang": hang} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := modernServer(nil)
				server.on["subscriptions/listen"] = says
				done := make(chan error, 1)
				s := connect(t, "", inMemory(t, server))
				listener(t, s, done)
				time.Sleep(time.Minute)
				if n := server.count("subscriptions/listen"); n < 3 || n > 12 {
					t.Errorf("in the first minute it was tried %d times", n)
				}
				time.Sleep(time.Hour)
				if n := server.count("subscriptions/listen"); n < 40 || n > 140 {
					t.Errorf("in an hour it was tried %d times", n)
				}
				s.Server.Close()
				<-done
			})
		})
	}
}

// A session that the server has forgotten is opened anew for the standing stream too, and questions on it are answered.
func TestListenAtALegacyServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := sessions(legacyServer(nil))
		replies := make(chan rpc.Message, 10)
		server.on["reply"] = func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
			replies <- copied(m)
			w.WriteHeader(http.StatusAccepted)
		}
		server.on["GET"] = func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
			if r.Header.Get("Mcp-Session-Id") == "session-1" {
				w.WriteHeader(http.StatusNotFound)
				return
			}
			events(`{"jsonrpc":"2.0","id":"p","method":"ping"}`)(w, r, m)
			if reply := <-replies; string(reply.Result) != "{}" {
				t.Errorf("the ping was answered with %+v", reply)
			}
			time.Sleep(time.Second)
			events(`{"jsonrpc":"2.0","id":"q","method":"roots/list"}`)(w, r, m)
			if reply := <-replies; reply.Kind != rpc.ErrorResponse {
				t.Errorf("the question was answered with %+v", reply)
			}
			events(notification(toolsChanged))(w, r, m)
			hang(w, r, m)
		}
		done := make(chan error, 1)
		s := connect(t, "", inMemory(t, server))
		_, heard := listener(t, s, done)
		if got := <-heard; got != toolsChanged {
			t.Errorf("heard %s", got)
		}
		time.Sleep(24 * time.Hour) // a stream that is silent stays
		if n := server.count("GET"); n != 2 {
			t.Errorf("the stream was opened %d times", n)
		}
		s.Server.Close()
		<-done
	})
}
