// Command mcp-sidecar is the program: one MCP endpoint in front of many MCP servers.
//
// It owns the flags and the environment (flags.go; nobody else reads either), the wiring (run.go: every dependency, goroutine and listener), the
// order in which things start and stop (lifecycle.go), what a first start makes (bootstrap.go), and the subcommands that talk to a running
// sidecar over its API.
//
// It deliberately contains no rule about callers, servers or MCP: it connects packages that know.
//
// Invariants: an error is one line on stderr that says what to do; a secret is never in argv; a start that fails leaves no open listener and
// changes nothing that was there; what was started is stopped in the reverse order, and waited for.
//
// Lifetimes: everything lives inside Run. A test starts the whole program with it, as often as it likes.
package main
