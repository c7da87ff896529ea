package front_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"mcpsidecar/internal/front"
)

// wire is a server that is spoken to in bytes. It notes every request that reaches its handler.
type wire struct {
	address string
	mu      sync.Mutex
	reached []string
	body    int // bytes of bodies that the handler read
}

func newWire(t *testing.T) *wire {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{address: listener.Addr().String()}
	server := front.NewServer(front.Wrap(front.Config{Listen: w.address}, w), nil)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		server.Serve(listener)
	}()
	t.Cleanup(func() { server.Close(); <-ended })
	return w
}

func (w *wire) ServeHTTP(answer http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	w.mu.Lock()
	w.reached = append(w.reached, r.Method+" "+r.URL.Path)
	w.body += len(body)
	w.mu.Unlock()
	if err != nil {
		http.Error(answer, "unreadable", http.StatusBadRequest)
		return
	}
	fmt.Fprintf(answer, "%s %s", r.Method, body)
}

func (w *wire) requests() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.reached, ", ")
}

// say sends bytes on a connection of their own and returns the statuses of the answers until the server closes it.
func (w *wire) say(t *testing.T, text string) (statuses []int) {
	t.Helper()
	conn, err := net.Dial("tcp", w.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(30 * time.Second)) // a server that leaves the connection open fails the test instead of hanging it
	go io.WriteString(conn, text)
	reader := bufio.NewReader(conn)
	for {
		answer, err := http.ReadResponse(reader, nil)
		if err != nil {
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				t.Errorf("the connection stays open after %q", text[:min(len(text), 80)])
			}
			return statuses
		}
		io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
		statuses = append(statuses, answer.StatusCode)
	}
}

const smuggled = "GET /smuggled HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

// W-06: of a request whose end two parsers could see in different places, nothing behind it is ever read as a request.
func TestNothingIsSmuggled(t *testing.T) {
	post := func(headers, body string) string {
		return "POST /first HTTP/1.1\r\nHost: localhost\r\n" + headers + "\r\n" + body + smuggled
	}
	for name, row := range map[string]struct {
		text   string
		status int // of the first answer
	}{
		"length and chunks":              {post("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 200},
		"chunks and length":              {post("Transfer-Encoding: chunked\r\nContent-Length: 6\r\n", "0\r\n\r\n"), 200},
		"two lengths":                    {post("Content-Length: 0\r\nContent-Length: 5\r\n", ""), 400},
		"a list of lengths":              {post("Content-Length: 0, 5\r\n", ""), 400},
		"a negative length":              {post("Content-Length: -1\r\n", ""), 400},
		"a length with a sign":           {post("Content-Length: +0\r\n", ""), 400},
		"a hexadecimal length":           {post("Content-Length: 0x0\r\n", ""), 400},
		"a length over lines":            {post("Content-Length: 0\r\n 5\r\n", ""), 400},
		"a space before the colon":       {post("Content-Length : 5\r\n", ""), 400},
		"an unknown coding":              {post("Transfer-Encoding: xchunked\r\n", ""), 501},
		"two codings":                    {post("Transfer-Encoding: chunked, identity\r\n", ""), 501},
		"coding twice":                   {post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", ""), 501},
		"a coding with a vertical tab":   {post("Transfer-Encoding: \x0bchunked\r\n", ""), 400},
		"a coding over lines":            {post("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n"), 200},
		"chunks in HTTP/1.0":             {"POST /first HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n" + smuggled, 200},
		"a bare LF after a chunk's size": {post("Transfer-Encoding: chunked\r\n", "1\nx\r\n0\r\n\r\n"), 400},
		"a bare CR after a chunk's size": {post("Transfer-Encoding: chunked\r\n", "1\rx\r\n0\r\n\r\n"), 400},
		"a bare LF in an extension":      {post("Transfer-Encoding: chunked\r\n", "1;a\nb\r\nx\r\n0\r\n\r\n"), 400},
		"a huge extension":               {post("Transfer-Encoding: chunked\r\n", "1;"+strings.Repeat("a", 64<<10)+"\r\nx\r\n0\r\n\r\n"), 400},
		"a huge chunk":                   {post("Transfer-Encoding: chunked\r\n", "fffffffffffffffff\r\nx\r\n0\r\n\r\n"), 400},
		"a negative chunk":               {post("Transfer-Encoding: chunked\r\n", "-1\r\nx\r\n0\r\n\r\n"), 400},
		"no end after a chunk":           {post("Transfer-Encoding: chunked\r\n", "1\r\nxy\r\n0\r\n\r\n"), 400},
		"a folded first header":          {"GET /first HTTP/1.1\r\n Host: localhost\r\n\r\n" + smuggled, 400},
		"a control character":            {post("X: a\x00b\r\n", ""), 400},
		"a CR in a header":               {post("X: a\rContent-Length: 5\r\n", ""), 400},
		"a header without a name":        {post(": x\r\n", ""), 400},
		"no Host":                        {"GET /first HTTP/1.1\r\n\r\n" + smuggled, 400},
		"two Hosts":                      {"GET /first HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n" + smuggled, 400},
		"spaces in the request line":     {"GET /first  HTTP/1.1\r\nHost: localhost\r\n\r\n" + smuggled, 400},
		"a version that is none":         {"GET /first HTTP/1.x\r\nHost: localhost\r\n\r\n" + smuggled, 400},
		"HTTP/2 without TLS":             {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + smuggled, 403},
		"OPTIONS *":                      {"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n" + smuggled, 400},
		"CONNECT":                        {"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n" + smuggled, 403},
	} {
		w := newWire(t)
		statuses := w.say(t, row.text)
		if fmt.Sprint(statuses) != fmt.Sprint([]int{row.status}) || strings.Contains(w.requests(), "smuggled") {
			t.Errorf("%s: statuses %v, want %d alone; the handler saw %s", name, statuses, row.status, w.requests())
		}
	}
}

// The control to the test above: what is sent properly one after the other is served so, on one connection.
func TestPipelinedRequestsAreServed(t *testing.T) {
	w := newWire(t)
	statuses := w.say(t, "POST /first HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}"+"GET /second HTTP/1.1\r\nHost: localhost\r\n\r\n"+smuggled)
	if fmt.Sprint(statuses) != "[200 200 200]" || w.requests() != "POST /first, GET /second, GET /smuggled" {
		t.Errorf("statuses %v, the handler saw %s", statuses, w.requests())
	}
}

func TestNoUpgradeToHTTP2(t *testing.T) {
	w := newWire(t)
	statuses := w.say(t, "GET /first HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n")
	if fmt.Sprint(statuses) != "[200]" {
		t.Errorf("statuses %v, want the answer in HTTP/1.1", statuses)
	}
}

// L-04, on the wire.
func TestLimitsOnTheWire(t *testing.T) {
	request := func(target, headers string) string {
		return "GET " + target + " HTTP/1.1\r\nHost: localhost\r\n" + headers + "\r\n" + smuggled
	}
	kilobytes := func(n int) string { return strings.Repeat("x", n<<10) }
	for name, row := range map[string]struct {
		text   string
		status int
	}{
		"headers of 17 KiB":          {request("/", "X: "+kilobytes(17)+"\r\n"), 431},
		"headers of 60 KiB":          {request("/", "X: "+kilobytes(60)+"\r\n"), 431},
		"headers of 2 MiB":           {request("/", "X: "+kilobytes(2048)+"\r\n"), 431},
		"headers that are many":      {request("/", strings.Repeat("a: b\r\n", 10_000)), 431},
		"a target of 9 KiB":          {request("/"+kilobytes(9), ""), 414},
		"a target of 64 KiB":         {request("/"+kilobytes(64), "X: "+kilobytes(8)+"\r\n"), 414},
		"a query of 64 KiB":          {request("/?"+kilobytes(64), ""), 414},
		"a body that is compressed":  {"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc" + smuggled, 415},
		"a body nobody will read":    {"POST / HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 67108864\r\n\r\n" + kilobytes(64), 403},
		"a dot segment in the path":  {request("/mcp/../admin", ""), 400},
		"an encoded slash":           {request("/mcp%2fx", ""), 400},
		"two slashes":                {request("//evil.example/mcp", ""), 400},
		"an absolute foreign target": {request("http://evil.example/mcp", ""), 403},
	} {
		w := newWire(t)
		if statuses := w.say(t, row.text); fmt.Sprint(statuses) != fmt.Sprint([]int{row.status}) || w.requests() != "" {
			t.Errorf("%s: statuses %v, want %d alone; the handler saw %s", name, statuses, row.status, w.requests())
		}
	}
	w := newWire(t)
	if statuses := w.say(t, "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX: "+kilobytes(15)+"\r\n\r\n"); fmt.Sprint(statuses) != "[200]" {
		t.Errorf("headers of 15 KiB: statuses %v", statuses)
	}
}

// A header that is folded over lines is one header, with a space, as RFC 9112 (5.2) has it; it is not two.
func TestFoldedHeadersAreOneHeader(t *testing.T) {
	w := newWire(t)
	statuses := w.say(t, "GET /first HTTP/1.1\r\nHost: localhost\r\nX: a\r\n Content-Encoding: gzip\r\nConnection: close\r\n\r\n"+smuggled)
	if fmt.Sprint(statuses) != "[200]" || w.requests() != "GET /first" {
		t.Errorf("statuses %v, the handler saw %s", statuses, w.requests())
	}
}
