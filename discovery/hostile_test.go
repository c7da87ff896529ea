package discovery_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"mcpsidecar/discovery"
	"mcpsidecar/internal/outbound"
)

// hostileURLs are what no metadata may lead to.
var hostileURLs = []string{
	"javascript:alert(document.cookie)", "JavaScript:alert(1)//", "data:text/html,<script>alert(1)</script>", "file:///etc/passwd", "vbscript:x", "blob:https://as.example.com/1", "ftp://as.example.com/",
	"http://as.example.com/authorize", "http://127.0.0.1:8080/authorize", "http://localhost/authorize", "http://169.254.169.254/latest/meta-data/", "//as.example.com/authorize", "/authorize", "as.example.com/authorize",
	"https:///authorize", "https:as.example.com", "https://user:pass@as.example.com/", "https://user@as.example.com/", "https://as.example.com/#fragment", "https://as.example.com/#",
	"https://a:$(touch /tmp/x)?response_type=code", "https://as.example.com:0/", "https://as.example.com:99999/", "https://as.example.com:/", "https://as.example.com:abc/", "https://as.example.com/%zz", "https://[::1/", "https://as.example.com/\r\nX: y", "https://as.example.com/a b",
	"https://as.example.com/\"onload=", "https://as.example.com\\@evil.example/", "https://as.example.com/\x00", "https://as.example.com/ü", "https://" + strings.Repeat("a", 2100) + ".example/",
}

// Attack O-09, and S-01 for what no listener is needed.
func TestNoEndpointIsHostile(t *testing.T) {
	for _, field := range []string{"authorization_endpoint", "token_endpoint", "registration_endpoint", "revocation_endpoint"} {
		for _, hostile := range hostileURLs {
			t.Run(field+" "+hostile[:min(len(hostile), 40)], func(t *testing.T) {
				document := map[string]string{"authorization_endpoint": as + "/a", "token_endpoint": as + "/t"}
				document[field] = hostile
				var members []string
				for name, value := range document {
					members = append(members, fmt.Sprintf("%q:%s", name, jsonText(value)))
				}
				w := web(pathPlace, resourceOf(mcp, as), asPlace, says(`{"issuer":"`+as+`","code_challenge_methods_supported":["S256"],`+strings.Join(members, ",")+`}`))
				failure := fails(t, w, discovery.Server{URL: mcp}, discovery.ErrURL)
				if !strings.Contains(failure.Error(), field) || strings.Contains(failure.Error(), hostile) {
					t.Error("the text names the field and not the value:", failure)
				}
			})
		}
	}
}

func TestNoIssuerAndNoPlaceIsHostile(t *testing.T) {
	for _, hostile := range hostileURLs {
		if !strings.ContainsAny(hostile, "\x00\r\n\"") { // such a header cannot be sent
			w := web(rootPlace, resourceOf(mcp, as), asPlace, issuerAt(as))
			same(t, "requests for "+hostile, discoverRequests(t, w, discovery.Server{URL: mcp, Challenge: `Bearer resource_metadata="` + hostile + `"`}), nil)
		}
		w := web(pathPlace, says(`{"resource":"`+mcp+`","authorization_servers":[`+jsonText(hostile)+`]}`))
		failure := fails(t, w, discovery.Server{URL: mcp, Challenge: "Bearer"}, discovery.ErrURL)
		same(t, "requests for "+hostile, w.requests(), []string{pathPlace})
		if strings.Contains(failure.URL, "pass") || strings.Contains(failure.URL, "#") {
			t.Errorf("the URL is shown as %s", failure.URL)
		}
		if len(failure.Error()) > 1000 {
			t.Errorf("the failure has %d bytes", len(failure.Error()))
		}
	}
	fails(t, web(pathPlace, resourceOf(mcp, as+"?tenant=1")), discovery.Server{URL: mcp}, discovery.ErrURL)
}

// discoverRequests are the requests beyond those that any discovery of a server with metadata at the root makes.
func discoverRequests(t *testing.T, w *internet, server discovery.Server) []string {
	t.Helper()
	if _, err := client(t, w).Discover(t.Context(), server); err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(w.requests(), func(page string) bool { return page == pathPlace || page == rootPlace || page == asPlace })
}

func jsonText(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteString(`\` + string(r))
		case r < ' ':
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String() + `"`
}

// Attack O-09: parameters that are ours, set before we set them.
func TestAnAuthorizationEndpointKeepsItsQueryButNotOurParameters(t *testing.T) {
	tests := []struct{ said, want string }{
		{"?audience=api&tenant=1", "?audience=api&tenant=1"},
		{"?state=evil&redirect_uri=https%3A%2F%2Fevil.example&client_id=evil&audience=api", "?audience=api"},
		{"?request_uri=urn:evil&request=e30&response_mode=fragment&response_type=token&nonce=1&resource=x&scope=all&code_challenge=x&code_challenge_method=plain", ""},
		{"?", "?"},
		{"", ""},
	}
	for _, test := range tests {
		w := web(pathPlace, resourceOf(mcp, as), asPlace, says(`{"issuer":"`+as+`","code_challenge_methods_supported":["S256"],"token_endpoint":"https://as.example.com/t?keep=1","authorization_endpoint":"https://as.example.com/a`+test.said+`"}`))
		m := found(t, w, discovery.Server{URL: mcp})
		equal(t, "the endpoint", m.AuthorizationEndpoint, "https://as.example.com/a"+test.want)
		equal(t, "the token endpoint", m.TokenEndpoint, "https://as.example.com/t?keep=1")
	}
	for _, query := range []string{"?a=%zz", "?a;state=1"} {
		w := web(pathPlace, resourceOf(mcp, as), asPlace, says(`{"issuer":"`+as+`","code_challenge_methods_supported":["S256"],"token_endpoint":"https://as.example.com/t","authorization_endpoint":"https://as.example.com/a`+query+`"}`))
		fails(t, w, discovery.Server{URL: mcp}, discovery.ErrURL)
	}
}

func TestDocumentsAreReadStrictly(t *testing.T) {
	good := `"authorization_endpoint":"https://as.example.com/a","token_endpoint":"https://as.example.com/t","code_challenge_methods_supported":["S256"]`
	tests := []struct {
		what string
		page http.HandlerFunc
		want error // nil: it is read
	}{
		{"as it should be", says(`{"issuer":"` + as + `",` + good + `}`), nil},
		{"labelled as text", answers(200, `{"issuer":"`+as+`",`+good+`}`, "Content-Type", "text/plain; charset=utf-8"), nil},
		{"labelled as a page", answers(200, `{"issuer":"`+as+`",`+good+`}`, "Content-Type", "text/html"), nil},
		{"with space around it", says("\r\n\t{\"issuer\":\"" + as + "\"," + good + "} \n"), nil},
		{"identity is no coding", answers(200, `{"issuer":"`+as+`",`+good+`}`, "Content-Encoding", "identity"), nil},
		{"two issuers", says(`{"issuer":"https://honest.example","issuer":"` + as + `",` + good + `}`), discovery.ErrBadAnswer},
		{"two members in what is not read", says(`{"x":{"a":1,"a":2},"issuer":"` + as + `",` + good + `}`), discovery.ErrBadAnswer},
		{"another case", says(`{"Issuer":"` + as + `",` + good + `}`), discovery.ErrIssuer},
		{"two documents", says(`{"issuer":"` + as + `",` + good + `}{}`), discovery.ErrBadAnswer},
		{"cut short", says(`{"issuer":"` + as + `",` + good), discovery.ErrBadAnswer},
		{"nothing", says(``), discovery.ErrBadAnswer},
		{"null", says(`null`), discovery.ErrIssuer},
		{"a list", says(`[{}]`), discovery.ErrBadAnswer},
		{"a number for a text", says(`{"issuer":1,` + good + `}`), discovery.ErrBadAnswer},
		{"a text for a list", says(`{"issuer":"` + as + `","authorization_endpoint":"https://as.example.com/a","token_endpoint":"https://as.example.com/t","code_challenge_methods_supported":"S256"}`), discovery.ErrBadAnswer},
		{"no UTF-8", says("{\"x\":\"\xff\",\"issuer\":\"" + as + "\"," + good + "}"), discovery.ErrBadAnswer},
		{"deep", says(`{"x":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `,"issuer":"` + as + `",` + good + `}`), discovery.ErrBadAnswer},
		{"1 MiB", says(`{"issuer":"` + as + `",` + good + `}` + strings.Repeat(" ", 1<<20-len(`{"issuer":"`+as+`",`+good+`}`))), nil},
		{"more than 1 MiB", says(`{"issuer":"` + as + `",` + good + `}` + strings.Repeat(" ", 1<<20)), discovery.ErrBadAnswer},
		{"compressed", answers(200, `{"issuer":"`+as+`",`+good+`}`, "Content-Encoding", "gzip"), discovery.ErrBadAnswer},
		{"a page", says(`<html>`), discovery.ErrNotFound},
		{"201", answers(201, `{"issuer":"`+as+`",`+good+`}`), discovery.ErrBadAnswer},
		{"204", status(204), discovery.ErrBadAnswer},
		{"a redirect", answers(307, "", "Location", as+"/real"), discovery.ErrBadAnswer},
		{"429", status(429), discovery.ErrUnreachable},
		{"500", answers(500, `{"issuer":"`+as+`",`+good+`}`), discovery.ErrUnreachable},
		{"no answer", status(brokenOff), discovery.ErrUnreachable},
	}
	for _, test := range tests {
		t.Run(test.what, func(t *testing.T) {
			w := web(pathPlace, resourceOf(mcp, as), asPlace, test.page, "GET "+as+"/real", issuerAt(as))
			if test.want == nil {
				equal(t, "the issuer", found(t, w, discovery.Server{URL: mcp}).Issuer, as)
				return
			}
			fails(t, w, discovery.Server{URL: mcp}, test.want)
		})
	}
}

func TestAnAnswerThatIsCutShortIsNone(t *testing.T) {
	base := serveAt(t, "127.0.0.1:0", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			w.Header().Set("WWW-Authenticate", "Bearer")
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Length", "1000")
		fmt.Fprint(w, `{"resource":`)
	}))
	_, err := reality(t, "127.0.0.0/8").Discover(t.Context(), discovery.Server{URL: base})
	failure := failureOf(t, err, discovery.ErrUnreachable, nil)
	if !strings.Contains(failure.Error(), "broke off") {
		t.Error(failure)
	}
}

// canary is a listener inside the network that must never be connected to.
type canary struct {
	net.Listener
	hits atomic.Int32
}

func newCanary(t *testing.T, address string) *canary {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Skipf("%s cannot be listened on here: %v", address, err)
	}
	c := &canary{Listener: listener}
	server := &http.Server{Handler: http.NotFoundHandler(), ConnState: func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			c.hits.Add(1)
		}
	}}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	return c
}

// reality is a client that really dials, and may dial no address but one.
func reality(t *testing.T, allowed string) *discovery.Client {
	t.Helper()
	guarded, err := outbound.New(outbound.Config{AllowPrivate: []netip.Prefix{netip.MustParsePrefix(allowed)}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(guarded.CloseIdleConnections)
	c, err := discovery.New(discovery.Config{HTTP: guarded})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// Attack S-01: metadata that leads into the network of the sidecar. The server is at 127.0.0.2, which the operator allows; the canary is not.
func TestMetadataDoesNotLeadInside(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		inside := newCanary(t, address)
		for _, scheme := range []string{"http", "https"} {
			trap := scheme + "://" + inside.Addr().String()
			t.Run(trap, func(t *testing.T) {
				var base, challenge string
				listed, registration := "", ""
				mux := http.NewServeMux()
				mux.HandleFunc("POST /mcp", func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("WWW-Authenticate", challenge)
					w.WriteHeader(http.StatusUnauthorized)
				})
				mux.HandleFunc("GET /.well-known/oauth-protected-resource/mcp", func(w http.ResponseWriter, _ *http.Request) {
					fmt.Fprintf(w, `{"resource":"%s/mcp","authorization_servers":[%q]}`, base, listed)
				})
				mux.HandleFunc("GET /.well-known/oauth-authorization-server", func(w http.ResponseWriter, _ *http.Request) {
					fmt.Fprintf(w, `{"issuer":%q,"authorization_endpoint":"%[1]s/a","token_endpoint":"%[1]s/t","registration_endpoint":"%s","code_challenge_methods_supported":["S256"]}`, base, registration)
				})
				base = serveAt(t, "127.0.0.2:0", mux)
				c := reality(t, "127.0.0.2/32")

				challenge, listed = `Bearer resource_metadata="`+trap+`/"`, trap
				_, err := c.Discover(t.Context(), discovery.Server{URL: base + "/mcp"})
				failure := failureOf(t, err, discovery.ErrUnreachable, nil)
				if address == "127.0.0.1:0" && strings.Count(failure.Error(), "127.0.0.1") > 1 {
					t.Error("the text names the address beyond the URL:", failure)
				}
				challenge, listed, registration = `Bearer`, base, trap+"/register"
				metadata, err := c.Rediscover(t.Context(), discovery.Server{URL: base + "/mcp"})
				if err != nil {
					t.Fatal(err)
				}
				_, err = c.Register(t.Context(), metadata, discovery.ClientMetadata{Name: "x", RedirectURI: redirect})
				failure = failureOf(t, err, discovery.ErrUnreachable, nil)
				if !strings.Contains(failure.Remedy, "--allow-private-cidrs") {
					t.Error("the remedy does not name the option:", failure)
				}
				if n := inside.hits.Load(); n != 0 {
					t.Errorf("%d connections", n)
				}
			})
		}
	}
}

// Attack S-04: redirects inside, whatever is asked for.
func TestRedirectsAreNotFollowed(t *testing.T) {
	for _, code := range []int{301, 302, 303, 307, 308} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			inside := newCanary(t, "127.0.0.1:0")
			base := serveAt(t, "127.0.0.1:0", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { // allowed, and still not followed
				http.Redirect(w, r, "http://"+inside.Addr().String()+"/secret", code)
			}))
			c := reality(t, "127.0.0.0/8")
			_, err := c.Discover(t.Context(), discovery.Server{URL: base + "/mcp"})
			failure := failureOf(t, err, discovery.ErrBadAnswer, nil)
			_, err = c.Register(t.Context(), discovery.Metadata{Issuer: base, RegistrationEndpoint: base + "/register"}, discovery.ClientMetadata{Name: "x", RedirectURI: redirect})
			other := failureOf(t, err, discovery.ErrBadAnswer, nil)
			if strings.Contains(failure.Error()+other.Error(), "secret") {
				t.Error("the text names the target:", failure, other)
			}
			if n := inside.hits.Load(); n != 0 {
				t.Errorf("%d connections", n)
			}
		})
	}
}

// A client from elsewhere may follow redirects and keep cookies; discovery does not.
func TestTheClientItselfFollowsNothing(t *testing.T) {
	jar := new(cookies)
	inside := newCanary(t, "127.0.0.1:0")
	base := serveAt(t, "127.0.0.1:0", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "b"})
		http.Redirect(w, r, "http://"+inside.Addr().String(), http.StatusFound)
	}))
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	c, err := discovery.New(discovery.Config{HTTP: &http.Client{Transport: transport, Jar: jar}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, err = c.Discover(t.Context(), discovery.Server{URL: base})
	failureOf(t, err, discovery.ErrBadAnswer, nil)
	if inside.hits.Load() != 0 || jar.set.Load() {
		t.Error("it followed, or kept a cookie")
	}
}

type cookies struct{ set atomic.Bool }

func (c *cookies) SetCookies(*url.URL, []*http.Cookie) { c.set.Store(true) }
func (c *cookies) Cookies(*url.URL) []*http.Cookie     { return nil }

// On loopback http will do, for a server that is there itself; and a server that an admin registered with http serves its own metadata that way.
func TestWhereHTTPWillDo(t *testing.T) {
	const local = "http://localhost:3000/mcp"
	w := web("GET http://localhost:3000/.well-known/oauth-protected-resource/mcp", resourceOf(local, "http://127.0.0.1:4000"), "GET http://127.0.0.1:4000/.well-known/oauth-authorization-server", issuerAt("http://127.0.0.1:4000"))
	equal(t, "the token endpoint", found(t, w, discovery.Server{URL: local}).TokenEndpoint, "http://127.0.0.1:4000/token")

	const inner = "http://mcp.internal/mcp"
	w = web("GET http://mcp.internal/.well-known/oauth-protected-resource/mcp", resourceOf(inner, as), asPlace, issuerAt(as))
	equal(t, "the resource", found(t, w, discovery.Server{URL: inner}).Resource, inner)
	w = web("GET http://mcp.internal/.well-known/oauth-protected-resource/mcp", resourceOf(inner, "http://as.internal"))
	fails(t, w, discovery.Server{URL: inner}, discovery.ErrURL)
	w = web("POST "+inner, challenges("Bearer"))
	fails(t, w, discovery.Server{URL: inner}, discovery.ErrURL) // its default endpoints would be http
}

func serveAt(t *testing.T, address string, handler http.Handler) (base string) {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Skipf("%s cannot be listened on here: %v", address, err)
	}
	server := httptest.NewUnstartedServer(handler)
	server.Listener.Close()
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
	return server.URL
}
