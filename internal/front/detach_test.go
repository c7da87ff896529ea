package front_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mcpsidecar/internal/front"
	"mcpsidecar/internal/rawtcp"
)

// detaching is a server whose handler detaches each answer and returns.
type detaching struct {
	address  string
	gate     *front.Gate
	returned chan struct{} // receives when a handler has returned
	counted  chan string   // what was counted
	refused  atomic.Int64  // answers that could not be detached
}

func newDetaching(t *testing.T, answer func(w http.ResponseWriter, r *http.Request)) *detaching {
	t.Helper()
	d := &detaching{returned: make(chan struct{}, 10), counted: make(chan string, 10)}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d.address = listener.Addr().String()
	d.gate = front.Wrap(front.Config{Listen: d.address, Count: func(route string, status int, _ time.Duration) { d.counted <- fmt.Sprint(route, " ", status) }},
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer func() { d.returned <- struct{}{} }()
			io.Copy(io.Discard, r.Body)
			if !front.Detach(r, func() { answer(w, r) }) {
				d.refused.Add(1)
				answer(w, r)
			}
		}))
	server := front.NewServer(d.gate, nil)
	watch := func() error { return nil }
	if watching {
		listener, watch = watched(t, listener)
		server.ConnContext = rawtcp.Context
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		server.Serve(listener)
	}()
	t.Cleanup(func() {
		server.Close()
		<-ended
		d.gate.Close()
		watch()
	})
	return d
}

// watching says that connections are watched, as they are in the program: then detached answers have no listener of their own.
var watching bool

func watched(t *testing.T, inner net.Listener) (listener net.Listener, stop func() error) {
	t.Helper()
	watch, err := rawtcp.NewWatch()
	if err != nil {
		t.Fatal(err)
	}
	return rawtcp.Listener{Listener: inner, Watch: watch}, watch.Close
}

func TestDetachedAnswersOnWatchedConnections(t *testing.T) {
	watching = true
	defer func() { watching = false }()
	t.Run("it goes on", TestADetachedAnswerGoesOnWhenTheHandlerHasReturned)
	t.Run("its client leaves", TestWhoeverLeavesEndsTheContext)
	t.Run("it panics", TestADetachedPanicCutsTheConnection)
	t.Run("it is waited for and cut", TestAGateWaitsForWhatIsDetachedAndCutsIt)
	t.Run("something follows the request", TestNothingIsReadAsARequestBehindADetachedOne)
	t.Run("it has no body", TestAnswersWithoutABody)
	t.Run("it cannot be", TestSomeAnswersCannotBeDetached)
}

// send sends bytes on a connection of their own and reads the head of the answer.
func (d *detaching) send(t *testing.T, text string) (net.Conn, *http.Response) {
	t.Helper()
	conn, err := net.Dial("tcp", d.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(30 * time.Second)) // a server that says nothing fails the test instead of hanging it
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	return conn, response
}

const get = "GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n"

func TestADetachedAnswerGoesOnWhenTheHandlerHasReturned(t *testing.T) {
	more := make(chan string)
	large := strings.Repeat("x", 100_000)
	d := newDetaching(t, func(w http.ResponseWriter, r *http.Request) {
		front.SetRoute(r.Context(), "standing")
		w.Header().Set("Content-Type", "text/event-stream")
		w.WriteHeader(http.StatusAccepted)
		for text := range more {
			fmt.Fprint(w, text)
			http.NewResponseController(w).Flush()
		}
		fmt.Fprint(w, "the ", "end")
	})
	go func() { more <- "begun" }()
	_, response := d.send(t, get)
	<-d.returned
	for _, text := range []string{"begun", "one", large, ""} {
		if text != "begun" {
			more <- text
		}
		got := make([]byte, len(text))
		if _, err := io.ReadFull(response.Body, got); err != nil || string(got) != text {
			t.Fatalf("%.20q arrives as %.20q, %v", text, got, err)
		}
	}
	close(more)
	if rest, err := io.ReadAll(response.Body); err != nil || string(rest) != "the end" {
		t.Errorf("then comes %q, %v", rest, err)
	}
	if !response.Close || response.StatusCode != http.StatusAccepted || response.Header.Get("Date") == "" || response.Header.Get("X-Request-Id") == "" || response.Header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("the head is %d %v, closing: %v", response.StatusCode, response.Header, response.Close)
	}
	if got := <-d.counted; got != "standing 202" || len(d.counted) > 0 || d.refused.Load() != 0 {
		t.Errorf("it is counted as %q, and %d times more; %d were not detached", got, len(d.counted), d.refused.Load())
	}
}

func TestWhoeverLeavesEndsTheContext(t *testing.T) {
	for name, leave := range map[string]func(*net.TCPConn){
		"closes":          func(c *net.TCPConn) { c.Close() },
		"breaks off":      func(c *net.TCPConn) { c.SetLinger(0); c.Close() },
		"says no more":    func(c *net.TCPConn) { c.CloseWrite() },
		"says all things": func(c *net.TCPConn) { io.WriteString(c, strings.Repeat("x", 100_000)) },
	} {
		if watching && name == "says all things" {
			continue // it is not listened to
		}
		t.Run(name, func(t *testing.T) {
			over := make(chan struct{})
			d := newDetaching(t, func(w http.ResponseWriter, r *http.Request) {
				http.NewResponseController(w).Flush()
				<-r.Context().Done()
				close(over)
			})
			conn, _ := d.send(t, "POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}")
			leave(conn.(*net.TCPConn))
			<-over
		})
	}
}

func TestADetachedPanicCutsTheConnection(t *testing.T) {
	for name, cause := range map[string]any{"a bug": "oops", "on purpose": http.ErrAbortHandler} {
		d := newDetaching(t, func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, "half")
			http.NewResponseController(w).Flush()
			panic(cause)
		})
		_, response := d.send(t, get)
		if text, err := io.ReadAll(response.Body); string(text) != "half" || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: the client reads %q, %v", name, text, err)
		}
		if got := <-d.counted; got != "other 200" {
			t.Errorf("%s: it is counted as %q", name, got)
		}
	}
	d := newDetaching(t, func(http.ResponseWriter, *http.Request) { panic("before anything was said") })
	if _, response := d.send(t, get); response.StatusCode != http.StatusInternalServerError {
		t.Errorf("it is answered with %s", response.Status)
	}
}

func TestAGateWaitsForWhatIsDetachedAndCutsIt(t *testing.T) {
	over := make(chan struct{})
	d := newDetaching(t, func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
		close(over)
	})
	_, response := d.send(t, get)
	<-d.returned
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.gate.Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting while it goes on: %v", err)
	}
	d.gate.Close()
	<-over
	if err := d.gate.Wait(t.Context()); err != nil {
		t.Errorf("waiting afterwards: %v", err)
	}
	if _, err := io.ReadAll(response.Body); err == nil {
		t.Error("the answer that was cut looks whole")
	}
	over = make(chan struct{})
	conn, _ := d.send(t, get)
	conn.Close()
	<-over
	if d.refused.Load() != 1 {
		t.Errorf("after Close %d answers were left to their handlers", d.refused.Load())
	}
}

// What a client sends behind a request whose answer has no end in sight is no request.
func TestNothingIsReadAsARequestBehindADetachedOne(t *testing.T) {
	d := newDetaching(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "all") })
	_, response := d.send(t, get+get)
	if text, err := io.ReadAll(response.Body); string(text) != "all" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
	d.gate.Close()
	if <-d.returned; len(d.returned) > 0 {
		t.Error("the second one was served")
	}
}

func TestAnswersWithoutABody(t *testing.T) {
	d := newDetaching(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	conn, response := d.send(t, get)
	if rest, err := io.ReadAll(conn); response.StatusCode != http.StatusNoContent || len(rest) > 0 || err != nil {
		t.Errorf("%s, and %q after it, %v", response.Status, rest, err)
	}
}

// Where it cannot be done, nothing has happened.
func TestSomeAnswersCannotBeDetached(t *testing.T) {
	answer := func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "all") }
	for name, text := range map[string]string{
		"HTTP/1.0": "GET /x HTTP/1.0\r\nHost: localhost\r\n\r\n",
		"chunks":   "POST /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	} {
		d := newDetaching(t, answer)
		_, response := d.send(t, text)
		if got, err := io.ReadAll(response.Body); string(got) != "all" || err != nil || d.refused.Load() != 1 {
			t.Errorf("%s: %q, %v; %d were left to their handlers", name, got, err, d.refused.Load())
		}
	}
	for name, before := range map[string]func(w http.ResponseWriter){
		"a recorder":           func(http.ResponseWriter) {},
		"an answer that began": func(w http.ResponseWriter) { io.WriteString(w, "") },
		"a body nobody read":   nil,
	} {
		r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1:8080/x", strings.NewReader("{}"))
		if before != nil {
			r.Body = http.NoBody
		}
		front.Wrap(front.Config{Listen: local}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if before != nil {
				before(w)
			}
			if front.Detach(r, func() { t.Errorf("%s: it was detached", name) }) {
				t.Errorf("%s: it is said to be detached", name)
			}
		})).ServeHTTP(httptest.NewRecorder(), r)
	}
	if front.Detach(httptest.NewRequest(http.MethodGet, "/x", nil), func() {}) {
		t.Error("a request that came past the gate was detached")
	}
}
