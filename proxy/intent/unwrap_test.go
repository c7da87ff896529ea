package intent_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"mcpsidecar/proxy/intent"
	"mcpsidecar/proxy/rpc"
)

// call is one call and what becomes of it.
type call struct {
	arguments, forward, intent string
	err                        error
}

func becomes(arguments, forward, intent string) call { return call{arguments, forward, intent, nil} }
func refused(arguments string) call                  { return call{arguments, "", "", intent.ErrArguments} }

const (
	plain     = `{"type":"object","properties":{"path":{"type":"string"},"depth":{"type":"integer"}},"required":["path"]}`
	closed    = `{"type":"object","properties":{"path":{"type":"string"}},"required":["path"],"additionalProperties":false}`
	free      = `{"type":"object","additionalProperties":{"type":"string"}}`
	ownProps  = `{"type":"object","properties":{"id":{},"properties":{"type":"object"}},"required":["id","properties"],"additionalProperties":false}`
	optProps  = `{"type":"object","properties":{"id":{},"properties":{"type":"object"}},"required":["id"]}`
	onlyProps = `{"type":"object","properties":{"properties":{"type":"object"}},"required":["properties"]}`
	ownIntent = `{"type":"object","properties":{"model_intent":{"type":"string"},"path":{}},"required":["model_intent"]}`
	optIntent = `{"type":"object","properties":{"model_intent":{"type":"integer"},"path":{}}}`
	ownBoth   = `{"type":"object","properties":{"model_intent":{"type":"string"},"properties":{"type":"object"}},"required":["model_intent","properties"],"additionalProperties":false}`
)

func TestUnwrap(t *testing.T) {
	for _, c := range []struct {
		says, schema string
		calls        []call
	}{
		{"the nested form", plain, []call{
			becomes(`{"model_intent":"Reading","properties":{"path":"a"}}`, `{"path":"a"}`, "Reading"),
			becomes(`{"properties":{"path":"a"},"model_intent":"Reading"}`, `{"path":"a"}`, "Reading"),
			becomes(` { "model_intent" : "Reading" , "properties" : { "path" : 1.0 } } `, `{ "path" : 1.0 }`, "Reading"),
			becomes(`{"model_intent":"Reading","properties":{}}`, `{}`, "Reading"),
		}},
		{"the flat form", plain, []call{
			becomes(`{"model_intent":"Reading","path":"a","depth":1e3}`, `{"path":"a","depth":1e3}`, "Reading"),
			becomes(`{"path":"a","model_intent":"Reading","dep\u0074h":1}`, `{"path":"a","dep\u0074h":1}`, "Reading"),
			becomes(`{"model_intent":"Reading"}`, `{}`, "Reading"),
		}},
		{"a call without an intent is forwarded as it is", plain, []call{
			becomes(`{"path":"a"}`, `{"path":"a"}`, ""), becomes(`{}`, `{}`, ""), becomes(`{ "path" : "a" }`, `{ "path" : "a" }`, ""),
			becomes(`{"properties":{"path":"a"}}`, `{"path":"a"}`, ""), becomes(``, ``, ""),
		}},
		{"the form is decided, the values are the server's business", closed, []call{
			becomes(`{"model_intent":"Reading","properties":{"nope":1}}`, `{"nope":1}`, "Reading"), becomes(`{"model_intent":"Reading","nope":1}`, `{"nope":1}`, "Reading"),
		}},
		{"a mixture is neither form", plain, []call{
			refused(`{"model_intent":"Reading","properties":{"path":"a"},"depth":1}`), refused(`{"properties":{"path":"a"},"path":"b"}`),
		}},
		{"neither is properties that is no object", plain, []call{
			refused(`{"model_intent":"Reading","properties":"path"}`), refused(`{"model_intent":"Reading","properties":null}`), refused(`{"properties":[]}`),
		}},
		{"nor an intent that is no text", plain, []call{
			refused(`{"model_intent":1,"properties":{"path":"a"}}`), refused(`{"model_intent":null,"path":"a"}`), refused(`{"model_intent":{},"path":"a"}`),
		}},
		{"nor arguments that are no object", plain, []call{
			refused(`null`), refused(`[]`), refused(`"x"`), refused(`1`), refused(`{"path":`), refused(`{`),
		}},
		{"a tool that takes anything is called nested", free, []call{
			becomes(`{"model_intent":"Setting","properties":{"a":"b"}}`, `{"a":"b"}`, "Setting"), becomes(`{"model_intent":"Setting","a":"b"}`, `{"a":"b"}`, "Setting"),
			becomes(`{"model_intent":"Setting","properties":{"properties":"x"}}`, `{"properties":"x"}`, "Setting"), refused(`{"model_intent":"Setting","properties":{},"a":"b"}`),
		}},

		// A tool with an argument called properties.
		{"a required argument called properties, nested", ownProps, []call{
			becomes(`{"model_intent":"Setting","properties":{"id":1,"properties":{"a":2}}}`, `{"id":1,"properties":{"a":2}}`, "Setting"),
		}},
		{"and flat", ownProps, []call{
			becomes(`{"model_intent":"Setting","id":1,"properties":{"a":2}}`, `{"id":1,"properties":{"a":2}}`, "Setting"),
			becomes(`{"id":1,"properties":{"a":2}}`, `{"id":1,"properties":{"a":2}}`, ""),
			becomes(`{"model_intent":"Setting","id":1,"properties":"text"}`, `{"id":1,"properties":"text"}`, "Setting"),
		}},
		{"and what fits neither form", ownProps, []call{
			refused(`{"model_intent":"Setting","properties":{"a":2}}`), refused(`{"model_intent":"Setting","properties":{"id":1}}`), refused(`{"model_intent":"Setting","id":1,"properties":{},"x":1}`), refused(`{"model_intent":5,"id":1,"properties":{}}`),
		}},
		{"the only argument is called properties", onlyProps, []call{
			becomes(`{"model_intent":"Setting","properties":{"properties":{"a":1}}}`, `{"properties":{"a":1}}`, "Setting"),
			becomes(`{"model_intent":"Setting","properties":{"a":1}}`, `{"properties":{"a":1}}`, "Setting"),
			becomes(`{"properties":{"a":1}}`, `{"properties":{"a":1}}`, ""),
			becomes(`{"properties":{"properties":{}}}`, `{"properties":{"properties":{}}}`, ""),
		}},
		{"an optional argument called properties", optProps, []call{
			becomes(`{"model_intent":"Setting","properties":{"id":1}}`, `{"id":1}`, "Setting"),
			becomes(`{"model_intent":"Setting","id":1,"properties":{"id":2}}`, `{"id":1,"properties":{"id":2}}`, "Setting"),
			becomes(`{"properties":{"id":1}}`, `{"id":1}`, ""),
			becomes(`{"model_intent":"Setting","id":1}`, `{"id":1}`, "Setting"),
			refused(`{"model_intent":"Setting","properties":{"a":1}}`),
		}},
		{"where both forms fit, what was shown is meant", `{"properties":{"properties":{}}}`, []call{
			becomes(`{"model_intent":"Setting","properties":{"a":1}}`, `{"a":1}`, "Setting"),
			becomes(`{"properties":{"a":1}}`, `{"properties":{"a":1}}`, ""),
		}},

		// A tool with an argument called model_intent.
		{"an argument called model_intent, nested", ownIntent, []call{
			becomes(`{"model_intent":"Reading","properties":{"model_intent":"theirs","path":"a"}}`, `{"model_intent":"theirs","path":"a"}`, "Reading"),
		}},
		{"and flat, where it cannot be the label, too", ownIntent, []call{
			becomes(`{"model_intent":"theirs","path":"a"}`, `{"model_intent":"theirs","path":"a"}`, ""),
		}},
		{"an optional one is the label unless it is no text", optIntent, []call{
			becomes(`{"model_intent":"Reading","path":"a"}`, `{"path":"a"}`, "Reading"), becomes(`{"model_intent":7,"path":"a"}`, `{"model_intent":7,"path":"a"}`, ""),
			refused(`{"model_intent":7,"properties":{"path":"a"}}`),
		}},
		{"both names are the tool's own", ownBoth, []call{
			becomes(`{"model_intent":"Reading","properties":{"model_intent":"theirs","properties":{}}}`, `{"model_intent":"theirs","properties":{}}`, "Reading"),
			becomes(`{"model_intent":"theirs","properties":{"x":1}}`, `{"model_intent":"theirs","properties":{"x":1}}`, ""),
			refused(`{"properties":{"x":1}}`),
		}},

		// The schema says so in other ways.
		{"arguments behind a reference", `{"$ref":"#/$defs/A~1rgs","$defs":{"A/rgs":` + ownProps + `}}`, []call{
			becomes(`{"model_intent":"Setting","id":1,"properties":{"a":2}}`, `{"id":1,"properties":{"a":2}}`, "Setting"), refused(`{"model_intent":"Setting","properties":{"a":2}}`),
		}},
		{"arguments in allOf", `{"allOf":[{"properties":{"id":{}},"required":["id"]},{"properties":{"properties":{}},"required":["properties"]}]}`, []call{
			becomes(`{"model_intent":"Setting","id":1,"properties":{"a":2}}`, `{"id":1,"properties":{"a":2}}`, "Setting"), refused(`{"model_intent":"Setting","properties":{"id":2}}`),
		}},
		{"arguments in one branch of oneOf are not required", `{"oneOf":[{"properties":{"properties":{}},"required":["properties"]},{"properties":{"a":{}},"required":["a"]}]}`, []call{
			becomes(`{"model_intent":"Setting","properties":{"a":2}}`, `{"a":2}`, "Setting"),
		}},
		{"patterns leave it open", `{"properties":{"properties":{}},"patternProperties":{"^x":{}},"additionalProperties":false}`, []call{
			becomes(`{"model_intent":"Setting","properties":{"x1":2}}`, `{"x1":2}`, "Setting"),
		}},
		{"so does a reference to elsewhere", `{"properties":{"properties":{}},"$ref":"https://example.com/more","unevaluatedProperties":false}`, []call{
			becomes(`{"model_intent":"Setting","properties":{"a":2}}`, `{"a":2}`, "Setting"),
		}},
		{"without it unevaluatedProperties closes", `{"properties":{"properties":{}},"unevaluatedProperties":false}`, []call{
			becomes(`{"model_intent":"Setting","properties":{"a":2}}`, `{"properties":{"a":2}}`, "Setting"),
		}},
		{"a reference hides what is beside it in draft-07", `{` + draft7 + `,"$ref":"#/definitions/A","required":["properties"],"definitions":{"A":{"properties":{"a":{}}}}}`, []call{
			becomes(`{"model_intent":"Setting","properties":{"a":2}}`, `{"a":2}`, "Setting"),
		}},
		{"arguments behind a reference into an array", `{"$ref":"#/anyOf/0","anyOf":[` + onlyProps + `]}`, []call{
			becomes(`{"model_intent":"Setting","properties":{"a":2}}`, `{"properties":{"a":2}}`, "Setting"),
		}},
		{"arguments in a schema with an $id, where references start", `{"allOf":[{"$id":"https://example.com/s","$ref":"#/$defs/A","$defs":{"A":` + onlyProps + `}}],"$defs":{"A":{}}}`, []call{
			becomes(`{"model_intent":"Setting","properties":{"a":2}}`, `{"properties":{"a":2}}`, "Setting"),
		}},
		{"arguments under a condition", `{"if":{"required":["id"]},"then":{"properties":{"properties":{}}}}`, []call{
			becomes(`{"model_intent":"Setting","id":1,"properties":{"a":2}}`, `{"id":1,"properties":{"a":2}}`, "Setting"),
		}},
		{"arguments that depend on another", `{"dependentSchemas":{"id":{"properties":{"properties":{}}}}}`, []call{
			becomes(`{"model_intent":"Setting","id":1,"properties":{"a":2}}`, `{"id":1,"properties":{"a":2}}`, "Setting"),
		}},
		{"one closed branch of oneOf does not close the rest", `{"oneOf":[{"properties":{"properties":{}},"additionalProperties":false},{"properties":{"a":{}}}]}`, []call{
			becomes(`{"model_intent":"Setting","properties":{"b":2}}`, `{"b":2}`, "Setting"),
		}},
		{"unevaluatedProperties means nothing in draft-07", `{` + draft7 + `,"properties":{"properties":{}},"unevaluatedProperties":false}`, []call{
			becomes(`{"model_intent":"Setting","properties":{"a":2}}`, `{"a":2}`, "Setting"),
		}},
		{"where a dynamic reference leads is not known", `{"$dynamicRef":"#/$defs/A","properties":{"properties":{}},"unevaluatedProperties":false,"$defs":{"A":{}}}`, []call{
			becomes(`{"model_intent":"Setting","properties":{"a":2}}`, `{"a":2}`, "Setting"),
		}},
		{"a schema with too many parts is open", `{"properties":{"properties":{}},"additionalProperties":false,"allOf":[` + strings.Repeat(`{},`, 100) + `{}]}`, []call{
			becomes(`{"model_intent":"Setting","properties":{"a":2}}`, `{"a":2}`, "Setting"),
		}},
		{"circles do not keep the rest from being read", `{"allOf":[{"$ref":"#"},{"anyOf":[{"$ref":"#"},{"$ref":"#/allOf/1"}]},` + onlyProps + `]}`, []call{
			becomes(`{"model_intent":"Setting","properties":{"a":2}}`, `{"properties":{"a":2}}`, "Setting"),
		}},
		{"schemas that go in circles", `{"$ref":"#","allOf":[{"$ref":"#"},{"$ref":"#/allOf/0"}],"properties":{"a":{}}}`, []call{
			becomes(`{"model_intent":"Setting","properties":{"a":2}}`, `{"a":2}`, "Setting"),
		}},
		{"a schema that is none", `7`, []call{
			becomes(`{"model_intent":"Setting","properties":{"a":2}}`, `{"a":2}`, "Setting"), becomes(`{"model_intent":"Setting","a":2}`, `{"a":2}`, "Setting"),
		}},
		{"no schema", ``, []call{becomes(`{"model_intent":"Setting","properties":{"a":2}}`, `{"a":2}`, "Setting")}},
	} {
		t.Run(c.says, func(t *testing.T) {
			for _, call := range c.calls {
				forward, said, err := intent.Unwrap([]byte(c.schema), []byte(call.arguments))
				if string(forward) != call.forward || said != call.intent || !errors.Is(err, call.err) {
					t.Errorf("%s:\n got %s, %q, %v\nwant %s, %q, %v", call.arguments, forward, said, err, call.forward, call.intent, call.err)
				}
			}
		})
	}
}

// The nested form copies nothing, however large the arguments are.
func TestUnwrapForwardsASpan(t *testing.T) {
	arguments := []byte(`{"model_intent":"Reading","properties":{"path":"a"}}`)
	forward, _, err := intent.Unwrap([]byte(plain), arguments)
	if err != nil || &forward[0] != &arguments[bytes.Index(arguments, []byte(`{"path"`))] {
		t.Errorf("%s is a copy, or %v", forward, err)
	}
}

func TestIntentIsFitToBeShown(t *testing.T) {
	for _, c := range []struct{ says, text, want string }{
		{"plain", `Searching the open issues`, "Searching the open issues"},
		{"empty", ``, ""},
		{"100 characters", strings.Repeat("ä", 100), strings.Repeat("ä", 100)},
		{"too long", strings.Repeat("ä", 101), strings.Repeat("ä", 100)},
		{"cut behind a space", strings.Repeat("x", 99) + " yz", strings.Repeat("x", 99)},
		{"lines (T-05)", `a\r\n{\"level\":\"info\"}\tb`, `a {"level":"info"} b`},
		{"escapes for terminals", `\u001b[31mred\u0007\u0000`, "[31mred"},
		{"bidirectional overrides, zero-width and tag characters", `a\u202eb\u200bc\udb40\udc41d\ufeff`, "abcd"},
		{"line separators of Unicode", `a\u2028b\u0085c\u00a0d`, "a b c d"},
		{"spaces around", `  a  b  `, "a b"},
		{"an emoji", `\ud83d\ude80 Shipping`, "🚀 Shipping"},
	} {
		t.Run(c.says, func(t *testing.T) {
			_, got, err := intent.Unwrap([]byte(plain), []byte(`{"model_intent":"`+c.text+`","properties":{}}`))
			if got != c.want || err != nil {
				t.Errorf("got %q, %v; want %q", got, err, c.want)
			}
		})
	}
}

func FuzzUnwrap(f *testing.F) {
	for _, schema := range []string{plain, closed, free, ownProps, optProps, onlyProps, ownIntent, optIntent, ownBoth, `true`, ``} {
		for _, arguments := range []string{
			`{"model_intent":"Reading","properties":{"path":"a"}}`, `{"model_intent":"Reading","path":"a"}`, `{"id":1,"properties":{"id":2,"properties":{}}}`, `{"model_intent":1}`, `{}`, `null`, ``, `{"properties":{},"properties":{}}`,
		} {
			f.Add([]byte(schema), []byte(arguments))
		}
	}
	for _, c := range nasty {
		for _, arguments := range c.accepts {
			f.Add([]byte(c.schema), []byte(arguments))
		}
	}
	f.Fuzz(func(t *testing.T, schema, arguments []byte) {
		forward, said, err := intent.Unwrap(schema, arguments) // whatever they are, it does not panic
		if err != nil && (err != intent.ErrArguments || forward != nil || said != "") {
			t.Fatalf("%s, %q, %v", forward, said, err)
		}
		if len([]rune(said)) > 100 || strings.ContainsFunc(said, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			t.Errorf("the intent is %q", said)
		}
		if rpc.Valid(schema) != nil || rpc.Valid(arguments) != nil {
			return
		}
		if err == nil && (rpc.Valid(forward) != nil || bytes.TrimSpace(forward)[0] != '{') {
			t.Errorf("%s became %s", arguments, forward)
		}
		if bytes.TrimSpace(arguments)[0] == '{' {
			checkForms(t, schema, bytes.TrimSpace(arguments))
		}
	})
}

// checkForms checks that arguments which the tool accepts arrive unchanged: nested always, flat where no name is in the way, and as they are.
func checkForms(t *testing.T, schema, arguments []byte) {
	t.Helper()
	compiled, err := tryCompile(schema)
	if err != nil || !accepts(t, compiled, string(arguments)) {
		return
	}
	if forward, said, err := intent.Unwrap(schema, []byte(`{"model_intent":"Looking","properties":`+string(arguments)+`}`)); err != nil || said != "Looking" || !bytes.Equal(forward, arguments) {
		t.Errorf("nested: %s for %s became %s, %q, %v", arguments, schema, forward, said, err)
	}
	if rpc.Find(arguments, "properties") != nil || rpc.Find(arguments, "model_intent") != nil {
		return
	}
	if forward, said, err := intent.Unwrap(schema, arguments); err != nil || said != "" || !bytes.Equal(forward, arguments) {
		t.Errorf("as they are: %s for %s became %s, %q, %v", arguments, schema, forward, said, err)
	}
	members, err := rpc.Members(nil, arguments)
	if err != nil {
		t.Fatal(err)
	}
	withLabel := rpc.AppendObject(nil, append(members, rpc.Member{Name: "model_intent", Value: []byte(`"Looking"`)}))
	forward, said, err := intent.Unwrap(schema, withLabel)
	if err != nil || said != "Looking" || !sameJSON(t, forward, arguments) {
		t.Errorf("flat: %s for %s became %s, %q, %v", arguments, schema, forward, said, err)
	}
}

func sameJSON(t *testing.T, a, b []byte) bool {
	t.Helper()
	decode := func(text []byte) (value any) {
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.UseNumber()
		if err := decoder.Decode(&value); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		return value
	}
	return reflect.DeepEqual(decode(a), decode(b))
}

func BenchmarkUnwrap(b *testing.B) {
	for says, schema := range map[string]string{"plain": plain, "an argument called properties": optProps} {
		b.Run(says, func(b *testing.B) {
			arguments := []byte(`{"model_intent":"Reading","properties":{"path":"` + strings.Repeat("a", 1000) + `"}}`)
			read := intent.Read([]byte(schema))
			b.ReportAllocs()
			for b.Loop() {
				read.Unwrap(arguments)
			}
		})
	}
}

// BenchmarkUnwrapMany is a schema and a call that are made to cost: each requires, or gives, as many names as it may.
func BenchmarkUnwrapMany(b *testing.B) {
	names := make([]string, 20_000)
	for i := range names {
		names[i] = fmt.Sprintf(`"n%d"`, i)
	}
	schema := []byte(`{"properties":{"properties":{}},"required":[` + strings.Join(names, ",") + `]}`)
	arguments := []byte(`{"model_intent":"x","properties":{` + strings.Join(names, ":1,") + `:1}}`)
	for b.Loop() {
		if _, _, err := intent.Unwrap(schema, arguments); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		intent.Read([]byte(optProps))
	}
}

func BenchmarkWrap(b *testing.B) {
	for says, schema := range map[string]string{"plain": plain, "recursive": `{` + treeNode + `}`, "256 KiB, 100 deep": hostile(100, 256<<10)} {
		b.Run(says, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(schema)))
			for b.Loop() {
				intent.Wrap([]byte(schema))
			}
		})
	}
}

// hostile is a deep schema with as much as possible at the bottom.
func hostile(depth, size int) string {
	levels := depth / 2
	return strings.Repeat(`{"properties":{"a":`, levels) + `{"anyOf":[` + strings.Repeat(`{"$ref":"#"},`, size/13) + `{}]}` + strings.Repeat(`}}`, levels)
}
