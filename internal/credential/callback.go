package credential

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"time"

	"mcpsidecar/configstore"
	"mcpsidecar/discovery"
)

// Connected is a sign-in that ended well.
type Connected struct {
	ServerID, Slug, DisplayName, User string
}

// Callback takes the provider's answer that a browser brings, with the cookie of Started. Errors are ErrState, ErrMalformed, ErrIssuer (400: nothing was asked, stored or lost), ErrDenied (400:
// the sign-in is over), ErrExchange (502) and ErrChanged (400), or of the store.
func (b *Broker) Callback(ctx context.Context, serverID string, query url.Values, cookie string) (Connected, error) {
	said, err := readAnswer(query)
	if err != nil {
		return Connected{}, err
	}
	flow, err := b.store.TakeFlow(ctx, sha256.Sum256([]byte(said.state)), func(flow configstore.Flow) error {
		return judge(flow, serverID, cookie, said)
	})
	if errors.Is(err, configstore.ErrNotFound) {
		return Connected{}, ErrState
	}
	if err != nil {
		return Connected{}, err
	}
	ctx = context.WithoutCancel(ctx) // the code is worth one request, whether or not the browser waits for it
	if said.failed {
		err := b.store.DropFlow(ctx, flow.State)
		return Connected{}, errors.Join(said.denied(), err)
	}
	return b.finish(ctx, flow, said.code)
}

// authorization is what a provider says by way of the browser.
type authorization struct {
	state, code, iss string
	hasIss, failed   bool
	reason           string // of the reasons that may be shown, or empty
}

// maxParameter bounds each parameter of a callback.
const maxParameter = 8 << 10

// readAnswer refuses what two readers could read differently.
func readAnswer(query url.Values) (authorization, error) {
	for _, name := range []string{"state", "code", "iss", "error"} {
		if values := query[name]; len(values) > 1 || len(values) == 1 && len(values[0]) > maxParameter {
			return authorization{}, ErrMalformed
		}
	}
	said := authorization{state: query.Get("state"), code: query.Get("code"), iss: query.Get("iss"), hasIss: query.Has("iss"), failed: query.Has("error")}
	if reasons[query.Get("error")] {
		said.reason = query.Get("error")
	}
	if !ours(said.state) {
		return authorization{}, ErrState
	}
	return said, nil
}

// reasons are the error codes of RFC 6749 4.1.2.1, which may be shown.
var reasons = map[string]bool{
	"invalid_request": true, "unauthorized_client": true, "access_denied": true, "unsupported_response_type": true, "invalid_scope": true, "server_error": true,
	"temporarily_unavailable": true, "invalid_target": true, "consent_required": true, "login_required": true, "interaction_required": true,
}

// denied is why the provider gave no code, in words that it did not write.
func (said authorization) denied() error {
	if said.reason == "" {
		return ErrDenied
	}
	return fmt.Errorf("%w (%s)", ErrDenied, said.reason)
}

// judge says whether an answer belongs to a flow. Until then nothing of it is acted upon, not even that it is an error.
func judge(flow configstore.Flow, serverID, cookie string, said authorization) error {
	switch {
	case flow.ServerID != serverID || cookie == "" || flow.Browser != sha256.Sum256([]byte(cookie)):
		return ErrState
	case !said.hasIss && flow.IssParameter:
		return ErrIssuer
	case said.hasIss && flow.Issuer != "" && said.iss != flow.Issuer: // exactly: no case, slash or port is evened out
		return ErrIssuer
	case said.failed == (said.code != ""): // neither, or both
		return ErrMalformed
	}
	return nil
}

// finish turns the code into a grant.
func (b *Broker) finish(ctx context.Context, flow configstore.Flow, code string) (Connected, error) {
	server, err := b.server(ctx, flow.ServerID)
	if err == nil && server.OAuthBinding() != flow.Binding {
		err = ErrChanged
	}
	if errors.Is(err, configstore.ErrNotFound) || errors.Is(err, ErrNotOAuth2) {
		err = ErrChanged
	}
	var given answer
	who := client{id: flow.ClientID, secret: flow.ClientSecret, method: flow.AuthMethod}
	if err == nil {
		if server.OAuth2ClientID == flow.ClientID {
			who.secret = server.OAuth2ClientSecret
		}
		given, err = b.exchange(ctx, flow, &who, code)
	}
	if err != nil {
		return Connected{}, errors.Join(err, b.store.DropFlow(ctx, flow.State))
	}
	scopes := given.scopes
	if scopes == nil { // not said: what was asked for (RFC 6749 5.1)
		scopes = flow.Scopes
	}
	_, err = b.store.FinishFlow(ctx, flow.State, configstore.Grant{
		State: configstore.GrantConnected, AccessToken: given.access, RefreshToken: given.refresh, TokenType: "Bearer", Expiry: given.expiry, ObtainedAt: time.Now(),
		Scopes: scopes, Requested: flow.Scopes, Issuer: flow.Issuer, Resource: flow.Resource, TokenEndpoint: flow.TokenEndpoint,
		RevocationEndpoint: flow.RevocationEndpoint, ClientID: flow.ClientID, ClientSecret: flow.ClientSecret, AuthMethod: who.method,
	})
	if errors.Is(err, configstore.ErrNotFound) || errors.Is(err, configstore.ErrConflict) {
		b.revoke(ctx, flow.RevocationEndpoint, who, given.refresh, given.access)
		return Connected{}, ErrChanged
	}
	if err != nil {
		return Connected{}, err
	}
	k := key{ServerID: flow.ServerID, User: flow.User}
	b.memory.drop(k)
	b.mu.Lock()
	delete(b.trouble, k)
	b.mu.Unlock()
	b.logger.Info("a user connected an account", "server", flow.ServerID, "user", flow.User)
	b.changed(flow.ServerID, flow.User)
	return Connected{ServerID: server.ID, Slug: server.Slug, DisplayName: server.DisplayName, User: flow.User}, nil
}

// exchange asks for the token. Where nothing says how a configured client proves itself, HTTP Basic is tried and, if the provider does not know us then, the body; who remembers which it was.
func (b *Broker) exchange(ctx context.Context, flow configstore.Flow, who *client, code string) (answer, error) {
	form := url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {flow.RedirectURI}, "code_verifier": {flow.Verifier.Reveal()},
	}
	if flow.Resource != "" {
		form.Set("resource", flow.Resource)
	}
	methods := []string{who.method}
	switch {
	case who.secret.IsZero():
		methods = []string{discovery.AuthNone}
	case who.method == "":
		methods = []string{discovery.AuthBasic, discovery.AuthPost}
	}
	var given answer
	var refused *refusal
	for _, who.method = range methods {
		if err := b.turnToSignIn(ctx, flow.TokenEndpoint); err != nil {
			return answer{}, fmt.Errorf("%w: %w", ErrExchange, err)
		}
		if given, refused = b.ask(ctx, flow.TokenEndpoint, *who, form); refused == nil || !refused.wrongClient() {
			break
		}
	}
	if refused != nil {
		b.logger.Warn("a provider gave no token for a code", "server", flow.ServerID, "user", flow.User, "answer", refused.Error())
		return answer{}, fmt.Errorf("%w: %w", ErrExchange, refused)
	}
	return given, nil
}

// turnToSignIn waits until the provider may be asked. A code lives for about as long as a request may take.
func (b *Broker) turnToSignIn(ctx context.Context, endpoint string) error {
	ctx, cancel := context.WithTimeout(ctx, b.requestTimeout)
	defer cancel()
	_, err := b.turns.take(ctx, signingIn, endpoint)
	return err
}
