package catalog_test

import (
	"net/http"
	"strings"
	"testing"

	"mcpsidecar/proxy/catalog"
	"mcpsidecar/proxy/rpc"
)

// withSchema is a definition with this input schema.
func withSchema(schema string) string { return `{"name":"a","inputSchema":` + schema + `}` }

// property is a schema with one property p of this schema.
func property(schema string) string { return `{"type":"object","properties":{"p":` + schema + `}}` }

// P-21 and the specification's section "Schema Extension": one bad annotation excludes the tool, and only that tool.
func TestWhichAnnotationsAreValid(t *testing.T) {
	const leaf = `{"type":"string","x-mcp-header":"Region"}`
	tests := []struct {
		what, schema string
		reason       string // empty: the tool is kept
	}{
		{"a string", property(leaf), ""},
		{"an integer", property(`{"type":"integer","x-mcp-header":"N"}`), ""},
		{"a boolean", property(`{"x-mcp-header":"B","type":"boolean"}`), ""},
		{"a nested property", property(property(property(leaf))), ""},
		{"every character of a token", property(`{"type":"string","x-mcp-header":"!#$%&'*+-.^_` + "`" + `|~09azAZ"}`), ""},
		{"the name of a standard header", property(`{"type":"string","x-mcp-header":"Method"}`), ""},
		{"two that differ", `{"properties":{"a":{"type":"string","x-mcp-header":"A"},"b":{"type":"string","x-mcp-header":"B"}}}`, ""},
		{"a property that is called like the keyword", `{"properties":{"x-mcp-header":{"type":"number"}}}`, ""},
		{"a property that is called properties", `{"properties":{"properties":` + leaf + `}}`, ""},
		{"data that looks like an annotation", property(`{"default":` + leaf + `,"enum":[` + leaf + `],"const":` + leaf + `,"examples":[` + leaf + `]}`), ""},

		{"an empty name", property(`{"type":"string","x-mcp-header":""}`), "not a header name"},
		{"a space", property(`{"type":"string","x-mcp-header":"My Region"}`), "not a header name"},
		{"a colon", property(`{"type":"string","x-mcp-header":"Region:Primary"}`), "not a header name"},
		{"not ASCII", property(`{"type":"string","x-mcp-header":"Région"}`), "not a header name"},
		{"a control character", property(`{"type":"string","x-mcp-header":"Region\t1"}`), "not a header name"},
		{"CR LF", property(`{"type":"string","x-mcp-header":"A\r\nAuthorization: b"}`), "not a header name"},
		{"a name that is no string", property(`{"type":"string","x-mcp-header":7}`), "not a header name"},
		{"a name that is null", property(`{"type":"string","x-mcp-header":null}`), "not a header name"},
		{"a name that is an object", property(`{"type":"string","x-mcp-header":{}}`), "not a header name"},
		{"an escaped keyword", property(`{"type":"string","x-mcp-\u0068eader":""}`), "not a header name"},

		{"a number", property(`{"type":"number","x-mcp-header":"N"}`), "not at a property of type"},
		{"an array", property(`{"type":"array","x-mcp-header":"N"}`), "not at a property of type"},
		{"an object", property(`{"type":"object","x-mcp-header":"N"}`), "not at a property of type"},
		{"null", property(`{"type":"null","x-mcp-header":"N"}`), "not at a property of type"},
		{"a list of types", property(`{"type":["string","null"],"x-mcp-header":"N"}`), "not at a property of type"},
		{"no type", property(`{"x-mcp-header":"N"}`), "not at a property of type"},
		{"a type behind a reference", `{"properties":{"p":{"$ref":"#/$defs/d","x-mcp-header":"N"}},"$defs":{"d":{"type":"string"}}}`, "not at a property of type"},

		{"the same name twice", `{"properties":{"a":` + leaf + `,"b":` + leaf + `}}`, "more than once"},
		{"the same name in another case", `{"properties":{"a":` + leaf + `,"b":{"type":"string","x-mcp-header":"rEGION"}}}`, "more than once"},
		{"the same name further in", `{"properties":{"a":` + leaf + `,"b":` + property(leaf) + `}}`, "more than once"},

		{"the schema as a whole", `{"type":"string","x-mcp-header":"N"}`, "as a whole"},
		{"items", property(`{"type":"array","items":` + leaf + `}`), "properties alone"},
		{"properties of items", property(`{"items":` + property(leaf) + `}`), "properties alone"},
		{"prefixItems", property(`{"prefixItems":[` + leaf + `]}`), "properties alone"},
		{"oneOf", property(`{"oneOf":[` + leaf + `]}`), "properties alone"},
		{"anyOf at the root", `{"anyOf":[` + property(leaf) + `]}`, "properties alone"},
		{"allOf", `{"allOf":[` + property(leaf) + `]}`, "properties alone"},
		{"not", `{"not":` + property(leaf) + `}`, "properties alone"},
		{"if", `{"if":` + property(leaf) + `}`, "properties alone"},
		{"then", `{"then":` + property(leaf) + `}`, "properties alone"},
		{"else", `{"else":` + property(leaf) + `}`, "properties alone"},
		{"$defs", `{"$defs":{"d":` + leaf + `}}`, "properties alone"},
		{"definitions", `{"definitions":{"d":` + property(leaf) + `}}`, "properties alone"},
		{"the target of a reference", `{"properties":{"p":{"$ref":"#/$defs/d"}},"$defs":{"d":` + leaf + `}}`, "properties alone"},
		{"patternProperties", `{"patternProperties":{".*":` + leaf + `}}`, "properties alone"},
		{"additionalProperties", `{"additionalProperties":` + leaf + `}`, "properties alone"},
		{"dependentSchemas", `{"dependentSchemas":{"a":` + property(leaf) + `}}`, "properties alone"},
		{"an unknown keyword", `{"x-vendor":` + leaf + `}`, "properties alone"},
		{"an array of properties", `{"properties":[` + leaf + `]}`, "properties alone"},
	}
	for _, test := range tests {
		t.Run(test.what, func(t *testing.T) {
			c := build(t, withSchema(test.schema), named("good"))
			if test.reason == "" {
				if names(c) != "a good" {
					t.Errorf("the tool was dropped: %q", c.Warnings)
				}
				return
			}
			if names(c) != "good" {
				t.Error("the tool is offered")
			}
			warned(t, c, `"a"`, "dropped", "x-mcp-header", test.reason)
		})
	}
}

func TestAnnotationsOfAnOutputSchemaMeanNothing(t *testing.T) {
	tool := only(t, `{"name":"a","inputSchema":{},"outputSchema":{"items":{"x-mcp-header":""}}}`)
	if tool.HasHeaders() {
		t.Error("an output is mirrored")
	}
}

// mirrored has one argument of each type, and one further in.
func mirrored(t testing.TB) *catalog.Tool {
	return only(t, withSchema(`{"type":"object","properties":{
		"region":{"type":"string","x-mcp-header":"Region"},
		"count":{"type":"integer","x-mcp-header":"Count"},
		"flag":{"type":"boolean","x-mcp-header":"Flag"},
		"where":{"type":"object","properties":{"in":{"type":"object","properties":{"zone":{"type":"string","x-mcp-header":"tENANT-id_x"}}}}},
		"query":{"type":"string"}}}`))
}

func TestArgumentsBecomeHeaders(t *testing.T) {
	const largest, tooLarge = "9007199254740991", "9007199254740992"
	tests := []struct {
		arguments string
		header    string // as written on the wire, without Mcp-Param-
		fails     bool
	}{
		{`{"region":"us-west1"}`, "Region: us-west1", false},
		{`{"region":"us west 1"}`, "Region: us west 1", false},
		{`{"region":"Hello, 世界"}`, "Region: =?base64?SGVsbG8sIOS4lueVjA==?=", false},
		{`{"region":" padded "}`, "Region: =?base64?IHBhZGRlZCA=?=", false},
		{`{"region":"line1\nline2"}`, "Region: =?base64?bGluZTEKbGluZTI=?=", false},
		{`{"region":"a\r\nAuthorization: b"}`, "Region: =?base64?YQ0KQXV0aG9yaXphdGlvbjogYg==?=", false},
		{`{"region":"=?base64?literal?="}`, "Region: =?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?=", false},
		{`{"region":""}`, "Region: ", false},
		{`{"r\u0065gion":"\u0075s"}`, "Region: us", false},
		{`{"count":42}`, "Count: 42", false},
		{`{"count":-7}`, "Count: -7", false},
		{`{"count":-0}`, "Count: 0", false},
		{`{"count":42.0}`, "Count: 42", false},
		{`{"count":4.2e1}`, "Count: 42", false},
		{`{"count":4200E-2}`, "Count: 42", false},
		{`{"count":` + largest + `}`, "Count: " + largest, false},
		{`{"count":-` + largest + `}`, "Count: -" + largest, false},
		{`{"count":0e999999999999999999999}`, "Count: 0", false},
		{`{"flag":true}`, "Flag: true", false},
		{`{"flag":false}`, "Flag: false", false},
		{`{"where":{"in":{"zone":"z"}}}`, "Tenant-Id_x: z", false},
		{`{"where":{"x":1,"in":{"y":[{"zone":1}],"zone":"z"}}}`, "Tenant-Id_x: z", false},
		{`{ "query" : "SELECT" , "region" : "x" }`, "Region: x", false},

		// A value that does not fit the schema is mirrored as what it is: the server that refuses it says so better.
		{`{"region":7}`, "Region: 7", false},
		{`{"count":"7"}`, "Count: 7", false},

		{`{"region":null}`, "", false},
		{`{"query":"SELECT"}`, "", false},
		{`{"where":null}`, "", false},
		{`{"where":[{"in":{"zone":"z"}}]}`, "", false},
		{`{"where":"in"}`, "", false},
		{`{"zone":"z","in":{"zone":"z"}}`, "", false},
		{`{"Region":"x"}`, "", false},
		{`{}`, "", false},
		{`null`, "", false},
		{``, "", false},

		{`{"count":` + tooLarge + `}`, "Count", true},
		{`{"count":-` + tooLarge + `}`, "Count", true},
		{`{"count":1e400}`, "Count", true},
		{`{"count":1e999999999999999999999}`, "Count", true},
		{`{"count":1e-999999999999999999999}`, "Count", true},
		{`{"count":1e9223372036854775807}`, "Count", true},
		{`{"count":10e9223372036854775807}`, "Count", true},
		{`{"count":42.5}`, "Count", true},
		{`{"count":{}}`, "Count", true},
		{`{"region":["x"]}`, "Region", true},
		{`{"where":{"in":{"zone":{"deeper":1}}}}`, "Tenant-Id_x", true},
	}
	for _, test := range tests {
		t.Run(test.arguments, func(t *testing.T) {
			tool := mirrored(t)
			header := make(http.Header)
			err := tool.SetHeaders(header, []byte(test.arguments))
			if test.fails {
				if err == nil || !strings.Contains(err.Error(), "Mcp-Param-"+test.header) {
					t.Errorf("the error is %v, and the header %v", err, header)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := wire(t, header); got != test.header {
				t.Errorf("the header is %q, want %q", got, test.header)
			}
			if err := tool.CheckHeaders(header, []byte(test.arguments)); err != nil {
				t.Errorf("what was set does not pass: %v", err)
			}
		})
	}
}

// wire writes the headers as they are sent, without their prefix.
func wire(t *testing.T, header http.Header) string {
	t.Helper()
	var lines []string
	for name, values := range header {
		short, found := strings.CutPrefix(name, "Mcp-Param-")
		if !found || len(values) != 1 {
			t.Errorf("unexpected header %q: %q", name, values)
		}
		lines = append(lines, short+": "+values[0])
	}
	return strings.Join(lines, "\n")
}

func TestSetHeadersReplacesWhatStoodThere(t *testing.T) {
	header := http.Header{"Mcp-Param-Region": {"old", "older"}, "Mcp-Param-Count": {"1"}, "Mcp-Param-Other": {"stays"}}
	if err := mirrored(t).SetHeaders(header, []byte(`{"region":"new","count":null}`)); err != nil {
		t.Fatal(err)
	}
	if len(header) != 2 || len(header["Mcp-Param-Region"]) != 1 || header.Get("Mcp-Param-Region") != "new" || header.Get("Mcp-Param-Other") != "stays" {
		t.Errorf("the headers are %v", header)
	}
}

func TestAToolWithoutAnnotationsHasNoHeaders(t *testing.T) {
	tool := only(t, named("a"))
	header := http.Header{"Mcp-Param-Region": {"x"}}
	if tool.HasHeaders() || tool.SetHeaders(header, []byte(`{"region":"y"}`)) != nil || tool.CheckHeaders(header, []byte(`{"region":"y"}`)) != nil || header.Get("Mcp-Param-Region") != "x" {
		t.Error("a header that no annotation names was looked at")
	}
	if !mirrored(t).HasHeaders() {
		t.Error("the annotated tool has none")
	}
}

// The specification's tables of server behaviour.
func TestHeadersAreHeldAgainstTheArguments(t *testing.T) {
	tests := []struct {
		what      string
		arguments string
		sent      []string // name: value
		problem   string   // empty: they agree
	}{
		{"nothing on either side", `{}`, nil, ""},
		{"a value and its header", `{"region":"us"}`, []string{"Region: us"}, ""},
		{"the header's name in another case", `{"region":"us"}`, []string{"rEGION: us"}, ""},
		{"white space around the value", `{"region":"us"}`, []string{"Region:  us\t"}, ""},
		{"encoded though it need not be", `{"region":"us"}`, []string{"Region: =?base64?dXM=?="}, ""},
		{"encoded because it must be", `{"region":"日本語"}`, []string{"Region: =?base64?5pel5pys6Kqe?="}, ""},
		{"an empty string", `{"region":""}`, []string{"Region: "}, ""},
		{"something that only looks encoded", `{"region":"=?base64?dXM="}`, []string{"Region: =?base64?dXM="}, ""},
		{"marks in upper case are a literal", `{"region":"=?BASE64?dXM=?="}`, []string{"Region: =?BASE64?dXM=?="}, ""},
		{"an integer", `{"count":42}`, []string{"Count: 42"}, ""},
		{"the same integer, written otherwise", `{"count":42}`, []string{"Count: 42.0"}, ""},
		{"and the other way round", `{"count":42.0}`, []string{"Count: 42"}, ""},
		{"with an exponent", `{"count":42e1}`, []string{"Count: 4200e-1"}, ""},
		{"a boolean", `{"flag":true}`, []string{"Flag: true"}, ""},
		{"further in", `{"where":{"in":{"zone":"z"}}}`, []string{"Tenant-ID_X: z"}, ""},
		{"a header that nobody annotated", `{}`, []string{"Unknown: \x01"}, ""},

		{"another value", `{"region":"us"}`, []string{"Region: eu"}, "Mcp-Param-Region does not match"},
		{"another case of the value", `{"region":"us"}`, []string{"Region: US"}, "Mcp-Param-Region does not match"},
		{"encoded, another value", `{"region":"us"}`, []string{"Region: =?base64?ZXU=?="}, "Mcp-Param-Region does not match"},
		{"the encoding of the encoding", `{"region":"=?base64?dXM=?="}`, []string{"Region: =?base64?dXM=?="}, "Mcp-Param-Region does not match"},
		{"another integer", `{"count":42}`, []string{"Count: 43"}, "Mcp-Param-Count does not match"},
		{"an integer as nobody writes it", `{"count":42}`, []string{"Count: +42"}, "Mcp-Param-Count does not match"},
		{"an integer with a leading zero", `{"count":42}`, []string{"Count: 042"}, "Mcp-Param-Count does not match"},
		{"an integer in hexadecimal", `{"count":42}`, []string{"Count: 0x2a"}, "Mcp-Param-Count does not match"},
		{"an integer that floating point would round", `{"count":9007199254740991}`, []string{"Count: 9007199254740991.4"}, "Mcp-Param-Count does not match"},
		{"a string of digits is no number", `{"region":"42"}`, []string{"Region: 42.0"}, "Mcp-Param-Region does not match"},
		{"a boolean in upper case", `{"flag":true}`, []string{"Flag: True"}, "Mcp-Param-Flag does not match"},
		{"the other boolean", `{"flag":true}`, []string{"Flag: false"}, "Mcp-Param-Flag does not match"},
		{"the header left out", `{"region":"us"}`, nil, "Mcp-Param-Region is missing"},
		{"one of two left out", `{"region":"us","count":1}`, []string{"Region: us"}, "Mcp-Param-Count is missing"},
		{"sent without an argument", `{}`, []string{"Region: us"}, "Mcp-Param-Region was sent, but"},
		{"sent, empty, without an argument", `{}`, []string{"Region: "}, "Mcp-Param-Region was sent, but"},
		{"sent for null", `{"region":null}`, []string{"Region: null"}, "Mcp-Param-Region was sent, but"},
		{"sent without any arguments", ``, []string{"Region: us"}, "Mcp-Param-Region was sent, but"},
		{"sent twice, alike", `{"region":"us"}`, []string{"Region: us", "region: us"}, "Mcp-Param-Region was sent 2 times"},
		{"sent twice, unlike", `{"region":"us"}`, []string{"Region: us", "Region: eu"}, "Mcp-Param-Region was sent 2 times"},
		{"invalid characters", `{"region":"é"}`, []string{"Region: é"}, "Mcp-Param-Region has characters"},
		{"a control character", `{"region":"a\u0001"}`, []string{"Region: a\x01"}, "Mcp-Param-Region has characters"},
		{"Base64 without its padding", `{"region":"Hello"}`, []string{"Region: =?base64?SGVsbG8?="}, "Mcp-Param-Region is not valid Base64"},
		{"characters that are not Base64", `{"region":"Hello"}`, []string{"Region: =?base64?SGVs!!!bG8=?="}, "Mcp-Param-Region is not valid Base64"},
		{"an argument that no header carries", `{"region":["us"]}`, []string{"Region: us"}, "Mcp-Param-Region mirrors an argument"},
		{"an integer beyond the safe range", `{"count":9007199254740993}`, []string{"Count: 9007199254740993"}, "Mcp-Param-Count mirrors an argument"},
	}
	for _, test := range tests {
		t.Run(test.what, func(t *testing.T) {
			header := make(http.Header)
			for _, line := range test.sent {
				name, value, _ := strings.Cut(line, ": ")
				header.Add("Mcp-Param-"+name, value)
			}
			err := mirrored(t).CheckHeaders(header, []byte(test.arguments))
			switch {
			case test.problem == "" && err != nil:
				t.Errorf("unexpected: %v", err)
			case test.problem != "" && (err == nil || !strings.Contains(err.Error(), test.problem)):
				t.Errorf("the error is %v, want %q", err, test.problem)
			}
		})
	}
}

// A client mirrors by the schema that it was shown. The wrapped schema is one that a client accepts, and asks for the same headers further in.
func TestHeadersOfAWrappedCall(t *testing.T) {
	tool := mirrored(t)
	shown := only(t, string(tool.AppendExposed(nil, "a", true)))
	tests := []struct{ arguments, header, problem string }{
		{`{"model_intent":"looking","properties":{"region":"us","where":{"in":{"zone":"z"}}}}`, "us", ""},
		{`{"model_intent":"looking","properties":{"region":"us"}}`, "eu", "does not match"},
		{`{"model_intent":"looking","properties":{"region":"us"}}`, "", "is missing"},
		{`{"model_intent":"looking","properties":{"region":null}}`, "", ""},
		{`{"model_intent":"looking","region":"us"}`, "", ""},
		{`{"model_intent":"looking","region":"us"}`, "us", "was sent, but"},
		{`{"region":"us"}`, "", ""},
		{`{"properties":"us"}`, "", ""},
		{`{}`, "", ""},
		{``, "", ""},
	}
	for _, test := range tests {
		t.Run(test.arguments+test.header, func(t *testing.T) {
			header := make(http.Header)
			if test.header != "" {
				header.Set("Mcp-Param-Region", test.header)
			}
			if strings.Contains(test.arguments, "zone") {
				header.Set("Mcp-Param-Tenant-Id_X", "z")
			}
			err := tool.CheckWrappedHeaders(header, []byte(test.arguments))
			if (err == nil) != (test.problem == "") || err != nil && !strings.Contains(err.Error(), test.problem) {
				t.Errorf("the error is %v, want %q", err, test.problem)
			}
			if again := shown.CheckHeaders(header, []byte(test.arguments)); (again == nil) != (err == nil) {
				t.Errorf("by the schema that was shown it is %v, by ours %v", again, err)
			}
		})
	}
	if only(t, named("a")).CheckWrappedHeaders(http.Header{"Mcp-Param-Region": {"x"}}, nil) != nil {
		t.Error("a tool without annotations looks at headers")
	}
}

func TestHeaderErrorsDoNotRepeatValues(t *testing.T) {
	header := http.Header{"Mcp-Param-Region": {"canary-header"}}
	err := mirrored(t).CheckHeaders(header, []byte(`{"region":"canary-body"}`))
	if err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("the error is %v", err)
	}
}

// The specification's section "Value Encoding".
func TestHeaderValuesAreEncoded(t *testing.T) {
	tests := []struct{ value, header string }{
		{"us-west1", "us-west1"},
		{"us west 1", "us west 1"},
		{"", ""},
		{"~!\"#$%&'()*+,/:;<=>?@[\\]^_`{|}", "~!\"#$%&'()*+,/:;<=>?@[\\]^_`{|}"},
		{" us-west1", "=?base64?IHVzLXdlc3Qx?="},
		{"us-west1 ", "=?base64?dXMtd2VzdDEg?="},
		{" us-west1 ", "=?base64?IHVzLXdlc3QxIA==?="},
		{"\tindented", "=?base64?CWluZGVudGVk?="},
		{"a\tb", "=?base64?YQli?="},
		{"日本語", "=?base64?5pel5pys6Kqe?="},
		{"line1\r\nline2", "=?base64?bGluZTENCmxpbmUy?="},
		{"\x00", "=?base64?AA==?="},
		{"\x7f", "=?base64?fw==?="},
		{"=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="},
		{"=?base64?=", "=?base64?PT9iYXNlNjQ/PQ==?="},
		{"=?base64?open", "=?base64?open"},
		{"=?BASE64?literal?=", "=?BASE64?literal?="},
	}
	for _, test := range tests {
		if got := rpc.EncodeHeader(test.value); got != test.header {
			t.Errorf("%q is encoded as %q, want %q", test.value, got, test.header)
		}
		if got, err := rpc.DecodeHeader(test.header); err != nil || got != test.value {
			t.Errorf("%q is decoded as %q (%v), want %q", test.header, got, err, test.value)
		}
	}
}

func TestHeaderValuesAreDecodedStrictly(t *testing.T) {
	tests := []struct{ what, header, value string }{
		{"white space around it", " \tus \t", "us"},
		{"a tab inside", "a\tb", "a\tb"},
		{"an empty value, encoded", "=?base64??=", ""},
		{"no prefix", "SGVsbG8=", "SGVsbG8="},
		{"no suffix", "=?base64?SGVsbG8=", "=?base64?SGVsbG8="},
	}
	for _, test := range tests {
		if got, err := rpc.DecodeHeader(test.header); err != nil || got != test.value {
			t.Errorf("%s: %q (%v), want %q", test.what, got, err, test.value)
		}
	}
	for what, header := range map[string]string{
		"a line break":             "a\nb",
		"not ASCII":                "é",
		"DEL":                      "a\x7f",
		"a NUL":                    "\x00",
		"no padding":               "=?base64?SGVsbG8?=",
		"a foreign alphabet":       "=?base64?_-_-?=",
		"bits after the end":       "=?base64?dXN=?=",
		"a space in it":            "=?base64?dX M=?=",
		"bytes that are no UTF-8":  "=?base64?/w==?=",
		"marks that share a ?":     "=?base64?=",
		"two values in one":        "=?base64?dXM=dXM=?=",
		"a sentinel in a sentinel": "=?base64?=?base64?dXM=?=?=",
	} {
		if got, err := rpc.DecodeHeader(header); err == nil {
			t.Errorf("%s: %q was read as %q", what, header, got)
		}
	}
}
