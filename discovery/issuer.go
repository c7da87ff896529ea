package discovery

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// issuerDocument is authorization server metadata (RFC 8414, section 2; OpenID Connect Discovery 1.0, section 3), as far as it matters here.
type issuerDocument struct {
	Issuer                string   `json:"issuer"`
	AuthorizationEndpoint string   `json:"authorization_endpoint"`
	TokenEndpoint         string   `json:"token_endpoint"`
	RegistrationEndpoint  string   `json:"registration_endpoint"`
	RevocationEndpoint    string   `json:"revocation_endpoint"`
	ChallengeMethods      []string `json:"code_challenge_methods_supported"`
	TokenAuthMethods      []string `json:"token_endpoint_auth_methods_supported"`
	GrantTypes            []string `json:"grant_types_supported"`
	Scopes                []string `json:"scopes_supported"`
	IssParameter          bool     `json:"authorization_response_iss_parameter_supported"`
	ClientDocument        bool     `json:"client_id_metadata_document_supported"`
}

// issuerPlaces lists where the metadata of an issuer may be, in the order of the specification. A slash at the end is no part of the place (RFC 8414, section 3.1).
func issuerPlaces(issuer *url.URL) []string {
	below := strings.TrimRight(path(issuer), "/")
	places := []string{
		wellKnown(issuer, "oauth-authorization-server", below),
		wellKnown(issuer, "openid-configuration", below),
	}
	if below != "" {
		places = append(places, origin(issuer)+below+"/.well-known/openid-configuration")
	}
	return places
}

// issuer reads the metadata of an authorization server and accepts what says of itself that it is one of the wanted issuers, to the letter. A document that lies is not used; the next
// place may have a true one.
func (s *search) issuer(ctx context.Context, listed string, wanted ...string) (Metadata, *Failure) {
	address, err := s.judge.issuer(listed)
	if err != nil {
		return Metadata{}, fail(stepIssuer, listed, fmt.Errorf("the issuer: %w", err))
	}
	var trouble *Failure
	for _, place := range issuerPlaces(address) {
		var document issuerDocument
		failure := s.get(ctx, stepIssuer, place, &document)
		if failure != nil {
			trouble = telling(trouble, failure)
			continue
		}
		metadata, failure := s.judgeIssuer(place, document, wanted)
		if failure == nil {
			return metadata, nil
		}
		trouble = telling(trouble, failure)
	}
	return Metadata{}, trouble
}

func (s *search) judgeIssuer(place string, document issuerDocument, wanted []string) (Metadata, *Failure) {
	if !slices.Contains(wanted, document.Issuer) {
		failure := fail(stepIssuer, place, ErrIssuer)
		if _, err := s.judge.issuer(document.Issuer); err == nil {
			failure.Issuer = document.Issuer
		}
		if s.server.PinnedIssuer != "" {
			failure.Remedy = "It is not the pinned one: set oauth2_issuer to exactly the issuer that the metadata names, if you trust it, or remove the pin."
		}
		return Metadata{}, failure
	}
	metadata := Metadata{
		Issuer:            document.Issuer,
		IssuerMetadataURL: place,
		TokenAuthMethods:  words(document.TokenAuthMethods),
		GrantTypes:        words(document.GrantTypes),
		OfflineAccess:     slices.Contains(document.Scopes, "offline_access"),
		IssParameter:      document.IssParameter,
		ClientDocument:    document.ClientDocument,
	}
	if err := s.endpoints(document, &metadata); err != nil {
		return Metadata{}, fail(stepIssuer, place, err)
	}
	if !slices.Contains(document.ChallengeMethods, "S256") {
		return Metadata{}, fail(stepIssuer, place, ErrNoPKCE)
	}
	return metadata, nil
}

// endpoints judges every URL of the document, those included that may never be asked.
func (s *search) endpoints(document issuerDocument, metadata *Metadata) error {
	for _, endpoint := range []struct {
		name     string
		raw      string
		required bool
		into     *string
	}{
		{"authorization_endpoint", document.AuthorizationEndpoint, true, &metadata.AuthorizationEndpoint},
		{"token_endpoint", document.TokenEndpoint, true, &metadata.TokenEndpoint},
		{"registration_endpoint", document.RegistrationEndpoint, false, &metadata.RegistrationEndpoint},
		{"revocation_endpoint", document.RevocationEndpoint, false, &metadata.RevocationEndpoint},
	} {
		if endpoint.raw == "" {
			if endpoint.required {
				return fmt.Errorf("%w: it has no %s", ErrBadAnswer, endpoint.name)
			}
			continue
		}
		u, err := s.judge.endpoint(endpoint.raw)
		if err != nil {
			return fmt.Errorf("its %s: %w", endpoint.name, err)
		}
		*endpoint.into = u.String()
	}
	var err error
	if metadata.AuthorizationEndpoint, err = withoutOurs(metadata.AuthorizationEndpoint); err != nil {
		return fmt.Errorf("its authorization_endpoint: %w", err)
	}
	return nil
}

// ours are the parameters of an authorization request that a client sets, or that would replace all of them.
var ours = []string{
	"response_type", "response_mode", "client_id", "redirect_uri", "scope", "state", "code_challenge", "code_challenge_method", "resource", "nonce", "request", "request_uri",
}

// withoutOurs takes parameters that are ours to set from the query of an authorization endpoint: left in, they would be there twice, and whoever reads the first would not read ours.
func withoutOurs(endpoint string) (string, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return "", unacceptable("it cannot be read")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return "", unacceptable("its query cannot be read")
	}
	found := false
	for _, name := range ours {
		if query.Has(name) {
			query.Del(name)
			found = true
		}
	}
	if found {
		u.RawQuery = query.Encode()
	}
	return u.String(), nil
}

// issuers reads the metadata of the first authorization server of a list that has usable metadata. With a pinned issuer, one that is listed is the only one; if none of those listed is it,
// each may say that it is.
func (s *search) issuers(ctx context.Context, listed []string) (Metadata, *Failure) {
	pinned := s.server.PinnedIssuer
	if pinned != "" && slices.Contains(listed, pinned) {
		return s.issuer(ctx, pinned, pinned)
	}
	var trouble *Failure
	for _, candidate := range listed[:min(len(listed), maxServers)] {
		wanted := candidate
		if pinned != "" {
			wanted = pinned
		}
		metadata, failure := s.issuer(ctx, candidate, wanted)
		if failure == nil {
			if wanted != candidate {
				s.overridden(candidate, metadata)
			}
			return metadata, nil
		}
		trouble = telling(trouble, failure)
	}
	return Metadata{}, trouble
}

// maxServers is how many authorization servers of one list are tried.
const maxServers = 5

// overridden says that an admin's word counted more than a check.
func (s *search) overridden(listed string, metadata Metadata) {
	s.logger.Warn("an issuer that an admin pinned is accepted although the server names another one",
		"server", plain(s.server.URL), "named", plain(listed), "pinned", metadata.Issuer, "metadata", plain(metadata.IssuerMetadataURL))
}
