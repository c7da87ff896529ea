package discovery_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"mcpsidecar/discovery"
)

const registerPage = "POST https://as.example.com/register"

// server is what is known of an authorization server that registers clients.
func server(methods ...string) discovery.Metadata {
	return discovery.Metadata{Issuer: as, AuthorizationEndpoint: as + "/authorize", TokenEndpoint: as + "/token", RegistrationEndpoint: as + "/register", TokenAuthMethods: methods}
}

func us() discovery.ClientMetadata {
	return discovery.ClientMetadata{Name: "mcp-sidecar", URI: "https://sidecar.example.org/", RedirectURI: redirect}
}

func register(t *testing.T, w *internet, metadata discovery.Metadata, client_ discovery.ClientMetadata) (discovery.Registration, error) {
	t.Helper()
	return client(t, w).Register(t.Context(), metadata, client_)
}

func TestARegistrationSaysWhatTheSpecificationAsksFor(t *testing.T) {
	tests := []struct {
		what     string
		metadata discovery.Metadata
		change   func(*discovery.ClientMetadata)
		want     string
	}{
		{
			"on the web", server("none"), nil,
			`{"client_name":"mcp-sidecar","client_uri":"https://sidecar.example.org/","redirect_uris":["` + redirect + `"],"grant_types":["authorization_code","refresh_token"],"response_types":["code"],"token_endpoint_auth_method":"none","application_type":"web"}`,
		},
		{
			"on loopback", server("none"), func(c *discovery.ClientMetadata) { c.RedirectURI, c.URI = "http://127.0.0.1:8080/callback", "" },
			`{"client_name":"mcp-sidecar","redirect_uris":["http://127.0.0.1:8080/callback"],"grant_types":["authorization_code","refresh_token"],"response_types":["code"],"token_endpoint_auth_method":"none","application_type":"native"}`,
		},
		{
			"with scopes", server("none"), func(c *discovery.ClientMetadata) { c.Scopes, c.URI = []string{"a", "b"}, "" },
			`{"client_name":"mcp-sidecar","redirect_uris":["` + redirect + `"],"grant_types":["authorization_code","refresh_token"],"response_types":["code"],"token_endpoint_auth_method":"none","application_type":"web","scope":"a b"}`,
		},
	}
	for _, test := range tests {
		t.Run(test.what, func(t *testing.T) {
			w := web(registerPage, answers(201, `{"client_id":"id-1","redirect_uris":["x"]}`))
			self := us()
			if test.change != nil {
				test.change(&self)
			}
			registration, err := register(t, w, test.metadata, self)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "what is sent", w.sent[registerPage], test.want)
			equal(t, "its type", w.last[registerPage].Header.Get("Content-Type"), "application/json")
			equal(t, "the client id", registration.ClientID, "id-1")
			equal(t, "the issuer", registration.Issuer, as)
			equal(t, "the redirect URI", registration.RedirectURI, self.RedirectURI)
		})
	}
}

func TestRefreshTokensAreNotAskedForWhereThereAreNone(t *testing.T) {
	for said, want := range map[string]string{"": `"grant_types":["authorization_code","refresh_token"]`, "authorization_code": `"grant_types":["authorization_code"]`, "refresh_token authorization_code": `"grant_types":["authorization_code","refresh_token"]`} {
		w := web(registerPage, answers(201, `{"client_id":"id-1"}`))
		metadata := server("none")
		metadata.GrantTypes = strings.Fields(said)
		if _, err := register(t, w, metadata, us()); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(w.sent[registerPage], want) {
			t.Errorf("with %q, %s is sent", said, w.sent[registerPage])
		}
	}
}

func TestTheWayOfAuthenticationIsChosenFromTheMetadata(t *testing.T) {
	tests := []struct {
		said   string
		answer string
		asks   string
		want   string
		secret string
	}{
		{"none", `{"client_id":"i"}`, "none", "none", ""},
		{"client_secret_basic none client_secret_post", `{"client_id":"i"}`, "none", "none", ""},
		{"client_secret_post client_secret_basic", `{"client_id":"i","client_secret":"s"}`, "client_secret_basic", "client_secret_basic", "s"},
		{"private_key_jwt client_secret_post", `{"client_id":"i","client_secret":"s"}`, "client_secret_post", "client_secret_post", "s"},
		{"", `{"client_id":"i","client_secret":"s"}`, "client_secret_basic", "client_secret_basic", "s"},
		// The authorization server may decide otherwise.
		{"none", `{"client_id":"i","client_secret":"s","token_endpoint_auth_method":"client_secret_post"}`, "none", "client_secret_post", "s"},
		{"client_secret_basic", `{"client_id":"i","token_endpoint_auth_method":"none"}`, "client_secret_basic", "none", ""},
		{"client_secret_basic", `{"client_id":"i","client_secret":"s","token_endpoint_auth_method":"none"}`, "client_secret_basic", "none", ""},
		// It was asked for none, says nothing and gives a secret: it took what it was asked for.
		{"none", `{"client_id":"i","client_secret":"s"}`, "none", "none", ""},
		// It says basic, but gives nothing to say it with.
		{"client_secret_basic", `{"client_id":"i","token_endpoint_auth_method":"client_secret_basic"}`, "client_secret_basic", "none", ""},
	}
	for _, test := range tests {
		t.Run(test.said+" "+test.answer, func(t *testing.T) {
			w := web(registerPage, answers(201, test.answer))
			registration, err := register(t, w, server(strings.Fields(test.said)...), us())
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "what is asked for", sentMethod(t, w), test.asks)
			equal(t, "the way", registration.AuthMethod, test.want)
			equal(t, "the secret", registration.ClientSecret.Reveal(), test.secret)
		})
	}
}

func sentMethod(t *testing.T, w *internet) string {
	t.Helper()
	var sent struct {
		Method string `json:"token_endpoint_auth_method"`
	}
	if err := json.Unmarshal([]byte(w.sent[registerPage]), &sent); err != nil {
		t.Fatal(err)
	}
	return sent.Method
}

// Some authorization servers say that they take public clients, but refuse one whose redirect URI is on the web.
func TestARefusedWayIsFollowedByTheNext(t *testing.T) {
	var asked []string
	w := web()
	w.put(registerPage, func(rw http.ResponseWriter, _ *http.Request) {
		asked = append(asked, sentMethod(t, w))
		if slices.Equal(asked, []string{"none", "client_secret_basic", "client_secret_post"}) {
			answers(200, `{"client_id":"i","client_secret":"s","client_secret_expires_at":0}`)(rw, nil)
			return
		}
		answers(400, `{"error":"invalid_client_metadata"}`)(rw, nil)
	})
	registration, err := register(t, w, server("client_secret_post", "client_secret_basic", "none"), us())
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "the way", registration.AuthMethod, discovery.AuthPost)
	if !registration.SecretExpires.IsZero() {
		t.Errorf("it expires at %v", registration.SecretExpires)
	}
}

func TestTheExpiryOfASecretIsRead(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	tests := []struct {
		said string
		want time.Time
		ok   bool
	}{
		{`1800003600`, now.Add(time.Hour), true},
		{`1.8000036e9`, now.Add(time.Hour), true},
		{`1800003600.9`, now.Add(time.Hour), true},
		{`0`, time.Time{}, true},
		{`null`, time.Time{}, true},
		{`1e300`, time.Time{}, true},
		{`1800000000`, time.Time{}, false},
		{`1`, time.Time{}, false},
		{`-1`, time.Time{}, false},
		{`"1800003600"`, time.Time{}, false},
		{`true`, time.Time{}, false},
	}
	for _, test := range tests {
		t.Run(test.said, func(t *testing.T) {
			w := web(registerPage, answers(201, `{"client_id":"i","client_secret":"s","client_secret_expires_at":`+test.said+`}`))
			c, err := discovery.New(discovery.Config{HTTP: &http.Client{Transport: w}, Now: func() time.Time { return now }})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			registration, err := c.Register(t.Context(), server("client_secret_basic"), us())
			if !test.ok {
				failureOf(t, err, discovery.ErrBadAnswer, registration)
				return
			}
			if err != nil || !registration.SecretExpires.Equal(test.want) {
				t.Errorf("it expires at %v, want %v (%v)", registration.SecretExpires, test.want, err)
			}
		})
	}
}

func TestOurDocumentIsOurName(t *testing.T) {
	const document = "https://sidecar.example.org/oauth/client.json"
	withDocument := func(methods ...string) discovery.Metadata {
		m := server(methods...)
		m.ClientDocument = true
		return m
	}
	unregistering := withDocument("client_secret_basic")
	unregistering.RegistrationEndpoint = ""
	tests := []struct {
		what     string
		metadata discovery.Metadata
		url      string
		want     string
	}{
		{"it reads documents", withDocument("none"), document, document},
		{"it reads documents and says nothing of authentication", withDocument(), document, document},
		{"it reads no documents", server("none"), document, "registered"},
		{"we have none", withDocument("none"), "", "registered"},
		{"it takes no public clients", withDocument("client_secret_basic"), document, "registered"},
		{"it takes no public clients, but does not register any either", unregistering, document, document},
	}
	for _, test := range tests {
		t.Run(test.what, func(t *testing.T) {
			w := web(registerPage, answers(201, `{"client_id":"registered"}`))
			self := us()
			self.DocumentURL = test.url
			registration, err := register(t, w, test.metadata, self)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "the client id", registration.ClientID, test.want)
			equal(t, "whether it is the document", registration.Document, test.want == document)
			equal(t, "whether somebody was asked", len(w.requests()) > 0, test.want != document)
			equal(t, "the issuer", registration.Issuer, as)
			equal(t, "the way", registration.AuthMethod, discovery.AuthNone)
		})
	}
}

func TestARefusedRegistrationSaysWhatToDo(t *testing.T) {
	closed := server("none")
	closed.RegistrationEndpoint = ""
	tests := []struct {
		what     string
		metadata discovery.Metadata
		page     http.HandlerFunc
		want     error
		says     string // in the text
		requests int
	}{
		{"there is no registration", closed, status(500), discovery.ErrNoRegistration, redirect, 0},
		{"the endpoint is not there", server("none"), status(404), discovery.ErrNoRegistration, redirect, 1},
		{"the endpoint does not take a POST", server("none"), status(405), discovery.ErrNoRegistration, redirect, 1},
		{"the redirect URI", server("none"), answers(400, `{"error":"invalid_redirect_uri","error_description":"swordfish"}`), discovery.ErrRefused, "does not accept the redirect URI", 1},
		{"the metadata, in every way", server("none", "client_secret_basic"), answers(400, `{"error":"invalid_client_metadata"}`), discovery.ErrRefused, "does not accept what the sidecar says", 2},
		{"without a reason", server("none"), answers(400, `swordfish`), discovery.ErrRefused, redirect, 1},
		{"with a reason that none knows", server("none"), answers(400, `{"error":"swordfish"}`), discovery.ErrRefused, redirect, 1},
		{"it wants a token", server("none", "client_secret_basic"), answers(401, `swordfish`), discovery.ErrRefused, redirect, 1},
		{"it forbids it", server("none"), answers(403, `swordfish`), discovery.ErrRefused, redirect, 1},
		{"too many", server("none", "client_secret_basic"), status(429), discovery.ErrUnreachable, "try again", 1},
		{"it is down", server("none", "client_secret_basic"), answers(503, `swordfish`), discovery.ErrUnreachable, "try again", 1},
		{"no answer", server("none"), status(brokenOff), discovery.ErrUnreachable, "broke off", 1},
		{"a redirect", server("none"), answers(307, "", "Location", "https://swordfish.example"), discovery.ErrBadAnswer, "redirect", 1},
		{"202", server("none"), answers(202, `{"client_id":"i"}`), discovery.ErrBadAnswer, "201", 1},
		{"no client id", server("none"), answers(201, `{"client_secret":"swordfish"}`), discovery.ErrBadAnswer, "client_id", 1},
		{"an empty client id", server("none"), answers(201, `{"client_id":""}`), discovery.ErrBadAnswer, "client_id", 1},
		{"a client id that breaks lines", server("none"), answers(201, `{"client_id":"a\r\nswordfish"}`), discovery.ErrBadAnswer, "client_id", 1},
		{"a client id without end", server("none"), answers(201, `{"client_id":"`+strings.Repeat("a", 5000)+`"}`), discovery.ErrBadAnswer, "client_id", 1},
		{"a secret that is none", server("client_secret_basic"), answers(201, `{"client_id":"a","client_secret":"swordfish\n"}`), discovery.ErrBadAnswer, "client_secret", 1},
		{"two client ids", server("none"), answers(201, `{"client_id":"a","client_id":"swordfish"}`), discovery.ErrBadAnswer, "twice", 1},
		{"a page", server("none"), answers(200, `<html>swordfish`), discovery.ErrNotFound, "page", 1},
		{"no object", server("none"), answers(201, `"swordfish"`), discovery.ErrBadAnswer, "JSON", 1},
		{"an unknown way", server("client_secret_basic"), answers(201, `{"client_id":"a","client_secret":"swordfish","token_endpoint_auth_method":"private_key_jwt"}`), discovery.ErrBadAnswer, "token_endpoint_auth_method", 1},
		{"only unknown ways", server("private_key_jwt", "tls_client_auth"), status(500), discovery.ErrBadAnswer, "prove itself", 0},
		{"a hostile endpoint", discovery.Metadata{Issuer: as, RegistrationEndpoint: "http://169.254.169.254/"}, status(500), discovery.ErrURL, "https", 0},
	}
	for _, test := range tests {
		t.Run(test.what, func(t *testing.T) {
			w := web(registerPage, test.page)
			registration, err := register(t, w, test.metadata, us())
			failure := failureOf(t, err, test.want, registration)
			equal(t, "the number of requests", len(w.requests()), test.requests)
			if text := failure.Error(); !strings.Contains(text, test.says) || strings.Contains(text, "swordfish") {
				t.Errorf("the text is: %s", text)
			}
		})
	}
}

func TestWhatWeSayOfOurselvesIsJudgedFirst(t *testing.T) {
	for what, change := range map[string]func(*discovery.ClientMetadata){
		"no name":                       func(c *discovery.ClientMetadata) { c.Name = "" },
		"no redirect URI":               func(c *discovery.ClientMetadata) { c.RedirectURI = "" },
		"a redirect URI without TLS":    func(c *discovery.ClientMetadata) { c.RedirectURI = "http://sidecar.example.org/callback" },
		"a document without TLS":        func(c *discovery.ClientMetadata) { c.DocumentURL = "http://localhost/client.json" },
		"a document without a path":     func(c *discovery.ClientMetadata) { c.DocumentURL = "https://sidecar.example.org/" },
		"a name that cannot be written": func(c *discovery.ClientMetadata) { c.Name = "\xff" },
	} {
		t.Run(what, func(t *testing.T) {
			w := web(registerPage, answers(201, `{"client_id":"i"}`))
			self := us()
			change(&self)
			registration, err := register(t, w, server("none"), self)
			failureOf(t, err, discovery.ErrBadInput, registration)
			equal(t, "the number of requests", len(w.requests()), 0)
		})
	}
}

func TestARegistrationNobodyWaitsForEnds(t *testing.T) {
	w := web(registerPage, http.HandlerFunc(silence))
	if _, err := client(t, w).Register(done(t), server("none"), us()); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// Attack O-22: what one authorization server gave is not for another one; the issuer is in the registration, whatever the answer says.
func TestARegistrationIsOfItsIssuer(t *testing.T) {
	evil := discovery.Metadata{Issuer: "https://evil.example", RegistrationEndpoint: "https://evil.example/register", TokenAuthMethods: []string{"none"}}
	w := web("POST https://evil.example/register", answers(201, `{"client_id":"known","issuer":"`+as+`","redirect_uris":["https://evil.example"]}`))
	registration, err := register(t, w, evil, us())
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "the issuer", registration.Issuer, "https://evil.example")
	equal(t, "the redirect URI", registration.RedirectURI, redirect)
}

func TestASecretDoesNotPrint(t *testing.T) {
	w := web(registerPage, answers(201, `{"client_id":"i","client_secret":"swordfish"}`))
	registration, err := register(t, w, server("client_secret_basic"), us())
	if err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprintf("%v %+v %#v", registration, registration, registration); strings.Contains(text, "swordfish") {
		t.Error(text)
	}
}

func TestOurDocument(t *testing.T) {
	d := discovery.Document{URL: "https://sidecar.example.org/oauth/client.json", Name: "mcp-sidecar", URI: "https://sidecar.example.org/", RedirectURIs: []string{redirect, "http://localhost:8080/callback"}}
	text, err := discovery.ClientDocument(d)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{
		"client_id": d.URL, "client_name": "mcp-sidecar", "client_uri": d.URI, "token_endpoint_auth_method": "none", "application_type": "web",
		"redirect_uris": []any{redirect, "http://localhost:8080/callback"}, "grant_types": []any{"authorization_code", "refresh_token"}, "response_types": []any{"code"},
	} {
		equal(t, name, fmt.Sprint(got[name]), fmt.Sprint(want))
	}
	equal(t, "the number of members", len(got), 8)

	again, _ := discovery.ClientDocument(d)
	equal(t, "the text", string(again), string(text))
}

func TestADocumentThatNobodyWouldAcceptIsNotWritten(t *testing.T) {
	const good = "https://sidecar.example.org/oauth/client.json"
	for what, d := range map[string]discovery.Document{
		"no URL":             {Name: "x", RedirectURIs: []string{redirect}},
		"without TLS":        {URL: "http://localhost/client.json", Name: "x", RedirectURIs: []string{redirect}},
		"without a path":     {URL: "https://sidecar.example.org", Name: "x", RedirectURIs: []string{redirect}},
		"with a query":       {URL: good + "?a", Name: "x", RedirectURIs: []string{redirect}},
		"with a fragment":    {URL: good + "#a", Name: "x", RedirectURIs: []string{redirect}},
		"with dots":          {URL: "https://sidecar.example.org/a/../client.json", Name: "x", RedirectURIs: []string{redirect}},
		"with escaped dots":  {URL: "https://sidecar.example.org/%2e%2E/client.json", Name: "x", RedirectURIs: []string{redirect}},
		"without a name":     {URL: good, RedirectURIs: []string{redirect}},
		"without a way back": {URL: good, Name: "x"},
		"a way back by http": {URL: good, Name: "x", RedirectURIs: []string{redirect, "http://sidecar.example.org/"}},
	} {
		if text, err := discovery.ClientDocument(d); err == nil {
			t.Errorf("%s: %s", what, text)
		}
	}
}
