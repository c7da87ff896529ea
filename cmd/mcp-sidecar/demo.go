package main

import (
	"context"
	"errors"
	"slices"
	"time"

	"mcpsidecar/configstore"
	"mcpsidecar/internal/audit"
	"mcpsidecar/internal/demo"
	"mcpsidecar/policy"
)

const demoSlug = "demo"

// startDemo runs the demo server in this process.
func (run *program) startDemo(ctx context.Context) (err error) {
	if !run.o.demo {
		return nil
	}
	if run.demo, err = demo.Start(); err != nil {
		return err
	}
	run.stops.add(func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		return run.demo.Close(ctx)
	})
	return nil
}

// registerDemo registers the demo server, or tells the record of an earlier start where it is now; what an admin changed of that record stays.
func (run *program) registerDemo(ctx context.Context) error {
	servers, err := run.store.Servers(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(servers, func(s configstore.Server) bool { return s.Slug == demoSlug })
	switch {
	case !run.o.demo:
		if i >= 0 && servers[i].CreatedBy == ourselves {
			run.logger.Warn("the server demo is registered and not running: start with --demo, or delete it with mcp-sidecar server delete demo")
		}
		return nil
	case i < 0:
		return run.createDemo(ctx)
	case servers[i].CreatedBy != ourselves:
		return errors.New("--demo needs the slug demo, which a server of yours has: give that another one, or start without --demo")
	}
	if err := run.record(audit.Change{Action: "update", Kind: "server", ID: servers[i].ID, Slug: demoSlug, Fields: []string{"url"}}); err != nil {
		return err
	}
	_, err = run.store.UpdateServer(ctx, servers[i].ID, func(s *configstore.Server) error {
		s.URL, s.UpdatedBy = run.demo.URL(), ourselves
		return nil
	})
	return err
}

func (run *program) createDemo(ctx context.Context) error {
	server := configstore.Server{
		ID:          configstore.NewID(),
		DisplayName: "Demo",
		Slug:        demoSlug,
		Description: "A demo server in the sidecar's own process.",
		Transport:   configstore.StreamableHTTP,
		URL:         run.demo.URL(),
		AuthType:    configstore.AuthNone,
		Rules: policy.Rules{
			Enabled:         true,
			Availability:    policy.DefaultOn,
			AllowInPlanMode: true,
			PlanReadOnly:    true,
		},
		CreatedBy: ourselves,
		UpdatedBy: ourselves,
	}
	server.Normalize()
	if err := run.record(audit.Change{Action: "create", Kind: "server", ID: server.ID, Slug: demoSlug}); err != nil {
		return err
	}
	_, err := run.store.CreateServer(ctx, server)
	return err
}
