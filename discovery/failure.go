package discovery

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"syscall"

	"mcpsidecar/internal/outbound"
)

// What can go wrong, for errors.Is on a *Failure.
var (
	ErrBadInput       = errors.New("what is configured is incomplete or not valid")
	ErrNoOAuth        = errors.New("the server does not ask for a sign-in")
	ErrUnreachable    = errors.New("there was no usable answer")
	ErrNotFound       = errors.New("there is no such document")
	ErrBadAnswer      = errors.New("the answer is not what the specification asks for")
	ErrURL            = errors.New("a URL is not acceptable")
	ErrResource       = errors.New("the metadata is about another resource than this server")
	ErrIssuer         = errors.New("the metadata names another issuer than the one it was asked of")
	ErrNoPKCE         = errors.New("the authorization server does not say that it supports PKCE with S256")
	ErrNoRegistration = errors.New("the authorization server does not register clients by itself")
	ErrRefused        = errors.New("the authorization server refused the registration")

	errClosed = errors.New("discovery is closed")
)

// The steps, as they continue "while".
const (
	stepConfig    = "reading the configuration of the server"
	stepProbe     = "asking the server for a sign-in"
	stepResource  = "reading the server's protected resource metadata"
	stepIssuer    = "reading the metadata of the authorization server"
	stepRegister  = "registering with the authorization server"
	byHand        = "set oauth2_client_id, oauth2_auth_url and oauth2_token_url by hand"
	askTheirAdmin = "Ask whoever runs it to mend this, or " + byHand + "."
)

// Failure says which step failed, where, and what an admin can do about it. Its text can be shown to admins as it is: it has nothing of an answer's body and no URL's userinfo, query or
// fragment. It is never changed, and may be shared.
type Failure struct {
	Step   string // continues "while": "reading the server's protected resource metadata"
	URL    string // where, without userinfo, query and fragment; empty: nowhere in particular
	Status int    // the HTTP status of the answer; zero: there was none
	Err    error  // wraps one of the errors above
	Remedy string // a sentence or two; never empty

	// Issuer is the one that the metadata names, if Err is ErrIssuer and it could be pinned: the only thing taken from an answer, and not part of the text. Whoever shows it says that an
	// admin must trust it before pinning it.
	Issuer string
}

// Error is the whole sentence.
func (f *Failure) Error() string {
	var text strings.Builder
	text.WriteString("while " + f.Step)
	if f.URL != "" {
		text.WriteString(" at " + f.URL)
	}
	text.WriteString(": " + f.Err.Error())
	if f.Status != 0 {
		fmt.Fprintf(&text, " (HTTP status %d)", f.Status)
	}
	return text.String() + ". " + f.Remedy
}

// Unwrap returns Err.
func (f *Failure) Unwrap() error { return f.Err }

// remedies say what to do about each error; the first that fits counts.
var remedies = []struct {
	err    error
	remedy string
}{
	{outbound.ErrForbiddenAddress, "If it is yours and meant to be reached, start the sidecar with --allow-private-cidrs for it; if not, do not use this server."},
	{errClosed, "Try again when the sidecar runs."},
	{ErrUnreachable, "Check the URL and that the sidecar can reach it, and try again."},
	{ErrNotFound, "Check the URL of the server; if its documentation names an authorization server, " + byHand + "."},
	{ErrNoOAuth, "Choose the auth_type none, api_key or custom_headers, or check the URL."},
	{ErrResource, "Register the server with the URL that its provider publishes, or " + byHand + "."},
	{ErrIssuer, "If you trust this authorization server, set oauth2_issuer to exactly the issuer that its metadata names."},
	{ErrNoPKCE, "A sign-in without it is not safe. If you know that it supports S256 and only does not say so, " + byHand + "."},
}

func fail(step, where string, err error) *Failure {
	f := &Failure{Step: step, URL: plain(where), Err: err, Remedy: askTheirAdmin}
	for _, known := range remedies {
		if errors.Is(err, known.err) {
			f.Remedy = known.remedy
			break
		}
	}
	return f
}

// answered is fail with the status of an answer.
func answered(step, where string, status int, err error) *Failure {
	f := fail(step, where, err)
	f.Status = status
	return f
}

// telling chooses, of two failures of one step, the one that says more: anything says more than that something is not there, and else the first is what has to be mended first.
func telling(first, second *Failure) *Failure {
	if first == nil || errors.Is(first, ErrNotFound) && !errors.Is(second, ErrNotFound) {
		return second
	}
	return first
}

// plain is a URL as it may be shown; nothing, if it is longer than any URL may be.
func plain(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || len(raw) > maxURL {
		return ""
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String()
}

// unreachable says in our own words why a request had no answer: those of net/http may quote what the other side sent.
func unreachable(step, where string, err error) *Failure {
	if errors.Is(err, outbound.ErrForbiddenAddress) {
		return fail(step, where, fmt.Errorf("%w: %w", ErrUnreachable, outbound.ErrForbiddenAddress))
	}
	return fail(step, where, fmt.Errorf("%w: %s", ErrUnreachable, reason(err)))
}

func reason(err error) string {
	var (
		dns     *net.DNSError
		timeout net.Error
	)
	switch {
	case errors.Is(err, context.Canceled):
		return "the sidecar stopped asking"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "it did not answer in time"
	case errors.As(err, &dns) && dns.IsNotFound:
		return "no such host"
	case errors.As(err, &dns):
		return "the name of the host cannot be resolved at present"
	case isCertificate(err):
		return "its TLS certificate is not to be trusted"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "the connection was refused"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return "the connection broke off"
	}
	return "the connection failed, or what answered does not speak HTTP"
}

func isCertificate(err error) bool {
	var (
		verification *tls.CertificateVerificationError
		authority    x509.UnknownAuthorityError
		hostname     x509.HostnameError
		invalid      x509.CertificateInvalidError
	)
	return errors.As(err, &verification) || errors.As(err, &authority) || errors.As(err, &hostname) || errors.As(err, &invalid)
}
