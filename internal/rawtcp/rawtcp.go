package rawtcp

import (
	"net"
	"syscall"
)

// Listener accepts connections of this package.
type Listener struct {
	net.Listener
	Watch *Watch // tells when the other end of a connection has gone; nil: only a Read does
}

// Accept returns the next connection.
func (l Listener) Accept() (net.Conn, error) {
	inner, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	conn := New(inner)
	if ours, ok := conn.(*Conn); ok {
		ours.watch = l.Watch
	}
	return conn, nil
}

// New returns a connection that takes the place of another; what is no TCP connection of package net is returned as it is.
func New(inner net.Conn) net.Conn {
	tcp, ok := inner.(*net.TCPConn)
	if !ok || !able {
		return inner
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return inner
	}
	return newConn(tcp, raw)
}

// Conn is a TCP connection. Safe for concurrent use as every net.Conn is.
type Conn struct {
	tcp
	raw   syscall.RawConn
	in    half
	out   half
	watch *Watch // may be nil
	place place  // in watch
}

// tcp keeps *net.TCPConn's ReadFrom and WriteTo from being promoted: they would pass Read and Write by.
type tcp interface {
	net.Conn
	CloseWrite() error
}

// SyscallConn gives access to the descriptor, as *net.TCPConn does.
func (c *Conn) SyscallConn() (syscall.RawConn, error) { return c.raw, nil }
