package outbound_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"mcpsidecar/internal/outbound"
)

// BenchmarkBuffers is why the buffers of a connection stay small: one call with a body of each size in both directions, over the sizes of the write and read buffers.
func BenchmarkBuffers(b *testing.B) {
	for _, body := range []int{1 << 10, 64 << 10, 1 << 20} {
		payload := bytes.Repeat([]byte("x"), body)
		for _, buffer := range []int{4 << 10, 16 << 10, 64 << 10} {
			b.Run(fmt.Sprintf("body=%dKiB/buffer=%dKiB", body>>10, buffer>>10), func(b *testing.B) { call(b, payload, buffer) })
		}
	}
}

func call(b *testing.B, payload []byte, buffer int) {
	s := benchServer(b, len(payload))
	c, err := outbound.New(outbound.Config{AllowPrivate: loopback})
	if err != nil {
		b.Fatal(err)
	}
	defer c.CloseIdleConnections()
	transport := outbound.Other(c)
	c.Transport = transport
	transport.WriteBufferSize, transport.ReadBufferSize = buffer, buffer
	space := make([]byte, 64<<10)
	b.SetBytes(int64(2 * len(payload)))
	b.ReportAllocs()
	for b.Loop() {
		answer, err := c.Post(s, "application/json", bytes.NewReader(payload))
		if err != nil {
			b.Fatal(err)
		}
		io.CopyBuffer(struct{ io.Writer }{io.Discard}, answer.Body, space)
		answer.Body.Close()
	}
}

// benchServer answers every request with as many bytes as it is sent.
func benchServer(b *testing.B, size int) string {
	space, answer := make(chan []byte, 64), bytes.Repeat([]byte("y"), size)
	for range cap(space) {
		space <- make([]byte, 64<<10)
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		buffer := <-space
		io.CopyBuffer(struct{ io.Writer }{io.Discard}, r.Body, buffer)
		space <- buffer
		w.Write(answer)
	}))
	b.Cleanup(s.Close)
	return s.URL
}

var (
	publicV4 = netip.MustParseAddr("8.8.8.8")
	publicV6 = netip.MustParseAddr("2606:4700:4700::1111")
)

// BenchmarkCheck is what the guard adds to a dial.
func BenchmarkCheck(b *testing.B) {
	guard := outbound.NewGuard(loopback)
	for b.Loop() {
		if guard.Check(publicV4) != nil || guard.Check(publicV6) != nil {
			b.Fatal("a public address was refused")
		}
	}
}
