package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"mcpsidecar/policy"
)

// hot is a server with everything switched on: exact and wild entries, an approved catalog, users.
func hot(t testing.TB) *policy.Policy {
	allowed, denied := []string{"get_*", "list_*"}, []string{"*_secret", "drop_*"}
	s := situate(visibleTo("ann", "bob"), available(policy.DefaultOff), planAllowed, planReadOnly, planTools("get_*"))
	for i := range 100 {
		allowed = append(allowed, fmt.Sprintf("tool_%d", i))
		denied = append(denied, fmt.Sprintf("bad_tool_%d", i))
		approvedReadOnly(fmt.Sprintf("get_%d", i))(&s)
	}
	allowList(allowed...)(&s)
	denyList(denied...)(&s)
	return s.compile(t)
}

// The hot path allocates nothing, whatever it decides.
func TestDecideAllocatesNothing(t *testing.T) {
	p := hot(t)
	for says, r := range map[string]policy.Request{
		"allowed":         ask(tool("get_7"), []question{hinted, selecting("linear", slug)}),
		"allowed in plan": ask(tool("get_7"), []question{hinted, selecting(slug), inPlan}),
		"warned":          ask(tool("get_7"), []question{redescribed, selecting(slug)}),
		"denied":          ask(tool("drop_7"), []question{selecting(slug)}),
		"not selected":    ask(tool("get_7"), nil),
	} {
		if n := testing.AllocsPerRun(100, func() { p.Decide(r) }); n != 0 {
			t.Errorf("%s: %v allocations", says, n)
		}
	}
}

func BenchmarkDecide(b *testing.B) {
	p := hot(b)
	for says, r := range map[string]policy.Request{
		"act":    ask(tool("get_7"), []question{hinted, selecting(slug)}),
		"plan":   ask(tool("get_7"), []question{hinted, selecting(slug), inPlan}),
		"denied": ask(tool("drop_7"), []question{selecting(slug)}),
	} {
		b.Run(says, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p.Decide(r)
			}
		})
	}
}

// A list of 1000 hostile patterns against a hostile name: linear, so it stays in the order of a millisecond.
func BenchmarkDecideWorstCase(b *testing.B) {
	entries := make([]string, policy.MaxEntries)
	for i := range entries {
		entries[i] = strings.Repeat("a*", policy.MaxEntry/2-1) + "b*"
	}
	p := situate(denyList(entries...)).compile(b)
	r := ask(tool(strings.Repeat("a", 1000)), nil)
	b.ReportAllocs()
	for b.Loop() {
		p.Decide(r)
	}
}

func BenchmarkFingerprint(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		policy.Fingerprint([]byte(definition))
	}
}

func BenchmarkExposedNames(b *testing.B) {
	tools := make([]string, 200)
	for i := range tools {
		tools[i] = fmt.Sprintf("files.tool_%d", i)
	}
	b.ReportAllocs()
	for b.Loop() {
		policy.ExposedNames(slug, tools)
	}
}
