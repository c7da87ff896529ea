package discovery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// resourceDocument is protected resource metadata (RFC 9728, section 2), as far as it matters here.
type resourceDocument struct {
	Resource             string   `json:"resource"`
	AuthorizationServers []string `json:"authorization_servers"`
	ScopesSupported      []string `json:"scopes_supported"`

	found string // where it was
}

// resource finds the server's protected resource metadata: where its challenge says, then by the path of the server, then at the root. A place that has nothing usable leads to the next
// one, but a document about another resource ends it: somebody says something false.
func (s *search) resource(ctx context.Context, challenge Challenge) (resourceDocument, *Failure) {
	var trouble *Failure
	for _, place := range s.resourcePlaces(challenge) {
		document, failure := s.readResource(ctx, place)
		if failure == nil || errors.Is(failure, ErrResource) {
			return document, failure
		}
		trouble = telling(trouble, failure)
	}
	return resourceDocument{}, trouble
}

const resourceName = "oauth-protected-resource"

// resourcePlaces lists where the metadata may be. A slash at the end of the server's path is kept at first, as it is part of the resource's identifier, and then left out.
func (s *search) resourcePlaces(challenge Challenge) []string {
	var places []string
	add := func(place string) {
		if place != "" && !slices.Contains(places, place) {
			places = append(places, place)
		}
	}
	query := ""
	if s.target.RawQuery != "" {
		query = "?" + s.target.RawQuery
	}
	add(challenge.ResourceMetadata)
	add(wellKnown(s.target, resourceName, path(s.target)+query))
	add(wellKnown(s.target, resourceName, strings.TrimRight(path(s.target), "/")+query))
	add(wellKnown(s.target, resourceName, ""))
	return places
}

func (s *search) readResource(ctx context.Context, place string) (document resourceDocument, failure *Failure) {
	if err := s.resourcePlace(place); err != nil {
		return document, fail(stepResource, place, fmt.Errorf("where the server's challenge leads: %w", err))
	}
	if failure := s.get(ctx, stepResource, place, &document); failure != nil {
		return document, failure
	}
	document.found = place
	switch {
	case document.Resource == "":
		return document, fail(stepResource, place, fmt.Errorf("%w: it has no resource", ErrBadAnswer))
	case !names(document.Resource, s.target):
		return document, fail(stepResource, place, ErrResource)
	case len(document.AuthorizationServers) == 0:
		return document, fail(stepResource, place, fmt.Errorf("%w: it names no authorization server", ErrBadAnswer))
	}
	return document, nil
}

// resourcePlace lets pass, besides what is acceptable anyhow, the server's own origin: an admin who registered it with http has made that choice.
func (s *search) resourcePlace(place string) error {
	u, err := anywhere.endpoint(place)
	if err != nil || origin(u) == origin(s.target) {
		return err
	}
	_, err = s.judge.endpoint(place)
	return err
}
