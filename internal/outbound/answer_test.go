package outbound_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"mcpsidecar/internal/outbound"
)

func itoa(n int) string { return strconv.Itoa(n) }

const (
	kept    = true
	dropped = false
)

// answers are what servers say to a request, how it is read, and whether the connection carries another.
var answers = []struct {
	what, text string
	status     int // 0: refused
	body       string
	kept       bool
}{
	{"a length", sized("one"), 200, "one", kept},
	{"nothing", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, "", kept},
	{"chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\non\r\n1\r\ne\r\n0\r\n\r\n", 200, "one", kept},
	{"chunks with trailers", "HTTP/1.1 200 OK\r\nTrailer: Sum\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n0\r\nSum: 1\r\n\r\n", 200, "one", kept},
	{"lines without CR", "HTTP/1.1 200 OK\nContent-Length: 3\n\none", 200, "one", kept},
	{"a long head", "HTTP/1.1 200 OK\r\nLong: " + strings.Repeat("x", 9000) + "\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n0\r\n\r\n", 200, "one", kept},
	{"an error status", "HTTP/1.1 503 Busy\r\nContent-Length: 3\r\n\r\none", 503, "one", kept},
	{"204", "HTTP/1.1 204 No Content\r\n\r\n", 204, "", kept},
	{"204 with an empty body", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", 204, "", kept},
	{"304 that tells its length", "HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n", 304, "", kept},
	{"hints before", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + sized("one"), 200, "one", kept},
	{"five hints before", strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 5) + sized("one"), 200, "one", kept},

	{"close", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\none", 200, "one", dropped},
	{"HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\none", 200, "one", dropped},
	{"HTTP/1.0 that would go on", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\none", 200, "one", dropped},
	{"HTTP/2.0 in words", "HTTP/2.0 200 OK\r\nContent-Length: 3\r\n\r\none", 200, "one", dropped},

	// Whatever may mean two things, or is more than was asked for, must not be in the way of the next answer.
	{"a byte too many", sized("one") + "!", 200, "one", dropped},
	{"two answers", sized("one") + sized("stray"), 200, "one", dropped},
	{"two answers, the first empty", sized("") + sized("stray"), 200, "", dropped},
	{"chunks and an answer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n0\r\n\r\n" + sized("stray"), 200, "one", dropped},
	{"204 and an answer", "HTTP/1.1 204 No Content\r\n\r\n" + sized("stray"), 204, "", dropped},
	{"204 with a length", "HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n", 204, "", dropped},
	{"204 in chunks", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", 204, "", dropped},
	{"304 in chunks", "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", 304, "", dropped},
	{"304 in chunks that net/http does not see", "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding : chunked\r\n\r\n", 304, "", dropped},
	{"hints before a length and chunks", "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n0\r\n\r\n", 200, "one", dropped},
	{"hints with a length", "HTTP/1.1 103 Early Hints\r\nContent-Length: 3\r\n\r\n" + sized("one"), 200, "one", dropped},
	{"a length and chunks", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n0\r\n\r\n", 200, "one", dropped},
	{"chunks and a length", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n3\r\none\r\n0\r\n\r\n", 200, "one", dropped},
	{"chunks that net/http does not see", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding : chunked\r\n\r\none", 200, "one", dropped},
	{"a length twice", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\none", 200, "one", dropped},

	{"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\none", 0, "not valid HTTP", dropped},
	{"a negative length", "HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\none", 0, "not valid HTTP", dropped},
	{"an unknown encoding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\none", 0, "not valid HTTP", dropped},
	{"no status", "HTTP/1.1 OK\r\n\r\n", 0, "not valid HTTP", dropped},
	{"another protocol", "220 mail.example ESMTP\r\n", 0, "not valid HTTP", dropped},
	{"an empty line", "\r\n" + sized("one"), 0, "not valid HTTP", dropped},
	{"a header without a name", "HTTP/1.1 200 OK\r\n: x\r\n\r\n", 0, "not valid HTTP", dropped},
	{"101", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", 0, "another protocol", dropped},
	{"hints without end", strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 6) + sized("one"), 0, "too many interim", dropped},
	{"one endless header", "HTTP/1.1 200 OK\r\nLong: " + strings.Repeat("x", 70<<10), 0, "too long", dropped},
	{"endless headers", "HTTP/1.1 200 OK\r\n" + strings.Repeat("A: b\r\n", 20<<10), 0, "too long", dropped},
	{"long hints", strings.Repeat("HTTP/1.1 103 Early Hints\r\nA: "+strings.Repeat("x", 20<<10)+"\r\n\r\n", 4) + sized("one"), 0, "too long", dropped},
	{"a bad chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\none\r\n0\r\n\r\n", 200, "", dropped},
}

// Each answer is read as it must be, in the clear and over TLS, in one piece and torn; and the request after it gets its own answer.
func TestAnswers(t *testing.T) {
	ways := map[string]struct {
		start func(testing.TB, func(*peer)) *raw
		say   func(*peer, string)
	}{
		"in the clear":    {speak, (*peer).say},
		"over TLS":        {speakTLS, (*peer).say},
		"torn":            {speak, torn},
		"torn, over TLS":  {speakTLS, torn},
		"records at once": {speakTLS, atOnce},
	}
	for way, how := range ways {
		for _, test := range answers {
			t.Run(way+"/"+test.what, func(t *testing.T) {
				s := how.start(t, func(p *peer) {
					for p.request() {
						if p.server.requests.Load() == 1 {
							how.say(p, test.text)
						} else {
							p.say(sized("second"))
						}
					}
				})
				c := s.client()
				answer, body, err := s.ask(t.Context(), c)
				switch {
				case test.status == 0:
					if err == nil || !strings.Contains(err.Error(), test.body) {
						t.Errorf("got %v, want an error with %q", err, test.body)
					}
				case test.what == "a bad chunk":
					if err == nil {
						t.Errorf("got %q, want an error", body)
					}
				case err != nil || answer.StatusCode != test.status || body != test.body:
					t.Errorf("got %v, %q (%v), want %d, %q", answer, body, err, test.status, test.body)
				}
				if _, body, err = s.ask(t.Context(), c); err != nil || body != "second" {
					t.Errorf("the next request got %q (%v)", body, err)
				}
				if n := s.accepted.Load(); (n == 1) != test.kept {
					t.Errorf("%d connections for two requests", n)
				}
			})
		}
	}
}

// torn says a head in pieces, each in a segment or record of its own. The rest is one: what arrives while the next request is under way cannot be told from its answer, by anybody.
func torn(p *peer, text string) {
	head, _, _ := strings.Cut(text, "\r\n\r\n")
	for size := len(head)/5 + 1; len(head) > size; head, text = head[size:], text[size:] {
		p.say(text[:size])
	}
	p.say(text)
}

// atOnce says a text in records of TLS that arrive together.
func atOnce(p *peer, text string) {
	p.hold = true
	for i := range 4 {
		p.say(text[len(text)*i/4 : len(text)*(i+1)/4])
	}
	p.hold = false
	p.tcp.Write(p.held)
	p.held = nil
}

func TestTrailersArrive(t *testing.T) {
	s := speak(t, func(p *peer) {
		p.request()
		p.say("HTTP/1.1 200 OK\r\nTrailer: Sum\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n0\r\nSum: 1\r\n\r\n")
	})
	answer, _, err := s.ask(t.Context(), s.client())
	if err != nil || answer.Trailer.Get("Sum") != "1" {
		t.Errorf("got %v (%v)", answer, err)
	}
}

// An answer that nobody asked for must never be taken for the next one's, however it comes.
func TestStrayAnswers(t *testing.T) {
	for name, start := range map[string]func(testing.TB, func(*peer)) *raw{"in the clear": speak, "over TLS": speakTLS} {
		for what, stray := range map[string]string{"an answer": sized("stray"), "a byte": "H", "hints": "HTTP/1.1 103 Early Hints\r\n\r\n"} {
			t.Run(name+"/"+what, func(t *testing.T) {
				idle, sent := make(chan struct{}), make(chan struct{})
				s := start(t, func(p *peer) {
					p.request()
					if p.nth > 1 {
						p.say(sized("second"))
						p.gone()
						return
					}
					p.say(sized("first"))
					<-idle
					p.say(stray)
					close(sent)
					p.gone()
				})
				c := s.client()
				if _, body, err := s.ask(t.Context(), c); err != nil || body != "first" {
					t.Fatalf("got %q (%v)", body, err)
				}
				if n := outbound.Idle(c); n != 1 {
					t.Fatalf("%d connections are idle, want 1", n)
				}
				close(idle)
				<-sent
				if _, body, err := s.ask(t.Context(), c); err != nil || body != "second" {
					t.Errorf("got %q (%v)", body, err)
				}
			})
		}
	}
}

// What comes after an answer may be held back by TLS, where nobody else sees it: a record, or a part of one.
func TestHeldBackRecordsSpoilTheConnection(t *testing.T) {
	for what, cut := range map[string]int{"a record": 0, "part of a record": 10, "the begin of a record's head": len(sized("stray")) + 20} {
		s := speakTLS(t, func(p *peer) {
			p.request()
			p.hold = true
			p.say(sized("first"))
			p.say(sized("stray"))
			p.tcp.Write(p.held[:len(p.held)-cut])
			p.gone()
		})
		c := s.client()
		if _, body, err := s.ask(t.Context(), c); err != nil || body != "first" {
			t.Fatalf("%s: got %q (%v)", what, body, err)
		}
		if n := outbound.Idle(c); n != 0 {
			t.Errorf("%s: %d connections are idle, want none", what, n)
		}
	}
}

// A connection that ends early is an error, which says that the outcome is unknown.
func TestAnswersThatEndEarly(t *testing.T) {
	for what, text := range map[string]string{
		"nothing":      "",
		"half a line":  "HTTP/1.1 2",
		"half a head":  "HTTP/1.1 200 OK\r\nContent-Le",
		"no body":      "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n",
		"half a body":  "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\non",
		"half a chunk": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\no",
		"no end":       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n",
	} {
		s := speak(t, func(p *peer) {
			p.request()
			p.say(text)
		})
		c := s.client()
		_, body, err := s.ask(t.Context(), c)
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: got %q (%v), want an unexpected end", what, body, err)
		}
		if n := outbound.Idle(c); n != 0 {
			t.Errorf("%s: %d connections are idle", what, n)
		}
	}
}

// A body without a length lasts until the connection ends.
func TestBodiesWithoutLength(t *testing.T) {
	s := speak(t, func(p *peer) {
		p.request()
		p.say("HTTP/1.1 200 OK\r\n\r\none")
	})
	c := s.client()
	if _, body, err := s.ask(t.Context(), c); err != nil || body != "one" {
		t.Errorf("got %q (%v)", body, err)
	}
	if n := outbound.Idle(c); n != 0 {
		t.Errorf("%d connections are idle", n)
	}
}

func TestSlowHeaders(t *testing.T) {
	for what, text := range map[string]string{"nothing": "", "half a head": "HTTP/1.1 200 OK\r\nA: ", "hints": "HTTP/1.1 103 Early Hints\r\n\r\n"} {
		for name, start := range map[string]func(testing.TB, func(*peer)) *raw{"in the clear": speak, "over TLS": speakTLS} {
			s := start(t, func(p *peer) {
				p.request()
				p.say(text)
				p.gone()
			})
			_, _, err := s.ask(t.Context(), s.clientWith(func(c *outbound.Config) { c.HeaderTimeout = 20 * time.Millisecond }))
			var timeout net.Error
			if !errors.As(err, &timeout) || !timeout.Timeout() {
				t.Errorf("%s, %s: got %v, want a time-out", what, name, err)
			}
		}
	}
}

// The time for headers is not the time for bodies.
func TestHeaderTimeoutEndsWithTheHead(t *testing.T) {
	t.Parallel()
	const patience = time.Second
	passed := make(chan struct{})
	s := speak(t, func(p *peer) {
		p.request()
		p.say("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n")
		<-passed
		p.say("one")
	})
	c := s.clientWith(func(c *outbound.Config) { c.HeaderTimeout = patience })
	answer, err := s.send(t.Context(), c, "{}")
	for tries := 1; err != nil && tries < 60; tries++ { // on a machine that takes so long for a head, it does not end with it
		answer, err = s.send(t.Context(), c, "{}")
	}
	if err != nil {
		close(passed)
		t.Fatal(err)
	}
	time.Sleep(patience + patience/10) // the time must pass: nothing else shows that it does not count
	close(passed)
	if body, err := io.ReadAll(answer.Body); err != nil || string(body) != "one" {
		t.Errorf("got %q (%v)", body, err)
	}
}

// A server that has had enough of a request says so before it has read it.
func TestEarlyRefusals(t *testing.T) {
	s := speak(t, func(p *peer) {
		for line := ""; line != "\r\n"; {
			line, _ = p.reader.ReadString('\n')
		}
		p.say("HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig")
		p.tcp.CloseWrite()
		p.gone()
	})
	answer, err := s.send(t.Context(), s.client(), strings.Repeat("x", 16<<10))
	if err != nil || answer.StatusCode != http.StatusRequestEntityTooLarge {
		t.Fatalf("got %v (%v)", answer, err)
	}
	if body, err := io.ReadAll(answer.Body); string(body) != "big" || err != nil {
		t.Errorf("got %q (%v)", body, err)
	}
}
