package upstream_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/cookiejar"
	"slices"
	"strings"
	"testing"
	"time"

	"mcpsidecar/proxy/rpc"
	"mcpsidecar/proxy/upstream"
)

// Every header of a request is ours or was given; the names are compared in full.
func TestHeadersOnTheWire(t *testing.T) {
	given := http.Header{
		"Authorization": {"Bearer x"}, "X-Api-Key": {"k"},
		// None of these is anybody's to set.
		"accept": {"*/*"}, "Host": {"evil"}, "Mcp-Session-Id": {"stolen"}, "Mcp-Method": {"x"}, "Mcp-Name": {"x"}, "Mcp-Param-Region": {"x"}, "Connection": {"X-Api-Key"},
		"Transfer-Encoding": {"chunked"}, "Content-Length": {"1"}, "Last-Event-ID": {"1"}, "Mcp-Protocol-Version": {"1999-01-01"}, "User-Agent": {"x"},
	}
	call := toolCall
	call.Name = "écho"
	call.ParamHeaders = http.Header{"Mcp-Param-Region": {"us"}, "Authorization": {"stolen"}}
	for _, tt := range []struct {
		name   string
		server *mcpServer
		want   map[string]string
	}{
		{"modern", modernServer(nil), map[string]string{"Mcp-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": "=?base64?w6ljaG8=?=", "Mcp-Param-Region": "us"}},
		{"legacy", legacyServer(nil), map[string]string{"Mcp-Protocol-Version": "2025-11-25", "Mcp-Session-Id": "session-1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := connect(t, serve(t, tt.server), func(c *upstream.Config) { c.Name, c.Version = "side", "1.2" })
			c := s.Server.Conn(upstream.ConnConfig{Header: func(context.Context, bool) (http.Header, error) { return given, nil }})
			if _, _, failure := finish(t, c, call); failure != nil {
				t.Fatal(failure)
			}
			want := map[string]string{"Authorization": "Bearer x", "X-Api-Key": "k", "Accept": "application/json, text/event-stream", "Content-Type": "application/json",
				"User-Agent": "side/1.2", "Accept-Encoding": "identity"}
			for name, value := range tt.want {
				want[name] = value
			}
			got := tt.server.lastHeader()
			got.Del("Content-Length")
			for name, values := range got {
				if len(values) != 1 || want[name] != values[0] {
					t.Errorf("%s: %q, want %q", name, values, want[name])
				}
				delete(want, name)
			}
			if len(want) > 0 {
				t.Errorf("missing: %v", want)
			}
		})
	}
}

// What is said about the client, to servers of either era.
func TestIntroduction(t *testing.T) {
	for _, tt := range []struct {
		name         string
		cfg          upstream.ConnConfig
		client, caps string
	}{
		{"ours", upstream.ConnConfig{}, `{"name":"mcp-sidecar","version":"0"}`, `{}`},
		{"the client's", upstream.ConnConfig{ClientInfo: []byte(`{"name":"c","version":"2","title":"C"}`), Capabilities: []byte(`{"roots":{}}`)}, `{"name":"c","version":"2","title":"C"}`, `{"roots":{}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.cfg.Header = noHeaders
			var params []byte
			note := func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
				params = copied(m).Params
				result(`{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{}}`)(w, r, m)
			}
			legacy := legacyServer(nil)
			legacy.on["initialize"] = note
			mustAnswer(t, connect(t, serve(t, legacy)).Server.Conn(tt.cfg))
			if got := string(rpc.Find(params, "clientInfo")) + string(rpc.Find(params, "capabilities")); got != tt.client+tt.caps || rpc.Find(params, "_meta") != nil {
				t.Errorf("initialize said %s", params)
			}
			call := toolCall
			call.LogLevel, call.Progress, call.Meta = "debug", true, []rpc.Member{{Name: "traceparent", Raw: []byte(`"traceparent"`), Value: []byte(`"00-1"`)}}
			if _, _, failure := finish(t, connect(t, serve(t, modernServer(note))).Server.Conn(tt.cfg), call); failure != nil {
				t.Fatal(failure)
			}
			want := `{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":` + tt.client + `,"io.modelcontextprotocol/clientCapabilities":` + tt.caps +
				`,"io.modelcontextprotocol/logLevel":"debug","progressToken":` + string(rpc.Find(rpc.Find(params, "_meta"), "progressToken")) + `,"traceparent":"00-1"}`
			if got := string(rpc.Find(params, "_meta")); got != want {
				t.Errorf("the call said %s, want %s", got, want)
			}
		})
	}
}

// credentials gives out what it has in turn, the next each time the server refuses; after the last it says so with an error, or gives the same again.
type credentials struct {
	tokens []string
	same   bool
	asked  []bool
}

func (c *credentials) header(_ context.Context, refused bool) (http.Header, error) {
	c.asked = append(c.asked, refused)
	if refused && len(c.tokens) == 1 && !c.same {
		return nil, errors.New("there are no better ones")
	}
	if refused && len(c.tokens) > 1 {
		c.tokens = c.tokens[1:]
	}
	return http.Header{"Authorization": {c.tokens[0]}}, nil
}

func TestUnauthorized(t *testing.T) {
	for _, tt := range []struct {
		name  string
		creds credentials
		calls int
		fails bool
	}{
		{"fresh credentials are tried once", credentials{tokens: []string{"old", "good"}}, 2, false},
		{"fresh ones that are no better", credentials{tokens: []string{"old", "older", "good"}}, 2, true},
		{"there are none", credentials{tokens: []string{"old"}}, 1, true},
		{"there are only the same", credentials{tokens: []string{"old"}, same: true}, 1, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := modernServer(func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
				if r.Header.Get("Authorization") == "good" {
					result(`{}`)(w, r, m)
					return
				}
				w.Header().Set("WWW-Authenticate", `Bearer resource_metadata="https://x/y"`)
				refusal(401, "null", `{"code":-32001,"message":"Unauthorized"}`)(w, r, m)
			})
			c := connect(t, serve(t, server)).Server.Conn(upstream.ConnConfig{Header: tt.creds.header})
			_, _, failure := finish(t, c, toolCall)
			if n := server.count("tools/call"); n != tt.calls {
				t.Errorf("the call was sent %d times, want %d", n, tt.calls)
			}
			if want := []bool{false, false, true}; !slices.Equal(tt.creds.asked, want) {
				t.Errorf("credentials were asked for %v, want %v", tt.creds.asked, want)
			}
			if !tt.fails {
				if failure != nil {
					t.Error(failure)
				}
				return
			}
			wantFailure(t, failure, upstream.Unauthorized, false)
			if failure.Challenge != `Bearer resource_metadata="https://x/y"` || failure.HTTPStatus != 401 {
				t.Errorf("got %+v", failure)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	with := func(code int, name, value string) handler {
		return func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
			w.Header().Set(name, value)
			w.WriteHeader(code)
		}
	}
	for _, tt := range []struct {
		name       string
		says       handler
		kind       upstream.FailureKind
		mayHaveRun bool
		retry      time.Duration
	}{
		{"insufficient scope", with(403, "WWW-Authenticate", `Bearer error="insufficient_scope", scope="a b"`), upstream.Insufficient, false, 0},
		{"forbidden", with(403, "WWW-Authenticate", `Bearer`), upstream.Status, false, 0},
		{"too many", with(429, "Retry-After", "7"), upstream.Status, false, 7 * time.Second},
		{"too many, for ages", with(429, "Retry-After", "99999999999"), upstream.Status, false, time.Hour},
		{"too many, until a date", with(429, "Retry-After", "Thu, 01 Jan 2026 00:01:00 GMT"), upstream.Status, false, time.Minute},
		{"overloaded", with(503, "Retry-After", "-3"), upstream.Status, true, 0},
		{"broken", with(500, "X", "y"), upstream.Status, true, 0},
		{"a timeout of a gateway", with(504, "X", "y"), upstream.Status, true, 0},
		{"not acceptable", with(406, "X", "y"), upstream.Status, false, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			now := func() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }
			c := connect(t, serve(t, modernServer(tt.says)), func(c *upstream.Config) { c.Now = now })
			_, _, failure := finish(t, c.Conn, toolCall)
			wantFailure(t, failure, tt.kind, tt.mayHaveRun)
			if failure.RetryAfter != tt.retry {
				t.Errorf("retry after %v, want %v", failure.RetryAfter, tt.retry)
			}
		})
	}
}

func TestCredentialsThatCannotBeHad(t *testing.T) {
	server := modernServer(nil)
	why := errors.New("sign in first")
	c := connect(t, serve(t, server)).Server.Conn(upstream.ConnConfig{Header: func(context.Context, bool) (http.Header, error) { return nil, why }})
	_, _, failure := finish(t, c, toolCall)
	wantFailure(t, failure, upstream.Credential, false)
	if !errors.Is(failure, why) || len(server.heard) != 0 {
		t.Errorf("got %v; the server heard %q", failure, server.heard)
	}
}

// M-09: nothing of an answer's headers comes back in the next request.
func TestCookiesAreNotKept(t *testing.T) {
	server := legacyServer(func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
		w.Header().Set("Set-Cookie", "a=b")
		w.Header().Set("Mcp-Session-Id", "another")
		result(`{}`)(w, r, m)
	})
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := connect(t, serve(t, server), func(c *upstream.Config) { c.Client.Jar = jar })
	mustAnswer(t, c.Conn)
	mustAnswer(t, c.Conn)
	if h := server.lastHeader(); h.Get("Cookie") != "" || h.Get("Mcp-Session-Id") != "session-1" {
		t.Errorf("the second call had the headers %v", h)
	}
}

func TestNew(t *testing.T) {
	guarded := &http.Client{Transport: &http.Transport{}}
	for _, url := range []string{"", "x", "ftp://x", "http://", "http://user:secret@x", "http://x\x00", "://secret"} {
		_, err := upstream.New(upstream.Config{Slug: "fake", URL: url, Client: guarded})
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", url, err)
		}
	}
	if _, err := upstream.New(upstream.Config{URL: "http://x"}); err == nil {
		t.Error("it does without a client")
	}
	if _, err := upstream.New(upstream.Config{URL: "http://x", Client: http.DefaultClient}); err == nil {
		t.Error("it takes a client that dials freely")
	}
	if _, err := upstream.New(upstream.Config{URL: "http://x", Client: guarded, Limits: upstream.Limits{Call: -1}}); err == nil {
		t.Error("it takes negative limits")
	}
}
