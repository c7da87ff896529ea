package rig

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
)

// Cutter stands before a server and breaks the connection of every call of a tool after the first event of its answer. Everything else passes as it came. The caller closes it.
type Cutter struct {
	Endpoint string // for clients

	web        *httptest.Server
	cuts, back atomic.Int64
}

// NewCutter makes one before an endpoint.
func NewCutter(endpoint string) (*Cutter, error) {
	target, err := url.Parse(endpoint)
	if err != nil {
		return nil, err
	}
	c := &Cutter{}
	if c.web, err = forwarder(target.Scheme+"://"+target.Host, c.mark, c.answered); err != nil {
		return nil, err
	}
	c.Endpoint = c.web.URL + target.RequestURI()
	return c, nil
}

// Cuts is how many answers were broken off, and Back how often a client came back for the rest of one.
func (c *Cutter) Cuts() int64 { return c.cuts.Load() }
func (c *Cutter) Back() int64 { return c.back.Load() }

// Close ends it.
func (c *Cutter) Close() {
	c.web.CloseClientConnections()
	c.web.Close()
}

// isCall marks the requests whose answers are broken off.
type isCall struct{}

func (c *Cutter) mark(r *http.Request, body []byte) []byte {
	if r.Header.Get("Last-Event-ID") != "" {
		c.back.Add(1)
	}
	if r.Method == http.MethodPost && bytes.Contains(body, []byte(`"tools/call"`)) {
		*r = *r.WithContext(context.WithValue(r.Context(), isCall{}, true))
	}
	return body
}

func (c *Cutter) answered(response *http.Response) error {
	if response.Request.Context().Value(isCall{}) != nil && strings.HasPrefix(response.Header.Get("Content-Type"), "text/event-stream") {
		response.Body = &cutBody{ReadCloser: response.Body, cutter: c}
	}
	return nil
}

// cutBody is a stream that breaks after its first event.
type cutBody struct {
	io.ReadCloser
	cutter *Cutter
	seen   []byte // what was read so far
	over   bool
}

func (b *cutBody) Read(p []byte) (int, error) {
	if b.over {
		b.cutter.cuts.Add(1)
		return 0, io.ErrUnexpectedEOF
	}
	n, err := b.ReadCloser.Read(p)
	before := len(b.seen)
	b.seen = append(b.seen, bytes.ReplaceAll(p[:n], []byte("\r"), nil)...)
	if end := bytes.Index(b.seen, []byte("\n\n")); end >= 0 {
		b.over = true
		if !bytes.Contains(p[:n], []byte("\r")) {
			n = end + len("\n\n") - before // events that came along with the first one are lost, too
		}
		return n, nil
	}
	return n, err
}
