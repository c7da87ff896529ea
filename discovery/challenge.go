package discovery

// Challenge is what a server asks for in the WWW-Authenticate of a 401 or 403.
type Challenge struct {
	ResourceMetadata string   // the URL of its protected resource metadata, not judged yet; empty: not said
	Scopes           []string // what the request needs; nil: not said
	Error            string   // invalid_token, insufficient_scope, ...; only the characters RFC 6750 allows
}

// InsufficientScope says that the token was good, but not for this.
func (c Challenge) InsufficientScope() bool { return c.Error == "insufficient_scope" }

// ParseChallenge reads the header's values (http.Header.Values). Of several challenges the Bearer ones count, in their order, each parameter where it is first said. It never fails: what
// cannot be read is not said.
func ParseChallenge(values ...string) Challenge { panic("unbuilt") }
