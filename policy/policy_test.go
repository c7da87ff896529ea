package policy_test

import (
	"slices"
	"strings"
	"testing"

	"mcpsidecar/policy"
)

// specification is one sentence about policy, with examples. verbs_test.go has the words.
type specification struct {
	says  string
	given []given
	then  []expectation
}

const (
	isNew     = "the tool is not in the approved catalog"
	isChanged = "the definition of the tool is not the approved one"
)

var specifications = []specification{
	// Enabled, visible, selected.
	{"an enabled server that nothing restricts offers all its tools", nil, []expectation{
		allow(tool("get_user")), allow(tool("get_user"), by("bob")), allow(tool("get_user"), bySubagent), allow(tool("get_user"), selecting()),
	}},
	{"a disabled server offers nothing", []given{disabled, planAllowed, allowList("*")}, []expectation{
		deny(policy.Disabled, tool("get_user")).because("enabled"), deny(policy.Disabled, prompt("greet")), deny(policy.Disabled, tool("get_user"), inPlan, selecting(slug)),
	}},
	{"a server is visible to the users that it names, compared exactly", []given{visibleTo("ann", "ben")}, []expectation{
		allow(tool("get_user"), by("ann")), allow(resource("file:///a"), by("ben")),
		deny(policy.NotVisible, tool("get_user"), by("bob")).because("visible_to"), deny(policy.NotVisible, tool("get_user"), by("Ann")), deny(policy.NotVisible, tool("get_user"), by("")), deny(policy.NotVisible, prompt("greet"), by("*")),
	}},
	{"a force_on server is used whatever the agent selects", []given{available(policy.ForceOn)}, []expectation{
		allow(tool("get_user")), allow(tool("get_user"), selecting()), allow(tool("get_user"), selecting("linear")),
	}},
	{"a default_on server is used unless the agent selects and leaves it out", []given{available(policy.DefaultOn)}, []expectation{
		allow(tool("get_user")), allow(tool("get_user"), selecting("linear", slug)),
		deny(policy.NotSelected, tool("get_user"), selecting()).because("availability: default_on"), deny(policy.NotSelected, tool("get_user"), selecting("linear")),
	}},
	{"a default_off server is used when it is selected", []given{available(policy.DefaultOff)}, []expectation{
		allow(tool("get_user"), selecting(slug)),
		deny(policy.NotSelected, tool("get_user")).because("availability: default_off"), deny(policy.NotSelected, tool("get_user"), selecting("git")), deny(policy.NotSelected, tool("get_user"), selecting("GitHub")), deny(policy.NotSelected, tool("get_user"), selecting("*")),
	}},
	{"no availability means default_off", []given{available("")}, []expectation{
		deny(policy.NotSelected, tool("get_user")).because("availability: default_off"), allow(tool("get_user"), selecting(slug)),
	}},
	{"selecting does not make a server visible", []given{visibleTo("ben"), available(policy.DefaultOff)}, []expectation{
		deny(policy.NotVisible, tool("get_user"), selecting(slug)),
	}},

	// Surfaces.
	{"tools, prompts and resources are exposed by default, extensions are not", nil, []expectation{
		allow(tool("get_user")), allow(prompt("greet")), allow(resource("file:///a")), deny(policy.NotExposed, extension("x/y")).because("expose"),
	}},
	{"what is not in expose is refused", []given{expose(policy.Tools, policy.Extensions)}, []expectation{
		allow(tool("get_user")), allow(extension("x/y")), deny(policy.NotExposed, prompt("greet")), deny(policy.NotExposed, resource("file:///a")),
	}},
	{"a server can expose its prompts alone", []given{expose(policy.Prompts), denyList("*")}, []expectation{
		allow(prompt("greet")), deny(policy.NotExposed, tool("get_user")),
	}},
	{"an empty expose is nothing, not the default", []given{exposeNothing}, []expectation{
		deny(policy.NotExposed, tool("get_user")), deny(policy.NotExposed, prompt("greet")), deny(policy.NotExposed, resource("file:///a")), deny(policy.NotExposed, extension("x/y")),
	}},
	{"a surface that no rule knows is refused", []given{expose(policy.Tools, policy.Prompts, policy.Resources, policy.Extensions)}, []expectation{
		deny(policy.NotExposed, thing("tasks", "t")), deny(policy.NotExposed, thing("", "t")), deny(policy.NotExposed, thing("Tools", "t")),
	}},
	{"the lists of tools say nothing about prompts and resources", []given{allowList("get_user"), denyList("greet")}, []expectation{
		allow(prompt("greet")), allow(resource("greet")),
	}},

	// Allow list, deny list (P-01, P-12).
	{"a tool that the server does not list is refused", []given{allowList("ghost", "get_user")}, []expectation{
		deny(policy.Unknown, tool("ghost"), unlisted), deny(policy.Unknown, tool("other"), unlisted), allow(tool("get_user")),
	}},
	{"a tool without a name is refused", []given{allowList("*")}, []expectation{
		deny(policy.Unknown, tool("")),
	}},
	{"a name that is longer than any is refused without a look at the lists", []given{allowList("*"), denyList("*x*")}, []expectation{
		deny(policy.Unknown, tool(strings.Repeat("x", 4097))), deny(policy.InDenyList, tool(strings.Repeat("x", 4096))), allow(tool(strings.Repeat("y", 4096))),
	}},
	{"an allow list admits its entries and nothing else, compared exactly", []given{allowList("get_user", "get_repo")}, []expectation{
		allow(tool("get_user")).because("tool_allow_list: get_user"),
		deny(policy.NotInAllowList, tool("drop_table")).because("tool_allow_list"), deny(policy.NotInAllowList, tool("Get_User")), deny(policy.NotInAllowList, tool("get_user ")), deny(policy.NotInAllowList, tool("get_users")), deny(policy.NotInAllowList, tool("get_use")),
	}},
	{"an empty allow list admits all", []given{allowList()}, []expectation{allow(tool("get_user")), allow(tool("*"))}},
	{"a deny list refuses its entries and nothing else", []given{denyList("drop_table")}, []expectation{
		deny(policy.InDenyList, tool("drop_table")).because("tool_deny_list: drop_table"), allow(tool("drop_tables")), allow(tool("DROP_TABLE")),
	}},
	{"the deny list always wins", []given{allowList("get_*", "get_secret"), denyList("*secret*")}, []expectation{
		allow(tool("get_user")).because("tool_allow_list: get_*"), deny(policy.InDenyList, tool("get_secret")).because("tool_deny_list: *secret*"),
	}},
	{"the deny list is named even where another rule would refuse, too", []given{allowList("get_user"), denyList("drop_*")}, []expectation{
		deny(policy.InDenyList, tool("drop_table")), deny(policy.InDenyList, tool("drop_ghost"), unlisted), deny(policy.InDenyList, tool("drop_table"), inPlan, bySubagent),
	}},
	{"a star is everything", []given{allowList("*")}, []expectation{allow(tool("get_user")).because("tool_allow_list: *")}},
	{"denying a star is refusing everything", []given{allowList("get_user"), denyList("*")}, []expectation{
		deny(policy.InDenyList, tool("get_user")).because("tool_deny_list: *"), deny(policy.InDenyList, tool("")),
	}},
	{"a star stands for any run of characters, also none", []given{allowList("get_*_by_*", "*.read", "list*")}, []expectation{
		allow(tool("get_user_by_name")), allow(tool("get__by_")), allow(tool("get_a_by_b_by_c")), allow(tool(".read")), allow(tool("files.read")), allow(tool("list")), allow(tool("lists")), allow(tool("list\nall")),
		deny(policy.NotInAllowList, tool("get_by_name")), deny(policy.NotInAllowList, tool("files.reads")), deny(policy.NotInAllowList, tool("a list")),
	}},
	{"nothing but the star is special", []given{allowList("a.b", "[ab]", "x?")}, []expectation{
		allow(tool("a.b")), allow(tool("[ab]")), allow(tool("x?")),
		deny(policy.NotInAllowList, tool("aXb")), deny(policy.NotInAllowList, tool("a")), deny(policy.NotInAllowList, tool("xy")), deny(policy.NotInAllowList, tool("x")),
	}},

	// Pinning (T-02).
	{"the first catalog that is seen is the approved one", []given{pinning(policy.PinBlock), planAllowed}, []expectation{
		allow(tool("get_user")), allow(tool("get_user"), inPlan),
	}},
	{"a changed or new tool warns by default and is refused in plan mode", []given{approved("get_user"), planAllowed}, []expectation{
		allow(tool("get_user")), allow(tool("get_user"), inPlan),
		allow(tool("get_user"), redescribed).warning(isChanged), allow(tool("new_tool")).warning(isNew), allow(tool("get_user"), unreadable).warning(isChanged),
		deny(policy.PlanChanged, tool("get_user"), redescribed, inPlan).because("tool_pinning: warn"), deny(policy.PlanChanged, tool("new_tool"), inPlan),
	}},
	{"with tool_pinning block a changed or new tool is refused in both modes", []given{approved("get_user"), pinning(policy.PinBlock), planAllowed}, []expectation{
		allow(tool("get_user")), allow(tool("get_user"), inPlan),
		deny(policy.DefinitionChanged, tool("get_user"), redescribed).because("tool_pinning: block"), deny(policy.DefinitionChanged, tool("new_tool")), deny(policy.DefinitionChanged, tool("get_user"), unreadable),
		deny(policy.DefinitionChanged, tool("get_user"), redescribed, inPlan),
	}},
	{"with tool_pinning off definitions are not compared", []given{approved("get_user"), pinning(policy.PinOff), planAllowed}, []expectation{
		allow(tool("get_user"), redescribed), allow(tool("new_tool")), allow(tool("get_user"), redescribed, inPlan), allow(tool("new_tool"), inPlan),
	}},
	{"an approved catalog without tools approves none", []given{emptyCatalog, pinning(policy.PinBlock)}, []expectation{
		deny(policy.DefinitionChanged, tool("get_user")),
	}},
	{"a definition that could not be read is never the approved one", []given{func(s *situation) { s.baseline = policy.Baseline{"get_user": {}} }, pinning(policy.PinBlock)}, []expectation{
		deny(policy.DefinitionChanged, tool("get_user"), unreadable),
	}},
	{"prompts and resources have no approved definition", []given{emptyCatalog, pinning(policy.PinBlock), planAllowed}, []expectation{
		allow(prompt("greet")), allow(resource("file:///a"), inPlan),
	}},

	// Plan mode.
	{"in plan mode a server without the flag offers nothing, force_on or selected", nil, []expectation{
		deny(policy.PlanNotAllowed, tool("get_user"), inPlan).because("allow_in_plan_mode"), deny(policy.PlanNotAllowed, prompt("greet"), inPlan), deny(policy.PlanNotAllowed, resource("file:///a"), inPlan), deny(policy.PlanNotAllowed, tool("get_user"), inPlan, selecting(slug)),
	}},
	{"in plan mode a server with the flag offers its tools to the root agent", []given{planAllowed}, []expectation{
		allow(tool("get_user"), inPlan), allow(prompt("greet"), inPlan), allow(resource("file:///a"), inPlan),
	}},
	{"in plan mode a child gets nothing", []given{planAllowed, expose(policy.Tools, policy.Prompts, policy.Resources, policy.Extensions), planTools("get_user")}, []expectation{
		deny(policy.PlanSubagent, tool("get_user"), inPlan, bySubagent), deny(policy.PlanSubagent, prompt("greet"), inPlan, bySubagent), deny(policy.PlanSubagent, resource("file:///a"), inPlan, bySubagent), deny(policy.PlanSubagent, extension("x/y"), inPlan, bySubagent),
		allow(tool("get_user"), bySubagent), allow(tool("get_user"), inPlan),
	}},
	{"in plan mode extension methods pass where nothing narrows it", []given{planAllowed, expose(policy.Extensions)}, []expectation{allow(extension("x/y"), inPlan)}},
	{"and not where plan_tools does", []given{planAllowed, expose(policy.Extensions, policy.Prompts), planTools("*")}, []expectation{
		deny(policy.PlanNotInList, extension("x/y"), inPlan).because("plan_tools"), allow(extension("x/y")), allow(prompt("greet"), inPlan),
	}},
	{"or plan_read_only", []given{planAllowed, expose(policy.Extensions, policy.Prompts), planReadOnly}, []expectation{
		deny(policy.PlanNotReadOnly, extension("x/y"), inPlan).because("plan_read_only"), allow(extension("x/y")), allow(prompt("greet"), inPlan),
	}},
	{"the flag selects nothing", []given{planAllowed, available(policy.DefaultOff)}, []expectation{
		deny(policy.NotSelected, tool("get_user"), inPlan), allow(tool("get_user"), inPlan, selecting(slug)),
	}},
	{"allow and deny lists hold in plan mode", []given{planAllowed, allowList("get_*"), denyList("get_secret"), planTools("*")}, []expectation{
		allow(tool("get_user"), inPlan), deny(policy.NotInAllowList, tool("drop_table"), inPlan), deny(policy.InDenyList, tool("get_secret"), inPlan),
	}},
	{"plan_tools narrows plan mode and nothing else", []given{planAllowed, allowList("get_*", "drop_*"), planTools("get_*", "create_*")}, []expectation{
		allow(tool("get_user"), inPlan).because("plan_tools: get_*"), allow(tool("drop_table")), allow(prompt("greet"), inPlan),
		deny(policy.PlanNotInList, tool("drop_table"), inPlan).because("plan_tools"), deny(policy.NotInAllowList, tool("create_user"), inPlan),
	}},
	{"plan_tools does not allow plan mode", []given{planTools("get_user")}, []expectation{deny(policy.PlanNotAllowed, tool("get_user"), inPlan)}},
	{"a mode or kind of agent that nobody knows is the strict one", []given{planAllowed, planTools("get_user")}, []expectation{
		deny(policy.PlanNotInList, tool("drop_table"), modeWord("PLAN")), deny(policy.PlanNotInList, tool("drop_table"), modeWord("")),
		deny(policy.PlanSubagent, prompt("greet"), modeWord("PLAN"), bySubagent), deny(policy.PlanSubagent, tool("get_user"), modeWord("acting"), bySubagent),
		deny(policy.PlanSubagent, tool("get_user"), inPlan, agentWord("child")), deny(policy.PlanSubagent, tool("get_user"), inPlan, agentWord("")),
	}},

	// plan_read_only (P-13).
	{"plan_read_only admits what was approved with the hint and still has it", []given{planAllowed, planReadOnly, approvedReadOnly("get_user"), approved("wipe")}, []expectation{
		allow(tool("get_user"), inPlan, hinted), allow(tool("wipe")),
		deny(policy.PlanNotReadOnly, tool("wipe"), inPlan).because("plan_read_only"),
	}},
	{"a server cannot admit a tool by flipping its hint", []given{planAllowed, planReadOnly, approved("wipe")}, []expectation{
		deny(policy.PlanNotReadOnly, tool("wipe"), inPlan, hinted), deny(policy.PlanChanged, tool("wipe"), inPlan, hinted, redescribed), deny(policy.PlanChanged, tool("new_tool"), inPlan, hinted),
	}},
	{"nor where pinning is off", []given{planAllowed, planReadOnly, pinning(policy.PinOff), approved("wipe"), approvedReadOnly("get_user")}, []expectation{
		allow(tool("get_user"), inPlan, hinted),
		deny(policy.PlanNotReadOnly, tool("wipe"), inPlan, hinted, redescribed), deny(policy.PlanNotReadOnly, tool("new_tool"), inPlan, hinted),
		deny(policy.PlanChanged, tool("get_user"), inPlan, hinted, redescribed).because("plan_read_only"),
	}},
	{"taking the hint back narrows at once", []given{planAllowed, planReadOnly, approvedReadOnly("get_user")}, []expectation{
		deny(policy.PlanNotReadOnly, tool("get_user"), inPlan), allow(tool("get_user")),
	}},
	{"plan_read_only refuses while nothing is approved", []given{planAllowed, planReadOnly}, []expectation{
		deny(policy.PlanNotReadOnly, tool("get_user"), inPlan, hinted), allow(tool("get_user"), hinted),
	}},
	{"plan_read_only is about tools", []given{planAllowed, planReadOnly}, []expectation{allow(prompt("greet"), inPlan), allow(resource("file:///a"), inPlan)}},
	{"plan_tools and plan_read_only both have to agree", []given{planAllowed, planReadOnly, planTools("get_*"), approvedReadOnly("get_user", "read_file"), approved("get_lock")}, []expectation{
		allow(tool("get_user"), inPlan, hinted), deny(policy.PlanNotInList, tool("read_file"), inPlan, hinted), deny(policy.PlanNotReadOnly, tool("get_lock"), inPlan),
	}},
}

func TestDecide(t *testing.T) {
	for _, spec := range specifications {
		t.Run(spec.says, func(t *testing.T) {
			p := situate(spec.given...).compile(t)
			for _, e := range spec.then {
				e.check(t, p)
			}
		})
	}
}

// Every reason is listed once, and the specification shows how each comes about.
func TestReasons(t *testing.T) {
	listed, shown := policy.Reasons(), reasonsIn(specifications)
	slices.Sort(listed)
	slices.Sort(shown)
	if !slices.Equal(listed, shown) {
		t.Errorf("Reasons: %v\nin the specification: %v", listed, shown)
	}
	policy.Reasons()[0] = "changed by a caller"
	if policy.Reasons()[0] != policy.Allowed {
		t.Error("a caller can change what Reasons returns")
	}
}

// DecideServer and DecideSurface ask the same rules as Decide, without those about one tool.
func TestDecideServerAndSurface(t *testing.T) {
	everything := []given{expose(policy.Tools), denyList("*"), pinning(policy.PinBlock), emptyCatalog}
	for _, c := range []struct {
		says            string
		given           []given
		request         policy.Request
		server, surface policy.Reason
	}{
		{"rules about single tools are not asked", everything, ask(tool("x"), nil), policy.Allowed, policy.Allowed},
		{"expose is asked of a surface", everything, ask(prompt("x"), nil), policy.Allowed, policy.NotExposed},
		{"disabled", []given{disabled}, ask(tool("x"), nil), policy.Disabled, policy.Disabled},
		{"not visible", []given{visibleTo("bob")}, ask(tool("x"), nil), policy.NotVisible, policy.NotVisible},
		{"not selected", []given{available(policy.DefaultOff)}, ask(tool("x"), nil), policy.NotSelected, policy.NotSelected},
		{"plan mode", nil, ask(tool("x"), []question{inPlan}), policy.PlanNotAllowed, policy.PlanNotAllowed},
		{"plan mode with the flag", []given{planAllowed, planReadOnly, planTools("y")}, ask(tool("x"), []question{inPlan}), policy.Allowed, policy.Allowed},
		{"an unknown mode", nil, ask(tool("x"), []question{modeWord("PLAN")}), policy.PlanNotAllowed, policy.PlanNotAllowed},
		{"a child in plan mode", []given{planAllowed}, ask(tool("x"), []question{inPlan, bySubagent}), policy.PlanSubagent, policy.PlanSubagent},
	} {
		t.Run(c.says, func(t *testing.T) {
			p := situate(c.given...).compile(t)
			if d := p.DecideServer(c.request); d.Reason != c.server || d.Allowed != (c.server == policy.Allowed) {
				t.Errorf("DecideServer: %+v, want %s", d, c.server)
			}
			if d := p.DecideSurface(c.request); d.Reason != c.surface || d.Allowed != (c.surface == policy.Allowed) {
				t.Errorf("DecideSurface: %+v, want %s", d, c.surface)
			}
		})
	}
}

// What the caller does to its slices and maps after Compile changes nothing.
func TestPolicyIsImmutable(t *testing.T) {
	s := situate(denyList("drop_table"), allowList("get_user", "drop_table"), approved("get_user"), visibleTo("ann"), expose(policy.Tools), pinning(policy.PinBlock))
	p := s.compile(t)
	s.rules.ToolDenyList[0], s.rules.ToolAllowList[0], s.rules.VisibleTo[0], s.rules.Expose[0] = "x", "x", "x", policy.Prompts
	delete(s.baseline, "get_user")
	allow(tool("get_user")).check(t, p)
	deny(policy.InDenyList, tool("drop_table")).check(t, p)
}

func TestUnmatched(t *testing.T) {
	p := situate(allowList("get_*", "ghost", "drop_table"), denyList("*_table", "x*y"), planTools("get_user", "GET_USER")).compile(t)
	want := []policy.FieldError{
		{Field: "tool_allow_list", Detail: `entry 1 "ghost" matches no tool that the server lists`},
		{Field: "tool_deny_list", Detail: `entry 1 "x*y" matches no tool that the server lists`},
		{Field: "plan_tools", Detail: `entry 1 "GET_USER" matches no tool that the server lists`},
	}
	if got := p.Unmatched([]string{"get_user", "drop_table"}); !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if got := situate().compile(t).Unmatched(nil); len(got) != 0 {
		t.Errorf("without lists: %q", got)
	}
}
