package policy_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"mcpsidecar/policy"
)

const definition = `{
	"name": "get_user", "title": "Get user", "description": "Looks a user up.",
	"inputSchema": {"type": "object", "properties": {"id": {"type": "integer", "minimum": 1}, "tags": {"enum": ["a", "b"]}}, "required": ["id"]},
	"outputSchema": {"type": "object", "properties": {"name": {"type": "string"}}},
	"annotations": {"readOnlyHint": true, "title": "User"}
}`

func print(t *testing.T, text string) policy.Print {
	t.Helper()
	p, _, err := policy.Fingerprint([]byte(text))
	if err != nil {
		t.Fatalf("Fingerprint(%s): %v", text, err)
	}
	return p
}

func replaced(t *testing.T, old, new string) string {
	t.Helper()
	if strings.Count(definition, old) != 1 {
		t.Fatalf("%q does not occur once", old)
	}
	return strings.Replace(definition, old, new, 1)
}

// One changed byte in any part is a change of exactly that part (T-02).
func TestFingerprintNamesWhatChanged(t *testing.T) {
	for _, c := range []struct {
		says, old, new string
		want           []string
	}{
		{"nothing", "", "", nil},
		{"description", "user up.", "user up!", []string{"description"}},
		{"title", "Get user", "get user", []string{"description"}},
		{"description swapped with title", `"title": "Get user", "description": "Looks a user up."`, `"description": "Get user", "title": "Looks a user up."`, []string{"description"}},
		{"no title", `"title": "Get user", `, ``, []string{"description"}},
		{"a bound in the schema", `"minimum": 1`, `"minimum": 0`, []string{"input_schema"}},
		{"how a number is written", `"minimum": 1`, `"minimum": 1.0`, []string{"input_schema"}},
		{"a number larger than any float", `"minimum": 1`, `"minimum": 1e999`, []string{"input_schema"}},
		{"a number that is text", `"minimum": 1`, `"minimum": "1"`, []string{"input_schema"}},
		{"the order of an array", `["a", "b"]`, `["b", "a"]`, []string{"input_schema"}},
		{"the case of a member", `"required"`, `"Required"`, []string{"input_schema"}},
		{"output schema", `"name": {"type": "string"}`, `"name": {"type": "number"}`, []string{"output_schema"}},
		{"a schema that moved", `"outputSchema"`, `"outputschema"`, []string{"output_schema"}},
		{"hint", `"readOnlyHint": true`, `"readOnlyHint": false`, []string{"annotations"}},
		{"another annotation", `"title": "User"`, `"title": "User", "openWorldHint": null`, []string{"annotations"}},
		{"a zero-width space", "Looks a", "Looks\u200b a", []string{"description"}},
		{"members that are not pinned", `"name": "get_user"`, `"name": "get_user", "_meta": {"a": 1}, "icons": []`, nil},
	} {
		t.Run(c.says, func(t *testing.T) {
			changed := definition
			if c.old != "" {
				changed = replaced(t, c.old, c.new)
			}
			changes := policy.Diff(policy.Baseline{"t": {Print: print(t, definition)}}, policy.Baseline{"t": {Print: print(t, changed)}})
			var got []string
			if len(changes) > 0 {
				got = changes[0].Fields
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// The same definition written otherwise has the same print (T-02).
func TestFingerprintOfTheSameDefinition(t *testing.T) {
	reordered := `{"annotations":{"title":"User","readOnlyHint":true},"outputSchema":{"properties":{"name":{"type":"string"}},"type":"object"},
		"inputSchema":{"required":["id"],"properties":{"tags":{"enum":["a","b"]},"id":{"minimum":1,"type":"integer"}},"type":"object"},
		"description":"Looks a \u0075ser up.","title":"Get user","name":"another"}`
	if print(t, definition) != print(t, reordered) {
		t.Errorf("the prints differ:\n%+v\n%+v", print(t, definition), print(t, reordered))
	}
}

// Prints are stored: they must never change between versions.
func TestFingerprintIsStable(t *testing.T) {
	want := policy.Print{
		Description:  "1343981ef8016ee459a7eb6e49ff75efe34a16da6304d728c6b0e97ce272bb2b",
		InputSchema:  "7d07964bae6fb1dbd049e4b26bb64fb1a6aeabdf81bf4658e89692e15eb7e016",
		OutputSchema: "bcea32024bf526dd2e18ddffb867f88ab53f2dcd6390f78d874eff2c6a7abb05",
		Annotations:  "9d1b1acfb127824c819388e39ef6154bcbd5d7de22d79ed9f8bced9d4e18422a",
	}
	if got := print(t, definition); got != want {
		t.Errorf("got %+v", got)
	}
}

func TestFingerprintOfAnEmptyDefinitionIsNotTheZeroValue(t *testing.T) {
	if p := print(t, `{}`); p == (policy.Print{}) || p.Description != "" || p.OutputSchema != "" || p.Annotations != "" {
		t.Errorf("got %+v", p)
	}
}

func TestReadOnlyHint(t *testing.T) {
	for text, want := range map[string]bool{
		definition:                                                 true,
		`{"annotations":{"readOnlyHint":true}}`:                    true,
		`{"annotations":{"readOnlyHint":false}}`:                   false,
		`{"annotations":{"readOnlyHint":"true"}}`:                  false,
		`{"annotations":{"readOnlyHint":1}}`:                       false,
		`{"annotations":{"readonlyhint":true}}`:                    false,
		`{"annotations":[{"readOnlyHint":true}]}`:                  false,
		`{"annotations":{"x":{"readOnlyHint":true}}}`:              false,
		`{"Annotations":{"readOnlyHint":true}}`:                    false,
		`{"readOnlyHint":true,"_meta":{"readOnlyHint":true}}`:      false,
		`{"annotations":null}`:                                     false,
		`{"annotations":{"readOnlyHint":null},"description":true}`: false,
	} {
		if _, got, err := policy.Fingerprint([]byte(text)); got != want || err != nil {
			t.Errorf("%s: %v, %v; want %v", text, got, err, want)
		}
	}
}

func TestFingerprintRefusesWhatIsAmbiguous(t *testing.T) {
	nested := func(n int) string { return `{"inputSchema":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}` }
	for says, text := range map[string]string{
		"nothing":                           "",
		"no JSON":                           "{",
		"two values":                        `{}{}`,
		"trailing bytes":                    `{} x`,
		"a comma too many":                  `{"a":[1,]}`,
		"no object":                         `[]`,
		"null":                              `null`,
		"a member twice":                    `{"annotations":{"readOnlyHint":false},"annotations":{"readOnlyHint":true}}`,
		"a member twice further in":         `{"annotations":{"readOnlyHint":false,"readOnlyHint":true}}`,
		"a member twice, escaped":           `{"annotations":{"readOnlyHint":false,"read\u004fnlyHint":true}}`,
		"a member twice in an ignored part": `{"_meta":[{"a":1,"a":2}]}`,
		"bytes that are no text":            "{\"description\":\"\xff\"}",
		"a high surrogate alone":            `{"description":"\ud800"}`,
		"a low surrogate alone":             `{"description":"\uDC00"}`,
		"two high surrogates":               `{"description":"\ud800\uD800\udc00"}`,
		"a surrogate behind a backslash":    `{"description":"\\\ud800"}`,
		"nested too deeply":                 nested(128),
		"nested absurdly deeply":            nested(100_000),
	} {
		if p, readOnly, err := policy.Fingerprint([]byte(text)); err == nil || readOnly || p != (policy.Print{}) {
			t.Errorf("%s: %+v, %v, %v; want an error and nothing else", says, p, readOnly, err)
		}
	}
	for says, text := range map[string]string{
		"a surrogate pair":           `{"description":"\ud83d\uDE42"}`,
		"an escaped backslash and u": `{"description":"\\ud800"}`,
		"as deep as allowed":         nested(127),
	} {
		if _, _, err := policy.Fingerprint([]byte(text)); err != nil {
			t.Errorf("%s: %v", says, err)
		}
	}
}

func TestDiff(t *testing.T) {
	plain, hinted := policy.Approval{Print: printOf("x")}, policy.Approval{Print: printOf("x"), ReadOnly: true}
	other := policy.Approval{Print: printOf("y")}
	for _, c := range []struct {
		says              string
		approved, present policy.Baseline
		want              []policy.Change
	}{
		{"nothing changed", policy.Baseline{"a": plain}, policy.Baseline{"a": plain}, []policy.Change{}},
		{"nothing at all", nil, nil, []policy.Change{}},
		{"all at once, by name", policy.Baseline{"m": plain, "b": plain, "z": plain}, policy.Baseline{"m": other, "c": plain, "a": plain, "z": plain}, []policy.Change{
			{Tool: "a", Kind: "added"}, {Tool: "b", Kind: "removed"}, {Tool: "c", Kind: "added"}, {Tool: "m", Kind: "changed", Fields: []string{"description", "input_schema"}},
		}},
		{"with nothing approved everything is added", nil, policy.Baseline{"a": plain}, []policy.Change{{Tool: "a", Kind: "added"}}},
		{"a hint alone is an annotation", policy.Baseline{"a": plain}, policy.Baseline{"a": hinted}, []policy.Change{{Tool: "a", Kind: "changed", Fields: []string{"annotations"}}}},
	} {
		t.Run(c.says, func(t *testing.T) {
			if got := policy.Diff(c.approved, c.present); !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v\nwant %+v", got, c.want)
			}
		})
	}
}
