package outbound

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"
)

// Config says what may be reached and how long things may take. Zero durations mean the defaults in brackets.
type Config struct {
	AllowPrivate   []netip.Prefix
	DialTimeout    time.Duration // [5s]
	TLSTimeout     time.Duration // [5s]
	HeaderTimeout  time.Duration // until an answer's headers; zero: none, the caller's context decides
	IdleTimeout    time.Duration // of a pooled connection [90s]
	MaxIdlePerHost int           // [256]: as large as the concurrency, so that calls do not dial
	MaxHeaderBytes int64         // of an answer [64 KiB]

	resolver *net.Resolver // nil: the system's; tests lie through it
	tls      *tls.Config   // nil: the standard one; tests have authorities of their own
}

// New returns a client that dials through the guard, follows no redirects (an answer 3xx is returned as it is), reads no environment proxy, sends no Accept-Encoding. It speaks HTTP/1.1; over TLS it
// speaks HTTP/2 with what net/http carries, which is everything that is not small, and everything for a server that knows nothing else.
//
// Its errors name the host and never an address, but for one thing: what http.Client.Do returns is a *url.Error, whose text has the whole URL in it, query included. Cause takes that off.
func New(config Config) (*http.Client, error) {
	if err := config.complete(); err != nil {
		return nil, err
	}
	return &http.Client{Transport: newDirect(config), CheckRedirect: stay}, nil
}

// Cause is what went wrong with a request, without the method and the URL that http.Client puts in front of it: a query may hold a key.
func Cause(err error) error {
	var request *url.Error
	for errors.As(err, &request) {
		err = request.Err
	}
	return err
}

// complete checks the configuration and fills in what is zero.
func (c *Config) complete() error {
	for _, prefix := range c.AllowPrivate {
		if !prefix.IsValid() {
			return errors.New("an allowed CIDR is not valid")
		}
	}
	if c.HeaderTimeout < 0 {
		return errors.New("the header time-out is negative")
	}
	return errors.Join(
		complete("dial time-out", &c.DialTimeout, 5*time.Second),
		complete("TLS time-out", &c.TLSTimeout, 5*time.Second),
		complete("idle time-out", &c.IdleTimeout, 90*time.Second),
		complete("number of idle connections", &c.MaxIdlePerHost, 256),
		complete("header limit", &c.MaxHeaderBytes, 64<<10),
	)
}

func complete[T int | int64 | time.Duration](name string, value *T, standard T) error {
	if *value < 0 {
		return fmt.Errorf("the %s is negative", name)
	}
	if *value == 0 {
		*value = standard
	}
	return nil
}

func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// transport is built from nothing rather than from http.DefaultTransport, so that what is not said here is off: no proxy, no cookies, no HTTP/2 without TLS.
//
// The buffers keep the 4 KiB of net/http. A larger one would stay with every idle stream and saves next to nothing: longer reads and writes pass it by (see BenchmarkBuffers).
func transport(config Config, d *dialer) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	return &http.Transport{
		Proxy:                  nil,
		DialContext:            d.dial,
		TLSClientConfig:        config.tls.Clone(),
		TLSHandshakeTimeout:    config.TLSTimeout,
		ResponseHeaderTimeout:  config.HeaderTimeout,
		ExpectContinueTimeout:  time.Second,
		IdleConnTimeout:        config.IdleTimeout,
		MaxIdleConns:           0, // the limit is per host: one busy server must not push out the connections of another
		MaxIdleConnsPerHost:    config.MaxIdlePerHost,
		MaxResponseHeaderBytes: config.MaxHeaderBytes,
		DisableCompression:     true,
		Protocols:              protocols,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second},
	}
}
