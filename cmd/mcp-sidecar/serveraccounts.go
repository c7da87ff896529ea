package main

import (
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"
)

func newServerConnect(p Process, f *clientFlags) *cobra.Command {
	var user string
	cmd := onServer(p, f, "connect", "Make a link by which a user connects an account", func(cmd *cobra.Command, c *client, id string) error {
		body := map[string]any{}
		if user != "" {
			body["user"] = user
		}
		answer, err := c.call(cmd.Context(), http.MethodPost, "/servers/"+id+"/oauth2/link", body)
		if err != nil || f.json {
			return printed(p.Stdout, answer, err)
		}
		var link struct {
			URL       string    `json:"url"`
			ExpiresAt time.Time `json:"expires_at"`
		}
		if err := decode(answer, &link); err != nil {
			return err
		}
		fmt.Fprintln(p.Stdout, printable(link.URL))
		fmt.Fprintf(p.Stderr, "It is to be opened in the user's browser, works once, and ends at %s.\n", link.ExpiresAt.Local().Format(time.TimeOnly))
		return nil
	})
	cmd.Flags().StringVar(&user, "user", "", "`user` whose account it will be; without one, the token's own")
	return cmd
}

// revocation says what became of the tokens of a connection that was ended.
type revocation struct {
	Revoked bool   `json:"token_revoked"`
	Problem string `json:"token_revocation_error"`
}

func newServerDisconnect(p Process, f *clientFlags) *cobra.Command {
	var user string
	cmd := onServer(p, f, "disconnect", "End a user's connection to a server", func(cmd *cobra.Command, c *client, id string) error {
		path := "/servers/" + id + "/oauth2/disconnect"
		if user != "" {
			path = "/servers/" + id + "/grants/" + url.PathEscape(user)
		}
		answer, err := c.call(cmd.Context(), http.MethodDelete, path, nil)
		if err != nil || f.json {
			return printed(p.Stdout, answer, err)
		}
		var said revocation
		if err := decode(answer, &said); err != nil {
			return err
		}
		what := "The account is not connected any more."
		if said.Revoked {
			what += " The provider has revoked the tokens."
		}
		fmt.Fprintln(p.Stdout, what)
		if said.Problem != "" {
			fmt.Fprintln(p.Stderr, "warning:", printable(said.Problem))
		}
		return nil
	})
	cmd.Flags().StringVar(&user, "user", "", "`user` whose connection it is; without one, the token's own")
	return cmd
}

func newServerGrants(p Process, f *clientFlags) *cobra.Command {
	return onServer(p, f, "grants", "List who has connected an account to a server", func(cmd *cobra.Command, c *client, id string) error {
		var grants []struct {
			User      string     `json:"user"`
			State     string     `json:"state"`
			Since     *time.Time `json:"since"`
			Expires   *time.Time `json:"expires"`
			LastError string     `json:"last_error"`
		}
		answer, err := c.get(cmd.Context(), "/servers/"+id+"/grants", &grants)
		if err != nil || f.json {
			return printed(p.Stdout, answer, err)
		}
		rows := make([][]string, len(grants))
		for i, g := range grants {
			rows[i] = []string{g.User, g.State, moment(g.Since), moment(g.Expires), g.LastError}
		}
		table(p.Stdout, "USER STATE SINCE EXPIRES LAST-ERROR", rows)
		return nil
	})
}

// moment is a time that may be unknown, for people.
func moment(at *time.Time) string {
	if at == nil {
		return ""
	}
	return at.Local().Format(time.DateTime)
}

func newServerRediscover(p Process, f *clientFlags) *cobra.Command {
	return onServer(p, f, "rediscover", "Find out anew how users sign in to a server", func(cmd *cobra.Command, c *client, id string) error {
		answer, err := c.call(cmd.Context(), http.MethodPost, "/servers/"+id+"/rediscover", nil)
		if err != nil || f.json {
			return printed(p.Stdout, answer, err)
		}
		return printFields(p.Stdout, answer)
	})
}
