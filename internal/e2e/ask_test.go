//lint:file-ignore SA1019 what is deprecated is what is tried

package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	mcpgoclient "github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	mcpgo "github.com/mark3labs/mcp-go/mcp"
	mcpgoserver "github.com/mark3labs/mcp-go/server"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"mcpsidecar/internal/e2e/rig"
)

// replies are what every client here answers.
var replies = struct {
	Form     map[string]any `json:"form"`
	Sampling string         `json:"sampling"`
	Root     string         `json:"root"`
}{map[string]any{"name": "octocat", "username": "octocat", "email": "octocat@example.com", "color": "teal", "ok": true}, "roses are red", "file:///home"}

// asking is one tool that asks, and what it says if it was answered.
type asking struct {
	what string // form, url, sampling, roots or several
	call call
	says string
}

// askers are servers with tools that ask.
var askers = []struct {
	slug, transport string
	url             func(t testing.TB) string
	asks            []asking
	except          map[string]string // asks that fail without a sidecar as well, by client's era; and why
}{
	{"npm", "streamable_http", func(t testing.TB) string { return npmEverything(t, "streamableHttp", "/mcp") }, npmAsks, nil},
	{"npm-sse", "sse", func(t testing.TB) string { return npmEverything(t, "sse", "/sse") }, npmAsks, nil},
	{"go-sdk", "streamable_http", func(t testing.TB) string { return goSDK(t, true) }, []asking{
		{"form", call{Name: "test_input_required_result_elicitation"}, "Hello, octocat!"},
		{"sampling", call{Name: "test_input_required_result_sampling"}, "Sampling response: roses are red"},
		{"roots", call{Name: "test_input_required_result_list_roots"}, "Client exposed 1 root(s): file:///home"},
		{"several", call{Name: "test_input_required_result_multiple_inputs"}, "roses are red octocat — 1 root(s) visible"},
		{"several rounds", call{Name: "test_input_required_result_multi_round"}, "octocat likes teal"},
		{"state", call{Name: "test_input_required_result_request_state"}, "state-ok"},
	}, nil},
	{"go-sdk-sessions", "streamable_http", func(t testing.TB) string { return goSDK(t, false) }, []asking{
		{"form", call{Name: "test_elicitation", Arguments: arguments{"message": "who?"}}, "username:octocat"},
		{"sampling", call{Name: "test_sampling", Arguments: arguments{"prompt": "a poem"}}, "LLM response: roses are red"},
	}, nil},
	{"mcp-go", "streamable_http", mcpGo, []asking{
		{"form", call{Name: "test_elicitation", Arguments: arguments{"message": "who?"}}, "username:octocat"},
		{"sampling", call{Name: "test_sampling", Arguments: arguments{"prompt": "a poem"}}, "LLM response: roses are red"},
	}, map[string]string{"modern": "a server of mcp-go that speaks the modern era refuses to ask so in it"}},
	{"mcp-go-older", "streamable_http", olderMCPGo, []asking{
		{"form", call{Name: "form"}, "octocat"},
		{"url", call{Name: "url"}, "accept"},
		{"sampling", call{Name: "sampling"}, "roses are red"},
		{"roots", call{Name: "roots"}, "file:///home"},
	}, nil},
}

var npmAsks = []asking{
	{"form", call{Name: "trigger-elicitation-request"}, "octocat"},
	{"url", call{Name: "trigger-url-elicitation", Arguments: arguments{"url": "https://example.com/go"}}, "https://example.com/go"},
	{"sampling", call{Name: "trigger-sampling-request", Arguments: arguments{"prompt": "a poem"}}, "roses are red"},
	{"roots", call{Name: "get-roots-list"}, "file:///home"},
}

// olderMCPGo is a server of mcp-go that does not speak the modern era. It asks for sampling and roots on the standing stream.
func olderMCPGo(t testing.TB) string {
	server := mcpgoserver.NewMCPServer("mcp-go", "1", mcpgoserver.WithElicitation(), mcpgoserver.WithRoots())
	server.EnableSampling()
	tool := func(name string, ask func(context.Context) (string, error)) {
		server.AddTool(mcpgo.NewTool(name), func(ctx context.Context, _ mcpgo.CallToolRequest) (*mcpgo.CallToolResult, error) {
			text, err := ask(ctx)
			if err != nil {
				return mcpgo.NewToolResultError(err.Error()), nil
			}
			return mcpgo.NewToolResultText(text), nil
		})
	}
	elicit := func(params mcpgo.ElicitationParams) func(context.Context) (string, error) {
		return func(ctx context.Context) (string, error) {
			got, err := server.RequestElicitation(ctx, mcpgo.ElicitationRequest{Params: params})
			if err != nil {
				return "", err
			}
			return fmt.Sprint(got.Action, " ", got.Content), nil
		}
	}
	tool("form", elicit(mcpgo.ElicitationParams{Message: "Who?", RequestedSchema: map[string]any{"type": "object", "properties": map[string]any{"name": map[string]any{"type": "string"}}}}))
	tool("url", elicit(mcpgo.ElicitationParams{Mode: "url", Message: "Go", URL: "https://example.com/go", ElicitationID: "e-1"}))
	tool("sampling", func(ctx context.Context) (string, error) {
		var request mcpgo.CreateMessageRequest
		request.MaxTokens, request.Messages = 5, []mcpgo.SamplingMessage{{Role: mcpgo.RoleUser, Content: mcpgo.NewTextContent("a poem")}}
		got, err := server.RequestSampling(ctx, request)
		if err != nil {
			return "", err
		}
		return got.Content.(mcpgo.TextContent).Text, nil
	})
	tool("roots", func(ctx context.Context) (string, error) {
		got, err := server.RequestRoots(ctx, mcpgo.ListRootsRequest{})
		if err != nil {
			return "", err
		}
		return got.Roots[0].URI, nil
	})
	web := httptest.NewServer(mcpgoserver.NewStreamableHTTPServer(server,
		mcpgoserver.WithStreamableHTTPProtocolVersions("2025-11-25", "2025-06-18"), mcpgoserver.WithStreamableHTTPLogger(slog.New(slog.DiscardHandler))))
	t.Cleanup(func() {
		web.CloseClientConnections()
		web.Close()
	})
	return web.URL + "/mcp"
}

// answerers are clients that answer what servers ask.
var answerers = []struct {
	name, era string
	visit     func(t *testing.T, token string, visits []visit) []outcome
}{
	{"npm client, modern", "modern", answeringNode("client-modern")},
	{"npm client, legacy", "legacy", answeringNode("client-legacy")},
	{"npm sdk", "legacy", answeringNode("sdk")},
	{"mcp-go, modern", "modern", eachVisit(answeringMCPGo(false))},
	{"mcp-go, legacy", "legacy", eachVisit(answeringMCPGo(true))},
	{"go-sdk, modern", "modern", eachVisit(answeringGoSDK("2026-07-28"))},
	{"go-sdk, legacy", "legacy", eachVisit(answeringGoSDK("2025-11-25"))},
}

// TestEveryServerAsksEveryClient: each kind of question, of each server that others wrote, to each client that others wrote, in all combinations of eras.
func TestEveryServerAsksEveryClient(t *testing.T) {
	s := start(t)
	for _, server := range askers {
		s.register(server.slug, server.url(t), "transport", server.transport)
	}
	token := s.token("alice")
	for _, client := range answerers {
		t.Run(client.name, func(t *testing.T) {
			t.Parallel()
			var visits []visit
			for _, server := range askers {
				v := visit{URL: s.Base + "/mcp/" + server.slug}
				for _, ask := range server.asks {
					if ask.call.Arguments == nil {
						ask.call.Arguments = arguments{}
					}
					v.Calls = append(v.Calls, ask.call)
				}
				visits = append(visits, v)
			}
			outcomes := client.visit(t, token, visits)
			for i, server := range askers {
				got := outcomes[i]
				if got.Error != "" || len(got.Calls) != len(server.asks) {
					t.Errorf("%s: %s, %d calls", server.slug, got.Error, len(got.Calls))
					continue
				}
				for j, ask := range server.asks {
					_, excepted := server.except[client.era]
					if works := strings.Contains(got.Calls[j].Text, ask.says); works == excepted {
						t.Errorf("%s, %s: %q, %q; want %q", server.slug, ask.what, got.Calls[j].Text, got.Calls[j].Error, ask.says)
					}
				}
			}
		})
	}
}

// answeringNode makes all visits in one process of Node.
func answeringNode(kind string) func(*testing.T, string, []visit) []outcome {
	return func(t *testing.T, token string, visits []visit) (outcomes []outcome) {
		command := node(t).Command("agent.mjs")
		command.Stdin = bytes.NewReader(must[[]byte](t)(json.Marshal(map[string]any{"kind": kind, "token": token, "visits": visits, "answers": replies})))
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		code, stdout, stderr, err := rig.Run(ctx, command)
		if err != nil || code != 0 {
			t.Fatalf("exit %d, %v\n%s\n%s", code, err, stdout, stderr)
		}
		if err := json.Unmarshal([]byte(stdout), &outcomes); err != nil {
			t.Fatalf("%v\n%s", err, stdout)
		}
		return outcomes
	}
}

// repliesMCPGo answers as a client of mcp-go.
type repliesMCPGo struct{}

func (repliesMCPGo) Elicit(_ context.Context, r mcpgo.ElicitationRequest) (*mcpgo.ElicitationResult, error) {
	got := &mcpgo.ElicitationResult{}
	got.Action = mcpgo.ElicitationResponseActionAccept
	if r.Params.Mode != "url" {
		got.Content = maps.Clone(replies.Form) // clients write into it
	}
	return got, nil
}

func (repliesMCPGo) CreateMessage(context.Context, mcpgo.CreateMessageRequest) (*mcpgo.CreateMessageResult, error) {
	return &mcpgo.CreateMessageResult{SamplingMessage: mcpgo.SamplingMessage{Role: mcpgo.RoleAssistant, Content: mcpgo.NewTextContent(replies.Sampling)}, Model: "m"}, nil
}

func (repliesMCPGo) ListRoots(context.Context, mcpgo.ListRootsRequest) (*mcpgo.ListRootsResult, error) {
	return &mcpgo.ListRootsResult{Roots: []mcpgo.Root{{URI: replies.Root}}}, nil
}

func answeringMCPGo(legacy bool) func(context.Context, *http.Client, visit) (outcome, error) {
	return func(ctx context.Context, web *http.Client, v visit) (o outcome, err error) {
		options := []mcpgoclient.ClientOption{
			mcpgoclient.WithElicitationHandler(repliesMCPGo{}), mcpgoclient.WithSamplingHandler(repliesMCPGo{}), mcpgoclient.WithRootsHandler(repliesMCPGo{}),
		}
		if legacy {
			//lint:ignore SA1019 there is no other way to speak the older era, and agents do
			options = append(options, mcpgoclient.WithLegacyProtocolOnly())
		}
		way, err := transport.NewStreamableHTTP(v.URL, transport.WithHTTPBasicClient(web))
		if err != nil {
			return o, err
		}
		client := mcpgoclient.NewClient(way, options...)
		if err := client.Start(ctx); err != nil {
			return o, err
		}
		defer client.Close()
		var request mcpgo.InitializeRequest
		request.Params.ProtocolVersion = mcpgo.LATEST_PROTOCOL_VERSION
		request.Params.ClientInfo = mcpgo.Implementation{Name: "agent", Version: "1"}
		request.Params.Capabilities.Elicitation = &mcpgo.ElicitationCapability{Form: &struct{}{}, URL: &struct{}{}}
		if _, err := client.Initialize(ctx, request); err != nil {
			return o, err
		}
		for _, c := range v.Calls {
			o.Calls = append(o.Calls, callMCPGo(ctx, client, c))
		}
		return o, nil
	}
}

func answeringGoSDK(version string) func(context.Context, *http.Client, visit) (outcome, error) {
	return func(ctx context.Context, web *http.Client, v visit) (o outcome, err error) {
		client := mcp.NewClient(&mcp.Implementation{Name: "agent", Version: "1"}, &mcp.ClientOptions{
			Capabilities: &mcp.ClientCapabilities{
				Elicitation: &mcp.ElicitationCapabilities{Form: &mcp.FormElicitationCapabilities{}, URL: &mcp.URLElicitationCapabilities{}}, RootsV2: &mcp.RootCapabilities{},
			},
			ElicitationHandler: func(_ context.Context, r *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
				if r.Params.Mode == "url" {
					return &mcp.ElicitResult{Action: "accept"}, nil
				}
				return &mcp.ElicitResult{Action: "accept", Content: maps.Clone(replies.Form)}, nil
			},
			CreateMessageHandler: func(context.Context, *mcp.CreateMessageRequest) (*mcp.CreateMessageResult, error) {
				return &mcp.CreateMessageResult{Role: "assistant", Model: "m", Content: &mcp.TextContent{Text: replies.Sampling}}, nil
			},
		})
		client.AddRoots(&mcp.Root{URI: replies.Root})
		session, err := client.Connect(ctx, &mcp.StreamableClientTransport{Endpoint: v.URL, HTTPClient: web}, &mcp.ClientSessionOptions{ProtocolVersion: version})
		if err != nil {
			return o, err
		}
		defer session.Close()
		for _, c := range v.Calls {
			o.Calls = append(o.Calls, callGoSDK(ctx, session, c))
		}
		return o, nil
	}
}
