package proxy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"mcpsidecar/configstore"
	"mcpsidecar/policy"
	"mcpsidecar/proxy/catalog"
	"mcpsidecar/proxy/rpc"
	"mcpsidecar/proxy/upstream"
)

// probeTime is how long a test connection may take.
const probeTime = 10 * time.Second

// ProbeResult is what came of a test connection.
type ProbeResult struct {
	Info  upstream.Info
	Tools []string
	Took  time.Duration
	Err   error // nil: reachable; otherwise text fit for the admin
}

// Probe connects to a server as it is configured, outside all caches and breakers, within some seconds.
func (p *Proxy) Probe(ctx context.Context, server configstore.Server) ProbeResult {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	started := time.Now()
	result := p.probe(ctx, &server)
	result.Took = time.Since(started)
	return result
}

func (p *Proxy) probe(ctx context.Context, server *configstore.Server) (result ProbeResult) {
	live, err := upstream.New(upstream.Config{
		Slug: server.Slug, URL: server.URL, SSE: server.Transport == configstore.SSE, Client: p.config.Client, Limits: p.config.Limits,
		Name: "mcp-sidecar", Version: p.config.Version, Logger: p.log, Now: p.now,
	})
	if err != nil {
		result.Err = err
		return result
	}
	defer live.Close()
	header := plainHeader(server, p.instance)
	conn := live.Conn(upstream.ConnConfig{Header: func(context.Context, bool) (http.Header, error) { return header, nil }, Capabilities: everyAbility})
	defer conn.Close(ctx)
	if result.Info, err = conn.Info(ctx); err != nil {
		result.Err = forTester(server, err)
		return result
	}
	elements, _, _, err := conn.List(ctx, "tools/list", "tools")
	if err != nil {
		result.Err = forTester(server, err)
		return result
	}
	result.Tools = catalog.Build(elements, catalog.Limits{}).Names()
	return result
}

// reported is an error in words for the admin, who may know the reason: it is the admin's own URL.
type reported struct{ failure *upstream.Failure }

func (r reported) Error() string { return r.failure.Report() }
func (r reported) Unwrap() error { return r.failure }

var errAsksForAccount = errors.New("the server is there and asks for an account, as it should; what it offers shows when one is connected")

// forTester knows that a test is made without anybody's account.
func forTester(server *configstore.Server, err error) error {
	if _, asks := needsSignIn(err); asks && server.AuthType == configstore.AuthOAuth2 {
		return errAsksForAccount
	}
	return forAdmin(err)
}

func forAdmin(err error) error {
	if f := (*upstream.Failure)(nil); errors.As(err, &f) {
		return reported{f}
	}
	return err
}

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

// errNoServer is for a server that is not configured, or cannot be used as it is.
var errNoServer = errors.New("the server cannot be connected to as it is configured")

// Present returns the present tools of a configured server, cached or fetched, as they are listed to one user. The error wraps ErrSignIn if the user has to connect an account before they are.
func (p *Proxy) Present(ctx context.Context, serverID, user string) (Present, error) {
	for _, s := range p.snapshot.Load().servers {
		if s.id != serverID {
			continue
		}
		if s.link == nil || !s.link.acquire() {
			break
		}
		defer s.link.release()
		way, needs := s.link.of(ctx, user)
		v, stale, err := way.lists.tools.get(ctx)
		if _, asks := needsSignIn(err); needs && asks {
			return Present{}, fmt.Errorf("%w: %w", ErrSignIn, forAdmin(err))
		}
		if err != nil {
			return Present{}, forAdmin(err)
		}
		return present(v, stale), nil
	}
	return Present{}, errNoServer
}

func present(v *view, stale bool) Present {
	out := Present{Baseline: v.catalog.Baseline(), Warnings: v.catalog.Warnings, FetchedAt: v.fetched, Stale: stale}
	for _, t := range v.ordered {
		description, _ := rpc.String(rpc.Find(t.tool.Raw, "description"))
		out.Tools = append(out.Tools, PresentTool{Name: t.tool.Name, Exposed: t.exposed, Description: description, ReadOnly: t.tool.ReadOnly, Print: t.tool.Print})
	}
	return out
}
