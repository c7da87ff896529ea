//lint:file-ignore SA1019 what is deprecated is what is tried

package e2e_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	mcpgoclient "github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	mcpgo "github.com/mark3labs/mcp-go/mcp"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

const (
	watched = "demo://resource/dynamic/text/1" // of a template, and so in no list
	toggle  = "npm__toggle-subscriber-updates" // has the server change what its session has subscribed to, at once and every five seconds
)

// subscribers are clients that others wrote. Each subscribes to a resource, has the server change it, and returns the URI that it is told.
var subscribers = map[string]func(ctx context.Context, web *http.Client, url string) (string, error){
	"go-sdk, modern": subscribeGoSDK("2026-07-28"),
	"go-sdk, legacy": subscribeGoSDK("2025-11-25"),
	"mcp-go, modern": subscribeMCPGo(false),
	"mcp-go, legacy": subscribeMCPGo(true),
}

func subscribeGoSDK(version string) func(context.Context, *http.Client, string) (string, error) {
	return func(ctx context.Context, web *http.Client, url string) (string, error) {
		updated := make(chan string, 16)
		client := mcp.NewClient(&mcp.Implementation{Name: "agent", Version: "1"}, &mcp.ClientOptions{
			ResourceUpdatedHandler: func(_ context.Context, r *mcp.ResourceUpdatedNotificationRequest) { updated <- r.Params.URI },
		})
		session, err := client.Connect(ctx, &mcp.StreamableClientTransport{Endpoint: url, HTTPClient: web}, &mcp.ClientSessionOptions{ProtocolVersion: version})
		if err != nil {
			return "", err
		}
		defer session.Close()
		if err := session.Subscribe(ctx, &mcp.SubscribeParams{URI: watched}); err != nil {
			return "", err
		}
		if _, err := session.CallTool(ctx, &mcp.CallToolParams{Name: toggle, Arguments: map[string]any{}}); err != nil {
			return "", err
		}
		return first(ctx, updated)
	}
}

func subscribeMCPGo(legacy bool) func(context.Context, *http.Client, string) (string, error) {
	return func(ctx context.Context, web *http.Client, url string) (string, error) {
		var client *mcpgoclient.Client
		var err error
		if legacy {
			client, err = listenMCPGo(ctx, web, url)
		} else {
			client, err = connectMCPGo(ctx, web, url, false)
		}
		if err != nil {
			return "", err
		}
		defer client.Close()
		updated, acknowledged := make(chan string, 16), make(chan struct{}, 1)
		client.OnNotification(func(n mcpgo.JSONRPCNotification) {
			switch n.Method {
			case mcpgo.MethodNotificationResourceUpdated:
				uri, _ := n.Params.AdditionalFields["uri"].(string)
				updated <- uri
			case mcpgo.MethodNotificationSubscriptionsAcknowledged:
				acknowledged <- struct{}{}
			}
		})
		if legacy {
			var request mcpgo.SubscribeRequest
			request.Params.URI = watched
			//lint:ignore SA1019 it is how the older era subscribes
			err = client.Subscribe(ctx, request)
		} else {
			var stop func()
			if stop, err = client.ListenAsync(ctx, mcpgo.SubscriptionFilter{ResourceSubscriptions: []string{watched}}, nil); err == nil {
				defer stop()
				<-acknowledged
			}
		}
		if err != nil {
			return "", err
		}
		var call mcpgo.CallToolRequest
		call.Params.Name = toggle
		if _, err := client.CallTool(ctx, call); err != nil {
			return "", err
		}
		return first(ctx, updated)
	}
}

// listenMCPGo connects a client of the older era that opens its standing stream.
func listenMCPGo(ctx context.Context, web *http.Client, url string) (*mcpgoclient.Client, error) {
	way, err := transport.NewStreamableHTTP(url, transport.WithHTTPBasicClient(web), transport.WithContinuousListening())
	if err != nil {
		return nil, err
	}
	//lint:ignore SA1019 there is no other way to speak the older era, and agents do
	client := mcpgoclient.NewClient(way, mcpgoclient.WithLegacyProtocolOnly())
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

func first(ctx context.Context, updated <-chan string) (string, error) {
	select {
	case uri := <-updated:
		return uri, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// TestUpdatesOfServerEverything: it tells of a change nobody but the session that caused it, over either of its transports.
func TestUpdatesOfServerEverything(t *testing.T) {
	for way, served := range map[string][2]string{"streamable_http": {"streamableHttp", "/mcp"}, "sse": {"sse", "/sse"}} {
		t.Run(way, func(t *testing.T) {
			s := start(t)
			url := npmEverything(t, served[0], served[1])
			s.register("npm", url, "transport", way)
			web := withToken(t, s.token("alice"))
			for name, subscribe := range subscribers {
				t.Run(name, func(t *testing.T) {
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					defer cancel()
					if uri, err := subscribe(ctx, web, s.Base+"/mcp"); uri != watched {
						t.Errorf("told of %q: %v", uri, err)
					}
				})
			}
		})
	}
}
