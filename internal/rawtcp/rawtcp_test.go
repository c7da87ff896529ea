package rawtcp_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/nettest"

	"mcpsidecar/internal/leak"
	"mcpsidecar/internal/rawtcp"
)

func TestMain(m *testing.M) { leak.Main(m) }

// plain is what package net makes of a connection.
func plain(c net.Conn) net.Conn { return c }

// pair returns both ends of a connection over loopback, each as it is made by a function.
func pair(t testing.TB, make func(net.Conn) net.Conn) (one, other net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if one, err = net.Dial("tcp", listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if other, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { one.Close(); other.Close() })
	return make(one), make(other)
}

// All that a net.Conn has to do is the contract of golang.org/x/net/nettest.
func TestConn(t *testing.T) {
	nettest.TestConn(t, func() (one, other net.Conn, stop func(), err error) {
		one, other = pair(t, rawtcp.New)
		return one, other, func() { one.Close(); other.Close() }, nil
	})
}

// Whatever its size, what is written on one side is read on the other, also where the receiver takes its time and the sender has to wait.
func TestSizes(t *testing.T) {
	for _, size := range []int{0, 1, 4 << 10, 256 << 10, 256<<10 + 1, 16 << 20} {
		one, other := pair(t, rawtcp.New)
		text := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
		written := make(chan error, 1)
		go func() {
			for rest := text; len(rest) > 0; rest = rest[min(len(rest), 700<<10):] {
				if n, err := one.Write(rest[:min(len(rest), 700<<10)]); err != nil || n != min(len(rest), 700<<10) {
					written <- err
					return
				}
			}
			written <- one.(interface{ CloseWrite() error }).CloseWrite()
		}()
		got, err := io.ReadAll(other)
		if werr := <-written; werr != nil || err != nil || !bytes.Equal(got, text) {
			t.Errorf("%d bytes: %d arrive (%v, %v)", size, len(got), werr, err)
		}
	}
}

// Errors are those of package net: the same type, the same words, the same cause.
func TestErrors(t *testing.T) {
	past := time.Now().Add(-time.Hour)
	for what, fail := range map[string]func(one, other net.Conn) (int, error){
		"read after Close":        func(one, _ net.Conn) (int, error) { one.Close(); return one.Read(make([]byte, 8)) },
		"write after Close":       func(one, _ net.Conn) (int, error) { one.Close(); return one.Write([]byte("x")) },
		"read past the deadline":  func(one, _ net.Conn) (int, error) { one.SetDeadline(past); return one.Read(make([]byte, 8)) },
		"write past the deadline": func(one, _ net.Conn) (int, error) { one.SetDeadline(past); return one.Write([]byte("x")) },
		"the end":                 func(one, other net.Conn) (int, error) { other.Close(); return one.Read(make([]byte, 8)) },
		"nothing asked for":       func(one, other net.Conn) (int, error) { return one.Read(nil) },
		"a reset": func(one, other net.Conn) (int, error) {
			reset(other)
			return one.Read(make([]byte, 8))
		},
		"a write after a reset": func(one, other net.Conn) (int, error) {
			reset(other)
			io.Copy(io.Discard, one)
			return one.Write([]byte("x"))
		},
		"Close while it waits": func(one, other net.Conn) (int, error) {
			defer time.AfterFunc(20*time.Millisecond, func() { one.Close() }).Stop()
			return one.Read(make([]byte, 8))
		},
	} {
		said := map[string]error{}
		for name, make := range map[string]func(net.Conn) net.Conn{"net": plain, "ours": rawtcp.New} {
			one, other := pair(t, plain)
			n, err := fail(make(one), other)
			if n != 0 {
				t.Errorf("%s, %s: %d bytes", what, name, n)
			}
			said[name] = err
		}
		ours, nets := said["ours"], said["net"]
		for _, target := range []error{io.EOF, net.ErrClosed, os.ErrDeadlineExceeded} {
			if errors.Is(ours, target) != errors.Is(nets, target) {
				t.Errorf("%s: is it %v? net says %v, we %v", what, target, nets, ours)
			}
		}
		if reflect.TypeOf(ours) != reflect.TypeOf(nets) || words(ours) != words(nets) {
			t.Errorf("%s: %T %v, net says %T %v", what, ours, ours, nets, nets)
		}
	}
}

// words are an error's without the ports.
func words(err error) string {
	var known *net.OpError
	if !errors.As(err, &known) {
		return fmt.Sprint(err)
	}
	return strings.Join([]string{known.Op, known.Net, known.Err.Error()}, " ")
}

// reset ends a connection without a farewell.
func reset(c net.Conn) {
	c.(*net.TCPConn).SetLinger(0)
	c.Close()
}

// What is no TCP connection of package net is left alone, and a listener hands out ours.
func TestWhatIsTaken(t *testing.T) {
	one, other := net.Pipe()
	defer one.Close()
	defer other.Close()
	if rawtcp.New(one) != one {
		t.Error("a pipe became something else")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		if c, err := net.Dial("tcp", listener.Addr().String()); err == nil {
			c.Close()
		}
	}()
	accepted, err := rawtcp.Listener{Listener: listener}.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	if _, ok := accepted.(*rawtcp.Conn); !ok {
		t.Errorf("a listener hands out a %T", accepted)
	}
	listener.Close()
	if _, err := (rawtcp.Listener{Listener: listener}).Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// BenchmarkEcho is one message to and fro.
func BenchmarkEcho(b *testing.B) {
	for name, make := range map[string]func(net.Conn) net.Conn{"net": plain, "ours": rawtcp.New} {
		b.Run(name, func(b *testing.B) {
			one, other := pair(b, make)
			go io.Copy(struct{ io.Writer }{other}, struct{ io.Reader }{other})
			message := bytes.Repeat([]byte("x"), 1<<10)
			b.ReportAllocs()
			for b.Loop() {
				one.Write(message)
				if _, err := io.ReadFull(one, message); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
