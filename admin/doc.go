// Package admin is the management API: servers, tokens, users, approved catalogs, and questions about policy.
//
// It owns the routes under /api/v1 and /api/experimental/mcp/servers, the JSON shapes of the reference system, redaction, who may do what there, and the OpenAPI document.
//
// It deliberately does not know MCP: what it needs of servers comes through Servers, a small interface of its own.
//
// Invariants: secrets go in and never come out, and none is sent to another origin than the one it was stored for; a disabled or invisible server answers exactly as one that does not exist;
// nothing is written when anything of a request is wrong.
//
// Lifetimes: an API is immutable and starts no goroutine.
//
// # The way of a request
//
//	api.go       who asks? Before anything else is looked at.
//	routes.go    the one list of routes, from which the router and the OpenAPI document are made.
//	endpoint.go  may the role do this? Then the input is read, the handler called and its output encoded whole.
//	body.go      the strict reading: exact names, nothing twice, nothing unknown, every wrong field named and no value repeated.
//	servers.go, tools.go, catalog.go, tokens.go, users.go, explain.go
//	             the handlers: they take values and return values.
//	change.go    what a request says about a server, and the one judgement of it for creation and change.
//	record.go    commit: a change is recorded, written and brought into effect, in this order, before the answer.
//	failure.go   the only place that chooses a status and public words.
//
// To add a field of a server: a line each in ServerChange, its set, Server and serverOf; the document and the audit record follow.
package admin
