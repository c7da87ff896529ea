package main

import (
	"io"
	"net/http"
	"strings"
)

// routes sends a request on by its first path segment, compared exactly: nothing is decoded, cleaned or redirected on the way, so that no spelling of a path reaches another
// handler than the one whose path it is.
func routes(mcp, api http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch path := r.URL.EscapedPath(); {
		case path == "/mcp" || isSlugPath(path):
			mcp.ServeHTTP(w, r)
		case strings.HasPrefix(path, "/api/"), strings.HasPrefix(path, "/connect/"), path == "/oauth/client.json":
			api.ServeHTTP(w, r)
		default:
			notFound(w)
		}
	})
}

// isSlugPath says whether a path is /mcp/{slug}. A slug needs no escaping, so that what has any is none.
func isSlugPath(path string) bool {
	slug, ok := strings.CutPrefix(path, "/mcp/")
	return ok && slug != "" && !strings.ContainsAny(slug, "/%")
}

func notFound(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(http.StatusNotFound)
	_, _ = io.WriteString(w, `{"message":"There is nothing at this path. MCP is at /mcp and /mcp/{slug}, the API below /api/v1."}`+"\n")
}
