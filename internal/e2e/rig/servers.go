package rig

import "context"

// GoSDK starts the conformance server of the Go SDK. Stateless it speaks the modern era and the older ones without sessions; otherwise the older ones, with sessions.
func GoSDK(ctx context.Context, binary string, stateless bool) (*Process, string, error) {
	return Serve(ctx, func(port string) Command {
		args := []string{"-http=127.0.0.1:" + port}
		if !stateless {
			args = append(args, "-stateless=false")
		}
		return Command{Path: binary, Args: args}
	})
}

// MCPGo starts the conformance server of mcp-go; it is at /mcp.
func MCPGo(ctx context.Context, binary string) (*Process, string, error) {
	return Serve(ctx, func(port string) Command {
		return Command{Path: binary, Env: []string{"CONFORMANCE_ADDR=127.0.0.1:" + port}}
	})
}
