package catalog_test

import (
	"bytes"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"mcpsidecar/policy"
	"mcpsidecar/proxy/catalog"
	"mcpsidecar/proxy/rpc"
)

// build makes a catalog of definitions as they would arrive, under the default limits.
func build(t testing.TB, definitions ...string) *catalog.Catalog {
	t.Helper()
	return buildWithin(t, catalog.Limits{}, definitions...)
}

func buildWithin(t testing.TB, limits catalog.Limits, definitions ...string) *catalog.Catalog {
	t.Helper()
	raw := make([][]byte, len(definitions))
	for i, d := range definitions {
		if err := rpc.Valid([]byte(d)); err != nil {
			t.Fatalf("definition %d would not have been read: %v\n%s", i, err, d)
		}
		raw[i] = []byte(d)
	}
	return catalog.Build(raw, limits)
}

// only returns the one tool that a definition makes.
func only(t testing.TB, definition string) *catalog.Tool {
	t.Helper()
	c := build(t, definition)
	if len(c.Tools) != 1 {
		t.Fatalf("the tool was dropped: %q", c.Warnings)
	}
	return &c.Tools[0]
}

// named is the plainest definition there is.
func named(name string) string {
	return string(append(rpc.AppendString([]byte(`{"name":`), name), `,"inputSchema":{"type":"object"}}`...))
}

func names(c *catalog.Catalog) string { return strings.Join(c.Names(), " ") }

// warned checks that exactly one warning has all these words.
func warned(t *testing.T, c *catalog.Catalog, words ...string) {
	t.Helper()
	n := 0
	for _, w := range c.Warnings {
		if !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(w, word) }) {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d warnings have %q, want 1: %q", n, words, c.Warnings)
	}
}

func TestWhichDefinitionsAreKept(t *testing.T) {
	const good = `{"name":"good","inputSchema":{"type":"object"}}`
	deep := func(n int) string {
		return `{"name":"deep","inputSchema":` + strings.Repeat(`{"not":`, n) + `{}` + strings.Repeat(`}`, n) + `}`
	}
	tests := []struct {
		what       string
		definition string
		keep       string // the names that are offered
		warning    []string
	}{
		{what: "the least", definition: `{"name":"a","inputSchema":{}}`, keep: "a good"},
		{what: "any order, any white space", definition: "{ \"inputSchema\" :\n{ } , \"name\"\t: \"a\" }", keep: "a good"},
		{what: "a name with escapes", definition: `{"n\u0061me":"\u0061","inputSchema":{}}`, keep: "a good"},
		{what: "a name that is no identifier", definition: `{"name":"Süß & groß.v2","inputSchema":{}}`, keep: "Süß & groß.v2 good"},
		{what: "a schema with a reference to the network", definition: `{"name":"a","inputSchema":{"$ref":"http://127.0.0.1:1/schema"}}`, keep: "a good"},
		{what: "an output schema that is no object", definition: `{"name":"a","inputSchema":{},"outputSchema":true}`, keep: "a good"},
		{what: "annotations of the wrong type", definition: `{"name":"a","inputSchema":{},"annotations":[],"title":7,"description":null}`, keep: "a good"},

		{what: "no name", definition: `{"inputSchema":{}}`, keep: "good", warning: []string{"Entry 1", "dropped", "name"}},
		{what: "an empty name", definition: `{"name":"","inputSchema":{}}`, keep: "good", warning: []string{"Entry 1", "dropped"}},
		{what: "a name that is no string", definition: `{"name":5,"inputSchema":{}}`, keep: "good", warning: []string{"Entry 1", "dropped"}},
		{what: "a name in another case", definition: `{"Name":"a","inputSchema":{}}`, keep: "good", warning: []string{"Entry 1", "dropped"}},
		{what: "no object", definition: `["name"]`, keep: "good", warning: []string{"Entry 1", "dropped"}},
		{what: "null", definition: `null`, keep: "good", warning: []string{"Entry 1", "dropped"}},
		{what: "no schema", definition: `{"name":"a"}`, keep: "good", warning: []string{`"a"`, "dropped", "inputSchema"}},
		{what: "a null schema", definition: `{"name":"a","inputSchema":null}`, keep: "good", warning: []string{`"a"`, "inputSchema"}},
		{what: "a boolean schema", definition: `{"name":"a","inputSchema":true}`, keep: "good", warning: []string{`"a"`, "inputSchema"}},
		{what: "an array of schemas", definition: `{"name":"a","inputSchema":[{}]}`, keep: "good", warning: []string{`"a"`, "inputSchema"}},
		{what: "a long name", definition: named(strings.Repeat("n", 513)), keep: "good", warning: []string{"nnn", "…", "513 bytes"}},
		{what: "a name with a line break", definition: named("a\nb"), keep: "good", warning: []string{`"a\nb"`, "control characters"}},
		{what: "a name with a zero-width space", definition: named("good\u200b"), keep: "good", warning: []string{`"good\u200b"`, "cannot be seen"}},
		{what: "a name that runs right to left", definition: named("\u202edoog"), keep: "good", warning: []string{`"\u202edoog"`, "cannot be seen"}},
		{what: "as deep as may be", definition: deep(rpc.MaxDepth - 10), keep: "deep good"},
		{what: "too deep", definition: deep(rpc.MaxDepth - 9), keep: "good", warning: []string{`"deep"`, "nested"}},
	}
	for _, test := range tests {
		t.Run(test.what, func(t *testing.T) {
			c := build(t, test.definition, good)
			if got := names(c); got != test.keep {
				t.Errorf("offered are %q, want %q; warnings %q", got, test.keep, c.Warnings)
			}
			if test.warning == nil {
				if len(c.Warnings) > 0 {
					t.Errorf("unexpected warnings: %q", c.Warnings)
				}
				return
			}
			warned(t, c, test.warning...)
		})
	}
}

func TestAnAmbiguousNameIsNotOffered(t *testing.T) {
	readOnly := `{"name":"x","inputSchema":{},"annotations":{"readOnlyHint":true}}`
	write := `{"name":"x","inputSchema":{"type":"object"},"annotations":{"readOnlyHint":false}}`
	tests := []struct {
		what        string
		definitions []string
		keep        string
	}{
		{"two that differ", []string{readOnly, write, named("y")}, "y"},
		{"two that are equal", []string{write, write}, ""},
		{"three", []string{write, readOnly, write, named("y")}, "y"},
		{"spelled with escapes", []string{readOnly, `{"name":"\u0078","inputSchema":{}}`}, ""},
		{"one of them without a schema", []string{readOnly, `{"name":"x"}`, named("y")}, "y"},
		{"names that differ in case are two", []string{named("x"), named("X")}, "X x"},
	}
	for _, test := range tests {
		t.Run(test.what, func(t *testing.T) {
			c := build(t, test.definitions...)
			if got := names(c); got != test.keep {
				t.Fatalf("offered are %q, want %q", got, test.keep)
			}
			if test.keep != "X x" {
				warned(t, c, `"x"`, "listed", "times")
			}
			if c.Find("x") != nil && test.keep != "X x" {
				t.Error("the ambiguous tool can be found")
			}
		})
	}
}

func TestAmbiguityBeyondTheLimitCounts(t *testing.T) {
	c := buildWithin(t, catalog.Limits{Tools: 2}, named("a"), named("b"), named("c"), named("a"))
	if got := names(c); got != "b c" {
		t.Errorf("offered are %q, want b and c", got)
	}
}

func TestLimits(t *testing.T) {
	exact := `{"name":"a","inputSchema":{},"description":"12345"}`
	limits := catalog.Limits{Tools: 2, Definition: len(exact) + 1, Description: 5}
	c := buildWithin(t, limits,
		`{"name":"large","inputSchema":{},"description":"123"}`,
		`{"name":"b","inputSchema":{},"description":"123456"}`,
		exact,
		named("c"), named("d"))
	if got := names(c); got != "a b" {
		t.Fatalf("offered are %q, want the first two that fit", got)
	}
	warned(t, c, `"large"`, "53 bytes, more than 52")
	warned(t, c, "more than 2 tools", "2 were left out", `from "c" on`)
	warned(t, c, `"b"`, "more than 5 characters was cut")
	if got := described(t, c.Find("b")); got != "1234…" {
		t.Errorf("b is described as %q", got)
	}
	if c.Find("a").Cleaned || !c.Find("b").Cleaned {
		t.Error("only b was cut")
	}
}

// bombs are answered within bounds, with a warning instead of a failure.
func TestBombs(t *testing.T) {
	many := make([]string, 50_000)
	for i := range many {
		many[i] = named(fmt.Sprint("tool", i))
	}
	nameless := slices.Repeat([]string{`{"inputSchema":{}}`}, 50_000)
	wide := `{"name":"wide","inputSchema":{"$defs":{` + strings.TrimSuffix(strings.Repeat(`"a":{"allOf":[{"$ref":"#/$defs/a"},{"$ref":"#/$defs/a"}]},`, 1), ",") + `},"anyOf":[` +
		strings.Repeat(`{"pattern":"^(a+)+$"},`, 5000) + `{}]}}`
	tests := []struct {
		what        string
		definitions []string
		keep        int
		warnings    int // at most
	}{
		{"50,000 tools", many, 2000, 1},
		{"50,000 entries without a name", nameless, 0, 101},
		{"a description of 10 MiB", []string{`{"name":"a","inputSchema":{},"description":"` + strings.Repeat("x", 10<<20) + `"}`}, 0, 1},
		{"a name of 10 MiB", []string{named(strings.Repeat("n", 10<<20))}, 0, 1},
		{"exponential definitions and a hostile pattern", []string{wide}, 1, 0},
	}
	for _, test := range tests {
		t.Run(test.what, func(t *testing.T) {
			raw := make([][]byte, len(test.definitions))
			for i, d := range test.definitions {
				raw[i] = []byte(d)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			c := catalog.Build(raw, catalog.Limits{})
			runtime.ReadMemStats(&after)
			if len(c.Tools) != test.keep || len(c.Warnings) > test.warnings {
				t.Errorf("%d tools and %d warnings, want %d and at most %d", len(c.Tools), len(c.Warnings), test.keep, test.warnings)
			}
			if grown := after.TotalAlloc - before.TotalAlloc; grown > 64<<20 {
				t.Errorf("%d MiB were allocated", grown>>20)
			}
			for _, w := range c.Warnings {
				if len(w) > 1024 {
					t.Errorf("a warning has %d bytes", len(w))
				}
			}
		})
	}
}

func TestWarningsCannotForgeALog(t *testing.T) {
	c := build(t, `{"name":"a\r\n\u001b[31mlevel=error","inputSchema":{}}`,
		`{"name":"b","inputSchema":{"properties":{"p":{"type":"string","x-mcp-header":"A\r\nAuthorization: x"}}}}`)
	if len(c.Tools) != 0 || len(c.Warnings) != 2 {
		t.Fatalf("%d tools, warnings %q", len(c.Tools), c.Warnings)
	}
	for _, w := range c.Warnings {
		if strings.ContainsAny(w, "\r\n\x1b") {
			t.Errorf("a raw control character in %q", w)
		}
	}
}

func TestFindNamesAndBaseline(t *testing.T) {
	c := build(t, `{"name":"write","inputSchema":{}}`, `{"name":"read","inputSchema":{},"annotations":{"readOnlyHint":true}}`, named("Other"))
	if got := names(c); got != "Other read write" {
		t.Errorf("the order is %q", got)
	}
	for _, name := range c.Names() {
		if tool := c.Find(name); tool == nil || tool.Name != name {
			t.Errorf("%q is not found", name)
		}
	}
	for _, name := range []string{"", "rea", "reads", "READ", "zzz"} {
		if c.Find(name) != nil {
			t.Errorf("%q is found", name)
		}
	}
	baseline := c.Baseline()
	want := policy.Approval{Print: c.Find("read").Print, ReadOnly: true}
	if len(baseline) != 3 || baseline["read"] != want || baseline["write"].ReadOnly {
		t.Errorf("the baseline is %+v", baseline)
	}
	empty := build(t)
	if empty.Find("read") != nil || len(empty.Names()) != 0 || len(empty.Baseline()) != 0 {
		t.Error("an empty catalog has something")
	}
}

// What is judged is the definition as it was listed: a change of what cleaning removes is a change.
func TestTheFingerprintIsOfTheRawDefinition(t *testing.T) {
	const dirty = `{"name":"a","description":"read\u200b","inputSchema":{"type":"object"}}`
	want, _, err := policy.Fingerprint([]byte(dirty))
	if err != nil {
		t.Fatal(err)
	}
	a := only(t, dirty)
	if a.Print != want || string(a.Raw) != dirty || !a.Cleaned {
		t.Errorf("print %+v, raw %s, cleaned %v", a.Print, a.Raw, a.Cleaned)
	}
	if clean := only(t, strings.Replace(dirty, `\u200b`, "", 1)); clean.Print == a.Print || clean.Cleaned {
		t.Error("a removed character does not show in the fingerprint")
	}
}

// Definitions were read strictly before; should one slip through, it is dropped.
func TestWhatIsNoJSONIsDropped(t *testing.T) {
	for _, text := range []string{"", " ", "{", `{"name":"a","inputSchema":{}}x`, `{"name":"a","inputSchema":{}}{}`, `{"name":"a","inputSchema":{}`, `{"name":"a" "inputSchema":{}}`, `{"name":"a",,"inputSchema":{}}`,
		`{"name":"a","inputSchema":{"a":}}`, `{"name":"a","inputSchema":{"a"}}`, `{"name":"a\`, `{name:"a"}`} {
		if c := catalog.Build([][]byte{[]byte(text)}, catalog.Limits{}); len(c.Tools) != 0 || len(c.Warnings) != 1 {
			t.Errorf("%s became %q with %q", text, names(c), c.Warnings)
		}
	}
}

func TestACatalogOutlivesItsPage(t *testing.T) {
	page := []byte(`{"name":"a","inputSchema":{"properties":{"r":{"type":"string","x-mcp-header":"R"}}}}`)
	c := catalog.Build([][]byte{page}, catalog.Limits{})
	want := string(page)
	copy(page, bytes.Repeat([]byte("!"), len(page)))
	tool := c.Find("a")
	if tool == nil || string(tool.Raw) != want || string(tool.AppendExposed(nil, "a", false)) != want {
		t.Fatal("the catalog changed with the page")
	}
}

func TestARebuiltCatalogIsTheSame(t *testing.T) {
	raw := func(definitions ...string) (list [][]byte) {
		for _, d := range definitions {
			list = append(list, []byte(d))
		}
		return list
	}
	dirty, changed := withDescription("a\u200bb"), withDescription("changed")
	before := raw(named("same"), dirty, named("gone"))
	tests := []struct {
		what string
		now  [][]byte
		take string // the tools that are taken over
	}{
		{"nothing changed", raw(named("same"), dirty, named("gone")), "a gone same"},
		{"another order", raw(dirty, named("same"), named("gone")), "a gone same"},
		{"one changed, one gone, one new", raw(named("new"), changed, named("same")), "same"},
		{"one became ambiguous", raw(named("same"), named("same"), dirty), "a"},
		{"one became invalid", raw(named("gone"), dirty, `{"name":"same"}`), "a gone"},
		{"all gone", nil, ""},
	}
	for _, test := range tests {
		t.Run(test.what, func(t *testing.T) {
			earlier := catalog.Build(before, catalog.Limits{})
			got, want := catalog.Rebuild(earlier, test.now, catalog.Limits{}), catalog.Build(test.now, catalog.Limits{})
			if names(got) != names(want) || !slices.Equal(got.Warnings, want.Warnings) {
				t.Fatalf("%q with %q, want %q with %q", names(got), got.Warnings, names(want), want.Warnings)
			}
			var taken []string
			for i := range got.Tools {
				tool, fresh := &got.Tools[i], &want.Tools[i]
				if string(tool.Raw) != string(fresh.Raw) || tool.Print != fresh.Print || tool.Cleaned != fresh.Cleaned ||
					string(tool.AppendExposed(nil, "x", false)) != string(fresh.AppendExposed(nil, "x", false)) {
					t.Errorf("%s differs", tool.Name)
				}
				if old := earlier.Find(tool.Name); old != nil && &old.Raw[0] == &tool.Raw[0] {
					taken = append(taken, tool.Name)
				}
			}
			if got := strings.Join(taken, " "); got != test.take {
				t.Errorf("taken over are %q, want %q", got, test.take)
			}
		})
	}
}

func TestOtherLimitsAreANewJudgement(t *testing.T) {
	definitions := [][]byte{[]byte(withDescription("12345"))}
	c := catalog.Rebuild(catalog.Build(definitions, catalog.Limits{}), definitions, catalog.Limits{Description: 3})
	if got := described(t, c.Find("a")); got != "12…" {
		t.Errorf("shown is %q", got)
	}
}
