package rpc_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"mcpsidecar/proxy/rpc"
)

func seed(f *testing.F) {
	for _, group := range attacks() {
		for _, text := range group.texts {
			f.Add([]byte(text))
		}
	}
	for _, text := range []string{
		`{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"x","arguments":{"a":[1,-2.5e+10,true,false,null,"\ud83d\ude00é"]}}}`,
		`{"jsonrpc":"2.0","id":1,"result":{"content":[]}}`,
		`{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"m","data":{}}}`,
		`{"jsonrpc":"2.0","method":"notifications/x"}`,
		`{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8,"i":9,"j":10,"k":11,"l":12,"m":13,"n":14,"o":15,"p":16,"q":17,"\u0061b":18,"r":{"a":1}}`,
		`{"text":"` + strings.Repeat(`{\"a\":\"b\\n\",\n`, 20) + `"}`, `"` + strings.Repeat(`\\`, 63) + `\"` + strings.Repeat(`\`, 62) + `"`, `"\n` + strings.Repeat(`xy\n`, 15) + `\ud83d\ude00` + strings.Repeat(`\"é`, 30) + `"`,
		`[{"":""},[],{},"\"\\",0]`, ` null `, `"12345678\n12345678\\"`, strings.Repeat("[", 200), strings.Repeat(`{"a":`, 130) + "1" + strings.Repeat("}", 130),
	} {
		f.Add([]byte(text))
	}
}

// FuzzValid holds the scanner against a strict parser that others wrote: they differ in the depth that they allow, and in nothing else.
func FuzzValid(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		err := rpc.Valid(text)
		if errors.Is(err, rpc.ErrDepth) {
			return
		}
		if want := jsontext.Value(text).IsValid(); want != (err == nil) {
			t.Fatalf("jsontext says %v, we say %v", want, err)
		}
	})
}

// FuzzRead: what is accepted is valid JSON, its parts are, and rebuilt from them it is the same message.
func FuzzRead(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		before := bytes.Clone(text)
		m, err := rpc.Read(text)
		if !bytes.Equal(text, before) {
			t.Fatal("the text was changed")
		}
		if err != nil {
			if m.Kind != 0 || m.Method != "" || m.Params != nil || m.Result != nil || m.Error != nil || m.ID != nil && !errors.Is(err, rpc.ErrEnvelope) {
				t.Fatalf("%v came with %s", err, show(m))
			}
			return
		}
		if err := rpc.Valid(text); err != nil {
			t.Fatalf("accepted by Read, not by Valid: %v", err)
		}
		if object := append(m.Params[:len(m.Params):len(m.Params)], m.Result...); len(object) > 0 {
			noted, err := m.Members(nil)
			read, err2 := rpc.Members(nil, object)
			if err != nil || err2 != nil || !reflect.DeepEqual(noted, read) {
				t.Fatalf("noted %v, %v; read %v, %v", noted, err, read, err2)
			}
		}
		again, err := rpc.Read(rebuild(m))
		if err != nil || !same(m, again) {
			t.Fatalf("%s became %s, %v", show(m), show(again), err)
		}
	})
}

func rebuild(m rpc.Message) []byte {
	switch m.Kind {
	case rpc.Request:
		return rpc.AppendRequest(nil, m.ID, m.Method, m.Params)
	case rpc.Notification:
		return rpc.AppendNotification(nil, m.Method, m.Params)
	case rpc.Response:
		return rpc.AppendResult(nil, m.ID, m.Result)
	default:
		members := []rpc.Member{{Name: "jsonrpc", Value: []byte(`"2.0"`)}, {Name: "error", Value: m.Error}}
		if m.ID != nil {
			members = append(members, rpc.Member{Name: "id", Value: m.ID})
		}
		return rpc.AppendObject(nil, members)
	}
}

// FuzzSplit: of accepted text the splitters return what a parser returns; of any other they return without panic, in bounds.
func FuzzSplit(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		members, memberErr := rpc.Members(nil, text)
		elements, elementErr := rpc.Elements(nil, text)
		for _, m := range members {
			rpc.Find(text, m.Name)
			rpc.String(m.Value)
			rpc.ParseError(m.Value)
		}
		parts, _ := rpc.EditObject(nil, text, rpc.Edit{Name: "a", Value: []byte("1")}, rpc.Edit{Name: "name"})
		if rpc.Valid(text) != nil {
			return
		}
		switch jsontext.Value(text).Kind() {
		case '{':
			if memberErr != nil {
				t.Fatal(memberErr)
			}
			compareMembers(t, text, members)
			if err := rpc.Valid(bytes.Join(parts, nil)); err != nil {
				t.Fatalf("edited to %s: %v", bytes.Join(parts, nil), err)
			}
		case '[':
			if elementErr != nil {
				t.Fatal(elementErr)
			}
			compareElements(t, text, elements)
		case '"':
			var want string
			tok, err := jsontext.NewDecoder(bytes.NewReader(text)).ReadToken()
			if err == nil {
				want = tok.String()
			}
			if got, ok := rpc.String(bytes.Trim(text, " \t\r\n")); !ok || got != want || !rpc.Equal(bytes.Trim(text, " \t\r\n"), want) {
				t.Fatalf("%s decodes to %q, want %q", text, got, want)
			}
		}
	})
}

func compareMembers(t *testing.T, text []byte, members []rpc.Member) {
	d := jsontext.NewDecoder(bytes.NewReader(text))
	d.ReadToken()
	i := 0
	for ; d.PeekKind() != '}'; i++ {
		tok, _ := d.ReadToken()
		name := tok.String()
		value, err := d.ReadValue()
		if err != nil {
			t.Fatal(err)
		}
		if i == len(members) || members[i].Name != name || !bytes.Equal(members[i].Value, value) {
			t.Fatalf("member %d is %q: %s", i, name, value)
		}
		if found := rpc.Find(text, name); !bytes.Equal(found, value) {
			t.Fatalf("found %s for %q, want %s", found, name, value)
		}
	}
	if i != len(members) {
		t.Fatalf("%d members too many", len(members)-i)
	}
}

func compareElements(t *testing.T, text []byte, elements [][]byte) {
	d := jsontext.NewDecoder(bytes.NewReader(text))
	d.ReadToken()
	i := 0
	for ; d.PeekKind() != ']'; i++ {
		value, err := d.ReadValue()
		if err != nil || i == len(elements) || !bytes.Equal(elements[i], value) {
			t.Fatalf("element %d is %s, %v", i, value, err)
		}
	}
	if i != len(elements) {
		t.Fatalf("%d elements too many", len(elements)-i)
	}
}

// FuzzAppendString: what is written reads back; only what was not UTF-8 is changed.
func FuzzAppendString(f *testing.F) {
	for _, text := range []string{"", "a", "\"\\/\b\f\n\r\t\x00\x1f\x7f", "é😀\u2028", "\xff", "a\xc0b", "\xed\xa0\x80"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		literal := rpc.AppendString(nil, text)
		if err := rpc.Valid(literal); err != nil {
			t.Fatalf("%q: %v", literal, err)
		}
		want := string([]rune(text))
		if got, ok := rpc.String(literal); !ok || got != want || !rpc.Equal(literal, want) {
			t.Fatalf("%q became %q", text, got)
		}
	})
}

// FuzzEventReader: however a stream is cut, the events are the ones that a plain reading of the whole text has.
func FuzzEventReader(f *testing.F) {
	for _, stream := range []string{
		"\ufeffid: 1\r\nevent: x\rdata: a\n\ndata\ndata:b\r\r\n: c\rretry: 5\n\r\nid\ndata:  \n\n", "data: a\r", "\xef\xbb", ":\r\n\r\ndata", "id: \x00\ndata: \x00\n\n",
		"data: " + strings.Repeat("x", 5000) + "\r\ndata: y\n\n" + strings.Repeat(":\n", 3000) + "data: z\n\n",
	} {
		f.Add([]byte(stream), uint64(1))
	}
	f.Fuzz(func(t *testing.T, stream []byte, cuts uint64) {
		const limit = 1 << 20
		want := events(plainEvents(stream), limit)
		if got := events(&ragged{stream, rand.New(rand.NewPCG(cuts, 0))}, limit); got != want {
			t.Fatalf("%q cut gives\n%s\nwant\n%s", stream, got, want)
		}
		if strings.Contains(want, rpc.ErrTooLarge.Error()) {
			return // the standard knows no limits
		}
		var model strings.Builder
		for _, e := range modelEvents(string(stream)) {
			model.WriteString(e)
		}
		if got, _, _ := cutLast(want); got != model.String() {
			t.Fatalf("%q reads as\n%s\nwant\n%s", stream, got, model.String())
		}
	})
}

func plainEvents(stream []byte) io.Reader { return bytes.NewReader(stream) }

// cutLast cuts off the last line, which says how the stream ended.
func cutLast(text string) (before, last string, ok bool) {
	i := strings.LastIndexByte(text, '\n')
	return text[:i+1], text[i+1:], i >= 0
}

// modelEvents is the standard's algorithm on a text that is all there.
func modelEvents(stream string) (events []string) {
	stream = strings.TrimPrefix(stream, "\ufeff")
	stream = strings.ReplaceAll(strings.ReplaceAll(stream, "\r\n", "\n"), "\r", "\n")
	lines := strings.Split(stream, "\n")
	var typ, id string
	var data []string
	for _, line := range lines[:len(lines)-1] {
		if line == "" {
			if text := strings.Join(data, "\n"); text != "" {
				events = append(events, eventLine(typ, id, text))
			}
			typ, id, data = "", "", nil
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case name == "data":
			data = append(data, value)
		case name == "event":
			typ = value
		case name == "id" && !strings.Contains(value, "\x00"):
			id = value
		}
	}
	return events
}

// ragged returns a few bytes at a time.
type ragged struct {
	rest   []byte
	random *rand.Rand
}

func (r *ragged) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.rest[:min(len(r.rest), r.random.IntN(9))])
	r.rest = r.rest[n:]
	return n, nil
}

// FuzzAppendEvent: what is appended is read back as one event, whatever the data and the id.
func FuzzAppendEvent(f *testing.F) {
	f.Add("7", []byte("a\nb\r\nc\rd"))
	f.Add("7\n\ndata: forged", []byte("\n\n"))
	f.Fuzz(func(t *testing.T, id string, data []byte) {
		if len(id) > 4000 || len(data) == 0 {
			return
		}
		text := rpc.AppendEvent(nil, id, data)
		r := rpc.NewEventReader(bytes.NewReader(text), 1<<20)
		defer r.Release()
		e, err := r.Next()
		want := strings.ReplaceAll(strings.ReplaceAll(string(data), "\r\n", "\n"), "\r", "\n")
		if err != nil || string(e.Data) != want || e.ID != id && !strings.ContainsAny(id, "\r\n\x00") {
			t.Fatalf("%q is read as %q, %v", text, e.Data, err)
		}
		if _, err := r.Next(); err != io.EOF {
			t.Fatalf("and then %v", err)
		}
	})
}
