package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

const serverExample = `  # A server without authentication, used unless an agent selects others
  mcp-sidecar server create --slug docs --url https://docs.example.com/mcp --availability default_on

  # One with an API key, which is read from a file and never from the command line
  mcp-sidecar server create --slug github --url https://api.example.com/mcp --auth-type api_key --api-key-header Authorization --api-key-file key.txt

  # Nobody deletes anything, and plan mode only reads
  mcp-sidecar server update github --deny 'delete_*' --allow-in-plan-mode --plan-read-only

  # One where every user has an account; how they sign in is found out by itself
  mcp-sidecar server create --slug linear --url https://mcp.example.com/mcp --auth-type oauth2
  mcp-sidecar server connect linear --user alice

  # Does it answer?
  mcp-sidecar server test github`

// serverRecord is what the tables show of a server.
type serverRecord struct {
	ID           string   `json:"id"`
	DisplayName  string   `json:"display_name"`
	Slug         string   `json:"slug"`
	URL          string   `json:"url"`
	Transport    string   `json:"transport"`
	AuthType     string   `json:"auth_type"`
	Availability string   `json:"availability"`
	Enabled      bool     `json:"enabled"`
	Warnings     warnings `json:"warnings"`
}

// warnings are what the API accepted and yet wants to be known.
type warnings []struct {
	Field  string `json:"field"`
	Detail string `json:"detail"`
}

func newServer(p Process) *cobra.Command {
	f := &clientFlags{}
	cmd := group("server", "Register MCP servers and say who may use what of them",
		newServerList(p, f), newServerGet(p, f), newServerCreate(p, f), newServerUpdate(p, f), newServerDelete(p, f),
		newServerTest(p, f), newServerTools(p, f), newServerApprove(p, f),
		newServerConnect(p, f), newServerDisconnect(p, f), newServerGrants(p, f), newServerRediscover(p, f))
	cmd.Long = "Register MCP servers and say who may use what of them. A server is named by its slug or its id.\n\n" + clientHelp
	cmd.Example = serverExample
	f.add(cmd)
	return cmd
}

// onServer is a command that concerns one server, named by slug or id.
func onServer(p Process, f *clientFlags, use, short string, do func(cmd *cobra.Command, c *client, id string) error) *cobra.Command {
	return &cobra.Command{
		Use: use + " SLUG|ID", Short: short, Args: arguments("the server's slug or id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := f.connect(p)
			if err != nil {
				return err
			}
			id, err := c.serverID(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return do(cmd, c, id)
		},
	}
}

// serverID finds the id of a server that was named by its slug. A slug cannot look like an id: it is too short.
func (c *client) serverID(ctx context.Context, name string) (string, error) {
	var servers []serverRecord
	if _, err := c.get(ctx, "/servers", &servers); err != nil {
		return "", err
	}
	i := slices.IndexFunc(servers, func(s serverRecord) bool { return s.Slug == name || s.ID == name })
	if i < 0 {
		return "", fmt.Errorf("there is no server %q", name)
	}
	return url.PathEscape(servers[i].ID), nil
}

func newServerList(p Process, f *clientFlags) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the servers", Args: arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.connect(p)
			if err != nil {
				return err
			}
			var servers []serverRecord
			answer, err := c.get(cmd.Context(), "/servers", &servers)
			if err != nil {
				return err
			}
			if f.json {
				return printJSON(p.Stdout, answer)
			}
			rows := make([][]string, len(servers))
			for i, s := range servers {
				rows[i] = []string{s.Slug, s.DisplayName, yes(s.Enabled), s.Availability, s.AuthType, s.Transport, s.URL}
			}
			table(p.Stdout, "SLUG NAME ENABLED AVAILABILITY AUTH TRANSPORT URL", rows)
			return nil
		},
	}
}

func newServerGet(p Process, f *clientFlags) *cobra.Command {
	return onServer(p, f, "get", "Show one server, without its secrets", func(cmd *cobra.Command, c *client, id string) error {
		answer, err := c.call(cmd.Context(), http.MethodGet, "/servers/"+id, nil)
		if err != nil || f.json {
			return printed(p.Stdout, answer, err)
		}
		return printFields(p.Stdout, answer)
	})
}

// printed prints an answer unless there was an error.
func printed(w io.Writer, answer []byte, err error) error {
	if err != nil {
		return err
	}
	return printJSON(w, answer)
}

// printFields prints the members of an object, one a line, in the API's order.
func printFields(w io.Writer, answer []byte) error {
	decoder := json.NewDecoder(strings.NewReader(string(answer)))
	if start, err := decoder.Token(); err != nil || start != json.Delim('{') {
		return errors.New("the answer is not what a sidecar would say")
	}
	var rows [][]string
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return err
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return err
		}
		rows = append(rows, []string{fmt.Sprint(name), plain(value)})
	}
	table(w, "FIELD VALUE", rows)
	return nil
}

// plain writes a JSON value for people: texts without quotes, lists with commas.
func plain(value json.RawMessage) string {
	var text string
	if json.Unmarshal(value, &text) == nil {
		return text
	}
	var list []string
	if json.Unmarshal(value, &list) == nil {
		return strings.Join(list, ", ")
	}
	return string(value)
}

func newServerCreate(p Process, f *clientFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use: "create", Short: "Register a server", Args: arguments(), Example: serverExample,
		RunE: func(cmd *cobra.Command, _ []string) error {
			body, err := serverBody(p, cmd.Flags())
			if err != nil {
				return err
			}
			fillDefaults(body)
			if body["slug"] == nil || body["url"] == nil {
				return usage(cmd, errors.New("--slug and --url are needed, or a --file that has both"))
			}
			c, err := f.connect(p)
			if err != nil {
				return err
			}
			answer, err := c.call(cmd.Context(), http.MethodPost, "/servers", body)
			if err := reportServer(p, f, "registered", answer, err); err != nil || f.json {
				return err
			}
			return hint(p, answer)
		},
	}
	addServerFlags(cmd.Flags())
	return cmd
}

// hint says how agents get at a new server that is used only by those who select it.
func hint(p Process, answer []byte) error {
	var s serverRecord
	if err := decode(answer, &s); err != nil {
		return err
	}
	if slug := printable(s.Slug); s.Availability == "default_off" && s.Enabled {
		fmt.Fprintf(p.Stderr, "Agents find it at /mcp/%s, or where they select it; to have it in /mcp for all: mcp-sidecar server update %s --availability default_on\n", slug, slug)
	}
	return nil
}

// fillDefaults adds what the API demands and people would not want to type.
func fillDefaults(body map[string]any) {
	defaults := map[string]any{
		"display_name": body["slug"], "transport": "streamable_http", "auth_type": "none", "availability": "default_off", "enabled": true,
	}
	for field, value := range defaults {
		if _, given := body[field]; !given {
			body[field] = value
		}
	}
}

func newServerUpdate(p Process, f *clientFlags) *cobra.Command {
	cmd := onServer(p, f, "update", "Change what is given, and nothing else", func(cmd *cobra.Command, c *client, id string) error {
		body, err := serverBody(p, cmd.Flags())
		if err != nil {
			return err
		}
		if len(body) == 0 {
			return usage(cmd, errors.New("there is nothing to change"))
		}
		answer, err := c.call(cmd.Context(), http.MethodPatch, "/servers/"+id, body)
		return reportServer(p, f, "changed", answer, err)
	})
	cmd.Example = serverExample
	addServerFlags(cmd.Flags())
	return cmd
}

// reportServer says what became of a server.
func reportServer(p Process, f *clientFlags, what string, answer []byte, err error) error {
	if err != nil || f.json {
		return printed(p.Stdout, answer, err)
	}
	var s serverRecord
	if err := decode(answer, &s); err != nil {
		return err
	}
	fmt.Fprintf(p.Stdout, "Server %s is %s (id %s).\n", printable(s.Slug), what, printable(s.ID))
	for _, w := range s.Warnings {
		fmt.Fprintf(p.Stderr, "warning: %s: %s\n", printable(w.Field), printable(w.Detail))
	}
	return nil
}

func newServerDelete(p Process, f *clientFlags) *cobra.Command {
	return onServer(p, f, "delete", "Delete a server and all that belongs to it", func(cmd *cobra.Command, c *client, id string) error {
		if _, err := c.call(cmd.Context(), http.MethodDelete, "/servers/"+id, nil); err != nil {
			return err
		}
		if !f.json {
			fmt.Fprintln(p.Stdout, "The server is deleted.")
		}
		return nil
	})
}
