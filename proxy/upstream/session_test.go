package upstream_test

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"mcpsidecar/proxy/rpc"
	"mcpsidecar/proxy/upstream"
)

// sessions makes a server give out session-1, session-2, ... and know only the last.
func sessions(server *mcpServer) *mcpServer {
	var n atomic.Int64
	current := func() string { return "session-" + string('0'+rune(n.Load())) }
	greet := server.on["initialize"]
	server.on["initialize"] = func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
		n.Add(1)
		greet(headerSetter{w, current()}, r, m)
	}
	return server
}

// headerSetter overrides the session id that a handler sets.
type headerSetter struct {
	http.ResponseWriter
	session string
}

func (h headerSetter) Write(p []byte) (int, error) {
	h.Header().Set("Mcp-Session-Id", h.session)
	return h.ResponseWriter.Write(p)
}

func TestSession(t *testing.T) {
	t.Run("is opened by the first request, used, and deleted", func(t *testing.T) {
		server := legacyServer(nil)
		var open atomic.Int64
		s := connect(t, serve(t, server), func(c *upstream.Config) { c.Session = func(d int) { open.Add(int64(d)) } })
		if len(server.heard) != 0 {
			t.Fatalf("before any request the server heard %q", server.heard)
		}
		mustAnswer(t, s.Conn)
		if h := server.lastHeader(); h.Get("Mcp-Session-Id") != "session-1" || h.Get("Mcp-Protocol-Version") != "2025-11-25" || h.Get("Mcp-Method") != "" {
			t.Errorf("the call had the headers %v", h)
		}
		if open.Load() != 1 {
			t.Errorf("%d sessions are counted", open.Load())
		}
		s.Conn.Close(t.Context())
		if h := server.lastHeader(); h.Get("Mcp-Session-Id") != "session-1" {
			t.Errorf("DELETE had the headers %v", h)
		}
		want := []string{"server/discover", "initialize", "notifications/initialized", "tools/call", "DELETE"}
		if !slices.Equal(server.heard, want) {
			t.Errorf("the server heard %q, want %q", server.heard, want)
		}
		if open.Load() != 0 {
			t.Errorf("%d sessions are counted after Close", open.Load())
		}
		_, _, failure := finish(t, s.Conn, toolCall)
		wantFailure(t, failure, upstream.Canceled, false)
	})
	t.Run("ends with the Server too", func(t *testing.T) {
		server := legacyServer(nil)
		s := connect(t, serve(t, server))
		mustAnswer(t, s.Conn)
		s.Server.Close()
		if server.count("DELETE") != 1 {
			t.Error("the session was left behind")
		}
		s.Server.Close()
		_, _, failure := finish(t, s.Server.Conn(upstream.ConnConfig{Header: noHeaders}), toolCall)
		wantFailure(t, failure, upstream.Canceled, false)
	})
	t.Run("is opened once for many callers", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			server := legacyServer(nil)
			s := connect(t, "", inMemory(t, server))
			var group sync.WaitGroup
			for range 30 {
				group.Go(func() { mustAnswer(t, s.Conn) })
			}
			group.Wait()
			if n := server.count("initialize"); n != 1 {
				t.Errorf("initialize was sent %d times", n)
			}
		})
	})
}

func TestProtocolVersionAtLegacyServers(t *testing.T) {
	for _, tt := range []struct {
		name, preferred, asked, chosen string
		header                         string
		fails                          bool
	}{
		{name: "the newest by default", asked: "2025-11-25", chosen: "2025-11-25", header: "2025-11-25"},
		{name: "the client's own", preferred: "2025-06-18", asked: "2025-06-18", chosen: "2025-06-18", header: "2025-06-18"},
		{name: "no header before it was known", preferred: "2025-03-26", asked: "2025-03-26", chosen: "2025-03-26"},
		{name: "the server may choose an older one", asked: "2025-11-25", chosen: "2024-11-05"},
		{name: "a modern client's is not asked of a legacy server", preferred: "2026-07-28", asked: "2025-11-25", chosen: "2025-11-25", header: "2025-11-25"},
		{name: "one that nobody knows", asked: "2025-11-25", chosen: "1999-01-01", fails: true},
		{name: "none", asked: "2025-11-25", chosen: "", fails: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := legacyServer(nil)
			var asked string
			server.on["initialize"] = func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
				asked, _ = rpc.String(rpc.Find(m.Params, "protocolVersion"))
				result(`{"protocolVersion":"`+tt.chosen+`","capabilities":{},"serverInfo":{"name":"x","version":"1"}}`)(w, r, m)
			}
			s := connect(t, serve(t, server))
			c := s.Server.Conn(upstream.ConnConfig{Header: noHeaders, Version: tt.preferred})
			_, _, failure := finish(t, c, toolCall)
			if asked != tt.asked {
				t.Errorf("asked for %q, want %q", asked, tt.asked)
			}
			if tt.fails {
				wantFailure(t, failure, upstream.Malformed, false)
				return
			}
			if failure != nil {
				t.Fatal(failure)
			}
			if got := server.lastHeader().Get("Mcp-Protocol-Version"); got != tt.header {
				t.Errorf("the header is %q, want %q", got, tt.header)
			}
		})
	}
}

// U-09: what a server says that has forgotten a session, and what comes of it.
func TestForgottenSession(t *testing.T) {
	for _, tt := range []struct {
		name    string
		says    handler
		renewed bool // and the call made again
		later   bool // the next call has a new session
	}{
		{"404", status(404, "session not found"), true, false},
		{"404 as JSON-RPC", refusal(404, "null", `{"code":-32001,"message":"Session not found"}`), true, false},
		{"404 with our id", refusal(404, "", `{"code":-32001,"message":"Session not found"}`), true, false},
		{"400 that speaks of a session", refusal(400, "null", `{"code":-32000,"message":"Bad Request: No valid session ID provided"}`), true, false},
		{"400 with an id of the server's own", refusal(400, `"server-error"`, `{"code":-32600,"message":"Bad Request: No valid session ID provided"}`), true, false},
		{"400 that does not", refusal(400, "null", `{"code":-32602,"message":"the arguments are wrong"}`), false, false},
		{"400 with our id, so that it may have run", refusal(400, "", `{"code":-32000,"message":"the session of the account was closed"}`), false, true},
		{"404 for a method that is not known", refusal(404, "", `{"code":-32601,"message":"no"}`), false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := sessions(legacyServer(nil))
			c := connect(t, serve(t, server))
			server.on["tools/call"] = func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
				if r.Header.Get("Mcp-Session-Id") == "session-1" {
					tt.says(w, r, m)
					return
				}
				result(`{"session":2}`)(w, r, m)
			}
			m := mustAnswer(t, c.Conn)
			if renewed := string(m.Result) == `{"session":2}`; renewed != tt.renewed {
				t.Errorf("got %s%s", m.Result, m.Error)
			}
			if want := map[bool]int{true: 2, false: 1}[tt.renewed]; server.count("initialize") != want || server.count("tools/call") != want {
				t.Errorf("the server heard %q", server.heard)
			}
			if m = mustAnswer(t, c.Conn); (string(m.Result) == `{"session":2}`) != (tt.renewed || tt.later) {
				t.Errorf("the next one got %s%s", m.Result, m.Error)
			}
		})
	}
}

func TestSessionIsNotRenewedInALoop(t *testing.T) {
	server := sessions(legacyServer(status(404, "session not found")))
	c := connect(t, serve(t, server))
	for i := range 3 {
		_, _, failure := finish(t, c.Conn, toolCall)
		wantFailure(t, failure, upstream.Status, false)
		if calls := server.count("tools/call"); calls != 2*(i+1) {
			t.Errorf("after %d calls the server heard %d", i+1, calls)
		}
	}
}

// One Conn's lost session is no other's business.
func TestOnlyTheLostSessionIsRenewed(t *testing.T) {
	server := legacyServer(nil)
	s := connect(t, serve(t, server))
	other := s.Server.Conn(upstream.ConnConfig{Header: noHeaders})
	mustAnswer(t, other)
	lost := true
	server.set("tools/call", func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
		if lost {
			lost = false
			w.WriteHeader(http.StatusNotFound)
			return
		}
		result(`{}`)(w, r, m)
	})
	mustAnswer(t, s.Conn)
	before := server.count("initialize")
	mustAnswer(t, other)
	if after := server.count("initialize"); after != before {
		t.Error("the other session was renewed too")
	}
}

func TestInitializeThatFails(t *testing.T) {
	for _, tt := range []struct {
		name string
		says handler
		kind upstream.FailureKind
	}{
		{"a JSON-RPC error", refusal(200, "", `{"code":-32603,"message":"no"}`), upstream.Refused},
		{"an HTTP status", status(400, "no"), upstream.Status},
		{"no object", result(`{"capabilities":7}`), upstream.Malformed},
		{"an id that splits headers", func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
			w.Header().Set("Mcp-Session-Id", "a b")
			result(`{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{}}`)(w, r, m)
		}, upstream.Malformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := legacyServer(nil)
			good := server.on["initialize"]
			server.on["initialize"] = tt.says
			c := connect(t, serve(t, server))
			_, _, failure := finish(t, c.Conn, toolCall)
			wantFailure(t, failure, tt.kind, false)
			server.set("initialize", good)
			mustAnswer(t, c.Conn)
		})
	}
}

func TestSend(t *testing.T) {
	server := sessions(legacyServer(nil))
	c := connect(t, serve(t, server))
	var params string
	var lost atomic.Bool
	server.on["notifications/roots/list_changed"] = func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
		if lost.Swap(false) {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		params = string(m.Params)
		w.WriteHeader(http.StatusAccepted)
	}
	send := func() error {
		return c.Send(context.WithoutCancel(t.Context()), "notifications/roots/list_changed", []rpc.Member{{Name: "a", Value: []byte("1")}})
	}
	if err := send(); err != nil || params != `{"a":1}` {
		t.Errorf("the server got %q: %v", params, err)
	}
	lost.Store(true)
	if err := send(); err != nil || server.count("initialize") != 2 {
		t.Errorf("after the session was lost: %v", err)
	}
	server.set("notifications/roots/list_changed", status(500, ""))
	wantFailure(t, asFailure(t, send()), upstream.Status, true)
}
