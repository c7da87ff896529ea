//go:build linux && !386 && !s390x

package outbound

import (
	"syscall"
	"unsafe"
)

const canPeek = true

// peek says whether a read would return at once: with data, the end or an error. The scheduler is not told of this call, which never waits (see package rawtcp).
func peek(descriptor uintptr) bool {
	var space [1]byte
	for {
		_, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, descriptor, uintptr(unsafe.Pointer(&space)), 1, syscall.MSG_PEEK|syscall.MSG_DONTWAIT, 0, 0)
		switch errno {
		case syscall.EINTR:
		case syscall.EAGAIN:
			return false
		default:
			return true
		}
	}
}
