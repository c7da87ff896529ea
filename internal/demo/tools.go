package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// Bounds of a countdown.
const (
	maxCountdown = 60
	maxPause     = 5000 // ms
)

const instructions = "A demo server. Nothing that it does has an effect outside of it."

// newTools returns the MCP server with all tools. What takes long ends when over is closed. The schemas are checked by the SDK before a tool sees its arguments.
func newTools(over <-chan struct{}) *mcp.Server {
	s := mcp.NewServer(&mcp.Implementation{Name: "mcp-sidecar-demo", Version: "1.0.0"}, &mcp.ServerOptions{Instructions: instructions, Capabilities: &mcp.ServerCapabilities{}})
	mcp.AddTool(s, &mcp.Tool{
		Name: "echo", Description: "Says back what it is given.", Annotations: reads(),
		InputSchema: input(`"text":{"type":"string","description":"What to say back."}`, `"text"`),
	}, echo)
	mcp.AddTool(s, &mcp.Tool{
		Name: "add", Description: "Adds two numbers. The sum comes as text and as structured content.", Annotations: reads(),
		InputSchema: input(`"a":{"type":"number","description":"The first number."},"b":{"type":"number","description":"The second number."}`, `"a","b"`),
	}, add)
	mcp.AddTool(s, &mcp.Tool{
		Name: "now", Description: "Tells the time, in UTC, as RFC 3339 writes it.", Annotations: reads(), InputSchema: input("", ""),
	}, now)
	mcp.AddTool(s, &mcp.Tool{
		Name: "countdown", Description: "Counts down to zero, reports progress at each step, and can be cancelled.", Annotations: reads(),
		InputSchema: input(fmt.Sprintf(`"from":{"type":"integer","description":"Where to start.","minimum":1,"maximum":%d,"default":5},`+
			`"pause_ms":{"type":"integer","description":"Milliseconds between two steps.","minimum":1,"maximum":%d,"default":500}`, maxCountdown, maxPause), ""),
	}, counter(over).countdown)
	addNotes(s, &notes{})
	return s
}

// input is the schema of a tool's arguments, of which there are no others.
func input(properties, required string) json.RawMessage {
	return json.RawMessage(`{"type":"object","properties":{` + properties + `},"required":[` + required + `],"additionalProperties":false}`)
}

func reads() *mcp.ToolAnnotations {
	return &mcp.ToolAnnotations{ReadOnlyHint: true, DestructiveHint: new(false), IdempotentHint: true, OpenWorldHint: new(false)}
}

func writes() *mcp.ToolAnnotations {
	return &mcp.ToolAnnotations{DestructiveHint: new(false), OpenWorldHint: new(false)}
}

func erases() *mcp.ToolAnnotations {
	return &mcp.ToolAnnotations{DestructiveHint: new(true), IdempotentHint: true, OpenWorldHint: new(false)}
}

// said is a result of one text.
func said(format string, values ...any) *mcp.CallToolResult {
	return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: fmt.Sprintf(format, values...)}}}
}

// failed is the same of a tool that could not do it.
func failed(format string, values ...any) *mcp.CallToolResult {
	result := said(format, values...)
	result.IsError = true
	return result
}

// nothing are the arguments of a tool that takes none.
type nothing struct{}

func echo(_ context.Context, _ *mcp.CallToolRequest, in struct {
	Text string `json:"text"`
}) (*mcp.CallToolResult, any, error) {
	return said("%s", in.Text), nil, nil
}

// sum is the structured content of add.
type sum struct {
	Sum float64 `json:"sum"`
}

func add(_ context.Context, _ *mcp.CallToolRequest, in struct {
	A float64 `json:"a"`
	B float64 `json:"b"`
}) (*mcp.CallToolResult, sum, error) {
	total := in.A + in.B
	return said("%v", total), sum{total}, nil
}

func now(context.Context, *mcp.CallToolRequest, nothing) (*mcp.CallToolResult, any, error) {
	return said("%s", time.Now().UTC().Format(time.RFC3339)), nil, nil
}

type counting struct {
	From  int `json:"from"`
	Pause int `json:"pause_ms"`
}

// counter is closed when there is no more time: in the older era a call outlives its request.
type counter <-chan struct{}

func (over counter) countdown(ctx context.Context, request *mcp.CallToolRequest, in counting) (*mcp.CallToolResult, any, error) {
	ticker := time.NewTicker(time.Duration(in.Pause) * time.Millisecond)
	defer ticker.Stop()
	for step := range in.From {
		report(ctx, request, step+1, in.From)
		select {
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		case <-over:
			return failed("The demo server ends."), nil, nil
		case <-ticker.C:
		}
	}
	return said("Counted down from %d.", in.From), nil, nil
}

// report sends one progress notification to a client that asked for them. One that cannot be delivered is no reason to stop counting.
func report(ctx context.Context, request *mcp.CallToolRequest, step, of int) {
	token := request.Params.GetProgressToken()
	if token == nil {
		return
	}
	_ = request.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{
		ProgressToken: token, Progress: float64(step), Total: float64(of), Message: fmt.Sprintf("%d to go", of-step),
	})
}
