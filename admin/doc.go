// Package admin is the management API: servers, tokens, users, approved catalogs, connected accounts, and questions about policy. And it is the pages of a sign-in.
//
// It owns the routes under /api/v1 and /api/experimental/mcp/servers, the JSON shapes of the reference system, redaction, who may do what there, and the OpenAPI document; and /connect/{link} and
// /oauth/client.json, which need no token, as the callback below the reference system's path does not.
//
// It deliberately does not know MCP, nor OAuth2: what it needs of servers and of users' accounts comes through Servers and Accounts, interfaces of its own.
//
// Invariants: secrets go in and never come out, and none is sent to another origin than the one it was stored for; a disabled or invisible server answers exactly as one that does not exist;
// nothing is written when anything of a request is wrong; how users sign in to a server is found out before the server is stored; a token
// that pins a mode, a kind of agent or servers makes none that may more.
//
// Of pages: nothing that a provider or a browser says is shown, nothing runs but what carries the answer's nonce, nobody can frame them, and looking at one changes nothing. What does change something
// is a POST of our own page, or a provider's answer to a sign-in that began in the same browser, which a cookie proves.
//
// Lifetimes: an API is immutable and starts no goroutine.
//
// # The way of a request
//
//	api.go       who asks? Before anything else is looked at.
//	routes.go    the one list of routes, from which the router and the OpenAPI document are made.
//	endpoint.go  may the role do this? Then the input is read, the handler called and its output encoded whole.
//	body.go      the strict reading: exact names, nothing twice, nothing unknown, every wrong field named and no value repeated.
//	session.go   the cookie by which a browser may follow links as the caller; where it counts, and when the person is asked all the same.
//	signin.go, page.go, page.html
//	             what browsers see: the question behind a link, the way to the provider, and back.
//	accounts.go, provider.go
//	             who is connected, and who signs users in.
//	servers.go, tools.go, catalog.go, tokens.go, users.go, explain.go
//	             the handlers: they take values and return values.
//	change.go    what a request says about a server, and the one judgement of it for creation and change.
//	record.go    commit: a change is recorded, written and brought into effect, in this order, before the answer.
//	failure.go   the only place that chooses a status and public words.
//
// To add a field of a server: a line each in ServerChange, its set, Server and serverOf; the document and the audit record follow.
package admin
