//go:build !linux

package rawtcp

import (
	"context"
	"net"
	"syscall"
)

const able = false

type half struct{}

// Watch watches nothing here: net/http finds out by itself who has gone.
type Watch struct{}

type place struct{}

// NewWatch returns one that does nothing.
func NewWatch() (*Watch, error) { return new(Watch), nil }

// Close does nothing.
func (w *Watch) Close() error { return nil }

// Context returns ctx.
func Context(ctx context.Context, _ net.Conn) context.Context { return ctx }

// WhenGone says that nothing is watched.
func WhenGone(net.Conn, func()) bool { return false }

func newConn(*net.TCPConn, syscall.RawConn) net.Conn { panic("rawtcp: not on this system") }
