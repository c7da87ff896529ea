package e2e_test

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"

	mcpgoclient "github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	mcpgo "github.com/mark3labs/mcp-go/mcp"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// visitMCPGo visits with the client of mcp-go.
func visitMCPGo(legacy bool) func(context.Context, *http.Client, visit) (outcome, error) {
	return func(ctx context.Context, web *http.Client, v visit) (o outcome, err error) {
		var progress atomic.Int32
		client, err := connectMCPGo(ctx, web, v.URL, legacy)
		if err != nil {
			return o, err
		}
		defer client.Close()
		client.OnNotification(func(n mcpgo.JSONRPCNotification) {
			if n.Method == "notifications/progress" {
				progress.Add(1)
			}
		})
		list, err := client.ListTools(ctx, mcpgo.ListToolsRequest{})
		if err != nil {
			return o, err
		}
		for _, tool := range list.Tools {
			o.Tools = append(o.Tools, tool.Name)
		}
		for _, c := range v.Calls {
			progress.Store(0)
			s := callMCPGo(ctx, client, c)
			s.Progress = reported(ctx, &progress, c)
			o.Calls = append(o.Calls, s)
		}
		return o, nil
	}
}

func connectMCPGo(ctx context.Context, web *http.Client, url string, legacy bool) (*mcpgoclient.Client, error) {
	way, err := transport.NewStreamableHTTP(url, transport.WithHTTPBasicClient(web))
	if err != nil {
		return nil, err
	}
	var options []mcpgoclient.ClientOption
	if legacy {
		//lint:ignore SA1019 there is no other way to speak the older era, and agents do
		options = append(options, mcpgoclient.WithLegacyProtocolOnly())
	}
	client := mcpgoclient.NewClient(way, options...)
	if err := client.Start(ctx); err != nil {
		return nil, err
	}
	var request mcpgo.InitializeRequest
	request.Params.ProtocolVersion = mcpgo.LATEST_PROTOCOL_VERSION
	request.Params.ClientInfo = mcpgo.Implementation{Name: "agent", Version: "1"}
	if _, err := client.Initialize(ctx, request); err != nil {
		client.Close()
		return nil, err
	}
	return client, nil
}

func callMCPGo(ctx context.Context, client *mcpgoclient.Client, c call) (s said) {
	var request mcpgo.CallToolRequest
	request.Params.Name, request.Params.Arguments = c.Name, c.Arguments
	if c.Progress {
		request.Params.Meta = &mcpgo.Meta{ProgressToken: "progress"}
	}
	result, err := client.CallTool(ctx, request)
	if err != nil {
		return said{Error: err.Error()}
	}
	text := ""
	for _, content := range result.Content {
		if part, ok := content.(mcpgo.TextContent); ok {
			text += part.Text
		}
	}
	if result.IsError {
		return said{Error: text}
	}
	return said{Text: text}
}

// visitGoSDK visits with the client of the Go SDK.
func visitGoSDK(version string) func(context.Context, *http.Client, visit) (outcome, error) {
	return func(ctx context.Context, web *http.Client, v visit) (o outcome, err error) {
		var progress atomic.Int32
		client := mcp.NewClient(&mcp.Implementation{Name: "agent", Version: "1"}, &mcp.ClientOptions{
			ProgressNotificationHandler: func(context.Context, *mcp.ProgressNotificationClientRequest) { progress.Add(1) },
		})
		session, err := client.Connect(ctx, &mcp.StreamableClientTransport{Endpoint: v.URL, HTTPClient: web}, &mcp.ClientSessionOptions{ProtocolVersion: version})
		if err != nil {
			return o, err
		}
		defer session.Close()
		list, err := session.ListTools(ctx, nil)
		if err != nil {
			return o, err
		}
		for _, tool := range list.Tools {
			o.Tools = append(o.Tools, tool.Name)
		}
		for _, c := range v.Calls {
			progress.Store(0)
			s := callGoSDK(ctx, session, c)
			s.Progress = reported(ctx, &progress, c)
			o.Calls = append(o.Calls, s)
		}
		return o, nil
	}
}

func callGoSDK(ctx context.Context, session *mcp.ClientSession, c call) said {
	params := &mcp.CallToolParams{Name: c.Name, Arguments: c.Arguments}
	if c.Progress {
		params.SetProgressToken("progress")
	}
	result, err := session.CallTool(ctx, params)
	if err != nil {
		return said{Error: err.Error()}
	}
	text := ""
	for _, content := range result.Content {
		if part, ok := content.(*mcp.TextContent); ok {
			text += part.Text
		}
	}
	if result.IsError {
		return said{Error: text}
	}
	return said{Text: text}
}

// steps is how often the tools that are called here report progress.
const steps = 3

// reported waits for the reports of a call: these clients hand them over aside, so that some can come after the answer.
func reported(ctx context.Context, progress *atomic.Int32, c call) int {
	if !c.Progress {
		return int(progress.Load())
	}
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for late := time.After(patience); progress.Load() < steps; {
		select {
		case <-again.C:
		case <-late:
			return int(progress.Load())
		case <-ctx.Done():
			return int(progress.Load())
		}
	}
	return int(progress.Load())
}
