package surface_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"mcpsidecar/proxy/surface"
)

func prompt(name string) []byte   { return fmt.Appendf(nil, `{"name":%q,"x":[1, 2]}`, name) }
func resource(uri string) []byte  { return fmt.Appendf(nil, `{"uri":%q,"name":"n","x":[1, 2]}`, uri) }
func template(text string) []byte { return fmt.Appendf(nil, `{"uriTemplate":%q,"name":"n"}`, text) }

// makers make an element of each kind.
var makers = map[surface.Kind]func(string) []byte{surface.Prompts: prompt, surface.Resources: resource, surface.Templates: template}

func read(kind surface.Kind, slug string, keys ...string) *surface.List {
	var elements [][]byte
	for _, key := range keys {
		elements = append(elements, makers[kind](key))
	}
	return surface.Read(kind, slug, elements)
}

// page reads the keys of a page.
func page(t *testing.T, m surface.Merge, cursor string) (keys []string, next string) {
	t.Helper()
	text, next, err := m.AppendPage(nil, cursor)
	if err != nil {
		t.Fatal(err)
	}
	var entries []struct{ Name, URI, URITemplate string }
	if err := json.Unmarshal([]byte("["+string(text)+"]"), &entries); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	for _, e := range entries {
		switch m.Kind {
		case surface.Prompts:
			keys = append(keys, e.Name)
		case surface.Resources:
			keys = append(keys, e.URI)
		case surface.Templates:
			keys = append(keys, e.URITemplate)
		}
	}
	return keys, next
}

func TestWhatIsLeftOut(t *testing.T) {
	tests := []struct {
		what     string
		kind     surface.Kind
		elements []string
		want     []string
	}{
		{"in order", surface.Resources, []string{`{"uri":"b:"}`, `{"uri":"a:"}`}, []string{"a:", "b:"}},
		{"no name", surface.Prompts, []string{`{"name":""}`, `{"title":"x"}`, `{"name":7}`, `{"name":"p"}`}, []string{"p"}},
		{"no object", surface.Prompts, []string{`"p"`, `null`, `[]`}, nil},
		{"a prompt twice", surface.Prompts, []string{`{"name":"p"}`, `{"name":"p","x":1}`, `{"name":"q"}`}, []string{"q"}},
		{"a prompt twice, written in two ways", surface.Prompts, []string{`{"name":"p"}`, `{"name":"\u0070"}`}, nil},
		{"a resource twice", surface.Resources, []string{`{"uri":"a:","name":"first"}`, `{"uri":"a:","name":"second"}`}, []string{"a:"}},
		{"a template twice", surface.Templates, []string{`{"uriTemplate":"a:{x}"}`, `{"uriTemplate":"a:{x}"}`}, []string{"a:{x}"}},
		{"a URI that is too long", surface.Resources, []string{`{"uri":"a:` + strings.Repeat("x", 5000) + `"}`}, nil},
		{"an entry that is too large", surface.Resources, []string{`{"uri":"a:","x":"` + strings.Repeat("x", 300_000) + `"}`}, nil},
	}
	for _, test := range tests {
		t.Run(test.what, func(t *testing.T) {
			var elements [][]byte
			for _, e := range test.elements {
				elements = append(elements, []byte(e))
			}
			l := surface.Read(test.kind, "s", elements)
			var keys []string
			for _, e := range l.Entries {
				keys = append(keys, e.Key)
				if l.Find(e.Key) == nil {
					t.Errorf("%q is not found", e.Key)
				}
			}
			if !slices.Equal(keys, test.want) {
				t.Errorf("kept %q, want %q", keys, test.want)
			}
			if len(keys) < len(elements) && len(l.Warnings) == 0 {
				t.Error("nothing was said of what is missing")
			}
		})
	}
}

// TestListsHaveAnEnd is R-06.
func TestListsHaveAnEnd(t *testing.T) {
	var keys []string
	for i := range 10_001 {
		keys = append(keys, fmt.Sprintf("x://%d{a}", i))
	}
	for kind, most := range map[surface.Kind]int{surface.Prompts: 10_000, surface.Resources: 10_000, surface.Templates: 1000} {
		if l := read(kind, "s", keys...); len(l.Entries) != most || len(l.Warnings) != 1 {
			t.Errorf("%s: %d entries are kept, and said is %q", kind.Method(), len(l.Entries), l.Warnings)
		}
	}
	if l := read(surface.Prompts, "s", append(keys, keys[0])...); l.Find(keys[0]) != nil {
		t.Error("a prompt that is listed again, beyond what is kept, is offered")
	}
}

// TestHiddenTextsAreRemoved is T-01: what would have to be sent back cannot be cleaned, and is left out.
func TestHiddenTextsAreRemoved(t *testing.T) {
	for _, test := range []struct {
		kind        surface.Kind
		given, want string
	}{
		{surface.Prompts, `{"name":"p","description":"a\u200bb","x":1.50}`, `{"name":"p","description":"ab","x":1.50}`},
		{surface.Prompts, `{"name":"p","arguments":[{"name":"a","title":"\u202ex"}]}`, `{"name":"p","arguments":[{"name":"a","title":"x"}]}`},
		{surface.Prompts, `{"name":"p\udb40\udc41"}`, ""},
		{surface.Prompts, `{"name":"p\nq"}`, ""},
		{surface.Resources, `{"uri":"a:","name":"a\u001b[31mb"}`, `{"uri":"a:","name":"ab"}`},
		{surface.Resources, `{"uri":"a:\u200b","name":"a"}`, ""},
		{surface.Templates, `{"uriTemplate":"a:{x}","name":"a\u2066b"}`, `{"uriTemplate":"a:{x}","name":"ab"}`},
		{surface.Templates, `{"uriTemplate":"a:\u0007{x}","name":"a"}`, ""},
	} {
		l := surface.Read(test.kind, "s", [][]byte{[]byte(test.given)})
		shown := ""
		if len(l.Entries) == 1 {
			shown = string(l.Entries[0].Raw)
		}
		if shown != test.want || len(l.Warnings) != 1 {
			t.Errorf("of %s is shown %s, and said %q", test.given, shown, l.Warnings)
		}
	}
}

func TestPromptsAreNamedLikeTools(t *testing.T) {
	l := read(surface.Prompts, "one", "plain", "with space")
	m := surface.Merge{Kind: surface.Prompts, Lists: []*surface.List{l}, Whole: true}
	got, _ := page(t, m, "")
	if len(got) != 2 || got[0] != "one__plain" || !strings.HasPrefix(got[1], "one__with_space_") {
		t.Fatalf("listed %q", got)
	}
	for i, key := range []string{"plain", "with space"} {
		if e := l.FindExposed(got[i]); e == nil || e.Key != key {
			t.Errorf("%q means %+v", got[i], e)
		}
	}
	if l.FindExposed("plain") != nil || l.FindExposed("one__nothing") != nil {
		t.Error("a name that is not listed means a prompt")
	}
	text, _, _ := m.AppendPage(nil, "")
	if !strings.HasPrefix(string(text), `{"name":"one__plain","x":[1, 2]}`) {
		t.Errorf("the rest of the entry is %s", text)
	}
	m.Whole = false
	if got, _ := page(t, m, ""); !slices.Equal(got, []string{"plain", "with space"}) {
		t.Errorf("alone: %q", got)
	}
}

// TestCollisions: a URI that two servers list belongs to neither, whichever was asked first.
func TestCollisions(t *testing.T) {
	for _, kind := range []surface.Kind{surface.Resources, surface.Templates} {
		a, b := read(kind, "a", "x:both", "x:only-a"), read(kind, "b", "x:both", "sidecar+a:x:only-a")
		m := surface.Merge{Kind: kind, Lists: []*surface.List{a, b}, Whole: true}
		want := []string{"sidecar+a:x:both", "x:only-a", "sidecar+b:sidecar+a:x:only-a", "sidecar+b:x:both"}
		if got, _ := page(t, m, ""); !slices.Equal(got, want) {
			t.Errorf("listed %q, want %q", got, want)
		}
		if owner, more := m.Owner("x:both"); owner != nil || !more {
			t.Error("the plain URI has an owner")
		}
		if owner, more := m.Owner("x:only-a"); owner != a || more {
			t.Error("a URI of one server is not its own")
		}
		if owner, more := m.Owner("x:neither"); owner != nil || more {
			t.Error("a URI of nobody has an owner")
		}
		m.Lists = m.Lists[:1]
		if got, _ := page(t, m, ""); got[0] != "x:both" {
			t.Errorf("for a caller who sees one of them it is %q", got[0])
		}
		if got, _ := page(t, surface.Merge{Kind: kind, Lists: []*surface.List{b}}, ""); !slices.Equal(got, []string{"sidecar+a:x:only-a", "x:both"}) {
			t.Errorf("alone: %q", got)
		}
	}
}

func TestQualified(t *testing.T) {
	for _, test := range []struct {
		uri, slug, rest string
	}{
		{"sidecar+one:file:///x", "one", "file:///x"},
		{surface.Qualify("a-b", "x:"), "a-b", "x:"},
		{surface.Qualify("a", surface.Qualify("b", "x:")), "a", "sidecar+b:x:"},
		{"file:///x", "", "file:///x"},
		{"sidecar+one", "", "sidecar+one"},
		{"sidecar+one:", "", "sidecar+one:"},
		{"sidecar+:x", "", "sidecar+:x"},
		{"sidecar+One:x", "", "sidecar+One:x"},
	} {
		slug, rest, ok := surface.Unqualify(test.uri)
		if slug != test.slug || rest != test.rest || ok != (test.slug != "") {
			t.Errorf("%q: %q %q %v", test.uri, slug, rest, ok)
		}
	}
}

// TestPages: every entry is shown once, also when the lists change between two pages.
func TestPages(t *testing.T) {
	many := func(slug string, n int) *surface.List {
		var keys []string
		for i := range n {
			keys = append(keys, fmt.Sprintf("x:%s-%04d", slug, i))
		}
		return read(surface.Resources, slug, keys...)
	}
	for _, kind := range []bool{true, false} {
		m := surface.Merge{Kind: surface.Resources, Lists: []*surface.List{many("a-b", 700), many("a", 499), many("c", 3)}, Whole: kind}
		var all []string
		cursor, pages := "", 0
		for {
			keys, next := page(t, m, cursor)
			all, pages = append(all, keys...), pages+1
			if cursor = next; next == "" {
				break
			}
		}
		if pages != 3 || len(all) != 1202 || len(slices.Compact(slices.Sorted(slices.Values(all)))) != 1202 {
			t.Errorf("%d entries on %d pages", len(all), pages)
		}
	}
	m := surface.Merge{Kind: surface.Resources, Lists: []*surface.List{many("b", 600)}, Whole: true}
	first, cursor := page(t, m, "")
	m.Lists = []*surface.List{many("a", 5), read(surface.Resources, "b", first[0], first[499]+"-new", "x:b-0555"), many("c", 1)}
	if got, next := page(t, m, cursor); next != "" || !slices.Equal(got, []string{first[499] + "-new", "x:b-0555", "x:c-0000"}) {
		t.Errorf("after a change: %q, %q", got, next)
	}
	m.Lists = []*surface.List{many("c", 1)}
	if got, _ := page(t, m, cursor); !slices.Equal(got, []string{"x:c-0000"}) {
		t.Errorf("when the server is gone: %q", got)
	}
}

func TestAPageIsNotTooLarge(t *testing.T) {
	var elements [][]byte
	for i := range 10 {
		elements = append(elements, fmt.Appendf(nil, `{"uri":"x:%d","text":%q}`, i, strings.Repeat("x", 200_000)))
	}
	m := surface.Merge{Kind: surface.Resources, Lists: []*surface.List{surface.Read(surface.Resources, "a", elements)}}
	keys, next := page(t, m, "")
	if len(keys) != 5 || next == "" {
		t.Errorf("%d entries, next %q", len(keys), next)
	}
}

func TestCursorsOfOthers(t *testing.T) {
	var keys []string
	for i := range 501 {
		keys = append(keys, fmt.Sprintf("x:%d", i))
	}
	m := surface.Merge{Kind: surface.Resources, Lists: []*surface.List{read(surface.Resources, "a", keys...)}, Whole: true}
	_, cursor := page(t, m, "")
	templates, alone := m, m
	templates.Kind, alone.Whole = surface.Templates, false
	for what, refused := range map[string]error{
		"of another list":  errOf(templates, cursor),
		"of another path":  errOf(alone, cursor),
		"no base64":        errOf(m, "!"),
		"nothing in it":    errOf(m, "AA"),
		"padded":           errOf(m, cursor+"="),
		"much too long":    errOf(m, strings.Repeat("A", 100_000)),
		"something before": errOf(m, "A"+cursor),
	} {
		if !errors.Is(refused, surface.ErrCursor) {
			t.Errorf("%s: %v", what, refused)
		}
	}
}

func errOf(m surface.Merge, cursor string) error {
	_, _, err := m.AppendPage(nil, cursor)
	return err
}

func TestSame(t *testing.T) {
	a := read(surface.Prompts, "a", "x", "y")
	if !a.Same(read(surface.Prompts, "a", "y", "x")) || a.Same(read(surface.Prompts, "a", "x")) || a.Same(surface.Read(surface.Prompts, "a", [][]byte{prompt("x"), []byte(`{"name":"y"}`)})) {
		t.Error("lists are not told apart")
	}
}

// FuzzCursor: whatever a client sends as a cursor, it gets a page of what it may see, or an error.
func FuzzCursor(f *testing.F) {
	f.Add("", true)
	f.Add("MXVyaSphAHg6MQ", true)
	f.Add("MXVyaT1hAHg6MQ", false)
	lists := []*surface.List{read(surface.Resources, "a", "x:1", "x:2"), read(surface.Resources, "b", "x:2", "x:3")}
	f.Fuzz(func(t *testing.T, cursor string, whole bool) {
		m := surface.Merge{Kind: surface.Resources, Lists: lists, Whole: whole}
		text, next, err := m.AppendPage([]byte("["), cursor)
		if (err != nil) != errors.Is(err, surface.ErrCursor) || err != nil && next != "" || !json.Valid(append(text, ']')) {
			t.Errorf("%q: %s, %q, %v", cursor, text, next, err)
		}
	})
}
