package rig

import (
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
	return httptest.NewServer(&httputil.ReverseProxy{
		FlushInterval: -1,
		Transport:     &http.Transport{MaxIdleConnsPerHost: 64},
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = r.In.Host
			for name, values := range header {
				r.Out.Header[name] = values
			}
		},
	}), nil
}
