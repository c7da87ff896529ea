package credential

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"mcpsidecar/configstore"
	"mcpsidecar/discovery"
	"mcpsidecar/internal/secret"
)

// revokeTimeout bounds both requests of a revocation.
const revokeTimeout = 10 * time.Second

// What is revoked behind everybody's back: a server that is deleted can have had many users.
const (
	maxRevokers = 4      // revocations at the same time
	maxLeaving  = 10_000 // grants that wait for theirs; what is more ends at its provider by itself
)

// Ended takes the grants that a change of something else has ended (configstore.Config.Ended). Their tokens are handed out no more from now on; revoking them at their providers is tried once, in the
// background.
func (b *Broker) Ended(grants []configstore.Grant) {
	for _, g := range grants {
		k := key{ServerID: g.ServerID, User: g.User}
		b.memory.drop(k)
		b.links.drop(k)
		b.changed(g.ServerID, g.User)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	dropped := 0
	for _, g := range grants {
		k := key{ServerID: g.ServerID, User: g.User}
		delete(b.trouble, k)
		b.part(k, whyChanged)
		switch {
		case g.RefreshToken.IsZero() && g.AccessToken.IsZero(): // its provider has ended it before
		case b.closed, len(b.leaving) == maxLeaving:
			dropped++
		default:
			b.leaving = append(b.leaving, g)
		}
	}
	for range min(maxRevokers-b.revokers, len(b.leaving)) {
		b.revokers++
		b.working.Go(b.revokeLeaving)
	}
	if dropped > 0 {
		b.logger.Warn("connections that a change has ended are not revoked at their providers", "connections", dropped)
	}
}

// revokeLeaving revokes until nothing is left to revoke.
func (b *Broker) revokeLeaving() {
	for {
		g, any := b.nextLeaving()
		if !any {
			return
		}
		if b.connectedAgain(g) {
			b.logger.Info("a connection was ended by a change, and its user has connected anew: nothing is revoked", "server", g.ServerID, "user", g.User)
			continue
		}
		who := client{id: g.ClientID, secret: g.ClientSecret, method: g.AuthMethod}
		result := b.revoke(b.ctx, g.RevocationEndpoint, who, g.RefreshToken, g.AccessToken)
		b.logger.Info("a connection was ended by a change", "server", g.ServerID, "user", g.User, "revoked", result.Revoked)
	}
}

// connectedAgain says that the user has a newer grant from the same client at the same provider. There are providers at which the end of one token is the end of all that the user gave the client.
func (b *Broker) connectedAgain(old configstore.Grant) bool {
	now, err := b.store.Grant(b.ctx, old.ServerID, old.User)
	return err == nil && now.ClientID == old.ClientID && now.RevocationEndpoint == old.RevocationEndpoint
}

func (b *Broker) nextLeaving() (g configstore.Grant, any bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.leaving) == 0 {
		b.revokers--
		return configstore.Grant{}, false
	}
	g, b.leaving = b.leaving[0], b.leaving[1:]
	return g, true
}

// giveUpLeaving drops what is still to be revoked: the program ends.
func (b *Broker) giveUpLeaving() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.leaving) > 0 {
		b.logger.Warn("connections that a change has ended were not revoked at their providers before the end", "connections", len(b.leaving))
	}
	b.leaving = nil
}

// unsupported is what a provider answers that can revoke no tokens of this kind (RFC 7009 2.2.1).
const unsupported = "unsupported_token_type"

// revoke tells a provider that tokens are not wanted any more (RFC 7009): first the refresh token, with which more could be had, then the access token, whatever became of the first. They are revoked if the provider says so of
// both; of one alone where it can revoke no tokens of the other kind.
func (b *Broker) revoke(ctx context.Context, endpoint string, who client, refresh, access secret.Value) Revocation {
	if refresh.IsZero() && access.IsZero() {
		return Revocation{}
	}
	if endpoint == "" {
		return Revocation{Problem: "the provider offers no way to revoke tokens; they end by themselves, or in your account there"}
	}
	ctx, cancel := context.WithTimeout(ctx, revokeTimeout)
	defer cancel()
	done, failed := 0, 0
	for _, one := range []struct {
		token secret.Value
		hint  string
	}{{refresh, "refresh_token"}, {access, "access_token"}} {
		if one.token.IsZero() {
			continue
		}
		switch ok, code := b.revokeOne(ctx, endpoint, who, one.token, one.hint); {
		case ok:
			done++
		case code != unsupported:
			failed++
		}
	}
	if done == 0 || failed > 0 {
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
