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
	to, err := url.Parse(target)
	if err != nil {
		return nil, err
	}
	proxy := &httputil.ReverseProxy{
		FlushInterval: -1,
		Transport:     &http.Transport{MaxIdleConnsPerHost: 64},
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = r.In.Host
			for name, values := range header {
				r.Out.Header[name] = values
			}
		},
	}
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The body is read before it is passed on: an answer that overtakes the end of its request is cut off by a ReverseProxy (golang/go#40747).
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client is gone
		}
		r.Body = http.NoBody
		if len(body) > 0 {
			r.Body = io.NopCloser(bytes.NewReader(body))
		}
		r.ContentLength, r.TransferEncoding = int64(len(body)), nil
		proxy.ServeHTTP(w, r)
	})), nil
}
