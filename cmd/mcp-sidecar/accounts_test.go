package main_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// startProvider starts an MCP server that is its own OAuth2 provider.
func startProvider(t *testing.T) (url string) {
	t.Helper()
	var server *httptest.Server
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Path {
		case "/.well-known/oauth-protected-resource":
			fmt.Fprintf(w, `{"resource":%q,"authorization_servers":[%[1]q]}`, server.URL)
		case "/.well-known/oauth-authorization-server":
			fmt.Fprintf(w, `{"issuer":%q,"authorization_endpoint":"%[1]s/authorize","token_endpoint":"%[1]s/token","registration_endpoint":"%[1]s/register","code_challenge_methods_supported":["S256"]}`, server.URL)
		case "/register":
			w.WriteHeader(http.StatusCreated)
			fmt.Fprint(w, `{"client_id":"registered"}`)
		case "/token":
			fmt.Fprint(w, `{"access_token":"canary-access","token_type":"Bearer","expires_in":3600}`)
		default:
			w.Header().Set("WWW-Authenticate", "Bearer")
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func newRequest(t *testing.T, method, url string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestAccountCommands goes once through the life of a connection, with the browser played by hand.
func TestAccountCommands(t *testing.T) {
	provider := startProvider(t)
	s := start(t, t.TempDir(), "--allow-private-cidrs", "127.0.0.0/8")
	s.must(t, "server", "create", "--slug", "docs", "--url", provider+"/mcp", "--auth-type", "oauth2")
	if code, _, stderr := s.cli(t, "", "server", "tools", "docs"); code != 1 || !strings.Contains(stderr, "you have connected none") || !strings.Contains(stderr, "/oauth2/connect") {
		t.Errorf("the tools of a server that wants an account: exit %d, %s", code, stderr)
	}
	if code, stdout, stderr := s.cli(t, "", "server", "test", "docs"); code != 1 || !strings.Contains(stdout+stderr, "asks for an account, as it should") {
		t.Errorf("testing a server that wants an account: exit %d, %s%s", code, stdout, stderr)
	}
	link := strings.TrimSpace(s.must(t, "server", "connect", "docs", "--user", "alice"))
	if !strings.HasPrefix(link, s.base+"/connect/") {
		t.Fatalf("the link is %q", link)
	}
	if status, page := request(t, "GET", link, "", ""); status != 200 || !strings.Contains(page, "alice") {
		t.Errorf("the page behind the link: %d\n%s", status, page)
	}
	response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(newRequest(t, "POST", link))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	to, err := response.Location()
	if response.StatusCode != http.StatusSeeOther || err != nil || !strings.HasPrefix(to.String(), provider+"/authorize?") {
		t.Fatalf("status %d, to %v: %v", response.StatusCode, to, err)
	}
	asked := to.Query()
	back := newRequest(t, "GET", asked.Get("redirect_uri")+"?code=canary-code&state="+asked.Get("state"))
	back.AddCookie(response.Cookies()[0])
	if status, page := do(t, back); status != 200 || !strings.Contains(page, "connected for alice") {
		t.Fatalf("the callback: %d\n%s", status, page)
	}
	if grants := s.must(t, "server", "grants", "docs"); !strings.Contains(grants, "alice") || !strings.Contains(grants, "connected") {
		t.Error(grants)
	}
	var found struct{ Issuer, Client string }
	if err := json.Unmarshal([]byte(s.must(t, "server", "rediscover", "docs", "--json")), &found); err != nil || found.Issuer != provider || found.Client != "registered" {
		t.Errorf("rediscovered is %+v: %v", found, err)
	}
	if fields := s.must(t, "server", "rediscover", "docs"); !strings.Contains(fields, "token_endpoint") {
		t.Error(fields)
	}
	if said := s.must(t, "server", "disconnect", "docs", "--user", "alice"); !strings.Contains(said, "not connected any more") {
		t.Error(said)
	}
	s.must(t, "server", "disconnect", "docs") // the token's own: there is none, and the answer is the same
	if code, _, stderr := s.cli(t, "", "server", "disconnect", "docs", "--user", "alice"); code != 1 || stderr == "" {
		t.Errorf("a second end: exit %d, %s", code, stderr)
	}
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	if code, _, stderr := s.cli(t, "", "server", "create", "--slug", "none", "--url", plain.URL, "--auth-type", "oauth2"); code != 1 || !strings.Contains(stderr, "while ") {
		t.Errorf("a server that does not do OAuth: exit %d, %s", code, stderr)
	}
	if all := s.stdout.String() + s.stderr.String(); strings.Contains(all, "canary") || strings.Contains(all, asked.Get("state")) || strings.Contains(all, strings.TrimPrefix(link, s.base)) {
		t.Error("a secret of the sign-in is in the output")
	}
}

// TestOpenPaths: what needs no token is there, and nothing else of OAuth2 is.
func TestOpenPaths(t *testing.T) {
	s := start(t, t.TempDir(), "--client-metadata-url", "https://elsewhere.example.com/client.json", "--allow-private-cidrs", "127.0.0.0/8")
	if status, _ := request(t, "GET", s.base+"/oauth/client.json", "", ""); status != http.StatusNotFound {
		t.Errorf("a document without redirect URIs: status %d", status)
	}
	s.must(t, "server", "create", "--slug", "docs", "--url", startProvider(t)+"/mcp", "--auth-type", "oauth2")
	status, document := request(t, "GET", s.base+"/oauth/client.json", "", "")
	if status != http.StatusOK || !strings.Contains(document, "https://elsewhere.example.com/client.json") || !strings.Contains(document, s.base+"/api/experimental/mcp/servers/") {
		t.Errorf("the document: %d %s", status, document)
	}
	if status, page := request(t, "GET", s.base+"/connect/x", "", ""); status != http.StatusBadRequest || !strings.Contains(page, "<!doctype html>") {
		t.Errorf("a link that is none: %d %s", status, page)
	}
	for _, path := range []string{"/register", "/authorize", "/token", "/connect", "/oauth", "/oauth/", "/oauth/client.json/"} {
		if status, _ := request(t, "GET", s.base+path, "", ""); status != http.StatusNotFound {
			t.Errorf("%s: status %d", path, status)
		}
	}
}
