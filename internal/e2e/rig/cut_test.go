package rig_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"mcpsidecar/internal/e2e/rig"
)

// TestCutter: of the answer to a call the first event arrives, and the end does not; of all else everything does.
func TestCutter(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, "id: 1\ndata: a\n\nid: 2\ndata: "+r.URL.Path+"\n\n")
	}))
	defer server.Close()
	c, err := rig.NewCutter(server.URL + "/mcp")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, test := range []struct {
		method, body, last string
		want               string
		cut                bool
	}{
		{http.MethodPost, `{"method":"tools/call"}`, "", "id: 1\ndata: a\n\n", true},
		{http.MethodPost, `{"method":"tools/list"}`, "", "id: 1\ndata: a\n\nid: 2\ndata: /mcp\n\n", false},
		{http.MethodGet, "", "1", "id: 1\ndata: a\n\nid: 2\ndata: /mcp\n\n", false},
	} {
		request, err := http.NewRequest(test.method, c.Endpoint, strings.NewReader(test.body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Last-Event-ID", test.last)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(response.Body)
		response.Body.Close()
		if string(got) != test.want || (err != nil) != test.cut {
			t.Errorf("%s %s: %q, %v", test.method, test.body, got, err)
		}
	}
	if c.Cuts() != 1 || c.Back() != 1 {
		t.Errorf("%d cuts, %d clients back", c.Cuts(), c.Back())
	}
}
