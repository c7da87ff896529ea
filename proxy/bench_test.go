package proxy_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"mcpsidecar/configstore"
	"mcpsidecar/internal/audit"
	"mcpsidecar/internal/caller"
	"mcpsidecar/internal/front"
	"mcpsidecar/internal/metrics"
	"mcpsidecar/internal/secret"
	"mcpsidecar/policy"
	"mcpsidecar/proxy"
)

// canned answers every request without a network, so that what is left is our own work.
type canned struct{ result string }

func (c canned) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	r.Body.Close()
	if err != nil {
		return nil, err
	}
	result := c.result
	switch r.Header.Get("Mcp-Method") {
	case "server/discover":
		result = `{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},"ttlMs":300000,"cacheScope":"public"}`
	case "tools/list":
		result = `{"resultType":"complete","ttlMs":300000,"cacheScope":"public","tools":[` + tool("x") + `]}`
	}
	id, _, _ := bytes.Cut(body[bytes.Index(body, []byte(`"id":`))+5:], []byte(","))
	text := `{"jsonrpc":"2.0","id":` + string(id) + `,"result":` + result + `}`
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}},
		ContentLength: int64(len(text)), Body: io.NopCloser(strings.NewReader(text)), Request: r,
	}, nil
}

// sink takes an answer and forgets it.
type sink struct{ header http.Header }

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) Write(p []byte) (int, error) { return len(p), nil }
func (s *sink) WriteHeader(int)             {}
func (s *sink) Flush()                      {}

// BenchmarkCall is one tools/call from the parsed HTTP request to the written answer, without a network on either side.
func BenchmarkCall(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			handler, token := benchProxy(b, canned{`{"resultType":"complete","content":[{"type":"text","text":"` + strings.Repeat("x", size) + `"}]}`})
			body := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"one__x","arguments":{"query":"cats","limit":10},` + fmt.Sprintf(modernMeta, "{}", "") + `}}`
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				r, _ := http.NewRequest(http.MethodPost, "http://127.0.0.1/mcp", strings.NewReader(body))
				r.RemoteAddr = "127.0.0.1:1"
				r.Header = http.Header{
					"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}, "Authorization": {"Bearer " + token},
					"Mcp-Protocol-Version": {"2026-07-28"}, "Mcp-Method": {"tools/call"}, "Mcp-Name": {"one__x"},
				}
				handler.ServeHTTP(&sink{header: http.Header{}}, r)
			}
		})
	}
}

// BenchmarkCredentials compares what the kinds of credential add to a call: a fresh token of a user's own has to cost what a key costs that an admin stored.
func BenchmarkCredentials(b *testing.B) {
	body := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"one__x","arguments":{"query":"cats","limit":10},` + fmt.Sprintf(modernMeta, "{}", "") + `}}`
	for name, change := range map[string]func(*configstore.Server){
		"none": func(*configstore.Server) {},
		"api_key": func(s *configstore.Server) {
			s.AuthType, s.APIKeyHeader, s.APIKeyValue = configstore.AuthAPIKey, "Authorization", secret.New("k-1")
		},
		"oauth2": oauth,
	} {
		b.Run(name, func(b *testing.B) {
			handler, token := benchProxy(b, canned{`{"resultType":"complete","content":[]}`}, change)
			b.ReportAllocs()
			for b.Loop() {
				r, _ := http.NewRequest(http.MethodPost, "http://127.0.0.1/mcp", strings.NewReader(body))
				r.RemoteAddr = "127.0.0.1:1"
				r.Header = http.Header{
					"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}, "Authorization": {"Bearer " + token},
					"Mcp-Protocol-Version": {"2026-07-28"}, "Mcp-Method": {"tools/call"}, "Mcp-Name": {"one__x"},
				}
				handler.ServeHTTP(&sink{header: http.Header{}}, r)
			}
		})
	}
}

// freshGrants has one token for everybody, which is always fresh.
type freshGrants struct{ token secret.Value }

func (g freshGrants) Token(context.Context, *configstore.Server, string, secret.Value) (secret.Value, error) {
	return g.token, nil
}

func (freshGrants) Why(context.Context, *configstore.Server, string) string           { return "" }
func (freshGrants) NewLink(context.Context, string, string, []string) (string, error) { return "", nil }

func benchProxy(b *testing.B, transport http.RoundTripper, change ...func(*configstore.Server)) (http.Handler, string) {
	log, err := audit.Open(audit.Config{Path: b.TempDir() + "/audit.log"})
	if err != nil {
		b.Fatal(err)
	}
	callers, err := caller.New(caller.Config{})
	if err != nil {
		b.Fatal(err)
	}
	minted := caller.Mint()
	callers.Reload([]configstore.APIToken{{ID: minted.ID, Hash: minted.Hash, Role: "user", User: "alice"}})
	m := metrics.New(metrics.Config{})
	p, err := proxy.New(proxy.Config{
		Callers: callers, Client: &http.Client{Transport: transport}, Metrics: m, Audit: log,
		Grants:   freshGrants{secret.New("Bearer t-1")},
		Baseline: func(_ context.Context, _ string, _ uint64, _ policy.Baseline) error { return nil },
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { p.Close(); log.Close() })
	record := configstore.Server{
		ID: "one", Slug: "one", Transport: configstore.StreamableHTTP, URL: "http://127.0.0.1:1/mcp", AuthType: configstore.AuthNone,
		Rules: policy.Rules{Enabled: true, Availability: policy.DefaultOn, ToolPinning: policy.PinWarn, ToolAllowList: []string{"*"}, ToolDenyList: []string{"drop_*"}},
	}
	for _, c := range change {
		c(&record)
	}
	p.Load(configstore.Snapshot{Revision: 1, Servers: []configstore.Server{record}})
	return front.Wrap(front.Config{Listen: "127.0.0.1:0", Count: m.HTTP}, p), minted.Text
}
