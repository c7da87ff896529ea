package credential

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"mcpsidecar/configstore"
	"mcpsidecar/discovery"
	"mcpsidecar/internal/secret"
)

// Revocation says what became of the tokens at the provider.
type Revocation struct {
	Revoked bool
	Problem string // why not, in words for the user; empty: revoked, or there was nothing to revoke
}

// revokeTimeout bounds both requests of a revocation.
const revokeTimeout = 10 * time.Second

// Disconnect ends a user's connection to a server: here at once, and then at the provider, as far as it can be done. The answer is the same whether there was a connection, and whether there is
// such a server. A refresh under way cannot bring it back. The error is of the store.
func (b *Broker) Disconnect(ctx context.Context, serverID, user string) (Revocation, error) {
	k := key{ServerID: serverID, User: user}
	grant, err := b.store.DeleteGrant(ctx, serverID, user)
	b.memory.drop(k)
	b.links.drop(k)
	if errors.Is(err, configstore.ErrNotFound) {
		return Revocation{}, nil
	}
	if err != nil {
		return Revocation{}, err
	}
	b.mu.Lock()
	delete(b.trouble, k)
	b.mu.Unlock()
	b.logger.Info("a connection ended", "server", serverID, "user", user)
	b.changed(serverID, user)
	ctx = context.WithoutCancel(ctx)
	server, err := b.store.Server(ctx, serverID)
	if err != nil {
		server = configstore.Server{} // gone, which needs no secret of a configured client to be known
	}
	return b.revoke(ctx, grant.RevocationEndpoint, clientOf(grant, server), grant.RefreshToken, grant.AccessToken), nil
}

// revoke tells a provider that tokens are not wanted any more (RFC 7009): the refresh token, with which the access tokens end; the access token where there is no other, or where the provider
// can revoke no refresh tokens.
func (b *Broker) revoke(ctx context.Context, endpoint string, who client, refresh, access secret.Value) Revocation {
	if refresh.IsZero() && access.IsZero() {
		return Revocation{}
	}
	if endpoint == "" {
		return Revocation{Problem: "the provider offers no way to revoke tokens; they end by themselves, or in your account there"}
	}
	ctx, cancel := context.WithTimeout(ctx, revokeTimeout)
	defer cancel()
	ok, code := false, "unsupported_token_type"
	if !refresh.IsZero() {
		ok, code = b.revokeOne(ctx, endpoint, who, refresh, "refresh_token")
	}
	if !ok && code == "unsupported_token_type" && !access.IsZero() {
		ok, _ = b.revokeOne(ctx, endpoint, who, access, "access_token")
	}
	if !ok {
		return Revocation{Problem: "the provider did not confirm that it revoked the tokens; they end by themselves, or in your account there"}
	}
	return Revocation{Revoked: true}
}

// revokeOne says whether a token was revoked, or the error code that came instead.
func (b *Broker) revokeOne(ctx context.Context, endpoint string, who client, token secret.Value, hint string) (ok bool, code string) {
	form := url.Values{"token": {token.Reveal()}, "token_type_hint": {hint}}
	basic := !who.secret.IsZero() && who.method != discovery.AuthPost && who.method != discovery.AuthNone
	if !basic {
		form.Set("client_id", who.id)
	}
	if who.method == discovery.AuthPost {
		form.Set("client_secret", who.secret.Reveal())
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return false, ""
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Accept", "application/json")
	if basic {
		request.SetBasicAuth(url.QueryEscape(who.id), url.QueryEscape(who.secret.Reveal()))
	}
	response, err := (&http.Client{Transport: b.http.Transport, CheckRedirect: stay}).Do(request)
	if err != nil {
		return false, ""
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusOK || response.StatusCode == http.StatusNoContent {
		return true, ""
	}
	var told struct {
		Error string `json:"error"`
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil || json.Unmarshal(body, &told) != nil || !codes[told.Error] {
		return false, ""
	}
	return false, told.Error
}
