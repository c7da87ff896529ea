package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

const (
	path    = "/mcp"
	maxBody = 1 << 20
)

// Server is the running demo server.
type Server struct {
	// fixed at creation
	url    string
	stop   context.CancelFunc // ends what requests are doing
	http   *http.Server
	served chan error // what Serve returned; read once, by Close
}

// Start listens on 127.0.0.1, on a port that the system chooses.
func Start() (*Server, error) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("starting the demo server: %w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	tools := newTools(ctx.Done())
	s := &Server{url: "http://" + listener.Addr().String() + path, stop: stop, served: make(chan error, 1)}
	mux := http.NewServeMux()
	mux.Handle(path, mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return tools }, &mcp.StreamableHTTPOptions{
		Stateless: true, PropagateRequestCancellation: true, MaxRequestBodyBytes: maxBody,
	}))
	s.http = &http.Server{
		Handler:           mux,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	go func() { s.served <- s.http.Serve(listener) }()
	return s, nil
}

// URL is the MCP endpoint.
func (s *Server) URL() string { return s.url }

// Close stops it and returns after its goroutines. What has not ended when ctx does is cut off.
func (s *Server) Close(ctx context.Context) error {
	s.stop() // ends the subscriptions and the countdowns that Shutdown would wait for
	var err error
	if s.http.Shutdown(ctx) != nil {
		err = s.http.Close()
	}
	if served := <-s.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	if err != nil {
		return fmt.Errorf("stopping the demo server: %w", err)
	}
	return nil
}
