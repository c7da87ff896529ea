package catalog_test

import (
	"fmt"
	"net/http"
	"testing"

	"mcpsidecar/proxy/catalog"
)

// realistic are tools of the size and shape that servers in the field list: about 1.5 KiB each.
func realistic(n int) [][]byte {
	definitions := make([][]byte, n)
	for i := range definitions {
		definitions[i] = fmt.Appendf(nil, `{"name":"search_issues_%d","title":"Search issues","description":"Searches issues and pull requests.\n\nUse the \"query\" syntax: is:open label:bug author:alice. Results are paged; ask for the next page with the cursor that the last one returned. `+
			`The text of an issue may be long, so ask for the fields that you need.","inputSchema":{"type":"object","properties":{"query":{"type":"string","description":"What to search for, in the query syntax"},"owner":{"type":"string","description":"Owner of the repository","x-mcp-header":"Owner"},`+
			`"repo":{"type":"string","description":"Name of the repository"},"state":{"type":"string","enum":["open","closed","all"],"default":"open","description":"Which states to include"},"labels":{"type":"array","items":{"type":"string"},"description":"All of these must be set"},`+
			`"sort":{"type":"string","enum":["created","updated","comments"]},"perPage":{"type":"integer","minimum":1,"maximum":100,"default":30,"description":"How many results on a page"},"page":{"type":"integer","minimum":1},"fields":{"type":"object","properties":{"body":{"type":"boolean"},"comments":{"type":"boolean"}}}},`+
			`"required":["query"],"additionalProperties":false},"outputSchema":{"type":"object","properties":{"items":{"type":"array","items":{"type":"object","properties":{"number":{"type":"integer"},"title":{"type":"string"}}}},"next":{"type":["string","null"]}}},`+
			`"annotations":{"title":"Search issues","readOnlyHint":true,"openWorldHint":true}}`, i)
	}
	return definitions
}

func BenchmarkBuild(b *testing.B) {
	definitions := realistic(200)
	size := 0
	for _, d := range definitions {
		size += len(d)
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		if c := catalog.Build(definitions, catalog.Limits{}); len(c.Tools) != 200 {
			b.Fatal(c.Warnings)
		}
	}
}

func BenchmarkRebuildUnchanged(b *testing.B) {
	definitions := realistic(200)
	c := catalog.Build(definitions, catalog.Limits{})
	b.ReportAllocs()
	for b.Loop() {
		c = catalog.Rebuild(c, definitions, catalog.Limits{})
	}
}

func BenchmarkAppendExposed(b *testing.B) {
	c := catalog.Build(realistic(200), catalog.Limits{})
	names := make([]string, len(c.Tools))
	for i := range c.Tools {
		names[i] = "github__" + c.Tools[i].Name
	}
	for _, intent := range []bool{false, true} {
		b.Run(fmt.Sprintf("intent=%v", intent), func(b *testing.B) {
			b.ReportAllocs()
			var list []byte
			for b.Loop() {
				list = list[:0]
				for i := range c.Tools {
					list = c.Tools[i].AppendExposed(list, names[i], intent)
				}
			}
			b.SetBytes(int64(len(list)))
		})
	}
}

func BenchmarkFind(b *testing.B) {
	c := catalog.Build(realistic(200), catalog.Limits{})
	b.ReportAllocs()
	for b.Loop() {
		if c.Find("search_issues_117") == nil {
			b.Fatal("not found")
		}
	}
}

func BenchmarkSetHeaders(b *testing.B) {
	tool := &catalog.Build(realistic(1), catalog.Limits{}).Tools[0]
	arguments := []byte(`{"query":"is:open label:bug","repo":"mcp","labels":["a","b"],"owner":"alice"}`)
	header := make(http.Header)
	b.ReportAllocs()
	for b.Loop() {
		if err := tool.SetHeaders(header, arguments); err != nil {
			b.Fatal(err)
		}
	}
}
