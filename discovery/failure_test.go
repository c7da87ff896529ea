package discovery_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"mcpsidecar/discovery"
	"mcpsidecar/internal/outbound"
)

func TestAFailureIsASentenceForAdmins(t *testing.T) {
	w := web(asked, challenges("Bearer"), pathPlace, resourceOf(mcp, as+"/tenant"), asPlace+"/tenant", issuerAt("https://honest.example"))
	failure := fails(t, w, discovery.Server{URL: mcp}, discovery.ErrIssuer)
	equal(t, "the sentence", failure.Error(), "while reading the metadata of the authorization server at https://as.example.com/.well-known/oauth-authorization-server/tenant: "+
		"the metadata names another issuer than the one it was asked of. If you trust this authorization server, set oauth2_issuer to exactly the issuer that its metadata names.")
	equal(t, "the issuer to pin", failure.Issuer, "https://honest.example")

	failure = fails(t, web(asked, status(http.StatusOK)), discovery.Server{URL: mcp}, discovery.ErrNoOAuth)
	equal(t, "the sentence", failure.Error(), "while asking the server for a sign-in at https://mcp.example.com/mcp: the server does not ask for a sign-in (HTTP status 200). "+
		"Choose the auth_type none, api_key or custom_headers, or check the URL.")
}

// broken is a network on which every request fails in one way.
type broken struct{ err error }

func (b broken) RoundTrip(*http.Request) (*http.Response, error) { return nil, b.err }

// What net/http says of a failure may quote what the other side sent, and where that is; admins read our words instead.
func TestNetworkFailuresAreSaidInOurWords(t *testing.T) {
	tests := []struct {
		err  error
		want string
	}{
		{errors.New(`net/http: HTTP/1.x transport connection broken: malformed HTTP status code "swordfish"`), "does not speak HTTP"},
		{&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED, Addr: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1)}}, "refused"},
		{&net.OpError{Op: "read", Err: syscall.ECONNRESET, Addr: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1)}}, "broke off"},
		{&net.DNSError{Name: "swordfish", Server: "10.0.0.1", IsNotFound: true}, "no such host"},
		{&net.DNSError{Name: "swordfish", Server: "10.0.0.1"}, "cannot be resolved"},
		{&net.DNSError{Name: "swordfish", Server: "10.0.0.1", IsTimeout: true}, "in time"},
		{x509.HostnameError{Certificate: &x509.Certificate{DNSNames: []string{"swordfish"}}, Host: "mcp.example.com"}, "certificate"},
		{x509.UnknownAuthorityError{}, "certificate"},
		{io.EOF, "broke off"},
		{context.DeadlineExceeded, "in time"},
		{fmt.Errorf("connecting to swordfish: %w", outbound.ErrForbiddenAddress), "--allow-private-cidrs"},
	}
	for _, test := range tests {
		c := client(t, broken{test.err})
		_, err := c.Discover(t.Context(), discovery.Server{URL: mcp})
		failure := failureOf(t, err, discovery.ErrUnreachable, nil)
		if text := failure.Error(); !strings.Contains(text, test.want) || strings.Contains(text, "swordfish") || strings.Contains(text, "10.0.0.1") {
			t.Errorf("%v becomes: %s", test.err, text)
		}
	}
}

// Whatever the other side writes, nothing of it is in a failure.
func TestNothingOfAnAnswerIsInAFailure(t *testing.T) {
	for _, page := range []http.HandlerFunc{
		says(`swordfish`), says(`{"swordfish"`), says(`{"resource":"swordfish"}`), says(`{"resource":"https://swordfish.example","authorization_servers":["https://as.example.com"]}`), says(`<swordfish>`),
		says(`{"swordfish":1,"swordfish":2}`), says(`{"resource":["swordfish"]}`), answers(302, "swordfish", "Location", "https://swordfish.example"), answers(500, `swordfish`, "X-Error", "swordfish"),
		says(`{"resource":"` + mcp + `","authorization_servers":["swordfish"]}`), answers(200, "{}", "Content-Encoding", "swordfish"),
	} {
		_, err := client(t, web(asked, challenges(`Bearer error="swordfish", realm="swordfish", resource_metadata="`+strings.TrimPrefix(pathPlace, "GET ")+`"`), pathPlace, page)).Discover(t.Context(), discovery.Server{URL: mcp})
		if err == nil || strings.Contains(err.Error(), "swordfish") {
			t.Errorf("it is %v", err)
		}
	}
}
