package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"

	"mcpsidecar/internal/e2e/rig"
)

// Revision is one revision of the specification, and how the upstream is started that passes everything of it directly.
type Revision struct {
	Name     string
	Sessions bool
}

var revisions = []Revision{{Name: "2025-11-25", Sessions: true}, {Name: "2026-07-28", Sessions: false}}

// bench is a sidecar and what is needed to put upstreams behind it.
type bench struct {
	node       *rig.Node
	everything string // the upstream's binary
	sidecar    *rig.Sidecar
	forwarder  *httptest.Server // adds the token
	upstreams  int              // started so far

	cleanup []func()
}

// newBench builds and starts everything but upstreams.
func newBench(ctx context.Context) (b *bench, err error) {
	b = &bench{}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	dir, err := os.MkdirTemp("", "conformance-")
	if err != nil {
		return b, err
	}
	b.cleanup = append(b.cleanup, func() { os.RemoveAll(dir) })
	if b.node, err = rig.OpenNode(ctx); err != nil {
		return b, err
	}
	if b.everything, err = rig.Build(ctx, dir, rig.EverythingPackage); err != nil {
		return b, err
	}
	return b, b.startSidecar(ctx, dir)
}

func (b *bench) startSidecar(ctx context.Context, dir string) error {
	binary, err := rig.Build(ctx, dir, rig.SidecarPackage)
	if err != nil {
		return err
	}
	if b.sidecar, err = rig.StartSidecar(ctx, rig.SidecarConfig{Binary: binary, Dir: dir + "/data"}); err != nil {
		return err
	}
	b.cleanup = append(b.cleanup, b.sidecar.Kill)
	token, err := b.sidecar.Mint(ctx, "suite", nil)
	if err != nil {
		return err
	}
	if b.forwarder, err = rig.Forwarder(b.sidecar.Base, http.Header{"Authorization": {"Bearer " + token}}); err != nil {
		return err
	}
	b.cleanup = append(b.cleanup, b.forwarder.Close, b.forwarder.CloseClientConnections)
	return nil
}

// close ends everything, the last first.
func (b *bench) close() {
	for i := len(b.cleanup) - 1; i >= 0; i-- {
		b.cleanup[i]()
	}
}

// run runs a revision in both columns, each with an upstream of its own: some scenarios change what it offers.
func (b *bench) run(ctx context.Context, revision Revision) ([]Row, error) {
	direct, err := b.column(ctx, revision, func(url string) (string, error) { return url, nil })
	if err != nil {
		return nil, err
	}
	through, err := b.column(ctx, revision, func(url string) (string, error) {
		slug := fmt.Sprintf("upstream-%d", b.upstreams)
		_, err := b.sidecar.Register(ctx, slug, url, nil)
		return b.forwarder.URL + "/mcp/" + slug, err
	})
	if err != nil {
		return nil, err
	}
	return compare(direct, through)
}

// column runs the suite against a fresh upstream at the address that place makes of its own.
func (b *bench) column(ctx context.Context, revision Revision, place func(url string) (string, error)) ([]Result, error) {
	upstream, address, err := rig.GoSDK(ctx, b.everything, !revision.Sessions)
	if err != nil {
		return nil, err
	}
	defer upstream.Kill()
	b.upstreams++
	url, err := place("http://" + address + "/")
	if err != nil {
		return nil, err
	}
	return runSuite(ctx, b.node, revision.Name, url)
}
