package admin

import (
	"context"
	"errors"
	"net/url"
	"path"
	"time"

	"mcpsidecar/configstore"
	"mcpsidecar/internal/audit"
	"mcpsidecar/internal/caller"
	"mcpsidecar/internal/credential"
	"mcpsidecar/policy"
)

// Accounts brings users' accounts to servers; *credential.Broker does. Its errors are those of package credential, or the store's. Safe for concurrent use.
type Accounts interface {
	Providers
	SignIns
	Connections
}

// Providers are who signs users in to servers.
type Providers interface {
	Discover(ctx context.Context, server configstore.Server) (configstore.Registration, error)
	Rediscover(ctx context.Context, serverID string) (configstore.Registration, error)
	RedirectURI(serverID string) string
}

// SignIns begin and end in a browser.
type SignIns interface {
	Connect(ctx context.Context, start credential.Start) (credential.Started, error)
	Callback(ctx context.Context, serverID string, query url.Values, cookie string) (credential.Connected, error)
	NewLink(ctx context.Context, serverID, user string, scopes []string) (string, error)
	Link(ctx context.Context, text string) (credential.Invitation, error)
	OpenLink(ctx context.Context, text, browser string) (credential.Started, error)
}

// Connections are what came of sign-ins.
type Connections interface {
	Status(ctx context.Context, server *configstore.Server, user string) (credential.Connection, error)
	Grants(ctx context.Context, server *configstore.Server) ([]credential.Connection, error)
	Disconnect(ctx context.Context, serverID, user string) (credential.Revocation, error)
}

// Connection is how the caller stands with a server of auth_type oauth2.
type Connection struct {
	State     string     `json:"state" enum:"connected,needs_auth,needs_reauth" doc:"whether calls can be authenticated; needs_reauth: the account was connected, and has to be connected again"`
	Since     *time.Time `json:"since,omitzero" doc:"when the account was connected; left out if it is not"`
	Expires   *time.Time `json:"expires,omitzero" doc:"when the present access token ends; left out if that is not known. It is renewed by itself where the provider allows that"`
	LastError string     `json:"last_error,omitempty" doc:"why the access token could not be renewed the last time"`
	Scopes    []string   `json:"scopes,omitempty" doc:"that the provider granted"`
}

// Grant is a user's connection to a server, as admins see it.
type Grant struct {
	User string `json:"user" doc:"whose account is connected"`
	Connection
}

func connectionOf(c credential.Connection) Connection {
	return Connection{State: string(c.State), Since: moment(c.Since), Expires: moment(c.Expires), LastError: c.LastError, Scopes: c.Scopes}
}

// moment is a time that may be unknown.
func moment(at time.Time) *time.Time {
	if at.IsZero() {
		return nil
	}
	at = at.UTC()
	return &at
}

// withConnection completes what a caller is shown of a server.
func (a *API) withConnection(ctx context.Context, who *caller.Identity, server configstore.Server, shown Server) (Server, error) {
	if server.AuthType != configstore.AuthOAuth2 {
		shown.AuthConnected = true
		return shown, nil
	}
	status, err := a.config.Accounts.Status(ctx, &server, who.User)
	if err != nil {
		return Server{}, fromStore(err)
	}
	connection := connectionOf(status)
	shown.Connection, shown.AuthConnected = &connection, status.State == credential.StateConnected
	return shown, nil
}

// NewLink asks for a sign-in link.
type NewLink struct {
	User *string `json:"user,omitzero" doc:"whose account is to be connected; only an admin may name somebody else than the caller"`
}

func (NewLink) bodyless() {}

// Link is a sign-in link.
type Link struct {
	URL       string    `json:"url" doc:"to be opened in the user's browser. Whoever opens it connects an account as this user, once"`
	ExpiresAt time.Time `json:"expires_at" doc:"when it ends"`
}

func (a *API) newLink(ctx context.Context, req *request, in NewLink) (Link, error) {
	server, err := a.signInServer(ctx, req)
	if err != nil {
		return Link{}, err
	}
	user, err := in.user(req.caller, server)
	if err != nil {
		return Link{}, err
	}
	if err := a.recordSignIn(ctx, req, "link", user, server.Slug); err != nil {
		return Link{}, err
	}
	address, err := a.config.Accounts.NewLink(ctx, server.ID, user, nil)
	if err != nil {
		return Link{}, fromStore(err)
	}
	invitation, err := a.config.Accounts.Link(ctx, path.Base(address))
	if err != nil {
		return Link{}, fromStore(err)
	}
	return Link{URL: address, ExpiresAt: invitation.ExpiresAt.UTC()}, nil
}

// user is for whom the link is. An admin may name anybody who may see the server.
func (in NewLink) user(who *caller.Identity, server configstore.Server) (string, error) {
	if in.User == nil || *in.User == who.User {
		return who.User, nil
	}
	switch {
	case who.Role != caller.Admin:
		return "", errForbidden
	case caller.ValidUser(*in.User) != nil:
		return "", invalid([]policy.FieldError{problem("user", "must have 1 to 128 letters, digits and . _ @ + -")})
	case !visibleTo(server, *in.User):
		return "", invalid([]policy.FieldError{problem("user", "may not see this server")})
	}
	return *in.User, nil
}

// signInServer returns the server that the path names, if accounts can be connected to it.
func (a *API) signInServer(ctx context.Context, req *request) (configstore.Server, error) {
	server, err := a.server(ctx, req)
	switch {
	case err != nil:
		return configstore.Server{}, err
	case !server.Rules.Enabled: // which nobody but an admin gets to know
		return configstore.Server{}, errDisabled
	case server.AuthType != configstore.AuthOAuth2:
		return configstore.Server{}, credential.ErrNotOAuth2
	}
	return server, nil
}

func (a *API) listGrants(ctx context.Context, req *request, _ nothing) ([]Grant, error) {
	server, err := a.server(ctx, req)
	if err != nil {
		return nil, err
	}
	connections, err := a.config.Accounts.Grants(ctx, &server)
	if err != nil {
		return nil, fromStore(err)
	}
	grants := make([]Grant, 0, len(connections))
	for _, c := range connections {
		grants = append(grants, Grant{User: c.User, Connection: connectionOf(c)})
	}
	return grants, nil
}

// Disconnected says what became of the tokens of a connection that was ended.
type Disconnected struct {
	TokenRevoked         bool   `json:"token_revoked" doc:"whether the provider confirmed that it revoked the tokens"`
	TokenRevocationError string `json:"token_revocation_error,omitempty" doc:"why it did not; left out if there was nothing to revoke"`
}

// disconnect ends the caller's own connection. The answer is the same for servers that the caller may not see or that do not exist.
func (a *API) disconnect(ctx context.Context, req *request, _ nothing) (Disconnected, error) {
	return a.end(ctx, req, req.caller.User)
}

// disconnectSilently is disconnect as the reference system had it at first.
func (a *API) disconnectSilently(ctx context.Context, req *request, _ nothing) (nothing, error) {
	_, err := a.end(ctx, req, req.caller.User)
	return nothing{}, err
}

// deleteGrant ends somebody's connection.
func (a *API) deleteGrant(ctx context.Context, req *request, _ nothing) (Disconnected, error) {
	server, err := a.server(ctx, req)
	if err != nil {
		return Disconnected{}, err
	}
	connections, err := a.config.Accounts.Grants(ctx, &server)
	if err != nil {
		return Disconnected{}, fromStore(err)
	}
	for _, c := range connections {
		if c.User == req.user {
			return a.end(ctx, req, req.user)
		}
	}
	return Disconnected{}, errNotFound
}

// end ends a user's connection here and then, as far as it can be done, at the provider.
func (a *API) end(ctx context.Context, req *request, user string) (Disconnected, error) {
	if !canonicalID(req.name) {
		return Disconnected{}, errNotFound
	}
	server, err := a.config.Store.Server(ctx, req.name)
	if err != nil && !errors.Is(err, configstore.ErrNotFound) {
		return Disconnected{}, fromStore(err)
	}
	var revocation credential.Revocation
	change := audit.Change{Action: "disconnect", Kind: "grant", ID: user, Slug: server.Slug}
	err = a.commit(ctx, req, change, func() (err error) {
		revocation, err = a.config.Accounts.Disconnect(ctx, req.name, user)
		return err
	})
	if err != nil {
		return Disconnected{}, err
	}
	return Disconnected{TokenRevoked: revocation.Revoked, TokenRevocationError: revocation.Problem}, nil
}
