package configstore

import (
	"errors"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// icon accepts an emoji, a path or an address of an image. What a page would run instead of show is refused.
func (c *checker) icon(icon string) {
	const field = "icon_url"
	if len(icon) > MaxURL {
		c.add(field, "may have at most %d bytes", MaxURL)
		return
	}
	c.text(field, icon, MaxURL, "")
	scheme, rest, has := strings.Cut(icon, ":")
	if !has || strings.ContainsAny(scheme, "/?#") {
		return // no scheme
	}
	switch scheme = strings.ToLower(scheme); {
	case scheme == "http", scheme == "https":
	case scheme == "data" && strings.HasPrefix(strings.ToLower(rest), "image/"):
	default:
		c.add(field, "must be an emoji, a path, or an http, https or data:image address")
	}
}

// address judges an address by a rule; an empty one is nobody's business here.
func (c *checker) address(field, value string, rule func(*url.URL) error) {
	if value == "" {
		return
	}
	if len(value) > MaxURL {
		c.add(field, "may have at most %d bytes", MaxURL)
		return
	}
	parsed, err := url.Parse(value)
	if err != nil {
		c.add(field, "is not a valid address") // the parser's words repeat the address, with what may be secret in it
		return
	}
	switch err := rule(parsed); {
	case err != nil:
		c.add(field, "%s", err)
	case strings.Contains(value, "#"):
		c.add(field, "may not have a fragment")
	case strings.ContainsAny(value, " \\"):
		c.add(field, "may not contain spaces or backslashes")
	}
}

// webAddress is one that a client can be pointed at.
func webAddress(u *url.URL) error {
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return errors.New("must begin with http:// or https://")
	case u.Hostname() == "" || u.Opaque != "":
		return errors.New("must have a host")
	case u.User != nil:
		return errors.New("may not carry a user name or password: use the auth fields")
	case !validPort(u):
		return errors.New("must have a port between 1 and 65535, or none")
	}
	return nil
}

func validPort(u *url.URL) bool {
	if u.Port() == "" {
		return !strings.HasSuffix(u.Host, ":")
	}
	port, err := strconv.Atoi(u.Port())
	return err == nil && port >= 1 && port <= 65535
}

// secureAddress is one to which a token may be sent.
func secureAddress(u *url.URL) error {
	if err := webAddress(u); err != nil {
		return err
	}
	if u.Scheme == "http" && !loopback(u.Hostname()) {
		return errors.New("must be https (http only on the machine itself)")
	}
	return nil
}

// issuerAddress is an issuer identifier of RFC 8414: without a query.
func issuerAddress(u *url.URL) error {
	if err := webAddress(u); err != nil {
		return err
	}
	if u.RawQuery != "" || u.ForceQuery {
		return errors.New("may not have a query")
	}
	return nil
}

func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.Unmap().IsLoopback()
}
