package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

const rootExample = `  # A sidecar with a demo server, data in ./data
  mcp-sidecar serve --demo

  # Register a server, and let an agent in
  mcp-sidecar server create --slug github --url https://api.example.com/mcp --auth-type api_key --api-key-file key.txt
  mcp-sidecar token create --name chat --role agent`

// newRoot returns the tree of commands.
func newRoot(p Process) *cobra.Command {
	root := group("mcp-sidecar", "One MCP endpoint in front of many MCP servers, governed and measured",
		newServe(p), newServer(p), newToken(p), newKey(p), newHealthcheck(p), newVersion())
	root.Example = rootExample
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usage(cmd, err) })
	return root
}

// group is a command that only holds others. Without arguments it prints its help.
func group(name, short string, children ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: name, Short: short, Args: cobra.ArbitraryArgs, RunE: func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		hint := ""
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			hint = "; did you mean " + strings.Join(near, " or ") + "?"
		}
		return usage(cmd, fmt.Errorf("there is no command %q%s", args[0], hint))
	}}
	cmd.SuggestionsMinimumDistance = 2
	cmd.AddCommand(children...)
	return cmd
}

// usage wraps an error of the command line.
func usage(cmd *cobra.Command, err error) error { return usageError{cmd.CommandPath(), err} }

// arguments checks how many arguments there are; names says what they are.
func arguments(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return usage(cmd, fmt.Errorf("%s is missing", names[len(args)]))
		case len(args) > len(names):
			return usage(cmd, fmt.Errorf("there is an argument too many: %q", args[len(names)]))
		}
		return nil
	}
}
