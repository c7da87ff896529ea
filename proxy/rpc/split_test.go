package rpc_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"mcpsidecar/proxy/rpc"
)

func TestMembers(t *testing.T) {
	for _, c := range []struct{ object, want string }{
		{`{}`, ``},
		{" { } ", ``},
		{`{"a":1}`, `a="a":1;`},
		{` { "a" : [ 1 , {"b":"}"} ] , "\u0062" : "x\"y" } `, `a="a":[ 1 , {"b":"}"} ];b="\u0062":"x\"y";`},
		{`{"a":"` + strings.Repeat(`\\`, 40) + `","b":null}`, `a="a":"` + strings.Repeat(`\\`, 40) + `";b="b":null;`},
		{`{"a":"` + strings.Repeat(`\"`, 40) + strings.Repeat("long ", 20) + `\\","b":-1.5e+3}`, `a="a":"` + strings.Repeat(`\"`, 40) + strings.Repeat("long ", 20) + `\\";b="b":-1.5e+3;`},
		{`{"a":{"b":{"c":[[],{}]}},"d":true}`, `a="a":{"b":{"c":[[],{}]}};d="d":true;`},
	} {
		if err := rpc.Valid([]byte(c.object)); err != nil {
			t.Fatal(err)
		}
		members, err := rpc.Members(nil, []byte(c.object))
		var got strings.Builder
		for _, m := range members {
			fmt.Fprintf(&got, "%s=%s:%s;", m.Name, m.Raw, m.Value)
		}
		if err != nil || got.String() != c.want {
			t.Errorf("%s\n\tgot  %s, %v\n\twant %s", c.object, got.String(), err, c.want)
		}
	}
}

func TestMembersAppends(t *testing.T) {
	first := []rpc.Member{{Name: "first"}}
	members, err := rpc.Members(first, []byte(`{"second":2}`))
	if err != nil || len(members) != 2 || members[0].Name != "first" || members[1].Name != "second" {
		t.Error(members, err)
	}
}

func TestElementsHaveAnEnd(t *testing.T) {
	for most, want := range map[int]error{0: rpc.ErrTooMany, 2: rpc.ErrTooMany, 3: nil, 4: nil} {
		elements, err := rpc.ElementsUpTo(nil, []byte(`[1, {"a":[2,3]}, "," ]`), most)
		if err != want || len(elements) != min(most, 3) {
			t.Errorf("%d at most: %q, %v", most, elements, err)
		}
	}
	if _, err := rpc.ElementsUpTo(nil, []byte(`[1,`), 1); !errors.Is(err, rpc.ErrSyntax) {
		t.Errorf("half an array: %v", err)
	}
}

func TestElements(t *testing.T) {
	for _, c := range []struct{ array, want string }{
		{`[]`, ``},
		{" [\n] ", ``},
		{`[1]`, `1;`},
		{` [ 1 , "a,]" ,[2,3] , {"b":[4]},null ] `, `1;"a,]";[2,3];{"b":[4]};null;`},
	} {
		elements, err := rpc.Elements(nil, []byte(c.array))
		var got strings.Builder
		for _, e := range elements {
			fmt.Fprintf(&got, "%s;", e)
		}
		if err != nil || got.String() != c.want {
			t.Errorf("%s: %s, %v, want %s", c.array, got.String(), err, c.want)
		}
	}
}

// The splitters do not check, but they do not pretend either.
func TestSplittersRefuseWhatTheyCannotSplit(t *testing.T) {
	for _, text := range []string{``, ` `, `{`, `[`, `1`, `"a"`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{"a":1,}`, `{"a":1}}`, `{"a":1}x`, `{"a" 1}`, `{a:1}`, `{"a":"b`, `{"a":"b\"}`, `{"a":[}`, `{"a":`, `[1,`, `[1,]`, `[1]]`, `[1 2]`, `["a`, `[,]`, `["\`} {
		if _, err := rpc.Members(nil, []byte(text)); !errors.Is(err, rpc.ErrSyntax) {
			t.Errorf("members of %s: %v", text, err)
		}
		if _, err := rpc.Elements(nil, []byte(text)); !errors.Is(err, rpc.ErrSyntax) {
			t.Errorf("elements of %s: %v", text, err)
		}
	}
}

func TestFind(t *testing.T) {
	object := []byte(`{"name":"x","n\u0061me2":[1],"nested":{"inner":1},"":"empty","😀":"\ud83d\ude00","null":null}`)
	for name, want := range map[string]string{"name": `"x"`, "name2": `[1]`, "nested": `{"inner":1}`, "": `"empty"`, "😀": `"\ud83d\ude00"`, "null": `null`, "inner": ``, "Name": ``, "n\\u0061me2": ``} {
		if got := rpc.Find(object, name); string(got) != want || (got == nil) != (want == "") {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if got := rpc.Find([]byte(`["name"]`), "name"); got != nil {
		t.Errorf("found %s in an array", got)
	}
}

func TestString(t *testing.T) {
	for _, c := range []struct{ raw, want string }{
		{`""`, ""}, {`"a"`, "a"}, {`"é"`, "é"}, {`"\u00e9"`, "é"}, {`"\u00E9\u00e9"`, "éé"}, {`"\ud83d\ude00!"`, "😀!"}, {`"\"\\\/\b\f\n\r\t"`, "\"\\/\b\f\n\r\t"}, {`"a\u0000b"`, "a\x00b"}, {`"\\u0061"`, `\u0061`}, {`"\uffff"`, "\uffff"},
	} {
		got, ok := rpc.String([]byte(c.raw))
		if !ok || got != c.want || !rpc.Equal([]byte(c.raw), c.want) || rpc.Equal([]byte(c.raw), c.want+"x") {
			t.Errorf("%s: %q, want %q", c.raw, got, c.want)
		}
	}
	for _, raw := range []string{``, `"`, `1`, `null`, `{}`, `["a"]`, `a`, `"a`, `a"`} {
		if got, ok := rpc.String([]byte(raw)); ok || got != "" || rpc.Equal([]byte(raw), "") {
			t.Errorf("%s is a string: %q", raw, got)
		}
	}
}

// A body that is reused must not change a name that was read from it: the names of a catalog outlive the answer that listed them.
func TestStringsOutliveTheText(t *testing.T) {
	text := []byte(`{"jsonrpc":"2.0","id":1,"method":"vendor/method","params":{"member":"value"}}`)
	m, err := rpc.Read(text)
	if err != nil {
		t.Fatal(err)
	}
	members, err := rpc.Members(nil, m.Params)
	if err != nil {
		t.Fatal(err)
	}
	value, _ := rpc.String(members[0].Value)
	clear(text)
	if m.Method != "vendor/method" || members[0].Name != "member" || value != "value" {
		t.Error(m.Method, members[0].Name, value)
	}
}

func TestBuilders(t *testing.T) {
	id := []byte(`"i"`)
	for _, c := range []struct{ got, want string }{
		{string(rpc.AppendError(nil, nil, rpc.Error{Code: -32700, Message: "Parse error"})), `{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error"}}`},
		{string(rpc.AppendError([]byte("x"), id, rpc.Error{Code: 1, Message: "a\"b", Data: []byte(`{"c":1}`)})), `x{"jsonrpc":"2.0","id":"i","error":{"code":1,"message":"a\"b","data":{"c":1}}}`},
		{string(rpc.AppendResult(nil, id, []byte(`{}`))), `{"jsonrpc":"2.0","id":"i","result":{}}`},
		{string(rpc.AppendRequest(nil, id, "a/b", nil)), `{"jsonrpc":"2.0","id":"i","method":"a/b"}`},
		{string(rpc.AppendRequest(nil, id, "a", []byte(`{"b":1}`))), `{"jsonrpc":"2.0","id":"i","method":"a","params":{"b":1}}`},
		{string(rpc.AppendNotification(nil, "a", []byte(`{}`))), `{"jsonrpc":"2.0","method":"a","params":{}}`},
		{string(rpc.AppendObject(nil, nil)), `{}`},
		{string(rpc.AppendObject(nil, []rpc.Member{{Name: "a\n", Value: []byte(`1`)}, {Name: "b", Raw: []byte(`"\u0062"`), Value: []byte(`[]`)}})), `{"a\n":1,"\u0062":[]}`},
		{string(rpc.AppendArray(nil, nil)), `[]`},
		{string(rpc.AppendArray(nil, [][]byte{[]byte(`1`), []byte(`{}`)})), `[1,{}]`},
		{string(rpc.AppendString(nil, "a\"\\\n\r\t\x00\x1fé\xff")), `"a\"\\\n\r\t\u0000\u001fé` + "\uFFFD" + `"`},
	} {
		if c.got != c.want {
			t.Errorf("got %s, want %s", c.got, c.want)
		}
	}
}

func TestParseError(t *testing.T) {
	e, ok := rpc.ParseError([]byte(`{"data":[1],"message":"m\u0021","code":-32042}`))
	if !ok || e.Code != -32042 || e.Message != "m!" || string(e.Data) != "[1]" {
		t.Error(e, ok)
	}
	if _, ok := rpc.ParseError([]byte(`{"code":1,"message":null}`)); ok {
		t.Error("accepted")
	}
}

func TestEditObject(t *testing.T) {
	set := func(name, value string) rpc.Edit { return rpc.Edit{Name: name, Value: []byte(value)} }
	drop := func(name string) rpc.Edit { return rpc.Edit{Name: name} }
	for _, c := range []struct {
		object string
		edits  []rpc.Edit
		want   string
	}{
		{`{}`, nil, `{}`},
		{` { "a" : 1 , "b" : 2 } `, nil, `{"a" : 1 , "b" : 2}`},
		{`{"a":1,"b":2,"c":3}`, []rpc.Edit{set("b", `"x"`)}, `{"a":1,"b":"x","c":3}`},
		{`{"a":1,"b":2,"c":3}`, []rpc.Edit{set("a", `0`), set("c", `{}`)}, `{"a":0,"b":2,"c":{}}`},
		{`{"a":1,"b":2,"c":3}`, []rpc.Edit{drop("b")}, `{"a":1,"c":3}`},
		{`{"a":1,"b":2,"c":3}`, []rpc.Edit{drop("a"), drop("b"), drop("c")}, `{}`},
		{`{"a":1,"b":2,"c":3}`, []rpc.Edit{drop("a"), drop("c")}, `{"b":2}`},
		{`{"a":1,"b":2,"c":3,"d":4}`, []rpc.Edit{drop("b"), set("new", `5`)}, `{"a":1,"c":3,"d":4,"new":5}`},
		{`{"\u0061":1}`, []rpc.Edit{set("a", `2`)}, `{"\u0061":2}`},
		{`{}`, []rpc.Edit{set("a\"", `2`), drop("b")}, `{"a\"":2}`},
		{`{"a":{"b":1}}`, []rpc.Edit{drop("b")}, `{"a":{"b":1}}`},
	} {
		parts, err := rpc.EditObject(nil, []byte(c.object), c.edits...)
		if got := string(bytes.Join(parts, nil)); err != nil || got != c.want {
			t.Errorf("%s: %s, %v, want %s", c.object, got, err, c.want)
		}
	}
	if _, err := rpc.EditObject(nil, []byte(`{"a":`)); err == nil {
		t.Error("half an object was edited")
	}
}
