//go:build unix

package outbound_test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"syscall"
	"testing"

	"mcpsidecar/internal/outbound"
)

// BenchmarkRoundTrip is why small requests go the direct way: the same call against a server that costs next to nothing, through net/http and directly. What counts is the processor time.
func BenchmarkRoundTrip(b *testing.B) {
	url, payload := rawServer(b), bytes.Repeat([]byte("x"), 1<<10)
	for _, together := range []int{1, 16} {
		for _, way := range []string{"net-http", "direct"} {
			b.Run(way+"/together="+strconv.Itoa(together), func(b *testing.B) {
				c, err := outbound.New(outbound.Config{AllowPrivate: loopback})
				if err != nil {
					b.Fatal(err)
				}
				defer c.CloseIdleConnections()
				var transport http.RoundTripper = c.Transport
				if way == "net-http" {
					transport = outbound.Other(c)
				}
				b.ReportAllocs()
				before := processorTime(b)
				var done sync.WaitGroup
				for range together {
					done.Go(func() { trips(b, transport, url, payload, b.N/together+1) })
				}
				done.Wait()
				b.ReportMetric(float64(processorTime(b)-before)/float64(b.N), "cpu-ns/op")
			})
		}
	}
}

// processorTime is what this process, server included, has used so far.
func processorTime(b *testing.B) int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return usage.Utime.Nano() + usage.Stime.Nano()
}

func trips(b *testing.B, transport http.RoundTripper, url string, payload []byte, n int) {
	space := make([]byte, 4<<10)
	for range n {
		request, _ := http.NewRequestWithContext(b.Context(), http.MethodPost, url, bytes.NewReader(payload))
		request.Header["Content-Type"] = []string{"application/json"}
		answer, err := transport.RoundTrip(request)
		if err != nil {
			b.Error(err)
			return
		}
		io.CopyBuffer(struct{ io.Writer }{io.Discard}, answer.Body, space)
		answer.Body.Close()
	}
}

// rawServer answers requests of 1 KiB without looking at them.
func rawServer(b *testing.B) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1024\r\n\r\n" + string(bytes.Repeat([]byte("y"), 1<<10)))
	var ended sync.WaitGroup
	ended.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			ended.Go(func() { answerAll(c, answer) })
		}
	})
	b.Cleanup(func() {
		listener.Close()
		ended.Wait()
	})
	return "http://" + listener.Addr().String() + "/"
}

func answerAll(c net.Conn, answer []byte) {
	defer c.Close()
	r := bufio.NewReader(c)
	for {
		for size := 0; size != len("\r\n"); {
			line, err := r.ReadSlice('\n')
			if err != nil {
				return
			}
			size = len(line)
		}
		if _, err := r.Discard(1 << 10); err != nil {
			return
		}
		if _, err := c.Write(answer); err != nil {
			return
		}
	}
}
