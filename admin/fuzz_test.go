package admin_test

import (
	"net/http"
	"strings"
	"testing"
)

// FuzzCreate sends anything as a new server: it is either created whole or refused with nothing left behind, and never the sidecar's fault.
func FuzzCreate(f *testing.F) {
	for _, seed := range []string{
		body(f, nil), body(f, fields{"enabled": "x"}), `{}`, ``, `[]`, `{"slug":"a","slug":"b"}`, `{"url":"http://127.0.0.1"}`, strings.Repeat("[", 20_000),
		body(f, fields{"auth_type": "custom_headers", "custom_headers": map[string]string{"X-A": "b", "x-a": "c"}}),
		body(f, fields{"auth_type": "api_key", "api_key_header": "Authorization", "api_key_value": "Bearer x"}),
		body(f, fields{"auth_type": "oauth2", "oauth2_client_id": "a", "oauth2_auth_url": "https://a.example", "oauth2_token_url": "https://a.example"}),
		body(f, fields{"expose": []string{}, "visible_to": []string{"a"}, "plan_tools": []string{"*"}, "timeout_ms": 1 << 30, "max_concurrent": -1}),
	} {
		f.Add(seed)
	}
	sidecar := open(f)
	f.Fuzz(func(t *testing.T, text string) {
		root := sidecar.root(t)
		got := root.do("POST", servers, text)
		if text == "" {
			got.want(http.StatusUnsupportedMediaType)
			return
		}
		switch got.status {
		case http.StatusCreated:
			id := got.object()["id"].(string)
			stored, err := sidecar.store.Server(t.Context(), id)
			must(t, err)
			stored.Normalize()
			if wrong := stored.Validate(); len(wrong) > 0 {
				t.Errorf("stored is a server that is wrong: %v", wrong)
			}
			root.server(id)
			root.patch(servers+"/"+id, `{}`).want(200)
			root.delete(servers + "/" + id).want(http.StatusNoContent)
		case http.StatusBadRequest, http.StatusRequestEntityTooLarge:
		default:
			t.Errorf("status %d: %s", got.status, got.body)
		}
		if left := root.listed(); len(left) != 0 {
			t.Errorf("left behind: %v", left)
		}
	})
}
