package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"sync"
	"sync/atomic"

	"mcpsidecar/internal/e2e/rig"
)

// bench is a sidecar and what is needed to put upstreams behind it.
type bench struct {
	node         *rig.Node
	goSDK, mcpGo string // binaries
	sidecar      *rig.Sidecar
	token        string
	registered   atomic.Int32 // so far

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
	if b.goSDK, err = rig.Build(ctx, dir, rig.EverythingPackage); err != nil {
		return b, err
	}
	if b.mcpGo, err = rig.Build(ctx, dir, rig.MCPGoPackage); err != nil {
		return b, err
	}
	return b, b.startSidecar(ctx, dir)
}

func (b *bench) startSidecar(ctx context.Context, dir string) error {
	binary, err := rig.Build(ctx, dir, rig.SidecarPackage)
	if err != nil {
		return err
	}
	if b.sidecar, err = rig.StartSidecar(ctx, rig.SidecarConfig{Binary: binary, Dir: dir + "/data", Args: []string{"--demo"}}); err != nil {
		return err
	}
	b.cleanup = append(b.cleanup, b.sidecar.Kill)
	b.token, err = b.sidecar.Mint(ctx, "suite", nil)
	return err
}

// headers are what the suite does not send: who it is, and which servers it wants.
func (b *bench) headers(servers string) http.Header {
	return http.Header{"Authorization": {"Bearer " + b.token}, "Sidecar-Servers": {servers}}
}

// close ends everything, the last first.
func (b *bench) close() {
	for i := len(b.cleanup) - 1; i >= 0; i-- {
		b.cleanup[i]()
	}
}

// run runs a selection in every column, side by side, each with an upstream of its own: some scenarios change what it offers.
func (b *bench) run(ctx context.Context, upstream Upstream, selection Selection) ([]Row, error) {
	results, errs := make([][]Result, len(columns)), make([]error, len(columns))
	var all sync.WaitGroup
	for i, column := range columns {
		all.Go(func() { results[i], errs[i] = b.column(ctx, upstream, selection, column) })
	}
	all.Wait()
	for i, err := range errs {
		if err != nil {
			return nil, fmt.Errorf("%s: %w", columns[i].Name, err)
		}
	}
	return compare(upstream.Name, results[0], results[1:])
}

// column runs the suite against a fresh upstream.
func (b *bench) column(ctx context.Context, upstream Upstream, selection Selection, column Column) ([]Result, error) {
	server, err := upstream.start(ctx, b)
	if err != nil {
		return nil, err
	}
	defer server.stop()
	url := server.url
	if column.place != nil {
		slug := fmt.Sprintf("upstream-%d", b.registered.Add(1))
		id, err := b.sidecar.Register(ctx, slug, url, rig.Fields{"availability": "default_off", "expose": []string{"tools", "prompts", "resources", "extensions"}})
		if err != nil {
			return nil, err
		}
		if err := b.sidecar.Meet(ctx, id); err != nil {
			return nil, err
		}
		defer b.sidecar.API(context.WithoutCancel(ctx), http.MethodDelete, "/servers/"+id, nil, nil) // where it fails the next run has a server too many, and no other harm
		place, close, err := column.place(ctx, b, slug)
		if err != nil {
			return nil, err
		}
		defer close()
		url = place
	}
	return runSuite(ctx, b.node, selection, url)
}
