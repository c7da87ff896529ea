//lint:file-ignore SA1019 what is deprecated is what is tried

package matrix_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// goSDKServer offers all that the Go SDK lets a server offer.
type goSDKServer struct {
	*mcp.Server
	flags flags
	grown atomic.Int32
}

// arguments of the tools; each takes what it needs.
type arguments struct {
	Text string `json:"text,omitempty"`
	Key  string `json:"key,omitempty"`
}

// startGoSDK starts one that is pinned to an era.
func startGoSDK(era string) func(testing.TB, *kit) string {
	return func(t testing.TB, _ *kit) string {
		versions := []string{"2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"}
		if era == modern {
			versions = []string{"2026-07-28"}
		}
		s := &goSDKServer{}
		subscribed := func(context.Context, *mcp.SubscribeRequest) error { return nil }
		s.Server = mcp.NewServer(&mcp.Implementation{Name: "go-sdk", Version: "1"}, &mcp.ServerOptions{
			SupportedProtocolVersions: versions, CompletionHandler: completeName,
			SubscribeHandler: subscribed, UnsubscribeHandler: func(context.Context, *mcp.UnsubscribeRequest) error { return nil },
		})
		s.addTools()
		s.addOthers()
		return serve(t, mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return s.Server }, &mcp.StreamableHTTPOptions{
			Stateless: era == modern, EventStore: mcp.NewMemoryEventStore(nil), PropagateRequestCancellation: true,
		}))
	}
}

// tool adds one.
func (s *goSDKServer) tool(name string, handle func(context.Context, *mcp.CallToolRequest, arguments) (*mcp.CallToolResult, error)) {
	mcp.AddTool(s.Server, &mcp.Tool{Name: name}, func(ctx context.Context, r *mcp.CallToolRequest, in arguments) (*mcp.CallToolResult, any, error) {
		result, err := handle(ctx, r, in)
		return result, nil, err
	})
}

func says(format string, values ...any) (*mcp.CallToolResult, error) {
	return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: fmt.Sprintf(format, values...)}}}, nil
}

func (s *goSDKServer) addTools() {
	s.tool("echo", func(_ context.Context, _ *mcp.CallToolRequest, in arguments) (*mcp.CallToolResult, error) {
		return says("%s", in.Text)
	})
	s.tool("fail", func(context.Context, *mcp.CallToolRequest, arguments) (*mcp.CallToolResult, error) {
		return nil, errors.New("this fails on purpose")
	})
	s.tool("steps", func(ctx context.Context, r *mcp.CallToolRequest, _ arguments) (*mcp.CallToolResult, error) {
		for step := range 3 {
			r.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{ProgressToken: r.Params.GetProgressToken(), Progress: float64(step + 1), Total: 3})
			time.Sleep(pause)
		}
		return says("done")
	})
	s.tool("speak", func(ctx context.Context, r *mcp.CallToolRequest, _ arguments) (*mcp.CallToolResult, error) {
		r.Session.Log(ctx, &mcp.LoggingMessageParams{Level: "info", Data: "something happened"})
		return says("done")
	})
	s.tool("wait", func(ctx context.Context, _ *mcp.CallToolRequest, in arguments) (*mcp.CallToolResult, error) {
		s.flags.raise("begun " + in.Key)
		select {
		case <-ctx.Done():
			s.flags.raise("ended " + in.Key)
		case <-time.After(patience):
		}
		return says("done")
	})
	for _, flag := range []string{"begun", "ended"} {
		s.tool(flag, func(ctx context.Context, _ *mcp.CallToolRequest, in arguments) (*mcp.CallToolResult, error) {
			return says("%s", s.flags.await(ctx, flag+" "+in.Key))
		})
	}
	s.tool("grow", func(context.Context, *mcp.CallToolRequest, arguments) (*mcp.CallToolResult, error) {
		s.tool(fmt.Sprintf("grown_%d", s.grown.Add(1)), func(context.Context, *mcp.CallToolRequest, arguments) (*mcp.CallToolResult, error) {
			return says("grown")
		})
		return says("done")
	})
	s.tool("touch", func(ctx context.Context, _ *mcp.CallToolRequest, _ arguments) (*mcp.CallToolResult, error) {
		if err := s.ResourceUpdated(ctx, &mcp.ResourceUpdatedNotificationParams{URI: own.resource}); err != nil {
			return nil, err
		}
		return says("done")
	})
	s.addQuestions()
}

// addQuestions adds the tools that ask the client, in the way that serves both eras: by what they return.
func (s *goSDKServer) addQuestions() {
	ask := func(tool string, question mcp.InputRequest, answered func(mcp.InputResponse) string) {
		s.tool(tool, func(_ context.Context, r *mcp.CallToolRequest, _ arguments) (*mcp.CallToolResult, error) {
			if answer, ok := r.Params.InputResponses["question"]; ok {
				return says("%s", answered(answer))
			}
			return &mcp.CallToolResult{InputRequests: mcp.InputRequestMap{"question": question}, RequestState: "asked"}, nil
		})
	}
	form := &jsonschema.Schema{Type: "object", Properties: map[string]*jsonschema.Schema{"name": {Type: "string"}}, Required: []string{"name"}}
	elicited := func(a mcp.InputResponse) string {
		result, _ := a.(*mcp.ElicitResult)
		return fmt.Sprint(result.Action, " ", result.Content)
	}
	ask("ask_form", &mcp.ElicitParams{Mode: "form", Message: "who are you?", RequestedSchema: form}, elicited)
	ask("ask_link", &mcp.ElicitParams{Mode: "url", Message: "sign in", URL: "https://example.com/", ElicitationID: "link"}, elicited)
	sampling := &mcp.CreateMessageParams{MaxTokens: 100, Messages: []*mcp.SamplingMessage{{Role: "user", Content: &mcp.TextContent{Text: "say something"}}}}
	ask("ask_model", sampling, sampled)
	ask("ask_roots", &mcp.ListRootsParams{}, listed)
}

func sampled(a mcp.InputResponse) string {
	var content mcp.Content
	switch result := a.(type) {
	case *mcp.CreateMessageResult:
		content = result.Content
	case *mcp.CreateMessageWithToolsResult:
		content = result.Content[0]
	}
	text, _ := content.(*mcp.TextContent)
	return text.Text
}

func listed(a mcp.InputResponse) string {
	result, _ := a.(*mcp.ListRootsResult)
	return result.Roots[0].URI
}

// addOthers adds prompts and resources.
func (s *goSDKServer) addOthers() {
	s.AddPrompt(&mcp.Prompt{Name: "greet", Arguments: []*mcp.PromptArgument{{Name: "name", Required: true}}}, func(_ context.Context, r *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
		return &mcp.GetPromptResult{Messages: []*mcp.PromptMessage{{Role: "user", Content: &mcp.TextContent{Text: "Hello, " + r.Params.Arguments["name"]}}}}, nil
	})
	read := func(_ context.Context, r *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
		return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{{URI: r.Params.URI, MIMEType: "text/plain", Text: contentOf(r.Params.URI)}}}, nil
	}
	s.AddResource(&mcp.Resource{Name: "text", URI: own.resource, MIMEType: "text/plain"}, read)
	s.AddResourceTemplate(&mcp.ResourceTemplate{Name: "item", URITemplate: own.template, MIMEType: "text/plain"}, read)
}

// contentOf is what a resource of the servers made here says.
func contentOf(uri string) string {
	if id, ok := strings.CutPrefix(uri, "test://item/"); ok {
		return "item " + id
	}
	return "some text"
}

func completeName(_ context.Context, r *mcp.CompleteRequest) (*mcp.CompleteResult, error) {
	return &mcp.CompleteResult{Completion: mcp.CompletionResultDetails{Values: namesFrom(r.Params.Argument.Value)}}, nil
}

// namesFrom are the names that begin so.
func namesFrom(beginning string) (names []string) {
	for _, name := range []string{"Ada", "Alan", "Grace"} {
		if strings.HasPrefix(name, beginning) {
			names = append(names, name)
		}
	}
	return names
}
