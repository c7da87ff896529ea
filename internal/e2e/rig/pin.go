package rig

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
)

// modernVersion is the first revision without sessions.
const modernVersion = "2026-07-28"

// ModernOnly stands before a server of both eras and lets through what is of the newer one only. The caller closes it.
func ModernOnly(target string) (*httptest.Server, error) {
	return pin(target, true, `{"jsonrpc":"2.0","id":null,"error":{"code":-32022,"message":"Unsupported protocol version","data":{"supported":["2026-07-28"]}}}`)
}

// LegacyOnly stands before a server of both eras and lets through what is of the older one only. The caller closes it.
func LegacyOnly(target string) (*httptest.Server, error) {
	return pin(target, false, `{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"Bad Request: No valid session ID provided"}}`)
}

func pin(target string, modern bool, refusal string) (*httptest.Server, error) {
	to, err := url.Parse(target)
	if err != nil {
		return nil, err
	}
	proxy := &httputil.ReverseProxy{
		FlushInterval: -1,
		Transport:     &http.Transport{MaxIdleConnsPerHost: 64},
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.URL.Path = to.Scheme, to.Host, to.Path
			r.Out.Host = to.Host
		},
	}
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client is gone
		}
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		switch {
		case r.Method == http.MethodPost && isModern(body) == modern, r.Method != http.MethodPost && !modern:
			proxy.ServeHTTP(w, r)
		case r.Method != http.MethodPost:
			w.WriteHeader(http.StatusMethodNotAllowed)
		default:
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			io.WriteString(w, refusal)
		}
	})), nil
}

// isModern says whether a message carries its protocol version.
func isModern(body []byte) bool {
	var message struct {
		Params struct {
			Meta struct {
				Version string `json:"io.modelcontextprotocol/protocolVersion"`
			} `json:"_meta"`
		}
	}
	return json.Unmarshal(body, &message) == nil && message.Params.Meta.Version >= modernVersion
}
