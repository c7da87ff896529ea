package front

import (
	"net/http"
	"net/url"
	"strings"
)

const (
	maxTarget  = 8 << 10
	maxHeaders = 16 << 10
)

// judge says why a request reaches no handler, or nil.
func (g *Gate) judge(r *http.Request) *refusal {
	switch {
	case !g.own.host(r):
		return foreignHost
	case !g.own.origin(r):
		return foreignOrigin
	case len(r.RequestURI) > maxTarget:
		return longTarget
	case headerSize(r.Header) > maxHeaders:
		return largeHeaders
	case !plainPath(r.URL):
		return badTarget
	case encoded(r.Header):
		return encodedBody
	}
	return nil
}

// headerSize is about what the headers were on the wire: each with a colon, a space and the end of the line.
func headerSize(header http.Header) int {
	size := 0
	for name, values := range header {
		for _, value := range values {
			size += len(name) + len(value) + len(": \r\n")
		}
	}
	return size
}

// plainPath says whether everybody reads this path the same way. Cleaning it would mean to serve something that was not asked for.
func plainPath(target *url.URL) bool {
	if !strings.HasPrefix(target.Path, "/") || disguised(target.RawPath) {
		return false
	}
	for rest := target.Path[1:]; rest != ""; {
		segment, more, found := strings.Cut(rest, "/")
		if segment == "" || segment == "." || segment == ".." || strings.ContainsFunc(segment, crooked) {
			return false
		}
		if found && more == "" {
			return true // a slash at the end
		}
		rest = more
	}
	return true
}

// disguised finds separators that are written as escapes. A path whose plain spelling was used has no raw form.
func disguised(raw string) bool {
	if raw == "" {
		return false
	}
	raw = strings.ToLower(raw)
	return strings.Contains(raw, "%2f") || strings.Contains(raw, "%5c")
}

// crooked finds what no path of ours has: backslashes, control characters, and percent signs, which in a decoded path are a second layer of escapes.
func crooked(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' || r == '%' }

// encoded says whether the body is compressed or otherwise encoded.
func encoded(header http.Header) bool {
	for _, value := range header["Content-Encoding"] {
		if value != "" && !strings.EqualFold(value, "identity") {
			return true
		}
	}
	return false
}
