package outbound

import (
	"errors"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// ErrForbiddenAddress says that a name led to an address that may not be reached. Its wrapping names the host, never the address.
var ErrForbiddenAddress = errors.New("the address is private, loopback, link-local or reserved, and not allowed by --allow-private-cidrs")

// Guard judges addresses. It is immutable.
type Guard struct{ allow []netip.Prefix }

// NewGuard returns a guard that refuses everything that is not globally routable except what allow contains.
func NewGuard(allow []netip.Prefix) *Guard {
	guard := &Guard{allow: make([]netip.Prefix, 0, len(allow))}
	for _, prefix := range allow {
		guard.allow = append(guard.allow, plainPrefix(prefix))
	}
	return guard
}

// plainPrefix turns an IPv4-mapped prefix into the IPv4 one, since addresses are judged unmapped.
func plainPrefix(prefix netip.Prefix) netip.Prefix {
	if prefix.Addr().Is4In6() && prefix.Bits() >= 96 {
		prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96)
	}
	return prefix.Masked()
}

// Check says whether an address may be dialled.
func (g *Guard) Check(address netip.Addr) error {
	if !address.IsValid() {
		return ErrForbiddenAddress
	}
	address = address.Unmap().WithZone("")
	if within(g.allow, address) {
		return nil
	}
	if inner, ok := embedded(address); ok {
		return g.Check(inner)
	}
	if !global(address) {
		return ErrForbiddenAddress
	}
	return nil
}

// What CheckURL can say of a text that is no URL of a server. None of them repeats it: it may hold a password.
var (
	errNoURL       = errors.New("this is not a valid URL")
	errScheme      = errors.New("the URL must begin with http:// or https://")
	errNoHost      = errors.New("the URL names no host")
	errBadHost     = errors.New("the host of the URL is neither a name nor a complete IP address")
	errBadPort     = errors.New("the port of the URL is not between 1 and 65535")
	errUserinfo    = errors.New("the URL must not contain a user name or password")
	errHasFragment = errors.New("the URL must not contain a fragment (#)")
)

// CheckURL judges what can be judged of a URL before it is dialled, for early errors in the management API: scheme http or https, a host, no userinfo, no fragment, and if
// the host is an address literal, that address. Of localhost the addresses are known, too.
func (g *Guard) CheckURL(raw string) error {
	parsed, err := url.Parse(raw)
	switch {
	case err != nil:
		return errNoURL
	case parsed.Scheme != "http" && parsed.Scheme != "https":
		return errScheme
	case parsed.Hostname() == "":
		return errNoHost
	case parsed.User != nil:
		return errUserinfo
	case strings.Contains(raw, "#"):
		return errHasFragment
	case !validPort(parsed):
		return errBadPort
	}
	return g.checkHost(parsed.Hostname())
}

func validPort(parsed *url.URL) bool {
	if parsed.Port() == "" {
		return true
	}
	port, err := strconv.ParseUint(parsed.Port(), 10, 16)
	return err == nil && port > 0
}

func (g *Guard) checkHost(host string) error {
	if address, err := netip.ParseAddr(host); err == nil {
		return g.Check(address)
	}
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	if numeric(name) || strings.ContainsFunc(name, notOfNames) {
		return errBadHost
	}
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return g.checkLocalhost()
	}
	return nil
}

// checkLocalhost lets the name pass if either of its addresses may be dialled; which one it will be shows when it is dialled.
func (g *Guard) checkLocalhost() error {
	if err := g.Check(netip.IPv6Loopback()); err == nil {
		return nil
	}
	return g.Check(netip.AddrFrom4([4]byte{127, 0, 0, 1}))
}

// notOfNames finds what is in no host name. Characters beyond ASCII may be: which address they lead to shows when it is dialled.
func notOfNames(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', '0' <= r && r <= '9', r > '~':
		return false
	}
	return r != '-' && r != '.' && r != '_'
}

// numeric finds hosts like 127.1, 2130706433 and 0x7f000001, which some resolvers take for addresses: no domain name ends in a label that is a number.
func numeric(name string) bool {
	last := name[strings.LastIndexByte(name, '.')+1:]
	if hex, ok := strings.CutPrefix(last, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return strings.Trim(last, "0123456789") == ""
}
