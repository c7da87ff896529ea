package discovery

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"
)

// Config says what discovery works with. Zero durations mean the defaults in brackets.
type Config struct {
	HTTP       *http.Client     // required: the client for strangers, as internal/outbound makes it. Every request of this package goes through it
	Logger     *slog.Logger     // nil: says nothing
	Now        func() time.Time // nil: time.Now
	Timeout    time.Duration    // of one whole discovery or registration [30s]
	CacheTTL   time.Duration    // how long what was found is believed [3m]
	FailureTTL time.Duration    // how long a failure is repeated without asking again [5s]
	UserAgent  string           // [mcp-sidecar]
}

// Client discovers and registers. It is safe for concurrent use.
type Client struct {
	// fixed at creation
	http      *http.Client
	logger    *slog.Logger
	now       func() time.Time
	timeout   time.Duration
	userAgent string

	memory *memory
}

// New checks the configuration.
func New(config Config) (*Client, error) {
	switch {
	case config.HTTP == nil || config.HTTP.Transport == nil:
		// Without a transport of its own a client uses the one that reads the environment's proxy and dials anything.
		return nil, errors.New("discovery needs the HTTP client for strangers")
	case config.Timeout < 0 || config.CacheTTL < 0 || config.FailureTTL < 0:
		return nil, errors.New("a time-out of discovery is negative")
	}
	client := *config.HTTP
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	client.Jar = nil
	c := &Client{
		http:      &client,
		logger:    config.Logger,
		now:       config.Now,
		timeout:   cmp.Or(config.Timeout, 30*time.Second),
		userAgent: cmp.Or(config.UserAgent, "mcp-sidecar"),
	}
	if c.logger == nil {
		c.logger = slog.New(slog.DiscardHandler)
	}
	if c.now == nil {
		c.now = time.Now
	}
	c.memory = newMemory(cmp.Or(config.CacheTTL, 3*time.Minute), cmp.Or(config.FailureTTL, 5*time.Second), c.now)
	return c, nil
}

// Close ends discoveries under way and returns after them.
func (c *Client) Close() { c.memory.close() }

// Discover returns what a sign-in at the server needs. What it found, failures included, is remembered for a while, and asking for the same server at the same time asks the network once:
// what is under way goes on when ctx ends, for whoever asks next. Every error but one of ctx is a *Failure.
func (c *Client) Discover(ctx context.Context, server Server) (Metadata, error) {
	return c.recall(ctx, server, false)
}

// Rediscover is Discover without a look at what is remembered: for when an admin asks, and for when an authorization server no longer takes what it once gave.
func (c *Client) Rediscover(ctx context.Context, server Server) (Metadata, error) {
	return c.recall(ctx, server, true)
}

func (c *Client) recall(ctx context.Context, server Server, anew bool) (Metadata, error) {
	found := c.memory.recall(server, anew, func(ctx context.Context) (Metadata, *Failure) {
		ctx, cancel := context.WithTimeout(ctx, c.timeout)
		defer cancel()
		return c.discover(ctx, server)
	})
	select {
	case <-found.done:
		return found.result()
	case <-ctx.Done():
		return Metadata{}, ctx.Err()
	}
}
