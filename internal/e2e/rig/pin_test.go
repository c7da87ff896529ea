package rig

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestAServerIsPinnedToAnEra(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/mcp" {
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	const (
		newer = `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}`
		older = `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`
	)
	for _, test := range []struct {
		pin          func(string) (*httptest.Server, error)
		method, body string
		status       int
	}{
		{ModernOnly, "POST", newer, 200},
		{ModernOnly, "POST", older, 400},
		{ModernOnly, "GET", "", 405},
		{LegacyOnly, "POST", newer, 400},
		{LegacyOnly, "POST", older, 200},
		{LegacyOnly, "GET", "", 200},
	} {
		pinned, err := test.pin(server.URL + "/mcp")
		if err != nil {
			t.Fatal(err)
		}
		request, err := http.NewRequestWithContext(t.Context(), test.method, pinned.URL+"/", strings.NewReader(test.body))
		if err != nil {
			t.Fatal(err)
		}
		response, err := pinned.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != test.status {
			t.Errorf("%s %s is answered with %d, not %d", test.method, test.body, response.StatusCode, test.status)
		}
		pinned.Close()
	}
}
