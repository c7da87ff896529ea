package front_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"mcpsidecar/internal/front"
	"mcpsidecar/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

const local = "127.0.0.1:8080"

// asked is a request as it comes in, for a Host and with headers given in pairs.
func asked(method, target, host string, headers ...string) *http.Request {
	r := httptest.NewRequest(method, target, nil)
	r.Host = host
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

// served is what comes of a request, and whether the handler saw it.
func served(config front.Config, r *http.Request) (*httptest.ResponseRecorder, bool) {
	reached := false
	w := httptest.NewRecorder()
	front.Wrap(config, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		reached = true
		io.WriteString(w, "handled")
	})).ServeHTTP(w, r)
	return w, reached
}

func address(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// checkRefused holds a refusal against what the package's documentation says of it.
func checkRefused(t *testing.T, what string, config front.Config, r *http.Request, status int, reason string) {
	t.Helper()
	var reasons []string
	config.Refused = func(reason string) { reasons = append(reasons, reason) }
	w, reached := served(config, r)
	if w.Code != status || reached || fmt.Sprint(reasons) != "["+reason+"]" {
		t.Errorf("%s: status %d, handler reached: %v, refused for %v; want %d for %s", what, w.Code, reached, reasons, status, reason)
		return
	}
	var body map[string]string
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || len(body) != 1 || body["message"] == "" || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("%s: the body %q of type %q is no message", what, w.Body, w.Header().Get("Content-Type"))
	}
	if w.Header().Get("Connection") != "close" {
		t.Errorf("%s: the connection stays open", what)
	}
}

func checkServed(t *testing.T, what string, config front.Config, r *http.Request) {
	t.Helper()
	if w, reached := served(config, r); !reached || w.Code != http.StatusOK {
		t.Errorf("%s: status %d, handler reached: %v", what, w.Code, reached)
	}
}

// W-01: on loopback only names of loopback and of the public URL are ours.
func TestHostsOnLoopback(t *testing.T) {
	config := front.Config{Listen: local, PublicURL: address(t, "https://mcp.example.com/")}
	for _, host := range []string{
		"localhost", "localhost:8080", "LOCALHOST:1", "127.0.0.1", "127.0.0.1:8080", "[::1]", "[::1]:8080", "mcp.example.com", "MCP.example.com:443", "mcp.example.com:8443",
	} {
		checkServed(t, host, config, asked("POST", "/mcp", host))
	}
	for _, host := range []string{
		"", "evil.example", "evil.example:8080", "localhost.evil", "localhost.evil:8080", "evil.localhost", "localhost.", "127.0.0.1.nip.io", "127.0.0.2", "127.1", "2130706433",
		"0.0.0.0:8080", "[::]:8080", "::1", "[::1", "[::1]x", "[::ffff:127.0.0.1]", "localhost:", "localhost:x", "localhost:80@evil", "localhost@evil", "evil@localhost", "localhost/evil", "localhost evil",
		"localhost,evil", "localhost:123456", ":8080", "192.168.0.1:8080", "mcp.example.com.evil", "amcp.example.com", "xn--localhost",
	} {
		checkRefused(t, host, config, asked("POST", "/mcp", host), http.StatusForbidden, "host")
	}
}

func TestHostsElsewhere(t *testing.T) {
	for _, row := range []struct {
		listen, host string
		ours         bool
	}{
		{"0.0.0.0:8080", "anything.example", true}, // names of this machine that nobody told us
		{"[::]:8080", "anything.example", true},
		{":8080", "anything.example", true},
		{"192.168.0.1:8080", "anything.example", true},
		{"[::1]:8080", "anything.example", false},
		{"[::1]:8080", "localhost:8080", true},
		{"127.0.0.2:8080", "127.0.0.2:8080", true},
		{"127.0.0.2:8080", "127.0.0.3:8080", false},
		{"[::ffff:127.0.0.1]:8080", "anything.example", false},
		{"localhost:8080", "anything.example", false},
		{"localhost:8080", "localhost:8080", true},
		{"", "anything.example", false}, // not known: the stricter
		{"nonsense", "localhost", true},
	} {
		what := row.host + " at " + row.listen
		if row.ours {
			checkServed(t, what, front.Config{Listen: row.listen}, asked("POST", "/mcp", row.host))
		} else {
			checkRefused(t, what, front.Config{Listen: row.listen}, asked("POST", "/mcp", row.host), http.StatusForbidden, "host")
		}
	}
}

// W-01: an Origin is ours if it is the request's own, or the public URL's.
func TestOrigins(t *testing.T) {
	config := front.Config{Listen: local, PublicURL: address(t, "https://mcp.example.com/base")}
	for _, row := range []struct{ host, origin string }{
		{"localhost:8080", "http://localhost:8080"},
		{"localhost:8080", "HTTP://LOCALHOST:8080"},
		{"localhost", "http://localhost:80"},
		{"[::1]:8080", "http://[::1]:8080"},
		{"mcp.example.com", "https://mcp.example.com"},
		{"localhost:8080", "https://mcp.example.com"}, // a proxy before us wrote its own Host
		{"mcp.example.com", "https://mcp.example.com:443"},
	} {
		for _, method := range []string{"GET", "POST", "OPTIONS"} {
			checkServed(t, row.origin+" at "+row.host, config, asked(method, "/mcp", row.host, "Origin", row.origin))
		}
	}
	for _, origin := range []string{
		"", "null", "evil", "http://evil.example", "https://evil.example:8080", "http://localhost.evil", "http://localhost:8080.evil", "http://localhost.evil:8080", "http://localhost", "http://localhost:3000",
		"https://localhost:8080", "http://127.0.0.1:8080", "http://localhost:8080/", "http://localhost:8080 http://evil.example", "http://localhost:8080, http://evil.example", "http://evil@localhost:8080", "file://",
		"chrome-extension://abcdef", "http://mcp.example.com", "https://mcp.example.com:8443", "https://mcp.example.com.evil", "//localhost:8080", "localhost:8080",
	} {
		for _, method := range []string{"GET", "POST", "OPTIONS", "DELETE"} {
			checkRefused(t, fmt.Sprintf("%s %q", method, origin), config, asked(method, "/mcp", "localhost:8080", "Origin", origin), http.StatusForbidden, "origin")
		}
	}
	checkRefused(t, "two of them", config, asked("POST", "/mcp", "localhost:8080", "Origin", "http://localhost:8080", "Origin", "http://localhost:8080"), http.StatusForbidden, "origin")
	open := front.Config{Listen: "0.0.0.0:80"}
	checkServed(t, "its own", open, asked("POST", "/mcp", "box.example", "Origin", "http://box.example"))
	checkRefused(t, "another", open, asked("POST", "/mcp", "box.example", "Origin", "http://evil.example"), http.StatusForbidden, "origin")
}

// No page of another origin may read anything, whatever it asks.
func TestNoCORS(t *testing.T) {
	preflight := asked("OPTIONS", "/mcp", local, "Origin", "http://"+local, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization")
	w, _ := served(front.Config{Listen: local}, preflight)
	for name := range w.Header() {
		if strings.HasPrefix(name, "Access-Control-") {
			t.Errorf("the answer carries %s", name)
		}
	}
}

// a path that can be read in two ways is refused rather than cleaned.
func TestTargets(t *testing.T) {
	config := front.Config{Listen: local}
	for _, target := range []string{
		"/", "/mcp", "/mcp/", "/mcp/github", "/api/v1/servers/1?x=../y//z", "/api/v1/users/alice%40example.com", "/api/v1/users/a%2Bb", "/.well-known/oauth-protected-resource", "/a.b/..c/d..", "/MCP", "/%6dcp", "/mcp?a=%2f%5c",
	} {
		checkServed(t, target, config, asked("GET", target, local))
	}
	for _, target := range []string{
		"//mcp", "/mcp//x", "//", "/mcp/../api/v1/servers", "/mcp/..", "/..", "/.", "/./mcp", "/mcp/.", "/mcp/%2e%2e/api", "/%2e", "/mcp/.%2E/api", "/mcp%2fx", "/mcp%2Fx", "/mcp%5cx", "/mcp\\x", "/\\evil.example",
		"/mcp%00", "/mcp%0d%0aX:y", "/mcp%7f", "/mcp%09", "/mcp%252e%252e", "/mcp%252fx", "/mcp%25", "/mcp/x//",
	} {
		checkRefused(t, target, config, asked("GET", target, local), http.StatusBadRequest, "target")
	}
}

func TestAbsoluteTargets(t *testing.T) {
	for _, row := range []struct {
		listen, target string
		ours           bool
	}{
		{local, "http://localhost:8080/mcp", true},
		{local, "https://mcp.example.com/mcp", true},
		{local, "http://evil.example/mcp", false},
		{local, "ftp://localhost/mcp", false},
		{"0.0.0.0:8080", "https://mcp.example.com/mcp", true},
		{"0.0.0.0:8080", "http://evil.example/mcp", false},
		{"192.168.0.1:8080", "http://192.168.0.1:8080/mcp", true},
		{"192.168.0.1:8080", "http://127.0.0.1:8080/mcp", false},
	} {
		config := front.Config{Listen: row.listen, PublicURL: address(t, "https://mcp.example.com")}
		r := httptest.NewRequest("POST", row.target, nil) // takes Host from the target, as net/http does
		if row.ours {
			checkServed(t, row.target, config, r)
		} else {
			checkRefused(t, row.target+" at "+row.listen, config, r, http.StatusForbidden, "host")
		}
	}
}

// headers of proxies and frameworks change neither the method, nor the path, nor who is asked.
func TestRewritingHeadersAreOnlyHeaders(t *testing.T) {
	rewriting := map[string]string{
		"X-HTTP-Method-Override": "DELETE", "X-HTTP-Method": "DELETE", "X-Method-Override": "DELETE", "X-Original-URL": "/api/v1/servers", "X-Rewrite-URL": "/api/v1/servers", "X-Original-Uri": "/api/v1/servers",
		"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https", "X-Forwarded-For": "127.0.0.1", "X-Forwarded-Prefix": "/api", "X-Forwarded-Uri": "/api", "Forwarded": "host=evil.example;proto=https", "X-Host": "evil.example",
		"X-Request-Id": "chosen",
	}
	for name, value := range rewriting {
		w := httptest.NewRecorder()
		front.Wrap(front.Config{Listen: local}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, r.Method, " ", r.URL.Path, " ", r.Host)
		})).ServeHTTP(w, asked("POST", "/mcp", local, name, value))
		if w.Body.String() != "POST /mcp "+local || w.Header().Get("X-Request-Id") == "chosen" {
			t.Errorf("with %s: %s the handler sees %s", name, value, w.Body)
		}
	}
	checkRefused(t, "a forwarded host", front.Config{Listen: local}, asked("POST", "/mcp", "evil.example", "X-Forwarded-Host", local), http.StatusForbidden, "host")
	checkRefused(t, "a forwarded scheme", front.Config{Listen: local}, asked("POST", "/mcp", local, "X-Forwarded-Proto", "https", "Origin", "https://"+local), http.StatusForbidden, "origin")
}

// L-04, as far as it is not net/http that refuses.
func TestSizesAndEncodings(t *testing.T) {
	config := front.Config{Listen: local}
	long := func(n int) string { return "/" + strings.Repeat("x", n-1) }
	checkServed(t, "a target of 8 KiB", config, asked("GET", long(8<<10), local))
	checkRefused(t, "one more byte", config, asked("GET", long(8<<10+1), local), http.StatusRequestURITooLong, "length")
	checkServed(t, "headers of 16 KiB", config, asked("GET", "/", local, "X", strings.Repeat("x", 16<<10-5)))
	checkRefused(t, "one more byte", config, asked("GET", "/", local, "X", strings.Repeat("x", 16<<10-4)), http.StatusRequestHeaderFieldsTooLarge, "headers")
	many := asked("GET", "/", local)
	for i := range 10_000 {
		many.Header.Set(fmt.Sprint("X-", i), "")
	}
	checkRefused(t, "10,000 headers", config, many, http.StatusRequestHeaderFieldsTooLarge, "headers")
	for _, encoding := range []string{"identity", "Identity", ""} {
		checkServed(t, "Content-Encoding "+encoding, config, asked("POST", "/mcp", local, "Content-Encoding", encoding))
	}
	for _, encoding := range []string{"gzip", "br", "identity, gzip", "deflate", "x"} {
		checkRefused(t, "Content-Encoding "+encoding, config, asked("POST", "/mcp", local, "Content-Encoding", encoding), http.StatusUnsupportedMediaType, "encoding")
	}
	checkRefused(t, "two encodings", config, asked("POST", "/mcp", local, "Content-Encoding", "identity", "Content-Encoding", "gzip"), http.StatusUnsupportedMediaType, "encoding")
}

func FuzzJudgement(f *testing.F) {
	for _, seed := range [][3]string{{"localhost:8080", "", "/mcp"}, {"evil", "null", "//x"}, {"[::1]:1", "http://[::1]:1", "/a%2fb"}, {"127.0.0.1", "http://127.0.0.1:80", "/../x"}} {
		f.Add(seed[0], seed[1], seed[2])
	}
	f.Fuzz(func(t *testing.T, host, origin, path string) {
		target, err := url.ParseRequestURI(path)
		if err != nil {
			return
		}
		r := &http.Request{Method: "POST", URL: target, Host: host, Header: http.Header{"Origin": {origin}}, ProtoMajor: 1, ProtoMinor: 1}
		if _, reached := served(front.Config{Listen: local}, r); !reached {
			return
		}
		if h, _, _ := strings.Cut(strings.TrimPrefix(strings.ToLower(host), "["), "]"); !strings.HasPrefix(h, "localhost") && !strings.HasPrefix(h, "127.0.0.1") && h != "::1" {
			t.Errorf("the Host %q reaches the handler", host)
		}
		if !strings.HasPrefix(strings.ToLower(origin), "http://") {
			t.Errorf("the Origin %q reaches the handler", origin)
		}
		if strings.Contains(target.Path, "//") || strings.Contains(target.Path, "\\") || strings.Contains(target.Path, "/../") || strings.HasSuffix(target.Path, "/..") {
			t.Errorf("the path %q reaches the handler", target.Path)
		}
	})
}
