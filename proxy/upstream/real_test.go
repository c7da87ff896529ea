package upstream_test

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"testing"
	"time"

	mcpgo "github.com/mark3labs/mcp-go/mcp"
	mcpgoserver "github.com/mark3labs/mcp-go/server"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"mcpsidecar/proxy/rpc"
	"mcpsidecar/proxy/upstream"
)

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

func TestRealServers(t *testing.T) {
	sse := func(t *testing.T) string { return serve(t, mcpgoserver.NewSSEServer(mcpGoServer())) + "/sse" }
	for _, server := range []struct {
		name   string
		start  func(*testing.T) string
		sse    bool
		era    upstream.Era
		before []string
	}{
		{"go-sdk with sessions", func(t *testing.T) string { return sdkServer(t, false) }, false, upstream.Legacy, []string{"notifications/progress"}},
		{"go-sdk without sessions", func(t *testing.T) string { return sdkServer(t, true) }, false, upstream.Modern, []string{"notifications/progress"}},
		{"mcp-go streamable", func(t *testing.T) string {
			return serve(t, mcpgoserver.NewStreamableHTTPServer(mcpGoServer())) + "/mcp"
		}, false, upstream.Modern, nil},
		{"mcp-go SSE", sse, true, upstream.Legacy, nil},
	} {
		t.Run(server.name, func(t *testing.T) {
			url := server.start(t)
			c := connect(t, url, func(c *upstream.Config) { c.SSE = server.sse }).Conn
			info, err := c.Info(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if info.Era != server.era {
				t.Fatalf("the era is %s, want %s", info.Era, server.era)
			}
			if info.Capabilities == nil || info.ServerInfo == nil {
				t.Errorf("the server has not introduced itself: %+v", info)
			}
			tools, _, _, err := c.List(t.Context(), "tools/list", "tools")
			if err != nil || len(tools) != 1 {
				t.Fatalf("listed %d tools: %v", len(tools), err)
			}
			before, last, failure := finish(t, c, upstream.Call{Method: "tools/call", Name: "echo", Progress: true, Params: []rpc.Member{
				{Name: "name", Value: []byte(`"echo"`)}, {Name: "arguments", Value: []byte(`{"text":"hello"}`)}}})
			if failure != nil {
				t.Fatal(failure)
			}
			var result struct{ Content []echo }
			if err := json.Unmarshal(last.Result, &result); err != nil || len(result.Content) != 1 || result.Content[0].Text != "hello" {
				t.Errorf("the answer is %s: %v", last.Result, err)
			}
			if !slices.Equal(before, server.before) {
				t.Errorf("before the answer came %q, want %q", before, server.before)
			}
		})
	}
}

// Real servers tell changes of their lists on the standing stream of their kind.
func TestRealServersTellChanges(t *testing.T) {
	type server struct {
		url    string
		sse    bool
		change func()
	}
	sdk := func(t *testing.T, stateless bool) server {
		s := mcp.NewServer(&mcp.Implementation{Name: "sdk", Version: "1"}, nil)
		add := func(name string) {
			mcp.AddTool(s, &mcp.Tool{Name: name}, func(context.Context, *mcp.CallToolRequest, echo) (*mcp.CallToolResult, any, error) {
				return nil, nil, nil
			})
		}
		add("first")
		handler := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return s }, &mcp.StreamableHTTPOptions{Stateless: stateless})
		return server{serve(t, handler), false, func() { add("second") }}
	}
	mcpGo := func(s *mcpgoserver.MCPServer, url string, sse bool) server {
		return server{url, sse, func() { s.AddTool(mcpgo.NewTool("second"), nil) }}
	}
	for _, tt := range []struct {
		name  string
		start func(t *testing.T) server
	}{
		{"go-sdk with sessions", func(t *testing.T) server { return sdk(t, false) }},
		{"go-sdk without sessions", func(t *testing.T) server { return sdk(t, true) }},
		{"mcp-go streamable", func(t *testing.T) server {
			s := mcpGoServer()
			return mcpGo(s, serve(t, mcpgoserver.NewStreamableHTTPServer(s))+"/mcp", false)
		}},
		{"mcp-go SSE", func(t *testing.T) server {
			s := mcpGoServer()
			return mcpGo(s, serve(t, mcpgoserver.NewSSEServer(s))+"/sse", true)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			real := tt.start(t)
			s := connect(t, real.url, func(c *upstream.Config) { c.SSE = real.sse })
			done := make(chan error, 1)
			_, heard := listener(t, s, done)
			for changing := true; changing; {
				real.change() // again until it is heard: when the stream is open is for the server to know
				select {
				case method := <-heard:
					if method != toolsChanged {
						t.Errorf("heard %s", method)
					}
					changing = false
				case <-time.After(20 * time.Millisecond):
				}
			}
			s.Server.Close()
			<-done
		})
	}
}

// A call that is given up ends in the handler of a real server too.
func TestRealServersLearnOfCancellation(t *testing.T) {
	for name, stateless := range map[string]bool{"with sessions": false, "without sessions": true} {
		t.Run(name, func(t *testing.T) {
			server := mcp.NewServer(&mcp.Implementation{Name: "sdk", Version: "1"}, nil)
			began, ended := make(chan struct{}), make(chan struct{})
			mcp.AddTool(server, &mcp.Tool{Name: "wait"}, func(ctx context.Context, r *mcp.CallToolRequest, _ struct{}) (*mcp.CallToolResult, any, error) {
				close(began)
				<-ctx.Done()
				close(ended)
				return nil, nil, ctx.Err()
			})
			s := connect(t, serve(t, mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server },
				&mcp.StreamableHTTPOptions{Stateless: stateless, PropagateRequestCancellation: true})))
			ctx, leave := context.WithCancel(t.Context())
			failed := make(chan error)
			go func() {
				failed <- read(s.Conn, ctx, upstream.Call{Method: "tools/call", Name: "wait", Params: []rpc.Member{
					{Name: "name", Value: []byte(`"wait"`)}, {Name: "arguments", Value: []byte(`{}`)}}})
			}()
			<-began
			leave()
			wantFailure(t, asFailure(t, <-failed), upstream.Canceled, true)
			<-ended
		})
	}
}
