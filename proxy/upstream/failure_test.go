package upstream_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"mcpsidecar/internal/outbound"
	"mcpsidecar/proxy/upstream"
)

func TestSentences(t *testing.T) {
	const gone = `The server "github" is not available.`
	const unknown = `The server "github" is not available; the outcome is unknown.`
	for _, tt := range []struct {
		f    upstream.Failure
		want string
	}{
		// S-12: one class of words for everything that would let an outsider scan.
		{upstream.Failure{Kind: upstream.Unreachable}, gone},
		{upstream.Failure{Kind: upstream.Forbidden}, gone},
		{upstream.Failure{Kind: upstream.TimedOut}, gone},
		{upstream.Failure{Kind: upstream.Status, HTTPStatus: 502}, gone},
		{upstream.Failure{Kind: upstream.Unreachable, MayHaveRun: true}, unknown},
		{upstream.Failure{Kind: upstream.Status, HTTPStatus: 500, MayHaveRun: true}, unknown},

		{upstream.Failure{Kind: upstream.TimedOut, MayHaveRun: true}, `The server "github" did not answer in time; the outcome is unknown.`},
		{upstream.Failure{Kind: upstream.Status, HTTPStatus: 307}, `The server "github" refused the request with HTTP status 307.`},
		{upstream.Failure{Kind: upstream.Status, HTTPStatus: 429, RetryAfter: 1500 * time.Millisecond}, `The server "github" takes no more requests at the moment; try again in 2 s.`},
		{upstream.Failure{Kind: upstream.Status, HTTPStatus: 429}, `The server "github" takes no more requests at the moment.`},
		{upstream.Failure{Kind: upstream.Unauthorized, HTTPStatus: 401}, `The server "github" did not accept the credentials it was given.`},
		{upstream.Failure{Kind: upstream.Insufficient, HTTPStatus: 403}, `The server "github" asks for more permissions than the credentials have.`},
		{upstream.Failure{Kind: upstream.Malformed, MayHaveRun: true}, `The server "github" sent an answer that is not valid; the outcome is unknown.`},
		{upstream.Failure{Kind: upstream.Refused}, `The server "github" answered with an error.`},
		{upstream.Failure{Kind: upstream.TooLarge, Limit: 4096, MayHaveRun: true}, `The server "github" sent a message that is larger than the limit of 4096 bytes; the outcome is unknown.`},
		{upstream.Failure{Kind: upstream.Open, RetryAfter: 29 * time.Second}, `The server "github" is not available after repeated failures; try again in 29 s.`},
		{upstream.Failure{Kind: upstream.Canceled, MayHaveRun: true}, `The server "github" was not waited for because the request was cancelled; the outcome is unknown.`},
		{upstream.Failure{Kind: upstream.Credential}, `The server "github" could not be called because no credentials are at hand.`},
	} {
		tt.f.Slug, tt.f.Err = "github", errors.New("dial tcp 10.0.0.1:443: connection refused")
		if got := tt.f.Sentence(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
		if text := tt.f.Error(); !strings.Contains(text, "github") || !strings.Contains(text, string(tt.f.Kind)) || !strings.Contains(text, "10.0.0.1") {
			t.Errorf("the log says %q", text)
		}
	}
}

// A closed port, a wrong certificate and an address that may not be dialled are told apart in the log only.
// What goes to logs has nothing of what proves us, although servers repeat it, and has an end.
func TestAServersWordsForTheLog(t *testing.T) {
	server := legacyServer(refusal(200, "", `{"code":-32603,"message":"no user has Bearer canary-1, only x-canary-2`+strings.Repeat("!", 1<<20)+`"}`))
	s := connect(t, serve(t, server))
	c := s.Server.Conn(upstream.ConnConfig{Header: fixed(http.Header{"Authorization": {"Bearer canary-1"}, "X-Api-Key": {"canary-2"}, "X-Short": {"o"}})})
	_, _, _, err := c.List(t.Context(), "tools/list", "tools")
	if err == nil || strings.Contains(err.Error(), "canary") || !strings.Contains(err.Error(), "no user has") || len(err.Error()) > 1000 {
		t.Errorf("got %.200v", err)
	}
}

func TestServersThatAreNotAvailable(t *testing.T) {
	client, err := outbound.New(outbound.Config{})
	if err != nil {
		t.Fatal(err)
	}
	server := modernServer(nil)
	secure := httptest.NewTLSServer(server)
	t.Cleanup(secure.Close)
	closed := httptest.NewServer(server)
	closed.Close()
	for _, tt := range []struct {
		name string
		url  string
		with func(*upstream.Config)
		kind upstream.FailureKind
	}{
		{"a closed port", closed.URL, func(*upstream.Config) {}, upstream.Unreachable},
		{"a certificate that nobody trusts", secure.URL, func(*upstream.Config) {}, upstream.Unreachable},
		{"an address that may not be dialled", secure.URL, func(c *upstream.Config) { c.Client = client }, upstream.Forbidden},
		{"a name that nobody has", "http://nobody.invalid", func(c *upstream.Config) { c.Client = &http.Client{Transport: &http.Transport{}} }, upstream.Unreachable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, failure := finish(t, connect(t, tt.url, tt.with).Conn, toolCall)
			wantFailure(t, failure, tt.kind, false)
			if failure.Sentence() != `The server "fake" is not available.` {
				t.Errorf("it says %q", failure.Sentence())
			}
		})
	}
	if len(server.heard) != 0 {
		t.Errorf("the server heard %q", server.heard)
	}
}
