//go:build linux && !race

package rawtcp

import (
	"syscall"
	"unsafe"
)

// sysRead and sysWrite are the system calls; p is not empty.

func sysRead(descriptor uintptr, p []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall(syscall.SYS_READ, descriptor, uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
	return int(n), errno
}

func sysWrite(descriptor uintptr, p []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall(syscall.SYS_WRITE, descriptor, uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
	return int(n), errno
}
