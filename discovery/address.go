package discovery

import (
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// maxURL is the longest URL that is accepted from anybody: far more than any real one has.
const maxURL = 2048

// judge says which URLs are acceptable, by how far http will do. Whether the address behind one may be dialled is judged elsewhere, when it is dialled.
type judge int

const (
	secure   judge = iota // https only: for what a server from outside names, which has no business with the sidecar's own machine
	loopback              // http on loopback, too: for what a server there names, and for what an admin wrote
	anywhere              // http, too: for the server itself, whose URL an admin chose
)

func unacceptable(why string) error { return fmt.Errorf("%w: %s", ErrURL, why) }

// endpoint judges the URL of something that is asked, or that a browser is sent to.
func (j judge) endpoint(raw string) (*url.URL, error) {
	if len(raw) > maxURL {
		return nil, unacceptable("it is too long")
	}
	if strings.ContainsFunc(raw, notOfURLs) {
		return nil, unacceptable("it has characters that no URL has")
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return nil, unacceptable("it cannot be read")
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, unacceptable("it must be https")
	case u.Opaque != "" || u.Hostname() == "":
		return nil, unacceptable("it has no host")
	case u.Scheme == "http" && j != anywhere && !(j == loopback && onLoopback(u)):
		return nil, unacceptable("it must be https")
	case u.User != nil:
		return nil, unacceptable("it has a user name or password in it")
	case strings.Contains(raw, "#"):
		return nil, unacceptable("it has a fragment")
	case !validPort(u):
		return nil, unacceptable("its port is not between 1 and 65535")
	}
	return u, nil
}

// issuer judges an issuer identifier (RFC 8414, section 2).
func (j judge) issuer(raw string) (*url.URL, error) {
	u, err := j.endpoint(raw)
	if err == nil && strings.Contains(raw, "?") {
		return nil, unacceptable("an issuer has no query")
	}
	return u, err
}

func notOfURLs(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("\"<>\\^`{|}", r) }

func validPort(u *url.URL) bool {
	if u.Port() == "" {
		return !strings.HasSuffix(u.Host, ":")
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	return err == nil && port > 0
}

func onLoopback(u *url.URL) bool {
	host := strings.ToLower(u.Hostname())
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.Unmap().IsLoopback()
}

// origin is scheme and host, in lower case and without the port that the scheme stands for.
func origin(u *url.URL) string {
	host := strings.ToLower(u.Host)
	switch u.Scheme { // url.Parse lowers it
	case "https":
		host = strings.TrimSuffix(host, ":443")
	case "http":
		host = strings.TrimSuffix(host, ":80")
	}
	return u.Scheme + "://" + host
}

// path is the path as it is sent, empty for the root.
func path(u *url.URL) string {
	if p := u.EscapedPath(); p != "/" {
		return p
	}
	return ""
}

// canonical is the resource identifier of a server that publishes none: its URL without query, and without a slash at the end, as the specification prefers it. The query stays at home:
// it may hold a key, and this goes to the authorization server and through a browser.
func canonical(u *url.URL) string { return origin(u) + strings.TrimRight(path(u), "/") }

// wellKnown inserts a well-known name between host and path (RFC 8414, section 3.1; RFC 9728, section 3.1).
func wellKnown(u *url.URL, name, path string) string {
	return origin(u) + "/.well-known/" + name + path
}

// names says whether a resource identifier is one of this server.
//
// RFC 9728 asks for the very URL from which the metadata's place was derived: that of the server, or for metadata at the root that of the whole origin. Servers do both in both places, and
// GitHub's differs by a slash at the end. So: the same origin, and a path that is the server's or leads to it. What never passes is another origin, a sibling or something below.
func names(resource string, server *url.URL) bool {
	u, err := url.Parse(resource)
	if err != nil || u.Opaque != "" || u.User != nil || len(resource) > maxURL || strings.Contains(resource, "#") || strings.ContainsFunc(resource, notOfURLs) {
		return false
	}
	if origin(u) != origin(server) || u.RawQuery != "" && u.RawQuery != server.RawQuery {
		return false
	}
	wide, narrow := strings.TrimRight(path(u), "/"), strings.TrimRight(path(server), "/")
	return narrow == wide || strings.HasPrefix(narrow, wide+"/")
}
