package upstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// Era is modern (per-request metadata, 2026-07-28) or legacy (initialize, sessions).
type Era string

// The eras.
const (
	Modern Era = "modern"
	Legacy Era = "legacy"
)

// Config is one server.
type Config struct {
	Slug    string // for errors and logs
	URL     string
	SSE     bool         // the 2024-11-05 transport; otherwise streamable HTTP
	Client  *http.Client // guarded; required, with a Transport. Only that is used: redirects, cookies and Timeout have no part in it
	Limits  Limits
	Name    string             // how we introduce ourselves where no client info is passed on; empty: mcp-sidecar
	Version string             // empty: 0
	Logger  *slog.Logger       // nil: discards
	Breaker func(state string) // told each change: closed, half_open, open; may be nil; must not call back
	Session func(delta int)    // told each session opened (+1) and ended (-1); may be nil
	Now     func() time.Time   // nil: time.Now
}

// Limits bound an exchange. Zero values mean the defaults in brackets.
type Limits struct {
	Message int           // bytes of one decoded message [16 MiB]
	Connect time.Duration // era detection, initialize [10s]
	Call    time.Duration // until the answer when nothing comes before it [60s]
	Total   time.Duration // until the answer however much progress comes [10m]
	Idle    time.Duration // between two events of a stream once it has begun [60s]; progress and comments count
	Pages   int           // of a list [100]
}

func (l Limits) orDefaults() Limits {
	l.Message = orDefault(l.Message, 16<<20)
	l.Connect = orDefault(l.Connect, 10*time.Second)
	l.Call = orDefault(l.Call, time.Minute)
	l.Total = orDefault(l.Total, 10*time.Minute)
	l.Idle = orDefault(l.Idle, time.Minute)
	l.Pages = orDefault(l.Pages, 100)
	return l
}

func orDefault[T int | time.Duration](value, fallback T) T {
	if value == 0 {
		return fallback
	}
	return value
}

// closeGrace bounds what is still said to a server whose Server or Conn ends: DELETE of sessions, notifications/cancelled.
const closeGrace = 2 * time.Second

// Server is one external server under one configuration. Safe for concurrent use.
type Server struct {
	// Fixed at creation.
	cfg       Config
	endpoint  *url.URL
	transport http.RoundTripper
	breaker   *breaker
	agent     []string // User-Agent
	ourselves []byte   // raw Implementation

	known atomic.Pointer[known] // what detection found; nil: nothing yet

	mu        sync.Mutex // guards what follows; never held during I/O
	closed    bool
	detection *flight[*known] // under way
	conns     map[*Conn]struct{}
	running   sync.WaitGroup // every goroutine of this package
}

// New checks the configuration; it does not connect.
func New(cfg Config) (*Server, error) {
	endpoint, err := url.Parse(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("the URL of server %q cannot be read", cfg.Slug)
	}
	if (endpoint.Scheme != "http" && endpoint.Scheme != "https") || endpoint.Host == "" || endpoint.User != nil {
		return nil, fmt.Errorf("the URL of server %q must be http or https, with a host and without user information", cfg.Slug)
	}
	if cfg.Client == nil || cfg.Client.Transport == nil { // one without a transport of its own dials anything, by way of whatever the environment says
		return nil, errors.New("an upstream server needs the HTTP client for strangers")
	}
	if l := cfg.Limits; l.Message < 0 || l.Connect < 0 || l.Call < 0 || l.Total < 0 || l.Idle < 0 || l.Pages < 0 {
		return nil, fmt.Errorf("the limits of server %q must not be negative", cfg.Slug)
	}
	endpoint.Fragment, endpoint.RawFragment = "", ""
	cfg.fill()
	s := &Server{
		cfg:       cfg,
		endpoint:  endpoint,
		transport: cfg.Client.Transport,
		agent:     []string{cfg.Name + "/" + cfg.Version},
		ourselves: implementation(cfg.Name, cfg.Version),
		conns:     map[*Conn]struct{}{},
	}
	s.breaker = newBreaker(s)
	return s, nil
}

func (c *Config) fill() {
	c.Limits = c.Limits.orDefaults()
	if c.Name == "" {
		c.Name = "mcp-sidecar"
	}
	if c.Version == "" {
		c.Version = "0"
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Breaker == nil {
		c.Breaker = func(string) {}
	}
	if c.Session == nil {
		c.Session = func(int) {}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
}

// Close ends all Conns, streams and idle connections, and returns after its goroutines.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	conns := s.conns
	s.conns = nil
	s.mu.Unlock()

	ctx, cancel := context.WithTimeout(context.Background(), closeGrace)
	defer cancel()
	var closing sync.WaitGroup
	slots := make(chan struct{}, 32) // so that a server with a thousand sessions is not met by a thousand DELETEs at once
	for c := range conns {
		slots <- struct{}{}
		closing.Go(func() {
			c.Close(ctx)
			<-slots
		})
	}
	closing.Wait()
	s.running.Wait()
	s.cfg.Client.CloseIdleConnections()
}

// spawn runs f in a goroutine that Close waits for; false means that the server is closed and f does not run.
func (s *Server) spawn(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.running.Go(f)
	return true
}

// Info is what is known of a server once it has answered.
type Info struct {
	Era          Era
	Version      string // negotiated protocol version
	ServerInfo   []byte // raw Implementation, or nil
	Capabilities []byte // raw object, or nil
	Both         bool   // a modern server says that it speaks the legacy era as well, and was not found out
}
