//lint:file-ignore SA1019 what is deprecated is what is tried

package e2e_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"mcpsidecar/internal/e2e/rig"
)

// door is an address that stays while the sidecar behind it is killed and started anew. Who knocks in the meantime waits.
type door struct {
	mu   sync.Mutex
	open chan struct{} // closed when there is somebody behind
	to   *url.URL
}

func newDoor(t *testing.T) (d *door, address string) {
	d = &door{open: make(chan struct{})}
	web := httptest.NewServer(&httputil.ReverseProxy{
		FlushInterval: -1, Transport: d, ErrorLog: log.New(io.Discard, "", 0),
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: "sidecar"}) },
	})
	t.Cleanup(func() { web.CloseClientConnections(); web.Close() })
	return d, web.URL
}

func (d *door) RoundTrip(r *http.Request) (*http.Response, error) {
	for {
		d.mu.Lock()
		open := d.open
		d.mu.Unlock()
		select {
		case <-open:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
		d.mu.Lock()
		r.URL.Host = d.to.Host
		d.mu.Unlock()
		r.Host = r.URL.Host
		response, err := http.DefaultTransport.RoundTrip(r)
		if err == nil || r.Method != http.MethodGet || !d.changed(open) {
			return response, err
		}
	}
}

// changed says whether the door was shut since.
func (d *door) changed(since chan struct{}) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.open != since
}

func (d *door) shut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open = make(chan struct{})
}

func (d *door) leadTo(t *testing.T, s *sidecar) {
	t.Helper()
	to := must[*url.URL](t)(url.Parse(s.Base))
	d.mu.Lock()
	defer d.mu.Unlock()
	d.to = to
	close(d.open)
}

// startChanging starts a server of the Go SDK with a resource that changes when the test says so, and a tool that logs what matters and what does not.
func startChanging(t *testing.T) (server *mcp.Server, address string) {
	server = mcp.NewServer(&mcp.Implementation{Name: "changing", Version: "1"}, &mcp.ServerOptions{
		SubscribeHandler:   func(context.Context, *mcp.SubscribeRequest) error { return nil },
		UnsubscribeHandler: func(context.Context, *mcp.UnsubscribeRequest) error { return nil },
	})
	server.AddResource(&mcp.Resource{Name: "changing", URI: changingURI}, func(context.Context, *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
		return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{{URI: changingURI, Text: "now"}}}, nil
	})
	mcp.AddTool(server, &mcp.Tool{Name: "speak"}, func(ctx context.Context, r *mcp.CallToolRequest, _ struct{}) (*mcp.CallToolResult, any, error) {
		for _, level := range []mcp.LoggingLevel{"info", "error"} {
			if err := r.Session.Log(ctx, &mcp.LoggingMessageParams{Level: level, Data: string(level)}); err != nil {
				return nil, nil, err
			}
		}
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: "spoken"}}}, nil, nil
	})
	web := httptest.NewServer(mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, nil))
	t.Cleanup(func() {
		web.CloseClientConnections()
		web.Close()
		for session := range server.Sessions() { // a killed sidecar says goodbye to none
			session.Close()
		}
	})
	return server, web.URL
}

const changingURI = "file:///changing"

// survivor is a client that somebody else wrote, of the older era. It is told once what to do, and never that anything has happened to the sidecar.
type survivor struct {
	level     func(level string) error
	subscribe func(uri string) error
	call      func(tool string) error
	heard     <-chan string // "log", or "updated URI"
}

// survivors connect.
var survivors = map[string]func(t *testing.T, url, token string) survivor{
	"go-sdk":      surviveGoSDK,
	"npm sdk 1.x": surviveNode("sdk", "legacy"),
}

func surviveGoSDK(t *testing.T, url, token string) survivor {
	heard := make(chan string, 64)
	client := mcp.NewClient(&mcp.Implementation{Name: "agent", Version: "1"}, &mcp.ClientOptions{
		ResourceUpdatedHandler: func(_ context.Context, r *mcp.ResourceUpdatedNotificationRequest) { heard <- "updated " + r.Params.URI },
		LoggingMessageHandler:  func(context.Context, *mcp.LoggingMessageRequest) { heard <- "log" },
	})
	transport := &mcp.StreamableClientTransport{Endpoint: url, HTTPClient: withToken(t, token)}
	session := must[*mcp.ClientSession](t)(client.Connect(t.Context(), transport, &mcp.ClientSessionOptions{ProtocolVersion: "2025-11-25"}))
	t.Cleanup(func() { session.Close() })
	return survivor{
		level: func(level string) error {
			return session.SetLoggingLevel(t.Context(), &mcp.SetLoggingLevelParams{Level: mcp.LoggingLevel(level)})
		},
		subscribe: func(uri string) error { return session.Subscribe(t.Context(), &mcp.SubscribeParams{URI: uri}) },
		call: func(tool string) error {
			_, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: tool, Arguments: map[string]any{}})
			return err
		},
		heard: heard,
	}
}

// surviveNode has client.mjs do it, line by line.
func surviveNode(args ...string) func(t *testing.T, url, token string) survivor {
	return func(t *testing.T, url, token string) survivor {
		c := node(t).Command("client.mjs", args...)
		command := exec.Command(c.Path, c.Args...)
		command.Env, command.Dir, command.Stderr = c.Env, c.Dir, t.Output()
		stdin := must[io.WriteCloser](t)(command.StdinPipe())
		stdout := must[io.ReadCloser](t)(command.StdoutPipe())
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		heard, done, read := make(chan string, 64), make(chan error, 1), make(chan struct{})
		go func() {
			defer close(read)
			for lines := bufio.NewScanner(stdout); lines.Scan(); {
				var line struct {
					ID           int
					Error, Heard string
				}
				switch json.Unmarshal(lines.Bytes(), &line); {
				case line.Heard != "":
					heard <- line.Heard
				case line.Error != "":
					done <- errors.New(line.Error)
				case line.ID != 0:
					done <- nil
				}
			}
		}()
		t.Cleanup(func() { stdin.Close(); <-read; command.Wait() })
		id := 0
		do := func(op string, with any) error {
			id++
			text := must[[]byte](t)(json.Marshal(map[string]any{"id": id, "connection": 1, "op": op, "with": with}))
			if _, err := stdin.Write(append(text, '\n')); err != nil {
				return err
			}
			select {
			case err := <-done:
				return err
			case <-read:
				return errors.New("the process has ended")
			}
		}
		if err := do("connect", rig.Fields{"url": url, "token": token}); err != nil {
			t.Fatal(err)
		}
		return survivor{
			level:     func(level string) error { return do("level", rig.Fields{"level": level}) },
			subscribe: func(uri string) error { return do("watch", rig.Fields{"uri": uri}) },
			call: func(tool string) error {
				return do("call", rig.Fields{"name": tool, "arguments": rig.Fields{}})
			},
			heard: heard,
		}
	}
}

// TestClientsNoticeNoRestart: the sidecar is killed, and what its clients were promised before holds after: they hear of their resources, and of no log message below their level, without having asked again.
func TestClientsNoticeNoRestart(t *testing.T) {
	for name, connect := range survivors {
		t.Run(name, func(t *testing.T) {
			server, url := startChanging(t)
			s := start(t)
			s.register("one", url)
			entrance, address := newDoor(t)
			entrance.leadTo(t, s)
			c := connect(t, address+"/mcp", s.token("alice"))
			if err := errors.Join(c.level("error"), c.subscribe(changingURI), c.call("one__speak")); err != nil {
				t.Fatal(err)
			}
			c.hears(t, "log", nil)
			change := func() {
				if err := server.ResourceUpdated(t.Context(), &mcp.ResourceUpdatedNotificationParams{URI: changingURI}); err != nil {
					t.Error(err)
				}
			}
			c.hears(t, "updated "+changingURI, change)

			for range 2 {
				entrance.shut()
				s.Kill()
				s = s.again()
				c.forgets()
				entrance.leadTo(t, s)
				c.hears(t, "updated "+changingURI, nil) // it may be another now, for all that anybody knows
				c.hears(t, "updated "+changingURI, change)
				if err := c.call("one__speak"); err != nil {
					t.Fatal(err)
				}
				c.hears(t, "log", nil)
			}
		})
	}
}

// hears waits until the client hears a word; meanwhile, if there is a cause of it, that happens again and again: streams begin when they please.
func (c survivor) hears(t *testing.T, word string, cause func()) {
	t.Helper()
	late := time.After(patience)
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		select {
		case got := <-c.heard:
			if got == word {
				return
			}
		case <-again.C:
			if cause != nil {
				cause()
			}
		case <-late:
			t.Fatalf("it never hears %q", word)
		}
	}
}

// forgets is what was heard until now.
func (c survivor) forgets() {
	for {
		select {
		case <-c.heard:
		default:
			return
		}
	}
}
