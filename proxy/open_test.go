package proxy_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// opening makes a server answer each call with the error that says that links have to be opened first, until a call is repeated.
func opening(f *fakeServer, links ...string) {
	var list []string
	for i, link := range links {
		list = append(list, fmt.Sprintf(`{"mode":"url","elicitationId":"e-%d","url":%q,"message":"Sign in here."}`, i+1, link))
	}
	f.call = func(w http.ResponseWriter, _ *http.Request, m seen) {
		if len(f.seenOf("tools/call")) > 1 {
			f.echo(w, m)
			return
		}
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"error":{"code":-32042,"message":"first things first","data":{"elicitations":[%s]}}}`, m.ID, strings.Join(list, ","))
	}
}

// TestLinksThatHaveToBeOpenedFirst reach each client as it can take them.
func TestLinksThatHaveToBeOpenedFirst(t *testing.T) {
	const a, b = "https://a.example/x?y=1", "https://b.example/"
	for name, test := range map[string]struct {
		era, declared string
		links         []string
		is            func(called) bool
	}{
		"a legacy client that opens links": {"legacy", ableToAll, []string{a, b}, func(c called) bool {
			return c.code == -32042 && strings.Contains(c.raw.body, a) && strings.Contains(c.raw.body, `"elicitationId":"e-2"`)
		}},
		"a legacy client that does not": {"legacy", `{}`, []string{a}, func(c called) bool {
			return c.code == 0 && c.IsError && strings.Contains(c.text(), "Sign in here: "+a)
		}},
		"a modern client that opens links": {"modern", ableToAll, []string{a, b}, func(c called) bool {
			return c.ResultType == "input_required" && strings.Count(c.raw.body, `"method":"elicitation/create"`) == 2 && strings.Contains(c.raw.body, b) && !strings.Contains(c.raw.body, "requestState")
		}},
		"a modern client that does not": {"modern", `{"elicitation":{}}`, []string{a}, func(c called) bool {
			return c.code == 0 && c.IsError && strings.Contains(c.text(), "Sign in here: "+a)
		}},
		"a script, legacy": {"legacy", ableToAll, []string{a, "javascript:x"}, func(c called) bool { return c.IsError && !strings.Contains(c.raw.body, "javascript") }},
		"a script, modern": {"modern", ableToAll, []string{"javascript:x"}, func(c called) bool { return c.IsError && !strings.Contains(c.raw.body, "javascript") }},
		"no links at all":  {"modern", ableToAll, nil, func(c called) bool { return c.IsError }},
	} {
		t.Run(name, func(t *testing.T) {
			f := startFake(t, "legacy", tool("ask"))
			opening(f, test.links...)
			r := newRig(t, f.record("one"))
			c := r.clientWith(test.era, "/mcp", r.token("user", "alice"), test.declared)
			out := c.again(`{}`, "")
			if !test.is(out) {
				t.Errorf("%s", out.raw.body)
			}
			if out.ResultType != "input_required" {
				return
			}
			responses := map[string]string{}
			for key := range out.required(t).InputRequests {
				responses[key] = `{"action":"accept"}`
			}
			if got := c.again(`{}`, with("", responses)); got.text() != "ask {}" {
				t.Errorf("the retry: %s", got.raw.body)
			}
			if sent := f.seenOf("tools/call"); strings.Contains(sent[1].Body, "inputResponses") {
				t.Errorf("the answers reached a server that does not know them: %s", sent[1].Body)
			}
		})
	}
}

// TestALinkOfAModernServer gets the id that a legacy client wants.
func TestALinkOfAModernServer(t *testing.T) {
	a := startAsker(t, "modern")
	r := newRig(t, a.record("one"))
	c := r.clientWith("legacy", "/mcp", r.token("user", "alice"), ableToAll)
	v := c.converse(`{"ask":` + asking("elicitation/create", `{"mode":"url","message":"Go","url":"https://example.com/"}`) + `}`)
	q := v.question()
	if !strings.Contains(string(q.Params), `"elicitationId":"`) || !strings.Contains(string(q.Params), `"url":"https://example.com/"`) {
		t.Errorf("params: %s", q.Params)
	}
	c.respond(q.ID, `{"action":"accept"}`)
	if out := v.outcome(); !strings.Contains(out.text(), `{"action":"accept"}`) {
		t.Errorf("%s", out.raw.body)
	}
}
