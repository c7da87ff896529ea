package admin

import (
	"context"
	"slices"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"mcpsidecar/configstore"
	"mcpsidecar/internal/audit"
)

// User is a name that a token or an agent's request made known.
type User struct {
	Name      string    `json:"name" doc:"as the deployment chose it"`
	FirstSeen time.Time `json:"first_seen" doc:"when it was first named"`
}

func (a *API) listUsers(ctx context.Context, _ *request, _ nothing) ([]User, error) {
	stored, err := a.config.Store.Users(ctx)
	if err != nil {
		return nil, fromStore(err)
	}
	users := make([]User, 0, len(stored))
	for _, user := range stored {
		users = append(users, User{Name: user.Name, FirstSeen: user.FirstSeen.UTC()})
	}
	return users, nil
}

func (a *API) deleteUser(ctx context.Context, req *request, _ nothing) (nothing, error) {
	users, err := a.config.Store.Users(ctx)
	if err != nil {
		return nothing{}, fromStore(err)
	}
	if !slices.ContainsFunc(users, func(u configstore.User) bool { return u.Name == req.name }) {
		return nothing{}, errNotFound
	}
	change := audit.Change{Action: "delete", Kind: "user", ID: req.name}
	return nothing{}, a.commit(ctx, req, change, func() error { return a.config.Store.DeleteUser(ctx, req.name) })
}

// WhoAmI is the caller as the sidecar sees it.
type WhoAmI struct {
	Role    string   `json:"role" enum:"admin,user,agent" doc:"what the token opens"`
	User    string   `json:"user" doc:"on whose behalf the request is made"`
	TokenID string   `json:"token_id" doc:"the public part of the token"`
	Mode    string   `json:"mode" enum:"act,plan" doc:"the least strict mode that the token allows"`
	Agent   string   `json:"agent" enum:"root,subagent" doc:"the least strict kind of agent that it allows"`
	Servers []string `json:"servers,omitzero" doc:"the pinned selection of slugs; left out: not pinned"`
}

func (a *API) whoAmI(_ context.Context, req *request, _ nothing) (WhoAmI, error) {
	who := req.caller
	return WhoAmI{
		Role: string(who.Role), User: who.User, TokenID: who.TokenID,
		Mode: string(who.Mode), Agent: string(who.Agent), Servers: slices.Clone(who.Servers),
	}, nil
}

func (a *API) openAPI(context.Context, *request, nothing) (jsontext.Value, error) {
	return a.document()
}
