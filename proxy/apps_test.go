package proxy_test

import (
	"net/http"
	"strings"
	"testing"
)

// TestAppsSurvive: MCP Apps (io.modelcontextprotocol/ui), which needs no method of its own. A server that names interfaces only to a client that can show them is told of one; what tools and resources say of them arrives as it is.
func TestAppsSurvive(t *testing.T) {
	const (
		ui       = `"io.modelcontextprotocol/ui":{"mimeTypes":["text/html;profile=mcp-app"]}`
		meta     = `"_meta":{"ui":{"resourceUri":"ui://clock/view","visibility":["model", "app"],"csp":{"connectDomains":["https://a.example"]}},"other/x": 1}`
		contents = `{"uri":"ui://clock/view","mimeType":"text/html;profile=mcp-app","text":"<html>","_meta":{"ui":{"csp":{"frameDomains":["https://b.example"]},"prefersBorder":true}}}`
		result   = `"content":[{"type":"text","text":"12:00"}],"structuredContent":{"now": 12.00},"_meta":{"ui":{"hint": 1}}`
	)
	everyCombination(t, func(t *testing.T, clientEra, serverEra string) {
		f := startStocked(t, serverEra, &stock{})
		stocked := f.before
		shown := false // to the legacy session that was opened last
		f.before = func(w http.ResponseWriter, r *http.Request, m seen) bool {
			if m.Method == "initialize" || serverEra == "modern" {
				shown = strings.Contains(m.Body, ui)
			}
			switch {
			case m.Method == "tools/list" && shown:
				f.setTools(tool("clock", meta))
			case m.Method == "tools/list":
				f.setTools(tool("clock"))
			case m.Method == "resources/read":
				reply(w, m, `{`+f.complete(`"ttlMs":7000,"cacheScope":"public",`)+`"contents":[`+contents+`]}`)
				return true
			case m.Method == "tools/call":
				reply(w, m, `{`+f.complete("")+result+`}`)
				return true
			}
			return stocked(w, r, m)
		}
		r := newRig(t, f.record("one"))
		token := r.token("user", "alice")
		for _, path := range []string{"/mcp", "/mcp/one"} {
			c := r.clientWith(clientEra, path, token, `{"extensions":{`+ui+`}}`)
			if got := c.ask("tools/list", "", "", "").body; !strings.Contains(got, meta) {
				t.Errorf("%s: listed as %s", path, got)
			}
			if got := c.call(c.name("clock"), `{}`).raw.body; !strings.Contains(got, result) {
				t.Errorf("%s: called, it says %s", path, got)
			}
			told := f.lastOf(t, "tools/call").Body
			if serverEra == "legacy" {
				told = f.lastOf(t, "initialize").Body
			}
			if !strings.Contains(told, `{"extensions":{`+ui+`}}`) {
				t.Errorf("%s: the server was told %s", path, told)
			}
			if got := c.read("ui://clock/view"); !strings.Contains(string(got.Result), contents) {
				t.Errorf("%s: read, it is %s, %+v", path, got.Result, got.Error)
			}
		}
	})
}
