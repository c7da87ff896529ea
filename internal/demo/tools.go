package demo

import (
	"context"
	"fmt"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

// Bounds of a countdown. Between two steps there is always a pause: without one, mcp-go may drop a step's notification.
const (
	maxCountdown = 60
	minPause     = 50
	maxPause     = 5000
)

// newTools returns the MCP server with all tools.
func newTools() *server.MCPServer {
	s := server.NewMCPServer("mcp-sidecar-demo", "1.0.0",
		server.WithToolCapabilities(false),
		server.WithRecovery(),
		server.WithInputSchemaValidation(),
		server.WithInstructions("A demo server. Nothing that it does has an effect outside of it."),
	)
	s.AddTool(echoTool, echo)
	s.AddTool(addTool, add)
	s.AddTool(nowTool, now)
	s.AddTool(countdownTool, countdown)
	n := &notes{}
	s.AddTool(noteAddTool, n.add)
	s.AddTool(noteListTool, n.list)
	s.AddTool(noteDeleteTool, n.delete)
	return s
}

var (
	reads  = mcp.ToolAnnotation{ReadOnlyHint: new(true), DestructiveHint: new(false), IdempotentHint: new(true), OpenWorldHint: new(false)}
	writes = mcp.ToolAnnotation{ReadOnlyHint: new(false), DestructiveHint: new(false), IdempotentHint: new(false), OpenWorldHint: new(false)}
	erases = mcp.ToolAnnotation{ReadOnlyHint: new(false), DestructiveHint: new(true), IdempotentHint: new(true), OpenWorldHint: new(false)}
)

var echoTool = mcp.NewTool("echo",
	mcp.WithDescription("Says back what it is given."),
	mcp.WithString("text", mcp.Required(), mcp.Description("What to say back.")),
	mcp.WithToolAnnotation(reads),
)

func echo(_ context.Context, request mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	return mcp.NewToolResultText(request.GetString("text", "")), nil
}

var addTool = mcp.NewTool("add",
	mcp.WithDescription("Adds two numbers. The sum comes as text and as structured content."),
	mcp.WithNumber("a", mcp.Required(), mcp.Description("The first number.")),
	mcp.WithNumber("b", mcp.Required(), mcp.Description("The second number.")),
	mcp.WithOutputSchema[sum](),
	mcp.WithToolAnnotation(reads),
)

// sum is the structured content of add.
type sum struct {
	Sum float64 `json:"sum"`
}

func add(_ context.Context, request mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	total := request.GetFloat("a", 0) + request.GetFloat("b", 0)
	return mcp.NewToolResultStructured(sum{total}, fmt.Sprint(total)), nil
}

var nowTool = mcp.NewTool("now",
	mcp.WithDescription("Tells the time, in UTC, as RFC 3339 writes it."),
	mcp.WithToolAnnotation(reads),
)

func now(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	return mcp.NewToolResultText(time.Now().UTC().Format(time.RFC3339)), nil
}

var countdownTool = mcp.NewTool("countdown",
	mcp.WithDescription("Counts down to zero, reports progress at each step, and can be cancelled."),
	mcp.WithInteger("from", mcp.Description("Where to start."), mcp.Min(1), mcp.Max(maxCountdown), mcp.DefaultNumber(5)),
	mcp.WithInteger("pause_ms", mcp.Description("Milliseconds between two steps."), mcp.Min(minPause), mcp.Max(maxPause), mcp.DefaultNumber(500)),
	mcp.WithToolAnnotation(reads),
)

func countdown(ctx context.Context, request mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	from := min(max(request.GetInt("from", 5), 1), maxCountdown)
	pause := min(max(request.GetInt("pause_ms", 500), minPause), maxPause)
	ticker := time.NewTicker(time.Duration(pause) * time.Millisecond)
	defer ticker.Stop()
	for step := range from {
		report(ctx, request, step+1, from)
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-ticker.C:
		}
	}
	return mcp.NewToolResultText(fmt.Sprintf("Counted down from %d.", from)), nil
}

// report sends one progress notification to a client that asked for them. One that cannot be delivered is no reason to stop counting.
func report(ctx context.Context, request mcp.CallToolRequest, step, of int) {
	meta, mcpServer := request.Params.Meta, server.ServerFromContext(ctx)
	if meta == nil || meta.ProgressToken == nil || mcpServer == nil {
		return
	}
	_ = mcpServer.SendNotificationToClient(ctx, string(mcp.MethodNotificationProgress), map[string]any{
		"progressToken": meta.ProgressToken,
		"progress":      step,
		"total":         of,
		"message":       fmt.Sprintf("%d to go", of-step),
	})
}
