package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// probe is the outcome of a test connection.
type probe struct {
	Reachable       bool     `json:"reachable"`
	Era             string   `json:"era"`
	ProtocolVersion string   `json:"protocol_version"`
	ServerInfo      any      `json:"server_info"`
	Tools           []string `json:"tools"`
	ToolCount       int      `json:"tool_count"`
	Milliseconds    int64    `json:"milliseconds"`
	Reason          string   `json:"reason"`
}

func newServerTest(p Process, f *clientFlags) *cobra.Command {
	return onServer(p, f, "test", "Connect to a server and say what came of it", func(cmd *cobra.Command, c *client, id string) error {
		answer, err := c.call(cmd.Context(), http.MethodPost, "/servers/"+id+"/test", nil)
		if err != nil {
			return err
		}
		var result probe
		if err := decode(answer, &result); err != nil {
			return err
		}
		if f.json {
			err = printJSON(p.Stdout, answer)
		} else {
			printProbe(p.Stdout, result)
		}
		if err == nil && !result.Reachable {
			err = fmt.Errorf("the server cannot be used: %s", first(result.Reason, "no reason was given"))
		}
		return err
	})
}

func printProbe(w io.Writer, result probe) {
	info := ""
	if result.ServerInfo != nil {
		encoded, _ := json.Marshal(result.ServerInfo)
		info = string(encoded)
	}
	table(w, "FIELD VALUE", [][]string{
		{"reachable", yes(result.Reachable)},
		{"era", result.Era},
		{"protocol version", result.ProtocolVersion},
		{"server", info},
		{"tools", strings.TrimSpace(strconv.Itoa(result.ToolCount) + " " + strings.Join(result.Tools, ", "))},
		{"milliseconds", strconv.FormatInt(result.Milliseconds, 10)},
	})
}

// toolList is a server's present tools with the decision on each.
type toolList struct {
	Tools []struct {
		Name     string `json:"name"`
		Exposed  string `json:"exposed"`
		ReadOnly bool   `json:"read_only"`
		Decision struct {
			Allowed bool   `json:"allowed"`
			Reason  string `json:"reason"`
			Rule    string `json:"rule"`
			Warning string `json:"warning"`
		} `json:"decision"`
	} `json:"tools"`
	Warnings  []string `json:"warnings"`
	Unmatched warnings `json:"unmatched"`
}

func newServerTools(p Process, f *clientFlags) *cobra.Command {
	question := map[string]*string{}
	cmd := onServer(p, f, "tools", "List a server's tools, and which rule allows or denies each", func(cmd *cobra.Command, c *client, id string) error {
		query := url.Values{}
		for name, value := range question {
			if *value != "" {
				query.Set(name, *value)
			}
		}
		var list toolList
		answer, err := c.get(cmd.Context(), "/servers/"+id+"/tools?"+query.Encode(), &list)
		if err != nil {
			return err
		}
		if f.json {
			return printJSON(p.Stdout, answer)
		}
		printTools(p, list)
		return nil
	})
	question["user"] = cmd.Flags().String("user", "", "`user` to judge for; without one, somebody who may see the server")
	question["mode"] = cmd.Flags().String("mode", "", "`mode` to judge for: act or plan")
	question["agent"] = cmd.Flags().String("agent", "", "`kind` of agent to judge for: root or subagent")
	return cmd
}

func printTools(p Process, list toolList) {
	rows := make([][]string, len(list.Tools))
	for i, t := range list.Tools {
		rows[i] = []string{t.Name, t.Exposed, yes(t.ReadOnly), yes(t.Decision.Allowed), first(t.Decision.Rule, t.Decision.Reason)}
		if t.Decision.Warning != "" {
			list.Warnings = append(list.Warnings, t.Name+": "+t.Decision.Warning)
		}
	}
	table(p.Stdout, "TOOL EXPOSED READS ALLOWED WHY", rows)
	for _, w := range list.Warnings {
		fmt.Fprintln(p.Stderr, "warning:", printable(w))
	}
	for _, w := range list.Unmatched {
		fmt.Fprintf(p.Stderr, "warning: %s: %s\n", printable(w.Field), printable(w.Detail))
	}
}

func newServerApprove(p Process, f *clientFlags) *cobra.Command {
	return onServer(p, f, "approve", "Approve a server's present tools as they are", func(cmd *cobra.Command, c *client, id string) error {
		answer, err := c.call(cmd.Context(), http.MethodPost, "/servers/"+id+"/catalog/approve", nil)
		if err != nil || f.json {
			return printed(p.Stdout, answer, err)
		}
		var approved struct {
			ToolCount int `json:"tool_count"`
		}
		if err := decode(answer, &approved); err != nil {
			return err
		}
		fmt.Fprintf(p.Stdout, "%d tools are approved.\n", approved.ToolCount)
		return nil
	})
}
