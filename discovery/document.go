package discovery

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Document describes a Client ID Metadata Document.
type Document struct {
	URL          string   // where it is served, which is the client id: https with a path
	Name         string   // client_name: required
	URI          string   // client_uri; may be empty
	RedirectURIs []string // at least one, each https or http on loopback
}

// ClientDocument returns the document as JSON, to be served as application/json at d.URL. The same description gives the same bytes.
func ClientDocument(d Document) ([]byte, error) {
	if err := judgeDocumentURL(d.URL); err != nil {
		return nil, fmt.Errorf("the client metadata document: %w", err)
	}
	if d.Name == "" || len(d.RedirectURIs) == 0 {
		return nil, errors.New("the client metadata document needs a name and a redirect URI")
	}
	for _, redirect := range d.RedirectURIs {
		if _, err := loopback.endpoint(redirect); err != nil {
			return nil, fmt.Errorf("the client metadata document: a redirect URI: %w", err)
		}
	}
	document := newClientDocument(d.Name, d.URI, AuthNone, d.RedirectURIs...)
	document.ClientID = d.URL
	text, err := json.Marshal(document, jsontext.WithIndent("  "))
	if err != nil {
		return nil, fmt.Errorf("the client metadata document: %w", err)
	}
	return append(text, '\n'), nil
}

// judgeDocumentURL holds a URL against what a client id may be (draft-ietf-oauth-client-id-metadata-document, section 3): https, with a path, without dot segments; and without a query,
// which the draft discourages.
func judgeDocumentURL(raw string) error {
	u, err := secure.endpoint(raw)
	switch {
	case err != nil:
		return err
	case path(u) == "":
		return unacceptable("it has no path")
	case strings.Contains(raw, "?"):
		return unacceptable("it has a query")
	case slices.ContainsFunc(strings.Split(u.EscapedPath(), "/"), isDots):
		return unacceptable("it has dot segments in its path")
	}
	return nil
}

func isDots(segment string) bool {
	plain, err := url.PathUnescape(segment)
	return err != nil || plain == "." || plain == ".."
}
