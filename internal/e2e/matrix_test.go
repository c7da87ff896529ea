package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"mcpsidecar/internal/e2e/rig"
)

// arguments of a tool call.
type arguments = map[string]any

// call is one call that a client is asked to make.
type call struct {
	Name      string    `json:"name"`
	Arguments arguments `json:"arguments"`
	Progress  bool      `json:"progress"` // ask for it
}

// said is what came of a call.
type said struct {
	Text     string `json:"text"`
	Progress int    `json:"progress"` // reports
	Error    string `json:"error"`    // a tool's or the protocol's
}

// visit is one connection: list, then make the calls.
type visit struct {
	URL   string `json:"url"`
	Calls []call `json:"calls"`
}

// outcome is what came of a visit.
type outcome struct {
	Tools []string `json:"tools"`
	Calls []said   `json:"calls"`
	Error string   `json:"error"` // of the visit as a whole
}

// served is one of the servers behind the sidecar: what is called there, and what the right answer is.
type served struct {
	slug      string
	url       func(t testing.TB) string
	transport string
	call      call
	answer    string
	progress  call // no name: none is demanded
	denied    string
}

const sdkAnswer = "This is a simple text response for testing."

// servers are those that others wrote, and one that speaks the modern era only.
var servers = []served{
	{
		slug: "npm", url: func(t testing.TB) string { return npmEverything(t, "streamableHttp", "/mcp") }, transport: "streamable_http",
		call: call{Name: "echo", Arguments: arguments{"message": "hello"}}, answer: "Echo: hello",
		progress: call{Name: "trigger-long-running-operation", Arguments: arguments{"duration": 0.3, "steps": 3}, Progress: true}, denied: "get-env",
	},
	{
		slug: "npm-sse", url: func(t testing.TB) string { return npmEverything(t, "sse", "/sse") }, transport: "sse",
		call: call{Name: "echo", Arguments: arguments{"message": "hello"}}, answer: "Echo: hello",
		progress: call{Name: "trigger-long-running-operation", Arguments: arguments{"duration": 0.3, "steps": 3}, Progress: true}, denied: "get-env",
	},
	{
		slug: "go-sdk", url: func(t testing.TB) string { return goSDK(t, true) }, transport: "streamable_http",
		call: call{Name: "test_simple_text"}, answer: sdkAnswer, progress: call{Name: "test_tool_with_progress", Progress: true}, denied: "test_error_handling",
	},
	{
		slug: "go-sdk-sessions", url: func(t testing.TB) string { return goSDK(t, false) }, transport: "streamable_http",
		call: call{Name: "test_simple_text"}, answer: sdkAnswer, progress: call{Name: "test_tool_with_progress", Progress: true}, denied: "test_error_handling",
	},
	{
		// It drops progress under load even without a proxy.
		slug: "mcp-go", url: mcpGo, transport: "streamable_http", call: call{Name: "test_simple_text"}, answer: sdkAnswer, denied: "test_error_handling",
	},
	{
		slug: "modern", url: func(t testing.TB) string { return startFake(t, modernOnly).URL }, transport: "streamable_http",
		call: call{Name: "echo", Arguments: arguments{"text": "hello"}}, answer: `{"text":"hello"}`,
		progress: call{Name: "steps", Progress: true}, denied: "wipe",
	},
}

// clients are the kinds of client that agents have. Each makes all the visits it is asked for.
var clients = []struct {
	name  string
	visit func(t *testing.T, token string, visits []visit) []outcome
}{
	{"npm client, modern", nodeAgent("client-modern")},
	{"npm client, legacy", nodeAgent("client-legacy")},
	{"npm sdk", nodeAgent("sdk")},
	{"mcp-go, modern", eachVisit(visitMCPGo(false))},
	{"mcp-go, legacy", eachVisit(visitMCPGo(true))},
	{"go-sdk, modern", eachVisit(visitGoSDK("2026-07-28"))},
	{"go-sdk, legacy", eachVisit(visitGoSDK("2025-11-25"))},
}

// TestEveryClientWithEveryServer: the four combinations of eras and both endpoints; each client lists and calls, hears of progress, and is denied what is denied.
func TestEveryClientWithEveryServer(t *testing.T) {
	s := start(t)
	for _, server := range servers {
		s.register(server.slug, server.url(t), "transport", server.transport, "tool_deny_list", []string{server.denied})
	}
	token := s.token("alice")
	for _, client := range clients {
		t.Run(client.name, func(t *testing.T) {
			t.Parallel()
			var visits []visit
			for _, server := range servers {
				visits = append(visits, visit{URL: s.Base + "/mcp/" + server.slug, Calls: server.calls("")})
			}
			merged := visit{URL: s.Base + "/mcp"}
			for _, server := range servers {
				merged.Calls = append(merged.Calls, server.calls(server.slug+"__")...)
			}
			outcomes := client.visit(t, token, append(visits, merged))
			for i, server := range servers {
				server.check(t, "/mcp/"+server.slug, "", outcomes[i].Tools, outcomes[i].Calls, outcomes[i].Error)
			}
			all := outcomes[len(servers)]
			for _, server := range servers {
				n := min(len(server.calls("")), len(all.Calls))
				server.check(t, "/mcp, "+server.slug, server.slug+"__", all.Tools, all.Calls[:n], all.Error)
				all.Calls = all.Calls[n:]
			}
			if !slices.IsSorted(all.Tools) {
				t.Errorf("the tools are not sorted: %v", all.Tools)
			}
		})
	}
}

// calls are those that every client makes: a plain one, a denied one, and one with progress.
func (s served) calls(prefix string) []call {
	calls := []call{s.call, {Name: s.denied, Arguments: arguments{}}}
	if s.progress.Name != "" {
		calls = append(calls, s.progress)
	}
	for i := range calls {
		calls[i].Name = prefix + calls[i].Name
		if calls[i].Arguments == nil {
			calls[i].Arguments = arguments{}
		}
	}
	return calls
}

// check holds an outcome against what the server would have said without a sidecar.
func (s served) check(t *testing.T, where, prefix string, tools []string, calls []said, failed string) {
	t.Helper()
	if failed != "" || len(calls) != len(s.calls("")) {
		t.Errorf("%s: %s, %d calls", where, failed, len(calls))
		return
	}
	if !slices.Contains(tools, prefix+s.call.Name) || slices.Contains(tools, prefix+s.denied) {
		t.Errorf("%s: the tools are %v", where, tools)
	}
	if calls[0].Text != s.answer || calls[0].Error != "" {
		t.Errorf("%s: %s answers %q, %s", where, s.call.Name, calls[0].Text, calls[0].Error)
	}
	if calls[1].Text != "" || !strings.Contains(calls[1].Error, "Unknown tool") {
		t.Errorf("%s: the denied %s answers %q, %q", where, s.denied, calls[1].Text, calls[1].Error)
	}
	if s.progress.Name != "" && (calls[2].Progress != steps || calls[2].Error != "") {
		t.Errorf("%s: %s reported progress %d times, %s", where, s.progress.Name, calls[2].Progress, calls[2].Error)
	}
}

// nodeAgent makes all visits in one process of Node.
func nodeAgent(kind string) func(*testing.T, string, []visit) []outcome {
	return func(t *testing.T, token string, visits []visit) (outcomes []outcome) {
		command := node(t).Command("agent.mjs")
		command.Stdin = bytes.NewReader(must[[]byte](t)(json.Marshal(map[string]any{"kind": kind, "token": token, "visits": visits})))
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		code, stdout, stderr, err := rig.Run(ctx, command)
		if err != nil || code != 0 {
			t.Fatalf("exit %d, %v\n%s\n%s", code, err, stdout, stderr)
		}
		if err := json.Unmarshal([]byte(stdout), &outcomes); err != nil {
			t.Fatalf("%v\n%s", err, stdout)
		}
		return outcomes
	}
}

// eachVisit makes the visits one after another.
func eachVisit(one func(ctx context.Context, client *http.Client, v visit) (outcome, error)) func(*testing.T, string, []visit) []outcome {
	return func(t *testing.T, token string, visits []visit) (outcomes []outcome) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		client := withToken(t, token)
		for _, v := range visits {
			o, err := one(ctx, client, v)
			if err != nil {
				o.Error = err.Error()
			}
			outcomes = append(outcomes, o)
		}
		return outcomes
	}
}

// withToken is a client that says who it is.
func withToken(t testing.TB, token string) *http.Client {
	pool := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(pool.CloseIdleConnections)
	return &http.Client{Transport: bearer{pool, token}}
}

type bearer struct {
	next  http.RoundTripper
	token string
}

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.token)
	return b.next.RoundTrip(r)
}

// TestInspector: the command-line client that people try servers with.
func TestInspector(t *testing.T) {
	s := start(t)
	s.register("one", startFake(t, legacyOnly).URL, "tool_deny_list", []string{"wipe"})
	s.register("two", startFake(t, modernOnly).URL)
	authorization := "Authorization: Bearer " + s.token("alice")
	inspect := func(url string, args ...string) (int, string) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		command := node(t).Inspector(append([]string{s.Base + url, "--transport", "http", "--header", authorization}, args...)...)
		command.Env = append(command.Env, "HOME="+t.TempDir())
		code, stdout, stderr, err := rig.Run(ctx, command)
		if err != nil {
			t.Fatal(err)
		}
		return code, stdout + stderr
	}
	for _, test := range []struct {
		what, url string
		args      []string
		ok        bool
		says      []string
	}{
		{"lists all", "/mcp", []string{"--method", "tools/list"}, true, []string{`"one__echo"`, `"two__wipe"`}},
		{"lists one", "/mcp/two", []string{"--method", "tools/list"}, true, []string{`"wipe"`}},
		{"calls", "/mcp", []string{"--method", "tools/call", "--tool-name", "one__echo", "--tool-arg", "text=hello"}, true, []string{"hello"}},
		{"is denied", "/mcp/one", []string{"--method", "tools/call", "--tool-name", "wipe"}, false, []string{"wipe"}},
	} {
		t.Run(test.what, func(t *testing.T) {
			t.Parallel()
			code, said := inspect(test.url, test.args...)
			if (code == 0) != test.ok {
				t.Errorf("exit %d", code)
			}
			for _, want := range test.says {
				if !strings.Contains(said, want) {
					t.Errorf("it says\n%s\nwant %s", said, want)
				}
			}
		})
	}
}
