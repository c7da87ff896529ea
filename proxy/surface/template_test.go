package surface_test

import (
	"strings"
	"testing"

	"github.com/yosida95/uritemplate/v3"

	"mcpsidecar/proxy/surface"
)

// owner says whether a template of one server matches a URI.
func owner(uri string, templates ...string) bool {
	m := surface.Merge{Kind: surface.Templates, Lists: []*surface.List{read(surface.Templates, "a", templates...)}, Whole: true}
	return m.Matching(uri) != nil
}

func TestTemplates(t *testing.T) {
	for _, test := range []struct {
		template, uri string
		want          bool
	}{
		{"file:///{path}", "file:///x", true},
		{"file:///{path}", "file:///", true},
		{"file:///{path}", "file:///x/y", false},
		{"file:///{path}", "file:///x%2Fy", true},
		{"file:///{path}", "FILE:///x", false},
		{"file:///{+path}", "file:///x/y?z#f", true},
		{"file:///{path*}", "file:///x,y", true},
		{"greet://{name}", "greet://Bob Smith", true}, // no expansion, but servers take it
		{"greet://{name}/now", "greet://bob/now", true},
		{"greet://{name}/now", "greet://bob/then", false},
		{"greet://{name}/now", "greet://bob/now/", false},
		{"a://x{.ext}", "a://x.json", true},
		{"a://x{/one,two}", "a://x/1/2", true},
		{"a://x{;k}", "a://x;k=v", true},
		{"a://x{?q,r}", "a://x?q=1&r=2", true},
		{"a://x{?q,r}", "a://x", true},
		{"a://x{?q,r}", "a://xy", false},
		{"a://x?fixed=1{&q}", "a://x?fixed=1&q=2", true},
		{"a://x{#f}", "a://x#y", true},
		{"a://{id:3}", "a://abc", true},
		{"a://plain", "a://plain", true},
		{"a://plain.", "a://plainx", false},
		// What cannot be read claims nothing, and neither does what would claim everything.
		{"{+anything}", "a://x", false},
		{"a://{x}\ny", "a://1\ny", false},
		{"a://{x", "a://{x", false},
		{"a://x}", "a://x}", false},
		{"a://{x}}", "a://1}", false},
		{"a://{}", "a://", false},
		{"a://{x y}", "a://1", false},
		{"a://{!x}", "a://1", false},
		{"a://{x:0}", "a://1", false},
		{"a://" + strings.Repeat("{x}", 17), "a://1", false},
		{"a://" + strings.Repeat("x", 2000) + "{y}", "a://" + strings.Repeat("x", 2000), false},
		{"a://{x}", "a://" + strings.Repeat("x", 5000), false},
	} {
		if got := owner(test.uri, test.template); got != test.want {
			t.Errorf("%.60q for %.60q: %v", test.template, test.uri, got)
		}
	}
}

func TestOnlyOneServerMayMatch(t *testing.T) {
	a, b := read(surface.Templates, "a", "x://{one}", "x://{two}"), read(surface.Templates, "b", "x://{one}/z", "y://{z}")
	m := surface.Merge{Kind: surface.Templates, Lists: []*surface.List{a, b}, Whole: true}
	for uri, want := range map[string]*surface.List{"x://1": a, "y://1": b, "x://1/z": b, "z://1": nil} {
		if got := m.Matching(uri); got != want {
			t.Errorf("%s goes to %v", uri, got)
		}
	}
	m.Lists = append(m.Lists, read(surface.Templates, "c", "x://{+all}"))
	if got := m.Matching("x://1"); got != nil {
		t.Errorf("a URI that two servers could mean goes to %s", got.Slug)
	}
}

// TestHostileTemplates is R-06: matching has a budget, and what it does not suffice for matches nothing.
func TestHostileTemplates(t *testing.T) {
	slow := strings.Repeat("a{+x}", 15) + strings.Repeat("a", 500)
	uri := strings.Repeat("a", 4000) + "c"
	var hostile []string
	for i := range 20 {
		hostile = append(hostile, slow+strings.Repeat("b", i+1))
	}
	if !owner(uri, append(hostile[:1:1], "a{x}")...) {
		t.Error("one slow template hides another that matches")
	}
	if owner(uri, append(hostile, "a{x}")...) {
		t.Error("the budget was exceeded")
	}
}

// TestTheBudgetGivesNobodyTheURIsOfOthers: a server whose templates use up what may be spent is not the only one that matches because the others were not asked.
func TestTheBudgetGivesNobodyTheURIsOfOthers(t *testing.T) {
	uri, costly := "x://"+strings.Repeat("a", 2000), "x://{+a}"+strings.Repeat("b", 1000)
	var greedy []string
	for i := range 8 { // all of the budget but what is less than one more takes
		greedy = append(greedy, costly+strings.Repeat("c", i))
	}
	a, b := read(surface.Templates, "a", append(greedy, "x://{a}")...), read(surface.Templates, "b", costly, "x://{b}")
	for _, lists := range [][]*surface.List{{a}, {b}, {a, b}, {b, a}} {
		got := surface.Merge{Kind: surface.Templates, Lists: lists, Whole: true}.Matching(uri)
		if alone := len(lists) == 1; alone != (got != nil) {
			t.Errorf("of %d servers that have a template for a URI, one gets it: %v", len(lists), got != nil)
		}
	}
}

// FuzzTemplates: whatever a template expands to, by somebody else's reading of RFC 6570, it matches.
func FuzzTemplates(f *testing.F) {
	for _, seed := range []string{"file:///{path}", "a://{+b}/{c}", "a{/x*}{?q*,r}{&s}", "a{.x}{;y,z}{#w}", "a{x:3}b{y}", "%41{x}", "ü{x}"} {
		f.Add(seed, "value", "other/value?")
	}
	f.Fuzz(func(t *testing.T, text, value, more string) {
		parsed, err := uritemplate.New(text)
		if err != nil || len(text) > 200 || len(value)+len(more) > 100 || !owner(literalOf(text), literalOf(text)) {
			return
		}
		values := uritemplate.Values{}
		for i, name := range parsed.Varnames() {
			switch i % 3 {
			case 0:
				values.Set(name, uritemplate.String(value))
			case 1:
				values.Set(name, uritemplate.List(value, more))
			}
		}
		uri, err := parsed.Expand(values)
		if err != nil || strings.Count(text, "{") > 16 || strings.HasPrefix(text, "{") {
			return
		}
		if !owner(uri, text) {
			t.Errorf("%q does not match %q", text, uri)
		}
	})
}

// literalOf is a URI that begins like the template, so that templates which are nothing at all are passed over.
func literalOf(text string) string {
	literal, _, _ := strings.Cut(text, "{")
	return literal
}
