package configstore

import (
	"maps"
	"slices"
	"strings"

	"mcpsidecar/internal/secret"
)

// Headers that belong to the connection, to the framing of messages or to the protocol. Nobody configures them.
var ownHeaders = []string{
	"connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade", // one hop
	"host", "expect", "date", "accept", "accept-encoding", "last-event-id", // framing and protocol
}

var ownPrefixes = []string{"content-", "mcp-"}

// Headers that an agent must not pass on, besides: they prove who it is to us, or say what only we can know.
var callersHeaders = []string{"authorization", "cookie", "set-cookie", "forwarded", "via", "x-real-ip", "origin", "referer"}

var callersPrefixes = []string{"sidecar-", "x-forwarded-", "proxy-", "sec-"}

// reservedForUs says that a header cannot be configured.
func reservedForUs(lower string) bool {
	return slices.Contains(ownHeaders, lower) || hasPrefix(lower, ownPrefixes)
}

// reservedForForwarding says that a header cannot be passed on.
func reservedForForwarding(lower string) bool {
	return reservedForUs(lower) || slices.Contains(callersHeaders, lower) || hasPrefix(lower, callersPrefixes)
}

func hasPrefix(text string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(text, prefix) })
}

func (c *checker) customHeaders(s *Server) {
	const field = "custom_headers"
	switch count := len(s.CustomHeaders); {
	case count > MaxCustomHeaders:
		c.add(field, "may have at most %d names", MaxCustomHeaders)
		return
	case count == 0 && s.AuthType == AuthCustomHeaders:
		c.add(field, "needs at least one header for auth_type custom_headers")
	}
	seen := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(s.CustomHeaders)) {
		if !c.headerName(field, name, reservedForUs) {
			continue
		}
		if lower := strings.ToLower(name); seen[lower] {
			c.add(field, "has %q twice: the names of headers do not differ by case", name)
		} else {
			seen[lower] = true
		}
		if s.CustomHeaders[name].IsZero() {
			c.add(field, "has no value for %q", name)
		}
		c.headerValue(field, "the value of "+name+" ", s.CustomHeaders[name])
	}
}

func (c *checker) forwardHeaders(names []string) {
	const field = "forward_headers"
	if len(names) > MaxForwarded {
		c.add(field, "may have at most %d names", MaxForwarded)
		return
	}
	seen := map[string]bool{}
	for i, name := range names {
		if name == "" {
			c.add(field, "entry %d is blank", i)
			continue
		}
		if strings.Contains(name, "*") {
			c.add(field, "has %q: it takes names, not patterns", name)
			continue
		}
		if !c.headerName(field, name, reservedForForwarding) {
			continue
		}
		if lower := strings.ToLower(name); seen[lower] {
			c.add(field, "has %q twice: the names of headers do not differ by case", name)
		} else {
			seen[lower] = true
		}
	}
}

// headerName judges the name of a header and says whether it can be one.
func (c *checker) headerName(field, name string, reserved func(lower string) bool) bool {
	switch {
	case len(name) > MaxHeaderName:
		c.add(field, "has a header name of more than %d bytes", MaxHeaderName)
	case !validFieldName(name):
		c.add(field, "has %q, which is not the name of a header", name)
	case reserved(strings.ToLower(name)):
		c.add(field, "has %s, which is not for configuration: it belongs to the connection, the protocol or the caller", name)
	default:
		return true
	}
	return false
}

// headerValue judges what is sent in a header; a tab is allowed there and nothing else below the space.
func (c *checker) headerValue(field, whose string, value secret.Value) {
	c.secret(field, secret.New(strings.ReplaceAll(value.Reveal(), "\t", " ")), whose)
}

// validFieldName is a token of RFC 9110.
func validFieldName(name string) bool {
	return name != "" && strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~") == ""
}
