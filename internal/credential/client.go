package credential

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mcpsidecar/configstore"
	"mcpsidecar/discovery"
)

// plan is all that a sign-in needs to know of a server's provider and of who we are there.
type plan struct {
	metadata     discovery.Metadata
	registration configstore.Registration
}

// Discover finds out how users sign in to a server, registers us there if need be, and stores nothing: for a server that is about to be created. Store what it returns (PutRegistration) once the
// server is there; if that is forgotten, the first connect does it all again. Errors wrap ErrDiscovery and a *discovery.Failure, whose words are for admins.
func (b *Broker) Discover(ctx context.Context, server configstore.Server) (configstore.Registration, error) {
	metadata, err := findOut(ctx, server, b.discovery.Discover)
	if err != nil {
		return configstore.Registration{}, err
	}
	p, err := b.plan(ctx, server, metadata, configstore.Registration{})
	return p.registration, err
}

// Rediscover finds it out anew for a server that is stored, and stores it. If the server has another provider by now, the grants of the old one end.
func (b *Broker) Rediscover(ctx context.Context, serverID string) (configstore.Registration, error) {
	server, err := b.server(ctx, serverID)
	if err != nil {
		return configstore.Registration{}, err
	}
	p, err := b.prepare(ctx, server, b.discovery.Rediscover)
	return p.registration, err
}

type discover func(context.Context, discovery.Server) (discovery.Metadata, error)

// findOut asks how users sign in to a server.
func findOut(ctx context.Context, server configstore.Server, find discover) (discovery.Metadata, error) {
	if server.AuthType != configstore.AuthOAuth2 {
		return discovery.Metadata{}, ErrNotOAuth2
	}
	metadata, err := find(ctx, discovery.Server{
		URL: server.URL, PinnedIssuer: server.OAuth2Issuer,
		AuthorizationURL: server.OAuth2AuthURL, TokenURL: server.OAuth2TokenURL, RevocationURL: server.OAuth2RevocationURL,
	})
	if err != nil {
		return discovery.Metadata{}, discoveryError(err)
	}
	return metadata, nil
}

// prepare makes the plan for a stored server and stores what is new in it. Two at the same time register once. The server is asked before, without the lock: those who ask at the same time share one answer, and one
// who asks again and again holds up nobody.
func (b *Broker) prepare(ctx context.Context, server configstore.Server, find discover) (plan, error) {
	before, err := b.registration(ctx, server.ID)
	if err != nil {
		return plan{}, err
	}
	metadata, err := findOut(ctx, server, find)
	if err != nil {
		return plan{}, err
	}
	unlock, err := b.locker.Lock(ctx, "registration/"+server.ID)
	if err != nil {
		return plan{}, err
	}
	defer unlock()
	known, err := b.registration(ctx, server.ID)
	if err == nil && !same(known, before) { // somebody may have found out something newer, which is remembered
		metadata, err = findOut(ctx, server, b.discovery.Discover)
	}
	if err != nil {
		return plan{}, err
	}
	return b.settleOn(ctx, server, metadata, known)
}

// registration is what is known of who we are at a server's provider; nothing, if we are nobody yet.
func (b *Broker) registration(ctx context.Context, serverID string) (configstore.Registration, error) {
	known, err := b.store.Registration(ctx, serverID)
	if errors.Is(err, configstore.ErrNotFound) {
		return configstore.Registration{}, nil
	}
	return known, err
}

// settleOn makes the plan and stores what is new in it. The caller holds the lock of the server's registration.
func (b *Broker) settleOn(ctx context.Context, server configstore.Server, metadata discovery.Metadata, known configstore.Registration) (plan, error) {
	p, err := b.plan(ctx, server, metadata, known)
	if err != nil || same(p.registration, known) {
		return p, err
	}
	_, err = b.store.PutRegistration(ctx, p.registration)
	if errors.Is(err, configstore.ErrConflict) {
		err = ErrChanged
	}
	if err == nil && known.Issuer != p.registration.Issuer { // the store has ended the grants of the other issuer
		b.memory.dropServer(server.ID)
	}
	return p, err
}

func (b *Broker) plan(ctx context.Context, server configstore.Server, metadata discovery.Metadata, known configstore.Registration) (plan, error) {
	r, err := b.whoWeAre(ctx, server, metadata, known)
	if err != nil {
		return plan{}, err
	}
	described(&r, server, metadata)
	return plan{metadata, r}, nil
}

// described completes a registration with whose it is and what was found out.
func described(r *configstore.Registration, server configstore.Server, metadata discovery.Metadata) {
	r.ServerID, r.Binding = server.ID, server.OAuthBinding()
	r.Resource, r.AuthorizationEndpoint, r.TokenEndpoint, r.RevocationEndpoint, r.Scopes =
		metadata.Resource, metadata.AuthorizationEndpoint, metadata.TokenEndpoint, metadata.RevocationEndpoint, metadata.Scopes
}

func discoveryError(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrDiscovery, err)
}

// whoWeAre is the client an admin configured, else the one we registered before, else a new one.
func (b *Broker) whoWeAre(ctx context.Context, server configstore.Server, metadata discovery.Metadata, known configstore.Registration) (configstore.Registration, error) {
	redirect := b.RedirectURI(server.ID)
	if server.OAuth2ClientID != "" {
		return configured(server, metadata, known, redirect)
	}
	if stillOurs(known, metadata, redirect) {
		return known, nil
	}
	made, err := b.register(ctx, metadata, redirect, ever(server, metadata))
	if err != nil {
		return configstore.Registration{}, discoveryError(err)
	}
	return made, nil
}

// register makes us known to a provider, for scopes.
func (b *Broker) register(ctx context.Context, metadata discovery.Metadata, redirect string, scopes []string) (configstore.Registration, error) {
	made, err := b.discovery.Register(ctx, metadata, discovery.ClientMetadata{Name: b.name, URI: b.public, RedirectURI: redirect, Scopes: scopes, DocumentURL: b.document})
	if err != nil {
		return configstore.Registration{}, err
	}
	return configstore.Registration{
		Issuer: metadata.Issuer, RedirectURI: redirect, ClientID: made.ClientID, ClientSecret: made.ClientSecret, AuthMethod: made.AuthMethod,
		SecretExpires: made.SecretExpires, Document: made.Document, Registered: scopes,
	}, nil
}

// registeredFor returns the registration of a plan, or a new one where the one there is was made for fewer scopes than are asked for now: a provider may hold a client to what it was registered for. Who
// was connected as the client before stays so. If the provider registers us no more, the sign-in goes on as the client that we are.
func (b *Broker) registeredFor(ctx context.Context, server configstore.Server, p plan, asked []string) configstore.Registration {
	if !tooNarrow(p.registration, asked) {
		return p.registration
	}
	unlock, err := b.locker.Lock(ctx, "registration/"+server.ID)
	if err != nil {
		return p.registration
	}
	defer unlock()
	known, err := b.store.Registration(ctx, server.ID)
	if err == nil && known.Binding == p.registration.Binding && stillOurs(known, p.metadata, p.registration.RedirectURI) && !tooNarrow(known, asked) {
		return known // somebody else was faster
	}
	made, err := b.register(ctx, p.metadata, p.registration.RedirectURI, union(p.registration.Registered, asked))
	if err == nil {
		described(&made, server, p.metadata)
		_, err = b.store.PutRegistration(ctx, made)
	}
	if err != nil {
		b.logger.Warn("there is no registration for more scopes; the one there is stays in use", "server", server.ID, "error", err)
		return p.registration
	}
	return made
}

// tooNarrow says that a registration that we made was made for other scopes than these alone.
func tooNarrow(r configstore.Registration, asked []string) bool {
	return !r.Configured && !r.Document && len(union(r.Registered, asked)) > len(r.Registered)
}

// ever is all that we know to ask for at a provider, which may hold us to it; nothing, if nothing is known.
func ever(server configstore.Server, metadata discovery.Metadata) []string {
	all := union(words(server.OAuth2Scopes), metadata.Scopes)
	if len(all) > 0 && metadata.OfflineAccess && server.OAuth2Scopes == "" {
		all = union(all, []string{offlineAccess})
	}
	return all
}

// configured is an admin's client. It belongs to the provider that it was first used with: another one must not see its secret.
func configured(server configstore.Server, metadata discovery.Metadata, known configstore.Registration, redirect string) (configstore.Registration, error) {
	if known.Configured && known.ClientID == server.OAuth2ClientID && known.Issuer != metadata.Issuer && server.OAuth2Issuer == "" {
		return configstore.Registration{}, fmt.Errorf("%w: the server names %s as its provider now, and oauth2_client_id was used with %s; set oauth2_issuer and the client that belongs to it",
			ErrDiscovery, metadata.Issuer, known.Issuer)
	}
	method := metadata.AuthMethod(!server.OAuth2ClientSecret.IsZero())
	if metadata.Manual && !server.OAuth2ClientSecret.IsZero() && len(metadata.TokenAuthMethods) == 0 {
		method = "" // found out once, when the first user connects
	}
	return configstore.Registration{Issuer: metadata.Issuer, RedirectURI: redirect, ClientID: server.OAuth2ClientID, AuthMethod: method, Configured: true}, nil
}

// stillOurs says that a registration can be used: it was made by itself, at this provider, for this redirect URI, and its secret does not end while a user signs in. Our own document is
// no registration that could get old; it is looked at anew each time.
func stillOurs(known configstore.Registration, metadata discovery.Metadata, redirect string) bool {
	return known.ClientID != "" && !known.Configured && !known.Document && known.Issuer == metadata.Issuer && known.RedirectURI == redirect &&
		(known.SecretExpires.IsZero() || time.Now().Add(configstore.FlowLifetime).Before(known.SecretExpires))
}

// same says that two registrations say the same.
func same(a, b configstore.Registration) bool {
	return a.Issuer == b.Issuer && a.RedirectURI == b.RedirectURI && a.ClientID == b.ClientID && a.ClientSecret.Equal(b.ClientSecret) && a.AuthMethod == b.AuthMethod &&
		a.SecretExpires.Equal(b.SecretExpires) && a.Configured == b.Configured && a.Document == b.Document && a.Resource == b.Resource &&
		a.AuthorizationEndpoint == b.AuthorizationEndpoint && a.TokenEndpoint == b.TokenEndpoint && a.RevocationEndpoint == b.RevocationEndpoint &&
		a.Binding == b.Binding && len(union(a.Scopes, b.Scopes)) == len(a.Scopes) && len(a.Scopes) == len(b.Scopes)
}
