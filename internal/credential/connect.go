package credential

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/oauth2"

	"mcpsidecar/configstore"
	"mcpsidecar/discovery"
	"mcpsidecar/internal/secret"
)

// Start asks for a sign-in.
type Start struct {
	ServerID, User string
	Browser        string   // the cookie that this browser has from an earlier Start, or empty: several sign-ins of one browser share it
	Scopes         []string // what a challenge asked for (401 or 403 insufficient_scope); nil: nothing in particular
}

// Started is a sign-in that began.
type Started struct {
	URL    string       // where the browser goes, by a redirect
	Cookie secret.Value // proves the browser at the callback: HttpOnly, SameSite=Lax, Max-Age of configstore.FlowLifetime
}

// Connect begins a user's sign-in at a server's provider. Errors are ErrNotOAuth2, ErrDiscovery, ErrChanged, or of the store (configstore.ErrNotFound: no such server).
func (b *Broker) Connect(ctx context.Context, start Start) (Started, error) {
	server, err := b.server(ctx, start.ServerID)
	if err != nil {
		return Started{}, err
	}
	find, err := b.finder(ctx, start)
	if err != nil {
		return Started{}, err
	}
	p, err := b.prepare(ctx, server, find)
	if err != nil {
		return Started{}, err
	}
	asked, err := b.scopes(ctx, server, p.metadata, start)
	if err != nil {
		return Started{}, err
	}
	r := b.registeredFor(ctx, server, p, asked)
	state, verifier, cookie := random(), oauth2.GenerateVerifier(), start.Browser
	if !ours(cookie) {
		cookie = random()
	}
	flow := configstore.Flow{
		State: sha256.Sum256([]byte(state)), ServerID: server.ID, User: start.User, Browser: sha256.Sum256([]byte(cookie)), Verifier: secret.New(verifier), RedirectURI: r.RedirectURI,
		Issuer: r.Issuer, IssParameter: p.metadata.IssParameter, Resource: r.Resource, TokenEndpoint: r.TokenEndpoint, RevocationEndpoint: r.RevocationEndpoint,
		ClientID: r.ClientID, ClientSecret: r.ClientSecret, AuthMethod: r.AuthMethod, Scopes: asked, Binding: r.Binding,
	}
	target, err := authorizationURL(p.metadata, flow, state, verifier)
	if err != nil {
		return Started{}, err
	}
	err = b.store.BeginFlow(ctx, flow)
	if errors.Is(err, configstore.ErrConflict) {
		err = ErrChanged
	}
	if err != nil {
		return Started{}, err
	}
	return Started{URL: target, Cookie: secret.New(cookie)}, nil
}

// finder is how the provider of a sign-in is found. Who is connected and signs in again does so because what was given does not do: the server may have moved to another provider, so it is asked.
func (b *Broker) finder(ctx context.Context, start Start) (discover, error) {
	switch _, err := b.store.Grant(ctx, start.ServerID, start.User); {
	case err == nil:
		return b.discovery.Rediscover, nil
	case errors.Is(err, configstore.ErrNotFound):
		return b.discovery.Discover, nil
	default:
		return nil, err
	}
}

// random is a text of 256 random bits.
func random() string {
	var b [32]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// ours says that a text has the shape of random.
func ours(text string) bool {
	decoded, err := base64.RawURLEncoding.Strict().DecodeString(text)
	return err == nil && len(decoded) == 32
}

// scopes are the admin's, else the challenge's, else what the metadata says, else none. Who is connected already, or was, asks for all that was asked for before, too: a step-up must not lose
// what earlier ones gained.
func (b *Broker) scopes(ctx context.Context, server configstore.Server, metadata discovery.Metadata, start Start) ([]string, error) {
	asked := words(server.OAuth2Scopes)
	switch {
	case len(asked) > 0 && len(start.Scopes) > 0:
		asked = union(asked, start.Scopes)
	case len(asked) == 0 && len(start.Scopes) > 0:
		asked = union(start.Scopes)
	case len(asked) == 0:
		asked = union(metadata.Scopes)
	}
	if len(start.Scopes) > 0 {
		before, err := b.store.Grant(ctx, server.ID, start.User)
		if err != nil && !errors.Is(err, configstore.ErrNotFound) {
			return nil, err
		}
		asked = union(before.Requested, before.Scopes, asked)
	}
	if metadata.OfflineAccess && server.OAuth2Scopes == "" {
		asked = union(asked, []string{offlineAccess})
	}
	return slices.DeleteFunc(asked, func(scope string) bool { return !validScope(scope) }), nil
}

const offlineAccess = "offline_access"

// validScope is the scope-token of RFC 6749.
func validScope(scope string) bool {
	return scope != "" && visible(scope, '!') && !strings.ContainsAny(scope, `"\`)
}

// authorizationURL is where the browser goes. The endpoint is taken apart and put together again; its own query survives, but not where it says what is ours to say.
func authorizationURL(metadata discovery.Metadata, flow configstore.Flow, state, verifier string) (string, error) {
	target, err := url.Parse(metadata.AuthorizationEndpoint)
	if err != nil || !mayBrowse(target, metadata.Manual) {
		return "", fmt.Errorf("%w: the provider's authorization endpoint is not an https URL", ErrDiscovery)
	}
	query, err := url.ParseQuery(target.RawQuery)
	if err != nil {
		return "", fmt.Errorf("%w: the query of the provider's authorization endpoint cannot be read", ErrDiscovery)
	}
	for _, name := range []string{"scope", "resource", "prompt", "code", "error", "iss", "response_mode", "request", "request_uri", "nonce"} {
		query.Del(name)
	}
	query.Set("response_type", "code")
	query.Set("client_id", flow.ClientID)
	query.Set("redirect_uri", flow.RedirectURI)
	query.Set("state", state)
	query.Set("code_challenge", oauth2.S256ChallengeFromVerifier(verifier))
	query.Set("code_challenge_method", "S256")
	if flow.Resource != "" {
		query.Set("resource", flow.Resource)
	}
	if len(flow.Scopes) > 0 {
		query.Set("scope", strings.Join(flow.Scopes, " "))
	}
	if slices.Contains(flow.Scopes, offlineAccess) {
		query.Set("prompt", "consent") // without it OpenID Connect wants offline_access to be ignored
	}
	target.RawQuery, target.Fragment, target.RawFragment = query.Encode(), "", ""
	return target.String(), nil
}

// mayBrowse says where a browser may be sent: by https, by http on the machine itself, or where an admin wrote http.
func mayBrowse(target *url.URL, manual bool) bool {
	if target.Hostname() == "" || target.Opaque != "" || target.User != nil {
		return false
	}
	switch target.Scheme {
	case "https":
		return true
	case "http":
		host := target.Hostname()
		address := net.ParseIP(host)
		return manual || host == "localhost" || address != nil && address.IsLoopback()
	}
	return false
}
