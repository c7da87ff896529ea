//lint:file-ignore SA1019 what is deprecated is what is tried

package matrix_test

import (
	"context"
	"errors"
	"net/http"

	mcpgoclient "github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
)

// mcpGoAgent is the client of mcp-go.
type mcpGoAgent struct {
	client *mcpgoclient.Client
	ear    *ear
	era    string
}

// connectMCPGo is the connecting of a client that is pinned to an era.
func connectMCPGo(era string, web *http.Client) func(ctx context.Context, url, token string) (agent, error) {
	return func(ctx context.Context, url, token string) (agent, error) {
		a := &mcpGoAgent{ear: newEar(), era: era}
		options := []transport.StreamableHTTPCOption{transport.WithHTTPBasicClient(withToken(web, token))}
		if era == legacy {
			options = append(options, transport.WithContinuousListening())
		}
		way, err := transport.NewStreamableHTTP(url, options...)
		if err != nil {
			return nil, err
		}
		a.client = mcpgoclient.NewClient(way, a.options()...)
		a.client.OnNotification(a.hear)
		if err := a.client.Start(context.WithoutCancel(ctx)); err != nil {
			return nil, err
		}
		var request mcp.InitializeRequest
		request.Params.ProtocolVersion = map[string]string{legacy: "2025-11-25", modern: "2026-07-28"}[era]
		request.Params.ClientInfo = mcp.Implementation{Name: "matrix", Version: "1"}
		request.Params.Capabilities.Elicitation = &mcp.ElicitationCapability{Form: &struct{}{}, URL: &struct{}{}}
		if _, err := a.client.Initialize(ctx, request); err != nil {
			a.client.Close()
			return nil, err
		}
		if (a.client.ProtocolVersion() == "2026-07-28") != (era == modern) {
			a.client.Close()
			return nil, errOtherEra
		}
		return a, nil
	}
}

func (a *mcpGoAgent) options() []mcpgoclient.ClientOption {
	options := []mcpgoclient.ClientOption{mcpgoclient.WithElicitationHandler(a), mcpgoclient.WithSamplingHandler(a), mcpgoclient.WithRootsHandler(a)}
	if a.era == legacy {
		options = append(options, mcpgoclient.WithLegacyProtocolOnly())
	}
	return options
}

// Elicit answers for the person.
func (a *mcpGoAgent) Elicit(_ context.Context, request mcp.ElicitationRequest) (*mcp.ElicitationResult, error) {
	result := &mcp.ElicitationResult{}
	result.Action = mcp.ElicitationResponseActionAccept
	if request.Params.Mode == "url" {
		a.ear.hear(heardLink)
		return result, nil
	}
	a.ear.hear(heardForm)
	result.Content = filled(request.Params.RequestedSchema)
	return result, nil
}

// CreateMessage answers for the model.
func (a *mcpGoAgent) CreateMessage(context.Context, mcp.CreateMessageRequest) (*mcp.CreateMessageResult, error) {
	a.ear.hear(heardModel)
	return &mcp.CreateMessageResult{
		SamplingMessage: mcp.SamplingMessage{Role: mcp.RoleAssistant, Content: mcp.NewTextContent(modelAnswer)},
		Model:           "matrix", StopReason: "endTurn",
	}, nil
}

// ListRoots answers for the program.
func (a *mcpGoAgent) ListRoots(context.Context, mcp.ListRootsRequest) (*mcp.ListRootsResult, error) {
	a.ear.hear(heardRoots)
	return &mcp.ListRootsResult{Roots: []mcp.Root{{URI: rootAnswer, Name: "matrix"}}}, nil
}

func (a *mcpGoAgent) hear(n mcp.JSONRPCNotification) {
	switch n.Method {
	case "notifications/progress":
		a.ear.hear(heardProgress)
	case "notifications/message":
		a.ear.hear(heardLog)
	case "notifications/tools/list_changed":
		a.ear.hear(heardChanged)
	case "notifications/resources/updated":
		uri, _ := n.Params.AdditionalFields["uri"].(string)
		a.ear.hear("updated " + uri)
	}
}

func (a *mcpGoAgent) tools(ctx context.Context) (names []string, err error) {
	result, err := a.client.ListTools(ctx, mcp.ListToolsRequest{})
	if err != nil {
		return nil, err
	}
	for _, tool := range result.Tools {
		names = append(names, tool.Name)
	}
	return names, nil
}

func (a *mcpGoAgent) call(ctx context.Context, u use) (string, error) {
	var request mcp.CallToolRequest
	request.Params.Name, request.Params.Arguments = u.Name, u.arguments()
	if u.Progress {
		request.Params.Meta = &mcp.Meta{ProgressToken: "progress of " + u.Name}
	}
	result, err := a.client.CallTool(ctx, request)
	if err != nil {
		return "", err
	}
	return said(result.Content, result.IsError)
}

func said(contents []mcp.Content, failed bool) (text string, err error) {
	for _, content := range contents {
		if part, ok := content.(mcp.TextContent); ok {
			text += part.Text
		}
	}
	if failed {
		return "", toolFailed(text)
	}
	return text, nil
}

func (a *mcpGoAgent) job(ctx context.Context, u use) (string, error) {
	var request mcp.CallToolRequest
	request.Params.Name, request.Params.Arguments, request.Params.Task = u.Name, u.arguments(), &mcp.TaskParams{}
	result, err := a.client.CallTool(ctx, request)
	if err != nil {
		return "", err
	}
	return said(result.Content, result.IsError)
}

func (a *mcpGoAgent) prompts(ctx context.Context) (names []string, err error) {
	result, err := a.client.ListPrompts(ctx, mcp.ListPromptsRequest{})
	if err != nil {
		return nil, err
	}
	for _, prompt := range result.Prompts {
		names = append(names, prompt.Name)
	}
	return names, nil
}

func (a *mcpGoAgent) prompt(ctx context.Context, name string, arguments map[string]string) (text string, err error) {
	var request mcp.GetPromptRequest
	request.Params.Name, request.Params.Arguments = name, arguments
	result, err := a.client.GetPrompt(ctx, request)
	if err != nil {
		return "", err
	}
	for _, message := range result.Messages {
		if part, ok := message.Content.(mcp.TextContent); ok {
			text += part.Text
		}
	}
	return text, nil
}

func (a *mcpGoAgent) resources(ctx context.Context) (uris []string, err error) {
	result, err := a.client.ListResources(ctx, mcp.ListResourcesRequest{})
	if err != nil {
		return nil, err
	}
	for _, resource := range result.Resources {
		uris = append(uris, resource.URI)
	}
	return uris, nil
}

func (a *mcpGoAgent) templates(ctx context.Context) (templates []string, err error) {
	result, err := a.client.ListResourceTemplates(ctx, mcp.ListResourceTemplatesRequest{})
	if err != nil {
		return nil, err
	}
	for _, template := range result.ResourceTemplates {
		templates = append(templates, template.URITemplate.Raw())
	}
	return templates, nil
}

func (a *mcpGoAgent) read(ctx context.Context, uri string) (text string, err error) {
	var request mcp.ReadResourceRequest
	request.Params.URI = uri
	result, err := a.client.ReadResource(ctx, request)
	if err != nil {
		return "", err
	}
	for _, content := range result.Contents {
		if part, ok := content.(mcp.TextResourceContents); ok {
			text += part.Text
		}
	}
	return text, nil
}

func (a *mcpGoAgent) complete(ctx context.Context, c completion) ([]string, error) {
	var request mcp.CompleteRequest
	request.Params.Ref = mcp.PromptReference{Type: "ref/prompt", Name: c.Prompt}
	request.Params.Argument = mcp.CompleteArgument{Name: c.Argument, Value: c.Value}
	result, err := a.client.Complete(ctx, request)
	if err != nil {
		return nil, err
	}
	return result.Completion.Values, nil
}

func (a *mcpGoAgent) level(ctx context.Context, level string) error {
	var request mcp.SetLevelRequest
	request.Params.Level = mcp.LoggingLevel(level)
	return a.client.SetLevel(ctx, request)
}

func (a *mcpGoAgent) watch(ctx context.Context, uri string) error {
	if a.era == modern {
		filter := mcp.SubscriptionFilter{ToolsListChanged: uri == ""}
		if uri != "" {
			filter.ResourceSubscriptions = []string{uri}
		}
		_, err := a.client.ListenAsync(context.WithoutCancel(ctx), filter, nil)
		return err
	}
	if uri == "" {
		return nil // it listens anyway
	}
	var request mcp.SubscribeRequest
	request.Params.URI = uri
	return a.client.Subscribe(ctx, request)
}

func (a *mcpGoAgent) ping(ctx context.Context) error {
	if a.era == modern {
		return errors.New(noPing) // the client says that all is well without asking
	}
	return a.client.Ping(ctx)
}
func (a *mcpGoAgent) heard() *ear { return a.ear }
func (a *mcpGoAgent) close()      { a.client.Close() }
