package front_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mcpsidecar/internal/front"
)

// pipes is a listener whose connections are in memory, so that they live in a test's own time.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080} }

// dial opens a connection to a server that lives for the test.
func dial(t *testing.T, handler http.HandlerFunc, logger *slog.Logger) net.Conn {
	server := front.NewServer(front.Wrap(front.Config{Listen: local}, handler), logger)
	p := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	go server.Serve(p)
	client, far := net.Pipe()
	p.conns <- far
	t.Cleanup(func() { client.Close(); server.Close() })
	return client
}

// endOf says after how long the server closes a connection on which nothing more is sent.
func endOf(conn net.Conn) time.Duration {
	started := time.Now()
	io.Copy(io.Discard, conn)
	return time.Since(started)
}

// headers that trickle in are waited for ten seconds in all, a connection without a request two minutes.
func TestPatience(t *testing.T) {
	for name, row := range map[string]struct {
		before func(net.Conn)
		want   time.Duration
	}{
		"nothing at all": {func(net.Conn) {}, 10 * time.Second},
		"half a request": {func(c net.Conn) { io.WriteString(c, "GET / HTTP/1.1\r\nHost: local") }, 10 * time.Second},
		"idle": {func(c net.Conn) {
			io.WriteString(c, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
			answer, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil || answer.StatusCode != 200 {
				t.Errorf("%v %v", answer, err)
			}
			io.Copy(io.Discard, answer.Body)
		}, 2 * time.Minute},
	} {
		synctest.Test(t, func(t *testing.T) {
			conn := dial(t, func(http.ResponseWriter, *http.Request) {}, nil)
			row.before(conn)
			if got := endOf(conn); got != row.want {
				t.Errorf("%s: closed after %v, want %v", name, got, row.want)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		conn := dial(t, func(http.ResponseWriter, *http.Request) {}, nil)
		var writer sync.WaitGroup
		defer writer.Wait()
		writer.Go(func() {
			for range 100 {
				if _, err := io.WriteString(conn, "G"); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		})
		if got := endOf(conn); got != 10*time.Second {
			t.Errorf("a byte per second: closed after %v, want 10s", got)
		}
	})
}

// L-01, R-02: a handler that answers without reading is not kept by a body that does not come, and the answer does not wait for it.
func TestBodiesThatNobodyReads(t *testing.T) {
	answerers := map[string]http.HandlerFunc{
		"a status": func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusUnauthorized) },
		"a body": func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, strings.Repeat("x", 4000), http.StatusUnauthorized)
		},
		"some of it read": func(w http.ResponseWriter, r *http.Request) {
			io.ReadFull(r.Body, make([]byte, 1))
			w.WriteHeader(401)
		},
		"a limit": func(w http.ResponseWriter, r *http.Request) {
			io.ReadAll(http.MaxBytesReader(w, r.Body, 1))
			w.WriteHeader(401)
		},
	}
	for body, row := range map[string]struct {
		text   string
		closed time.Duration
	}{
		"chunked":      {"Transfer-Encoding: chunked\r\n\r\nff\r\nxx", 5 * time.Second},
		"small":        {"Content-Length: 100\r\n\r\nxx", 5 * time.Second},
		"medium":       {"Content-Length: 100000\r\n\r\nxx", 5 * time.Second},
		"large":        {"Content-Length: 67108864\r\n\r\nxx", 500 * time.Millisecond}, // what net/http itself waits before it closes
		"expected":     {"Content-Length: 100\r\nExpect: 100-continue\r\n\r\nxx", 5 * time.Second},
		"not to admit": {"Content-Length: 100\r\nOrigin: http://evil.example\r\n\r\nxx", 5 * time.Second},
	} {
		for name, handler := range answerers {
			synctest.Test(t, func(t *testing.T) {
				conn := dial(t, handler, nil)
				go io.WriteString(conn, "POST / HTTP/1.1\r\nHost: localhost\r\n"+row.text)
				started := time.Now()
				reader := bufio.NewReader(conn)
				answer, err := http.ReadResponse(reader, nil)
				for err == nil && answer.StatusCode == http.StatusContinue {
					answer, err = http.ReadResponse(reader, nil)
				}
				if err != nil || answer.StatusCode/100 != 4 {
					t.Fatalf("%s, %s: %v %v", body, name, answer, err)
				}
				if took := time.Since(started); took > 5*time.Second || took > 0 && body != "small" {
					t.Errorf("%s, %s: the answer took %v", body, name, took)
				}
				io.Copy(io.Discard, reader)
				if took := time.Since(started); took > row.closed {
					t.Errorf("%s, %s: closed after %v, want at most %v", body, name, took, row.closed)
				}
			})
		}
	}
}

// L-05: a body whose time was up has none left for the rest of it.
func TestABodyThatWasGivenUpIsNotWaitedForAgain(t *testing.T) {
	for name, text := range map[string]string{"small": "Content-Length: 100\r\n\r\nxx", "chunked": "Transfer-Encoding: chunked\r\n\r\nff\r\nxx"} {
		synctest.Test(t, func(t *testing.T) {
			conn := dial(t, func(w http.ResponseWriter, r *http.Request) {
				http.NewResponseController(w).SetReadDeadline(time.Now().Add(30 * time.Second))
				if _, err := io.ReadAll(r.Body); err == nil {
					t.Errorf("%s: the body came", name)
				}
				w.WriteHeader(http.StatusRequestTimeout)
			}, nil)
			go io.WriteString(conn, "POST / HTTP/1.1\r\nHost: localhost\r\n"+text)
			if took := endOf(conn); took > 30*time.Second+500*time.Millisecond { // which net/http waits before it closes
				t.Errorf("%s: closed after %v", name, took)
			}
		})
	}
}

// A body that was read leaves the connection as it was, and so does a small one that was not.
func TestConnectionsAreReused(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"read":   func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body); time.Sleep(time.Minute) },
		"unread": func(http.ResponseWriter, *http.Request) {},
	} {
		synctest.Test(t, func(t *testing.T) {
			conn := dial(t, handler, nil)
			reader := bufio.NewReader(conn)
			for range 3 {
				io.WriteString(conn, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}")
				answer, err := http.ReadResponse(reader, nil)
				if err != nil || answer.Close {
					t.Fatalf("%s: %v %v", name, answer, err)
				}
				io.Copy(io.Discard, answer.Body)
				time.Sleep(time.Minute) // longer than any deadline that might be left over
			}
		})
	}
}

// Streams have no deadline of the server's, and handlers can set their own, and flush.
func TestStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failures := make(chan error, 1)
		conn := dial(t, func(w http.ResponseWriter, r *http.Request) {
			control := http.NewResponseController(w)
			w.Write([]byte("first"))
			err := control.Flush()
			time.Sleep(time.Hour)
			w.Write([]byte("later"))
			failures <- errors.Join(err, control.Flush(), control.SetReadDeadline(time.Time{}), control.SetWriteDeadline(time.Now().Add(time.Minute)), control.EnableFullDuplex())
		}, nil)
		io.WriteString(conn, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		started := time.Now()
		part := make([]byte, 5)
		io.ReadFull(answer.Body, part)
		if string(part) != "first" || time.Since(started) != 0 {
			t.Errorf("%q after %v: flushing does not send", part, time.Since(started))
		}
		if rest, err := io.ReadAll(answer.Body); string(rest) != "later" || err != nil || time.Since(started) != time.Hour {
			t.Errorf("%q after %v (%v)", rest, time.Since(started), err)
		}
		if err := <-failures; err != nil {
			t.Errorf("the controller: %v", err)
		}
	})
}

// A panic after half an answer must not look like a whole one on the wire, and what the server itself has to say goes to the log.
func TestHalfAnAnswerIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		conn := dial(t, func(w http.ResponseWriter, r *http.Request) {
			w.Write([]byte("half"))
			w.(http.Flusher).Flush()
			panic("surprise")
		}, slog.New(slog.NewJSONHandler(&log, nil)))
		io.WriteString(conn, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(answer.Body); string(body) != "half" || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("the client reads %q and %v, want the half and an unexpected end", body, err)
		}
		if log.Len() > 0 {
			t.Errorf("the server logs what front has logged already: %s", &log)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		conn := dial(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(200); w.WriteHeader(200) }, slog.New(slog.NewJSONHandler(&log, nil)))
		io.WriteString(conn, "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
		io.Copy(io.Discard, conn)
		synctest.Wait()
		if !strings.Contains(log.String(), `"level":"WARN","msg":"http: superfluous`) {
			t.Errorf("the server's own words are not in the log: %q", &log)
		}
	})
}
