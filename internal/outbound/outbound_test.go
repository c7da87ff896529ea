package outbound_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"mcpsidecar/internal/leak"
	"mcpsidecar/internal/outbound"
)

func TestMain(m *testing.M) { leak.Main(m) }

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

func client(t *testing.T, config outbound.Config) *http.Client {
	t.Helper()
	c, err := outbound.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

func get(t *testing.T, c *http.Client, target string) (*http.Response, error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := c.Do(request)
	if err == nil {
		t.Cleanup(func() { answer.Body.Close() })
	}
	return answer, err
}

func server(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s
}

func TestRequestsCarryNothingOfTheirOwn(t *testing.T) {
	var seen []http.Header
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Header.Clone())
		http.SetCookie(w, &http.Cookie{Name: "track", Value: "1"})
	})
	c := client(t, outbound.Config{AllowPrivate: loopback})
	for range 2 {
		if _, err := get(t, c, s.URL); err != nil {
			t.Fatal(err)
		}
	}
	for i, header := range seen {
		header.Del("User-Agent")
		if len(header) > 0 {
			t.Errorf("request %d carries %v", i+1, header)
		}
	}
}

// what nobody asked to be compressed is not decompressed.
func TestCompressedAnswersArriveAsTheyAre(t *testing.T) {
	var bomb bytes.Buffer
	zip := gzip.NewWriter(&bomb)
	zip.Write(make([]byte, 16<<20))
	zip.Close()
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Write(bomb.Bytes())
	})
	answer, err := get(t, client(t, outbound.Config{AllowPrivate: loopback}), s.URL)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil || !bytes.Equal(body, bomb.Bytes()) || answer.Header.Get("Content-Encoding") != "gzip" {
		t.Errorf("got %d bytes and encoding %q, want the %d that were sent (%v)", len(body), answer.Header.Get("Content-Encoding"), bomb.Len(), err)
	}
}

// Over TLS, net/http speaks HTTP/2 for what is not small, and for everything if the server speaks nothing else.
func TestHTTP2OverTLSOnly(t *testing.T) {
	protocol := func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, r.Proto)
	}
	var refused atomic.Int32
	start := func(begin func(*httptest.Server)) *httptest.Server {
		s := httptest.NewUnstartedServer(http.HandlerFunc(protocol))
		s.Config.ErrorLog = log.New(io.Discard, "", 0) // for handshakes that fail
		begin(s)
		t.Cleanup(s.Close)
		return s
	}
	both := start(func(s *httptest.Server) {
		s.EnableHTTP2 = true
		s.StartTLS()
	})
	only := start(func(s *httptest.Server) {
		s.EnableHTTP2 = true
		s.TLS = &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			if slices.Contains(hello.SupportedProtos, "h2") {
				return nil, nil
			}
			refused.Add(1)
			return &tls.Config{Certificates: s.TLS.Certificates, NextProtos: []string{"not http/1.1"}}, nil
		}}
		s.StartTLS()
	})
	clear := start(func(s *httptest.Server) {
		s.Config.Protocols = new(http.Protocols)
		s.Config.Protocols.SetHTTP1(true)
		s.Config.Protocols.SetUnencryptedHTTP2(true)
		s.Start()
	})
	roots := x509.NewCertPool()
	roots.AddCert(both.Certificate())
	roots.AddCert(only.Certificate())
	c := client(t, outbound.WithTLS(outbound.Config{AllowPrivate: loopback}, &tls.Config{RootCAs: roots}))

	for _, row := range []struct {
		what, target string
		size         int
		want         string
	}{
		{"small, both offered", both.URL, 10, "HTTP/1.1"},
		{"large, both offered", both.URL, 100 << 10, "HTTP/2.0"},
		{"small, HTTP/2 only", only.URL, 10, "HTTP/2.0"},
		{"small, HTTP/2 only, again", only.URL, 10, "HTTP/2.0"},
		{"small, in the clear", clear.URL, 10, "HTTP/1.1"},
		{"large, in the clear", clear.URL, 100 << 10, "HTTP/1.1"},
	} {
		answer, err := c.Post(row.target, "text/plain", strings.NewReader(strings.Repeat("x", row.size)))
		if err != nil {
			t.Errorf("%s: %v", row.what, err)
			continue
		}
		got, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		if string(got) != row.want {
			t.Errorf("%s: spoken to in %s, want %s", row.what, got, row.want)
		}
	}
	if n := refused.Load(); n != 1 {
		t.Errorf("a server that knows only HTTP/2 was asked for HTTP/1.1 %d times, want once", n)
	}
}

func TestAnswerHeadersAreLimited(t *testing.T) {
	s := server(t, func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Large", strings.Repeat("x", 70<<10)) })
	if _, err := get(t, client(t, outbound.Config{AllowPrivate: loopback}), s.URL); err == nil {
		t.Error("70 KiB of headers were accepted")
	}
	if _, err := get(t, client(t, outbound.Config{AllowPrivate: loopback, MaxHeaderBytes: 80 << 10}), s.URL); err != nil {
		t.Errorf("70 KiB of headers under a limit of 80 KiB: %v", err)
	}
}

// As many connections as calls at the same time, and then no more.
func TestConnectionsAreKept(t *testing.T) {
	const together = 64
	var opened atomic.Int32
	var arrived sync.WaitGroup
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		arrived.Done()
		arrived.Wait()
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	c := client(t, outbound.Config{AllowPrivate: loopback})
	for round := range 5 {
		arrived.Add(together)
		var done sync.WaitGroup
		for range together {
			done.Go(func() {
				answer, err := c.Get(s.URL)
				if err != nil {
					t.Error(err)
					return
				}
				answer.Body.Close()
			})
		}
		done.Wait()
		if n := opened.Load(); n != together {
			t.Fatalf("after round %d %d connections have been opened, want %d", round+1, n, together)
		}
	}
}

// Bodies of every size arrive whole, with and without a known length, whatever way they take through the buffers.
func TestBodiesArriveWhole(t *testing.T) {
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Write(body)
	})
	c := client(t, outbound.Config{AllowPrivate: loopback})
	for _, size := range []int{0, 1, 4095, 4096, 4097, 65535, 65536, 65537, 1 << 20} {
		sent := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
		for name, body := range map[string]io.Reader{"known": bytes.NewReader(sent), "chunked": io.MultiReader(bytes.NewReader(sent))} {
			answer, err := c.Post(s.URL, "application/json", body)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(answer.Body)
			answer.Body.Close()
			if err != nil || !bytes.Equal(got, sent) {
				t.Errorf("%s, %d bytes: %d came back (%v)", name, size, len(got), err)
			}
		}
	}
}

func TestErrorsNameTheHostOnly(t *testing.T) {
	closed := listen(t, "127.0.0.1:0")
	closed.stop()
	cut := server(t, func(w http.ResponseWriter, r *http.Request) {
		conn, _, _ := http.NewResponseController(w).Hijack()
		conn.(*net.TCPConn).SetLinger(0)
		conn.Close()
	})
	cutPort := cut.URL[strings.LastIndexByte(cut.URL, ':')+1:]
	lies := resolver(t, map[string][][]string{"server.example": {{"127.0.0.1"}}, "metadata.example": {{"169.254.169.254"}}})
	c := client(t, outbound.WithResolver(outbound.Config{AllowPrivate: loopback}, lies))

	for _, row := range []struct{ target, want, never string }{
		{"http://server.example:" + closed.port() + "/?key=sesame", "connecting to server.example: dial tcp: connect: connection refused", "127.0.0.1"},
		{"http://server.example:" + cutPort + "/?key=sesame", "connection reset by peer", "127.0.0.1"},
		{"http://metadata.example/?key=sesame", "connecting to metadata.example: dial tcp: " + outbound.ErrForbiddenAddress.Error(), "169.254"},
		{"http://nobody.example/?key=sesame", "lookup nobody.example: no such host", " on "},
	} {
		_, err := get(t, c, row.target)
		if err == nil {
			t.Fatalf("%s was reached", row.target)
		}
		if !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), row.never) {
			t.Errorf("%s: %q, want %q in it and not %q", row.target, err, row.want, row.never)
		}
		if cause := outbound.Cause(err).Error(); strings.Contains(cause, "sesame") || !strings.Contains(cause, row.want) {
			t.Errorf("%s: the cause is %q", row.target, cause)
		}
	}
}

// What a caller asks an error stays answerable: did it run, is it worth another attempt, was it us who gave up.
func TestErrorsKeepTheirKind(t *testing.T) {
	closed := listen(t, "127.0.0.1:0")
	closed.stop()
	c := client(t, outbound.WithResolver(outbound.Config{AllowPrivate: loopback}, resolver(t, nil)))

	_, err := get(t, c, "http://"+closed.Addr().String())
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "dial" || !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a refused connection: %v, want an OpError of dial and ECONNREFUSED", err)
	}
	_, err = get(t, c, "http://nobody.example")
	var dns *net.DNSError
	if !errors.As(err, &dns) || !dns.IsNotFound || dns.Server != "" {
		t.Errorf("an unknown name: %v, want a DNSError without a server", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	request, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+closed.Addr().String(), nil)
	if _, err = c.Do(request); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled request: %v, want context.Canceled", err)
	}
}

func TestHeaderTimeout(t *testing.T) {
	release := make(chan struct{})
	s := server(t, func(http.ResponseWriter, *http.Request) { <-release })
	defer close(release)
	_, err := get(t, client(t, outbound.Config{AllowPrivate: loopback, HeaderTimeout: time.Millisecond}), s.URL)
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("a server that is silent: %v, want a time-out", err)
	}
}

func TestConfigIsChecked(t *testing.T) {
	for name, config := range map[string]outbound.Config{
		"CIDR":            {AllowPrivate: []netip.Prefix{{}}},
		"dial time-out":   {DialTimeout: -1},
		"TLS time-out":    {TLSTimeout: -1},
		"header time-out": {HeaderTimeout: -1},
		"idle time-out":   {IdleTimeout: -1},
		"idle":            {MaxIdlePerHost: -1},
		"header limit":    {MaxHeaderBytes: -1},
	} {
		if _, err := outbound.New(config); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCause(t *testing.T) {
	inner := errors.New("inner")
	if got := outbound.Cause(&url.Error{Op: "Get", URL: "http://h/?key=sesame", Err: inner}); got != inner {
		t.Errorf("got %v, want the inner error", got)
	}
	if got := outbound.Cause(inner); got != inner {
		t.Errorf("got %v, want the error itself", got)
	}
	if outbound.Cause(nil) != nil {
		t.Error("no error has a cause")
	}
}
