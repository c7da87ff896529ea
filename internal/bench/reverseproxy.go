package main

import (
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"
)

// serveReverseProxy is the bar: the standard library's proxy, tuned. It listens on the first of two addresses and forwards to the second.
func serveReverseProxy(addresses string) error {
	listen, to, _ := strings.Cut(addresses, ",")
	target, err := url.Parse(to)
	if err != nil {
		return err
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport: &http.Transport{
			MaxIdleConnsPerHost: 256, IdleConnTimeout: 90 * time.Second, DisableCompression: true,
		},
		BufferPool: newBuffers(),
	}
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	return (&http.Server{Handler: proxy}).Serve(listener)
}

// buffers is the pool that ReverseProxy copies with.
type buffers struct{ free chan []byte }

func newBuffers() *buffers { return &buffers{free: make(chan []byte, 64)} }

func (b *buffers) Get() []byte {
	select {
	case buffer := <-b.free:
		return buffer
	default:
		return make([]byte, 32<<10)
	}
}

func (b *buffers) Put(buffer []byte) {
	select {
	case b.free <- buffer:
	default:
	}
}
