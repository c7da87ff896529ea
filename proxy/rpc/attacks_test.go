package rpc_test

import "strings"

// attack is a kind of text that one parser accepts and another does not, or that two parsers read differently.
type attack struct {
	name  string
	texts []string
}

func attacks() []attack {
	call := `{"jsonrpc":"2.0","id":1,"method":"ping"}`
	params := func(text string) string {
		return `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":` + text + `}`
	}
	return []attack{
		{"around the message", []string{
			"", " ", "\x00", "{", `{"jsonrpc"`,
			call + call, call + "\n" + call, call + "x", call + "\x00", call + ",", call + "]", call + "}", "x" + call, "," + call,
			"\ufeff" + call, "\u00a0" + call, "\u2028" + call, "\v" + call, "\f" + call, call + "\x1a",
			"\xff\xfe{\x00}\x00", // UTF-16
			"//\n" + call, "/**/" + call, call + "//", "#\n" + call,
		}},
		{"names twice: in the envelope, in params, deeper, as written or as decoded", []string{
			`{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}`,
			`{"jsonrpc":"2.0","id":1,"method":"ping","m\u0065thod":"tools/call"}`,
			`{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}`,
			`{"jsonrpc":"2.0","id":1,"method":"ping","x":1,"x":1}`,
			params(`{"name":"allowed","name":"denied"}`),
			params(`{"name":"allowed","n\u0061me":"denied"}`),
			params(`{"n\u0061me":"allowed","name":"denied"}`),
			params(`{"\u006eame":"allowed","nam\u0065":"denied"}`),
			params(`{"a":[{"b":{"c":1,"d":2,"c":3}}]}`),
			params(`{"":1,"":2}`),
			params(`{"\ud83d\ude00":1,"😀":2}`),
			params(`{"\/":1,"/":2}`),
			params(`{"\"":1,"\u0022":2}`),
			params(`{"` + strings.Repeat("long", 100) + `":1,"` + strings.Repeat("long", 100) + `":2}`),
			params(`{"a":{"x":1},"b":{"x":1},"a":2}`),
		}},
		{"strings", []string{
			params(`{"a":"` + "\xff" + `"}`), params(`{"a":"` + "\xc0\xaf" + `"}`), params(`{"a":"` + "\xed\xa0\x80" + `"}`), params(`{"a":"` + "\xf4\x90\x80\x80" + `"}`), params(`{"a":"` + "\xe2\x82" + `"}`),
			params(`{"` + "\xff" + `":1}`),
			params(`{"a":"\ud800"}`), params(`{"a":"\udc00"}`), params(`{"a":"\ud800\ud800"}`), params(`{"a":"\ud800x\udc00"}`), params(`{"a":"\udc00\ud800"}`), params(`{"\ud800":1}`),
			params(`{"a":"` + "\n" + `"}`), params(`{"a":"` + "\t" + `"}`), params(`{"a":"` + "\x00" + `"}`), params(`{"a":"` + "\x1f" + `"}`),
			params(`{"a":"\x41"}`), params(`{"a":"\a"}`), params(`{"a":"\'"}`), params(`{"a":"\u12"}`), params(`{"a":"\u12g4"}`), params(`{"a":"\U00000041"}`), params(`{"a":"\u+123"}`), params(`{"a":"\`),
			params(`{'a':1}`), params(`{a:1}`), params(`{"a":'b'}`), params("{`a`:1}"),
		}},
		{"numbers and literals", []string{
			params(`{"a":NaN}`), params(`{"a":Infinity}`), params(`{"a":-Infinity}`), params(`{"a":undefined}`), params(`{"a":True}`), params(`{"a":NULL}`), params(`{"a":nul}`), params(`{"a":nullx}`), params(`{"a":truefalse}`),
			params(`{"a":01}`), params(`{"a":-01}`), params(`{"a":+1}`), params(`{"a":.5}`), params(`{"a":1.}`), params(`{"a":1.e1}`), params(`{"a":1e}`), params(`{"a":1e+}`), params(`{"a":-}`), params(`{"a":0x10}`), params(`{"a":1_000}`), params(`{"a":1n}`), params(`{"a":--1}`),
		}},
		{"structure", []string{
			params(`{"a":1,}`), params(`{,}`), params(`{,"a":1}`), params(`{"a":1,,"b":2}`), params(`{"a"}`), params(`{"a":}`), params(`{:1}`), params(`{"a"=1}`), params(`{"a":1;"b":2}`), params(`{"a":1 "b":2}`), params(`{1:2}`), params(`{null:1}`), params(`{"a":[1,]}`), params(`{"a":[,1]}`), params(`{"a":[1 2]}`), params(`{"a":[1}`), params(`{"a":{]}`), params(`{"a":/**/1}`), params(`{"a":1//` + "\n" + `}`),
		}},
	}
}
