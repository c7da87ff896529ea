// Package demo is the MCP server that mcp-sidecar serve --demo registers, so that a newcomer has something real to talk to.
//
// It is built with mcp-go and listens on a loopback port of its own. It deliberately uses nothing of the sidecar.
package demo

import "context"

// Server is the running demo server.
type Server struct{}

// Start listens on 127.0.0.1, on a port that the system chooses.
func Start() (*Server, error) { panic("unbuilt") }

// URL is the MCP endpoint.
func (s *Server) URL() string { panic("unbuilt") }

// Close stops it and returns after its goroutines.
func (s *Server) Close(ctx context.Context) error { panic("unbuilt") }
