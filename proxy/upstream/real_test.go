package upstream_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	mcpgo "github.com/mark3labs/mcp-go/mcp"
	mcpgoserver "github.com/mark3labs/mcp-go/server"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"go.uber.org/goleak"

	"mcpsidecar/proxy/rpc"
	"mcpsidecar/proxy/upstream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type echo struct {
	Text string `json:"text"`
}

// sdkServer is a go-sdk server: stateful ones are legacy, stateless ones modern.
func sdkServer(t *testing.T, stateless bool) string {
	server := mcp.NewServer(&mcp.Implementation{Name: "sdk", Version: "1"}, nil)
	mcp.AddTool(server, &mcp.Tool{Name: "echo"}, func(ctx context.Context, r *mcp.CallToolRequest, in echo) (*mcp.CallToolResult, any, error) {
		if token := r.Params.GetProgressToken(); token != nil {
			r.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{ProgressToken: token, Progress: 1})
		}
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: in.Text}}}, nil, nil
	})
	handler := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, &mcp.StreamableHTTPOptions{Stateless: stateless})
	return serve(t, handler)
}

func mcpGoServer() *mcpgoserver.MCPServer {
	server := mcpgoserver.NewMCPServer("mcp-go", "1")
	server.AddTool(mcpgo.NewTool("echo", mcpgo.WithString("text")), func(ctx context.Context, r mcpgo.CallToolRequest) (*mcpgo.CallToolResult, error) {
		return mcpgo.NewToolResultText(r.GetString("text", "")), nil
	})
	return server
}

func serve(t testing.TB, h http.Handler) string {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func TestRealServers(t *testing.T) {
	sse := func(t *testing.T) string {
		s := httptest.NewUnstartedServer(nil)
		s.Config.Handler = mcpgoserver.NewSSEServer(mcpGoServer())
		s.Start()
		t.Cleanup(s.Close)
		return s.URL + "/sse"
	}
	for _, server := range []struct {
		name  string
		start func(*testing.T) string
		sse   bool
		era   upstream.Era
	}{
		{"go-sdk with sessions", func(t *testing.T) string { return sdkServer(t, false) }, false, upstream.Legacy},
		{"go-sdk without sessions", func(t *testing.T) string { return sdkServer(t, true) }, false, upstream.Modern},
		{"mcp-go streamable", func(t *testing.T) string {
			return serve(t, mcpgoserver.NewStreamableHTTPServer(mcpGoServer())) + "/mcp"
		}, false, upstream.Modern},
		{"mcp-go SSE", sse, true, upstream.Legacy},
	} {
		t.Run(server.name, func(t *testing.T) {
			url := server.start(t)
			s, err := upstream.New(upstream.Config{Slug: "real", URL: url, SSE: server.sse, Client: &http.Client{Transport: &http.Transport{}}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(s.Close)
			c := s.Conn(upstream.ConnConfig{Header: func(context.Context, bool) (http.Header, error) { return nil, nil }})
			info, err := c.Info(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if info.Era != server.era {
				t.Fatalf("the era is %s, want %s", info.Era, server.era)
			}
			tools, _, _, err := c.List(t.Context(), "tools/list", "tools")
			if err != nil || len(tools) != 1 {
				t.Fatalf("listed %d tools: %v", len(tools), err)
			}
			e, err := c.Do(t.Context(), upstream.Call{Method: "tools/call", Name: "echo", Progress: true, Params: []rpc.Member{
				{Name: "name", Value: []byte(`"echo"`)}, {Name: "arguments", Value: []byte(`{"text":"hello"}`)}}})
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			for {
				m, err := e.Next()
				if err != nil {
					t.Fatal(err)
				}
				t.Logf("%v %s %s %s", m.Kind, m.Method, m.Params, m.Result)
				if m.Kind == rpc.Response {
					var result struct{ Content []echo }
					if err := json.Unmarshal(m.Result, &result); err != nil || result.Content[0].Text != "hello" {
						t.Fatalf("got %s: %v", m.Result, err)
					}
					break
				}
			}
		})
	}
}
