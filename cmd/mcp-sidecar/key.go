package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"mcpsidecar/admin"
)

func newKey(p Process) *cobra.Command {
	f := &clientFlags{}
	cmd := group("key", "Change the key that secrets are sealed with", newKeyRotate(p, f), newKeyShow(p, f))
	cmd.Long = "Change the key that secrets are sealed with.\n\n" + clientHelp
	cmd.Example = "  # Make a new key, and wait until everything is sealed with it\n  mcp-sidecar key rotate"
	f.add(cmd)
	return cmd
}

func newKeyRotate(p Process, f *clientFlags) *cobra.Command {
	return &cobra.Command{
		Use: "rotate", Short: "Make a new key, and seal everything with it while the sidecar goes on", Args: arguments(),
		Long: "Make a new key, and seal everything with it while the sidecar goes on.\n\nOlder keys stay in the key file: backups need them. Back the file up afterwards.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.connect(p)
			if err != nil {
				return err
			}
			answer, err := c.call(cmd.Context(), http.MethodPost, "/key/rotate", nil)
			if err != nil {
				return err
			}
			return followKey(cmd.Context(), p, f, c, answer)
		},
	}
}

// followKey tells of the progress until everything is sealed anew.
func followKey(ctx context.Context, p Process, f *clientFlags, c *client, answer json.RawMessage) error {
	for last := -1; ; {
		var state admin.KeyState
		if err := decode(answer, &state); err != nil {
			return err
		}
		if !state.Resealing {
			if f.json {
				return printJSON(p.Stdout, answer)
			}
			fmt.Fprintf(p.Stdout, "Everything is sealed with the new key. The key file has %d keys; back it up.\n", state.Keys)
			return nil
		}
		if state.Done != last {
			last = state.Done
			fmt.Fprintf(p.Stderr, "%d of %d\n", state.Done, state.Total)
		}
		if state.Problem != "" {
			fmt.Fprintln(p.Stderr, "warning:", printable(state.Problem))
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
		var err error
		if answer, err = c.get(ctx, "/key", &state); err != nil {
			return err
		}
	}
}

func newKeyShow(p Process, f *clientFlags) *cobra.Command {
	return &cobra.Command{
		Use: "show", Short: "Show how far the sealing with the newest key is", Args: arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.connect(p)
			if err != nil {
				return err
			}
			var state admin.KeyState
			answer, err := c.get(cmd.Context(), "/key", &state)
			if err != nil || f.json {
				return printed(p.Stdout, answer, err)
			}
			return printFields(p.Stdout, answer)
		},
	}
}
