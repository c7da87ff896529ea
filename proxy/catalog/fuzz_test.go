package catalog_test

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"mcpsidecar/proxy/catalog"
	"mcpsidecar/proxy/rpc"
)

// FuzzBuild holds that no list makes Build panic, and that every tool which is kept is shown as one strict JSON object with exactly one name.
func FuzzBuild(f *testing.F) {
	for _, seed := range []string{
		named("a"), `{}`, `{"name":"a"}`, `[`, `{"name":"a","inputSchema":{`, `"`, ` {"name":"\ud83d\ude00","inputSchema":{"x-mcp-header":1}} `,
		`{"inputSchema":{"properties":{"p":{"type":"string","x-mcp-header":"R","description":"a\u200b"}},"$defs":{"d":{"$ref":"#/$defs/d"}}},"name":"a","description":"\u001b[1m","outputSchema":[{"title":"\r"}]}`,
		`{"name":"a","inputSchema":{"anyOf":[{"items":[[{}]]}],"const":{"description":"\u0000"}},"annotations":{"title":"\u202e"}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, definition []byte) {
		c := catalog.Build([][]byte{definition, []byte(named("other"))}, catalog.Limits{})
		if rpc.Valid(definition) != nil {
			return // it would not have come this far; not panicking is enough
		}
		for i := range c.Tools {
			tool := &c.Tools[i]
			for _, intent := range []bool{false, true} {
				shown := tool.AppendExposed(nil, "exposed", intent)
				if err := rpc.Valid(shown); err != nil {
					t.Fatalf("%s is shown as %s: %v", definition, shown, err)
				}
				members, err := rpc.Members(nil, bytes.TrimSpace(shown))
				if err != nil {
					t.Fatal(err)
				}
				count := 0
				for _, m := range members {
					if m.Name == "name" && string(m.Value) == `"exposed"` {
						count++
					}
				}
				if count != 1 {
					t.Fatalf("%d names in %s", count, shown)
				}
			}
			if !tool.Cleaned && tool.Name != "other" && string(tool.AppendExposed(nil, tool.Name, false)) != respelled(definition, tool.Name) {
				t.Fatalf("%s is shown as %s", definition, tool.AppendExposed(nil, tool.Name, false))
			}
			if c.Find(tool.Name) != tool {
				t.Fatalf("%q is not found", tool.Name)
			}
		}
	})
}

// respelled writes the name of a definition as AppendExposed would, whatever escapes it had.
func respelled(definition []byte, name string) string {
	raw := rpc.Find(bytes.TrimSpace(definition), "name")
	at := len(definition) - len(bytes.TrimLeft(definition, " \t\r\n"))
	members, _ := rpc.Members(nil, bytes.TrimSpace(definition))
	for _, m := range members {
		at += bytes.Index(definition[at:], m.Raw)
		at += len(m.Raw)
		at += bytes.Index(definition[at:], m.Value)
		if m.Name == "name" {
			break
		}
		at += len(m.Value)
	}
	return string(definition[:at]) + string(rpc.AppendString(nil, name)) + string(definition[at+len(raw):])
}

// sendable says whether a header value is visible ASCII with spaces, none of them at an end.
func sendable(value string) bool {
	return strings.Trim(value, " ") == value && !strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' })
}

// FuzzHeaderValue holds that every string survives its way through a header, and that the header is one.
func FuzzHeaderValue(f *testing.F) {
	for _, seed := range []string{"", "us-west1", " a ", "é", "=?base64?dXM=?=", "=?base64?=", "a\r\nb: c", "\t", "=?base64??="} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		encoded := rpc.EncodeHeader(value)
		if !sendable(encoded) {
			t.Fatalf("%q is no header value", encoded)
		}
		if utf8.ValidString(value) {
			if got, err := rpc.DecodeHeader(encoded); err != nil || got != value {
				t.Fatalf("%q became %q (%v)", value, got, err)
			}
		}
		if decoded, err := rpc.DecodeHeader(value); err == nil {
			if again, err := rpc.DecodeHeader(rpc.EncodeHeader(decoded)); err != nil || again != decoded {
				t.Fatalf("%q was read as %q, then as %q (%v)", value, decoded, again, err)
			}
		}
	})
}

// FuzzHeaders holds that what SetHeaders sends CheckHeaders accepts, that every header can be sent, and that nothing else is.
func FuzzHeaders(f *testing.F) {
	for _, seed := range []string{`{"region":"us","count":42.0,"flag":false,"where":{"in":{"zone":" z"}}}`, `{"count":1e15}`, `{"count":1e-1}`, `{"region":{}}`, `null`, `[]`, `{"where":{"in":[]}}`, `{"region":`} {
		f.Add([]byte(seed))
	}
	tool := mirrored(f)
	f.Fuzz(func(t *testing.T, arguments []byte) {
		header := make(http.Header)
		err := tool.SetHeaders(header, arguments)
		for name, values := range header {
			if len(values) != 1 || !sendable(values[0]) || !slices.Contains([]string{"Mcp-Param-Region", "Mcp-Param-Count", "Mcp-Param-Flag", "Mcp-Param-Tenant-Id_x"}, name) {
				t.Fatalf("%s became %q: %q", arguments, name, values)
			}
		}
		if rpc.Valid(arguments) != nil {
			return
		}
		if err != nil {
			if tool.CheckHeaders(header, arguments) == nil {
				t.Fatalf("%s cannot be mirrored (%v), but passes", arguments, err)
			}
			return
		}
		if err := tool.CheckHeaders(header, arguments); err != nil {
			t.Fatalf("%s became %v: %v", arguments, header, err)
		}
	})
}
