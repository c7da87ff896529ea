package upstream_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mcpsidecar/proxy/rpc"
	"mcpsidecar/proxy/upstream"
)

func TestEraIsReadOffTheFirstAnswer(t *testing.T) {
	const modern, legacy = upstream.Modern, upstream.Legacy
	for _, tt := range []struct {
		name     string
		discover handler
		era      upstream.Era
	}{
		{"a discover result", modernServer(nil).on["server/discover"], modern},
		{"a discover result of a server that knows both", result(`{"supportedVersions":["2025-11-25","2026-07-28"],"capabilities":{}}`), modern},
		{"a discover result that names legacy versions only", result(`{"supportedVersions":["2025-11-25","2025-06-18"],"capabilities":{}}`), legacy},
		{"a discover result as a stream", events(progress, `{"jsonrpc":"2.0","id":%ID,"result":{"supportedVersions":["2026-07-28"],"capabilities":{}}}`), modern},
		{"unsupported version, ours among the others", refusal(400, "", `{"code":-32022,"message":"no","data":{"supported":["2026-07-28"],"requested":"x"}}`), modern},
		{"unsupported version, legacy ones instead", refusal(400, "", `{"code":-32022,"message":"no","data":{"supported":["2025-11-25"],"requested":"x"}}`), legacy},
		{"header mismatch", refusal(400, "", `{"code":-32020,"message":"no"}`), modern},
		{"missing capability", refusal(400, "", `{"code":-32021,"message":"no"}`), modern},
		{"method not found with 200", refusal(200, "", `{"code":-32601,"message":"no"}`), legacy},
		{"method not found with 404, while initialize works", refusal(404, "", `{"code":-32601,"message":"no"}`), legacy},
		{"no session, as the TypeScript SDK says it", refusal(400, "null", `{"code":-32000,"message":"Bad Request: No valid session ID provided"}`), legacy},
		{"404 in plain text", status(404, "not found"), legacy},
		{"405", status(405, ""), legacy},
		{"400 in plain text", status(400, "unsupported protocol version"), legacy},
		{"501", status(501, ""), legacy},
		{"202 without an answer", status(202, ""), legacy},
		{"an HTML page", raw("text/html", "<html>hello</html>"), legacy},
		{"an empty body", status(200, ""), legacy},
		{"a result that is none of discover", result(`{"tools":[]}`), legacy},
		{"an array", raw("application/json", `[{"jsonrpc":"2.0","id":%ID,"result":{}}]`), legacy},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := legacyServer(nil)
			server.on["server/discover"] = tt.discover
			c := connect(t, serve(t, server))
			info, err := c.Info(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if info.Era != tt.era {
				t.Errorf("the era is %s, want %s", info.Era, tt.era)
			}
			mustAnswer(t, c.Conn)
			if n := server.count("server/discover"); n != 1 {
				t.Errorf("it was asked %d times, want once", n)
			}
		})
	}
}

func TestWhatDoesNotDecideTheEra(t *testing.T) {
	for _, tt := range []struct {
		name     string
		discover handler
		kind     upstream.FailureKind
	}{
		{"500", status(500, ""), upstream.Status},
		{"503", status(503, ""), upstream.Status},
		{"401", status(401, ""), upstream.Unauthorized},
		{"403", status(403, ""), upstream.Status},
		{"429", status(429, ""), upstream.Status},
		{"a redirect", status(307, ""), upstream.Status},
		{"a connection that breaks", func(http.ResponseWriter, *http.Request, rpc.Message) { panic(http.ErrAbortHandler) }, upstream.Unreachable},
		{"a server that hangs", hang, upstream.TimedOut},
		{"a server that supports nothing we know", result(`{"supportedVersions":["2031-01-01"]}`), upstream.Malformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := modernServer(nil)
				good := server.on["server/discover"]
				server.on["server/discover"] = tt.discover
				c := connect(t, "", inMemory(t, server))
				_, err := c.Info(t.Context())
				wantFailure(t, asFailure(t, err), tt.kind, false)
				if server.count("initialize") != 0 {
					t.Error("it was taken for a legacy server")
				}
				server.set("server/discover", good)
				if info, err := c.Info(t.Context()); err != nil || info.Era != upstream.Modern {
					t.Errorf("afterwards it is %+v: %v", info, err)
				}
			})
		})
	}
}

func TestServerWithoutDiscoverAndInitializeIsModern(t *testing.T) {
	server := legacyServer(nil)
	notFound := refusal(404, "", `{"code":-32601,"message":"no"}`)
	server.on["server/discover"], server.on["initialize"] = notFound, notFound
	c := connect(t, serve(t, server))
	mustAnswer(t, c.Conn)
	if got := server.lastHeader().Get("Mcp-Protocol-Version"); got != "2026-07-28" {
		t.Errorf("the call had the version %q", got)
	}
}

func TestInfo(t *testing.T) {
	for _, tt := range []struct {
		name    string
		server  *mcpServer
		version string
	}{{"modern", modernServer(nil), "2026-07-28"}, {"legacy", legacyServer(nil), "2025-11-25"}} {
		t.Run(tt.name, func(t *testing.T) {
			info, err := connect(t, serve(t, tt.server)).Info(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if info.Version != tt.version || string(info.Capabilities) != `{"tools":{}}` || string(info.ServerInfo) != `{"name":"fake","version":"1"}` {
				t.Errorf("got %+v, with %s and %s", info, info.Capabilities, info.ServerInfo)
			}
		})
	}
}

// What a server says about itself is kept with each session, and told with each result: a server must not make that cost as much as it likes.
func TestWhatAServerSaysAboutItselfIsBounded(t *testing.T) {
	large := `{"x":"` + strings.Repeat("x", 1<<20) + `"}`
	legacy, modern := legacyServer(nil), modernServer(nil)
	legacy.on["initialize"] = result(`{"protocolVersion":"2025-11-25","capabilities":` + large + `,"serverInfo":` + large + `}`)
	modern.on["server/discover"] = result(`{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":` + large + `,"_meta":{"io.modelcontextprotocol/serverInfo":` + large + `}}`)
	for era, server := range map[upstream.Era]*mcpServer{upstream.Legacy: legacy, upstream.Modern: modern} {
		info, err := connect(t, serve(t, server)).Info(t.Context())
		if err != nil || info.Era != era || info.Capabilities != nil || info.ServerInfo != nil {
			t.Errorf("%s: %d and %d bytes are kept: %v", era, len(info.Capabilities), len(info.ServerInfo), err)
		}
	}
}

// Fifty callers at once cause one detection; the one that started it leaves, and the others get what it found.
func TestDetectionIsSharedAndSurvivesItsStarter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		server := modernServer(nil)
		good := server.on["server/discover"]
		server.on["server/discover"] = func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
			<-release
			good(w, r, m)
		}
		s := connect(t, "", inMemory(t, server))
		starter, leave := context.WithCancel(t.Context())
		left := make(chan error)
		go func() { _, err := s.Info(starter); left <- err }()
		synctest.Wait()
		var group sync.WaitGroup
		for range 50 {
			group.Go(func() {
				if _, err := s.Server.Conn(upstream.ConnConfig{Header: noHeaders}).Info(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		leave()
		wantFailure(t, asFailure(t, <-left), upstream.Canceled, false)
		close(release)
		group.Wait()
		if n := server.count("server/discover"); n != 1 {
			t.Errorf("the server was asked %d times", n)
		}
	})
}

// If detection fails for the credentials of the caller that leads it, the next one tries with its own.
func TestDetectionWithBadCredentialsFailsOnlyItsOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := modernServer(nil)
		good := server.on["server/discover"]
		server.on["server/discover"] = func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
			time.Sleep(time.Second) // so that both callers are there
			if r.Header.Get("Authorization") != "good" {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			good(w, r, m)
		}
		s := connect(t, "", inMemory(t, server))
		as := func(token string) *upstream.Conn {
			return s.Server.Conn(upstream.ConnConfig{Header: func(context.Context, bool) (http.Header, error) { return http.Header{"Authorization": {token}}, nil }})
		}
		bad := make(chan error)
		go func() { _, err := as("bad").Info(t.Context()); bad <- err }()
		synctest.Wait()
		if _, err := as("good").Info(t.Context()); err != nil {
			t.Error(err)
		}
		wantFailure(t, asFailure(t, <-bad), upstream.Unauthorized, false)
	})
}

// A server that is replaced by one of the other era is found out by what it says to the next request, which is sent again in its own words.
func TestEraIsFoundAnewWhenItChanges(t *testing.T) {
	for _, tt := range []struct {
		name     string
		from, to *mcpServer
		stale    handler // what the new server says to a request of the old era
	}{
		{"legacy to modern", legacyServer(nil), modernServer(nil), refusal(400, "", `{"code":-32020,"message":"the header Mcp-Method is missing"}`)},
		{"modern to legacy", modernServer(nil), legacyServer(nil), refusal(400, "null", `{"code":-32000,"message":"Bad Request: Server not initialized"}`)},
		{"modern to legacy in plain text", modernServer(nil), legacyServer(nil), status(404, "not found")},
		{"modern to an older version", modernServer(nil), legacyServer(nil), refusal(400, "", `{"code":-32022,"message":"no","data":{"supported":["2025-11-25"]}}`)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			now := tt.from
			c := connect(t, serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { now.ServeHTTP(w, r) })))
			mustAnswer(t, c.Conn)
			staleOnce := tt.stale
			tt.to.on["tools/call"] = func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
				if staleOnce != nil {
					staleOnce(w, r, m)
					staleOnce = nil
					return
				}
				result(`{"new":true}`)(w, r, m)
			}
			now = tt.to
			if m := mustAnswer(t, c.Conn); string(m.Result) != `{"new":true}` {
				t.Errorf("got %s", m.Result)
			}
			if n := tt.to.count("tools/call"); n != 2 {
				t.Errorf("the call was sent %d times, want twice", n)
			}
		})
	}
}

// A modern server whose refusals look like a legacy one's forever is asked again once, and that is all.
func TestEraIsNotLookedForInALoop(t *testing.T) {
	server := modernServer(status(404, "not found"))
	_, _, failure := finish(t, connect(t, serve(t, server)).Conn, toolCall)
	wantFailure(t, failure, upstream.Status, false)
	if calls, probes := server.count("tools/call"), server.count("server/discover"); calls != 2 || probes != 2 {
		t.Errorf("%d calls and %d detections, want 2 of each", calls, probes)
	}
}

// TestAServerOfBothEras is spoken to in the older one by a Conn that wants a session, if there are any.
func TestAServerOfBothEras(t *testing.T) {
	session := func(id string) handler {
		return func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
			if id != "" {
				w.Header().Set("Mcp-Session-Id", id)
			}
			result(`{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"fake","version":"1"}}`)(w, r, m)
		}
	}
	for name, test := range map[string]struct {
		versions   string
		initialize handler
		era        upstream.Era // of a Conn that wants a session
		asked      int          // to initialize, by two of them
		fails      bool
	}{
		"with sessions":         {`"2026-07-28","2025-11-25"`, session("s"), upstream.Legacy, 2, false},
		"without":               {`"2026-07-28","2025-11-25"`, session(""), upstream.Modern, 1, false},
		"that says so wrongly":  {`"2026-07-28","2025-11-25"`, status(400, "no"), upstream.Modern, 1, false},
		"that breaks meanwhile": {`"2026-07-28","2025-11-25"`, status(503, "later"), "", 2, true},
		"that does not say so":  {`"2026-07-28"`, session("s"), upstream.Legacy, 2, false},
		"modern only":           {`"2026-07-28"`, status(400, "no"), upstream.Modern, 1, false},
		"that breaks of it":     {`"2026-07-28"`, status(500, "what?"), upstream.Modern, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			server := modernServer(nil)
			server.on["server/discover"] = result(`{"resultType":"complete","supportedVersions":[` + test.versions + `],"capabilities":{}}`)
			server.on["initialize"] = test.initialize
			s := connect(t, serve(t, server))
			for range 2 {
				c := s.Server.Conn(upstream.ConnConfig{Header: noHeaders, Sessions: true})
				info, err := c.Info(t.Context())
				if (err != nil) != test.fails || info.Era != test.era {
					t.Errorf("%s, %v; want %s", info.Era, err, test.era)
				}
				if test.fails {
					continue
				}
				for range 2 {
					mustAnswer(t, c)
				}
			}
			if n := server.count("initialize"); n != test.asked {
				t.Errorf("%d were asked for, want %d", n, test.asked)
			}
			if !test.fails {
				mustAnswer(t, s.Conn)
				if got := server.lastHeader().Get("Mcp-Protocol-Version"); got != "2026-07-28" {
					t.Errorf("one that wants none speaks %q", got)
				}
			}
		})
	}
}
