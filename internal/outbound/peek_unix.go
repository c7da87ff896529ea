//go:build (linux && (386 || s390x)) || darwin || freebsd || netbsd || openbsd || dragonfly

package outbound

import "syscall"

const canPeek = true

// peek says whether a read would return at once: with data, the end or an error.
func peek(descriptor uintptr) bool {
	var space [1]byte
	for {
		_, _, err := syscall.Recvfrom(int(descriptor), space[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		switch err {
		case syscall.EINTR:
		case syscall.EAGAIN:
			return false
		default:
			return true
		}
	}
}
