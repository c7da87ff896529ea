package outbound

import (
	"crypto/tls"
	"net"
	"net/http"
	"syscall"
	"time"
)

// WithResolver makes clients look names up in a resolver that a test controls.
func WithResolver(config Config, resolver *net.Resolver) Config {
	config.resolver = resolver
	return config
}

// WithTLS makes clients trust whom a test wants them to.
func WithTLS(config Config, settings *tls.Config) Config {
	config.tls = settings
	return config
}

// Other is the part of a client that sends what does not go the direct way.
func Other(c *http.Client) *http.Transport { return c.Transport.(*direct).other }

// Idle is how many connections of a client wait for a request of the direct way.
func Idle(c *http.Client) int {
	p := c.Transport.(*direct).pool
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, s := range p.shelves {
		n += len(s.idle)
	}
	return n
}

// PlainHead reads a plain head, and says how long it is.
func PlainHead(text []byte) (answer *http.Response, size int, ok bool) { return plainHead(text) }

// Shrink makes the idle connections of a client take little at once.
func Shrink(c *http.Client) {
	p := c.Transport.(*direct).pool
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.shelves {
		for _, w := range s.idle {
			w.socket.raw.Control(func(descriptor uintptr) {
				syscall.SetsockoptInt(int(descriptor), syscall.SOL_SOCKET, syscall.SO_SNDBUF, 8<<10)
			})
		}
	}
}

// IsStale says whether a connection that has been idle for some time is used no more, after an answer with this Keep-Alive and with our own patience.
func IsStale(patience, idle time.Duration, keepAlive string) bool {
	now := time.Now()
	return newPool(1, patience).stale(&wire{idleSince: now.Add(-idle), promised: promise([]string{keepAlive})}, now)
}
