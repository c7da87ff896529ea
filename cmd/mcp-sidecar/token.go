package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

const tokenExample = `  # For a chat agent that names its users itself
  mcp-sidecar token create --name chat --role agent

  # For one person, for a week, in plan mode only, on two servers
  mcp-sidecar token create --name review --role user --user alice --mode plan --servers github,linear --expires-in 168h

  # In a script: the token alone is on stdout
  TOKEN=$(mcp-sidecar token create --name ci --role user --user ci)`

// tokenRecord is an API token as the API shows it.
type tokenRecord struct {
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	Role      string     `json:"role"`
	User      string     `json:"user"`
	Mode      string     `json:"mode"`
	Agent     string     `json:"agent"`
	Servers   []string   `json:"servers"`
	CreatedAt time.Time  `json:"created_at"`
	ExpiresAt *time.Time `json:"expires_at"`
	Token     string     `json:"token"` // in the answer to its creation only
}

func newToken(p Process) *cobra.Command {
	f := &clientFlags{}
	cmd := group("token", "Make, list and revoke API tokens", newTokenCreate(p, f), newTokenList(p, f), newTokenRevoke(p, f))
	cmd.Long = "Make, list and revoke API tokens.\n\n" + clientHelp
	cmd.Example = tokenExample
	f.add(cmd)
	return cmd
}

func newTokenCreate(p Process, f *clientFlags) *cobra.Command {
	var request struct {
		Name      string   `json:"name"`
		Role      string   `json:"role"`
		User      string   `json:"user,omitempty"`
		Mode      string   `json:"mode,omitempty"`
		Agent     string   `json:"agent,omitempty"`
		Servers   []string `json:"servers,omitempty"`
		ExpiresIn int64    `json:"expires_in,omitempty"`
	}
	var lifetime time.Duration
	cmd := &cobra.Command{
		Use: "create", Short: "Make a token and print it, this once", Args: arguments(), Example: tokenExample,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if request.Name == "" || request.Role == "" {
				return usage(cmd, errors.New("--name and --role are needed"))
			}
			if cmd.Flags().Changed("expires-in") {
				if request.ExpiresIn = int64(lifetime / time.Second); request.ExpiresIn < 1 {
					return usage(cmd, errors.New("--expires-in is at least one second"))
				}
			}
			return createToken(cmd.Context(), p, f, request)
		},
	}
	set := cmd.Flags()
	set.StringVar(&request.Name, "name", "", "`what` the token is for")
	set.StringVar(&request.Role, "role", "", "`role`: admin, user or agent")
	set.StringVar(&request.User, "user", "", "`user` on whose behalf it acts; role user needs one")
	set.StringVar(&request.Mode, "mode", "", "pin a `mode`: with plan it can never act")
	set.StringVar(&request.Agent, "agent", "", "pin a `kind` of agent: with subagent it sees nothing in plan mode")
	set.StringSliceVar(&request.Servers, "servers", nil, "pin a selection of servers, by `slug`")
	set.DurationVar(&lifetime, "expires-in", 0, "`time` after which it is no longer accepted; without it, never")
	return cmd
}

func createToken(ctx context.Context, p Process, f *clientFlags, request any) error {
	c, err := f.connect(p)
	if err != nil {
		return err
	}
	answer, err := c.call(ctx, http.MethodPost, "/tokens", request)
	if err != nil {
		return err
	}
	if f.json {
		return printJSON(p.Stdout, answer)
	}
	var made tokenRecord
	if err := decode(answer, &made); err != nil {
		return err
	}
	fmt.Fprintln(p.Stdout, printable(made.Token))
	fmt.Fprintf(p.Stderr, "Token %s was made. It is shown this once; keep it safe.\n", printable(made.ID))
	return nil
}

func newTokenList(p Process, f *clientFlags) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the tokens, without their text", Args: arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.connect(p)
			if err != nil {
				return err
			}
			var tokens []tokenRecord
			answer, err := c.get(cmd.Context(), "/tokens", &tokens)
			if err != nil {
				return err
			}
			if f.json {
				return printJSON(p.Stdout, answer)
			}
			rows := make([][]string, len(tokens))
			for i, t := range tokens {
				rows[i] = []string{t.ID, t.Name, t.Role, t.User, t.Mode, t.Agent, strings.Join(t.Servers, ","), when(&t.CreatedAt), when(t.ExpiresAt)}
			}
			table(p.Stdout, "ID NAME ROLE USER MODE AGENT SERVERS CREATED EXPIRES", rows)
			return nil
		},
	}
}

func newTokenRevoke(p Process, f *clientFlags) *cobra.Command {
	return &cobra.Command{
		Use: "revoke ID", Short: "Revoke a token, at once", Args: arguments("the token's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := f.connect(p)
			if err != nil {
				return err
			}
			if _, err := c.call(cmd.Context(), http.MethodDelete, "/tokens/"+url.PathEscape(args[0]), nil); err != nil {
				return fmt.Errorf("revoking token %s: %w (mcp-sidecar token list says which there are)", printable(args[0]), err)
			}
			if !f.json {
				fmt.Fprintf(p.Stdout, "Token %s is revoked.\n", printable(args[0]))
			}
			return nil
		},
	}
}

// when writes a time for people; the zero time and none are empty.
func when(t *time.Time) string {
	if t == nil || t.IsZero() {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04")
}
