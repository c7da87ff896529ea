// Package rpc reads JSON-RPC messages strictly, rebuilds them from their own bytes, and reads and writes server-sent events.
//
// It owns the one strict parse: exactly one JSON value, UTF-8, no duplicate member at any depth, limits on size and depth, envelope members in their exact case. What it returns are spans of the
// input, so that what was judged is what is forwarded.
//
// It deliberately does not know MCP methods, eras, policy or HTTP.
//
// Invariant: a message that two JSON parsers could read differently is refused.
//
// Lifetimes: a Message points into the buffer it was read from and lives as long as that.
package rpc
