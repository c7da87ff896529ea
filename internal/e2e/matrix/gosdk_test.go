//lint:file-ignore SA1019 what is deprecated is what is tried

package matrix_test

import (
	"context"
	"net/http"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// goSDKAgent is the client of the Go SDK.
type goSDKAgent struct {
	session *mcp.ClientSession
	ear     *ear
	era     string
	logs    string // level
}

// connectGoSDK is the connecting of a client that is pinned to an era.
func connectGoSDK(era string, web *http.Client) func(ctx context.Context, url, token string) (agent, error) {
	version := map[string]string{legacy: "2025-11-25", modern: "2026-07-28"}[era]
	return func(ctx context.Context, url, token string) (agent, error) {
		a := &goSDKAgent{ear: newEar(), era: era}
		client := mcp.NewClient(&mcp.Implementation{Name: "matrix", Version: "1"}, a.options())
		client.AddRoots(&mcp.Root{URI: rootAnswer, Name: "matrix"}) //lint:ignore SA1019 deprecated, and used
		transport := &mcp.StreamableClientTransport{Endpoint: url, HTTPClient: withToken(web, token)}
		session, err := client.Connect(ctx, transport, &mcp.ClientSessionOptions{ProtocolVersion: version})
		if err != nil {
			return nil, err
		}
		if spoken := session.InitializeResult().ProtocolVersion; (spoken == "2026-07-28") != (era == modern) {
			session.Close()
			return nil, errOtherEra
		}
		a.session = session
		return a, nil
	}
}

// options are what the client hears and answers.
func (a *goSDKAgent) options() *mcp.ClientOptions {
	return &mcp.ClientOptions{
		Capabilities: &mcp.ClientCapabilities{
			RootsV2:     &mcp.RootCapabilities{ListChanged: true},
			Elicitation: &mcp.ElicitationCapabilities{Form: &mcp.FormElicitationCapabilities{}, URL: &mcp.URLElicitationCapabilities{}},
		},
		ElicitationHandler: func(_ context.Context, r *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
			if r.Params.Mode == "url" {
				a.ear.hear(heardLink)
				return &mcp.ElicitResult{Action: "accept"}, nil
			}
			a.ear.hear(heardForm)
			return &mcp.ElicitResult{Action: "accept", Content: filled(r.Params.RequestedSchema)}, nil
		},
		CreateMessageHandler: func(context.Context, *mcp.CreateMessageRequest) (*mcp.CreateMessageResult, error) {
			a.ear.hear(heardModel)
			return &mcp.CreateMessageResult{Role: "assistant", Model: "matrix", StopReason: "endTurn", Content: &mcp.TextContent{Text: modelAnswer}}, nil
		},
		ToolListChangedHandler: func(context.Context, *mcp.ToolListChangedRequest) { a.ear.hear(heardChanged) },
		ResourceUpdatedHandler: func(_ context.Context, r *mcp.ResourceUpdatedNotificationRequest) {
			a.ear.hear("updated " + r.Params.URI)
		},
		LoggingMessageHandler: func(context.Context, *mcp.LoggingMessageRequest) { a.ear.hear(heardLog) },
		ProgressNotificationHandler: func(context.Context, *mcp.ProgressNotificationClientRequest) {
			a.ear.hear(heardProgress)
		},
	}
}

func (a *goSDKAgent) tools(ctx context.Context) (names []string, err error) {
	for tool, err := range a.session.Tools(ctx, nil) {
		if err != nil {
			return nil, err
		}
		names = append(names, tool.Name)
	}
	return names, nil
}

func (a *goSDKAgent) call(ctx context.Context, u use) (string, error) {
	params := &mcp.CallToolParams{Name: u.Name, Arguments: u.arguments(), Meta: mcp.Meta{}}
	if u.Progress {
		params.SetProgressToken("progress of " + u.Name)
	}
	if a.logs != "" && a.era == modern {
		params.Meta["io.modelcontextprotocol/logLevel"] = a.logs
	}
	result, err := a.session.CallTool(ctx, params)
	if err != nil {
		return "", err
	}
	text := ""
	for _, content := range result.Content {
		if part, ok := content.(*mcp.TextContent); ok {
			text += part.Text
		}
	}
	if result.IsError {
		return "", toolFailed(text)
	}
	return text, nil
}

func (a *goSDKAgent) job(context.Context, use) (string, error) { return "", errNoTasks }

func (a *goSDKAgent) prompts(ctx context.Context) (names []string, err error) {
	for prompt, err := range a.session.Prompts(ctx, nil) {
		if err != nil {
			return nil, err
		}
		names = append(names, prompt.Name)
	}
	return names, nil
}

func (a *goSDKAgent) prompt(ctx context.Context, name string, arguments map[string]string) (text string, err error) {
	result, err := a.session.GetPrompt(ctx, &mcp.GetPromptParams{Name: name, Arguments: arguments})
	if err != nil {
		return "", err
	}
	for _, message := range result.Messages {
		if part, ok := message.Content.(*mcp.TextContent); ok {
			text += part.Text
		}
	}
	return text, nil
}

func (a *goSDKAgent) resources(ctx context.Context) (uris []string, err error) {
	for resource, err := range a.session.Resources(ctx, nil) {
		if err != nil {
			return nil, err
		}
		uris = append(uris, resource.URI)
	}
	return uris, nil
}

func (a *goSDKAgent) templates(ctx context.Context) (templates []string, err error) {
	for template, err := range a.session.ResourceTemplates(ctx, nil) {
		if err != nil {
			return nil, err
		}
		templates = append(templates, template.URITemplate)
	}
	return templates, nil
}

func (a *goSDKAgent) read(ctx context.Context, uri string) (text string, err error) {
	result, err := a.session.ReadResource(ctx, &mcp.ReadResourceParams{URI: uri})
	if err != nil {
		return "", err
	}
	for _, content := range result.Contents {
		text += content.Text
	}
	return text, nil
}

func (a *goSDKAgent) complete(ctx context.Context, c completion) ([]string, error) {
	result, err := a.session.Complete(ctx, &mcp.CompleteParams{
		Ref:      &mcp.CompleteReference{Type: "ref/prompt", Name: c.Prompt},
		Argument: mcp.CompleteParamsArgument{Name: c.Argument, Value: c.Value},
	})
	if err != nil {
		return nil, err
	}
	return result.Completion.Values, nil
}

func (a *goSDKAgent) level(ctx context.Context, level string) error {
	a.logs = level
	if a.era == modern {
		return nil // said with each request
	}
	return a.session.SetLoggingLevel(ctx, &mcp.SetLoggingLevelParams{Level: mcp.LoggingLevel(level)})
}

func (a *goSDKAgent) watch(ctx context.Context, uri string) error {
	if uri == "" {
		return nil // done while connecting, because it has a handler
	}
	return a.session.Subscribe(ctx, &mcp.SubscribeParams{URI: uri})
}

func (a *goSDKAgent) ping(ctx context.Context) error { return a.session.Ping(ctx, nil) }
func (a *goSDKAgent) heard() *ear                    { return a.ear }
func (a *goSDKAgent) close()                         { a.session.Close() }
