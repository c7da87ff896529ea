package intent_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"mcpsidecar/proxy/intent"
	"mcpsidecar/proxy/rpc"
)

const (
	draft4   = `"$schema":"http://json-schema.org/draft-04/schema#"`
	draft6   = `"$schema":"http://json-schema.org/draft-06/schema#"`
	draft7   = `"$schema":"http://json-schema.org/draft-07/schema#"`
	draft19  = `"$schema":"https://json-schema.org/draft/2019-09/schema"`
	draft20  = `"$schema":"https://json-schema.org/draft/2020-12/schema"`
	treeNode = `"type":"object","properties":{"v":{"type":"integer"},"kids":{"type":"array","items":{"$ref":"#"}}},"required":["v"],"additionalProperties":false`
)

// nasty are schemas whose references are easy to break, each with arguments that it accepts and refuses.
var nasty = []struct {
	says, schema     string
	accepts, refuses []string
}{
	{"nothing special", `{"type":"object","properties":{"a":{"type":"string"}},"required":["a"]}`,
		[]string{`{"a":"x"}`, `{"a":"x","b":1}`}, []string{`{}`, `{"a":1}`, `[]`, `null`}},
	{"additionalProperties false", `{"type":"object","properties":{"a":{}},"additionalProperties":false}`,
		[]string{`{}`, `{"a":1}`}, []string{`{"b":1}`}},
	{"patternProperties", `{"type":"object","patternProperties":{"^x-":{"type":"integer"}},"additionalProperties":false}`,
		[]string{`{"x-a":1}`}, []string{`{"x-a":""}`, `{"a":1}`}},
	{"oneOf at the root", `{"type":"object","oneOf":[{"required":["a"]},{"required":["b"]}]}`,
		[]string{`{"a":1}`, `{"b":1}`}, []string{`{}`, `{"a":1,"b":1}`}},
	{"$defs", `{"type":"object","properties":{"a":{"$ref":"#/$defs/A"}},"$defs":{"A":{"enum":[1,2]}}}`,
		[]string{`{"a":1}`}, []string{`{"a":3}`}},
	{"definitions", `{` + draft7 + `,"type":"object","properties":{"a":{"$ref":"#/definitions/A"}},"definitions":{"A":{"enum":[1,2]}}}`,
		[]string{`{"a":1}`}, []string{`{"a":3}`}},
	{"both, and between them", `{"properties":{"a":{"$ref":"#/$defs/A"}},"$defs":{"A":{"$ref":"#/definitions/B/items"}},"definitions":{"B":{"items":{"type":"integer"}}}}`,
		[]string{`{"a":1}`}, []string{`{"a":"x"}`}},
	{"references from $defs to the rest", `{"properties":{"a":{"$ref":"#/$defs/A"},"n":{"type":"integer"}},"$defs":{"A":{"anyOf":[{"$ref":"#/properties/n"},{"type":"array","items":{"$ref":"#/$defs/A"}}]}}}`,
		[]string{`{"a":1}`, `{"a":[1,[2,[]]]}`}, []string{`{"a":"x"}`, `{"a":[1,["x"]]}`}},
	{"recursion to the root", `{` + treeNode + `}`,
		[]string{`{"v":1}`, `{"v":1,"kids":[{"v":2,"kids":[]}]}`}, []string{`{"v":1,"kids":[{}]}`, `{"v":1,"kids":[{"v":2,"kids":[{"v":"x"}]}]}`, `{"v":1,"model_intent":"x"}`}},
	{"recursion to the root by the empty reference", strings.Replace(`{`+treeNode+`}`, `"#"`, `""`, 1),
		[]string{`{"v":1,"kids":[{"v":2}]}`}, []string{`{"v":1,"kids":[{}]}`}},
	{"recursion to the root from $defs", `{"type":"object","properties":{"next":{"$ref":"#/$defs/Maybe"},"v":{"type":"integer"}},"required":["v"],"$defs":{"Maybe":{"anyOf":[{"type":"null"},{"$ref":"#"}]}}}`,
		[]string{`{"v":1,"next":{"v":2,"next":null}}`}, []string{`{"v":1,"next":{"next":null}}`}},
	{"the root is a reference", `{"$ref":"#/$defs/Args","$defs":{"Args":{"type":"object","required":["a"],"additionalProperties":false,"properties":{"a":{}}}}}`,
		[]string{`{"a":1}`}, []string{`{}`, `{"b":1}`}},
	{"the root is a reference, in a draft where it hides the rest", `{` + draft7 + `,"$ref":"#/definitions/Args","required":["hidden"],"definitions":{"Args":{"required":["a"]}}}`,
		[]string{`{"a":1}`}, []string{`{}`}},
	{"references into properties", `{"properties":{"a":{"type":"object","properties":{"b":{"type":"integer"}}},"c":{"$ref":"#/properties/a/properties/b"}}}`,
		[]string{`{"c":1}`}, []string{`{"c":"x"}`}},
	{"a reference into an array", `{"properties":{"c":{"$ref":"#/allOf/1/properties/b"}},"allOf":[{},{"properties":{"b":{"type":"integer"}}}]}`,
		[]string{`{"c":1}`}, []string{`{"c":"x"}`}},
	{"escapes in references", `{"properties":{"a/b":{"type":"integer"},"c~d":{"type":"string"},"e%f":{"type":"null"},"g h":{"type":"boolean"},"ä\"":{"type":"number"},
		"1":{"$ref":"#/properties/a~1b"},"2":{"$ref":"#/properties/c~0d"},"3":{"$ref":"#/properties/e%25f"},"4":{"$ref":"#/properties/g%20h"},"5":{"$ref":"#\/properties\/\u00e4%22"},"6":{"$ref":"\u0023/properties/a~1b"}}}`,
		[]string{`{"1":1,"2":"","3":null,"4":true,"5":1.5,"6":1}`}, []string{`{"1":""}`, `{"2":1}`, `{"3":1}`, `{"4":1}`, `{"5":""}`, `{"6":""}`}},
	{"escapes in references to $defs", `{"properties":{"1":{"$ref":"#/%24defs/a~1b"},"2":{"$ref":"#/$defs/c~01%25"},"3":{"$ref":"#%2F$defs%2Fd"}},"$defs":{"a/b":{"type":"integer"},"c~1%":{"type":"string"},"d":{"type":"null"}}}`,
		[]string{`{"1":1,"2":"","3":null}`}, []string{`{"1":""}`, `{"2":1}`, `{"3":1}`}},
	{"an argument called $defs, and one called definitions", `{"properties":{"$defs":{"type":"integer"},"definitions":{"type":"string"},"x":{"$ref":"#/properties/$defs"},"y":{"$ref":"#/properties/definitions"}}}`,
		[]string{`{"x":1,"y":""}`, `{"$defs":1}`}, []string{`{"x":""}`, `{"y":1}`, `{"$defs":""}`}},
	{"names that only begin like $defs", `{"properties":{"x":{"$ref":"#/$defsX/a"},"y":{"$ref":"#/$defs~1a"}},"$defsX":{"a":{"type":"integer"}},"$defs/a":{"type":"string"}}`,
		[]string{`{"x":1,"y":""}`}, []string{`{"x":""}`, `{"y":1}`}},
	{"$defs further in", `{"properties":{"a":{"$defs":{"X":{"type":"integer"}},"items":{"$ref":"#/properties/a/$defs/X"}}}}`,
		[]string{`{"a":[1]}`}, []string{`{"a":["x"]}`}},
	{"references into keywords that nobody knows", `{"properties":{"a":{"$ref":"#/components/schemas/A"}},"components":{"schemas":{"A":{"items":{"$ref":"#/components/schemas/B"}},"B":{"type":"integer"}}}}`,
		[]string{`{"a":[1]}`}, []string{`{"a":["x"]}`}},
	{"data that looks like references", `{"properties":{"a":{"const":{"$ref":"#/properties/b"}},"b":{"enum":[{"$ref":"#"},"#"],"default":{"$ref":"#"},"examples":[{"$ref":"#/x"}]}}}`,
		[]string{`{"a":{"$ref":"#/properties/b"}}`, `{"b":{"$ref":"#"}}`, `{"b":"#"}`}, []string{`{"a":{"$ref":"#/properties/properties/properties/b"}}`, `{"b":{"$ref":"#/properties/properties"}}`}},
	{"arguments that are called like keywords", `{"properties":{"$ref":{"type":"integer"},"$id":{"type":"string"},"properties":{"$ref":"#/properties/$ref"},"enum":{"$ref":"#/properties/$id"},"required":{"const":1}}}`,
		[]string{`{"$ref":1,"$id":"","properties":1,"enum":"","required":1}`}, []string{`{"$ref":""}`, `{"$id":1}`, `{"properties":""}`, `{"enum":1}`}},
	{"an argument called model_intent", `{"properties":{"model_intent":{"type":"integer"}},"required":["model_intent"],"additionalProperties":false}`,
		[]string{`{"model_intent":1}`}, []string{`{"model_intent":"x"}`, `{}`}},
	{"items and prefixItems", `{"properties":{"a":{"prefixItems":[{"$ref":"#/properties/n"}],"items":{"$ref":"#/properties/s"}},"n":{"type":"integer"},"s":{"type":"string"}}}`,
		[]string{`{"a":[1,"x"]}`}, []string{`{"a":["x"]}`, `{"a":[1,2]}`}},
	{"items as an array, dependencies", `{` + draft7 + `,"properties":{"a":{"items":[{"$ref":"#/properties/n"}],"additionalItems":{"$ref":"#/properties/s"}},"n":{"type":"integer"},"s":{"type":"string"}},"dependencies":{"s":["n"],"n":{"properties":{"q":{"$ref":"#/properties/s"}}}}}`,
		[]string{`{"a":[1,"x"]}`, `{"n":1,"s":"","q":""}`}, []string{`{"a":["x"]}`, `{"s":"x"}`, `{"n":1,"q":1}`}},
	{"if, then, else, not", `{"properties":{"n":{"type":"integer"}},"if":{"properties":{"a":{"$ref":"#/properties/n"}},"required":["a"]},"then":{"required":["b"]},"else":{"not":{"properties":{"c":{"$ref":"#/properties/n"}},"required":["c"]}}}`,
		[]string{`{"a":1,"b":1}`, `{"a":"x"}`, `{"c":"x"}`}, []string{`{"a":1}`, `{"c":1}`}},
	{"unevaluatedProperties", `{"allOf":[{"$ref":"#/$defs/Base"}],"properties":{"b":{}},"unevaluatedProperties":false,"$defs":{"Base":{"properties":{"a":{"type":"integer"}}}}}`,
		[]string{`{"a":1,"b":2}`}, []string{`{"c":1}`, `{"a":"x"}`}},
	{"propertyNames, dependentSchemas, contains", `{"properties":{"s":{"type":"string","maxLength":2},"l":{"contains":{"$ref":"#/properties/s"}}},"propertyNames":{"$ref":"#/properties/s"},"dependentSchemas":{"l":{"properties":{"m":{"$ref":"#/properties/s"}}}}}`,
		[]string{`{"l":["x"]}`, `{"m":1}`}, []string{`{"abc":1}`, `{"l":[1]}`, `{"l":["x"],"m":1}`}},
	{"anchors", `{"$anchor":"top","properties":{"a":{"$ref":"#here"},"b":{"$anchor":"here","type":"integer"},"k":{"$ref":"#top"},"d":{"$ref":"#there"}},"$defs":{"x":{"$anchor":"there","type":"string"}}}`,
		[]string{`{"a":1,"k":{"a":2},"d":""}`}, []string{`{"a":"x"}`, `{"k":{"a":"x"}}`, `{"d":1}`}},
	{"anchors in the way of draft-07", `{` + draft7 + `,"$id":"#top","properties":{"a":{"$ref":"#here"},"k":{"$ref":"#top"},"r":{"$ref":"#/properties/b"},"b":{"$id":"#here","type":"integer"}}}`,
		[]string{`{"a":1,"k":{"a":2},"r":1}`}, []string{`{"a":"x"}`, `{"k":{"a":"x"}}`, `{"r":"x"}`}},
	{"dynamic references", `{` + draft20 + `,"$dynamicAnchor":"node","type":"object","properties":{"v":{"type":"integer"},"kid":{"$dynamicRef":"#node"},"twin":{"$dynamicRef":"#/properties/v"}},"required":["v"]}`,
		[]string{`{"v":1,"kid":{"v":2},"twin":3}`}, []string{`{"v":1,"kid":{}}`, `{"v":1,"twin":"x"}`}},
	{"the root has an $id", `{"$id":"https://example.com/tool","properties":{"a":{"$ref":"#/$defs/A"},"b":{"$ref":"https://example.com/tool#/$defs/A"},"c":{"$ref":"tool#/properties/a"},"k":{"$ref":"#"}},"$defs":{"A":{"type":"integer"}}}`,
		[]string{`{"a":1,"b":1,"c":1,"k":{"a":1}}`}, []string{`{"a":"x"}`, `{"b":"x"}`, `{"c":"x"}`, `{"k":{"a":"x"}}`}},
	{"the root has an $id in draft-07", `{` + draft7 + `,"$id":"http://example.com/tool.json","properties":{"a":{"$ref":"#/definitions/A"},"k":{"$ref":"tool.json"}},"definitions":{"A":{"type":"integer"}}}`,
		[]string{`{"a":1,"k":{"a":1}}`}, []string{`{"a":"x"}`, `{"k":{"a":"x"}}`}},
	{"the root has a relative $id", `{"$id":"tool","properties":{"a":{"$ref":"#/$defs/A"}},"$defs":{"A":{"type":"integer"}}}`,
		[]string{`{"a":1}`}, []string{`{"a":"x"}`}},
	{"the root has an $id that says nothing", `{"$id":"#","properties":{"a":{"$ref":"#/$defs/A"},"k":{"$ref":"#"}},"$defs":{"A":{"type":"integer"}}}`,
		[]string{`{"a":1,"k":{"a":1}}`}, []string{`{"a":"x"}`, `{"k":{"a":"x"}}`}},
	{"the root has an id in draft-04", `{` + draft4 + `,"id":"http://example.com/tool","properties":{"a":{"$ref":"#/definitions/A"},"k":{"$ref":"#"}},"definitions":{"A":{"type":"integer"}}}`,
		[]string{`{"a":1,"k":{"a":1}}`}, []string{`{"a":"x"}`, `{"k":{"a":"x"}}`}},
	{"an id that is no keyword in the draft", `{` + draft6 + `,"id":"http://example.com/tool","properties":{"a":{"$ref":"#/definitions/A"},"id":{"type":"string"}},"definitions":{"A":{"id":"x","items":{"$ref":"#/properties/id"}}}}`,
		[]string{`{"a":["x"]}`}, []string{`{"a":[1]}`}},
	{"an embedded resource", `{"properties":{"a":{"$ref":"#/$defs/E"},"v":{"type":"string"}},"$defs":{"E":{"properties":{"v":{"type":"integer"},"k":{"$ref":"#"},"l":{"items":{"$ref":"#/properties/v"}}},"$id":"https://example.com/e"},"F":{"$ref":"https://example.com/e"}},"allOf":[{"properties":{"f":{"$ref":"#/$defs/F"},"g":{"$ref":"#/properties/v"}}}]}`,
		[]string{`{"a":{"v":1,"k":{"v":2},"l":[1]},"f":{"v":1},"g":"x"}`}, []string{`{"a":{"v":"x"}}`, `{"a":{"k":{"v":"x"}}}`, `{"a":{"l":["x"]}}`, `{"f":{"v":"x"}}`, `{"g":1}`}},
	{"an $id beside a reference in draft-07 is no resource", `{` + draft7 + `,"properties":{"a":{"$id":"http://example.com/e","$ref":"#/properties/n"},"n":{"type":"integer"}}}`,
		[]string{`{"a":1}`}, []string{`{"a":"x"}`}},
	{"nor an id in draft-04", `{` + draft4 + `,"properties":{"a":{"id":"http://example.com/e","$ref":"#/properties/n"},"n":{"type":"integer"}}}`,
		[]string{`{"a":1}`}, []string{`{"a":"x"}`}},
	{"nor one of the root", `{` + draft7 + `,"$id":"http://example.com/tool","$ref":"#/definitions/A","definitions":{"A":{"required":["a"]}}}`,
		[]string{`{"a":1}`}, []string{`{}`}},
	{"$recursiveRef", `{` + draft19 + `,"$recursiveAnchor":true,"type":"object","properties":{"v":{"$ref":"#/$defs/V"},"kid":{"$recursiveRef":"#"}},"required":["v"],"$defs":{"V":{"type":"integer"}}}`,
		[]string{`{"v":1,"kid":{"v":2}}`}, []string{`{"v":"x"}`, `{"v":1,"kid":{}}`, `{"v":1,"kid":{"v":1,"kid":{}}}`}},
	{"$recursiveRef beside an $id that says nothing", `{` + draft19 + `,"$id":"#","properties":{"v":{"type":"integer"},"kid":{"$recursiveRef":"#"}}}`,
		[]string{`{"v":1,"kid":{"v":2}}`}, []string{`{"kid":{"v":"x"}}`}},
	{"2019-09 without $recursiveRef", `{` + draft19 + `,"properties":{"a":{"$ref":"#/$defs/A"},"k":{"$ref":"#"}},"$defs":{"A":{"type":"integer"}}}`,
		[]string{`{"k":{"a":1}}`}, []string{`{"k":{"a":"x"}}`}},
	{"$schema at the end", `{"properties":{"a":{"$ref":"#/properties/n","type":"string"},"n":{"type":"integer"}},` + draft7 + `}`,
		[]string{`{"a":1}`}, []string{`{"a":"x"}`}},
	{"white space everywhere", "\n {\t\"properties\" : { \"a\" : { \"$ref\" : \"#/$defs/A\" } , \"k\" : {\"$ref\" : \"#\" } } ,\r\n \"$defs\" : { \"A\" : { \"type\" : \"integer\" } } }\n ",
		[]string{`{"a":1,"k":{"a":1}}`}, []string{`{"a":"x"}`, `{"k":{"a":"x"}}`}},
	{"an empty schema", `{}`, []string{`{}`, `{"a":1}`, `1`}, nil},
	{"true", ` true `, []string{`{}`, `1`}, nil},
	{"false", `false`, nil, []string{`{}`, `1`}},
}

// The wrapped schema accepts {model_intent, properties: X} exactly when the original accepts X, says a validator that knows nothing of us.
func TestWrapAcceptsTheSame(t *testing.T) {
	for _, c := range nasty {
		t.Run(c.says, func(t *testing.T) {
			wrapped := intent.Wrap([]byte(c.schema))
			if err := rpc.Valid(wrapped); err != nil {
				t.Fatalf("%v: %s", err, wrapped)
			}
			original, shown := compile(t, []byte(c.schema)), compile(t, wrapped)
			check := func(arguments string, want bool) {
				t.Helper()
				if got := accepts(t, original, arguments); got != want {
					t.Errorf("the example is wrong: the original accepts %s: %v", arguments, got)
				}
				if got := accepts(t, shown, `{"model_intent":"Looking","properties":`+arguments+`}`); got != want {
					t.Errorf("%s: the wrapped schema accepts it: %v, want %v\n%s", arguments, got, want, wrapped)
				}
			}
			for _, arguments := range c.accepts {
				check(arguments, true)
			}
			for _, arguments := range c.refuses {
				check(arguments, false)
			}
			for _, call := range []string{`{}`, `{"model_intent":"Looking"}`, `{"properties":{}}`, `{"model_intent":1,"properties":{}}`, `[]`} {
				if accepts(t, shown, call) {
					t.Errorf("the wrapped schema accepts %s", call)
				}
			}
		})
	}
}

func compile(t testing.TB, schema []byte) *jsonschema.Schema {
	t.Helper()
	compiled, err := tryCompile(schema)
	if err != nil {
		t.Fatalf("%v: %s", err, schema)
	}
	return compiled
}

func tryCompile(schema []byte) (*jsonschema.Schema, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		return nil, err
	}
	const place = "https://test.invalid/dir/schema" // relative ids and references start from here
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(jsonschema.SchemeURLLoader{}) // loads nothing
	if err := compiler.AddResource(place, doc); err != nil {
		return nil, err
	}
	return compiler.Compile(place)
}

func accepts(t testing.TB, schema *jsonschema.Schema, instance string) bool {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(instance))
	if err != nil {
		t.Fatalf("%v: %s", err, instance)
	}
	return schema.Validate(value) == nil
}

// What is not a reference survives byte for byte.
func TestWrapKeepsText(t *testing.T) {
	for _, c := range []struct{ says, schema, want string }{
		{"unknown keywords, numbers as written, escapes, inner white space", `{"x-new":[1.0,1e3,{"b":1,"a":2}],"title":"\u0041\/","properties":{ "a" : {"x-mcp-header":"Region"}}}`,
			`{"x-new":[1.0,1e3,{"b":1,"a":2}],"title":"\u0041\/","properties":{ "a" : {"x-mcp-header":"Region"}}}`},
		{"around a changed reference", `{"properties":{ "a" : {"$ref":"#/properties/b" , "description":"\u0041" },"b":{"$comment":"#"}}}`,
			`{"properties":{ "a" : {"$ref":"#/properties/properties/properties/b" , "description":"\u0041" },"b":{"$comment":"#"}}}`},
		{"references to elsewhere", `{"allOf":[{"$ref":"https://example.com/s#/properties/a"},{"$ref":"#anchor"},{"$ref":"other.json#"},{"$ref":7}]}`,
			`{"allOf":[{"$ref":"https://example.com/s#/properties/a"},{"$ref":"#anchor"},{"$ref":"other.json#"},{"$ref":7}]}`},
	} {
		t.Run(c.says, func(t *testing.T) {
			var shown struct{ Properties map[string]json.RawMessage }
			if err := json.Unmarshal(intent.Wrap([]byte(c.schema)), &shown); err != nil {
				t.Fatal(err)
			}
			if got := string(shown.Properties["properties"]); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// The whole form, as a model sees it.
func TestWrapForm(t *testing.T) {
	const want = `{"type":"object","properties":{"model_intent":%s,"properties":{"type":"object"}},"required":["model_intent","properties"],"$schema":"x","$defs":{"a":true},"definitions":{}}`
	got := string(intent.Wrap([]byte(`{"$schema":"x","$defs":{"a":true},"type":"object","definitions":{}}`)))
	before, rest, _ := strings.Cut(got, `"model_intent":`)
	label, after, _ := strings.Cut(rest, `,"properties":{`)
	if fmt.Sprintf(want, label) != got {
		t.Errorf("got %s … %s", before, after)
	}
	var described struct{ Type, Description string }
	if err := json.Unmarshal([]byte(label), &described); err != nil || described.Type != "string" {
		t.Errorf("%v: %s", err, label)
	}
	for _, word := range []string{"status label", "present participle", "100 characters"} {
		if !strings.Contains(described.Description, word) {
			t.Errorf("the description does not say %q: %s", word, described.Description)
		}
	}
}

// What is no schema is shown as one that accepts any object; nothing panics.
func TestWrapOfWhatIsNoSchema(t *testing.T) {
	want := string(intent.Wrap([]byte(`{"type":"object"}`)))
	for _, text := range []string{"", " ", "null", "7", `"x"`, "[]", "{", `{"a":1}x`, `{"a":1,"a":2}`, "{\"a\":\"\xff\"}", strings.Repeat("[", 1_000_000), deep(1000)} {
		if got := string(intent.Wrap([]byte(text))); got != want {
			t.Errorf("%.20q: %.200s", text, got)
		}
	}
	if got := string(intent.Wrap(nil)); got != want {
		t.Errorf("nil: %s", got)
	}
}

// deep is a schema that is nested n deep (n is even) with a reference at the bottom.
func deep(n int) string {
	levels := n/2 - 1
	return strings.Repeat(`{"properties":{"a":`, levels) + `{"items":{"$ref":"#"}}` + strings.Repeat(`}}`, levels)
}

// As deep as a message may be, references are still found.
func TestWrapOfDeepSchemas(t *testing.T) {
	schema := deep(rpc.MaxDepth)
	if err := rpc.Valid([]byte(schema)); err != nil {
		t.Fatal(err)
	}
	wrapped := string(intent.Wrap([]byte(schema)))
	if !strings.Contains(wrapped, `{"$ref":"#/properties/properties"}`) || strings.Contains(wrapped, `"#"`) {
		t.Errorf("the reference was not rewritten: %s", wrapped)
	}
}

func FuzzWrap(f *testing.F) {
	for _, c := range nasty {
		for _, arguments := range append(c.accepts, c.refuses...) {
			f.Add([]byte(c.schema), []byte(arguments))
		}
	}
	f.Add([]byte(deep(126)), []byte(`{}`))
	f.Fuzz(func(t *testing.T, schema, arguments []byte) {
		wrapped := intent.Wrap(schema)
		checkWrapped(t, schema, wrapped)
		if rpc.Valid(schema) != nil || rpc.Valid(arguments) != nil || bytes.Contains(schema, []byte("$schema")) || bytes.Contains(schema, []byte("attern")) {
			return // custom dialects and regular expressions are the validator's business
		}
		if trimmed := bytes.TrimSpace(schema); trimmed[0] != '{' {
			return
		}
		original, err := tryCompile(schema)
		if err != nil {
			return // no valid schema, or it refers to elsewhere
		}
		shown, err := tryCompile(wrapped)
		if _, twice := errors.AsType[*jsonschema.DuplicateIDError](err); twice {
			return // the original calls itself what the test calls the place of both
		}
		if err != nil {
			t.Fatalf("the original compiles, but %v\n%s\n%s", err, schema, wrapped)
		}
		if want, got := accepts(t, original, string(arguments)), accepts(t, shown, `{"model_intent":"x","properties":`+string(arguments)+`}`); want != got {
			t.Errorf("original accepts: %v, wrapped: %v\n%s\n%s\n%s", want, got, schema, wrapped, arguments)
		}
	})
}

// checkWrapped checks what holds of every result of Wrap.
func checkWrapped(t *testing.T, schema, wrapped []byte) {
	t.Helper()
	if !json.Valid(wrapped) {
		t.Fatalf("%s became %s", schema, wrapped)
	}
	if !bytes.Equal(wrapped, intent.Wrap(schema)) {
		t.Errorf("two answers to %s", schema)
	}
}
