package main

import (
	"context"
	"encoding/json"
	"errors"

	"mcpsidecar/admin"
	"mcpsidecar/configstore"
	"mcpsidecar/proxy"
)

// probes lets the API ask the proxy about servers; the two do not know each other.
type probes struct{ proxy *proxy.Proxy }

func (p probes) Probe(ctx context.Context, server configstore.Server) admin.Probe {
	result := p.proxy.Probe(ctx, server)
	probe := admin.Probe{
		Reachable:       result.Err == nil,
		Era:             string(result.Info.Era),
		ProtocolVersion: result.Info.Version,
		Tools:           result.Tools,
		ToolCount:       len(result.Tools),
		Milliseconds:    result.Took.Milliseconds(),
	}
	if len(result.Info.ServerInfo) > 0 {
		probe.ServerInfo = json.RawMessage(result.Info.ServerInfo)
	}
	if result.Err != nil {
		probe.Reason = result.Err.Error()
	}
	return probe
}

func (p probes) Present(ctx context.Context, serverID, user string) (admin.Present, error) {
	now, err := p.proxy.Present(ctx, serverID, user)
	if errors.Is(err, proxy.ErrSignIn) {
		return admin.Present{}, admin.ErrNoAccount
	}
	if err != nil {
		return admin.Present{}, err
	}
	present := admin.Present{Baseline: now.Baseline, Warnings: now.Warnings, FetchedAt: now.FetchedAt, Stale: now.Stale}
	for _, tool := range now.Tools {
		present.Tools = append(present.Tools, admin.PresentTool(tool))
	}
	return present, nil
}
