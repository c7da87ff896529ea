package admin_test

import (
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestAServerIsCreatedShownChangedAndDeleted(t *testing.T) {
	f := open(t)
	root := f.root(t)
	created := root.created(body(t, fields{"description": " about it ", "tool_deny_list": []string{" delete_* "}, "timeout_ms": 5000})).object()
	id := created["id"].(string)

	for name, want := range (fields{
		"display_name": "GitHub", "slug": "github", "description": "about it", "icon_url": "", "transport": "streamable_http", "url": "https://mcp.example.com/mcp",
		"auth_type": "none", "auth_connected": true, "oauth2_client_id": "", "has_oauth2_secret": false, "oauth2_auth_url": "", "oauth2_token_url": "",
		"oauth2_revocation_url": "", "oauth2_scopes": "", "oauth2_issuer": "", "has_api_key": false, "has_custom_headers": false,
		"tool_allow_list": []any{}, "tool_deny_list": []any{"delete_*"}, "availability": "default_on", "enabled": true, "model_intent": false, "allow_in_plan_mode": false,
		"expose": []any{"tools", "prompts", "resources"}, "plan_tools": []any{}, "plan_read_only": false, "tool_pinning": "warn", "visible_to": []any{}, "forward_headers": []any{},
		"timeout_ms": 5000.0, "max_concurrent": 0.0,
	}) {
		if !reflect.DeepEqual(created[name], want) {
			t.Errorf("after creation %s is %#v, want %#v", name, created[name], want)
		}
	}
	for _, name := range []string{"created_at", "updated_at"} {
		if at, err := time.Parse(time.RFC3339, created[name].(string)); err != nil || time.Since(at) > time.Hour {
			t.Errorf("%s is %v", name, created[name])
		}
	}
	delete(created, "warnings")
	if got := root.server(id); !reflect.DeepEqual(got, created) {
		t.Errorf("shown is\n%v\ncreated was\n%v", got, created)
	}
	if list := root.listed(); len(list) != 1 || !reflect.DeepEqual(list[0], created) {
		t.Errorf("listed is\n%v\ncreated was\n%v", list, created)
	}

	changed := root.patch(servers+"/"+id, `{"display_name":"Hub","timeout_ms":null}`).want(200).object()
	for name, was := range created {
		switch is := changed[name]; name {
		case "display_name":
			if is != "Hub" {
				t.Errorf("display_name is %v", is)
			}
		case "updated_at":
		default:
			if !reflect.DeepEqual(is, was) {
				t.Errorf("a change of the name made %s %v, it was %v", name, is, was)
			}
		}
	}

	root.delete(servers + "/" + id).want(http.StatusNoContent)
	root.get(servers + "/" + id).want(http.StatusNotFound)
	root.patch(servers+"/"+id, `{}`).want(http.StatusNotFound)
	root.delete(servers + "/" + id).want(http.StatusNotFound)
	if list := root.listed(); len(list) != 0 {
		t.Errorf("after deletion there are %v", list)
	}
}

func TestThePathsOfTheReferenceSystemAreTheSame(t *testing.T) {
	f := open(t)
	root := f.root(t)
	const reference = "/api/experimental/mcp/servers"
	first := root.post(reference, body(t, nil)).want(201).object()["id"].(string)
	root.post(reference+"/", body(t, fields{"slug": "second", "display_name": "Apples"})).want(201)
	root.patch(reference+"/"+first, `{"enabled":false}`).want(200)
	for _, path := range []string{reference, reference + "/"} {
		if got, want := root.get(path).want(200), root.get(servers).want(200); string(got.body) != string(want.body) {
			t.Errorf("GET %s: %s, but at our own path %s", path, got.body, want.body)
		}
	}
	if got, want := root.get(reference+"/"+first).want(200), root.get(servers+"/"+first).want(200); string(got.body) != string(want.body) {
		t.Errorf("shown is %s, but at our own path %s", got.body, want.body)
	}
	root.delete(reference + "/" + first).want(204)
}

func TestServersAreListedByDisplayName(t *testing.T) {
	f := open(t)
	for _, name := range []string{"Cherry", "Apple", "Banana"} {
		f.root(t).create(body(t, fields{"display_name": name, "slug": strings.ToLower(name)}))
	}
	var names []string
	for _, server := range f.root(t).listed() {
		names = append(names, server["display_name"].(string))
	}
	if !slices.IsSorted(names) || len(names) != 3 {
		t.Errorf("the order is %v", names)
	}
}

// What the three kinds of saying nothing or something mean in a PATCH.
func TestAbsentAndNullKeepAndEmptyClears(t *testing.T) {
	f := open(t)
	root := f.root(t)
	given := fields{
		"description": "x", "icon_url": "https://example.com/i.png", "tool_allow_list": []string{"a"}, "tool_deny_list": []string{"b"}, "plan_tools": []string{"c"},
		"visible_to": []string{"ann"}, "forward_headers": []string{"X-Trace"}, "timeout_ms": 1000, "max_concurrent": 3, "model_intent": true, "allow_in_plan_mode": true, "plan_read_only": true,
		"tool_pinning": "block", "expose": []string{"tools"},
	}
	id := root.create(body(t, given))
	before := root.server(id)
	nulls := fields{}
	for name := range given {
		nulls[name] = nullJSON
	}
	root.patch(servers+"/"+id, only(t, nulls)).want(200)
	after := root.server(id)
	after["updated_at"] = before["updated_at"]
	if !reflect.DeepEqual(before, after) {
		t.Errorf("nulls changed\n%v\ninto\n%v", before, after)
	}
	empty := root.patch(servers+"/"+id, `{"description":"","icon_url":"","tool_allow_list":[],"tool_deny_list":[],"plan_tools":[],"visible_to":[],"forward_headers":[],"timeout_ms":0,"max_concurrent":0}`).want(200).object()
	for _, name := range []string{"tool_allow_list", "tool_deny_list", "plan_tools", "visible_to", "forward_headers"} {
		if list, ok := empty[name].([]any); !ok || len(list) != 0 {
			t.Errorf("%s is %v after it was cleared", name, empty[name])
		}
	}
	if empty["description"] != "" || empty["icon_url"] != "" || empty["timeout_ms"] != 0.0 || empty["max_concurrent"] != 0.0 {
		t.Errorf("not everything was cleared: %v", empty)
	}
}

func TestASlugIsTakenOnce(t *testing.T) {
	f := open(t)
	root := f.root(t)
	root.create(body(t, nil))
	other := root.create(body(t, fields{"slug": "other"}))
	for what, got := range map[string]*answer{
		"create": root.post(servers, body(t, fields{"display_name": "Again"})),
		"update": root.patch(servers+"/"+other, `{"slug":"github","display_name":"Again"}`),
	} {
		if got.want(http.StatusConflict); !slices.Equal(got.fields(), []string{"slug"}) {
			t.Errorf("%s names %v", what, got.fields())
		}
	}
	if got := root.server(other); got["slug"] != "other" || got["display_name"] != "GitHub" || len(root.listed()) != 2 {
		t.Errorf("the refused changes left %v", got)
	}
}

func TestAuthConnected(t *testing.T) {
	f := open(t)
	root := f.root(t)
	oauth := fields{"auth_type": "oauth2", "oauth2_client_id": "me", "oauth2_auth_url": "https://as.example.com/a", "oauth2_token_url": "https://as.example.com/t"}
	for _, c := range []struct {
		slug string
		auth fields
		want bool
	}{
		{"none", fields{"auth_type": "none"}, true},
		{"key", fields{"auth_type": "api_key", "api_key_header": "X-Key", "api_key_value": canary}, true},
		{"headers", fields{"auth_type": "custom_headers", "custom_headers": map[string]string{"X-Key": canary}}, true},
		{"oauth", oauth, false},
	} {
		c.auth["slug"] = c.slug
		id := root.create(body(t, c.auth))
		if got := root.server(id)["auth_connected"]; got != c.want {
			t.Errorf("auth_connected of %s is %v", c.slug, got)
		}
	}
}

func TestAChangeOfAuthTypeClearsTheOthersFields(t *testing.T) {
	f := open(t)
	root := f.root(t)
	everything := fields{
		"oauth2_client_id": "me", "oauth2_client_secret": canary + "-client", "oauth2_auth_url": "https://as.example.com/a", "oauth2_token_url": "https://as.example.com/t",
		"oauth2_revocation_url": "https://as.example.com/r", "oauth2_scopes": "a b", "oauth2_issuer": "https://as.example.com",
		"api_key_header": "X-Key", "api_key_value": canary + "-key", "custom_headers": map[string]string{"X-Other": canary + "-header"},
	}
	for _, to := range []string{"none", "oauth2", "api_key", "custom_headers"} {
		from := map[bool]string{true: "api_key", false: "none"}[to == "none"]
		created := fields{"slug": strings.ReplaceAll("to-"+to, "_", "-"), "auth_type": from}
		for name, value := range everything { // on creation they are stored as sent, whatever the type
			created[name] = value
		}
		id := root.create(body(t, created))
		if got := root.server(id); got["has_oauth2_secret"] != true || got["has_api_key"] != true || got["has_custom_headers"] != true {
			t.Fatalf("created as %s: %v", from, got)
		}
		change := fields{"auth_type": to}
		for name, value := range everything { // and even those of the same request are cleared
			change[name] = value
		}
		got := root.patch(servers+"/"+id, only(t, change)).want(200).object()
		for _, c := range []struct {
			field string
			owner string
			set   bool
		}{
			{"oauth2_client_id", "oauth2", got["oauth2_client_id"] != ""}, {"has_oauth2_secret", "oauth2", got["has_oauth2_secret"] == true},
			{"oauth2_auth_url", "oauth2", got["oauth2_auth_url"] != ""}, {"oauth2_token_url", "oauth2", got["oauth2_token_url"] != ""},
			{"oauth2_revocation_url", "oauth2", got["oauth2_revocation_url"] != ""}, {"oauth2_scopes", "oauth2", got["oauth2_scopes"] != ""},
			{"oauth2_issuer", "oauth2", got["oauth2_issuer"] != ""},
			{"has_api_key", "api_key", got["has_api_key"] == true}, {"has_custom_headers", "custom_headers", got["has_custom_headers"] == true},
		} {
			if c.set != (c.owner == to) {
				t.Errorf("after a change to %s, %s is %v", to, c.field, got[c.field])
			}
		}
	}
}

func TestEntriesThatMatchNothingAreWarnedOf(t *testing.T) {
	f := open(t)
	root := f.root(t)
	warned := func(a *answer) (list []string) {
		for _, warning := range a.object()["warnings"].([]any) {
			list = append(list, warning.(map[string]any)["field"].(string))
		}
		return list
	}
	lists := fields{"tool_allow_list": []string{"read_*"}, "tool_deny_list": []string{"drop"}, "plan_tools": []string{"read_x", "nothing"}}
	f.servers.list("github", "read_x", "write_x")
	created := root.created(body(t, lists))
	if got := warned(created); !slices.Equal(got, []string{"tool_deny_list", "plan_tools"}) {
		t.Errorf("on creation there is a warning of %v: %s", got, created.body)
	}
	path := servers + "/" + created.object()["id"].(string)
	if got := warned(root.patch(path, `{"tool_deny_list":["write_*"],"plan_tools":[]}`).want(200)); len(got) != 0 {
		t.Errorf("there is a warning of %v although everything matches", got)
	}
	f.servers.fail(errDown)
	if got := warned(root.patch(path, `{"tool_deny_list":["who_knows"]}`).want(200)); len(got) != 0 {
		t.Errorf("there is a warning of %v although the tools are not known", got)
	}
}
