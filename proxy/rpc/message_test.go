package rpc_test

import (
	"errors"
	"strings"
	"testing"

	"mcpsidecar/proxy/rpc"
)

// read is one line of a table: a text, and what it must be.
type read struct {
	text string
	want rpc.Message
	err  error
	id   string // what the error response carries; none: null
}

func request(text, id, method, params string) read {
	return read{text: text, want: rpc.Message{Kind: rpc.Request, ID: []byte(id), Method: method, Params: raw(params)}}
}

func notification(text, method, params string) read {
	return read{text: text, want: rpc.Message{Kind: rpc.Notification, Method: method, Params: raw(params)}}
}

func response(text, id, result string) read {
	return read{text: text, want: rpc.Message{Kind: rpc.Response, ID: []byte(id), Result: raw(result)}}
}

func failure(text, id, e string) read {
	return read{text: text, want: rpc.Message{Kind: rpc.ErrorResponse, ID: raw(id), Error: raw(e)}}
}

func refused(text string, err error, id string) read { return read{text: text, err: err, id: id} }

func raw(text string) []byte {
	if text == "" {
		return nil
	}
	return []byte(text)
}

func check(t *testing.T, table []read) {
	t.Helper()
	for _, c := range table {
		m, err := rpc.Read([]byte(c.text))
		label := c.text[:min(len(c.text), 120)]
		if !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
			t.Errorf("%s\n\tgot %v, want %v", label, err, c.err)
			continue
		}
		want := c.want
		want.ID = c.want.ID
		if c.err != nil {
			want = rpc.Message{ID: raw(c.id)}
		}
		if !same(m, want) {
			t.Errorf("%s\n\tgot  %s\n\twant %s", label, show(m), show(want))
		}
	}
}

func same(a, b rpc.Message) bool {
	return a.Kind == b.Kind && a.Method == b.Method && sameRaw(a.ID, b.ID) && sameRaw(a.Params, b.Params) && sameRaw(a.Result, b.Result) && sameRaw(a.Error, b.Error)
}

func sameRaw(a, b []byte) bool { return string(a) == string(b) && (a == nil) == (b == nil) }

func show(m rpc.Message) string {
	return strings.Join([]string{string('0' + rune(m.Kind)), string(m.ID), m.Method, string(m.Params), string(m.Result), string(m.Error)}, " | ")
}

// The examples of JSON-RPC 2.0, sections 4 to 7, with what MCP narrows: params and results are objects.
func TestReadTellsTheKindsApart(t *testing.T) {
	check(t, []read{
		request(`{"jsonrpc":"2.0","method":"subtract","params":{"subtrahend":23,"minuend":42},"id":3}`, `3`, "subtract", `{"subtrahend":23,"minuend":42}`),
		request(`{"jsonrpc":"2.0","id":"abc","method":"ping"}`, `"abc"`, "ping", ``),
		request(`{"jsonrpc":"2.0","id":"","method":"ping"}`, `""`, "ping", ``),
		request(`{"jsonrpc":"2.0","id":-7,"method":"ping","params":{}}`, `-7`, "ping", `{}`),
		request(`{"jsonrpc":"2.0","id":0,"method":"ping"}`, `0`, "ping", ``),
		request(`{"jsonrpc":"2.0","id":9007199254740991,"method":"ping"}`, `9007199254740991`, "ping", ``),
		request(" \t\r\n{ \"jsonrpc\" : \"2.0\" , \"id\" : 1 , \"method\" : \"ping\" , \"params\" : { \"a\" : 1 } } \t\r\n", `1`, "ping", `{ "a" : 1 }`),
		request(`{"jsonrpc":"2.0","id":1,"method":"tools\/c\u0061ll"}`, `1`, "tools/call", ``),
		request(`{"\u006asonrpc":"2\u002e0","\u0069d":1,"\u006dethod":"ping"}`, `1`, "ping", ``),
		notification(`{"jsonrpc":"2.0","method":"update","params":{"list":[1,2,3,4,5]}}`, "update", `{"list":[1,2,3,4,5]}`),
		notification(`{"jsonrpc":"2.0","method":"foobar"}`, "foobar", ``),
		response(`{"jsonrpc":"2.0","result":{"n":19},"id":1}`, `1`, `{"n":19}`),
		response(`{"jsonrpc":"2.0","result":{},"id":"x"}`, `"x"`, `{}`),
		failure(`{"jsonrpc":"2.0","error":{"code":-32601,"message":"Method not found"},"id":"1"}`, `"1"`, `{"code":-32601,"message":"Method not found"}`),
		failure(`{"jsonrpc":"2.0","error":{"code":-32700,"message":"Parse error"},"id":null}`, `null`, `{"code":-32700,"message":"Parse error"}`),
		failure(`{"jsonrpc":"2.0","error":{"code":1,"message":"m","data":[1],"more":true}}`, ``, `{"code":1,"message":"m","data":[1],"more":true}`),
	})
}

func TestReadRefusesEnvelopes(t *testing.T) {
	check(t, []read{
		// The version.
		refused(`{"id":1,"method":"ping"}`, rpc.ErrEnvelope, `1`),
		refused(`{"jsonrpc":"1.0","id":1,"method":"ping"}`, rpc.ErrEnvelope, `1`),
		refused(`{"jsonrpc":2.0,"id":1,"method":"ping"}`, rpc.ErrEnvelope, `1`),
		refused(`{"jsonrpc":"2.0 ","id":1,"method":"ping"}`, rpc.ErrEnvelope, `1`),
		refused(`{"jsonrpc":null,"id":1,"method":"ping"}`, rpc.ErrEnvelope, `1`),
		// Exact case, and nothing unknown: a server that ignores case would see another method.
		refused(`{"jsonrpc":"2.0","id":1,"Method":"ping"}`, rpc.ErrEnvelope, `1`),
		refused(`{"jsonrpc":"2.0","id":1,"method":"ping","METHOD":"tools/call"}`, rpc.ErrEnvelope, `1`),
		refused(`{"jsonrpc":"2.0","id":1,"method":"ping","Params":{}}`, rpc.ErrEnvelope, `1`),
		refused(`{"jsonrpc":"2.0","ID":1,"method":"ping"}`, rpc.ErrEnvelope, ``),
		refused(`{"jsonrpc":"2.0","id":1,"method":"ping","extra":0}`, rpc.ErrEnvelope, `1`),
		refused(`{"jsonrpc":"2.0","id":1,"method":"ping","":0}`, rpc.ErrEnvelope, `1`),
		refused(`{"jsonrpc":"2.0","id":1,"method":"ping","method\u0000":0}`, rpc.ErrEnvelope, `1`),
		// The long s and the Kelvin sign fold to ASCII letters in parsers that ignore case.
		refused(`{"jsonrpc":"2.0","id":1,"method":"ping","param`+"\u017f"+`":{}}`, rpc.ErrEnvelope, `1`),
		// The id.
		refused(`{"jsonrpc":"2.0","id":null,"method":"tools/call","params":{}}`, rpc.ErrEnvelope, ``),
		refused(`{"jsonrpc":"2.0","id":1.0,"method":"ping"}`, rpc.ErrEnvelope, ``),
		refused(`{"jsonrpc":"2.0","id":1e2,"method":"ping"}`, rpc.ErrEnvelope, ``),
		refused(`{"jsonrpc":"2.0","id":-0,"method":"ping"}`, rpc.ErrEnvelope, ``),
		refused(`{"jsonrpc":"2.0","id":9007199254740992,"method":"ping"}`, rpc.ErrEnvelope, ``),
		refused(`{"jsonrpc":"2.0","id":-9007199254740992,"method":"ping"}`, rpc.ErrEnvelope, ``),
		refused(`{"jsonrpc":"2.0","id":99999999999999999999999,"method":"ping"}`, rpc.ErrEnvelope, ``),
		refused(`{"jsonrpc":"2.0","id":true,"method":"ping"}`, rpc.ErrEnvelope, ``),
		refused(`{"jsonrpc":"2.0","id":{},"method":"ping"}`, rpc.ErrEnvelope, ``),
		refused(`{"jsonrpc":"2.0","id":[1],"method":"ping"}`, rpc.ErrEnvelope, ``),
		refused(`{"jsonrpc":"2.0","id":"`+strings.Repeat("a", 1025)+`","method":"ping"}`, rpc.ErrEnvelope, ``),
		request(`{"jsonrpc":"2.0","id":"`+strings.Repeat("a", 1024)+`","method":"ping"}`, `"`+strings.Repeat("a", 1024)+`"`, "ping", ``),
		// The method.
		refused(`{"jsonrpc":"2.0","id":1,"method":""}`, rpc.ErrEnvelope, `1`),
		refused(`{"jsonrpc":"2.0","id":1,"method":1}`, rpc.ErrEnvelope, `1`),
		refused(`{"jsonrpc":"2.0","id":1,"method":null}`, rpc.ErrEnvelope, `1`),
		refused(`{"jsonrpc":"2.0","id":1,"method":["ping"]}`, rpc.ErrEnvelope, `1`),
		refused(`{"jsonrpc":"2.0","id":1,"method":"`+strings.Repeat("a", 257)+`"}`, rpc.ErrEnvelope, `1`),
		refused(`{"jsonrpc":"2.0","id":1,"method":"`+strings.Repeat(`\u0061`, 257)+`"}`, rpc.ErrEnvelope, `1`),
		request(`{"jsonrpc":"2.0","id":1,"method":"`+strings.Repeat(`\u0061`, 256)+`"}`, `1`, strings.Repeat("a", 256), ``),
		// The params.
		refused(`{"jsonrpc":"2.0","id":1,"method":"ping","params":null}`, rpc.ErrEnvelope, `1`),
		refused(`{"jsonrpc":"2.0","id":1,"method":"ping","params":[42,23]}`, rpc.ErrEnvelope, `1`),
		refused(`{"jsonrpc":"2.0","id":1,"method":"ping","params":"bar"}`, rpc.ErrEnvelope, `1`),
		// Neither, nor both.
		refused(`{}`, rpc.ErrEnvelope, ``),
		refused(`{"jsonrpc":"2.0"}`, rpc.ErrEnvelope, ``),
		refused(`{"jsonrpc":"2.0","id":1}`, rpc.ErrEnvelope, `1`),
		refused(`{"jsonrpc":"2.0","id":1,"params":{}}`, rpc.ErrEnvelope, `1`),
		refused(`{"jsonrpc":"2.0","id":1,"method":"tools/call","result":{}}`, rpc.ErrEnvelope, `1`),
		refused(`{"jsonrpc":"2.0","id":1,"method":"ping","error":{"code":1,"message":""}}`, rpc.ErrEnvelope, `1`),
		refused(`{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":""}}`, rpc.ErrEnvelope, `1`),
		refused(`{"jsonrpc":"2.0","id":1,"result":{},"error":null}`, rpc.ErrEnvelope, `1`),
		refused(`{"jsonrpc":"2.0","id":1,"result":{},"params":{}}`, rpc.ErrEnvelope, `1`),
		// Responses.
		refused(`{"jsonrpc":"2.0","result":{}}`, rpc.ErrEnvelope, ``),
		refused(`{"jsonrpc":"2.0","id":null,"result":{}}`, rpc.ErrEnvelope, ``),
		refused(`{"jsonrpc":"2.0","id":1,"result":null}`, rpc.ErrEnvelope, `1`),
		refused(`{"jsonrpc":"2.0","id":1,"result":19}`, rpc.ErrEnvelope, `1`),
		refused(`{"jsonrpc":"2.0","id":1,"error":null}`, rpc.ErrEnvelope, `1`),
		refused(`{"jsonrpc":"2.0","id":1,"error":"no"}`, rpc.ErrEnvelope, `1`),
		refused(`{"jsonrpc":"2.0","id":1,"error":{"code":1.5,"message":"m"}}`, rpc.ErrEnvelope, `1`),
		refused(`{"jsonrpc":"2.0","id":1,"error":{"code":"1","message":"m"}}`, rpc.ErrEnvelope, `1`),
		refused(`{"jsonrpc":"2.0","id":1,"error":{"code":1}}`, rpc.ErrEnvelope, `1`),
		refused(`{"jsonrpc":"2.0","id":1,"error":{"message":"m"}}`, rpc.ErrEnvelope, `1`),
		refused(`{"jsonrpc":"2.0","id":null,"error":{"message":"m"}}`, rpc.ErrEnvelope, ``),
		refused(`{"jsonrpc":"2.0","id":1.5,"error":{"code":1,"message":"m"}}`, rpc.ErrEnvelope, ``),
		// No object at all.
		refused(`1`, rpc.ErrEnvelope, ``),
		refused(`null`, rpc.ErrEnvelope, ``),
		refused(`"{}"`, rpc.ErrEnvelope, ``),
	})
}

func TestReadRefusesBatches(t *testing.T) {
	call := `{"jsonrpc":"2.0","id":1,"method":"ping"}`
	check(t, []read{
		refused(`[]`, rpc.ErrBatch, ``),
		refused(`[`+call+`]`, rpc.ErrBatch, ``),
		refused(" \n[ "+call+","+call+" ] ", rpc.ErrBatch, ``),
		refused("\ufeff["+call+"]", rpc.ErrSyntax, ``),
		refused(`[`+call, rpc.ErrSyntax, ``),
		refused(`[`+call+`]x`, rpc.ErrSyntax, ``),
	})
}

func TestReadRefusesWhatParsersReadDifferently(t *testing.T) {
	for _, group := range attacks() {
		t.Run(group.name, func(t *testing.T) {
			var table []read
			for _, text := range group.texts {
				table = append(table, refused(text, rpc.ErrSyntax, ``))
			}
			check(t, table)
		})
	}
}

// What looks odd but has one meaning passes, byte for byte.
func TestReadAcceptsWhatHasOneMeaning(t *testing.T) {
	for _, params := range []string{
		`{"a":"é","b":"\u00e9","c":"😀","d":"\ud83d\ude00","e":"\u0000","f":"\ufffe","g":"` + "\x7f\u2028\u2029\ufeff" + `"}`,
		`{"name":1,"Name":2,"NAME":3,"name ":4,"\u017fname":5}`,
		`{"a":{"a":{"a":1}},"b":[{"a":1},{"a":1}]}`,
		`{"__proto__":1,"constructor":{}}`,
		`{"n":[0,-0,1e400,-1E+5,0.10,123456789012345678901234567890]}`,
		`{"a":"\"\\\/\b\f\n\r\t"}`,
		"{ \"a\"\t:\r[\n] ,\"b\":{ } }",
	} {
		m, err := rpc.Read([]byte(`{"jsonrpc":"2.0","id":1,"method":"m","params":` + params + `}`))
		if err != nil || string(m.Params) != params {
			t.Errorf("%s: %s, %v", params, m.Params, err)
		}
	}
}

func TestReadBoundsDepth(t *testing.T) {
	nested := func(depth int, open, end string) string {
		// The envelope and params are two levels.
		return `{"jsonrpc":"2.0","id":1,"method":"m","params":{"a":` + strings.Repeat(open, depth-2) + "1" + strings.Repeat(end, depth-2) + `}}`
	}
	for _, shape := range [][2]string{{"[", "]"}, {`{"a":`, "}"}} {
		if _, err := rpc.Read([]byte(nested(rpc.MaxDepth, shape[0], shape[1]))); err != nil {
			t.Errorf("%d of %s: %v", rpc.MaxDepth, shape[0], err)
		}
		for _, depth := range []int{rpc.MaxDepth + 1, 10_001, 1_000_000} {
			check(t, []read{
				refused(nested(depth, shape[0], shape[1]), rpc.ErrDepth, ``),
				refused(strings.Repeat(shape[0], depth), rpc.ErrDepth, ``),
			})
		}
	}
}

// A refusal says where, and never repeats what it read.
func TestReadErrorsSayWhereAndNothingElse(t *testing.T) {
	for _, c := range []struct {
		text   string
		offset int
		want   string
	}{
		{`{"secret":"s3cr3t","secret":1}`, 19, "the message is not valid JSON: the object has a member of this name already (at byte 19)"},
		{`{"a":s3cr3t}`, 5, "the message is not valid JSON: a value is expected here (at byte 5)"},
		{`{"a":"s3cr3t`, 12, "the message is not valid JSON: it ends too early (at byte 12)"},
		{`[1]`, 0, "batches are not supported: it is an array (at byte 0)"},
		{` {"jsonrpc":"2.0","s3cr3t":1,"method":"m"}`, 27, "the message is not a valid JSON-RPC message: the envelope has a member that JSON-RPC does not know (at byte 27)"},
		{`  {"method":"m"}`, 2, `the message is not a valid JSON-RPC message: jsonrpc must be "2.0" (at byte 2)`},
	} {
		_, err := rpc.Read([]byte(c.text))
		var syntax *rpc.SyntaxError
		if !errors.As(err, &syntax) || syntax.Offset != c.offset || err.Error() != c.want {
			t.Errorf("%s: %v", c.text, err)
		}
	}
}

// TestMembersOfAMessage: what Read noted on its way is what reading the object again finds.
func TestMembersOfAMessage(t *testing.T) {
	for _, object := range []string{
		`{}`, `{ }`, `{"a":1}`, "{ \"a\" \t:\n {\"b\" : [ ] } , \"n\\u0061me\":\"x\" }", `{"":{}}`,
		`{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8}`, `{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8,"i":9}`,
		`{"x\"y":":","colon : ":"\""}`,
	} {
		for _, text := range []string{`{"jsonrpc":"2.0","id":1,"method":"m","params":` + object + `}`, `{"result":` + object + `,"jsonrpc":"2.0","id":1}`} {
			m, err := rpc.Read([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			got, err := m.Members(nil)
			if err != nil {
				t.Fatal(err)
			}
			want, err := rpc.Members(nil, []byte(object))
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != len(want) {
				t.Fatalf("%s: %d members, want %d", text, len(got), len(want))
			}
			for i := range want {
				if got[i].Name != want[i].Name || string(got[i].Raw) != string(want[i].Raw) || string(got[i].Value) != string(want[i].Value) {
					t.Errorf("%s: member %d is %s:%s, want %s:%s", text, i, got[i].Raw, got[i].Value, want[i].Raw, want[i].Value)
				}
				if found := m.Find(want[i].Name); string(found) != string(want[i].Value) {
					t.Errorf("%s: %s is %s, want %s", text, want[i].Raw, found, want[i].Value)
				}
			}
			if m.Find("nobody") != nil {
				t.Errorf("%s has a member that is not there", text)
			}
		}
	}
	m, err := rpc.Read([]byte(`{"jsonrpc":"2.0","id":1,"method":"m"}`))
	if members, _ := m.Members(nil); err != nil || members != nil || m.Find("a") != nil {
		t.Error("a message without params has members")
	}
}

// TestNamesWithEscapesAreTheirOwn: the decoded name of a member outlives the names inside its value.
func TestNamesWithEscapesAreTheirOwn(t *testing.T) {
	m, err := rpc.Read([]byte(`{"jsonrpc":"2.0","id":1,"method":"m","p\u0061rams":{"r\u0065sult":{"\u0065rror_":1}}}`))
	if err != nil || string(m.Params) != `{"r\u0065sult":{"\u0065rror_":1}}` {
		t.Errorf("params %s, %v", m.Params, err)
	}
}

// TestEnclose: what stood around a result is written over, the result is not, and nothing is written where there is no room.
func TestEnclose(t *testing.T) {
	for _, test := range []struct{ text, before, after, want string }{
		{`{"jsonrpc":"2.0","id":12345,"result":{"a":1}}`, `{"jsonrpc":"2.0","id":7,"result":`, `}`, `{"jsonrpc":"2.0","id":7,"result":{"a":1}}`},
		{`{"jsonrpc":"2.0","id":1,"result":{"a":1}}`, `{"jsonrpc":"2.0","id":1,"result":`, `}`, `{"jsonrpc":"2.0","id":1,"result":{"a":1}}`},
		{`{"jsonrpc":"2.0","id":1,"result":{"a":1}}`, `{"jsonrpc":"2.0","id":22,"result":`, `}`, ``},
		{`{"result":{"a":1},"jsonrpc":"2.0","id":1}`, `[`, `]]`, `[{"a":1}]]`},
		{`{"result":{"a":1},"jsonrpc":"2.0","id":1}`, `{"jsonrpc":"2.0","id":1,"result":`, `}`, ``},
		{`{"jsonrpc":"2.0","id":1,"result":{"a":1}}`, ``, `}}`, ``},
	} {
		text := []byte(test.text)
		m, err := rpc.Read(text)
		if err != nil {
			t.Fatal(err)
		}
		whole, ok := m.Enclose([]byte(test.before), []byte(test.after))
		if string(whole) != test.want || ok != (test.want != "") {
			t.Errorf("%s in %s and %s: %s, %v", test.text, test.before, test.after, whole, ok)
		}
		if string(m.Result) != `{"a":1}` {
			t.Errorf("the result became %s", m.Result)
		}
		if !ok && string(text) != test.text {
			t.Errorf("the text became %s", text)
		}
	}
}
