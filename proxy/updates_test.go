package proxy_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"mcpsidecar/configstore"
	"mcpsidecar/policy"
)

// startSDKLibrary starts a server of the Go SDK with one resource.
func startSDKLibrary(t *testing.T, era string) (*mcp.Server, *httptest.Server) {
	nothing := func(context.Context, *mcp.SubscribeRequest) error { return nil }
	server := mcp.NewServer(&mcp.Implementation{Name: "sdk", Version: "1"}, &mcp.ServerOptions{
		SubscribeHandler: nothing, UnsubscribeHandler: func(context.Context, *mcp.UnsubscribeRequest) error { return nil },
	})
	server.AddResource(&mcp.Resource{Name: "a", URI: "x://a"}, func(context.Context, *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
		return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{{URI: "x://a", Text: "t"}}}, nil
	})
	web := httptest.NewServer(mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, &mcp.StreamableHTTPOptions{Stateless: era == "modern"}))
	t.Cleanup(func() { web.CloseClientConnections(); web.Close() })
	return server, web
}

// TestARealClientHearsOfUpdatesOfARealServer: both of the Go SDK, in all combinations of eras; what is unsubscribed from is not told any more.
func TestARealClientHearsOfUpdatesOfARealServer(t *testing.T) {
	everyCombination(t, func(t *testing.T, clientEra, serverEra string) {
		server, web := startSDKLibrary(t, serverEra)
		r := newRig(t, configstore.Server{
			ID: "one", Slug: "one", Transport: configstore.StreamableHTTP, URL: web.URL, AuthType: configstore.AuthNone, Revision: 1,
			Rules: policy.Rules{Enabled: true, Availability: policy.DefaultOn, ToolPinning: policy.PinWarn},
		})
		updated := make(chan string, 16)
		client := mcp.NewClient(&mcp.Implementation{Name: "agent", Version: "1"}, &mcp.ClientOptions{
			ResourceUpdatedHandler: func(_ context.Context, r *mcp.ResourceUpdatedNotificationRequest) { updated <- r.Params.URI },
		})
		version := map[string]string{"modern": "2026-07-28", "legacy": "2025-11-25"}[clientEra]
		way := &mcp.StreamableClientTransport{Endpoint: r.web.URL + "/mcp", HTTPClient: &http.Client{Transport: bearer(r.token("user", "alice"))}}
		session, err := client.Connect(t.Context(), way, &mcp.ClientSessionOptions{ProtocolVersion: version})
		if err != nil {
			t.Fatal(err)
		}
		defer session.Close()
		if !session.InitializeResult().Capabilities.Resources.Subscribe {
			t.Error("subscriptions are not offered")
		}
		if err := session.Subscribe(t.Context(), &mcp.SubscribeParams{URI: "x://a"}); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			server.ResourceUpdated(t.Context(), &mcp.ResourceUpdatedNotificationParams{URI: "x://a"})
			if got := <-updated; got != "x://a" {
				t.Errorf("%s is updated", got)
			}
		}
		if err := session.Subscribe(t.Context(), &mcp.SubscribeParams{URI: "x://nowhere"}); err == nil && clientEra == "legacy" { // the other does not look at what is answered
			t.Error("a resource that does not exist can be subscribed to")
		}
		if err := session.Unsubscribe(t.Context(), &mcp.UnsubscribeParams{URI: "x://a"}); err != nil {
			t.Fatal(err)
		}
	})
}
