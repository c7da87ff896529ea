package upstream_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strconv"
	"testing"

	"mcpsidecar/proxy/rpc"
	"mcpsidecar/proxy/upstream"
)

// answers is a legacy server that does as little as possible, and does not allocate for it.
func answers(w http.ResponseWriter, r *http.Request) {
	var room [2048]byte
	n, _ := io.ReadFull(r.Body, room[:])
	m, err := rpc.Read(room[:n])
	switch {
	case err != nil || m.Kind != rpc.Request:
		w.WriteHeader(http.StatusAccepted)
		return
	case m.Method == "server/discover":
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if r.Header.Get("Authorization") == "stream" {
		w.Header()["Content-Type"] = []string{"text/event-stream"}
		for range 10 {
			io.WriteString(w, "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":1,\"progress\":1}}\n\n")
			w.(http.Flusher).Flush()
		}
		w.Write(rpc.AppendEvent(nil, "", rpc.AppendResult(nil, m.ID, []byte(`{"protocolVersion":"2025-11-25","capabilities":{},"content":[]}`))))
		return
	}
	w.Header()["Content-Type"] = []string{"application/json"}
	w.Write(rpc.AppendResult(nil, m.ID, []byte(`{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"x","version":"1"},"content":[]}`)))
}

// BenchmarkCall is one call with its answer, BenchmarkBare the same bytes sent and read by an http.Client alone.
func BenchmarkCall(b *testing.B) { benchmark(b, "Bearer x") }

// BenchmarkStream is one call whose answer comes after ten progress notifications.
func BenchmarkStream(b *testing.B) { benchmark(b, "stream") }

func benchmark(b *testing.B, authorization string) {
	url := serve(b, http.HandlerFunc(answers))
	header := http.Header{"Authorization": {authorization}}
	s, err := upstream.New(upstream.Config{Slug: "bench", URL: url, Client: &http.Client{Transport: &http.Transport{DisableCompression: true}}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(s.Close)
	c := s.Conn(upstream.ConnConfig{Header: func(context.Context, bool) (http.Header, error) { return header, nil }})
	params := []rpc.Member{{Name: "name", Raw: []byte(`"name"`), Value: []byte(`"echo"`)}, {Name: "arguments", Raw: []byte(`"arguments"`), Value: []byte(`{"text":"hello"}`)}}
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	b.ReportAllocs()
	for b.Loop() {
		e, err := c.Do(ctx, upstream.Call{Method: "tools/call", Name: "echo", Params: params})
		if err != nil {
			b.Fatal(err)
		}
		for {
			m, err := e.Next()
			if err != nil {
				b.Fatal(err)
			}
			if m.Kind == rpc.Response {
				break
			}
		}
		e.Close()
	}
}

func BenchmarkBare(b *testing.B) {
	url := serve(b, http.HandlerFunc(answers))
	client := &http.Client{Transport: &http.Transport{DisableCompression: true}}
	b.Cleanup(client.CloseIdleConnections)
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		n++
		text := []byte(`{"jsonrpc":"2.0","id":` + strconv.Itoa(n) + `,"method":"tools/call","params":{"name":"echo","arguments":{"text":"hello"}}}`)
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(text))
		if err != nil {
			b.Fatal(err)
		}
		request.Header = http.Header{"Authorization": {"Bearer x"}, "Accept": {"application/json, text/event-stream"}, "Content-Type": {"application/json"}, "Mcp-Protocol-Version": {"2025-11-25"}, "User-Agent": {"x"}, "Accept-Encoding": {"identity"}}
		response, err := client.Do(request)
		if err != nil {
			b.Fatal(err)
		}
		answer, err := io.ReadAll(response.Body)
		if err != nil {
			b.Fatal(err)
		}
		response.Body.Close()
		if _, err := rpc.Read(answer); err != nil {
			b.Fatal(err)
		}
	}
}
