package rawtcp

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
)

const able = true

// most is how much one system call moves at most.
const most = 256 << 10

// half is one direction of a connection.
type half struct {
	mu   sync.Mutex         // held by whoever uses the direction, also while it waits; guards what follows
	step func(uintptr) bool // made once: a closure for each call would be an allocation
	p    []byte             // what is left to be moved
	n    int                // what has been
	once bool               // it must not wait
	err  syscall.Errno
}

func newConn(inner *net.TCPConn, raw syscall.RawConn) *Conn {
	c := &Conn{tcp: inner, raw: raw}
	c.in.step, c.out.step = c.in.receive, c.out.send
	return c
}

// Read reads what is there, or waits until something is.
func (c *Conn) Read(p []byte) (int, error) {
	switch {
	case len(p) == 0:
		return 0, nil
	case len(p) == 1 && c.place.held:
		return c.place.alone()
	}
	h := &c.in
	h.mu.Lock()
	defer h.mu.Unlock()
	n, err := h.run(c.raw.Read, p)
	switch {
	case err != nil:
		return n, c.explain("read", err)
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// Write writes all of p, unless it fails.
func (c *Conn) Write(p []byte) (int, error) {
	h := &c.out
	h.mu.Lock()
	defer h.mu.Unlock()
	return c.write(p)
}

// WriteNow writes as much of p as the system takes without waiting, which may be nothing.
func (c *Conn) WriteNow(p []byte) (int, error) {
	h := &c.out
	h.mu.Lock()
	defer h.mu.Unlock()
	h.once = true
	defer func() { h.once = false }()
	return c.write(p)
}

// write is Write; out.mu is held.
func (c *Conn) write(p []byte) (int, error) {
	n, err := c.out.run(c.raw.Write, p)
	if err != nil {
		return n, c.explain("write", err)
	}
	return n, nil
}

// run moves p, by way of the descriptor that access grants.
func (h *half) run(access func(func(uintptr) bool) error, p []byte) (int, error) {
	h.p, h.n, h.err = p, 0, 0
	err := access(h.step)
	h.p = nil
	if h.err != 0 {
		err = h.err
	}
	return h.n, err
}

// receive reads once; false: nothing is there yet.
func (h *half) receive(descriptor uintptr) bool {
	for {
		n, errno := sysRead(descriptor, h.p[:min(len(h.p), most)])
		switch errno {
		case 0:
			h.n = n
			return true
		case syscall.EAGAIN:
			return false
		case syscall.EINTR:
		default:
			h.err = errno
			return true
		}
	}
}

// send writes as often as the system takes something; false: it is full.
func (h *half) send(descriptor uintptr) bool {
	for len(h.p) > 0 {
		n, errno := sysWrite(descriptor, h.p[:min(len(h.p), most)])
		switch errno {
		case 0:
			h.n, h.p = h.n+n, h.p[n:]
		case syscall.EAGAIN:
			return h.once
		case syscall.EINTR:
		default:
			h.err = errno
			return true
		}
	}
	return true
}

// explain words an error as package net does.
func (c *Conn) explain(op string, err error) error {
	if known, ok := err.(*net.OpError); ok {
		err = known.Err
	}
	if errno, ok := err.(syscall.Errno); ok {
		err = os.NewSyscallError(op, errno)
	}
	local := c.LocalAddr()
	return &net.OpError{Op: op, Net: local.Network(), Source: local, Addr: c.RemoteAddr(), Err: err}
}
