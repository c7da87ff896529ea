package admin

import (
	"context"
	"slices"
	"time"

	"mcpsidecar/configstore"
	"mcpsidecar/internal/audit"
	"mcpsidecar/internal/caller"
	"mcpsidecar/policy"
)

func (a *API) listServers(ctx context.Context, req *request, _ nothing) ([]Server, error) {
	stored, err := a.config.Store.Servers(ctx)
	if err != nil {
		return nil, fromStore(err)
	}
	shown := []Server{}
	for _, server := range stored {
		if !visible(server, req.caller) {
			continue
		}
		one, err := a.shownTo(ctx, req.caller, server)
		if err != nil {
			return nil, err
		}
		shown = append(shown, one)
	}
	return shown, nil
}

func (a *API) getServer(ctx context.Context, req *request, _ nothing) (Server, error) {
	server, err := a.server(ctx, req)
	if err != nil {
		return Server{}, err
	}
	return a.shownTo(ctx, req.caller, server)
}

// server returns the server that the path names, if the caller may know of it. What is hidden and what does not exist are one and the same error.
func (a *API) server(ctx context.Context, req *request) (configstore.Server, error) {
	if !canonicalID(req.name) {
		return configstore.Server{}, errNotFound
	}
	server, err := a.config.Store.Server(ctx, req.name)
	if err != nil {
		return configstore.Server{}, fromStore(err)
	}
	if !visible(server, req.caller) {
		return configstore.Server{}, errNotFound
	}
	return server, nil
}

// canonicalID says whether a text is spelled as the ids of servers are; nothing else is ever looked up.
func canonicalID(text string) bool {
	if len(text) != 36 {
		return false
	}
	for i, c := range []byte(text) {
		hyphen := i == 8 || i == 13 || i == 18 || i == 23
		hex := '0' <= c && c <= '9' || 'a' <= c && c <= 'f'
		if hyphen != (c == '-') || !hyphen && !hex {
			return false
		}
	}
	return true
}

// visible says whether a caller may know of a server: an admin of all of them, anybody else of those that policy lets its user see.
func visible(server configstore.Server, who *caller.Identity) bool {
	return who.Role == caller.Admin || visibleTo(server, who.User)
}

// visibleTo says whether policy lets a user see a server.
func visibleTo(server configstore.Server, user string) bool {
	compiled, err := policy.Compile(server.Slug, server.Rules, nil)
	if err != nil {
		return false
	}
	decision := compiled.DecideServer(policy.Request{
		User: user, Mode: policy.Act, Agent: policy.Root, Surface: policy.Tools,
		Selection: policy.Selection{Given: true, Slugs: []string{server.Slug}},
	})
	return decision.Reason != policy.Disabled && decision.Reason != policy.NotVisible
}

func (a *API) shownTo(ctx context.Context, who *caller.Identity, server configstore.Server) (Server, error) {
	shown := serverOf(server)
	if who.Role != caller.Admin {
		shown = shown.redacted()
	}
	return a.withConnection(ctx, who, server, shown)
}

func (a *API) createServer(ctx context.Context, req *request, in NewServer) (Written, error) {
	server := configstore.Server{ID: configstore.NewID(), CreatedBy: req.caller.User, UpdatedBy: req.caller.User}
	if err := a.fill(&server, in); err != nil {
		return Written{}, err
	}
	found, discovered, err := a.discovered(ctx, server)
	if err != nil {
		return Written{}, err
	}
	change := audit.Change{Action: "create", Kind: "server", ID: server.ID, Slug: server.Slug, Fields: changedFields(configstore.Server{}, server)}
	var stored configstore.Server
	err = a.commit(ctx, req, change, func() (err error) {
		stored, err = a.config.Store.CreateServer(ctx, server)
		return err
	})
	if err != nil {
		return Written{}, err
	}
	if discovered {
		a.keep(ctx, found)
	}
	return a.written(ctx, req, stored, nil)
}

// fill makes a record of what a request says about a new server.
func (a *API) fill(server *configstore.Server, in NewServer) error {
	in.problems = append(slices.Clone(in.problems), in.missing()...)
	return in.apply(server, a.config.CheckURL)
}

func (a *API) updateServer(ctx context.Context, req *request, in ServerChange) (Written, error) {
	before, err := a.server(ctx, req)
	if err != nil {
		return Written{}, err
	}
	apply := func(server *configstore.Server) error {
		if err := req.ifMatch.check(revisionTag(server.Revision)); err != nil {
			return err
		}
		server.UpdatedBy = req.caller.User
		return in.apply(server, a.config.CheckURL)
	}
	after := before
	if err := apply(&after); err != nil { // what is wrong already need not be recorded, nor a transaction begun
		return Written{}, err
	}
	found, discovered, err := a.rediscovered(ctx, before, after)
	if err != nil {
		return Written{}, err
	}
	warnings := a.misdirected(ctx, before, after)
	change := audit.Change{Action: "update", Kind: "server", ID: before.ID, Slug: after.Slug, Fields: changedFields(before, after)}
	var stored configstore.Server
	err = a.commit(ctx, req, change, func() (err error) {
		stored, err = a.config.Store.UpdateServer(ctx, before.ID, apply)
		return err
	})
	if err != nil {
		return Written{}, err
	}
	if discovered {
		a.keep(ctx, found)
	}
	return a.written(ctx, req, stored, warnings)
}

func (a *API) deleteServer(ctx context.Context, req *request, _ nothing) (nothing, error) {
	server, err := a.server(ctx, req)
	if err != nil {
		return nothing{}, err
	}
	asked := func(server configstore.Server) error { return req.ifMatch.check(revisionTag(server.Revision)) }
	if err := asked(server); err != nil { // what is wrong already need not be recorded, nor a transaction begun
		return nothing{}, err
	}
	change := audit.Change{Action: "delete", Kind: "server", ID: server.ID, Slug: server.Slug}
	return nothing{}, a.commit(ctx, req, change, func() error { return a.config.Store.DeleteServerIf(ctx, server.ID, asked) })
}

// warningGrace is how long an answer waits for the tools that the lists are held against. Warnings are a courtesy.
const warningGrace = 2 * time.Second

// written shows a server after a write, with warnings.
func (a *API) written(ctx context.Context, req *request, server configstore.Server, warnings []policy.FieldError) (Written, error) {
	shown, err := a.shownTo(ctx, req.caller, server)
	if err != nil {
		return Written{}, err
	}
	return Written{Server: shown, Warnings: validations(append(warnings, a.unmatched(ctx, req, server)...))}, nil
}

// unmatched are entries of lists that match no tool of a server. Only if its tools can be told soon are the lists held against them.
func (a *API) unmatched(ctx context.Context, req *request, server configstore.Server) []policy.FieldError {
	rules := server.Rules
	if !rules.Enabled || len(rules.ToolAllowList)+len(rules.ToolDenyList)+len(rules.PlanTools) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, warningGrace)
	defer cancel()
	present, err := a.config.Servers.Present(ctx, server.ID, req.caller.User)
	if err != nil {
		return nil
	}
	compiled, err := policy.Compile(server.Slug, rules, nil)
	if err != nil {
		return nil
	}
	return compiled.Unmatched(names(present.Tools))
}

func names(tools []PresentTool) []string {
	names := make([]string, 0, len(tools))
	for _, tool := range tools {
		names = append(names, tool.Name)
	}
	return names
}
