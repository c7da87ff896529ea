package discovery_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"mcpsidecar/discovery"
)

func FuzzParseChallenge(f *testing.F) {
	for _, header := range []string{
		`Bearer resource_metadata="https://a.example/x", scope="a b", error="invalid_token"`, `Basic realm="x", Bearer scope=a`, `Bearer a="\"`, `Negotiate YWJj==`, `"`, `Bearer =,=`, "Bearer scope=\"\x00\xff\"",
	} {
		f.Add(header)
	}
	f.Fuzz(func(t *testing.T, header string) {
		c := discovery.ParseChallenge(header)
		for _, scope := range c.Scopes {
			if scope == "" || strings.ContainsAny(scope, " \"\\\r\n\t\x00\x7f") {
				t.Errorf("a scope is %q", scope)
			}
		}
		if strings.ContainsAny(c.Error, "\"\\\r\n\t\x00\x7f") || len(c.Error) > 64 || len(c.ResourceMetadata) > 2048 {
			t.Errorf("it is %+v", c)
		}
		// What was read is read again when it is written as it should be.
		if strings.ContainsAny(c.ResourceMetadata, `"\`) {
			return
		}
		again := discovery.ParseChallenge(`Bearer scope="` + strings.Join(c.Scopes, " ") + `", error="` + c.Error + `", resource_metadata="` + c.ResourceMetadata + `"`)
		if strings.Join(again.Scopes, " ") != strings.Join(c.Scopes, " ") || again.Error != c.Error || again.ResourceMetadata != c.ResourceMetadata {
			t.Errorf("%+v is read again as %+v", c, again)
		}
	})
}

// sound holds what discovery returned against what it promises.
func sound(t *testing.T, m discovery.Metadata) {
	t.Helper()
	for name, raw := range map[string]string{
		"authorization": m.AuthorizationEndpoint, "token": m.TokenEndpoint, "registration": m.RegistrationEndpoint, "revocation": m.RevocationEndpoint, "issuer": m.Issuer, "resource": m.Resource,
	} {
		if raw == "" && (name == "registration" || name == "revocation") {
			continue
		}
		u, err := url.Parse(raw)
		if err != nil || !strings.EqualFold(u.Scheme, "https") || u.Host == "" || u.User != nil || u.Fragment != "" || strings.ContainsAny(raw, " \r\n\x00\"\\<>") {
			t.Errorf("the %s URL is %q (%v)", name, raw, err)
		}
	}
	u, _ := url.Parse(m.AuthorizationEndpoint)
	for _, ours := range []string{"state", "redirect_uri", "client_id", "request_uri"} {
		if u.Query().Has(ours) {
			t.Errorf("the authorization endpoint %s sets %s", m.AuthorizationEndpoint, ours)
		}
	}
}

func FuzzDocuments(f *testing.F) {
	f.Add(`{"resource":"https://mcp.example.com/mcp","authorization_servers":["https://as.example.com"],"scopes_supported":["a"]}`,
		`{"issuer":"https://as.example.com","authorization_endpoint":"https://as.example.com/a?b=c&state=1","token_endpoint":"https://as.example.com/t","code_challenge_methods_supported":["S256"]}`)
	f.Add(`{"resource":"HTTPS://mcp.example.com","authorization_servers":["https://as.example.com"]}`,
		`{"issuer":"https://as.example.com","authorization_endpoint":"javascript:1","token_endpoint":"http://127.0.0.1","revocation_endpoint":"//x","code_challenge_methods_supported":["S256"]}`)
	f.Add(`{`, `[]`)
	f.Fuzz(func(t *testing.T, resource, issuer string) {
		w := web(pathPlace, says(resource), asPlace, says(issuer))
		m, err := client(t, w).Discover(t.Context(), discovery.Server{URL: mcp, Challenge: "Bearer"})
		if err == nil {
			if m.Legacy {
				return
			}
			sound(t, m)
			return
		}
		var failure *discovery.Failure
		if !errors.As(err, &failure) || failure.Remedy == "" {
			t.Errorf("it fails with %v", err)
		}
	})
}

func FuzzRegistration(f *testing.F) {
	f.Add(201, `{"client_id":"a","client_secret":"b","client_secret_expires_at":4102444800,"token_endpoint_auth_method":"client_secret_post"}`)
	f.Add(400, `{"error":"invalid_redirect_uri"}`)
	f.Add(200, `{"client_id":"a","client_secret_expires_at":-1e400}`)
	f.Fuzz(func(t *testing.T, code int, body string) {
		if code < 200 || code > 599 {
			return
		}
		w := web(registerPage, answers(code, body))
		c, err := discovery.New(discovery.Config{HTTP: &http.Client{Transport: w}})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		r, err := c.Register(t.Context(), server("none", "client_secret_basic"), us())
		if err != nil {
			var failure *discovery.Failure
			if !errors.As(err, &failure) {
				t.Errorf("it fails with %v", err)
			}
			return
		}
		secret := r.ClientSecret.Reveal()
		if r.ClientID == "" || strings.ContainsAny(r.ClientID+secret, "\r\n\x00") || (r.AuthMethod == discovery.AuthNone) != (secret == "") {
			t.Errorf("it is %+v", r)
		}
	})
}
