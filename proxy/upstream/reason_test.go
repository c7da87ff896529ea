package upstream_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"

	"mcpsidecar/internal/outbound"
	"mcpsidecar/proxy/upstream"
)

// What an admin reads about a server that is not available, beside what an agent reads of the same: one sentence, whatever it is (S-12).
func TestReasons(t *testing.T) {
	const says = `The server "github" is not available`
	dial := func(err error) error {
		return fmt.Errorf("connecting to mcp.example: %w", &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", err)})
	}
	secure := func(err error) error {
		return fmt.Errorf("connecting to mcp.example: %w", &tls.CertificateVerificationError{Err: err})
	}
	gone := func(err error) upstream.Failure { return upstream.Failure{Kind: upstream.Unreachable, Err: err} }
	for name, tt := range map[string]struct {
		f    upstream.Failure
		want string
	}{
		"an address that is not allowed":    {upstream.Failure{Kind: upstream.Forbidden, Err: outbound.ErrForbiddenAddress}, "--allow-private-cidrs"},
		"a closed port":                     {gone(dial(syscall.ECONNREFUSED)), "refuses the connection"},
		"no route":                          {gone(dial(syscall.EHOSTUNREACH)), "no way leads"},
		"no network":                        {gone(dial(syscall.ENETUNREACH)), "no way leads"},
		"a filtered port":                   {gone(&net.OpError{Op: "dial", Net: "tcp", Err: os.ErrDeadlineExceeded}), "no connection came about in time"},
		"a name that nobody has":            {gone(dial(&net.DNSError{Err: "no such host", Name: "mcp.example", IsNotFound: true})), "no host of this name"},
		"a name server that is down":        {gone(dial(&net.DNSError{Err: "server misbehaving", Name: "mcp.example", IsTemporary: true})), "cannot be resolved at present"},
		"a name server that is slow":        {gone(dial(&net.DNSError{Err: "no answer in time", Name: "mcp.example", IsTimeout: true})), "cannot be resolved at present"},
		"a certificate of nobody":           {gone(secure(x509.UnknownAuthorityError{})), "no authority that this machine trusts"},
		"a certificate for another":         {gone(secure(x509.HostnameError{Certificate: &x509.Certificate{}, Host: "mcp.example"})), "another name"},
		"a certificate that has expired":    {gone(secure(x509.CertificateInvalidError{Reason: x509.Expired})), "expired"},
		"a certificate that is wrong":       {gone(secure(x509.CertificateInvalidError{Reason: x509.NotAuthorizedToSign})), "its certificate is not valid ("},
		"no TLS":                            {gone(tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}), "does not speak TLS"},
		"TLS of another kind":               {gone(&net.OpError{Op: "remote error", Err: tls.AlertError(70)}), "does not agree to a TLS connection"},
		"a connection that breaks":          {gone(&net.OpError{Op: "read", Err: syscall.ECONNRESET}), "closed the connection"},
		"a connection that ends":            {gone(io.ErrUnexpectedEOF), "closed the connection"},
		"a gateway without a server":        {upstream.Failure{Kind: upstream.Status, HTTPStatus: 502}, "HTTP status 502"},
		"a server that says nothing":        {upstream.Failure{Kind: upstream.TimedOut}, "nothing was heard of it in time"},
		"what nobody here has a word for":   {gone(errors.New("the answer is not HTTP")), "is not available (the answer is not HTTP)"},
		"a call that may have had a result": {upstream.Failure{Kind: upstream.Unreachable, MayHaveRun: true, Err: io.EOF}, "the outcome is unknown"},
	} {
		tt.f.Slug = "github"
		if got := tt.f.Report(); !strings.HasPrefix(got, says) || !strings.Contains(got, tt.want) || !strings.HasSuffix(got, ".") {
			t.Errorf("%s: the admin reads %q, want %q in it", name, got, tt.want)
		}
		if got := strings.TrimSuffix(tt.f.Sentence(), "; the outcome is unknown."); strings.TrimSuffix(got, ".") != says {
			t.Errorf("%s: the agent reads %q", name, got)
		}
	}
	kept := upstream.Failure{Slug: "github", Kind: upstream.Unauthorized, HTTPStatus: 401}
	if kept.Report() != kept.Sentence() {
		t.Errorf("%q, where there is nothing to add to %q", kept.Report(), kept.Sentence())
	}
}

// The same with the errors that really come, through the client that the program uses. No address is in any of them.
func TestReasonsOfRealServers(t *testing.T) {
	server := modernServer(nil)
	secure := httptest.NewTLSServer(server)
	t.Cleanup(secure.Close)
	plain := httptest.NewServer(server)
	t.Cleanup(plain.Close)
	closed := httptest.NewServer(server)
	closed.Close()
	rude := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	t.Cleanup(rude.Close)
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	for name, tt := range map[string]struct {
		url     string
		allowed []netip.Prefix
		want    string
	}{
		"a closed port":            {closed.URL, loopback, "refuses the connection"},
		"a certificate of nobody":  {secure.URL, loopback, "no authority that this machine trusts"},
		"no TLS":                   {strings.Replace(plain.URL, "http:", "https:", 1), loopback, "does not speak TLS"},
		"not allowed":              {plain.URL, nil, "--allow-private-cidrs"},
		"not allowed, by its name": {strings.Replace(plain.URL, "127.0.0.1", "localhost", 1), nil, "--allow-private-cidrs"},
		"it hangs up":              {rude.URL, loopback, "closed the connection"},
	} {
		t.Run(name, func(t *testing.T) {
			client, err := outbound.New(outbound.Config{AllowPrivate: tt.allowed})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(client.CloseIdleConnections)
			_, _, failure := finish(t, connect(t, tt.url, func(c *upstream.Config) { c.Client = client }).Conn, toolCall)
			if got := failure.Report(); !strings.Contains(got, tt.want) {
				t.Errorf("the admin reads %q, want %q in it", got, tt.want)
			}
			if got := failure.Sentence(); !strings.HasPrefix(got, `The server "fake" is not available`) || strings.Contains(got, "127.0.0.1") || strings.Contains(got, "localhost") {
				t.Errorf("the agent reads %q", got)
			}
		})
	}
}
