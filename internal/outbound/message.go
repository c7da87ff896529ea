package outbound

import (
	"errors"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// calm is the size of a message that a socket takes without waiting for its reader. Over TLS no larger body goes the direct way, for there what was written cannot be told from what waits.
const calm = 16 << 10

// maxDirectBody is the largest body that goes the direct way in the clear.
const maxDirectBody = 256 << 10

// message is a request as it is written: in one piece.
type message struct {
	text   []byte
	body   int // bytes of it that are still to be read
	buffer *[]byte
}

// maxKept is the largest buffer that is kept for the next message.
const maxKept = 128 << 10

var messageBuffers = sync.Pool{New: func() any {
	buffer := make([]byte, 0, 2<<10)
	return &buffer
}}

// begin writes the head of a request and says whether it can go the direct way. What is out of the ordinary or not valid is left to net/http, with all that it knows of both.
func (m *message) begin(r *http.Request) bool {
	if !ordinary(r) || !plainURL(r.URL) {
		return false
	}
	host := r.Host
	if host == "" {
		host = r.URL.Host
	}
	target := r.URL.RequestURI()
	if !plainHost(host) || !visible(target) {
		return false
	}
	m.buffer = messageBuffers.Get().(*[]byte)
	m.text = (*m.buffer)[:0]
	m.add(r.Method, " ", target, " HTTP/1.1\r\nHost: ", host, "\r\n")
	if !m.headers(r.Header) {
		return false
	}
	m.body = int(r.ContentLength)
	if m.body > 0 || r.Method == http.MethodPost {
		m.add("Content-Length: ")
		m.text = strconv.AppendInt(m.text, r.ContentLength, 10)
		m.add("\r\n")
	}
	m.add("\r\n")
	return true
}

func (m *message) add(text ...string) {
	for _, t := range text {
		m.text = append(m.text, t...)
	}
}

// ordinary judges a request without its URL and headers.
func ordinary(r *http.Request) bool {
	switch r.Method {
	case http.MethodPost, http.MethodGet, http.MethodDelete:
	default:
		return false
	}
	if r.URL == nil || r.Header == nil || r.Close || len(r.TransferEncoding) > 0 || len(r.Trailer) > 0 || canceled(r) {
		return false
	}
	if r.Body == nil || r.Body == http.NoBody {
		return r.ContentLength == 0
	}
	most := int64(maxDirectBody)
	if r.URL.Scheme != "http" {
		most = calm
	}
	return 0 < r.ContentLength && r.ContentLength <= most && r.GetBody != nil
}

func plainURL(u *url.URL) bool {
	return (u.Scheme == "http" || u.Scheme == "https") && u.Opaque == "" && plainHost(u.Host)
}

// plainHost accepts names and addresses in ASCII with an optional port; zones, empty ports and names in other scripts are for net/http.
func plainHost(host string) bool {
	for i := range len(host) {
		switch c := host[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '.', c == '_', c == ':', c == '[', c == ']':
		default:
			return false
		}
	}
	return host != "" && host[0] != ':' && host[len(host)-1] != ':'
}

// visible says that a text has no space, control character or byte beyond ASCII, so that it cannot end the line or the word that it stands in.
func visible(text string) bool {
	for i := range len(text) {
		if text[i] <= ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}

// standardAgent is what net/http calls itself.
const standardAgent = "Go-http-client/1.1"

// headers writes the headers of a request, if they are ordinary ones.
func (m *message) headers(headers http.Header) bool {
	agent := standardAgent
	for name, values := range headers {
		switch name {
		case "Host", "Content-Length": // they follow from the request
			continue
		case "User-Agent":
			agent = headers.Get(name)
			continue
		case "Connection", "Proxy-Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Expect":
			return false
		}
		if known, ok := usualNames[name]; (!ok || known != name) && (!token(name) || http.CanonicalHeaderKey(name) != name) {
			return false
		}
		for _, value := range values {
			if !m.header(name, value) {
				return false
			}
		}
	}
	return agent == "" || m.header("User-Agent", agent)
}

func (m *message) header(name, value string) bool {
	if !safeValue(value) {
		return false
	}
	m.add(name, ": ", textproto.TrimString(value), "\r\n")
	return true
}

// token says that a text can be the name of a header.
func token(name string) bool {
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0:
		default:
			return false
		}
	}
	return name != ""
}

// safeValue says that a text can be the value of a header: it has no control character but tabs.
func safeValue(value string) bool {
	for i := range len(value) {
		if c := value[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

var (
	errShortBody = errors.New("the body of the request is shorter than its Content-Length")
	errLongBody  = errors.New("the body of the request is longer than its Content-Length")
)

// fill reads the body of the request, once: a second attempt sends the same bytes.
func (m *message) fill(body io.Reader) error {
	if m.body == 0 {
		return nil
	}
	if known, ok := body.(Announced); ok {
		return m.take(known)
	}
	head := len(m.text)
	m.text = slices.Grow(m.text, m.body+1)[:head+m.body]
	_, err := io.ReadFull(body, m.text[head:])
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return errShortBody
	}
	if err != nil {
		return err
	}
	m.body = 0
	switch _, err = io.ReadFull(body, m.text[len(m.text):len(m.text)+1]); err {
	case io.EOF:
		return nil
	case nil:
		return errLongBody
	}
	return err
}

// take is fill for a body that lies in memory.
func (m *message) take(body Announced) error {
	head := len(m.text)
	m.text = body.AppendTo(slices.Grow(m.text, m.body))
	switch got := len(m.text) - head; {
	case got < m.body:
		return errShortBody
	case got > m.body:
		return errLongBody
	}
	m.body = 0
	return nil
}

// free gives the buffer back; it may be called twice.
func (m *message) free() {
	if m.buffer != nil && cap(m.text) <= maxKept {
		*m.buffer = m.text
		messageBuffers.Put(m.buffer)
	}
	m.text, m.buffer = nil, nil
}

// giveAway leaves the buffer to whoever still writes from it.
func (m *message) giveAway() { m.text, m.buffer = nil, nil }

// canceled says that a request can be ended in the old way, which only net/http knows.
func canceled(r *http.Request) bool {
	return r.Cancel != nil //lint:ignore SA1019 it is looked at so that it is respected
}
