package proxy_test

import (
	"bytes"
	"crypto/rand"
	"testing"

	"mcpsidecar/proxy"
	"mcpsidecar/proxy/rpc"
)

// FuzzRequestState: nothing but what was sealed here is taken for a requestState of ours, and what a server's state is comes back as it was.
func FuzzRequestState(f *testing.F) {
	var key [32]byte // another in each process: what one has sealed reaches the others as a seed
	rand.Read(key[:])
	raw, _, err := proxy.SealTicket(key, "alice", []byte(`"the server's"`))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw, "alice", "state")
	f.Add(raw[:len(raw)-4], "", "<&>\u2028\x00")
	f.Add([]byte(`"AAAA"`), "x", "")
	f.Add([]byte(`"`), "\xff", `"`)
	f.Fuzz(func(t *testing.T, given []byte, user, state string) {
		if proxy.OpenTicket(key, given) && !bytes.Equal(given, raw) {
			if text, ok := rpc.String(given); !ok || string(rpc.AppendString(nil, text)) != string(raw) { // a raw string can be written in several ways
				t.Fatalf("a state that nobody sealed was opened: %q", given)
			}
		}
		want := rpc.AppendString(nil, state)
		sealed, again, err := proxy.SealTicket(key, "alice", want)
		if err != nil || !bytes.Equal(again, want) {
			t.Fatalf("%s came back as %s: %v", want, again, err)
		}
		if m, err := rpc.Read([]byte(`{"jsonrpc":"2.0","id":1,"result":{"requestState":` + string(sealed) + `}}`)); err != nil || m.Find("requestState") == nil {
			t.Fatalf("a sealed state is no string: %s", sealed)
		}
		if proxy.OpenTicket([32]byte{9}, sealed) {
			t.Fatal("another key opens it")
		}
	})
}

// FuzzInputResponses: of whatever a retry brings, an answer is an object or none.
func FuzzInputResponses(f *testing.F) {
	for _, seed := range []string{`{"question":{"roots":[]}}`, `{"question":7}`, `{"question-2":{"action":"accept"},"x":[]}`, `[]`, `{"question":{},"question":{}}`, `{"quest\u0069on":{"a":1}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := rpc.Read([]byte(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","inputResponses":` + string(raw) + `}}`))
		if err != nil {
			return
		}
		params, err := m.Members(nil)
		if err != nil {
			t.Fatalf("params that were read strictly: %v", err)
		}
		for i := range 3 {
			answer, why := proxy.Responses(params, i)
			if answer != nil && (why != "" || answer[0] != '{') {
				t.Fatalf("%s: answer %s, %s", raw, answer, why)
			}
		}
	})
}

// FuzzInputRequired: whatever a modern server wants, a legacy client is sent requests that are strict, of kinds that it has declared, and a bounded number of them.
func FuzzInputRequired(f *testing.F) {
	for _, seed := range []string{
		`{"resultType":"input_required","inputRequests":{"k":{"method":"roots/list"}},"requestState":"s"}`,
		`{"inputRequests":{"a":{"method":"elicitation/create","params":{"mode":"url","url":"https://example.com/","message":"m"}},"b":{"method":"sampling/createMessage","params":{"messages":[]}}}}`,
		`{"inputRequests":{"a":{"method":"elicitation/create","params":{"mode":"url","url":"javascript:x"}}}}`,
		`{"inputRequests":{"a":{"method":"shell/run"}}}`, `{"inputRequests":[]}`, `{"requestState":7}`, `{}`, `{"inputRequests":{"a":null},"requestState":"\u0000"}`,
	} {
		f.Add([]byte(seed), true)
		f.Add([]byte(seed), false)
	}
	f.Fuzz(func(t *testing.T, result []byte, able bool) {
		m, err := rpc.Read([]byte(`{"jsonrpc":"2.0","id":1,"result":` + string(result) + `}`))
		if err != nil {
			return
		}
		declared := []byte(`{}`)
		if able {
			declared = []byte(ableToAll)
		}
		requests, state, why := proxy.Played(&m, declared)
		if why != "" && requests != nil || !able && len(requests) > 0 || len(requests) > 32 {
			t.Fatalf("%d requests of %s: %s", len(requests), result, why)
		}
		if state != nil && state[0] != '"' {
			t.Fatalf("the state is %s", state)
		}
		for _, request := range requests {
			asked, err := rpc.Read(request)
			if err != nil || asked.Kind != rpc.Request {
				t.Fatalf("%s becomes %s: %v", result, request, err)
			}
			if asked.Method != "roots/list" && asked.Method != "elicitation/create" && asked.Method != "sampling/createMessage" {
				t.Fatalf("a client is asked for %s", asked.Method)
			}
			if url := rpc.Find(append([]byte(nil), orObject(asked.Params)...), "url"); bytes.HasPrefix(url, []byte(`"javascript:`)) && rpc.Equal(rpc.Find(asked.Params, "mode"), "url") {
				t.Fatalf("a client is shown %s", url)
			}
		}
	})
}

func orObject(raw []byte) []byte {
	if raw == nil {
		return []byte("{}")
	}
	return raw
}

// FuzzAnswers: what a client answers becomes one strict member, under the server's key, or nothing.
func FuzzAnswers(f *testing.F) {
	f.Add("k", []byte(`{"jsonrpc":"2.0","id":"q","result":{"roots":[]}}`))
	f.Add(`"},"x":{"`, []byte(`{"jsonrpc":"2.0","id":"q","result":{}}`))
	f.Add("k", []byte(`{"jsonrpc":"2.0","id":"q","error":{"code":-1,"message":"no"}}`))
	f.Add("\u2028", []byte(`{"jsonrpc":"2.0","id":"q","error":{"code":"x"}}`))
	f.Fuzz(func(t *testing.T, key string, body []byte) {
		m, err := rpc.Read(body)
		if err != nil || m.Kind != rpc.Response && m.Kind != rpc.ErrorResponse {
			return
		}
		want := bytes.Clone(m.Result)
		responses := proxy.Answered(key, &m)
		clear(body) // its memory is the request's
		if (responses == nil) != (want == nil) {
			t.Fatalf("%s becomes %s", want, responses)
		}
		if responses == nil {
			return
		}
		members, err := rpc.Members(nil, responses)
		if err != nil || len(members) != 1 || !bytes.Equal(members[0].Value, want) || !rpc.Equal(rpc.AppendString(nil, key), members[0].Name) {
			t.Fatalf("%q and %s become %s: %v", key, want, responses, err)
		}
	})
}

// FuzzQuestions: whatever a legacy server asks, a modern client is sent one strict result with one member each.
func FuzzQuestions(f *testing.F) {
	f.Add([]byte(`{"jsonrpc":"2.0","id":1,"method":"roots/list"}`), []byte(`{"jsonrpc":"2.0","id":"}","method":"a\"b","params":{"_meta":{}}}`))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		var asked []rpc.Message
		for _, text := range [][]byte{first, second} {
			if m, err := rpc.Read(text); err == nil && m.Kind == rpc.Request {
				asked = append(asked, m)
			}
		}
		result := proxy.Asked(asked, []byte(`"s"`))
		m, err := rpc.Read([]byte(`{"jsonrpc":"2.0","id":1,"result":` + string(result) + `}`))
		if err != nil {
			t.Fatalf("%s: %v", result, err)
		}
		members, err := rpc.Members(nil, m.Find("inputRequests"))
		if err != nil || len(members) != len(asked) {
			t.Fatalf("%s: %v", result, err)
		}
		for i, member := range members {
			if !rpc.Equal(rpc.Find(member.Value, "method"), asked[i].Method) || asked[i].Params != nil && !bytes.Equal(rpc.Find(member.Value, "params"), asked[i].Params) {
				t.Fatalf("%s was asked, and %s is shown", asked[i].Params, member.Value)
			}
		}
	})
}
