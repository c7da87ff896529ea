package rawtcp_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"mcpsidecar/internal/rawtcp"
)

// served starts an http.Server as the program does, with or without a Watch.
func served(t *testing.T, watched bool, handler http.HandlerFunc) (address string, server *http.Server) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ours := rawtcp.Listener{Listener: listener}
	if watched {
		if ours.Watch, err = rawtcp.NewWatch(); err != nil {
			t.Fatal(err)
		}
	}
	server = &http.Server{Handler: handler, ConnContext: rawtcp.Context}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		server.Serve(ours)
	}()
	t.Cleanup(func() {
		server.Close()
		<-ended
		if ours.Watch != nil {
			ours.Watch.Close()
		}
	})
	return listener.Addr().String(), server
}

const patience = 30 * time.Second // a test that has to wait as long has failed

func await[T any](t *testing.T, what string, from <-chan T) (got T) {
	t.Helper()
	select {
	case got = <-from:
	case <-time.After(patience):
		t.Fatalf("in vain: %s", what)
	}
	return got
}

const asking = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"

// However a client goes while it is being answered, the request's context ends; with a Watch as without one.
func TestAClientThatGoes(t *testing.T) {
	for how, leave := range map[string]func(client *net.TCPConn, server *http.Server){
		"it closes":             func(client *net.TCPConn, _ *http.Server) { client.Close() },
		"it says no more":       func(client *net.TCPConn, _ *http.Server) { client.CloseWrite() },
		"it resets":             func(client *net.TCPConn, _ *http.Server) { reset(client) },
		"it is not served more": func(_ *net.TCPConn, server *http.Server) { server.Close() },
	} {
		for _, watched := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, watched %v", how, watched), func(t *testing.T) {
				asked, over := make(chan struct{}, 1), make(chan error, 1)
				address, server := served(t, watched, func(_ http.ResponseWriter, r *http.Request) {
					io.Copy(io.Discard, r.Body)
					asked <- struct{}{}
					<-r.Context().Done()
					over <- r.Context().Err()
				})
				client := dial(t, address)
				io.WriteString(client, asking)
				await(t, "the request", asked)
				leave(client, server)
				if err := await(t, "the end of the request", over); err != context.Canceled {
					t.Errorf("the context ends with %v", err)
				}
			})
		}
	}
}

func dial(t *testing.T, address string) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { conn.Close() })
	return conn.(*net.TCPConn)
}

// Requests follow each other on one connection, also where the next one has come before the answer to the last, and their contexts end only when they are over.
func TestManyRequestsOnOneConnection(t *testing.T) {
	for _, watched := range []bool{true, false} {
		broken := make(chan error, 100)
		address, _ := served(t, watched, func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			runtime.Gosched() // whoever listens for the end has its turn
			if err == nil {
				err = r.Context().Err()
			}
			if err != nil {
				broken <- err
			}
			w.Write(body)
		})
		client := dial(t, address)
		answers := bufio.NewReader(client)
		for _, atOnce := range []int{1, 1, 2, 5, 1} {
			io.WriteString(client, strings.Repeat(asking, atOnce))
			for range atOnce {
				response, err := http.ReadResponse(answers, nil)
				if err != nil {
					t.Fatal(err)
				}
				if body, err := io.ReadAll(response.Body); err != nil || string(body) != "{}" {
					t.Errorf("watched %v, %d at once: the answer is %q, %v", watched, atOnce, body, err)
				}
			}
		}
		select {
		case err := <-broken:
			t.Errorf("watched %v: a request met %v", watched, err)
		default:
		}
	}
}

// Many clients go at once, more than are told of at a time, and each request hears of it.
func TestManyGoAtOnce(t *testing.T) {
	const many = 200
	asked, over := make(chan struct{}, many), make(chan struct{}, many)
	address, _ := served(t, true, func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		asked <- struct{}{}
		<-r.Context().Done()
		over <- struct{}{}
	})
	clients := make([]*net.TCPConn, many)
	for i := range clients {
		clients[i] = dial(t, address)
		io.WriteString(clients[i], asking)
	}
	for range many {
		await(t, "a request", asked)
	}
	for _, client := range clients {
		client.Close()
	}
	for range many {
		await(t, "the end of a request", over)
	}
}

// A Read of a single byte does not wait on a connection that is watched: it finds nothing, or the end once the other side has gone. What has come is there for a longer Read.
func TestASingleByte(t *testing.T) {
	watch, err := rawtcp.NewWatch()
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	client := dial(t, listener.Addr().String())
	conn, err := rawtcp.Listener{Listener: listener, Watch: watch}.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx := rawtcp.Context(t.Context(), conn)
	one := make([]byte, 1)
	if n, err := conn.Read(one); n != 0 || err != nil {
		t.Errorf("before anything has come: %d, %v", n, err)
	}
	io.WriteString(client, "hello")
	client.Close()
	<-ctx.Done()
	if n, err := conn.Read(one); n != 0 || err != io.EOF {
		t.Errorf("after the end: %d, %v", n, err)
	}
	if text, err := io.ReadAll(conn); string(text) != "hello" || err != nil {
		t.Errorf("what had come is %q, %v", text, err)
	}
}

// Whoever asks to be told hears of the end also where that came before, and of a Close here.
func TestWhenGone(t *testing.T) {
	watch, err := rawtcp.NewWatch()
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for what, end := range map[string]func(client, conn net.Conn, ctx context.Context){
		"it was gone before": nil,
		"it goes":            func(client, _ net.Conn, _ context.Context) { client.Close() },
		"it is closed here":  func(_, conn net.Conn, _ context.Context) { conn.Close() },
	} {
		client := dial(t, listener.Addr().String())
		conn, err := rawtcp.Listener{Listener: listener, Watch: watch}.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		ctx := rawtcp.Context(t.Context(), conn)
		if end == nil {
			client.Close()
			<-ctx.Done()
		}
		told := make(chan struct{}, 2)
		if !rawtcp.WhenGone(conn, func() {
			if _, err := conn.Write([]byte("x")); what == "it is closed here" && err == nil {
				t.Error("whoever is told of its close can still write to it")
			}
			told <- struct{}{}
		}) {
			t.Fatalf("%s: it is not watched", what)
		}
		if end != nil {
			end(client, conn, ctx)
		}
		await(t, what, told)
		await(t, what, ctx.Done())
	}
	one, _ := pair(t, rawtcp.New)
	if rawtcp.WhenGone(one, func() {}) {
		t.Error("one that is not watched is")
	}
}

// What cannot be watched keeps the context that it has.
func TestUnwatched(t *testing.T) {
	one, other := pair(t, rawtcp.New)
	pipe, end := net.Pipe()
	defer pipe.Close()
	defer end.Close()
	for _, conn := range []net.Conn{one, pipe} {
		if ctx := rawtcp.Context(t.Context(), conn); ctx != t.Context() {
			t.Errorf("%T has a context of its own", conn)
		}
	}
	io.WriteString(other, "x")
	if n, err := one.Read(make([]byte, 1)); n != 1 || err != nil {
		t.Errorf("a Read of one byte: %d, %v", n, err)
	}
}

// After Close of the Watch, connections still work and close; a new one is not watched.
func TestAWatchThatIsClosed(t *testing.T) {
	watch, err := rawtcp.NewWatch()
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	accept := func() (client, server net.Conn) {
		client = dial(t, listener.Addr().String())
		server, err := rawtcp.Listener{Listener: listener, Watch: watch}.Accept()
		if err != nil {
			t.Fatal(err)
		}
		return client, server
	}
	_, before := accept()
	ctx := rawtcp.Context(t.Context(), before)
	if err := watch.Close(); err != nil {
		t.Error(err)
	}
	before.Close()
	if ctx.Err() == nil {
		t.Error("the connection is closed, its context goes on")
	}
	client, after := accept()
	defer after.Close()
	if rawtcp.Context(t.Context(), after) != t.Context() {
		t.Error("nobody watches, and yet the context is another")
	}
	io.WriteString(client, "x")
	if n, err := after.Read(make([]byte, 1)); n != 1 || err != nil {
		t.Errorf("a Read of one byte: %d, %v", n, err)
	}
}
