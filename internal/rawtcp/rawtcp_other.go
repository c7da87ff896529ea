//go:build !linux

package rawtcp

import (
	"net"
	"syscall"
)

const able = false

type half struct{}

func newConn(*net.TCPConn, syscall.RawConn) net.Conn { panic("rawtcp: not on this system") }
