package outbound_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"mcpsidecar/internal/outbound"
)

// What is sent directly is what net/http would send, in whatever order; and what net/http refuses is not sent.
func TestRequestsAreThoseOfNetHTTP(t *testing.T) {
	heads := make(chan []string, 1)
	s := speak(t, func(p *peer) {
		lines, err := headOf(p.reader)
		if err != nil {
			return
		}
		heads <- lines
		p.say("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
	})
	c := s.client()
	for _, test := range []struct {
		what, method, target, body string
		change                     func(*http.Request)
	}{
		{"a call", "POST", "/mcp", `{"id":1}`, nil},
		{"nothing posted", "POST", "/mcp", "", nil},
		{"a question", "GET", "/mcp?a=b&c=%20d", "", nil},
		{"an end", "DELETE", "/mcp/", "", nil},
		{"an end with words", "DELETE", "/mcp", "x", nil},
		{"the root", "GET", "", "", nil},
		{"a query at the root", "GET", "?x", "", nil},
		{"an escaped path", "GET", "/a%2Fb/%C3%A4", "", nil},
		{"a bare question mark", "GET", "/a?", "", nil},
		{"a space in the query", "GET", "/a?b c", "", nil},
		{"many headers", "POST", "/", "x", header("A", "1", "A", "2", "Content-Type", "x/y", "X-Empty", "", "X-Tab", "a\tb", "X-Trim", "  a ", "X-Ä", "")},
		{"headers of others", "POST", "/", "x", header("X-Text", "grüße", "Authorization", "Bearer x")},
		{"its own name", "GET", "/", "", header("User-Agent", "sidecar/1")},
		{"no name", "GET", "/", "", header("User-Agent", "")},
		{"no values", "GET", "/", "", func(r *http.Request) { r.Header["X-None"], r.Header["User-Agent"] = nil, nil }},
		{"another host", "GET", "/", "", func(r *http.Request) { r.Host = "other.example:81" }},
		{"a host with a path", "GET", "/", "", func(r *http.Request) { r.Host = "other.example/x" }},
		{"a host with a line", "GET", "/", "", func(r *http.Request) { r.Host = "other.example\r\nX: y" }},
		{"headers that follow from others", "POST", "/", "x", header("Host", "evil.example", "Content-Length", "99", "Transfer-Encoding", "chunked", "Trailer", "X")},
		{"a length in small letters", "POST", "/", "x", func(r *http.Request) { r.Header["content-length"] = []string{"0"} }},
		{"a connection to close", "GET", "/", "", func(r *http.Request) { r.Close = true }},
		{"a header of the connection", "GET", "/", "", header("Connection", "close")},
		{"a line in a value", "GET", "/", "", header("X", "a\r\nY: b")},
		{"a bare line feed", "GET", "/", "", header("X", "a\nY: b")},
		{"a zero in a value", "GET", "/", "", header("X", "a\x00b")},
		{"a line in a name", "GET", "/", "", func(r *http.Request) { r.Header["X\r\nY"] = []string{"b"} }},
		{"a space in a name", "GET", "/", "", func(r *http.Request) { r.Header["X Y"] = []string{"b"} }},
		{"a colon in a name", "GET", "/", "", func(r *http.Request) { r.Header["X:"] = []string{"b"} }},
		{"an empty name", "GET", "/", "", func(r *http.Request) { r.Header[""] = []string{"b"} }},
		{"a line in the name of the client", "GET", "/", "", header("User-Agent", "a\r\nY: b")},
		{"a method of its own", "PURGE", "/", "", nil},
		{"a method with a space", "GET", "/", "", func(r *http.Request) { r.Method = "GET / HTTP/1.1\r\nX:" }},
		{"no method", "GET", "/", "", func(r *http.Request) { r.Method = "" }},
		{"no headers", "GET", "/", "", func(r *http.Request) { r.Header = nil }},
		{"an opaque URL", "GET", "/", "", func(r *http.Request) { r.URL.Opaque = "/x\r\nY: b" }},
		{"a path with a line", "GET", "/", "", func(r *http.Request) { r.URL.Path = "/x\r\nY: b" }},
		{"a query with a line", "GET", "/", "", func(r *http.Request) { r.URL.RawQuery = "x\r\nY: b" }},
	} {
		send := func(transport http.RoundTripper) ([]string, error) {
			r, err := http.NewRequestWithContext(t.Context(), test.method, s.url+test.target, strings.NewReader(test.body))
			if err != nil {
				t.Fatal(err)
			}
			if test.change != nil {
				test.change(r)
			}
			answer, err := transport.RoundTrip(r)
			if err != nil {
				return nil, errors.New("refused")
			}
			answer.Body.Close()
			return <-heads, nil
		}
		want, wantErr := send(outbound.Other(c))
		got, gotErr := send(c.Transport)
		if !slices.Equal(got, want) || (gotErr == nil) != (wantErr == nil) {
			t.Errorf("%s: sent %q (%v), net/http sends %q (%v)", test.what, got, gotErr, want, wantErr)
		}
	}
}

func header(pairs ...string) func(*http.Request) {
	return func(r *http.Request) {
		for pair := range slices.Chunk(pairs, 2) {
			r.Header.Add(pair[0], pair[1])
		}
	}
}

// headOf returns the lines of a head, sorted but for the first.
func headOf(r *bufio.Reader) ([]string, error) {
	var lines []string
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return nil, err
		}
		if line == "\r\n" {
			slices.Sort(lines[1:])
			return lines, nil
		}
		lines = append(lines, line)
	}
}

// source is a body that tells what was done with it.
type source struct {
	io.Reader
	closed int
}

func (s *source) Close() error {
	s.closed++
	return nil
}

var errSource = errors.New("the body cannot be read")

// A body that is not what its length says is not sent, costs no connection, and is closed like every other.
func TestBodiesOfRequests(t *testing.T) {
	for _, test := range []struct {
		what string
		body io.Reader
		size int64
		want string
	}{
		{"right", strings.NewReader("body"), 4, ""},
		{"in pieces", io.MultiReader(strings.NewReader("bo"), strings.NewReader("dy")), 4, ""},
		{"short", strings.NewReader("bod"), 4, "shorter"},
		{"empty", strings.NewReader(""), 4, "shorter"},
		{"long", strings.NewReader("body!"), 4, "longer"},
		{"broken", io.MultiReader(strings.NewReader("bo"), broken{}), 4, errSource.Error()},
		{"as large as may be", bytes.NewReader(make([]byte, 16<<10)), 16 << 10, ""},
	} {
		s := speak(t, polite)
		c := s.client()
		if _, _, err := s.ask(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		body := &source{Reader: test.body}
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url, body)
		r.ContentLength, r.GetBody = test.size, func() (io.ReadCloser, error) { return nil, errSource }
		answer, err := c.Transport.RoundTrip(r)
		if err == nil {
			answer.Body.Close()
		}
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", test.what, err, test.want)
		}
		if body.closed == 0 {
			t.Errorf("%s: the body was not closed", test.what)
		}
		if n := outbound.Idle(c); test.want != "" && n != 1 {
			t.Errorf("%s: %d connections are idle, want the one on which nothing was sent", test.what, n)
		}
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errSource }
