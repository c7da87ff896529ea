package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

const healthExample = `  # In a container
  HEALTHCHECK CMD ["mcp-sidecar", "healthcheck"]

  # Would it take requests at the moment?
  mcp-sidecar healthcheck --ready`

// newHealthcheck asks a running sidecar how it is. It exists because an image without a shell has no curl either.
func newHealthcheck(p Process) *cobra.Command {
	ready := false
	cmd := &cobra.Command{
		Use: "healthcheck", Short: "Ask a running sidecar whether it is alive, or ready", Args: arguments(), Example: healthExample,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var o options
			if err := readFlag(&o, metricsFlag(), cmd.Flags(), p.Env); err != nil {
				return usage(cmd, err)
			}
			path := "/healthz"
			if ready {
				path = "/readyz"
			}
			return checkHealth(cmd.Context(), "http://"+reachable(o.metricsListen)+path)
		},
	}
	addFlags(cmd.Flags(), []Flag{metricsFlag()})
	cmd.Flags().BoolVar(&ready, "ready", false, "ask whether it takes requests, not just whether it lives")
	return cmd
}

func metricsFlag() Flag {
	for _, f := range flags {
		if f.Name == "metrics-listen" {
			return f
		}
	}
	panic("there is no flag metrics-listen")
}

// reachable is an address at which a listener on this machine answers.
func reachable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if address := net.ParseIP(host); host == "" || address != nil && address.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

func checkHealth(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // and no proxy: this is a question to ourselves
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("the sidecar does not answer: %w", err)
	}
	defer response.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(response.Body, 1024))
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s says %s: %s", url, response.Status, strings.TrimSpace(string(said)))
	}
	return nil
}
