package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/mark3labs/mcp-go/server"
)

const (
	path    = "/mcp"
	maxBody = 1 << 20
	// sessionIdle is how long a legacy client that never said goodbye is remembered.
	sessionIdle = 10 * time.Minute
)

// Server is the running demo server.
type Server struct {
	// fixed at creation
	url    string
	mcp    *server.StreamableHTTPServer
	http   *http.Server
	served chan error // what Serve returned; read once, by Close
}

// Start listens on 127.0.0.1, on a port that the system chooses.
func Start() (*Server, error) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("starting the demo server: %w", err)
	}
	quiet := slog.New(slog.DiscardHandler)
	s := &Server{
		url:    "http://" + listener.Addr().String() + path,
		mcp:    server.NewStreamableHTTPServer(newTools(), server.WithSessionIdleTTL(sessionIdle), server.WithStreamableHTTPLogger(quiet)),
		served: make(chan error, 1),
	}
	mux := http.NewServeMux()
	mux.Handle(path, http.MaxBytesHandler(s.mcp, maxBody))
	s.http = &http.Server{
		Handler:           mux,
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
	// The MCP layer goes first: it ends the standing streams that Shutdown would wait for.
	err := s.mcp.Shutdown(ctx)
	if s.http.Shutdown(ctx) != nil {
		err = errors.Join(err, s.http.Close())
	}
	if served := <-s.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	if err != nil {
		return fmt.Errorf("stopping the demo server: %w", err)
	}
	return nil
}
