package discovery

// Document describes a Client ID Metadata Document.
type Document struct {
	URL          string   // where it is served, which is the client id: https with a path
	Name         string   // client_name: required
	URI          string   // client_uri; may be empty
	RedirectURIs []string // at least one, each https or http on loopback
}

// ClientDocument returns the document as JSON, to be served as application/json at d.URL.
func ClientDocument(d Document) ([]byte, error) { panic("unbuilt") }
