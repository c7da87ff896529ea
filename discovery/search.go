package discovery

import (
	"context"
	"errors"
	"fmt"
	"net/url"
)

// search is one discovery.
type search struct {
	*Client
	server Server
	target *url.URL // server.URL
	judge  judge    // of what the server and its authorization server name
}

// discover does what Discover promises, without looking at what is remembered.
func (c *Client) discover(ctx context.Context, server Server) (Metadata, *Failure) {
	target, failure := readServer(server)
	if failure != nil {
		return Metadata{}, failure
	}
	s := &search{Client: c, server: server, target: target, judge: secure}
	if onLoopback(target) {
		s.judge = loopback
	}
	if server.AuthorizationURL != "" {
		return s.manual()
	}
	metadata, failure := s.discovered(ctx)
	if failure == nil && server.RevocationURL != "" {
		metadata.RevocationEndpoint = server.RevocationURL
	}
	return metadata, failure
}

// readServer judges what an admin wrote.
func readServer(server Server) (*url.URL, *Failure) {
	target, err := anywhere.endpoint(server.URL)
	if err != nil {
		return nil, badInput("url", server.URL, err)
	}
	if (server.AuthorizationURL == "") != (server.TokenURL == "") {
		failure := fail(stepConfig, "", fmt.Errorf("%w: one of oauth2_auth_url and oauth2_token_url is missing", ErrBadInput))
		failure.Remedy = "Set both, or neither to have them discovered."
		return nil, failure
	}
	for _, written := range []struct{ field, raw string }{
		{"oauth2_auth_url", server.AuthorizationURL}, {"oauth2_token_url", server.TokenURL}, {"oauth2_revocation_url", server.RevocationURL},
	} {
		if written.raw == "" {
			continue
		}
		if _, err := loopback.endpoint(written.raw); err != nil {
			return nil, badInput(written.field, written.raw, err)
		}
	}
	if server.PinnedIssuer != "" {
		if _, err := loopback.issuer(server.PinnedIssuer); err != nil {
			return nil, badInput("oauth2_issuer", server.PinnedIssuer, err)
		}
	}
	return target, nil
}

func badInput(field, raw string, err error) *Failure {
	failure := fail(stepConfig, raw, fmt.Errorf("%w: %s: %w", ErrBadInput, field, err))
	failure.Remedy = "Correct " + field + "."
	return failure
}

// manual is what an admin wrote, word for word but for parameters that are ours to set. Nobody is asked.
func (s *search) manual() (Metadata, *Failure) {
	authorization, err := withoutOurs(s.server.AuthorizationURL)
	if err != nil {
		return Metadata{}, badInput("oauth2_auth_url", s.server.AuthorizationURL, err)
	}
	return Metadata{
		Issuer:                s.server.PinnedIssuer,
		AuthorizationEndpoint: authorization,
		TokenEndpoint:         s.server.TokenURL,
		RevocationEndpoint:    s.server.RevocationURL,
		Resource:              canonical(s.target),
		Scopes:                ParseChallenge(s.server.Challenge).Scopes,
		Manual:                true,
	}, nil
}

func (s *search) discovered(ctx context.Context) (Metadata, *Failure) {
	demand := s.demand(ctx)
	document, failure := s.resource(ctx, demand.challenge)
	if failure != nil {
		if errors.Is(failure, ErrNotFound) && demand.challenge.ResourceMetadata == "" {
			return s.undocumented(ctx, demand)
		}
		return Metadata{}, failure
	}
	metadata, failure := s.issuers(ctx, document.AuthorizationServers)
	if failure != nil {
		return Metadata{}, failure
	}
	metadata.Resource = document.Resource
	metadata.ResourceMetadataURL = document.found
	metadata.Scopes = demand.challenge.Scopes
	if metadata.Scopes == nil {
		metadata.Scopes = words(document.ScopesSupported)
	}
	return metadata, nil
}

// undocumented is for a server without protected resource metadata: one of 2025-03-26, which is its own authorization server, with metadata at its origin or with none at all; or one whose
// authorization server an admin has pinned.
func (s *search) undocumented(ctx context.Context, demand demand) (Metadata, *Failure) {
	metadata, failure := s.ownIssuer(ctx)
	if failure != nil && errors.Is(failure, ErrNotFound) {
		metadata, failure = s.defaults(demand, failure)
	}
	if failure != nil {
		return Metadata{}, failure
	}
	metadata.Resource = canonical(s.target)
	metadata.Scopes = demand.challenge.Scopes
	return metadata, nil
}

// ownIssuer reads the metadata of the pinned issuer, or else what is at the server's origin. Nobody has written that origin as an issuer, so either way of writing one is the same.
func (s *search) ownIssuer(ctx context.Context) (Metadata, *Failure) {
	own := origin(s.target)
	pinned := s.server.PinnedIssuer
	if pinned == "" || pinned == own || pinned == own+"/" {
		return s.issuer(ctx, own, own, own+"/")
	}
	metadata, failure := s.issuer(ctx, pinned, pinned)
	if failure == nil || !errors.Is(failure, ErrNotFound) {
		return metadata, failure
	}
	metadata, failure = s.issuer(ctx, own, pinned)
	if failure == nil {
		s.overridden(own, metadata)
	}
	return metadata, failure
}

// defaults are the endpoints of 2025-03-26, for a server that asks for credentials and has no metadata of any kind. Of an issuer that an admin pinned nothing is known that way.
func (s *search) defaults(demand demand, missing *Failure) (Metadata, *Failure) {
	switch {
	case demand.failure != nil:
		return Metadata{}, demand.failure
	case !demand.made:
		return Metadata{}, answered(stepProbe, s.server.URL, demand.status, ErrNoOAuth)
	case s.server.PinnedIssuer != "":
		return Metadata{}, missing
	}
	own := origin(s.target) // judged by now, when its metadata was looked for
	return Metadata{
		Issuer:                own,
		AuthorizationEndpoint: own + "/authorize",
		TokenEndpoint:         own + "/token",
		RegistrationEndpoint:  own + "/register",
		Legacy:                true,
	}, nil
}
