package policy_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"mcpsidecar/policy"
)

func TestValidate(t *testing.T) {
	many := func(n int) []string { return slices.Repeat([]string{"x"}, n) }
	for _, c := range []struct {
		says  string
		rules policy.Rules
		want  []string
	}{
		{"the zero value is valid", policy.Rules{}, nil},
		{"all words are valid", policy.Rules{Availability: policy.ForceOn, ToolPinning: policy.PinBlock, Expose: []policy.Surface{policy.Extensions, policy.Tools, policy.Resources, policy.Prompts}}, nil},
		{"defaults are valid when they are spelled", policy.Rules{Availability: policy.DefaultOff, ToolPinning: policy.PinWarn, Expose: policy.DefaultExpose()}, nil},
		{"null, empty and star lists are valid (P-12)", policy.Rules{ToolAllowList: []string{}, ToolDenyList: nil, PlanTools: []string{"*"}}, nil},
		{"an entry twice does no harm", policy.Rules{ToolAllowList: []string{"a", "a"}}, nil},
		{"names of any alphabet are valid", policy.Rules{ToolDenyList: []string{"Datei löschen", "删除*"}, VisibleTo: []string{"a.B_c@d+e-0"}}, nil},

		{"a blank entry is named by its index (P-12)", policy.Rules{ToolAllowList: []string{"a", ""}, ToolDenyList: []string{" \t"}, PlanTools: []string{""}, VisibleTo: []string{""}},
			[]string{"visible_to: entry 0 is blank", "tool_allow_list: entry 1 is blank", "tool_deny_list: entry 0 is blank", "plan_tools: entry 0 is blank"}},
		{"spaces around an entry would keep it from matching", policy.Rules{ToolDenyList: []string{"drop_table "}},
			[]string{`tool_deny_list: entry 0 "drop_table " has spaces around it`}},
		{"entries are bounded", policy.Rules{ToolAllowList: []string{strings.Repeat("x", policy.MaxEntry), strings.Repeat("x", policy.MaxEntry+1)}, VisibleTo: []string{strings.Repeat("x", 129)}},
			[]string{"visible_to: entry 0 is longer than 128 bytes", "tool_allow_list: entry 1 is longer than 256 bytes"}},
		{"lists are bounded", policy.Rules{ToolAllowList: many(policy.MaxEntries), ToolDenyList: many(policy.MaxEntries + 1), PlanTools: many(policy.MaxEntries + 1), VisibleTo: many(policy.MaxVisibleTo + 1)},
			[]string{"visible_to: has 10001 entries; at most 10000 are allowed", "tool_deny_list: has 1001 entries; at most 1000 are allowed", "plan_tools: has 1001 entries; at most 1000 are allowed"}},
		{"entries are text", policy.Rules{ToolDenyList: []string{"a\xff"}},
			[]string{"tool_deny_list: entry 0 is not valid UTF-8"}},
		{"a user that nobody can be is an error", policy.Rules{VisibleTo: []string{"ann", "ann smith", "*"}},
			[]string{`visible_to: entry 1 "ann smith" is no user name: those are made of A-Z a-z 0-9 . _ @ + -`, `visible_to: entry 2 "*" is no user name: those are made of A-Z a-z 0-9 . _ @ + -`}},
		{"unknown words are named, in the order of the fields", policy.Rules{Availability: "always", ToolPinning: "Warn", Expose: []policy.Surface{"tools", "sampling"}},
			[]string{`availability: "always" is not one of force_on, default_on and default_off`, `expose: entry 1: "sampling" is not one of tools, prompts, resources and extensions`, `tool_pinning: "Warn" is not one of off, warn and block`}},
		{"a surface twice is an error", policy.Rules{Expose: []policy.Surface{"tools", "prompts", "tools"}},
			[]string{"expose: entry 2: tools occurs twice"}},
		{"a long word is cut", policy.Rules{Availability: policy.Availability(strings.Repeat("x", 1000))},
			[]string{`availability: "` + strings.Repeat("x", 64) + `"… is not one of force_on, default_on and default_off`}},
		{"expose is bounded", policy.Rules{Expose: slices.Repeat([]policy.Surface{"x"}, 17)},
			[]string{"expose: has 17 entries; there are only 4 surfaces"}},
	} {
		t.Run(c.says, func(t *testing.T) {
			var got []string
			for _, found := range policy.Validate(c.rules) {
				got = append(got, found.Error())
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %q\nwant %q", got, c.want)
			}
			checkCompileAgrees(t, c.rules)
		})
	}
}

// checkCompileAgrees checks that Compile fails exactly when Validate finds something, and says all of it.
func checkCompileAgrees(t *testing.T, rules policy.Rules) {
	t.Helper()
	found := policy.Validate(rules)
	p, err := policy.Compile(slug, rules, nil)
	if (err != nil) != (len(found) > 0) || (p == nil) != (err != nil) {
		t.Fatalf("Compile: %v, %v; Validate: %v", p, err, found)
	}
	for _, one := range found {
		if !errors.Is(err, one) {
			t.Errorf("Compile does not say %q: %v", one, err)
		}
	}
}

func TestModes(t *testing.T) {
	for text, want := range map[string]policy.Mode{"": policy.Act, "act": policy.Act, "plan": policy.Plan} {
		if got, err := policy.ParseMode(text); got != want || err != nil {
			t.Errorf("ParseMode(%q) = %q, %v", text, got, err)
		}
	}
	for _, text := range []string{"Plan", "PLAN", " plan", "plan,act", "planning", "\x00"} {
		if got, err := policy.ParseMode(text); err == nil || got != "" || !strings.Contains(err.Error(), "act or plan") {
			t.Errorf("ParseMode(%q) = %q, %v; want an error that names the words", text, got, err)
		}
	}
	checkStricter(t, policy.Act, policy.Plan)
}

func TestAgents(t *testing.T) {
	for text, want := range map[string]policy.Agent{"": policy.Root, "root": policy.Root, "subagent": policy.Subagent} {
		if got, err := policy.ParseAgent(text); got != want || err != nil {
			t.Errorf("ParseAgent(%q) = %q, %v", text, got, err)
		}
	}
	for _, text := range []string{"Root", "child", "sub-agent", "root "} {
		if got, err := policy.ParseAgent(text); err == nil || got != "" || !strings.Contains(err.Error(), "root or subagent") {
			t.Errorf("ParseAgent(%q) = %q, %v; want an error that names the words", text, got, err)
		}
	}
	checkStricter(t, policy.Root, policy.Subagent)
}

// checkStricter checks that one word wins over the other from either side, that empty counts as the lax one, and unknown as the strict one.
func checkStricter[Word interface {
	~string
	Stricter(Word) Word
}](t *testing.T, lax, strict Word) {
	t.Helper()
	for _, c := range []struct{ a, b, want Word }{
		{lax, lax, lax}, {lax, strict, strict}, {strict, strict, strict}, {lax, "", lax}, {strict, "", strict}, {"", "", lax}, {lax, "typo", strict},
	} {
		if c.a.Stricter(c.b) != c.want || c.b.Stricter(c.a) != c.want {
			t.Errorf("the stricter of %q and %q: %q, %q; want %q", c.a, c.b, c.a.Stricter(c.b), c.b.Stricter(c.a), c.want)
		}
	}
}
