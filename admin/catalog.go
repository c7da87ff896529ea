package admin

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"time"

	"mcpsidecar/configstore"
	"mcpsidecar/internal/audit"
	"mcpsidecar/internal/secret"
	"mcpsidecar/policy"
)

// Diff is what changed since a server's catalog was approved.
type Diff struct {
	Approval
	Changes   []policy.Change `json:"changes" doc:"sorted by tool; everything, if no catalog was approved yet"`
	Warnings  []string        `json:"warnings" doc:"about the present catalog as a whole"`
	FetchedAt time.Time       `json:"fetched_at" doc:"when the present catalog was fetched"`
	Stale     bool            `json:"stale" doc:"whether the last attempt to fetch it anew failed"`

	tag     string
	secrets []secret.Value
}

func (d Diff) etag() string           { return d.tag }
func (d Diff) hidden() []secret.Value { return d.secrets }

// Approval is who approved a catalog, and when.
type Approval struct {
	Approved   bool       `json:"approved" doc:"whether there is an approved catalog"`
	ApprovedBy string     `json:"approved_by" doc:"empty: it is the first catalog that was seen"`
	ApprovedAt *time.Time `json:"approved_at,omitzero" doc:"left out if there is none"`
	ToolCount  int        `json:"tool_count" doc:"how many tools it has"`
}

func approvalOf(catalog configstore.Catalog) Approval {
	if catalog.ServerID == "" {
		return Approval{}
	}
	at := catalog.ApprovedAt.UTC()
	return Approval{Approved: true, ApprovedBy: catalog.ApprovedBy, ApprovedAt: &at, ToolCount: len(catalog.Baseline)}
}

func (a *API) diffCatalog(ctx context.Context, req *request, _ nothing) (Diff, error) {
	server, present, err := a.serverWithTools(ctx, req)
	if err != nil {
		return Diff{}, err
	}
	approved, err := a.config.Store.Catalog(ctx, server.ID)
	if err != nil && !errors.Is(err, configstore.ErrNotFound) {
		return Diff{}, fromStore(err)
	}
	tag, err := catalogTag(present.Baseline)
	if err != nil {
		return Diff{}, err
	}
	return Diff{
		Approval: approvalOf(approved), Changes: list(policy.Diff(approved.Baseline, present.Baseline)), Warnings: list(present.Warnings),
		FetchedAt: present.FetchedAt.UTC(), Stale: present.Stale, tag: tag, secrets: secretsOf(server),
	}, nil
}

// serverWithTools returns a server and its present tools.
func (a *API) serverWithTools(ctx context.Context, req *request) (configstore.Server, Present, error) {
	server, err := a.server(ctx, req)
	if err != nil {
		return configstore.Server{}, Present{}, err
	}
	present, err := a.present(ctx, req, server)
	if err != nil {
		return configstore.Server{}, Present{}, err
	}
	return server, present, nil
}

// catalogTag is the same for the same definitions, so that If-Match can say "what I looked at, and nothing newer".
func catalogTag(baseline policy.Baseline) (string, error) {
	encoded, err := encode(baseline)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(encoded)
	return `"` + hex.EncodeToString(sum[:16]) + `"`, nil
}

func (a *API) approveCatalog(ctx context.Context, req *request, _ nothing) (Approval, error) {
	server, present, err := a.serverWithTools(ctx, req)
	if err != nil {
		return Approval{}, err
	}
	tag, err := catalogTag(present.Baseline)
	if err != nil {
		return Approval{}, err
	}
	if err := req.ifMatch.check(tag); err != nil {
		return Approval{}, err
	}
	catalog := configstore.Catalog{ServerID: server.ID, Baseline: present.Baseline, ApprovedBy: req.caller.User, ApprovedAt: time.Now()}
	change := audit.Change{Action: "approve", Kind: "catalog", ID: server.ID, Slug: server.Slug}
	err = a.commit(ctx, req, change, func() error {
		_, err := a.config.Store.ApproveCatalog(ctx, catalog, server.Revision, false)
		return err
	})
	if err != nil {
		return Approval{}, err
	}
	return approvalOf(catalog), nil
}
