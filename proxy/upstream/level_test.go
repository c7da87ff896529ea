package upstream_test

import (
	"net/http"
	"slices"
	"testing"

	"mcpsidecar/proxy/rpc"
)

// TestALegacyServerIsToldWhatToLog: most servers say nothing until they are told, and once is enough.
func TestALegacyServerIsToldWhatToLog(t *testing.T) {
	const logs, none = `{"tools":{},"logging":{}}`, `{"tools":{}}`
	for _, test := range []struct {
		what, capabilities string
		session            string
		wanted             []string // by one call after another
		told               []string
	}{
		{"once", logs, "s", []string{"info", "info"}, []string{`"info"`}},
		{"more is said", logs, "s", []string{"error", "debug", "error"}, []string{`"error"`, `"debug"`}},
		{"less is not", logs, "s", []string{"debug", "warning"}, []string{`"debug"`}},
		{"nobody wants any", logs, "s", []string{"", ""}, nil},
		{"a level that does not exist", logs, "s", []string{"loud"}, nil},
		{"a server that does not log", none, "s", []string{"info"}, nil},
		{"a server without sessions would not remember", logs, "", []string{"info"}, nil},
	} {
		t.Run(test.what, func(t *testing.T) {
			s := legacyServer(nil)
			s.set("initialize", func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
				if test.session != "" {
					w.Header().Set("Mcp-Session-Id", test.session)
				}
				result(`{"protocolVersion":"2025-11-25","capabilities":`+test.capabilities+`,"serverInfo":{"name":"fake","version":"1"}}`)(w, r, m)
			})
			var told []string
			s.set("logging/setLevel", func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
				told = append(told, string(rpc.Find(m.Params, "level")))
				result(`{}`)(w, r, m)
			})
			c := connect(t, serve(t, s))
			for _, level := range test.wanted {
				call := toolCall
				call.LogLevel = level
				if _, _, failure := finish(t, c.Conn, call); failure != nil {
					t.Fatal(failure)
				}
			}
			if !slices.Equal(told, test.told) {
				t.Errorf("it was told %v, want %v", told, test.told)
			}
			if n := s.count("tools/call"); n != len(test.wanted) {
				t.Errorf("it was called %d times", n)
			}
		})
	}
}

// TestAServerThatWillNotBeToldIsCalledAllTheSame.
func TestAServerThatWillNotBeToldIsCalledAllTheSame(t *testing.T) {
	for what, answers := range map[string]handler{
		"an error": refusal(200, "", `{"code":-32601,"message":"no"}`), "a status": status(500, "no"), "no JSON": raw("application/json", "<p>"),
	} {
		t.Run(what, func(t *testing.T) {
			s := legacyServer(nil)
			s.set("initialize", func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
				w.Header().Set("Mcp-Session-Id", "s")
				result(`{"protocolVersion":"2025-11-25","capabilities":{"logging":{}},"serverInfo":{"name":"fake","version":"1"}}`)(w, r, m)
			})
			s.set("logging/setLevel", answers)
			c := connect(t, serve(t, s))
			call := toolCall
			call.LogLevel = "debug"
			for range 2 {
				if _, _, failure := finish(t, c.Conn, call); failure != nil {
					t.Error(failure)
				}
			}
			if n := s.count("logging/setLevel"); n != 1 {
				t.Errorf("it was told %d times", n)
			}
		})
	}
}
