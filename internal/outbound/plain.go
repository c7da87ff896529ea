package outbound

import (
	"bytes"
	"io"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
)

// plainHead reads the head of an answer that is as plain as nearly all of them are, out of a buffer in which the whole of it lies: HTTP/1.1, a status with a body, one length, and nothing said of the connection or of
// another encoding. Of any other it says no, and net/http judges it. size is the head's length.
func plainHead(buffered []byte) (answer *http.Response, size int, ok bool) {
	end := bytes.Index(buffered, endOfHead)
	if end < 0 || !bytes.HasPrefix(buffered, plainProtocol) {
		return nil, 0, false
	}
	line, rest, _ := strings.Cut(string(buffered[:end]), "\r\n")
	status, ok := plainStatus(line[len(plainProtocol):])
	if !ok || rest == "" {
		return nil, 0, false
	}
	answer = &http.Response{Status: line[len(plainProtocol):], StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, ContentLength: -1}
	values := make([]string, strings.Count(rest, "\n")+1)
	answer.Header = make(http.Header, len(values))
	for more := true; more; {
		if line, rest, more = strings.Cut(rest, "\r\n"); !plainLine(answer, line, values) {
			return nil, 0, false
		}
		values = values[1:]
	}
	return answer, end + len(endOfHead), answer.ContentLength >= 0
}

var (
	plainProtocol = []byte("HTTP/1.1 ")
	endOfHead     = []byte("\r\n\r\n")
)

// plainStatus reads "200 OK".
func plainStatus(text string) (int, bool) {
	if len(text) < 4 || text[3] != ' ' || !safeValue(text) {
		return 0, false
	}
	status, err := strconv.ParseUint(text[:3], 10, 16)
	if err != nil || status < 200 || status > 599 || status == http.StatusNoContent || status == http.StatusNotModified {
		return 0, false
	}
	return int(status), true
}

// plainLine takes one header; room is where its value may stay.
func plainLine(answer *http.Response, line string, room []string) bool {
	name, value, ok := strings.Cut(line, ":")
	if !ok || !token(name) || !safeValue(value) {
		return false
	}
	name, value = usualName(name), textproto.TrimString(value)
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding", "Trailer", "Upgrade", "Pragma":
		return false
	case "Content-Length":
		length, err := strconv.ParseUint(value, 10, 62)
		if err != nil || answer.ContentLength >= 0 {
			return false
		}
		answer.ContentLength = int64(length)
	}
	if before := answer.Header[name]; before != nil {
		answer.Header[name] = append(before, value)
		return true
	}
	room[0] = value
	answer.Header[name] = room[:1:1]
	return true
}

// usualNames are those of headers, in either direction, that need no search for their canonical form.
var usualNames = map[string]string{}

func init() {
	for _, name := range []string{"Content-Type", "Content-Length", "Date", "Server", "Cache-Control", "Vary", "X-Powered-By", "Etag", "Mcp-Session-Id", "Mcp-Protocol-Version", "X-Content-Type-Options", "X-Request-Id",
		"Strict-Transport-Security", "Access-Control-Allow-Origin", "Access-Control-Expose-Headers", "Referrer-Policy", "Connection", "Keep-Alive", "Transfer-Encoding",
		"Accept", "Accept-Encoding", "Authorization", "Mcp-Method", "Mcp-Name"} {
		usualNames[name], usualNames[strings.ToLower(name)] = name, name
	}
}

func usualName(name string) string {
	if known, ok := usualNames[name]; ok {
		return known
	}
	return textproto.CanonicalMIMEHeaderKey(name)
}

// measured reads a body of which the length is known. The last bytes come with io.EOF.
type measured struct {
	source io.Reader
	left   int64
}

func (m *measured) Close() error { return nil }

func (m *measured) Read(p []byte) (int, error) {
	if m.left == 0 {
		return 0, io.EOF
	}
	n, err := m.source.Read(p[:min(int64(len(p)), m.left)])
	m.left -= int64(n)
	switch {
	case m.left == 0:
		err = io.EOF
	case err == io.EOF:
		err = io.ErrUnexpectedEOF
	}
	return n, err
}
