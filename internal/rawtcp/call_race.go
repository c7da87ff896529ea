//go:build linux && race

package rawtcp

import "syscall"

// The race detector takes what passes between two ends of a connection for an order of events, as far as it sees it: package syscall tells it.

func sysRead(descriptor uintptr, p []byte) (int, syscall.Errno) {
	return counted(syscall.Read(int(descriptor), p))
}

func sysWrite(descriptor uintptr, p []byte) (int, syscall.Errno) {
	return counted(syscall.Write(int(descriptor), p))
}

func counted(n int, err error) (int, syscall.Errno) {
	errno, _ := err.(syscall.Errno)
	return n, errno
}
