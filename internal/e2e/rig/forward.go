package rig

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
)

// Forwarder stands before a server for clients that cannot send a token, and adds headers to what they send. Everything else passes as it came, Host and Origin included.
// The caller closes it.
func Forwarder(target string, header http.Header) (*httptest.Server, error) {
	return forwarder(target, func(r *http.Request, body []byte) []byte {
		for name, values := range header {
			r.Header[name] = values
		}
		return body
	}, nil)
}

// forwarder passes on what change makes of a request, and of its body, and what answer, if there is one, makes of the response.
func forwarder(target string, change func(r *http.Request, body []byte) []byte, answer func(*http.Response) error) (*httptest.Server, error) {
	to, err := url.Parse(target)
	if err != nil {
		return nil, err
	}
	proxy := &httputil.ReverseProxy{
		FlushInterval:  -1,
		Transport:      &http.Transport{MaxIdleConnsPerHost: 64},
		ModifyResponse: answer,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = r.In.Host
		},
	}
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The body is read before it is passed on: an answer that overtakes the end of its request is cut off by a ReverseProxy (golang/go#40747).
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client is gone
		}
		body = change(r, body)
		r.Body = http.NoBody
		if len(body) > 0 {
			r.Body = io.NopCloser(bytes.NewReader(body))
		}
		r.ContentLength, r.TransferEncoding = int64(len(body)), nil
		proxy.ServeHTTP(w, r)
	})), nil
}
