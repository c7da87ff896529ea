package outbound

import (
	"errors"
	"net/http"
	"net/netip"
	"time"
)

// ErrForbiddenAddress says that a name led to an address that may not be reached. Its wrapping names the host, never the address.
var ErrForbiddenAddress = errors.New("the address is private, loopback, link-local or reserved, and not allowed by --allow-private-cidrs")

// Config says what may be reached and how long things may take. Zero durations mean the defaults in brackets.
type Config struct {
	AllowPrivate   []netip.Prefix
	DialTimeout    time.Duration // [5s]
	TLSTimeout     time.Duration // [5s]
	HeaderTimeout  time.Duration // until an answer's headers; zero: none, the caller's context decides
	IdleTimeout    time.Duration // of a pooled connection [90s]
	MaxIdlePerHost int           // [256]: as large as the concurrency, so that calls do not dial
	MaxHeaderBytes int64         // of an answer [64 KiB]
}

// Guard judges addresses.
type Guard struct{ allow []netip.Prefix }

// NewGuard returns a guard that refuses everything that is not globally routable except what allow contains.
func NewGuard(allow []netip.Prefix) *Guard { panic("unbuilt") }

// Check says whether an address may be dialled.
func (g *Guard) Check(netip.Addr) error { panic("unbuilt") }

// CheckURL judges what can be judged of a URL before it is dialled, for early errors in the management API: scheme http or https, a host, no userinfo, no fragment, and if
// the host is an address literal, that address.
func (g *Guard) CheckURL(raw string) error { panic("unbuilt") }

// New returns a client that dials through the guard, follows no redirects (an answer 3xx is returned as it is), reads no environment proxy, sends no Accept-Encoding, speaks
// HTTP/1.1 and HTTP/2 over TLS.
func New(Config) (*http.Client, error) { panic("unbuilt") }
