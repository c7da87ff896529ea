//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package outbound

// canPeek: without it every request goes through net/http.
const canPeek = false

func peek(uintptr) bool { return true }
