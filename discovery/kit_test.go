package discovery_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"mcpsidecar/discovery"
)

// The server, its authorization server, and what a browser comes back to, as most tests have them.
const (
	mcp      = "https://mcp.example.com/mcp"
	as       = "https://as.example.com"
	redirect = "https://sidecar.example.org/api/experimental/mcp/servers/7/oauth2/callback"
)

// internet is all there is: pages by method and URL. What is not there is answered with 404.
type internet struct {
	mu    sync.Mutex
	pages map[string]http.HandlerFunc
	asked []string
	last  map[string]*http.Request // by page
	sent  map[string]string        // the last body, by page
}

// web makes an internet of pages, given as "GET https://..." and a handler in turn.
func web(pages ...any) *internet {
	w := &internet{pages: make(map[string]http.HandlerFunc), last: make(map[string]*http.Request), sent: make(map[string]string)}
	for i := 0; i < len(pages); i += 2 {
		w.put(pages[i].(string), pages[i+1].(http.HandlerFunc))
	}
	return w
}

func (w *internet) put(page string, handler http.HandlerFunc) *internet {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pages[page] = handler
	return w
}

func (w *internet) RoundTrip(r *http.Request) (*http.Response, error) {
	page := r.Method + " " + r.URL.String()
	body := ""
	if r.Body != nil {
		text, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		body = string(text)
	}
	w.mu.Lock()
	handler, found := w.pages[page]
	w.asked, w.last[page], w.sent[page] = append(w.asked, page), r, body
	w.mu.Unlock()
	if !found {
		handler = status(http.StatusNotFound)
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	recorder := httptest.NewRecorder()
	handler(recorder, r)
	if recorder.Code == brokenOff {
		return nil, fmt.Errorf("read: %w", io.ErrUnexpectedEOF)
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return recorder.Result(), nil
}

// requests are the pages asked for so far, and forgets them.
func (w *internet) requests() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	asked := w.asked
	w.asked = nil
	return asked
}

// brokenOff is the status of a page that is never answered.
const brokenOff = 999

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func says(body string) http.HandlerFunc { return answers(http.StatusOK, body) }

func answers(code int, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(code)
		io.WriteString(w, body)
	}
}

// challenges is the 401 of a server that wants a sign-in.
func challenges(header string) http.HandlerFunc {
	return answers(http.StatusUnauthorized, "", "WWW-Authenticate", header)
}

// resourceOf is protected resource metadata.
func resourceOf(resource string, servers ...string) http.HandlerFunc {
	return says(fmt.Sprintf(`{"resource":%q,"authorization_servers":[%s]}`, resource, quoted(servers)))
}

// issuerAt is authorization server metadata with everything a sign-in needs, and more members.
func issuerAt(issuer string, more ...string) http.HandlerFunc {
	return says(fmt.Sprintf(`{"issuer":%q,"authorization_endpoint":"%[2]s/authorize","token_endpoint":"%[2]s/token","registration_endpoint":"%[2]s/register",`+
		`"response_types_supported":["code"],"code_challenge_methods_supported":["plain","S256"]%[3]s}`, issuer, strings.TrimRight(issuer, "/"), strings.Join(append([]string{""}, more...), ",")))
}

func quoted(texts []string) string {
	var all []string
	for _, text := range texts {
		all = append(all, fmt.Sprintf("%q", text))
	}
	return strings.Join(all, ",")
}

func client(t *testing.T, transport http.RoundTripper) *discovery.Client {
	t.Helper()
	c, err := discovery.New(discovery.Config{HTTP: &http.Client{Transport: transport}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// found discovers and fails the test if that fails.
func found(t *testing.T, w *internet, server discovery.Server) discovery.Metadata {
	t.Helper()
	metadata, err := client(t, w).Discover(t.Context(), server)
	if err != nil {
		t.Fatal(err)
	}
	return metadata
}

// fails discovers and wants a failure of a kind.
func fails(t *testing.T, w *internet, server discovery.Server, kind error) *discovery.Failure {
	t.Helper()
	metadata, err := client(t, w).Discover(t.Context(), server)
	return failureOf(t, err, kind, metadata)
}

func failureOf(t *testing.T, err, kind error, got any) *discovery.Failure {
	t.Helper()
	var failure *discovery.Failure
	if !errors.As(err, &failure) || !errors.Is(err, kind) {
		t.Fatalf("got %+v and the error %v, want %v", got, err, kind)
	}
	if failure.Remedy == "" || failure.Step == "" {
		t.Errorf("%#v has no step or no remedy", failure)
	}
	return failure
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got  %s\n want %s", what, strings.Join(got, "\n      "), strings.Join(want, "\n      "))
	}
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

// done is a context that has ended.
func done(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
