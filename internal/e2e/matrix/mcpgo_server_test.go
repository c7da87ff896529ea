package matrix_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

// mcpGoServer offers all that mcp-go lets a server offer.
type mcpGoServer struct {
	*server.MCPServer
	flags flags
	grown atomic.Int32
}

// startMCPGo starts one that is pinned to an era.
func startMCPGo(era string) func(testing.TB, *kit) string {
	return func(t testing.TB, _ *kit) string {
		s := &mcpGoServer{}
		s.MCPServer = server.NewMCPServer("mcp-go", "1",
			server.WithToolCapabilities(true), server.WithResourceCapabilities(true, true), server.WithPromptCapabilities(true), server.WithCompletions(),
			server.WithPromptCompletionProvider(names{}), server.WithLogging(), server.WithElicitation(), server.WithRoots(), server.WithTaskCapabilities(true, true, true))
		s.EnableSampling()
		s.addTools()
		s.addOthers()
		versions := []string{"2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"}
		if era == modern {
			versions = []string{"2026-07-28"}
		}
		return pinned(t, era, serve(t, server.NewStreamableHTTPServer(s.MCPServer,
			server.WithStreamableHTTPProtocolVersions(versions...), server.WithEventStore(server.NewInMemoryEventStore()))))
	}
}

// tool adds one.
func (s *mcpGoServer) tool(name string, handle func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error)) {
	s.AddTool(mcp.NewTool(name, mcp.WithString("text"), mcp.WithString("key")), handle)
}

func text(format string, values ...any) (*mcp.CallToolResult, error) {
	return mcp.NewToolResultText(fmt.Sprintf(format, values...)), nil
}

func (s *mcpGoServer) addTools() {
	s.tool("echo", func(_ context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return text("%s", r.GetString("text", ""))
	})
	s.tool("fail", func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return mcp.NewToolResultError("this fails on purpose"), nil
	})
	s.tool("steps", func(ctx context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		if r.Params.Meta == nil {
			return text("nobody asked for progress")
		}
		for step := range 3 {
			if err := s.SendNotificationToClient(ctx, "notifications/progress", map[string]any{"progressToken": r.Params.Meta.ProgressToken, "progress": step + 1, "total": 3}); err != nil {
				return nil, err
			}
			time.Sleep(pause)
		}
		return text("done")
	})
	s.tool("speak", func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		err := s.SendLogMessageToClient(ctx, mcp.NewLoggingMessageNotification(mcp.LoggingLevelInfo, "matrix", "something happened"))
		time.Sleep(pause)
		if err != nil {
			return nil, err
		}
		return text("done")
	})
	s.tool("wait", func(ctx context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		s.flags.raise("begun " + r.GetString("key", ""))
		select {
		case <-ctx.Done():
			s.flags.raise("ended " + r.GetString("key", ""))
		case <-time.After(patience):
		}
		return text("done")
	})
	for _, flag := range []string{"begun", "ended"} {
		s.tool(flag, func(ctx context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			return text("%s", s.flags.await(ctx, flag+" "+r.GetString("key", "")))
		})
	}
	s.tool("grow", func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		s.tool(fmt.Sprintf("grown_%d", s.grown.Add(1)), func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) { return text("grown") })
		return text("done")
	})
	s.tool("touch", func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		s.SendNotificationToAllClients("notifications/resources/updated", map[string]any{"uri": own.resource})
		return text("done")
	})
	s.addQuestions()
	s.AddTool(mcp.NewTool("job", mcp.WithTaskSupport(mcp.TaskSupportOptional)), func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		time.Sleep(pause)
		return text("%s", own.asJob)
	})
}

// addQuestions adds the tools that ask the client, in the way that serves both eras: by what they return.
func (s *mcpGoServer) addQuestions() {
	ask := func(tool string, question func(*server.InputRequestBuilder), answered func(mcp.InputResponses) string) {
		s.tool(tool, func(_ context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			if len(r.Params.InputResponses) > 0 {
				return text("%s", answered(r.Params.InputResponses))
			}
			b := server.NewInputRequestBuilder("asked")
			question(b)
			return b.ToolResult(), nil
		})
	}
	form := map[string]any{"type": "object", "properties": map[string]any{"name": map[string]any{"type": "string"}}, "required": []string{"name"}}
	elicited := func(a mcp.InputResponses) string {
		result := server.ElicitationResponse(a, "question")
		return fmt.Sprint(result.Action, " ", result.Content)
	}
	ask("ask_form", func(b *server.InputRequestBuilder) {
		b.Elicit("question", mcp.ElicitationParams{Mode: "form", Message: "who are you?", RequestedSchema: form})
	}, elicited)
	ask("ask_link", func(b *server.InputRequestBuilder) {
		b.Elicit("question", mcp.ElicitationParams{Mode: "url", Message: "sign in", URL: "https://example.com/", ElicitationID: "link"})
	}, elicited)
	ask("ask_model", func(b *server.InputRequestBuilder) {
		b.Sample("question", mcp.CreateMessageParams{MaxTokens: 100, Messages: []mcp.SamplingMessage{{Role: mcp.RoleUser, Content: mcp.NewTextContent("say something")}}})
	}, func(a mcp.InputResponses) string {
		return mcp.GetTextFromContent(server.SamplingResponse(a, "question").Content)
	})
	ask("ask_roots", func(b *server.InputRequestBuilder) { b.Roots("question") }, func(a mcp.InputResponses) string {
		return server.RootsResponse(a, "question").Roots[0].URI
	})
}

// addOthers adds prompts and resources.
func (s *mcpGoServer) addOthers() {
	s.AddPrompt(mcp.NewPrompt("greet", mcp.WithArgument("name", mcp.RequiredArgument())), func(_ context.Context, r mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
		return mcp.NewGetPromptResult("", []mcp.PromptMessage{mcp.NewPromptMessage(mcp.RoleUser, mcp.NewTextContent("Hello, "+r.Params.Arguments["name"]))}), nil
	})
	read := func(_ context.Context, r mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
		return []mcp.ResourceContents{mcp.TextResourceContents{URI: r.Params.URI, MIMEType: "text/plain", Text: contentOf(r.Params.URI)}}, nil
	}
	s.AddResource(mcp.NewResource(own.resource, "text", mcp.WithMIMEType("text/plain")), read)
	s.AddResourceTemplate(mcp.NewResourceTemplate(own.template, "item", mcp.WithTemplateMIMEType("text/plain")), read)
}

// names completes the argument of the prompt.
type names struct{}

// CompletePromptArgument is asked for every argument of every prompt, and there is one.
func (names) CompletePromptArgument(_ context.Context, _ string, argument mcp.CompleteArgument, _ mcp.CompleteContext) (*mcp.Completion, error) {
	return &mcp.Completion{Values: namesFrom(argument.Value)}, nil
}
