package demo_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"

	"mcpsidecar/internal/demo"
	"mcpsidecar/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

// start runs a demo server for the length of a test.
func start(t *testing.T) *demo.Server {
	t.Helper()
	s, err := demo.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return s
}

// eras are the clients that each test runs with.
var eras = map[string][]client.ClientOption{
	"modern": nil,
	//lint:ignore SA1019 there is no other way to speak the older era, and servers have to
	"legacy": {client.WithLegacyProtocolOnly()},
}

func connect(t *testing.T, url string, options ...client.ClientOption) *client.Client {
	t.Helper()
	pool := &http.Transport{}
	t.Cleanup(pool.CloseIdleConnections)
	way, err := transport.NewStreamableHTTP(url, transport.WithHTTPBasicClient(&http.Client{Transport: pool}))
	if err != nil {
		t.Fatal(err)
	}
	c := client.NewClient(way, options...)
	t.Cleanup(func() { _ = c.Close() })
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	var request mcp.InitializeRequest
	request.Params.ProtocolVersion = mcp.LATEST_PROTOCOL_VERSION
	request.Params.ClientInfo = mcp.Implementation{Name: "test", Version: "1"}
	if _, err := c.Initialize(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	return c
}

// call returns the text of a tool's result and whether the tool failed.
func call(t *testing.T, c *client.Client, tool string, arguments map[string]any) (text string, failed bool) {
	t.Helper()
	var request mcp.CallToolRequest
	request.Params.Name, request.Params.Arguments = tool, arguments
	result, err := c.CallTool(t.Context(), request)
	if err != nil {
		t.Fatalf("%s: %v", tool, err)
	}
	content, ok := result.Content[0].(mcp.TextContent)
	if !ok {
		t.Fatalf("%s answered %T", tool, result.Content[0])
	}
	return content.Text, result.IsError
}

func TestToolsSayWhetherTheyWrite(t *testing.T) {
	want := map[string]string{
		"echo": "reads", "add": "reads", "now": "reads", "countdown": "reads",
		"note_add": "writes", "note_list": "reads", "note_delete": "erases",
	}
	for era, options := range eras {
		t.Run(era, func(t *testing.T) {
			list, err := connect(t, start(t).URL(), options...).ListTools(t.Context(), mcp.ListToolsRequest{})
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			for _, tool := range list.Tools {
				got[tool.Name] = "writes"
				if *tool.Annotations.ReadOnlyHint {
					got[tool.Name] = "reads"
				} else if *tool.Annotations.DestructiveHint {
					got[tool.Name] = "erases"
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("the tools are %v, want %v", got, want)
			}
		})
	}
}

func TestTools(t *testing.T) {
	type arguments = map[string]any
	steps := []struct {
		tool      string
		arguments arguments
		want      string
		failed    bool
	}{
		{"echo", arguments{"text": "hello"}, "hello", false},
		{"add", arguments{"a": 2, "b": 0.5}, "2.5", false},
		{"note_list", nil, "There are no notes.", false},
		{"note_add", arguments{"text": "milk"}, "Kept as note 1.", false},
		{"note_add", arguments{"text": "bread"}, "Kept as note 2.", false},
		{"note_list", nil, "1: milk\n2: bread\n", false},
		{"note_delete", arguments{"number": 1}, "Deleted note 1.", false},
		{"note_delete", arguments{"number": 1}, "There is no note 1.", true},
		{"note_add", arguments{"text": "tea"}, "Kept as note 3.", false},
		{"note_list", nil, "2: bread\n3: tea\n", false},
		{"countdown", arguments{"from": 1, "pause_ms": 50}, "Counted down from 1.", false},
	}
	for era, options := range eras {
		t.Run(era, func(t *testing.T) {
			c := connect(t, start(t).URL(), options...)
			for _, step := range steps {
				text, failed := call(t, c, step.tool, step.arguments)
				if text != step.want || failed != step.failed {
					t.Errorf("%s(%v) = %q, %v; want %q, %v", step.tool, step.arguments, text, failed, step.want, step.failed)
				}
			}
		})
	}
}

func TestNowIsATime(t *testing.T) {
	text, _ := call(t, connect(t, start(t).URL()), "now", nil)
	if _, err := time.Parse(time.RFC3339, text); err != nil {
		t.Error(err)
	}
}

func TestNotesAreBounded(t *testing.T) {
	c := connect(t, start(t).URL())
	for range 100 {
		if text, failed := call(t, c, "note_add", map[string]any{"text": "x"}); failed {
			t.Fatal(text)
		}
	}
	if text, failed := call(t, c, "note_add", map[string]any{"text": "x"}); !failed {
		t.Errorf("the 101st note was kept: %s", text)
	}
	if text, failed := call(t, c, "note_add", map[string]any{"text": strings.Repeat("x", 1001)}); !failed {
		t.Errorf("a note of 1001 characters was kept: %s", text)
	}
}

func TestCountdownReportsEachStep(t *testing.T) {
	for era, options := range eras {
		t.Run(era, func(t *testing.T) {
			c := connect(t, start(t).URL(), options...)
			steps := make(chan string, 10)
			c.OnNotification(func(n mcp.JSONRPCNotification) {
				if n.Method == "notifications/progress" {
					steps <- fmt.Sprint(n.Params.AdditionalFields["progress"], " of ", n.Params.AdditionalFields["total"])
				}
			})
			var request mcp.CallToolRequest
			request.Params.Name = "countdown"
			request.Params.Arguments = map[string]any{"from": 3, "pause_ms": 50}
			request.Params.Meta = &mcp.Meta{ProgressToken: "t"}
			if _, err := c.CallTool(t.Context(), request); err != nil {
				t.Fatal(err)
			}
			var got []string
			for range 3 {
				got = append(got, <-steps)
			}
			if want := []string{"1 of 3", "2 of 3", "3 of 3"}; !slices.Equal(got, want) {
				t.Errorf("progress was %v, want %v", got, want)
			}
		})
	}
}

// TestCloseEndsStandingStreams: a client that listens must not keep the program from ending.
func TestCloseEndsStandingStreams(t *testing.T) {
	s, err := demo.Start()
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	request, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL(), nil)
	request.Header.Set("Accept", "text/event-stream")
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatalf("the stream answered %s", response.Status)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		t.Error(err)
	}
}

// TestCloseCutsOff: whoever connects and says nothing does not keep the program either, and is no error.
func TestCloseCutsOff(t *testing.T) {
	s, err := demo.Start()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(s.URL(), "http://"), "/mcp"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Close(ctx); err != nil {
		t.Error(err)
	}
}
