package main

import (
	"bytes"
	"io"
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
	return (&http.Server{Handler: readFirst(proxy)}).Serve(listener)
}

// smallBody is the largest body that readFirst reads.
const smallBody = 4 << 10

// readFirst reads a small body before the proxy dials: otherwise some large answers arrive cut (golang/go#40747), and then nothing can be compared.
func readFirst(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n := r.ContentLength; 0 < n && n <= smallBody {
			body := make([]byte, n)
			if _, err := io.ReadFull(r.Body, body); err != nil {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
		}
		next.ServeHTTP(w, r)
	})
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
