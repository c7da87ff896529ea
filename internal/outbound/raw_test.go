package outbound_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"mcpsidecar/internal/outbound"
)

// raw is a server whose every byte a test decides.
type raw struct {
	t        testing.TB
	url      string
	config   outbound.Config // of clients that may reach it
	accepted atomic.Int32
	requests atomic.Int32
}

// peer is a connection as the server sees it.
type peer struct {
	net.Conn
	tcp    *net.TCPConn
	server *raw
	nth    int32 // connection of the server, from 1
	reader *bufio.Reader
	held   []byte // written while hold was set
	hold   bool
}

// speak starts a server in the clear that handles each connection with a function, and closes it when that returns.
func speak(t testing.TB, handle func(*peer)) *raw { return serve(t, handle, nil) }

// speakTLS does so over TLS.
func speakTLS(t testing.TB, handle func(*peer)) *raw {
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	server := serve(t, handle, &tls.Config{Certificates: s.TLS.Certificates, NextProtos: []string{"http/1.1"}})
	server.url = strings.Replace(server.url, "http://", "https://", 1)
	server.config = outbound.WithTLS(server.config, &tls.Config{RootCAs: roots})
	return server
}

func serve(t testing.TB, handle func(*peer), settings *tls.Config) *raw {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &raw{t: t, url: "http://" + listener.Addr().String(), config: outbound.Config{AllowPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}}
	var ended sync.WaitGroup
	ended.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			p := &peer{Conn: c, tcp: c.(*net.TCPConn), server: s, nth: s.accepted.Add(1)}
			if settings != nil {
				p.Conn = tls.Server(holder{p.tcp, p}, settings)
			}
			p.reader = bufio.NewReader(p.Conn)
			ended.Go(func() {
				defer context.AfterFunc(ctx, func() { p.tcp.Close() })()
				defer p.tcp.Close()
				handle(p)
			})
		}
	})
	t.Cleanup(func() {
		stop()
		listener.Close()
		ended.Wait()
	})
	return s
}

// holder gathers what TLS writes while the peer holds, so that several records arrive in one piece.
type holder struct {
	*net.TCPConn
	peer *peer
}

func (h holder) Write(p []byte) (int, error) {
	if h.peer.hold {
		h.peer.held = append(h.peer.held, p...)
		return len(p), nil
	}
	return h.TCPConn.Write(p)
}

// request reads a request with its body; false: the client ended the connection.
func (p *peer) request() bool {
	r, err := http.ReadRequest(p.reader)
	if err != nil {
		return false
	}
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return false
	}
	p.server.requests.Add(1)
	return true
}

func (p *peer) say(text string) { io.WriteString(p, text) }

// gone waits until the client ends the connection.
func (p *peer) gone() { io.Copy(io.Discard, p.reader) }

func (s *raw) client() *http.Client { return s.clientWith(func(*outbound.Config) {}) }

func (s *raw) clientWith(change func(*outbound.Config)) *http.Client {
	config := s.config
	change(&config)
	c, err := outbound.New(config)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(c.CloseIdleConnections)
	return c
}

// ask posts a small body and reads the answer to its end.
func (s *raw) ask(ctx context.Context, c *http.Client) (*http.Response, string, error) {
	answer, err := s.send(ctx, c, "{}")
	if err != nil {
		return nil, "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return answer, string(body), err
}

func (s *raw) send(ctx context.Context, c *http.Client, body string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/mcp", strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	answer, err := c.Transport.RoundTrip(r)
	if (answer == nil) == (err == nil) {
		s.t.Fatalf("the answer is %v and the error %v", answer, err)
	}
	return answer, err
}

// sized is an ordinary answer.
func sized(body string) string {
	return "HTTP/1.1 200 OK\r\nContent-Length: " + itoa(len(body)) + "\r\n\r\n" + body
}
