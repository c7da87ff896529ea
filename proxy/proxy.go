package proxy

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"mcpsidecar/configstore"
	"mcpsidecar/internal/audit"
	"mcpsidecar/internal/caller"
	"mcpsidecar/internal/metrics"
	"mcpsidecar/policy"
	"mcpsidecar/proxy/upstream"
)

// Config is what a Proxy needs. All fields are required unless they say otherwise.
type Config struct {
	Callers interface {
		Authenticate(*http.Request) (*caller.Identity, error)
	}
	Client     *http.Client // guarded, towards servers
	SessionKey [32]byte     // seals session ids; the same key after a restart keeps sessions valid
	Metrics    *metrics.Metrics
	Audit      *audit.Log
	// Baseline stores the first catalog that was seen of a server, at the revision it was fetched under. It is told again and again until it returns nil.
	Baseline func(ctx context.Context, serverID string, revision uint64, first policy.Baseline) error
	Version  string
	MaxBody  int              // of a request [4 MiB]
	Limits   upstream.Limits  // zero values are the defaults
	Logger   *slog.Logger     // nil: discards
	Now      func() time.Time // nil: time.Now
}

// Proxy answers MCP requests. Safe for concurrent use.
type Proxy struct{}

// New returns a Proxy that serves nothing until Load.
func New(Config) (*Proxy, error) { panic("unbuilt") }

// Load makes the proxy use this configuration from the next request on. Servers whose record is unchanged keep their connections, sessions and lists.
func (p *Proxy) Load(configstore.Snapshot) { panic("unbuilt") }

// ServeHTTP answers /mcp and /mcp/{slug}.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) { panic("unbuilt") }

// Drain refuses new work with 503, ends standing streams gracefully, and returns when no request is under way or ctx ends.
func (p *Proxy) Drain(ctx context.Context) { panic("unbuilt") }

// Close ends everything and returns after its goroutines.
func (p *Proxy) Close() { panic("unbuilt") }

// ProbeResult is what came of a test connection.
type ProbeResult struct {
	Info  upstream.Info
	Tools []string
	Took  time.Duration
	Err   error // nil: reachable; otherwise text fit for the admin
}

// Probe connects to a server as it is configured, outside all caches, within some seconds.
func (p *Proxy) Probe(ctx context.Context, server configstore.Server) ProbeResult { panic("unbuilt") }

// PresentTool is one tool of a server at present.
type PresentTool struct {
	Name, Exposed, Description string
	ReadOnly                   bool
	Print                      policy.Print
}

// Present is a server's tools at present.
type Present struct {
	Tools     []PresentTool
	Baseline  policy.Baseline
	Warnings  []string
	FetchedAt time.Time
	Stale     bool
}

// Present returns the present tools of a configured server, cached or fetched.
func (p *Proxy) Present(ctx context.Context, serverID string) (Present, error) { panic("unbuilt") }
