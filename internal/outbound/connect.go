package outbound

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
)

// errNeedsHTTP2 says that the server speaks no HTTP/1.1; nothing was sent to it.
var errNeedsHTTP2 = errors.New("the server speaks HTTP/2 only")

// lateError is a time-out of our own.
type lateError string

func (e lateError) Error() string   { return string(e) }
func (e lateError) Timeout() bool   { return true }
func (e lateError) Temporary() bool { return true }

const (
	errLateTLS  = lateError("the TLS handshake took too long")
	errLateHead = lateError("the server sent no headers in time")
)

// dial opens a connection for a request.
func (d *direct) dial(ctx context.Context, where place, target *url.URL) (*wire, error) {
	inner, err := d.dialer.dial(ctx, "tcp", net.JoinHostPort(target.Hostname(), portOf(target)))
	if err != nil {
		return nil, explain(ctx, err)
	}
	s, err := newSocket(inner)
	if err != nil {
		inner.Close()
		return nil, err
	}
	w := newWire(s, where, d)
	if where.scheme == "http" {
		return w, nil
	}
	if err := d.secure(ctx, w, target.Hostname()); err != nil {
		inner.Close()
		if lacksHTTP1(err) {
			d.pool.needsHTTP2(where)
			return nil, errNeedsHTTP2
		}
		return nil, explain(ctx, err)
	}
	return w, nil
}

func portOf(target *url.URL) string {
	if port := target.Port(); port != "" {
		return port
	}
	if target.Scheme == "https" {
		return "443"
	}
	return "80"
}

// secure puts TLS on top of a connection.
func (d *direct) secure(ctx context.Context, w *wire, name string) error {
	config := d.config.tls.Clone()
	if config == nil {
		config = new(tls.Config)
	}
	config.ServerName, config.NextProtos = name, []string{"http/1.1"}
	secured := tls.Client(w.socket, config)
	ctx, cancel := context.WithTimeoutCause(ctx, d.config.TLSTimeout, errLateTLS)
	defer cancel()
	w.socket.records.counted = true
	if err := secured.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("connecting to %s: %w", name, explain(ctx, err))
	}
	state := secured.ConnectionState()
	w.net, w.state = secured, &state
	return nil
}

// lacksHTTP1 recognises how a handshake ends if the server knows no protocol that we offer. Package tls has no error to compare with.
func lacksHTTP1(err error) bool {
	text := err.Error()
	return strings.HasSuffix(text, "tls: no application protocol") || strings.Contains(text, "unadvertised ALPN protocol")
}
