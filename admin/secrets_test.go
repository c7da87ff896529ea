package admin_test

import (
	"encoding/json"
	"strings"
	"testing"

	"mcpsidecar/admin"
)

func rawJSON(text string) json.RawMessage { return json.RawMessage(text) }

// W-02: what goes in as a secret stays until it is replaced or cleared. That it never comes out is checked on every answer.
func TestSecretsAreWriteOnly(t *testing.T) {
	f := open(t)
	root := f.root(t)
	id := root.create(body(t, fields{"auth_type": "api_key", "api_key_header": "X-Key", "api_key_value": canary + "-one", "oauth2_client_secret": canary + "-two", "custom_headers": fields{"X-" + canary: canary + "-three"}}))
	stored := func() (key, client string, headers int) {
		server, err := f.store.Server(t.Context(), id)
		must(t, err)
		return server.APIKeyValue.Reveal(), server.OAuth2ClientSecret.Reveal(), len(server.CustomHeaders)
	}
	path := servers + "/" + id
	for _, harmless := range []string{`{}`, `{"description":"x"}`, `{"api_key_value":null,"oauth2_client_secret":null,"custom_headers":null}`} {
		got := root.patch(path, harmless).want(200).object()
		key, client, headers := stored()
		if key != canary+"-one" || client != canary+"-two" || headers != 1 || got["has_api_key"] != true || got["has_oauth2_secret"] != true || got["has_custom_headers"] != true {
			t.Errorf("after %s a secret is not what it was", harmless)
		}
	}
	// The answer to a GET cannot be sent back by mistake: what is computed is refused, and so is a mask.
	root.patch(path, string(root.get(path).body)).want(400)
	root.do("PUT", path, string(root.get(path).body)).want(405)
	for _, mask := range []string{"[redacted]", "[REDACTED]", "********", "••••••", " *** "} {
		root.patch(path, only(t, fields{"api_key_value": mask})).wrong("api_key_value")
		root.patch(path, only(t, fields{"oauth2_client_secret": mask})).wrong("oauth2_client_secret")
		root.patch(path, only(t, fields{"custom_headers": fields{"X-A": mask}})).wrong("custom_headers")
	}
	if key, client, headers := stored(); key != canary+"-one" || client != canary+"-two" || headers != 1 {
		t.Error("a refused change replaced a secret")
	}
	root.patch(path, only(t, fields{"api_key_value": canary + "-new"})).want(200)
	if key, _, _ := stored(); key != canary+"-new" {
		t.Error("a new secret was not stored")
	}
	cleared := root.patch(path, `{"oauth2_client_secret":"","custom_headers":{}}`).want(200).object()
	if cleared["has_oauth2_secret"] != false || cleared["has_custom_headers"] != false || cleared["has_api_key"] != true {
		t.Errorf("after clearing: %v", cleared)
	}
	root.patch(path, `{"api_key_value":""}`).wrong("api_key_value") // which the auth type needs
	root.patch(path, `{"api_key_value":"","auth_type":"none"}`).want(200)
	if key, _, _ := stored(); key != "" {
		t.Error("the secret was not cleared")
	}
}

// A secret belongs to the place it was given for. Who can write a record, but did not know the secret, cannot have it sent elsewhere.
func TestSecretsDoNotFollowAnAddress(t *testing.T) {
	f := open(t)
	root := f.root(t)
	key := root.create(body(t, fields{"slug": "key", "auth_type": "api_key", "api_key_header": "X-Key", "api_key_value": canary}))
	headers := root.create(body(t, fields{"slug": "headers", "auth_type": "custom_headers", "custom_headers": fields{"X-Key": canary}}))
	oauth := root.create(body(t, fields{"slug": "oauth", "auth_type": "oauth2", "oauth2_client_id": "me", "oauth2_client_secret": canary, "oauth2_auth_url": "https://as.example.com/a", "oauth2_token_url": "https://as.example.com/t"}))
	for _, c := range []struct {
		id, change string
		wrong      string
	}{
		{key, `{"url":"https://elsewhere.example.com/mcp"}`, "api_key_value"},
		{key, `{"url":"https://mcp.example.com:8443/mcp"}`, "api_key_value"},
		{key, `{"url":"http://mcp.example.com/mcp"}`, "api_key_value"},
		{headers, `{"url":"https://elsewhere.example.com/mcp"}`, "custom_headers"},
		{oauth, `{"oauth2_token_url":"https://elsewhere.example.com/t"}`, "oauth2_client_secret"},
		{oauth, `{"oauth2_revocation_url":"https://elsewhere.example.com/r"}`, "oauth2_client_secret"},
		{oauth, `{"url":"https://elsewhere.example.com/mcp"}`, ""},
		{oauth, `{"oauth2_revocation_url":"https://as.example.com/r","oauth2_issuer":"https://as.example.com"}`, ""},
		{key, `{"url":"https://MCP.example.com:443/other?x=y"}`, ""},
		{key, `{"url":"https://elsewhere.example.com/mcp","api_key_value":"` + canary + `"}`, ""},
		{key, `{"url":"https://mcp.example.com/mcp","auth_type":"none"}`, ""},
		{headers, `{"url":"https://elsewhere.example.com/mcp","custom_headers":{"X-New":"` + canary + `"}}`, ""},
	} {
		got := root.patch(servers+"/"+c.id, c.change)
		if c.wrong == "" {
			got.want(200)
		} else {
			got.wrong(c.wrong)
		}
	}
}

// A server that echoes what it was sent does not make the sidecar show it.
func TestEchoedSecretsAreTakenOut(t *testing.T) {
	f := open(t)
	root := f.root(t)
	secret, tame := canary+`-"quoted"-\secret`, canary+"_and_tame"
	id := root.create(body(t, fields{"auth_type": "api_key", "api_key_header": "Authorization", "api_key_value": "Bearer " + secret, "custom_headers": fields{"X-Key": tame}}))
	info, err := json.Marshal(map[string]string{"name": "got Bearer " + secret})
	must(t, err)
	f.servers.probe = admin.Probe{Reachable: true, ServerInfo: json.RawMessage(info), Tools: []string{"tool_" + secret}, ToolCount: 1, Reason: "said " + secret}
	f.servers.list("github", "echo_"+tame)
	for what, got := range map[string]*answer{
		"test":  root.post(servers+"/"+id+"/test", ""),
		"tools": root.get(servers + "/" + id + "/tools"),
		"diff":  root.get(servers + "/" + id + "/catalog/diff"),
	} {
		if got.want(200); !strings.Contains(string(got.body), "[redacted]") {
			t.Errorf("%s does not show that something was taken out: %s", what, got.body)
		}
	}
	f.servers.fail(errEcho{secret})
	root.get(servers + "/" + id + "/tools").want(502)
	root.get(servers + "/" + id + "/catalog/diff").want(502)
}

type errEcho struct{ said string }

func (e errEcho) Error() string { return "the server said " + e.said }
