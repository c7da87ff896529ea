package proxy_test

import (
	"net/http"
	"strings"
	"testing"
)

// TestServersLearnWhatTheClientWantsLogged, each era in its own way.
func TestServersLearnWhatTheClientWantsLogged(t *testing.T) {
	everyCombination(t, func(t *testing.T, clientEra, serverEra string) {
		f := startFake(t, serverEra, tool("x"))
		f.before = func(w http.ResponseWriter, _ *http.Request, m seen) bool {
			if m.Method == "initialize" {
				w.Header().Set("Mcp-Session-Id", "s")
				w.Header().Set("Content-Type", "application/json")
				reply(w, m, `{"protocolVersion":"2025-11-25","capabilities":{"tools":{},"logging":{}},"serverInfo":{"name":"fake","version":"1"}}`)
			}
			return m.Method == "initialize"
		}
		r := newRig(t, f.record("one"))
		c := r.client(clientEra, "/mcp", r.token("user", "alice"))
		meta := ""
		if clientEra == "modern" {
			meta = `"io.modelcontextprotocol/logLevel":"warning"`
		} else if said := c.ask("logging/setLevel", "", `"level":"warning"`, ""); said.last(t).Error != nil {
			t.Fatalf("setLevel: %s", said.body)
		}
		c.outcome(c.ask("tools/call", "one__x", `"name":"one__x"`, meta))
		sent := f.seenOf("tools/call")
		if serverEra == "legacy" {
			sent = f.seenOf("logging/setLevel")
		}
		if len(sent) != 1 || !strings.Contains(sent[0].Body, `evel":"warning"`) {
			t.Errorf("the server heard %v", sent)
		}
	})
}
