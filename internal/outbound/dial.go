package outbound

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"mcpsidecar/internal/rawtcp"
)

// keepAlive finds peers that vanished without a word within about a minute and a half.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 15 * time.Second, Count: 4}

// dialer opens connections past the guard. The guard is asked by the operating system's side of the dial, with the address that is about to be connected to: a name that resolves to something else
// a moment later gains nothing.
type dialer struct {
	guard *Guard
	net   net.Dialer
}

func newDialer(config Config) *dialer {
	d := &dialer{guard: NewGuard(config.AllowPrivate)}
	d.net = net.Dialer{
		Timeout:         config.DialTimeout,
		KeepAliveConfig: keepAlive,
		Resolver:        config.resolver,
		ControlContext:  d.control,
	}
	return d
}

// control refuses what it cannot read: any network but TCP and any address that is not an IP address with a port.
func (d *dialer) control(_ context.Context, network, address string, _ syscall.RawConn) error {
	if network != "tcp4" && network != "tcp6" {
		return ErrForbiddenAddress
	}
	target, err := netip.ParseAddrPort(address)
	if err != nil {
		return ErrForbiddenAddress
	}
	return d.guard.Check(target.Addr())
}

func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	inner, err := d.net.DialContext(ctx, network, address)
	if err != nil {
		host, _, _ := net.SplitHostPort(address)
		return nil, fmt.Errorf("connecting to %s: %w", host, wordless("dial", err))
	}
	return newConn(rawtcp.New(inner)), nil
}

// wordless takes the addresses out of an error of package net and keeps what programs ask it: errors.Is for the cause, errors.As for *net.OpError with its Op and *net.DNSError, and Timeout.
func wordless(op string, err error) error {
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return &net.OpError{Op: op, Net: "tcp", Err: wordlessDNS(dns)}
	}
	var outer *net.OpError
	for errors.As(err, &outer) {
		op, err = outer.Op, outer.Err
	}
	return &net.OpError{Op: op, Net: "tcp", Err: err}
}

// wordlessDNS leaves out the name server and the text of the exchange with it.
func wordlessDNS(dns *net.DNSError) *net.DNSError {
	reason := "the name cannot be resolved at present"
	switch {
	case dns.IsNotFound:
		reason = "no such host"
	case dns.IsTimeout:
		reason = "no answer in time"
	}
	return &net.DNSError{Err: reason, Name: dns.Name, IsNotFound: dns.IsNotFound, IsTimeout: dns.IsTimeout, IsTemporary: dns.IsTemporary}
}
