package main

import (
	"io"
	"log/slog"

	"github.com/spf13/cobra"
)

const serveHelp = `Run the sidecar: the MCP endpoint and the management API on one listener, metrics and health on another.

Each flag can be given in the environment instead, under the name in brackets; a flag beats the environment, and an empty variable is as
good as none. MCP_SIDECAR_ADMIN_TOKEN sets an admin token (at least 32 characters; it is no flag, because a command line can be read by
everybody on the machine). Without it the first start makes one and leaves it in admin.token in the data directory.

SIGTERM and SIGINT: take no new work, let what is under way end, exit 0. A second one ends at once. SIGHUP: open the audit file anew.`

const serveExample = `  # Try it: a demo server, and a block to paste into an MCP client
  mcp-sidecar serve --demo

  # In a pod, beside an agent, with servers in the cluster's own network
  mcp-sidecar serve --data-dir /data --metrics-listen 0.0.0.0:9090 --allow-private-cidrs 10.0.0.0/8 --audit-log - --log-format json`

func newServe(p Process) *cobra.Command {
	cmd := &cobra.Command{
		Use: "serve", Short: "Run the sidecar", Long: serveHelp, Example: serveExample, Args: arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			o, err := readOptions(cmd.Flags(), p.Env)
			if err != nil {
				return usage(cmd, err)
			}
			return serve(cmd.Context(), o, p)
		},
	}
	cmd.Flags().SortFlags = false
	addFlags(cmd.Flags(), flags)
	return cmd
}

// newLogger returns the program's logger. Records go to stderr: stdout may be the audit log's.
func newLogger(w io.Writer, o options) *slog.Logger {
	handling := &slog.HandlerOptions{Level: o.logLevel}
	if o.logJSON {
		return slog.New(slog.NewJSONHandler(w, handling))
	}
	return slog.New(slog.NewTextHandler(w, handling))
}
