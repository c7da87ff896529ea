package rig

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"syscall"
)

// Port is a port on loopback that the system gives to nobody else for as long as it is held, also while nobody listens there. A port that was free a moment ago may be another program's by the time that it is wanted again: a
// busy machine is given hundreds of them a second.
type Port struct{ fd int }

// TakePort takes one. It is bound and not listened on, so that connections are refused, and whoever asks for it by its number may listen there, end, and listen again. Only Linux can do that; elsewhere it is free again at once.
func TakePort() (p *Port, address string, err error) {
	syscall.ForkLock.RLock()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, "", os.NewSyscallError("socket", err)
	}
	p = &Port{fd}
	if address, err = p.bind(); err != nil || runtime.GOOS != "linux" {
		p.Close()
	}
	return p, address, err
}

func (p *Port) bind() (address string, err error) {
	if err := syscall.SetsockoptInt(p.fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return "", os.NewSyscallError("setsockopt", err)
	}
	if err := syscall.Bind(p.fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return "", os.NewSyscallError("bind", err)
	}
	at, err := syscall.Getsockname(p.fd)
	if err != nil {
		return "", os.NewSyscallError("getsockname", err)
	}
	inet, ok := at.(*syscall.SockaddrInet4)
	if !ok {
		return "", fmt.Errorf("a port at %T", at)
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(inet.Port)), nil
}

// Close gives it back. It may be closed more than once.
func (p *Port) Close() {
	if p.fd >= 0 {
		syscall.Close(p.fd)
		p.fd = -1
	}
}
