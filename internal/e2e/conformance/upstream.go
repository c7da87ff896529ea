package main

import (
	"context"
	"errors"
	"fmt"

	"mcpsidecar/internal/e2e/rig"
)

// Upstream is a server that others wrote for the suite, or that the suite can be run against.
type Upstream struct {
	Name  string
	start func(ctx context.Context, b *bench) (*running, error)
}

// running is an upstream that runs.
type running struct {
	url  string
	stop func()
}

// upstreams are those that the suite is run against. Which scenarios each of them passes by itself the direct column says. The first two are one program: it keeps no sessions and
// speaks both eras, or keeps sessions and speaks the older one.
var upstreams = []Upstream{
	{"go-sdk", func(ctx context.Context, b *bench) (*running, error) {
		return serving("/")(rig.GoSDK(ctx, b.goSDK, true))
	}},
	{"go-sdk, sessions", func(ctx context.Context, b *bench) (*running, error) {
		return serving("/")(rig.GoSDK(ctx, b.goSDK, false))
	}},
	{"mcp-go", func(ctx context.Context, b *bench) (*running, error) {
		return serving("/mcp")(rig.MCPGo(ctx, b.mcpGo))
	}},
	{"server-everything", func(ctx context.Context, b *bench) (*running, error) {
		return serving("/mcp")(b.node.Everything(ctx, "streamableHttp"))
	}},
}

// serving turns what the rig starts into what runs at a path.
func serving(path string) func(*rig.Process, string, error) (*running, error) {
	return func(p *rig.Process, address string, err error) (*running, error) {
		if err != nil {
			return nil, err
		}
		return &running{url: "http://" + address + path, stop: p.Kill}, nil
	}
}

// at is an upstream that somebody else runs.
func at(url string) Upstream {
	return Upstream{url, func(context.Context, *bench) (*running, error) { return &running{url: url, stop: func() {}}, nil }}
}

// Column is where the suite is sent to reach an upstream.
type Column struct {
	Name  string
	place func(ctx context.Context, b *bench, slug string) (url string, close func(), err error) // of an upstream that is registered; nil: to itself
}

// columns are compared with the first.
var columns = []Column{
	{Name: "DIRECT"},
	{"/mcp/{slug}", func(ctx context.Context, b *bench, slug string) (string, func(), error) {
		f, err := rig.Forwarder(b.sidecar.Base, b.headers(slug))
		if err != nil {
			return "", nil, err
		}
		return f.URL + "/mcp/" + slug, closer(f), nil
	}},
	{"/mcp", func(ctx context.Context, b *bench, slug string) (string, func(), error) {
		f, err := rig.PlainNames(b.sidecar.Base, b.headers(slug+","+demo), slug)
		if err != nil {
			return "", nil, err
		}
		return f.URL + "/mcp", closer(f), nil
	}},
}

// demo is the server that the sidecar brings, which stands beside the upstream on /mcp, so that there is something to merge.
const demo = "demo"

func closer(f interface {
	CloseClientConnections()
	Close()
}) func() {
	return func() {
		f.CloseClientConnections()
		f.Close()
	}
}

// find returns the upstream of a name.
func find(name string) (Upstream, error) {
	var known []error
	for _, u := range upstreams {
		if u.Name == name {
			return u, nil
		}
		known = append(known, errors.New(u.Name))
	}
	return Upstream{}, fmt.Errorf("there is no upstream %q, but:\n%w", name, errors.Join(known...))
}
