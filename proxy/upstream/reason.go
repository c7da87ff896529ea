package upstream

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strconv"
	"syscall"
)

// Report is Sentence with the reason and the cause, for the admin whose URL it is. It may name hosts; agents get Sentence.
func (f *Failure) Report() string {
	text := "The server " + strconv.Quote(f.Slug) + " " + f.predicate()
	if reason := f.reason(); reason != "" {
		text += ": " + reason
	}
	if f.MayHaveRun {
		text += "; the outcome is unknown"
	}
	if f.Err != nil {
		text += " (" + f.Err.Error() + ")"
	}
	return text + "."
}

// reason says in plain words what stands behind a server that is not available, and what to do about it where that is known.
func (f *Failure) reason() string {
	switch f.Kind {
	case Forbidden:
		return "it is at an address that is private, loopback, link-local or reserved, which is not allowed here; if it is meant to be there, start the sidecar with its network in --allow-private-cidrs"
	case Status:
		if f.HTTPStatus >= 500 {
			return "it answers with HTTP status " + strconv.Itoa(f.HTTPStatus)
		}
	case TimedOut:
		if !f.MayHaveRun {
			return "nothing was heard of it in time"
		}
	case Unreachable:
		return unreachable(f.Err)
	}
	return ""
}

// unreachable finds in an error of the transport what a person can do something about.
func unreachable(err error) string {
	if name := (*net.DNSError)(nil); errors.As(err, &name) {
		if name.IsNotFound {
			return "there is no host of this name"
		}
		return "the name of its host cannot be resolved at present"
	}
	if says := untrusted(err); says != "" {
		return says
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "it refuses the connection; most often nothing listens at this port"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "no way leads to its address"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "it closed the connection without a complete answer"
	}
	if late := net.Error(nil); errors.As(err, &late) && late.Timeout() {
		return "no connection came about in time"
	}
	return ""
}

// untrusted is what is wrong with its TLS.
func untrusted(err error) string {
	var (
		authority x509.UnknownAuthorityError
		name      x509.HostnameError
		invalid   x509.CertificateInvalidError
		plain     tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &authority):
		return "its certificate is not valid, because no authority that this machine trusts has signed it"
	case errors.As(err, &name):
		return "its certificate is not valid, because it is for another name"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "its certificate is not valid, because it has expired or is for later"
	case errors.As(err, &invalid), errors.As(err, new(*tls.CertificateVerificationError)):
		return "its certificate is not valid"
	case errors.As(err, &plain):
		return "it does not speak TLS at this port; the URL may have to begin with http:"
	case errors.As(err, new(tls.AlertError)):
		return "it does not agree to a TLS connection"
	}
	return ""
}
