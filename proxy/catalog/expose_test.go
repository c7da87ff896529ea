package catalog_test

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"

	"mcpsidecar/proxy/catalog"
	"mcpsidecar/proxy/intent"
	"mcpsidecar/proxy/rpc"
)

// described returns the description that a model is shown.
func described(t testing.TB, tool *catalog.Tool) string {
	t.Helper()
	var shown struct{ Description string }
	if err := json.Unmarshal(tool.AppendExposed(nil, "x", false), &shown); err != nil {
		t.Fatal(err)
	}
	return shown.Description
}

func TestOnlyTheNameIsReplaced(t *testing.T) {
	tests := []struct{ what, listed, shown string }{
		{"the name first", `{"name":"a","inputSchema":{}}`, `{"name":"s__a","inputSchema":{}}`},
		{"the name last", `{"inputSchema":{},"name":"a"}`, `{"inputSchema":{},"name":"s__a"}`},
		{"white space stays", "{ \"name\" :\t\"a\" ,\n \"inputSchema\" : { } }", "{ \"name\" :\t\"s__a\" ,\n \"inputSchema\" : { } }"},
		{"other names stay", `{"annotations":{"name":"a"},"inputSchema":{"properties":{"name":{"type":"string"}}},"name":"a","_meta":{"name":"a"}}`,
			`{"annotations":{"name":"a"},"inputSchema":{"properties":{"name":{"type":"string"}}},"name":"s__a","_meta":{"name":"a"}}`},
		{"unknown members survive", `{"name":"a","inputSchema":{"$schema":"x","unknown":[1.50,1e2,null]},"icons":[{"src":"data:,"}],"execution":{"taskSupport":"optional"},"vendor/x":{"deep":[[]]}}`,
			`{"name":"s__a","inputSchema":{"$schema":"x","unknown":[1.50,1e2,null]},"icons":[{"src":"data:,"}],"execution":{"taskSupport":"optional"},"vendor/x":{"deep":[[]]}}`},
		{"escapes stay as they were written", `{"name":"a","description":"\"\\\/\n\t <b> ü","inputSchema":{}}`, `{"name":"s__a","description":"\"\\\/\n\t <b> ü","inputSchema":{}}`},
		{"an escaped member name stays", `{"n\u0061me":"a","inputSchema":{}}`, `{"n\u0061me":"s__a","inputSchema":{}}`},
		{"a reference to the network stays", `{"name":"a","inputSchema":{"$ref":"http://canary.example/x"},"outputSchema":{"$ref":"http://canary.example/y"}}`,
			`{"name":"s__a","inputSchema":{"$ref":"http://canary.example/x"},"outputSchema":{"$ref":"http://canary.example/y"}}`},
	}
	for _, test := range tests {
		t.Run(test.what, func(t *testing.T) {
			tool := only(t, test.listed)
			if got := string(tool.AppendExposed([]byte("["), "s__a", false)); got != "["+test.shown {
				t.Errorf("shown is\n%s, want\n[%s", got, test.shown)
			}
			if tool.Cleaned {
				t.Error("nothing had to be cleaned")
			}
		})
	}
}

func TestTheExposedNameIsEscaped(t *testing.T) {
	shown := only(t, named("a")).AppendExposed(nil, "a\"\n\\", false)
	var got struct{ Name string }
	if err := json.Unmarshal(shown, &got); err != nil || got.Name != "a\"\n\\" {
		t.Errorf("%s: %v", shown, err)
	}
}

func TestTheIntentWrapperReplacesTheSchemaAlone(t *testing.T) {
	const schema = `{"type":"object","properties":{"q":{"type":"string","description":"what to\u200b find"}},"required":["q"]}`
	clean := strings.Replace(schema, `\u200b`, "", 1)
	for _, definition := range []string{
		`{"name":"a","x":1,"inputSchema":` + schema + `,"y":2}`,
		`{"x":1,"inputSchema":` + schema + `,"y":2,"name":"a"}`,
	} {
		tool := only(t, definition)
		want := strings.Replace(strings.Replace(definition, schema, string(intent.Wrap([]byte(clean))), 1), `"a"`, `"s__a"`, 1)
		for range 2 {
			if got := string(tool.AppendExposed(nil, "s__a", true)); got != want {
				t.Errorf("shown is\n%s, want\n%s", got, want)
			}
		}
		if got := string(tool.AppendExposed(nil, "s__a", false)); strings.Contains(got, "model_intent") {
			t.Errorf("without the wrapper it is %s", got)
		}
		if string(tool.InputSchema()) != schema {
			t.Errorf("the raw schema is %s", tool.InputSchema())
		}
	}
}

func TestExposingIsSafeForConcurrentUse(t *testing.T) {
	tool := only(t, `{"name":"a","inputSchema":{"type":"object","properties":{"q":{"type":"string","x-mcp-header":"Q"}}}}`)
	want := string(tool.AppendExposed(nil, "n", false))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			wrapped := tool.AppendExposed(nil, "n", true)
			if err := rpc.Valid(wrapped); err != nil {
				t.Error(err)
			}
			if got := string(tool.AppendExposed(nil, "n", false)); got != want {
				t.Error("the definition changed")
			}
		})
	}
	wg.Wait()
}
