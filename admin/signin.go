package admin

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"mcpsidecar/configstore"
	"mcpsidecar/discovery"
	"mcpsidecar/internal/audit"
	"mcpsidecar/internal/caller"
	"mcpsidecar/internal/credential"
	"mcpsidecar/internal/front"
)

// documentPath is where our Client ID Metadata Document is.
const documentPath = "/oauth/client.json"

// departure is an answer that sends a browser to a provider. The cookie proves at the callback that it is the same browser.
type departure struct{ credential.Started }

// connect begins the caller's sign-in. The address that it sends to is for the browser in which it is opened with the cookie.
func (a *API) connect(r *http.Request, req *request) (departure, error) {
	server, err := a.signInServer(r.Context(), req)
	if err != nil {
		return departure{}, err
	}
	if err := a.recordSignIn(r.Context(), req, "sign_in", req.caller.User, server.Slug); err != nil {
		return departure{}, err
	}
	if !meant(r) {
		return a.ask(r, req.caller, server.ID)
	}
	started, err := a.config.Accounts.Connect(r.Context(), credential.Start{ServerID: server.ID, User: req.caller.User, Browser: a.browser(r)})
	if errors.Is(err, credential.ErrDiscovery) && req.caller.Role != caller.Admin {
		a.unprepared(r.Context(), server.Slug, err)
		err = errNotPrepared
	}
	return departure{started}, fromStore(err)
}

// unprepared logs why users cannot sign in: the words are for admins.
func (a *API) unprepared(ctx context.Context, slug string, err error) {
	a.config.Logger.LogAttrs(ctx, slog.LevelWarn, "a user cannot sign in",
		slog.String("request_id", front.RequestID(ctx)), slog.String("server", slug), slog.String("reason", advice(err)))
}

// recordSignIn puts on record what leads to a connection, before it does. A nil caller is a browser.
func (a *API) recordSignIn(ctx context.Context, req *request, action, user, slug string) error {
	change := audit.Change{RequestID: front.RequestID(ctx), Action: action, Kind: "grant", ID: user, Slug: slug, User: user}
	if req.caller != nil {
		change.TokenID, change.User = req.caller.TokenID, req.caller.User
	}
	if err := a.config.Audit.Changed(change); err != nil {
		return &unrecordedError{err}
	}
	return nil
}

// callback takes a provider's answer. Nothing of what it says is shown.
func (a *API) callback(r *http.Request, req *request) (page, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return page{}, credential.ErrMalformed
	}
	if err := a.mayReturn(r.Context(), req.name); err != nil {
		return page{}, err
	}
	connected, err := a.config.Accounts.Callback(r.Context(), req.name, query, a.browser(r))
	if err != nil {
		a.config.Logger.LogAttrs(r.Context(), slog.LevelInfo, "a sign-in failed", slog.String("request_id", front.RequestID(r.Context())), slog.String("server", req.name), slog.Any("error", err))
		return page{}, fromStore(err)
	}
	change := audit.Change{RequestID: front.RequestID(r.Context()), Action: "connect", Kind: "grant", ID: connected.User, Slug: connected.Slug, User: connected.User}
	if err := a.config.Audit.Changed(change); err != nil { // that it began is on record
		a.config.Logger.LogAttrs(r.Context(), slog.LevelError, "a connection could not be recorded", slog.String("request_id", change.RequestID), slog.Any("error", err))
	}
	return page{
		Title: "Connected", Text: orElse(connected.DisplayName, connected.Slug) + " is connected for " + connected.User + ".",
		Complete: &complete{ServerID: connected.ServerID, Origin: a.origin()},
	}, nil
}

// mayReturn says whether a sign-in at a server can still end well, before a code is spent. What is unknown is for the flow to say.
func (a *API) mayReturn(ctx context.Context, id string) error {
	if !canonicalID(id) {
		return credential.ErrState
	}
	server, err := a.config.Store.Server(ctx, id)
	switch {
	case errors.Is(err, configstore.ErrNotFound):
		return credential.ErrState
	case err == nil && !server.Rules.Enabled:
		return errDisabled
	}
	return fromStore(err)
}

// invitation is what a link leads to, if the server may still be connected to.
func (a *API) invitation(ctx context.Context, text string) (credential.Invitation, error) {
	invitation, err := a.config.Accounts.Link(ctx, text)
	if err == nil && !visibleTo(invitation.Server, invitation.User) {
		err = credential.ErrLink
	}
	return invitation, fromStore(err)
}

// showLink asks before anything happens: what previews links must not use them up, and who was sent a link shall see for whom it connects what.
func (a *API) showLink(r *http.Request, req *request) (page, error) {
	invitation, err := a.invitation(r.Context(), req.name)
	if err != nil {
		return page{}, err
	}
	return page{Title: "Connect an account", Asks: &asks{
		Server: invitation.Server.DisplayName, Host: hostOf(invitation.Server.URL), User: invitation.User, Minutes: minutesUntil(invitation.ExpiresAt),
	}}, nil
}

func hostOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return u.Host
}

func minutesUntil(end time.Time) int {
	return max(1, int(time.Until(end).Round(time.Minute)/time.Minute))
}

// openLink goes on to the provider.
func (a *API) openLink(r *http.Request, req *request) (departure, error) {
	if !fromOurPage(r) {
		return departure{}, errElsewhere
	}
	invitation, err := a.invitation(r.Context(), req.name)
	if err != nil {
		return departure{}, err
	}
	if err := a.recordSignIn(r.Context(), req, "sign_in", invitation.User, invitation.Server.Slug); err != nil {
		return departure{}, err
	}
	started, err := a.config.Accounts.OpenLink(r.Context(), req.name, a.browser(r))
	if errors.Is(err, credential.ErrDiscovery) {
		a.unprepared(r.Context(), invitation.Server.Slug, err)
		err = errNotPrepared
	}
	return departure{started}, fromStore(err)
}

// fromOurPage says whether a form was sent by a page of ours. Origins are judged before any handler; this is for browsers that say where a request is from and yet send no Origin.
func fromOurPage(r *http.Request) bool {
	return slices.Contains([]string{"", "same-origin"}, r.Header.Get("Sec-Fetch-Site"))
}

// clientDocument describes the sidecar to providers that take a URL for a client id. It names the redirect URI of each server to which users can connect with it, so that it changes with them. Everybody
// can read it; an id says nothing and opens nothing.
func (a *API) clientDocument(r *http.Request, _ *request) (jsontext.Value, error) {
	if a.config.DocumentURL == "" {
		return nil, errNotFound
	}
	servers, err := a.config.Store.Servers(r.Context())
	if err != nil {
		return nil, fromStore(err)
	}
	document := discovery.Document{URL: a.config.DocumentURL, Name: clientName}
	for _, server := range servers {
		if server.AuthType == configstore.AuthOAuth2 && server.OAuth2ClientID == "" && server.Rules.Enabled {
			document.RedirectURIs = append(document.RedirectURIs, a.config.Accounts.RedirectURI(server.ID))
		}
	}
	if len(document.RedirectURIs) == 0 {
		return nil, errNotFound // a document without a redirect URI is none
	}
	slices.Sort(document.RedirectURIs)
	return discovery.ClientDocument(document)
}

// clientName is as what the sidecar is known to providers.
const clientName = "mcp-sidecar"

// The name of the cookie by which a browser is known again. With https it is one that only this very host can have set.
const (
	cookieName       = "mcp-sidecar-browser"
	secureCookieName = "__Host-" + cookieName
)

// browser is the cookie that the browser has from an earlier sign-in, or nothing.
func (a *API) browser(r *http.Request) string {
	name, _ := a.cookie()
	cookie, err := r.Cookie(name)
	if err != nil {
		return ""
	}
	return cookie.Value
}

func (a *API) cookie() (name string, secure bool) {
	if strings.HasPrefix(a.origin(), "https:") {
		return secureCookieName, true
	}
	return cookieName, false
}

// origin is ours, as browsers know it: it is configured, and no request has a say in it.
func (a *API) origin() string {
	u, err := url.Parse(a.config.Accounts.RedirectURI(""))
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// depart answers with a redirect. The cookie is for the whole host: links, connect and callback are in different places, and sign-ins that run at the same time share it. It says nothing.
func (a *API) depart(w http.ResponseWriter, status int, to departure) {
	if !to.Cookie.IsZero() {
		name, secure := a.cookie()
		http.SetCookie(w, &http.Cookie{
			Name: name, Value: to.Cookie.Reveal(), Path: "/", MaxAge: int(configstore.FlowLifetime / time.Second), HttpOnly: true, Secure: secure, SameSite: http.SameSiteLaxMode,
		})
	}
	w.Header().Set("Location", to.URL)
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(status)
}
