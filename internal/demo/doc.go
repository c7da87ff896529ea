// Package demo is the MCP server that mcp-sidecar serve --demo registers, so that a newcomer has something real to talk to.
//
// It owns a handful of harmless tools, each of which shows one thing that the sidecar does: reading ones and a writing one for plan mode and
// deny lists, and a slow one for progress and cancellation. It is built with mcp-go and listens on a loopback port of its own.
//
// It deliberately uses nothing of the sidecar: it is a server like any stranger's, reached through the guard like any other.
//
// Invariant: it keeps nothing but a bounded number of notes in memory, and reaches nothing.
//
// Lifetimes: a Server lives from Start to Close; its notes die with it.
package demo
