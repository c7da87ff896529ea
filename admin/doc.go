// Package admin is the management API: servers, tokens, users, approved catalogs, and questions about policy.
//
// It owns the routes under /api/v1 and /api/experimental/mcp/servers, the JSON shapes of the reference system, redaction, who may do what there, and the OpenAPI document.
//
// It deliberately does not know MCP: what it needs of servers comes through Servers, a small interface of its own.
//
// Invariants: secrets go in and never come out; a disabled or invisible server answers exactly as one that does not exist; nothing is written when anything of a request is wrong.
//
// Lifetimes: an API is immutable and starts no goroutine.
package admin
