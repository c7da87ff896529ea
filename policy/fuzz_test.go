package policy_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"mcpsidecar/policy"
)

// naiveMatch is the definition of a pattern, in the plainest words: a star is nothing, or any one character and a star again.
func naiveMatch(pattern, name string) bool {
	reach := make([]bool, len(name)+1) // reach[i]: the pattern so far matches name[:i]
	reach[0] = true
	for p := range len(pattern) {
		next := make([]bool, len(name)+1)
		for i := range reach {
			if pattern[p] == '*' {
				next[i] = reach[i] || i > 0 && next[i-1]
			} else {
				next[i] = i > 0 && reach[i-1] && name[i-1] == pattern[p]
			}
		}
		reach = next
	}
	return reach[len(name)]
}

func FuzzPattern(f *testing.F) {
	for _, seed := range [][2]string{
		{"*", ""}, {"*", "a"}, {"a*", "a"}, {"*a", "ba"}, {"a*a", "a"}, {"a*a", "aa"}, {"a*b*c", "abbc"}, {"**", "x"}, {"*a*a*", "aa"}, {"*ab*ba*", "aba"}, {"a*aab", "aaab"},
		{"get_*", "GET_x"}, {"*é*", "é"}, {"x", "x"}, {"x", "y"}, {"*aba*ab", "abab"}, {strings.Repeat("a*", 60) + "b", strings.Repeat("a", 200)},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		p, err := policy.Compile(slug, situate(denyList(pattern)).rules, nil)
		if err != nil || len(name) > 4096 {
			t.Skip("not a valid entry, or the name of no tool")
		}
		got := p.Decide(ask(tool(name), nil)).Reason == policy.InDenyList
		if want := naiveMatch(pattern, name); got != want {
			t.Errorf("pattern %q, name %q: matches %v, want %v", pattern, name, got, want)
		}
		if unmatched := len(p.Unmatched([]string{name})) > 0; unmatched == got {
			t.Errorf("pattern %q, name %q: Unmatched and Decide disagree", pattern, name)
		}
	})
}

// fuzzed makes a situation and a request out of what the fuzzer invents. Lists are separated by commas; each bit of flags and ask is one choice.
func fuzzed(allowed, denied, planned, users string, flags uint16, name, user string, asked uint16) (situation, policy.Request) {
	words := func(text string) []string {
		if text == "" {
			return nil
		}
		return strings.Split(text, ",")
	}
	bit := func(bits uint16, n int) bool { return bits>>n&1 == 1 }
	surfaces := []policy.Surface{policy.Tools, policy.Prompts, policy.Resources, policy.Extensions}

	s := situation{rules: policy.Rules{
		Enabled: bit(flags, 0), VisibleTo: words(users), ToolAllowList: words(allowed), ToolDenyList: words(denied), PlanTools: words(planned),
		AllowInPlanMode: bit(flags, 1), PlanReadOnly: bit(flags, 2),
		Availability: []policy.Availability{"", policy.ForceOn, policy.DefaultOn, policy.DefaultOff}[flags>>3&3],
		ToolPinning:  []policy.Pinning{"", policy.PinOff, policy.PinWarn, policy.PinBlock}[flags>>5&3],
	}}
	if bit(flags, 7) {
		s.rules.Expose = []policy.Surface{}
		for i, surface := range surfaces {
			if bit(flags, 8+i) {
				s.rules.Expose = append(s.rules.Expose, surface)
			}
		}
	}
	if bit(flags, 12) {
		s.baseline = policy.Baseline{}
	}
	if bit(flags, 13) {
		s.baseline = policy.Baseline{name: {Print: printOf(name), ReadOnly: bit(flags, 14)}}
	}

	r := policy.Request{User: user, Mode: policy.Act, Agent: policy.Root, Name: name, Known: bit(asked, 0), ReadOnly: bit(asked, 1), Surface: surfaces[asked>>2&3]}
	if bit(asked, 4) {
		r.Print = printOf(name)
	}
	if bit(asked, 5) {
		r.Selection = policy.Selection{Given: true, Slugs: []string{"linear", slug}[:asked>>6&3%3]}
	}
	if bit(asked, 8) {
		r.Agent = policy.Subagent
	}
	if bit(asked, 9) {
		r.Surface = policy.Surface(name)
	}
	return s, r
}

func addDecideSeeds(f *testing.F) {
	f.Add("", "", "", "", uint16(0b0000_0000_0000_1011), "get_user", "ann", uint16(0b1_0001))
	f.Add("get_*", "*secret", "get_*", "ann,bob", uint16(0b0110_0000_0000_1111), "get_user", "ann", uint16(0b1_0011))
	f.Add("get_*", "*secret", "get_*", "ann,bob", uint16(0b0110_0000_0110_1111), "get_secret", "bob", uint16(0b1_0011))
	f.Add("*", "drop_*,x", "*", "", uint16(0b0001_1111_1010_0111), "drop_table", "", uint16(0b1_0011_0011))
	f.Add("", "", "", "", uint16(0b0000_1111_1000_1011), "x/y", "ann", uint16(0b1101))
	f.Add("", "", "", "", uint16(0b0000_0000_0000_0001), "", "", uint16(0b10_0000_0000))
}

// Whatever the rules are, the invariants of the package's documentation hold.
func FuzzDecide(f *testing.F) {
	addDecideSeeds(f)
	f.Fuzz(func(t *testing.T, allowed, denied, planned, users string, flags uint16, name, user string, asked uint16) {
		s, act := fuzzed(allowed, denied, planned, users, flags, name, user, asked)
		p, err := policy.Compile(slug, s.rules, s.baseline)
		checkCompileAgrees(t, s.rules)
		if err != nil {
			return
		}
		plan, child := act, act
		plan.Mode, child.Mode, child.Agent = policy.Plan, policy.Plan, policy.Subagent
		for _, r := range []policy.Request{act, plan, child} {
			checkDecision(t, p, s, r)
		}
		if p.Decide(plan).Allowed && !p.Decide(act).Allowed {
			t.Errorf("plan mode allows what act mode refuses: %+v", act)
		}
		if p.Decide(child).Allowed || p.DecideServer(child).Allowed || p.DecideSurface(child).Allowed {
			t.Errorf("a child in plan mode gets something: %+v", child)
		}
	})
}

// checkDecision checks what holds of every single decision.
func checkDecision(t *testing.T, p *policy.Policy, s situation, r policy.Request) {
	t.Helper()
	d := p.Decide(r)
	if d != p.Decide(r) {
		t.Errorf("two answers to %+v", r)
	}
	if d.Allowed != (d.Reason == policy.Allowed) || !slices.Contains(policy.Reasons(), d.Reason) {
		t.Errorf("allowed and reason disagree: %+v", d)
	}
	if !d.Allowed {
		if d.Warning != "" {
			t.Errorf("a refusal warns: %+v", d)
		}
		return
	}
	if !p.DecideServer(r).Allowed || !p.DecideSurface(r).Allowed {
		t.Errorf("allowed on a server or surface that is refused: %+v", r)
	}
	exposed := s.rules.Expose
	if exposed == nil {
		exposed = policy.DefaultExpose()
	}
	if !s.rules.Enabled || !slices.Contains(exposed, r.Surface) || len(s.rules.VisibleTo) > 0 && !slices.Contains(s.rules.VisibleTo, r.User) {
		t.Errorf("allowed though disabled, not exposed or not visible: %+v", r)
	}
	if r.Surface == policy.Tools {
		checkAllowedTool(t, s, r)
	}
}

// checkAllowedTool checks what must be true of a tool that was allowed, with matching spelled out a second time.
func checkAllowedTool(t *testing.T, s situation, r policy.Request) {
	t.Helper()
	matches := func(list []string) bool {
		return slices.ContainsFunc(list, func(entry string) bool { return naiveMatch(entry, r.Name) })
	}
	if matches(s.rules.ToolDenyList) {
		t.Errorf("the deny list lost: %+v", r)
	}
	if len(s.rules.ToolAllowList) > 0 && !matches(s.rules.ToolAllowList) {
		t.Errorf("allowed though not in the allow list: %+v", r)
	}
	if !r.Known {
		t.Errorf("allowed though unknown: %+v", r)
	}
	approval, found := s.baseline[r.Name]
	same := found && approval.Print == r.Print
	if s.rules.ToolPinning == policy.PinBlock && s.baseline != nil && !same {
		t.Errorf("allowed though changed: %+v", r)
	}
	if r.Mode == policy.Act {
		return
	}
	if !s.rules.AllowInPlanMode || len(s.rules.PlanTools) > 0 && !matches(s.rules.PlanTools) {
		t.Errorf("allowed in plan mode though not listed for it: %+v", r)
	}
	if s.rules.PlanReadOnly && !(same && approval.ReadOnly && r.ReadOnly) {
		t.Errorf("allowed in plan mode though not approved as read-only: %+v", r)
	}
	if s.rules.ToolPinning != policy.PinOff && s.baseline != nil && !same {
		t.Errorf("allowed in plan mode though changed: %+v", r)
	}
}

// stricter are changes of the rules that may refuse more, never allow more.
var stricter = map[string]func(rules *policy.Rules, entry string){
	"one more denied tool":  func(r *policy.Rules, entry string) { r.ToolDenyList = append(slices.Clone(r.ToolDenyList), entry) },
	"disabled":              func(r *policy.Rules, _ string) { r.Enabled = false },
	"not for plan mode":     func(r *policy.Rules, _ string) { r.AllowInPlanMode = false },
	"read-only in plan":     func(r *policy.Rules, _ string) { r.PlanReadOnly = true },
	"pinning block":         func(r *policy.Rules, _ string) { r.ToolPinning = policy.PinBlock },
	"one tool in plan mode": func(r *policy.Rules, entry string) { narrow(&r.PlanTools, entry) },
	"one tool allowed":      func(r *policy.Rules, entry string) { narrow(&r.ToolAllowList, entry) },
	"prompts hidden": func(r *policy.Rules, _ string) {
		if r.Expose == nil {
			r.Expose = policy.DefaultExpose()
		}
		r.Expose = slices.DeleteFunc(slices.Clone(r.Expose), func(s policy.Surface) bool { return s == policy.Prompts })
	},
}

// narrow restricts an unrestricted list to one entry.
func narrow(list *[]string, entry string) {
	if len(*list) == 0 {
		*list = []string{entry}
	}
}

// Adding a deny entry, or any other restriction, never allows more.
func FuzzStricterRulesAllowNoMore(f *testing.F) {
	addDecideSeeds(f)
	f.Fuzz(func(t *testing.T, allowed, denied, planned, users string, flags uint16, name, user string, asked uint16) {
		s, r := fuzzed(allowed, denied, planned, users, flags, name, user, asked)
		before, err := policy.Compile(slug, s.rules, s.baseline)
		if err != nil {
			t.Skip("no valid rules")
		}
		for says, restrict := range stricter {
			rules := s.rules
			restrict(&rules, "get_*")
			after, err := policy.Compile(slug, rules, s.baseline)
			if err != nil {
				t.Skip("no valid rules") // the list was full
			}
			for _, mode := range []policy.Mode{policy.Act, policy.Plan} {
				r.Mode = mode
				if after.Decide(r).Allowed && !before.Decide(r).Allowed {
					t.Errorf("%s allows more: %+v", says, r)
				}
			}
		}
	})
}

func FuzzExposedNames(f *testing.F) {
	f.Add("github", "a.b,a_b,a b")
	f.Add("x", "a.b,a_b_"+strings.TrimPrefix(policy.ExposedName("x", "a.b"), "x__a_b_"))
	f.Add("a-b", strings.Repeat("é", 80)+","+strings.Repeat("è", 80)+",,\xff,\xfe")
	f.Fuzz(func(t *testing.T, slug, names string) {
		if !policy.ValidSlug(slug) {
			if name := policy.ExposedName(slug, names); !exposedForm.MatchString(name) {
				t.Errorf("ExposedName(%q, %q) = %q", slug, names, name)
			}
			return
		}
		checkNames(t, slug, strings.Split(names, ","))
	})
}

// A definition that is written otherwise, but says the same, has the same print.
func FuzzFingerprint(f *testing.F) {
	for _, seed := range []string{definition, `{}`, `{"description":"\ud83d\ude42\u0041"}`, `{"a":1,"a":2}`, `[]`, `{"inputSchema":{"x":[1.0,-0,1e9]}}`, "{\"title\":\"\u2028<\"}"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		print, readOnly, err := policy.Fingerprint(text)
		if err != nil {
			if print != (policy.Print{}) || readOnly {
				t.Errorf("an error and a print: %+v %v", print, readOnly)
			}
			return
		}
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.UseNumber()
		var value map[string]any
		if err := decoder.Decode(&value); err != nil {
			t.Fatalf("accepted what is no object: %v", err)
		}
		rewritten, err := json.MarshalIndent(value, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if again, hint, err := policy.Fingerprint(rewritten); again != print || hint != readOnly || err != nil {
			t.Errorf("rewritten: %+v %v %v, want %+v %v", again, hint, err, print, readOnly)
		}
	})
}
