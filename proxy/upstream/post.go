package upstream

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// blank is copied for every request and never changed.
var blank = &http.Request{Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}

// request makes an HTTP request of headers and a body that are already built; b may be nil.
func (s *Server) request(ctx context.Context, method string, target *url.URL, h http.Header, b *body) *http.Request {
	request := blank.WithContext(ctx) // the one way to give a request its context without reading the URL again
	request.Method, request.URL, request.Host, request.Header = method, target, target.Host, h
	if b != nil {
		request.Body, request.GetBody, request.ContentLength = b.reader(), b.again, int64(b.size)
	}
	return request
}

// post sends a message over a link. A 401 is answered once with fresh credentials, if there are any.
func (c *Conn) post(ctx context.Context, l *link, b *body, call *Call) (*http.Response, *Failure) {
	target := c.server.endpoint
	if l.stream != nil {
		target = l.stream.target
	}
	return c.withCredentials(ctx, func(credentials http.Header) (*http.Response, *Failure) {
		h := c.server.header(credentials, l)
		h["Accept"], h["Content-Type"] = bothTypes, jsonType
		if l.era == Modern && call.Method != "" {
			mirror(h, call)
		}
		return c.roundTrip(ctx, http.MethodPost, target, h, b)
	})
}

// withCredentials sends with the credentials at hand and, after a 401, once more if fresh ones differ: the request did not run.
func (c *Conn) withCredentials(ctx context.Context, send func(http.Header) (*http.Response, *Failure)) (*http.Response, *Failure) {
	credentials, err := c.cfg.Header(ctx, false)
	if err != nil {
		return nil, c.noCredentials(ctx, err)
	}
	response, failure := send(credentials)
	if failure != nil || response.StatusCode != http.StatusUnauthorized {
		return response, failure
	}
	fresh, err := c.cfg.Header(ctx, true)
	if err != nil || sameHeaders(credentials, fresh) {
		return response, nil
	}
	discard(response)
	return send(fresh)
}

func (c *Conn) noCredentials(ctx context.Context, err error) *Failure {
	if ctx.Err() != nil {
		return c.server.ended(ctx, false)
	}
	return c.server.failure(Credential, false, err)
}

// roundTrip sends one HTTP request and returns its response, whatever its status. b may be nil. It tries a second time if the connection turns out to have been closed by the server before anything was
// sent on it; net/http itself does so only where it wrote nothing at all.
func (c *Conn) roundTrip(ctx context.Context, method string, target *url.URL, h http.Header, b *body) (*http.Response, *Failure) {
	for again := true; ; again = false {
		if b != nil {
			b.unsent()
		}
		response, err := c.server.transport.RoundTrip(c.server.request(ctx, method, target, h, b))
		if err == nil {
			return response, nil
		}
		if again && ctx.Err() == nil && closedBefore(err) {
			continue
		}
		return nil, c.server.broken(ctx, b != nil && b.wasSent(), err)
	}
}

// closedBefore recognises net/http's error for a pooled connection whose end it had already read when the request was handed to it: nobody was there to run it.
func closedBefore(err error) bool {
	return strings.Contains(err.Error(), "server closed idle connection")
}

// errEarlyEnd: a stream or body ended before what it had to bring.
var errEarlyEnd = errors.New("the answer ended early")

// earlyEnd words the end of a body as an error.
func earlyEnd(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return errEarlyEnd
	}
	return err
}
