package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"

	"mcpsidecar/configstore"
	"mcpsidecar/discovery"
	"mcpsidecar/internal/audit"
	"mcpsidecar/internal/credential"
	"mcpsidecar/internal/front"
	"mcpsidecar/policy"
)

// Provider is who signs users in to a server, and who the sidecar is there.
type Provider struct {
	Issuer                string   `json:"issuer" doc:"what the provider calls itself; empty if the endpoints were given by hand without an issuer"`
	AuthorizationEndpoint string   `json:"authorization_endpoint" doc:"where users sign in"`
	TokenEndpoint         string   `json:"token_endpoint" doc:"where tokens come from"`
	RevocationEndpoint    string   `json:"revocation_endpoint" doc:"where they are revoked; empty: nowhere"`
	Resource              string   `json:"resource" doc:"what tokens are asked for"`
	Scopes                []string `json:"scopes" doc:"that users are asked for at first, unless the server has oauth2_scopes"`
	ClientID              string   `json:"client_id" doc:"as which the sidecar is known there"`
	Client                string   `json:"client" enum:"configured,document,registered" doc:"where the client id is from: an admin, our metadata document, or dynamic registration"`
	RedirectURI           string   `json:"redirect_uri" doc:"where the provider sends users back to"`
}

func providerOf(r configstore.Registration) Provider {
	client := "registered"
	switch {
	case r.Configured:
		client = "configured"
	case r.Document:
		client = "document"
	}
	return Provider{
		Issuer: r.Issuer, AuthorizationEndpoint: r.AuthorizationEndpoint, TokenEndpoint: r.TokenEndpoint, RevocationEndpoint: r.RevocationEndpoint,
		Resource: r.Resource, Scopes: list(r.Scopes), ClientID: r.ClientID, Client: client, RedirectURI: r.RedirectURI,
	}
}

// rediscover finds out anew how users sign in to a server.
func (a *API) rediscover(ctx context.Context, req *request, _ nothing) (Provider, error) {
	server, err := a.server(ctx, req)
	if err != nil {
		return Provider{}, err
	}
	if server.AuthType != configstore.AuthOAuth2 {
		return Provider{}, credential.ErrNotOAuth2
	}
	var found configstore.Registration
	change := audit.Change{Action: "rediscover", Kind: "server", ID: server.ID, Slug: server.Slug}
	err = a.commit(ctx, req, change, func() (err error) {
		found, err = a.config.Accounts.Rediscover(ctx, server.ID)
		return err
	})
	if err != nil {
		return Provider{}, err
	}
	return providerOf(found), nil
}

// discovered finds out how users sign in to a server before a record of it is written; ok says whether there was anything to find out.
func (a *API) discovered(ctx context.Context, server configstore.Server) (found configstore.Registration, ok bool, err error) {
	if server.AuthType != configstore.AuthOAuth2 || server.OAuth2AuthURL != "" {
		return configstore.Registration{}, false, nil
	}
	found, err = a.config.Accounts.Discover(ctx, server)
	return found, err == nil, err
}

// rediscovered is discovered for a change: of a server that gets another provider by it, or may.
func (a *API) rediscovered(ctx context.Context, before, after configstore.Server) (found configstore.Registration, ok bool, err error) {
	if before.OAuthBinding() == after.OAuthBinding() {
		return configstore.Registration{}, false, nil
	}
	return a.discovered(ctx, after)
}

// keep stores what was discovered for a server that is stored by now. If that fails, the first sign-in finds it out again.
func (a *API) keep(ctx context.Context, found configstore.Registration) {
	if _, err := a.config.Store.PutRegistration(ctx, found); err != nil {
		a.config.Logger.LogAttrs(ctx, slog.LevelWarn, "what was discovered of a server could not be kept, and will be discovered again",
			slog.String("request_id", front.RequestID(ctx)), slog.String("server", found.ServerID), slog.Any("error", err))
	}
}

// advice is what an admin is told of a discovery that failed.
func advice(err error) string {
	failure := (*discovery.Failure)(nil)
	switch {
	case !errors.As(err, &failure):
		return err.Error()
	case failure.Issuer != "":
		return failure.Error() + " The metadata names " + strconv.Quote(failure.Issuer) + ": whoever is behind it will sign your users in."
	}
	return failure.Error()
}

// misdirected warns about the connections that a change of a server ends: their tokens would be sent elsewhere, or were given to somebody else.
func (a *API) misdirected(ctx context.Context, before, after configstore.Server) []policy.FieldError {
	if before.AuthType != configstore.AuthOAuth2 || before.OAuthBinding() == after.OAuthBinding() {
		return nil
	}
	grants, err := a.config.Accounts.Grants(ctx, &before)
	if err != nil || len(grants) == 0 { // a warning is a courtesy
		return nil
	}
	users := "1 user has"
	if len(grants) > 1 {
		users = fmt.Sprint(len(grants), " users have")
	}
	return []policy.FieldError{problem(bindingField(before, after), "ends the connections that were made before it: "+users+" to connect the account again")}
}

// bindingField names the field by which a change ends connections.
func bindingField(before, after configstore.Server) string {
	for _, field := range []struct{ name, before, after string }{
		{"auth_type", string(before.AuthType), string(after.AuthType)}, {"oauth2_issuer", before.OAuth2Issuer, after.OAuth2Issuer},
		{"oauth2_client_id", before.OAuth2ClientID, after.OAuth2ClientID}, {"oauth2_token_url", before.OAuth2TokenURL, after.OAuth2TokenURL},
	} {
		if field.before != field.after {
			return field.name
		}
	}
	return "url"
}
