package admin_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"mcpsidecar/admin"
	"mcpsidecar/policy"
)

// allowed reads which tools an answer to GET …/tools allows.
func allowed(a *answer) map[string]bool {
	a.t.Helper()
	verdicts := map[string]bool{}
	for _, tool := range toolsOf(a) {
		verdicts[tool.Name] = tool.Decision.Allowed
	}
	return verdicts
}

func toolsOf(a *answer) []admin.Tool {
	a.t.Helper()
	var tools admin.Tools
	a.want(200).into(&tools)
	return tools.Tools
}

func TestToolsAreListedWithTheDecisionOnEach(t *testing.T) {
	f := open(t)
	root := f.root(t)
	f.servers.list("github", "read_issue", "write_issue", "delete_issue")
	id := root.create(body(t, fields{
		"tool_deny_list": []string{"delete_*", "nothing_*"}, "allow_in_plan_mode": true, "plan_read_only": true, "availability": "default_off", "visible_to": []string{"ann"},
	}))
	root.post(servers+"/"+id+"/catalog/approve", "").want(200)
	path := servers + "/" + id + "/tools"
	type verdict map[string]policy.Reason
	for query, want := range map[string]verdict{
		"":                          {"read_issue": policy.Allowed, "write_issue": policy.Allowed, "delete_issue": policy.InDenyList},
		"?mode=act&agent=root":      {"read_issue": policy.Allowed, "write_issue": policy.Allowed, "delete_issue": policy.InDenyList},
		"?user=ann":                 {"read_issue": policy.Allowed, "write_issue": policy.Allowed, "delete_issue": policy.InDenyList},
		"?user=bob":                 {"read_issue": policy.NotVisible, "write_issue": policy.NotVisible, "delete_issue": policy.NotVisible},
		"?mode=plan":                {"read_issue": policy.Allowed, "write_issue": policy.PlanNotReadOnly, "delete_issue": policy.InDenyList},
		"?mode=plan&agent=subagent": {"read_issue": policy.PlanSubagent, "write_issue": policy.PlanSubagent, "delete_issue": policy.InDenyList},
	} {
		for _, tool := range toolsOf(root.get(path + query)) {
			if tool.Decision.Reason != want[tool.Name] || tool.Decision.Allowed != (want[tool.Name] == policy.Allowed) {
				t.Errorf("tools%s: %s is %+v, want %s", query, tool.Name, tool.Decision, want[tool.Name])
			}
			if tool.Exposed != policy.ExposedName("github", tool.Name) || tool.Description == "" || tool.ReadOnly != (tool.Name == "read_issue") {
				t.Errorf("tools%s: %+v", query, tool)
			}
		}
	}
	var whole admin.Tools
	root.get(path).want(200).into(&whole)
	if len(whole.Unmatched) != 1 || whole.Unmatched[0].Field != "tool_deny_list" || whole.FetchedAt.IsZero() || whole.Stale {
		t.Errorf("beside the tools: %+v", whole)
	}
	for query, field := range map[string]string{"?mode=planning": "mode", "?agent=parent": "agent", "?user=a%20b": "user", "?usr=ann": "usr", "?mode=act&mode=plan": "mode", "?mode=%zz": "query"} {
		root.get(path + query).wrong(field)
	}
	f.servers.fail(errDown)
	if got := root.get(path).want(http.StatusBadGateway).object(); got["detail"] != errDown.Error() {
		t.Errorf("a server that is down is described as %v", got)
	}
}

// Tools that a server shows only to who has an account there are seen with the admin's own, and never with that of the user for whom they are judged.
func TestToolsThatNeedAnAccount(t *testing.T) {
	f := open(t)
	root := f.root(t)
	carol := f.mint(t, `{"name":"carol","role":"admin","user":"carol"}`)
	f.servers.list("github", "a")
	id := root.create(body(t, nil))
	f.servers.shown = nil
	toolsOf(root.get(servers + "/" + id + "/tools?user=ann"))
	toolsOf(carol.get(servers + "/" + id + "/tools?user=ann"))
	if !slices.Equal(f.servers.shown, []string{"admin", "carol"}) {
		t.Errorf("the tools were shown to %v", f.servers.shown)
	}
	f.servers.fail(admin.ErrNoAccount)
	for _, got := range []*answer{root.get(servers + "/" + id + "/tools"), root.get(servers + "/" + id + "/catalog/diff"), root.post(servers+"/"+id+"/catalog/approve", "")} {
		said := got.want(http.StatusConflict).object()
		detail, _ := said["detail"].(string)
		if !strings.Contains(detail, ourselves+"/api/experimental/mcp/servers/"+id+"/oauth2/connect") || !strings.Contains(detail, "server connect github") || said["message"] == "" {
			t.Errorf("the answer is %v", said)
		}
	}
}

func TestACatalogIsComparedAndApproved(t *testing.T) {
	f := open(t)
	root := f.root(t)
	f.servers.list("github", "a", "b")
	id := root.create(body(t, nil))
	diff := func() (d admin.Diff) { root.get(servers + "/" + id + "/catalog/diff").want(200).into(&d); return d }
	changes := func() (list []string) {
		for _, change := range diff().Changes {
			list = append(list, change.Kind+" "+change.Tool)
		}
		return list
	}
	if d := diff(); d.Approved || d.ApprovedAt != nil || len(d.Changes) != 2 {
		t.Errorf("before anything was approved: %+v", d)
	}
	if got := root.post(servers+"/"+id+"/catalog/approve", "").want(200).object(); got["approved_by"] != "admin" || got["tool_count"] != 2.0 {
		t.Errorf("approved: %v", got)
	}
	if d := diff(); !d.Approved || d.ApprovedBy != "admin" || d.ApprovedAt == nil || len(d.Changes) != 0 {
		t.Errorf("after approval: %+v", d)
	}
	f.servers.list("github", "a", "c")
	f.servers.redefine("a")
	if got := changes(); !slices.Equal(got, []string{"changed a", "removed b", "added c"}) {
		t.Errorf("the changes are %v", got)
	}

	// Approval can be bound to what was looked at.
	seen := root.get(servers + "/" + id + "/catalog/diff").header.Get("ETag")
	f.servers.list("github", "a", "c", "surprise")
	root.with("If-Match", seen).post(servers+"/"+id+"/catalog/approve", "").want(http.StatusPreconditionFailed)
	if got := changes(); !slices.Contains(got, "added surprise") {
		t.Errorf("what nobody looked at was approved: %v", got)
	}
	seen = root.get(servers + "/" + id + "/catalog/diff").header.Get("ETag")
	root.with("If-Match", seen).post(servers+"/"+id+"/catalog/approve", "").want(200)
	if got := changes(); len(got) != 0 {
		t.Errorf("after approval the changes are %v", got)
	}
	last := f.audit.all()[len(f.audit.all())-1]
	if last.Action != "approve" || last.Kind != "catalog" || last.ID != id || last.Slug != "github" {
		t.Errorf("the approval is recorded as %+v", last)
	}
}

func TestAServerIsTested(t *testing.T) {
	f := open(t)
	root := f.root(t)
	f.servers.probe = admin.Probe{Reachable: true, Era: "modern", ProtocolVersion: "2026-07-28", ServerInfo: json.RawMessage(`{"name":"x"}`), Tools: []string{"a"}, ToolCount: 1, Milliseconds: 12}
	id := root.create(body(t, fields{"slug": "stored"}))
	got := root.post(servers+"/"+id+"/test", "").want(200).object()
	if got["reachable"] != true || got["era"] != "modern" || got["tool_count"] != 1.0 || got["server_info"].(map[string]any)["name"] != "x" || got["milliseconds"] != 12.0 {
		t.Errorf("a reachable server: %v", got)
	}
	f.servers.probe = admin.Probe{Reason: "nobody listens there", ServerInfo: json.RawMessage(`{broken`)}
	if got := root.post(servers+"/"+id+"/test", "").want(200).object(); got["reachable"] != false || got["reason"] != "nobody listens there" || got["server_info"] != nil {
		t.Errorf("an unreachable server: %v", got)
	}
	root.post(servers+"/"+anID+"/test", "").want(404)

	root.post(servers+"/test", body(t, fields{"slug": "unsaved", "auth_type": "api_key", "api_key_header": "X-Key", "api_key_value": canary})).want(200)
	probed := f.servers.probed[len(f.servers.probed)-1]
	if probed.Slug != "unsaved" || probed.APIKeyValue.Reveal() != canary || len(root.listed()) != 1 {
		t.Errorf("tested was %+v", probed)
	}
	root.post(servers+"/test", body(t, fields{"id": id})).wrong("id") // no stored secret can be borrowed
}

func TestExplain(t *testing.T) {
	f := open(t)
	root := f.root(t)
	f.servers.list("github", "read_issue", "delete.issue")
	root.create(body(t, fields{"tool_deny_list": []string{"delete*"}, "availability": "default_off", "visible_to": []string{"ann"}}))
	f.mint(t, `{"name":"x","role":"user","user":"ann"}`)
	deleteIssue := policy.ExposedName("github", "delete.issue")
	for _, c := range []struct {
		query  string
		reason policy.Reason
		rule   string
	}{
		{"user=ann&servers=github&tool=github__read_issue", policy.Allowed, ""},
		{"user=ann&servers=github&server=github&tool=read_issue", policy.Allowed, ""},
		{"user=ann&servers=github&tool=" + deleteIssue, policy.InDenyList, "tool_deny_list: delete*"},
		{"user=ann&servers=github&server=github&tool=delete.issue", policy.InDenyList, "tool_deny_list: delete*"},
		{"user=bob&servers=github&tool=github__read_issue", policy.NotVisible, "visible_to"},
		{"user=ann&tool=github__read_issue", policy.NotSelected, "availability: default_off"},
		{"tool=github__read_issue&servers=github", policy.Allowed, ""},
		{"user=ann&mode=plan&servers=github&tool=github__read_issue", policy.PlanNotAllowed, "allow_in_plan_mode"},
		{"user=ann&mode=plan&agent=subagent&servers=github&tool=github__read_issue", policy.PlanSubagent, ""},
		{"user=ann&servers=github&tool=github__nothing", policy.Unknown, ""},
		{"user=ann&tool=elsewhere__x", policy.Unknown, ""},
		{"user=ann&tool=x", policy.Unknown, ""},
	} {
		var got admin.Explanation
		root.get("/api/v1/policy/explain?" + c.query).want(200).into(&got)
		if got.Reason != c.reason || got.Allowed != (c.reason == policy.Allowed) || got.Explanation == "" || c.rule != "" && got.Rule != c.rule {
			t.Errorf("%s: %+v", c.query, got)
		}
	}
	for query, field := range map[string]string{
		"user=ann": "tool", "tool=x&mode=sometimes": "mode", "tool=x&servers=github,elsewhere": "servers", "tool=x&server=elsewhere": "server", "tool=x&user=" + url.QueryEscape("a b"): "user", "tool=x&why=1": "why",
	} {
		root.get("/api/v1/policy/explain?" + query).wrong(field)
	}
	if got := root.get("/api/v1/policy/explain?tool=x&servers=elsewhere").want(400); !contains(got, `\"elsewhere\"`) {
		t.Errorf("the unknown server is not named: %s", got.body)
	}
}

func TestExplainWhileTheServerIsDown(t *testing.T) {
	f := open(t)
	root := f.root(t)
	f.servers.list("github", "read_issue")
	id := root.create(body(t, nil))
	explain := func(tool string) (got admin.Explanation) {
		root.get("/api/v1/policy/explain?tool=" + tool).want(200).into(&got)
		return got
	}
	f.servers.fail(errDown)
	if got := explain("github__read_issue"); got.Allowed || got.Reason != policy.Unknown || got.Note == "" {
		t.Errorf("with nothing approved: %+v", got)
	}
	f.servers.list("github", "read_issue")
	root.post(servers+"/"+id+"/catalog/approve", "").want(200)
	f.servers.fail(errDown)
	if got := explain("github__read_issue"); !got.Allowed || got.Note == "" || got.Tool != "read_issue" {
		t.Errorf("with an approved catalog: %+v", got)
	}
}
