package e2e_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"mcpsidecar/internal/e2e/rig"
)

// routes are all paths of the main listener, those of the API from its own description.
func (s *sidecar) routes() []string {
	s.t.Helper()
	var description struct{ Paths map[string]json.RawMessage }
	if err := s.API(s.t.Context(), http.MethodGet, "/openapi.json", nil, &description); err != nil {
		s.t.Fatal(err)
	}
	paths := []string{"/mcp", "/mcp/one", "/mcp/nothing"}
	for path := range description.Paths {
		paths = append(paths, strings.NewReplacer("{id}", "one", "{name}", "alice").Replace(path))
	}
	if len(paths) < 15 {
		s.t.Fatalf("only %v are described", paths)
	}
	return paths
}

// TestNobodyGetsInWithoutAToken is A-01: over every route and method.
func TestNobodyGetsInWithoutAToken(t *testing.T) {
	f := startFake(t, modernOnly)
	s := start(t)
	s.register("one", f.URL)
	good := s.token("alice")
	client, routes := web(t), s.routes() // read now: the admin's own token is turned away, too, once there were many wrong ones
	for what, token := range map[string]string{
		"none": "", "nonsense": "x", "one that looks like ours": "mcps_0123456789abcdef_0123456789abcdef0123456789abcdef0123456789a",
		"another secret": good[:len(good)-4] + "AAAA", "the id alone": good[:strings.LastIndex(good, "_")+1],
		"the beginning of the admin's": rig.AdminToken[:len(rig.AdminToken)-1], "the admin's and more": rig.AdminToken + "x",
	} {
		t.Run(what, func(t *testing.T) {
			for _, path := range routes {
				for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "NONSENSE"} {
					body := ""
					if method == "POST" || method == "PUT" || method == "PATCH" {
						body = `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{` + meta("") + `}}`
					}
					got := send(t, client, method, s.Base+path, token, body, "Accept", acceptBoth)
					switch got.status {
					case http.StatusUnauthorized:
						if got.header.Get("Www-Authenticate") == "" {
							t.Errorf("%s %s: 401 without a challenge", method, path)
						}
					case http.StatusTooManyRequests, http.StatusForbidden, http.StatusMethodNotAllowed, http.StatusNotImplemented: // nothing was done either
					case http.StatusBadRequest, http.StatusNotFound:
						if !forBrowsers(path) {
							t.Errorf("%s %s: %d %s", method, path, got.status, got.body)
						}
					default:
						t.Errorf("%s %s: %d %s", method, path, got.status, got.body)
					}
				}
			}
		})
	}
	if n := len(f.of("tools/list")) + len(f.of("server/discover")); n != 0 {
		t.Errorf("the server was asked %d times", n)
	}
	if got := s.modern("/mcp", good).list(); len(got) != 3 {
		t.Errorf("after all that, alice sees %v", got)
	}
}

// forBrowsers says whether a path is one that a browser opens, which has no token: what lets it in is a link or a state that nobody can guess, and without one nothing is done.
func forBrowsers(path string) bool {
	return strings.HasPrefix(path, "/connect/") || strings.HasPrefix(path, "/oauth/") || strings.HasSuffix(path, "/oauth2/callback")
}

// raw writes bytes on a connection of its own and reads everything up to its end, which must come soon.
func raw(t testing.TB, base, text string) string {
	t.Helper()
	connection := must[net.Conn](t)(net.Dial("tcp", strings.TrimPrefix(base, "http://")))
	defer connection.Close()
	connection.SetDeadline(time.Now().Add(patience))
	io.WriteString(connection, text) // which the other side may refuse to read to its end
	got, err := io.ReadAll(connection)
	if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
		t.Fatalf("the connection is not closed after %.200q", text)
	}
	return string(got)
}

// statusOf reads the status of a raw answer.
func statusOf(text string) int {
	response, err := http.ReadResponse(bufio.NewReader(strings.NewReader(text)), nil)
	if err != nil {
		return 0
	}
	return response.StatusCode
}

// TestNoPathLeadsToTheAPI is A-07: an agent's token, and every way to write a path.
func TestNoPathLeadsToTheAPI(t *testing.T) {
	s := start(t)
	s.register("one", startFake(t, modernOnly).URL)
	token := s.token("alice", "role", "agent", "user", nil)
	host := strings.TrimPrefix(s.Base, "http://")
	headers := "Sidecar-User: alice\r\nAuthorization: Bearer " + token + "\r\nConnection: close\r\n"
	try := func(what, target, more string) {
		t.Run(what, func(t *testing.T) {
			got := raw(t, s.Base, "GET "+target+" HTTP/1.1\r\nHost: "+host+"\r\n"+headers+more+"\r\n")
			switch status := statusOf(got); status {
			case 400, 401, 403, 404, 405, 406, 421:
			default:
				t.Errorf("it is answered with %d: %s", status, got)
			}
			if strings.Contains(got, `"slug"`) || strings.Contains(got, "created_by") {
				t.Errorf("it got in: %s", got)
			}
		})
	}
	for _, target := range []string{
		"/api/v1/tokens", "//api/v1/tokens", "/mcp/../api/v1/tokens", "/mcp/%2e%2e/api/v1/tokens", "/api/v1/tokens%2f", "/api/v1/tokens/", "/API/v1/tokens", "/api/v1/%74okens", "/api//v1/tokens",
		"/api/v1/./tokens", "/api/v1/servers/../tokens", "/api/v1/servers/%2e%2e/tokens", "/%61pi/v1/tokens", "/mcp/..%2fapi%2fv1%2ftokens", "/api/v1/tokens;x", "/api/v1/tokens%00", "/mcp/one/../../api/v1/tokens",
		"http://" + host + "/api/v1/tokens", "http://localhost/api/v1/tokens", "*", "/api/v1/users", "/api/v1/policy/explain?user=alice&tool=one__echo",
	} {
		try(target, target, "")
	}
	for _, header := range []string{
		"X-Original-URL: /api/v1/tokens", "X-Rewrite-URL: /api/v1/tokens", "X-Forwarded-Path: /api/v1/tokens", "X-Forwarded-Prefix: /api/v1/tokens", "X-Forwarded-Host: localhost", "X-HTTP-Method-Override: DELETE",
	} {
		try(header, "/mcp/one", header+"\r\n")
		try(header+" at the API", "/api/v1/tokens", header+"\r\n")
	}
}

// TestPagesOfOthersGetNothing is W-01: what a browser sends on behalf of a page, or under a name that was bound anew.
func TestPagesOfOthersGetNothing(t *testing.T) {
	f := startFake(t, modernOnly)
	s := start(t)
	s.register("one", f.URL)
	token, client := s.token("alice"), web(t)
	body, mcp := s.modern("/mcp", token).request(1, "tools/call", "one__echo", `"name":"one__echo","arguments":{}`)
	for _, test := range []struct {
		what   string
		method string
		header []string
		want   []int
	}{
		{"another origin", "POST", []string{"Origin", "https://evil.example"}, []int{403}},
		{"no origin at all", "POST", []string{"Origin", "null"}, []int{403}},
		{"an origin that looks like ours", "POST", []string{"Origin", "http://localhost.evil.example"}, []int{403}},
		{"an origin that begins like ours", "POST", []string{"Origin", s.Base + ".evil.example"}, []int{403}},
		{"another host", "POST", []string{"Host", "evil.example"}, []int{403, 421}},
		{"another host and our port", "POST", []string{"Host", "evil.example:" + s.Base[strings.LastIndex(s.Base, ":")+1:]}, []int{403, 421}},
		{"text", "POST", []string{"Content-Type", "text/plain"}, []int{415}},
		{"a form", "POST", []string{"Content-Type", "application/x-www-form-urlencoded"}, []int{415}},
		{"JSON that is called text", "POST", []string{"Content-Type", "text/plain; application/json"}, []int{415}},
		{"no type", "POST", []string{"Content-Type", ""}, []int{415}},
		{"a preflight", "OPTIONS", []string{"Origin", "https://evil.example", "Access-Control-Request-Method", "POST"}, []int{401, 403, 405}},
	} {
		t.Run(test.what, func(t *testing.T) {
			for _, path := range []string{"/mcp", "/mcp/one", "/api/v1/tokens"} {
				got := send(t, client, test.method, s.Base+path, token, body, append(append([]string{"Accept", acceptBoth}, mcp...), test.header...)...)
				if !contains(test.want, got.status) && !(path == "/api/v1/tokens" && got.status == 403) {
					t.Errorf("%s: %d %s", path, got.status, got.body)
				}
				if allowed := got.header.Get("Access-Control-Allow-Origin"); allowed != "" {
					t.Errorf("%s: %s is allowed in", path, allowed)
				}
			}
		})
	}
	if n := len(f.of("tools/call")); n != 0 {
		t.Errorf("the server was called %d times", n)
	}
}

func contains(statuses []int, status int) bool {
	for _, s := range statuses {
		if s == status {
			return true
		}
	}
	return false
}

// TestNothingIsSmuggled is W-06: bytes that two parsers could take for different requests get one refusal and the end of the connection.
func TestNothingIsSmuggled(t *testing.T) {
	f := startFake(t, modernOnly)
	s := start(t)
	s.register("one", f.URL)
	token := s.token("alice")
	host := strings.TrimPrefix(s.Base, "http://")
	body, mcp := s.modern("/mcp", token).request(1, "tools/call", "one__echo", `"name":"one__echo","arguments":{}`)
	head := "Host: " + host + "\r\nAuthorization: Bearer " + token + "\r\nContent-Type: application/json\r\nAccept: " + acceptBoth + "\r\n"
	for i := 0; i < len(mcp); i += 2 {
		head += mcp[i] + ": " + mcp[i+1] + "\r\n"
	}
	post := func(headers, content string) string {
		return "POST /mcp HTTP/1.1\r\n" + head + headers + "\r\n" + content
	}
	inner := post(fmt.Sprintf("Content-Length: %d\r\n", len(body)), body)
	chunked := func(extension string) string {
		return fmt.Sprintf("%x%s\r\n%s\r\n0\r\n\r\n", len(body), extension, body)
	}
	for what, text := range map[string]string{
		"length and chunks":              post("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"+inner),
		"two lengths":                    post(fmt.Sprintf("Content-Length: 0\r\nContent-Length: %d\r\n", len(inner)), inner),
		"two lengths in one":             post(fmt.Sprintf("Content-Length: 0, %d\r\n", len(inner)), inner),
		"a length with a sign":           post("Content-Length: +0\r\n", inner),
		"a negative length":              post("Content-Length: -1\r\n", inner),
		"chunks in other words":          post("Transfer-Encoding: xchunked\r\n", inner),
		"chunks and identity":            post("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"+inner),
		"chunks twice":                   post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"+inner),
		"a space before the colon":       post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"+inner),
		"a chunk that ends in a bare LF": post("Transfer-Encoding: chunked\r\n", "5\n{}{}{\r\n0\r\n\r\n"+inner),
		"a chunk that is too short":      post("Transfer-Encoding: chunked\r\n", "1\r\n{}\r\n0\r\n\r\n"+inner),
		"a chunk size that is too large": post("Transfer-Encoding: chunked\r\n", "fffffffffffffffff\r\n{}\r\n0\r\n\r\n"+inner),
		"an endless chunk extension":     post("Transfer-Encoding: chunked\r\n", chunked(";"+strings.Repeat("x", 64<<10))+inner),
		"a header with NUL":              post("X-A: b\x00c\r\nContent-Length: 0\r\n", inner),
		"a header with a bare CR":        post("X-A: b\rContent-Length: 0\r\n", inner),
		"two hosts":                      "POST /mcp HTTP/1.1\r\nHost: other\r\n" + strings.TrimPrefix(inner, "POST /mcp HTTP/1.1\r\n"),
		"no host":                        "POST /mcp HTTP/1.1\r\n" + strings.TrimPrefix(inner, "POST /mcp HTTP/1.1\r\nHost: "+host+"\r\n"),
		"an older protocol":              "POST /mcp\r\n\r\n" + inner,
		"HTTP/2 without TLS":             "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + inner,
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			got := raw(t, s.Base, text)
			if status := statusOf(got); status < 400 || status > 505 {
				t.Errorf("it is answered with %d: %s", status, got)
			}
			if n := strings.Count(got, "HTTP/1.1 "); n != 1 {
				t.Errorf("there are %d answers: %s", n, got)
			}
		})
	}
	t.Run("a folded header", func(t *testing.T) { // is one header with a space in it (RFC 9112, 5.2), and brings none of its own
		got := raw(t, s.Base, post("Connection: close\r\nX-A: b\r\n Content-Length: 2\r\n", "{}"))
		if status := statusOf(got); status != http.StatusBadRequest || strings.Count(got, "HTTP/1.1 ") != 1 {
			t.Errorf("it is answered with %d: %s", status, got)
		}
	})
	t.Run("an upgrade to HTTP/2", func(t *testing.T) {
		got := raw(t, s.Base, post(fmt.Sprintf("Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\nContent-Length: %d\r\n", len(body)), body))
		if status := statusOf(got); status == 0 || status == http.StatusSwitchingProtocols {
			t.Errorf("it is answered with %d: %s", status, got)
		}
	})
	t.Cleanup(func() { // after the parallel ones
		if n := len(f.of("tools/call")); n > 1 { // of which the refused upgrade is one: it is a plain request
			t.Errorf("the server was called %d times", n)
		}
	})
}

// TestNothingIsShownOfTheInside is W-07: no profiles, and no secret on the command line.
func TestNothingIsShownOfTheInside(t *testing.T) {
	s := start(t)
	client := web(t)
	for _, base := range []string{s.Base, s.Metrics} {
		for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/cmdline", "/debug/vars", "/_debug", "/debug", "/metrics/..", "/api/v1/debug", "/.env", "/"} {
			for _, token := range []string{"", rig.AdminToken} {
				if got := send(t, client, http.MethodGet, base+path, token, ""); got.status != http.StatusNotFound && got.status != http.StatusUnauthorized && got.status != http.StatusBadRequest {
					t.Errorf("%s%s: %d %.200s", base, path, got.status, got.body)
				}
			}
		}
	}
	for _, path := range []string{"/metrics", "/healthz", "/readyz"} {
		if got := send(t, client, http.MethodGet, s.Base+path, rig.AdminToken, ""); got.status == http.StatusOK {
			t.Errorf("%s is on the main listener", path)
		}
	}
	if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", s.PID)); err == nil && strings.Contains(string(text), rig.AdminToken) {
		t.Error("the token is on the command line")
	}
}
