package front

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// own is what this program is called from outside.
type own struct {
	any    bool     // every Host is ours: the listener is not on loopback, so there may be names that we do not know
	hosts  []string // names and addresses without ports
	public *url.URL // may be nil
}

func newOwn(listen string, public *url.URL) *own {
	o := &own{}
	bound, local := boundTo(listen)
	o.any = !local
	if bound != "" {
		o.hosts = append(o.hosts, bound)
	}
	if local {
		o.hosts = append(o.hosts, "localhost", "127.0.0.1", "::1")
	}
	if public != nil && public.Hostname() != "" {
		o.public = public
		o.hosts = append(o.hosts, public.Hostname())
	}
	return o
}

// boundTo returns the host of a listening address and whether only this machine reaches it. What cannot be read counts as local, which is the stricter.
func boundTo(listen string) (host string, local bool) {
	host, _, err := net.SplitHostPort(listen)
	if err != nil || strings.EqualFold(host, "localhost") {
		return "", true
	}
	address, err := netip.ParseAddr(host)
	if err != nil || address.IsUnspecified() {
		return "", false
	}
	return address.Unmap().WithZone("").String(), address.Unmap().IsLoopback()
}

// host says whether a request is for us. A target in absolute form has been written to name its host, so it has to be one that we know.
func (o *own) host(r *http.Request) bool {
	absolute := r.URL.Host != "" || r.URL.Scheme != ""
	if o.any && !absolute {
		return true
	}
	if absolute && r.URL.Scheme != "http" && r.URL.Scheme != "https" {
		return false
	}
	return o.knows(r.Host) && (!absolute || o.knows(r.URL.Host))
}

func (o *own) knows(authority string) bool {
	host, _, ok := split(authority)
	if !ok {
		return false
	}
	for _, known := range o.hosts {
		if strings.EqualFold(host, known) {
			return true
		}
	}
	return false
}

// origin says whether a request comes from no web page, or from one of ours.
func (o *own) origin(r *http.Request) bool {
	values := r.Header["Origin"]
	if len(values) == 0 {
		return true
	}
	if len(values) > 1 {
		return false
	}
	scheme, authority, ok := strings.Cut(values[0], "://")
	if !ok {
		return false // "null" among others
	}
	if o.public != nil && same(scheme, authority, o.public.Scheme, o.public.Host) {
		return true
	}
	spoken := "http"
	if r.TLS != nil {
		spoken = "https"
	}
	return same(scheme, authority, spoken, r.Host)
}

// same compares two origins. A port that goes without saying may be said.
func same(scheme, authority, otherScheme, otherAuthority string) bool {
	host, port, ok := split(authority)
	otherHost, otherPort, otherOK := split(otherAuthority)
	return ok && otherOK && strings.EqualFold(scheme, otherScheme) && strings.EqualFold(host, otherHost) &&
		portOf(scheme, port) == portOf(scheme, otherPort)
}

func portOf(scheme, port string) string {
	switch {
	case port != "":
		return port
	case strings.EqualFold(scheme, "https"):
		return "443"
	}
	return "80"
}

// split takes host and port apart, strictly: nothing but digits after the colon, and IPv6 in brackets only.
func split(authority string) (host, port string, ok bool) {
	rest := ""
	if inner, found := strings.CutPrefix(authority, "["); found {
		host, rest, found = strings.Cut(inner, "]")
		if !found {
			return "", "", false
		}
	} else if i := strings.IndexByte(authority, ':'); i >= 0 {
		host, rest = authority[:i], authority[i:]
	} else {
		host = authority
	}
	if host == "" || rest == "" {
		return host, "", host != ""
	}
	port, found := strings.CutPrefix(rest, ":")
	return host, port, found && digits(port)
}

func digits(text string) bool {
	return text != "" && len(text) <= 5 && strings.Trim(text, "0123456789") == ""
}
