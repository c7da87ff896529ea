package admin_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// W-04 and A-09: what is not a field of the request is refused by name, and so is a value of another type. Nothing is written.
func TestRequestsAreReadStrictly(t *testing.T) {
	f := open(t)
	root := f.root(t)
	id := root.create(body(t, fields{"slug": "first"}))
	before := root.get(servers + "/" + id).want(200)
	for _, c := range []struct {
		said   fields
		fields []string
	}{
		{fields{"id": anID}, []string{"id"}},
		{fields{"created_at": "2020-01-01T00:00:00Z"}, []string{"created_at"}},
		{fields{"created_by": "me"}, []string{"created_by"}},
		{fields{"owner": "me"}, []string{"owner"}},
		{fields{"token": canary}, []string{"token"}},
		{fields{"revision": 1}, []string{"revision"}},
		{fields{"has_api_key": true}, []string{"has_api_key"}},
		{fields{"auth_connected": true}, []string{"auth_connected"}},
		{fields{"problems": []string{}}, []string{"problems"}},
		{fields{"Enabled": false}, []string{"Enabled"}},
		{fields{"SLUG": "x"}, []string{"SLUG"}},
		{fields{"command": "sh", "args": []string{canary}, "env": fields{"K": canary}}, []string{"args", "command", "env"}},
		{fields{"enabled": "false"}, []string{"enabled"}},
		{fields{"enabled": 0}, []string{"enabled"}},
		{fields{"slug": 7}, []string{"slug"}},
		{fields{"tool_deny_list": "x"}, []string{"tool_deny_list"}},
		{fields{"tool_deny_list": fields{"x": true}}, []string{"tool_deny_list"}},
		{fields{"tool_allow_list": []int{1}}, []string{"tool_allow_list"}},
		{fields{"custom_headers": []string{canary}}, []string{"custom_headers"}},
		{fields{"custom_headers": fields{"X-Key": 5}}, []string{"custom_headers"}},
		{fields{"timeout_ms": "5"}, []string{"timeout_ms"}},
		{fields{"timeout_ms": 1.5}, []string{"timeout_ms"}},
		{fields{"timeout_ms": uint64(1) << 63}, []string{"timeout_ms"}},
		{fields{"api_key_value": fields{"text": canary}}, []string{"api_key_value"}},
		{fields{"enabled": "x", "slug": false, "expose": 1, "nonsense": 1}, []string{"enabled", "expose", "nonsense", "slug"}},
	} {
		root.post(servers, body(t, c.said)).wrong(c.fields...)
		root.patch(servers+"/"+id, only(t, c.said)).wrong(c.fields...)
	}
	if after := root.get(servers + "/" + id).want(200); string(after.body) != string(before.body) || len(root.listed()) != 1 {
		t.Errorf("a refused request changed something: %s", after.body)
	}
}

func TestEveryWrongFieldIsNamedOnce(t *testing.T) {
	f := open(t)
	root := f.root(t)
	root.post(servers, `{}`).wrong("display_name", "slug", "transport", "url", "auth_type", "availability")
	root.post(servers, body(t, fields{"auth_type": "api_key"})).wrong("api_key_header", "api_key_value")
	root.post(servers, body(t, fields{"auth_type": "api_key", "api_key_header": " ", "api_key_value": canary})).wrong("api_key_header")
	root.post(servers, body(t, fields{"auth_type": "api_key", "api_key_header": "X-Key", "api_key_value": " "})).wrong("api_key_value")
	root.post(servers, body(t, fields{"auth_type": "custom_headers", "custom_headers": fields{}})).wrong("custom_headers")
	root.post(servers, body(t, fields{"auth_type": "oauth2", "oauth2_client_id": "me", "oauth2_token_url": "https://as.example.com/t"})).wrong("oauth2_auth_url")
	got := root.post(servers, body(t, fields{
		"enabled": "yes", "display_name": "  ", "slug": "Not_A_Slug", "transport": "stdio", "url": "ftp://x", "auth_type": "magic", "availability": "sometimes",
		"tool_allow_list": []string{""}, "tool_pinning": "loose", "expose": []string{"toolz"}, "timeout_ms": -1, "nonsense": true,
	})).want(400).fields()
	slices.Sort(got)
	want := []string{"auth_type", "availability", "display_name", "enabled", "expose", "nonsense", "slug", "timeout_ms", "tool_allow_list", "tool_pinning", "transport", "url"}
	if !slices.Equal(got, want) {
		t.Errorf("named are %v, want %v", got, want)
	}
	if len(root.listed()) != 0 {
		t.Error("something was written")
	}
}

// A word of a closed set can be left out, but not be nothing.
func TestWordsCannotBeCleared(t *testing.T) {
	f := open(t)
	root := f.root(t)
	id := root.create(body(t, fields{"slug": "first"}))
	for _, field := range []string{"transport", "auth_type", "availability", "tool_pinning"} {
		for _, blank := range []string{"", "  "} {
			root.patch(servers+"/"+id, only(t, fields{field: blank})).wrong(field)
			root.post(servers, body(t, fields{field: blank})).wrong(field)
		}
	}
	if got := root.server(id); got["transport"] != "streamable_http" || got["auth_type"] != "none" || got["availability"] != "default_on" || got["tool_pinning"] != "warn" {
		t.Errorf("a refused change left %v", got)
	}
}

func TestBodiesThatAreNotOneJSONObject(t *testing.T) {
	f := open(t)
	root := f.root(t)
	id := root.create(body(t, fields{"slug": "first"}))
	good := body(t, nil)
	for what, text := range map[string]string{
		"nothing": " ", "a list": "[" + good + "]", "a string": `"x"`, "null": "null", "a number": "1", "two": good + good, "something behind": good + "x", "a zero byte behind": good + "\x00",
		"a comment": "/**/" + good, "half": good[:len(good)-2], "NaN": `{"timeout_ms":NaN}`, "bad UTF-8": "{\"display_name\":\"\xff\"}", "a lone surrogate": `{"display_name":"\ud800"}`,
		"a byte order mark": "\ufeff" + good, "deep": `{"x":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + "}", "very deep": strings.Repeat("[", 500_000),
	} {
		for _, got := range []*answer{root.post(servers, text), root.patch(servers+"/"+id, text)} {
			if got.status != http.StatusBadRequest {
				t.Errorf("%s: status %d: %s", what, got.status, got.body)
			}
		}
	}
	root.post(servers, strings.Replace(good, "{", `{"slug":"other",`, 1)).wrong("slug")
	root.post(servers, body(t, fields{"custom_headers": nil})[:1]+`"custom_headers":{"X-A":"`+canary+`","X-A":"b"},`+good[1:]).wrong("custom_headers")
	root.post(servers, `{"description":"`+strings.Repeat("x", 1<<20)+`"}`).want(http.StatusRequestEntityTooLarge)
	if len(root.listed()) != 1 {
		t.Error("something was written")
	}
}

// W-03: whatever place a secret strays into, the answer names the place and never what is in it. Every answer of every test is held against the canary; here it is in the wrong places.
func TestRefusalsRepeatNoValue(t *testing.T) {
	f := open(t)
	root := f.root(t)
	id := root.create(body(t, fields{"slug": "first"}))
	key := canary + "-8f14e45fceea167a5a36dedd4bea2543"
	for _, said := range []fields{
		{key: 1},
		{"slug": key},
		{"transport": key},
		{"auth_type": key},
		{"availability": key},
		{"enabled": key},
		{"timeout_ms": key},
		{"url": "https://user:" + key + "@example.com/"},
		{"url": "https://127.0.0.1/?key=" + key},
		{"url": key + "://example.com"},
		{"url": "https://example.com/\x7f" + key},
		{"oauth2_auth_url": key}, {"oauth2_token_url": key}, {"oauth2_revocation_url": key}, {"oauth2_issuer": key},
		{"icon_url": "javascript:" + key},
		{"api_key_value": []string{key}},
		{"api_key_value": key + "\r\nX: y", "auth_type": "api_key", "api_key_header": "X-Key"},
		{"api_key_header": key + "\nX"},
		{"custom_headers": fields{key + ":": key}},
		{"custom_headers": fields{"X-A": key + "\nx"}}, {"custom_headers": fields{key: "x\ny"}}, {"custom_headers": fields{key: "x", strings.ToUpper(key): "y"}}, {"custom_headers": fields{"mcp-" + key: "x"}},
		{"api_key_header": "mcp-" + key}, {"forward_headers": []string{"sidecar-" + key}}, {"forward_headers": []string{key, strings.ToUpper(key)}},
		{"custom_headers": fields{"X-A": fields{key: key}}},
		{"forward_headers": []string{key + " x"}}, {"forward_headers": []string{key + "\nx"}},
		{"visible_to": []string{key + " x"}},
		{"tool_allow_list": []string{key, ""}}, {"tool_deny_list": []string{strings.Repeat(key, 20)}},
		{"expose": []string{key}}, {"tool_pinning": key}, {"nested": fields{"deeper": key}},
	} {
		for _, got := range []*answer{root.post(servers, body(t, said)), root.patch(servers+"/"+id, only(t, said))} {
			if got.status != http.StatusBadRequest {
				t.Errorf("%s of %q: status %d", got.what, said, got.status)
			}
		}
	}
	for _, text := range []string{`{"` + key + `":1,"` + key + `":2}`, `{"slug":"` + key, `{"api_key_value":"` + key + `"} trailing ` + key, key} {
		root.post(servers, text).want(400)
	}
	root.post("/api/v1/tokens", only(t, fields{"name": key + "\n", "role": key, "user": key + " ", "mode": key, "agent": key, "servers": []string{key}, "expires_in": key})).want(400)
	root.get("/api/v1/policy/explain?tool=x&mode=" + key + "&agent=" + key + "&user=%20" + key + "&servers=" + key + "&" + key + "=1").want(400)
}

// P-12: what lists say when they are empty, on creation and in a change alike.
func TestWhatListsMean(t *testing.T) {
	f := open(t)
	root := f.root(t)
	f.servers.list("github", "x", "y")
	absent := "absent"
	for _, c := range []struct {
		allow, deny string // JSON
		status      int
		x, y        bool
	}{
		{absent, absent, 201, true, true},
		{"null", "null", 201, true, true},
		{"[]", "[]", 201, true, true},
		{`[""]`, absent, 400, false, false},
		{absent, `[""]`, 400, false, false},
		{`["x"," "]`, absent, 400, false, false},
		{`[null]`, absent, 400, false, false},
		{`["x"]`, absent, 201, true, false},
		{`[" x "]`, absent, 201, true, false},
		{`["*"]`, absent, 201, true, true},
		{absent, `["*"]`, 201, false, false},
		{absent, `["x"]`, 201, false, true},
		{`["x"]`, `["x"]`, 201, false, false},
		{`["*"]`, `["x"]`, 201, false, true},
		{`["x*"]`, `["*y"]`, 201, true, false},
		{`["X"]`, absent, 201, false, false},
		{`["z"]`, "[]", 201, false, false},
	} {
		lists := fields{}
		if c.allow != absent {
			lists["tool_allow_list"] = rawJSON(c.allow)
		}
		if c.deny != absent {
			lists["tool_deny_list"] = rawJSON(c.deny)
		}
		plain := root.create(body(t, nil))
		changed := root.patch(servers+"/"+plain, only(t, lists))
		if want := map[int]int{201: 200, 400: 400}[c.status]; changed.status != want {
			t.Errorf("PATCH %v: status %d, want %d", lists, changed.status, want)
		}
		if changed.status == 200 {
			verdicts(t, root, plain, c.x, c.y)
		}
		root.delete(servers + "/" + plain).want(204)

		created := root.post(servers, body(t, lists)).want(c.status)
		if created.status == 201 {
			id := created.object()["id"].(string)
			verdicts(t, root, id, c.x, c.y)
			root.delete(servers + "/" + id).want(204)
		}
	}
}

func verdicts(t *testing.T, root *client, id string, x, y bool) {
	t.Helper()
	if got := allowed(root.get(servers + "/" + id + "/tools")); got["x"] != x || got["y"] != y {
		t.Errorf("of %v x is %v and y is %v", root.server(id), got["x"], got["y"])
	}
}

// S-01 for what an admin writes down: no address of it may lead inside, unless the operator said so.
func TestAddressesInsideAreRefused(t *testing.T) {
	f := open(t)
	root := f.root(t)
	id := root.create(body(t, fields{"slug": "first"}))
	oauth := fields{"auth_type": "oauth2", "oauth2_client_id": "me", "oauth2_auth_url": "https://as.example.com/a", "oauth2_token_url": "https://as.example.com/t"}
	for _, address := range []string{
		"http://127.0.0.1/mcp", "http://localhost:8080/mcp", "http://[::1]/", "http://169.254.169.254/latest", "https://10.0.0.1/", "https://192.168.1.1/", "https://[fe80::1]/",
		"https://[::ffff:127.0.0.1]/", "http://0.0.0.0/", "https://2130706433/", "https://0x7f.1/", "https://100.64.0.1/", "https://[64:ff9b::a9fe:a9fe]/",
	} {
		root.post(servers, body(t, fields{"url": address})).wrong("url")
		root.patch(servers+"/"+id, only(t, fields{"url": address})).wrong("url")
		root.post(servers+"/test", body(t, fields{"url": address})).wrong("url")
		for _, field := range []string{"oauth2_auth_url", "oauth2_token_url"} {
			said := fields{field: address}
			for name, value := range oauth {
				if name != field {
					said[name] = value
				}
			}
			root.post(servers, body(t, said)).wrong(field)
		}
	}
	root.create(body(t, fields{"slug": "allowed", "url": "http://10.1.2.3/mcp"}))
	if len(f.servers.probed) != 0 || root.server(id)["url"] != "https://mcp.example.com/mcp" {
		t.Error("a refused address was used")
	}
}
