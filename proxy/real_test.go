//lint:file-ignore SA1019 what is deprecated is what is tried

package proxy_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"mcpsidecar/configstore"
	"mcpsidecar/policy"
)

var (
	form = &mcp.ElicitParams{Mode: "form", Message: "Who?", RequestedSchema: map[string]any{"type": "object", "properties": map[string]any{"name": map[string]any{"type": "string"}}}}
	page = &mcp.ElicitParams{Mode: "url", Message: "Go", URL: "https://example.com/go", ElicitationID: "e-1"}
	poem = &mcp.CreateMessageParams{MaxTokens: 5, Messages: []*mcp.SamplingMessage{{Role: "user", Content: &mcp.TextContent{Text: "a poem"}}}}
)

// heard words what a server has heard.
func heard(who, opened *mcp.ElicitResult, said *mcp.CreateMessageResult, roots *mcp.ListRootsResult) *mcp.CallToolResult {
	text := fmt.Sprintf("%v %s %s %s", who.Content["name"], opened.Action, said.Content.(*mcp.TextContent).Text, roots.Roots[0].URI)
	return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: text}}}
}

// askInCall is a tool of the legacy era: it asks while it runs.
func askInCall(ctx context.Context, r *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	who, err := r.Session.Elicit(ctx, form)
	if err != nil {
		return nil, err
	}
	opened, err := r.Session.Elicit(ctx, page)
	if err != nil {
		return nil, err
	}
	said, err := r.Session.CreateMessage(ctx, poem)
	if err != nil {
		return nil, err
	}
	roots, err := r.Session.ListRoots(ctx, nil)
	if err != nil {
		return nil, err
	}
	return heard(who, opened, said, roots), nil
}

// askFirst is a tool of the modern era: it is called again with the answers.
func askFirst(_ context.Context, r *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	if got := r.Params.InputResponses; len(got) == 4 && r.Params.RequestState == "mine" {
		said := got["poem"].(*mcp.CreateMessageWithToolsResult)
		return heard(got["who"].(*mcp.ElicitResult), got["page"].(*mcp.ElicitResult), &mcp.CreateMessageResult{Content: said.Content[0]}, got["roots"].(*mcp.ListRootsResult)), nil
	}
	return &mcp.CallToolResult{RequestState: "mine", InputRequests: mcp.InputRequestMap{"who": form, "page": page, "poem": poem, "roots": &mcp.ListRootsParams{}}}, nil
}

func startSDK(t *testing.T, era string) *httptest.Server {
	server := mcp.NewServer(&mcp.Implementation{Name: "sdk", Version: "1"}, nil)
	handler := askInCall
	if era == "modern" {
		handler = askFirst
	}
	server.AddTool(&mcp.Tool{Name: "ask", InputSchema: map[string]any{"type": "object"}}, handler)
	web := httptest.NewServer(mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, &mcp.StreamableHTTPOptions{Stateless: era == "modern"}))
	t.Cleanup(web.Close)
	return web
}

// bearer adds a token to requests.
type bearer string

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+string(b))
	return http.DefaultTransport.RoundTrip(r)
}

// TestARealClientIsAskedByARealServer: both of the Go SDK, which knows nothing of what is between them, in all combinations of eras.
func TestARealClientIsAskedByARealServer(t *testing.T) {
	everyCombination(t, func(t *testing.T, clientEra, serverEra string) {
		web := startSDK(t, serverEra)
		r := newRig(t, configstore.Server{
			ID: "one", Slug: "one", Transport: configstore.StreamableHTTP, URL: web.URL, AuthType: configstore.AuthNone, Revision: 1,
			Rules: policy.Rules{Enabled: true, Availability: policy.DefaultOn, ToolPinning: policy.PinWarn},
		})
		askRealClient(t, r, clientEra)
	})
}

// askRealClient has a client of the Go SDK call the tool that asks for everything.
func askRealClient(t *testing.T, r *rig, era string) {
	t.Helper()
	var mu sync.Mutex
	var asked []string
	client := mcp.NewClient(&mcp.Implementation{Name: "agent", Version: "1"}, &mcp.ClientOptions{
		Capabilities: &mcp.ClientCapabilities{
			Elicitation: &mcp.ElicitationCapabilities{Form: &mcp.FormElicitationCapabilities{}, URL: &mcp.URLElicitationCapabilities{}}, RootsV2: &mcp.RootCapabilities{},
		},
		ElicitationHandler: func(_ context.Context, r *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
			mu.Lock()
			defer mu.Unlock()
			asked = append(asked, r.Params.Mode+r.Params.URL)
			if r.Params.Mode == "url" {
				return &mcp.ElicitResult{Action: "accept"}, nil
			}
			return &mcp.ElicitResult{Action: "accept", Content: map[string]any{"name": "octocat"}}, nil
		},
		CreateMessageHandler: func(context.Context, *mcp.CreateMessageRequest) (*mcp.CreateMessageResult, error) {
			return &mcp.CreateMessageResult{Role: "assistant", Model: "m", Content: &mcp.TextContent{Text: "roses"}}, nil
		},
	})
	client.AddRoots(&mcp.Root{URI: "file:///home"})
	version := map[string]string{"modern": "2026-07-28", "legacy": "2025-11-25"}[era]
	way := &mcp.StreamableClientTransport{Endpoint: r.web.URL + "/mcp", HTTPClient: &http.Client{Transport: bearer(r.token("user", "alice"))}}
	session, err := client.Connect(t.Context(), way, &mcp.ClientSessionOptions{ProtocolVersion: version})
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	result, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: "one__ask", Arguments: map[string]any{}})
	if err != nil {
		t.Fatal(err)
	}
	if text := result.Content[0].(*mcp.TextContent).Text; text != "octocat accept roses file:///home" {
		t.Errorf("the server heard %q", text)
	}
	if got := strings.Join(asked, " "); !strings.Contains(got, "form") || !strings.Contains(got, "urlhttps://example.com/go") {
		t.Errorf("the user was asked %s", got)
	}
}
