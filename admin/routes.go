package admin

import (
	"net/http"
	"strings"

	"mcpsidecar/internal/credential"
)

// Route is one route of the API; documents and tests range over them.
type Route struct {
	Method, Path string // Path as httprouter has it, with :id
	Summary      string
	Admin        bool // only role admin; otherwise admin and user
	Agents       bool // agents, too
	Open         bool // anybody, without a token
	Session      bool // a page session will do instead of a token
	Status       int  // of success

	endpoint endpoint
	page     bool // failures are pages
	once     bool // a GET that a HEAD must not stand in for
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
	return append(append(routes, accountRoutes()...), otherRoutes()...)
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
		{Method: http.MethodGet, Path: prefix + "/:id/oauth2/connect", Status: http.StatusTemporaryRedirect, Session: true, once: true,
			Summary: "Go to the server's provider, to connect the caller's account", endpoint: browsed((*API).connect)},
	}
}

// accountRoutes are what differs between the two prefixes, and what only we have.
func accountRoutes() []Route {
	return []Route{
		{Method: http.MethodGet, Path: referencePrefix + "/:id/oauth2/callback", Status: http.StatusOK, Open: true, page: true, once: true,
			Summary: "Come back from a server's provider: the redirect URI, which providers know", endpoint: browsed((*API).callback)},
		{Method: http.MethodDelete, Path: referencePrefix + "/:id/oauth2/disconnect", Status: http.StatusNoContent,
			Summary: "End the caller's connection to a server", endpoint: handle((*API).disconnectSilently)},
		{Method: http.MethodDelete, Path: ownPrefix + "/:id/oauth2/disconnect", Status: http.StatusOK,
			Summary: "End the caller's connection to a server, and say what became of the tokens", endpoint: handle((*API).disconnect)},
		{Method: http.MethodPost, Path: ownPrefix + "/:id/oauth2/link", Status: http.StatusOK, Agents: true,
			Summary: "Make a sign-in link, for a browser without a token", endpoint: handle((*API).newLink)},
		{Method: http.MethodGet, Path: ownPrefix + "/:id/grants", Status: http.StatusOK, Admin: true,
			Summary: "List who has connected an account to a server", endpoint: handle((*API).listGrants)},
		{Method: http.MethodDelete, Path: ownPrefix + "/:id/grants/:user", Status: http.StatusOK, Admin: true,
			Summary: "End a user's connection to a server", endpoint: handle((*API).deleteGrant)},
		{Method: http.MethodPost, Path: ownPrefix + "/:id/rediscover", Status: http.StatusOK, Admin: true,
			Summary: "Find out anew how users sign in to a server. If it has another provider by now, the connections end", endpoint: handle((*API).rediscover)},

		{Method: http.MethodGet, Path: credential.LinkPath + ":link", Status: http.StatusOK, Open: true, page: true,
			Summary: "Ask whether the account of a sign-in link shall be connected", endpoint: browsed((*API).showLink)},
		{Method: http.MethodPost, Path: credential.LinkPath + ":link", Status: http.StatusSeeOther, Open: true, page: true,
			Summary: "Use a sign-in link: go to the server's provider", endpoint: browsed((*API).openLink)},
		{Method: http.MethodGet, Path: documentPath, Status: http.StatusOK, Open: true,
			Summary: "Show the sidecar's Client ID Metadata Document", endpoint: browsed((*API).clientDocument)},
	}
}

func otherRoutes() []Route {
	return []Route{
		{Method: http.MethodPost, Path: sessionPath, Status: http.StatusOK,
			Summary: "Open a page session: a cookie by which a browser follows links as the caller, for 12 hours at most and no longer than the token", endpoint: openingSession()},
		{Method: http.MethodDelete, Path: sessionPath, Status: http.StatusNoContent, Session: true,
			Summary: "End the browser's page session", endpoint: endingSession()},

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

		{Method: http.MethodGet, Path: "/api/v1/key", Status: http.StatusOK, Admin: true,
			Summary: "Show how far the sealing with the newest key is", endpoint: handle((*API).showKey)},
		{Method: http.MethodPost, Path: "/api/v1/key/rotate", Status: http.StatusAccepted, Admin: true,
			Summary: "Make a new key for secrets, and begin to seal everything with it", endpoint: handle((*API).rotateKey)},

		{Method: http.MethodGet, Path: "/api/v1/whoami", Status: http.StatusOK, Agents: true,
			Summary: "Say who the caller is", endpoint: handle((*API).whoAmI)},
		{Method: http.MethodGet, Path: "/api/v1/policy/explain", Status: http.StatusOK, Admin: true,
			Summary: "Say whether a user may use a tool, and which rule decides", endpoint: handle((*API).explain)},
		{Method: http.MethodGet, Path: "/api/v1/openapi.json", Status: http.StatusOK, Agents: true,
			Summary: "This document", endpoint: handle((*API).openAPI)},
	}
}

// parameters returns the names of the path's parameters, in their order.
func (r Route) parameters() (names []string) {
	for segment := range strings.SplitSeq(r.Path, "/") {
		if name, ok := strings.CutPrefix(segment, ":"); ok {
			names = append(names, name)
		}
	}
	return names
}

// parameter returns the name of one of them, or nothing.
func (r Route) parameter(i int) string {
	if names := r.parameters(); i < len(names) {
		return names[i]
	}
	return ""
}
