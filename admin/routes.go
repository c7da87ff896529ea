package admin

import (
	"net/http"
	"strings"
)

// Route is one route of the API; documents and tests range over them.
type Route struct {
	Method, Path string // Path as httprouter has it, with :id
	Summary      string
	Admin        bool // only role admin; otherwise admin and user
	Agents       bool // agents, too
	Status       int  // of success

	endpoint endpoint
	beside   bool // a fixed path where httprouter has a parameter; see API.beside
}

// The two places at which servers are found: our own, and the reference system's.
const (
	ownPrefix       = "/api/v1/servers"
	referencePrefix = "/api/experimental/mcp/servers"
)

// table is every route there is. The router and the OpenAPI document are both made from it.
func table() []Route {
	routes := serverRoutes(ownPrefix)
	for _, route := range serverRoutes(referencePrefix) {
		routes = append(routes, route)
		if route.Path == referencePrefix { // the reference system's list answers with a slash, too
			route.Path += "/"
			routes = append(routes, route)
		}
	}
	return append(routes, otherRoutes()...)
}

func serverRoutes(prefix string) []Route {
	return []Route{
		{Method: http.MethodGet, Path: prefix, Status: http.StatusOK,
			Summary: "List the servers that the caller may see", endpoint: handle((*API).listServers)},
		{Method: http.MethodPost, Path: prefix, Status: http.StatusCreated, Admin: true,
			Summary: "Register a server", endpoint: handle((*API).createServer)},
		{Method: http.MethodGet, Path: prefix + "/:id", Status: http.StatusOK,
			Summary: "Show a server", endpoint: handle((*API).getServer)},
		{Method: http.MethodPatch, Path: prefix + "/:id", Status: http.StatusOK, Admin: true,
			Summary: "Change the given fields of a server; absent and null fields stay, empty ones are cleared", endpoint: handle((*API).updateServer)},
		{Method: http.MethodDelete, Path: prefix + "/:id", Status: http.StatusNoContent, Admin: true,
			Summary: "Delete a server and all that belongs to it", endpoint: handle((*API).deleteServer)},
	}
}

func otherRoutes() []Route {
	return []Route{
		{Method: http.MethodPost, Path: ownPrefix + "/test", Status: http.StatusOK, Admin: true, beside: true,
			Summary: "Connect to a server that is not stored, and say what came of it", endpoint: handle((*API).testUnsaved)},
		{Method: http.MethodPost, Path: ownPrefix + "/:id/test", Status: http.StatusOK, Admin: true,
			Summary: "Connect to a stored server, and say what came of it", endpoint: handle((*API).testServer)},
		{Method: http.MethodGet, Path: ownPrefix + "/:id/tools", Status: http.StatusOK, Admin: true,
			Summary: "List a server's present tools with the decision on each, as for a caller who selected the server", endpoint: handle((*API).listTools)},
		{Method: http.MethodGet, Path: ownPrefix + "/:id/catalog/diff", Status: http.StatusOK, Admin: true,
			Summary: "Show what changed since a server's catalog was approved", endpoint: handle((*API).diffCatalog)},
		{Method: http.MethodPost, Path: ownPrefix + "/:id/catalog/approve", Status: http.StatusOK, Admin: true,
			Summary: "Approve a server's present catalog; If-Match with the ETag of the diff approves only what was looked at", endpoint: handle((*API).approveCatalog)},

		{Method: http.MethodGet, Path: "/api/v1/tokens", Status: http.StatusOK, Admin: true,
			Summary: "List the API tokens", endpoint: handle((*API).listTokens)},
		{Method: http.MethodPost, Path: "/api/v1/tokens", Status: http.StatusCreated, Admin: true,
			Summary: "Mint an API token, whose text is shown this once", endpoint: handle((*API).createToken)},
		{Method: http.MethodDelete, Path: "/api/v1/tokens/:id", Status: http.StatusNoContent, Admin: true,
			Summary: "Revoke an API token", endpoint: handle((*API).revokeToken)},

		{Method: http.MethodGet, Path: "/api/v1/users", Status: http.StatusOK, Admin: true,
			Summary: "List the known users", endpoint: handle((*API).listUsers)},
		{Method: http.MethodDelete, Path: "/api/v1/users/:name", Status: http.StatusNoContent, Admin: true,
			Summary: "Forget a user and end its tokens", endpoint: handle((*API).deleteUser)},

		{Method: http.MethodGet, Path: "/api/v1/whoami", Status: http.StatusOK, Agents: true,
			Summary: "Say who the caller is", endpoint: handle((*API).whoAmI)},
		{Method: http.MethodGet, Path: "/api/v1/policy/explain", Status: http.StatusOK, Admin: true,
			Summary: "Say whether a user may use a tool, and which rule decides", endpoint: handle((*API).explain)},
		{Method: http.MethodGet, Path: "/api/v1/openapi.json", Status: http.StatusOK, Agents: true,
			Summary: "This document", endpoint: handle((*API).openAPI)},
	}
}

// parameter returns the name of the path's parameter, or nothing.
func (r Route) parameter() string {
	_, rest, found := strings.Cut(r.Path, "/:")
	if !found {
		return ""
	}
	name, _, _ := strings.Cut(rest, "/")
	return name
}
