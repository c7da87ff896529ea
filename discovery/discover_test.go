package discovery_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"mcpsidecar/discovery"
)

const (
	pathPlace = "GET https://mcp.example.com/.well-known/oauth-protected-resource/mcp"
	rootPlace = "GET https://mcp.example.com/.well-known/oauth-protected-resource"
	ownPlace  = "GET https://mcp.example.com/.well-known/oauth-authorization-server"
	ownOIDC   = "GET https://mcp.example.com/.well-known/openid-configuration"
	asPlace   = "GET https://as.example.com/.well-known/oauth-authorization-server"
	asOIDC    = "GET https://as.example.com/.well-known/openid-configuration"
	asked     = "POST " + mcp
)

func TestTheResourceMetadataIsFoundInOrder(t *testing.T) {
	const elsewhere = "GET https://mcp.example.com/custom/location.json"
	tests := []struct {
		what  string
		web   *internet
		found string
		asks  []string
	}{
		{
			"where the challenge says", web(asked, challenges(`Bearer resource_metadata="https://mcp.example.com/custom/location.json"`), elsewhere, resourceOf(mcp, as)),
			elsewhere, []string{asked, elsewhere, asPlace},
		},
		{
			"where the challenge says, although the others are there, too",
			web(asked, challenges(`Bearer resource_metadata="https://mcp.example.com/custom/location.json"`), elsewhere, resourceOf(mcp, as), pathPlace, resourceOf(mcp, "https://no.example"), rootPlace, resourceOf(mcp, "https://no.example")),
			elsewhere, []string{asked, elsewhere, asPlace},
		},
		{
			"by the path", web(asked, challenges(`Bearer error="invalid_token"`), pathPlace, resourceOf(mcp, as), rootPlace, resourceOf(mcp, "https://no.example")),
			pathPlace, []string{asked, pathPlace, asPlace},
		},
		{
			"at the root", web(asked, challenges(`Bearer`), rootPlace, resourceOf("https://mcp.example.com", as)),
			rootPlace, []string{asked, pathPlace, rootPlace, asPlace},
		},
		{
			"without any challenge", web(asked, status(http.StatusOK), rootPlace, resourceOf("https://mcp.example.com", as)),
			rootPlace, []string{asked, pathPlace, rootPlace, asPlace},
		},
		{
			"although the server does not answer", web(asked, status(brokenOff), pathPlace, resourceOf(mcp, as)),
			pathPlace, []string{asked, pathPlace, asPlace},
		},
		{
			"past a challenge that leads nowhere", web(asked, challenges(`Bearer resource_metadata="https://mcp.example.com/custom/location.json"`), pathPlace, resourceOf(mcp, as)),
			pathPlace, []string{asked, elsewhere, pathPlace, asPlace},
		},
		{
			"past a document without authorization servers", web(pathPlace, resourceOf(mcp), rootPlace, resourceOf(mcp, as)),
			rootPlace, []string{asked, "GET " + mcp, pathPlace, rootPlace, asPlace},
		},
		{
			"past a document that cannot be read", web(asked, challenges("Bearer"), pathPlace, says(`{"resource"`), rootPlace, resourceOf(mcp, as)),
			rootPlace, []string{asked, pathPlace, rootPlace, asPlace},
		},
		{
			"past a front page", web(asked, challenges("Bearer"), pathPlace, says(` <!doctype html>`), rootPlace, resourceOf(mcp, as)),
			rootPlace, []string{asked, pathPlace, rootPlace, asPlace},
		},
		{
			"by the challenge to a GET, where the server is of 2024-11-05",
			web(asked, status(http.StatusMethodNotAllowed), "GET "+mcp, challenges(`Bearer resource_metadata="https://mcp.example.com/custom/location.json"`), elsewhere, resourceOf(mcp, as)),
			elsewhere, []string{asked, "GET " + mcp, elsewhere, asPlace},
		},
	}
	for _, test := range tests {
		t.Run(test.what, func(t *testing.T) {
			test.web.put(asPlace, issuerAt(as))
			metadata := found(t, test.web, discovery.Server{URL: mcp})
			equal(t, "the place", "GET "+metadata.ResourceMetadataURL, test.found)
			equal(t, "the issuer", metadata.Issuer, as)
			same(t, "requests", test.web.requests(), test.asks)
		})
	}
}

func TestAKnownChallengeSparesTheQuestion(t *testing.T) {
	w := web(pathPlace, resourceOf(mcp, as), asPlace, issuerAt(as))
	metadata := found(t, w, discovery.Server{URL: mcp, Challenge: `Bearer scope="files:read files:write"`})
	same(t, "requests", w.requests(), []string{pathPlace, asPlace})
	same(t, "scopes", metadata.Scopes, []string{"files:read", "files:write"})
}

func TestTheQuestionIsOneThatAnyServerMayGet(t *testing.T) {
	w := web(asked, challenges("Bearer"), pathPlace, resourceOf(mcp, as), asPlace, issuerAt(as))
	found(t, w, discovery.Server{URL: mcp})
	header := w.last[asked].Header
	for name, want := range map[string]string{
		"Accept": "application/json, text/event-stream", "Content-Type": "application/json", "Mcp-Protocol-Version": "2026-07-28", "Mcp-Method": "server/discover",
		"Authorization": "", "Cookie": "", "User-Agent": "mcp-sidecar",
	} {
		equal(t, name, header.Get(name), want)
	}
	for _, part := range []string{`"jsonrpc":"2.0"`, `"method":"server/discover"`, `"io.modelcontextprotocol/protocolVersion":"2026-07-28"`} {
		if !strings.Contains(w.sent[asked], part) {
			t.Errorf("the question %s lacks %s", w.sent[asked], part)
		}
	}
	equal(t, "the version in a metadata request", w.last[asPlace].Header.Get("MCP-Protocol-Version"), "2026-07-28")
	equal(t, "what is accepted", w.last[asPlace].Header.Get("Accept"), "application/json")
}

func TestTheResourceIsTheServer(t *testing.T) {
	const slash = "https://mcp.example.com/mcp/"
	tests := []struct {
		server, resource string
		ok               bool
	}{
		{mcp, mcp, true},
		{mcp, "HTTPS://MCP.Example.COM/mcp", true},
		{mcp, "https://mcp.example.com:443/mcp", true},
		{"https://mcp.example.com:443/mcp", mcp, true},
		// GitHub's differ by a slash at the end.
		{slash, mcp, true},
		{mcp, slash, true},
		// The identifier of metadata at the root is the origin; many serve it by the path, too.
		{mcp, "https://mcp.example.com", true},
		{mcp, "https://mcp.example.com/", true},
		{"https://mcp.example.com", "https://mcp.example.com", true},
		{"https://mcp.example.com", "https://mcp.example.com/", true},
		{"https://mcp.example.com/a/b/mcp", "https://mcp.example.com/a", true},
		{"https://mcp.example.com/mcp?tenant=1", "https://mcp.example.com/mcp?tenant=1", true},
		{"https://mcp.example.com/mcp?tenant=1", mcp, true},

		{mcp, "https://evil.example.com/mcp", false},
		{mcp, "https://mcp.example.com.evil.example/mcp", false},
		{mcp, "http://mcp.example.com/mcp", false},
		{mcp, "https://mcp.example.com:8443/mcp", false},
		{mcp, "https://mcp.example.com/mcp/more", false},
		{mcp, "https://mcp.example.com/mc", false},
		{mcp, "https://mcp.example.com/other", false},
		{mcp, "https://mcp.example.com/MCP", false},
		{mcp, "https://mcp.example.com/%6dcp", false},
		{mcp, "https://mcp.example.com/mcp#fragment", false},
		{mcp, "https://mcp.example.com/mcp#", false},
		{mcp, "https://mcp.example.com/mcp?tenant=2", false},
		{"https://mcp.example.com/mcp?tenant=1", "https://mcp.example.com/mcp?tenant=2", false},
		{mcp, "https://user@mcp.example.com/mcp", false},
		{mcp, "https://mcp.example.com/mcp\n", false},
		{mcp, "mcp.example.com/mcp", false},
		{mcp, "urn:mcp", false},
		{mcp, "%", false},
	}
	for _, test := range tests {
		t.Run(test.resource+" for "+test.server, func(t *testing.T) {
			w := web(rootPlace, resourceOf(test.resource, as), asPlace, issuerAt(as))
			server := discovery.Server{URL: test.server, Challenge: `Bearer resource_metadata="https://mcp.example.com/.well-known/oauth-protected-resource"`}
			if !test.ok {
				fails(t, w, server, discovery.ErrResource)
				same(t, "requests", w.requests(), []string{rootPlace})
				return
			}
			equal(t, "what is to be sent", found(t, w, server).Resource, test.resource)
		})
	}
}

func TestAFalseResourceEndsTheSearch(t *testing.T) {
	w := web(asked, challenges("Bearer"), pathPlace, resourceOf("https://evil.example.com/mcp", as), rootPlace, resourceOf(mcp, as), asPlace, issuerAt(as), ownPlace, issuerAt("https://mcp.example.com"))
	failure := fails(t, w, discovery.Server{URL: mcp}, discovery.ErrResource)
	equal(t, "where", failure.URL, strings.TrimPrefix(pathPlace, "GET "))
	same(t, "requests", w.requests(), []string{asked, pathPlace})
}

func TestTheIssuersMetadataIsFoundInOrder(t *testing.T) {
	const tenant = as + "/tenant1"
	inserted, insertedOIDC, appended := asPlace+"/tenant1", asOIDC+"/tenant1", "GET "+tenant+"/.well-known/openid-configuration"
	tests := []struct {
		what, issuer, place string
		asks                []string
	}{
		{"without a path", as, asPlace, []string{asPlace}},
		{"without a path, OpenID Connect", as, asOIDC, []string{asPlace, asOIDC}},
		{"with a slash", as + "/", asPlace, []string{asPlace}},
		{"with a path", tenant, inserted, []string{inserted}},
		{"with a path, OpenID Connect inserted", tenant, insertedOIDC, []string{inserted, insertedOIDC}},
		{"with a path, OpenID Connect appended", tenant, appended, []string{inserted, insertedOIDC, appended}},
		{"with a path and a slash", tenant + "/", appended, []string{inserted, insertedOIDC, appended}},
		{"with an escaped path", as + "/a%2Fb", asPlace + "/a%2Fb", []string{asPlace + "/a%2Fb"}},
	}
	for _, test := range tests {
		t.Run(test.what, func(t *testing.T) {
			w := web(asked, challenges("Bearer"), pathPlace, resourceOf(mcp, test.issuer), test.place, issuerAt(test.issuer))
			metadata := found(t, w, discovery.Server{URL: mcp})
			equal(t, "the issuer", metadata.Issuer, test.issuer)
			equal(t, "the place", "GET "+metadata.IssuerMetadataURL, test.place)
			same(t, "requests", w.requests(), append([]string{asked, pathPlace}, test.asks...))
		})
	}
}

// Attack O-05: metadata names an issuer that it is not.
func TestTheIssuerIsComparedToTheLetter(t *testing.T) {
	for _, lie := range []string{
		"https://honest.example", as + "/", "https://AS.example.com", "HTTPS://as.example.com", as + ":443", as + "/%74enant", as + "/tenant1", "http://as.example.com", "", " " + as, "null",
	} {
		t.Run(lie, func(t *testing.T) {
			w := web(asked, challenges("Bearer"), pathPlace, resourceOf(mcp, as), asPlace, issuerAt(lie), asOIDC, issuerAt(lie))
			failure := fails(t, w, discovery.Server{URL: mcp}, discovery.ErrIssuer)
			if lie == as+"/" {
				equal(t, "the issuer to pin", failure.Issuer, lie)
			}
			if lie != "" && lie != "null" && strings.Contains(failure.Error(), strings.TrimSpace(lie)+" ") {
				t.Errorf("the text has the answer in it: %v", failure)
			}
		})
	}
	t.Run("a lie at one place leaves the truth at another", func(t *testing.T) {
		w := web(asked, challenges("Bearer"), pathPlace, resourceOf(mcp, as), asPlace, issuerAt("https://honest.example"), asOIDC, issuerAt(as))
		equal(t, "the place", "GET "+found(t, w, discovery.Server{URL: mcp}).IssuerMetadataURL, asOIDC)
	})
	t.Run("what cannot be pinned is not offered", func(t *testing.T) {
		for _, lie := range []string{"javascript:alert(1)", "https://as.example.com/?a=b", "<script>"} {
			w := web(pathPlace, resourceOf(mcp, as), asPlace, issuerAt(lie))
			equal(t, "the issuer to pin", fails(t, w, discovery.Server{URL: mcp}, discovery.ErrIssuer).Issuer, "")
		}
	})
}

func TestAPinnedIssuerIsTheOnlyOne(t *testing.T) {
	const other = "https://other.example.com"
	otherPlace := "GET " + other + "/.well-known/oauth-authorization-server"
	tests := []struct {
		what   string
		pin    string
		web    *internet
		place  string // empty: it fails
		logged bool
	}{
		{"listed", other, web(pathPlace, resourceOf(mcp, as, other), asPlace, issuerAt(as), otherPlace, issuerAt(other)), otherPlace, false},
		{"a mismatch that the pin allows", as + "/", web(pathPlace, resourceOf(mcp, as), asPlace, issuerAt(as+"/")), asPlace, true},
		{"a mismatch that it does not allow", as + "/x", web(pathPlace, resourceOf(mcp, as), asPlace, issuerAt(as+"/")), "", false},
		{"none of those listed", other, web(pathPlace, resourceOf(mcp, as), asPlace, issuerAt(as), otherPlace, issuerAt(other)), "", false},
		{"listed, but it says otherwise", as, web(pathPlace, resourceOf(mcp, as), asPlace, issuerAt(as+"/")), "", false},
		{"no resource metadata: the pinned issuer's own", other, web(asked, challenges("Bearer"), otherPlace, issuerAt(other), ownPlace, issuerAt("https://mcp.example.com")), otherPlace, false},
		{"no resource metadata: the server's, which says it is the pinned one", other, web(asked, challenges("Bearer"), ownPlace, issuerAt(other)), ownPlace, true},
		{"no metadata: the default endpoints are not the pinned issuer's", other, web(asked, challenges("Bearer")), "", false},
	}
	for _, test := range tests {
		t.Run(test.what, func(t *testing.T) {
			var log bytes.Buffer
			c, err := discovery.New(discovery.Config{HTTP: &http.Client{Transport: test.web}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			metadata, err := c.Discover(t.Context(), discovery.Server{URL: mcp, PinnedIssuer: test.pin})
			if test.place == "" {
				if err == nil {
					t.Errorf("it was accepted: %+v", metadata)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "the issuer", metadata.Issuer, test.pin)
			equal(t, "the place", "GET "+metadata.IssuerMetadataURL, test.place)
			equal(t, "whether it is logged", strings.Contains(log.String(), test.pin), test.logged)
		})
	}
}

func TestSeveralAuthorizationServersAreTriedInOrder(t *testing.T) {
	second := "https://second.example.com"
	secondPlace := "GET " + second + "/.well-known/oauth-authorization-server"
	for what, first := range map[string]http.HandlerFunc{
		"is not there":           status(http.StatusNotFound),
		"is down":                status(http.StatusServiceUnavailable),
		"lies":                   issuerAt("https://honest.example"),
		"has no PKCE":            says(`{"issuer":"` + as + `","authorization_endpoint":"https://as.example.com/a","token_endpoint":"https://as.example.com/t"}`),
		"has no token endpoint":  says(`{"issuer":"` + as + `","authorization_endpoint":"https://as.example.com/a","code_challenge_methods_supported":["S256"]}`),
		"has a hostile endpoint": says(`{"issuer":"` + as + `","authorization_endpoint":"javascript:alert(1)","token_endpoint":"https://as.example.com/t","code_challenge_methods_supported":["S256"]}`),
	} {
		t.Run("the first "+what, func(t *testing.T) {
			w := web(pathPlace, resourceOf(mcp, as, second), asPlace, first, secondPlace, issuerAt(second))
			equal(t, "the issuer", found(t, w, discovery.Server{URL: mcp}).Issuer, second)
		})
	}
	t.Run("the first that works is taken", func(t *testing.T) {
		w := web(pathPlace, resourceOf(mcp, as, second), asPlace, issuerAt(as), secondPlace, issuerAt(second))
		equal(t, "the issuer", found(t, w, discovery.Server{URL: mcp}).Issuer, as)
	})
	t.Run("not without end", func(t *testing.T) {
		var many []string
		for i := range 1000 {
			many = append(many, as+"/"+strings.Repeat("x", i+1))
		}
		w := web(asked, challenges("Bearer"), pathPlace, resourceOf(mcp, many...))
		fails(t, w, discovery.Server{URL: mcp}, discovery.ErrNotFound)
		if asks := w.requests(); len(asks) > 2+5*3 {
			t.Errorf("%d requests", len(asks))
		}
	})
}

// Attack O-07: a sign-in without a proof that the code was ours.
func TestWithoutS256NothingBegins(t *testing.T) {
	for _, methods := range []string{``, `,"code_challenge_methods_supported":[]`, `,"code_challenge_methods_supported":["plain"]`, `,"code_challenge_methods_supported":null`, `,"code_challenge_methods_supported":["s256"]`} {
		document := says(`{"issuer":"` + as + `","authorization_endpoint":"https://as.example.com/a","token_endpoint":"https://as.example.com/t"` + methods + `}`)
		fails(t, web(pathPlace, resourceOf(mcp, as), asPlace, document, asOIDC, document), discovery.Server{URL: mcp}, discovery.ErrNoPKCE)
	}
}

func TestWhatTheMetadataSaysIsHandedOn(t *testing.T) {
	w := web(
		asked, challenges("Bearer"),
		pathPlace, says(`{"resource":"`+mcp+`","authorization_servers":["`+as+`"],"scopes_supported":["read","write"]}`),
		asPlace, issuerAt(as, `"revocation_endpoint":"https://as.example.com/revoke"`, `"token_endpoint_auth_methods_supported":["private_key_jwt","client_secret_post"]`,
			`"scopes_supported":["read","write","admin","offline_access"]`, `"authorization_response_iss_parameter_supported":true`, `"client_id_metadata_document_supported":true`,
			`"grant_types_supported":["authorization_code"]`, `"some_other_member":{"a":[1]}`))
	m := found(t, w, discovery.Server{URL: mcp})
	equal(t, "the authorization endpoint", m.AuthorizationEndpoint, as+"/authorize")
	equal(t, "the token endpoint", m.TokenEndpoint, as+"/token")
	equal(t, "the registration endpoint", m.RegistrationEndpoint, as+"/register")
	equal(t, "the revocation endpoint", m.RevocationEndpoint, as+"/revoke")
	equal(t, "the resource", m.Resource, mcp)
	same(t, "scopes", m.Scopes, []string{"read", "write"})
	same(t, "ways of authentication", m.TokenAuthMethods, []string{"private_key_jwt", "client_secret_post"})
	same(t, "grant types", m.GrantTypes, []string{"authorization_code"})
	if !m.OfflineAccess || !m.IssParameter || !m.ClientDocument || m.Manual || m.Legacy {
		t.Errorf("flags: %+v", m)
	}
	mine := found(t, w, discovery.Server{URL: mcp, RevocationURL: "https://as.example.com/mine"})
	equal(t, "the revocation endpoint that an admin gave", mine.RevocationEndpoint, "https://as.example.com/mine")
}

func TestScopesComeFromTheChallengeElseFromTheResourceElseFromNowhere(t *testing.T) {
	plain := `{"resource":"` + mcp + `","authorization_servers":["` + as + `"]`
	with := plain + `,"scopes_supported":["a","b"]}`
	tests := []struct {
		what, challenge, resource string
		want                      []string
	}{
		{"challenge", `Bearer scope="x y"`, with, []string{"x", "y"}},
		{"challenge, no superset of the others", `Bearer scope="b"`, with, []string{"b"}},
		{"resource", `Bearer`, with, []string{"a", "b"}},
		{"an empty one is not said", `Bearer scope=""`, with, []string{"a", "b"}},
		{"nowhere: never all that the authorization server has", `Bearer`, plain + `}`, nil},
		{"not what is no scope", `Bearer`, plain + `,"scopes_supported":["a","b c","d\"","","a","e\n"]}`, []string{"a"}},
	}
	for _, test := range tests {
		t.Run(test.what, func(t *testing.T) {
			w := web(pathPlace, says(test.resource), asPlace, issuerAt(as, `"scopes_supported":["everything","admin"]`))
			same(t, "scopes", found(t, w, discovery.Server{URL: mcp, Challenge: test.challenge}).Scopes, test.want)
		})
	}
}

func TestAServerOf20250326IsItsOwnAuthorizationServer(t *testing.T) {
	t.Run("with metadata at its origin", func(t *testing.T) {
		w := web(asked, challenges("Bearer"), ownPlace, issuerAt("https://mcp.example.com", `"scopes_supported":["everything"]`))
		m := found(t, w, discovery.Server{URL: mcp})
		equal(t, "the issuer", m.Issuer, "https://mcp.example.com")
		equal(t, "the token endpoint", m.TokenEndpoint, "https://mcp.example.com/token")
		equal(t, "the resource", m.Resource, mcp)
		equal(t, "legacy", m.Legacy, false)
		same(t, "scopes", m.Scopes, nil)
		same(t, "requests", w.requests(), []string{asked, pathPlace, rootPlace, ownPlace})
	})
	t.Run("with metadata that writes the origin with a slash", func(t *testing.T) {
		w := web(asked, challenges("Bearer"), ownOIDC, issuerAt("https://mcp.example.com/"))
		equal(t, "the issuer", found(t, w, discovery.Server{URL: mcp}).Issuer, "https://mcp.example.com/")
	})
	t.Run("with metadata that lies", func(t *testing.T) {
		w := web(asked, challenges("Bearer"), ownPlace, issuerAt(as))
		fails(t, w, discovery.Server{URL: mcp}, discovery.ErrIssuer)
	})
	t.Run("without any metadata", func(t *testing.T) {
		w := web(asked, challenges(`Bearer scope="a"`))
		m := found(t, w, discovery.Server{URL: mcp})
		equal(t, "the authorization endpoint", m.AuthorizationEndpoint, "https://mcp.example.com/authorize")
		equal(t, "the token endpoint", m.TokenEndpoint, "https://mcp.example.com/token")
		equal(t, "the registration endpoint", m.RegistrationEndpoint, "https://mcp.example.com/register")
		equal(t, "the resource", m.Resource, mcp)
		equal(t, "legacy", m.Legacy, true)
		same(t, "scopes", m.Scopes, []string{"a"})
		same(t, "requests", w.requests(), []string{asked, pathPlace, rootPlace, ownPlace, ownOIDC})
	})
	t.Run("a metadata document that demands a sign-in is none", func(t *testing.T) {
		w := web(asked, challenges("Bearer"), pathPlace, challenges("Bearer"), rootPlace, status(http.StatusForbidden), ownPlace, challenges("Bearer"), ownOIDC, status(http.StatusMethodNotAllowed))
		equal(t, "legacy", found(t, w, discovery.Server{URL: mcp}).Legacy, true)
	})
}

func TestTheDefaultEndpointsAreOnlyForServersWithoutAnyMetadata(t *testing.T) {
	tests := []struct {
		what string
		web  *internet
		want error
	}{
		{"the challenge names metadata", web(asked, challenges(`Bearer resource_metadata="https://mcp.example.com/custom"`)), discovery.ErrNotFound},
		{"the metadata cannot be read", web(asked, challenges("Bearer"), pathPlace, says(`{}`)), discovery.ErrBadAnswer},
		{"the metadata is not there today", web(asked, challenges("Bearer"), rootPlace, status(http.StatusBadGateway)), discovery.ErrUnreachable},
		{"the metadata is elsewhere", web(asked, challenges("Bearer"), rootPlace, answers(http.StatusFound, "", "Location", "https://www.example.com/")), discovery.ErrBadAnswer},
		{"its authorization server has none", web(asked, challenges("Bearer"), pathPlace, resourceOf(mcp, as)), discovery.ErrNotFound},
		{"the origin's own cannot be read", web(asked, challenges("Bearer"), ownPlace, says(`[]`)), discovery.ErrBadAnswer},
		{"the server does not ask for a sign-in", web(asked, status(http.StatusOK)), discovery.ErrNoOAuth},
		{"the server knows no such path", web(), discovery.ErrNoOAuth},
		{"the server forbids without a challenge", web(asked, status(http.StatusForbidden)), discovery.ErrNoOAuth},
		{"the server does not answer", web(asked, status(brokenOff)), discovery.ErrUnreachable},
	}
	for _, test := range tests {
		t.Run(test.what, func(t *testing.T) {
			fails(t, test.web, discovery.Server{URL: mcp}, test.want)
		})
	}
}

func TestManualValuesAskNobody(t *testing.T) {
	w := web()
	m := found(t, w, discovery.Server{
		URL: "https://MCP.example.com:443/mcp/?key=hidden", AuthorizationURL: "https://as.example.com/authorize?audience=a&state=x", TokenURL: "https://as.example.com/token",
		RevocationURL: "http://localhost:8080/revoke", PinnedIssuer: as,
	})
	equal(t, "the authorization endpoint", m.AuthorizationEndpoint, "https://as.example.com/authorize?audience=a")
	equal(t, "the token endpoint", m.TokenEndpoint, as+"/token")
	equal(t, "the revocation endpoint", m.RevocationEndpoint, "http://localhost:8080/revoke")
	equal(t, "the issuer", m.Issuer, as)
	equal(t, "the resource", m.Resource, mcp)
	equal(t, "manual", m.Manual, true)
	same(t, "requests", w.requests(), nil)
}

func TestWhatAnAdminWroteIsJudgedFirst(t *testing.T) {
	const good = "https://as.example.com/x"
	tests := []struct {
		what   string
		server discovery.Server
	}{
		{"no URL", discovery.Server{}},
		{"another scheme", discovery.Server{URL: "ftp://mcp.example.com/mcp"}},
		{"a password", discovery.Server{URL: "https://user:hunter2@mcp.example.com/mcp"}},
		{"one of two", discovery.Server{URL: mcp, AuthorizationURL: good}},
		{"the other of two", discovery.Server{URL: mcp, TokenURL: good}},
		{"a token URL without TLS", discovery.Server{URL: mcp, AuthorizationURL: good, TokenURL: "http://as.example.com/x"}},
		{"a script", discovery.Server{URL: mcp, AuthorizationURL: "javascript:alert(1)", TokenURL: good}},
		{"a broken query", discovery.Server{URL: mcp, AuthorizationURL: good + "?a=%zz", TokenURL: good}},
		{"a revocation URL without TLS", discovery.Server{URL: mcp, RevocationURL: "http://as.example.com/x"}},
		{"a pin with a query", discovery.Server{URL: mcp, PinnedIssuer: good + "?a"}},
	}
	for _, test := range tests {
		t.Run(test.what, func(t *testing.T) {
			w := web()
			failure := fails(t, w, test.server, discovery.ErrBadInput)
			same(t, "requests", w.requests(), nil)
			if strings.Contains(failure.Error(), "hunter2") {
				t.Error("the text has the password in it:", failure)
			}
		})
	}
}

func TestQueriesOfTheServerStayThere(t *testing.T) {
	const server = mcp + "?key=hidden"
	keyed := pathPlace + "?key=hidden"
	w := web("POST "+server, challenges("Bearer"), keyed, resourceOf(mcp, as), asPlace, issuerAt(as))
	equal(t, "the resource", found(t, w, discovery.Server{URL: server}).Resource, mcp)
	same(t, "requests", w.requests(), []string{"POST " + server, keyed, asPlace})

	failure := fails(t, web("POST "+server, challenges("Bearer"), keyed, says("{}")), discovery.Server{URL: server}, discovery.ErrBadAnswer)
	if strings.Contains(failure.Error()+failure.URL, "hidden") {
		t.Error("the text has the query in it:", failure)
	}
	legacy := found(t, web("POST "+server, challenges("Bearer")), discovery.Server{URL: server})
	equal(t, "the resource of a server without metadata", legacy.Resource, mcp)
}

func TestASlashAtTheEndIsKeptAndThenLeftOut(t *testing.T) {
	w := web("POST "+mcp+"/", challenges("Bearer"), pathPlace, resourceOf(mcp+"/", as), asPlace, issuerAt(as))
	equal(t, "the resource", found(t, w, discovery.Server{URL: mcp + "/"}).Resource, mcp+"/")
	same(t, "requests", w.requests(), []string{"POST " + mcp + "/", pathPlace + "/", pathPlace, asPlace})
}

func TestTheWayOfAuthenticationOfAConfiguredClient(t *testing.T) {
	tests := []struct {
		said   string
		secret bool
		want   string
	}{
		{"", false, discovery.AuthNone},
		{"client_secret_basic", false, discovery.AuthNone},
		{"", true, discovery.AuthBasic},
		{"none client_secret_post client_secret_basic", true, discovery.AuthBasic},
		{"none client_secret_post", true, discovery.AuthPost},
		{"private_key_jwt", true, discovery.AuthBasic},
	}
	for _, test := range tests {
		m := discovery.Metadata{TokenAuthMethods: strings.Fields(test.said)}
		equal(t, "of "+test.said, m.AuthMethod(test.secret), test.want)
	}
}
