package rpc_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"mcpsidecar/proxy/rpc"
)

// sample is a message of the size and kind that decides how fast a gateway feels.
type sample struct {
	name string
	text []byte
}

func samples() []sample {
	result := func(text string) []byte {
		return []byte(`{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"` + text + `"}]}}`)
	}
	many := func(open, end, item string) []byte {
		var b bytes.Buffer
		b.WriteString(`{"jsonrpc":"2.0","id":1,"result":` + open)
		for i := 0; b.Len() < 1<<20; i++ {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, item, i)
		}
		b.WriteString(end + `}`)
		return b.Bytes()
	}
	return []sample{
		{"call 1KiB", []byte(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"a":1,"b":[true,null,1.5],"text":"` + strings.Repeat("x", 850) + `"}}}`)},
		{"text 64KiB", result(strings.Repeat("hello ", 64<<10/6))},
		{"string 1MiB", result(strings.Repeat("x", 1<<20))},
		{"lines 1MiB", result(strings.Repeat(strings.Repeat("y", 60)+`\n`, 1<<20/62))},
		{"json in json 1MiB", result(nested(1 << 20))},
		{"cyrillic 1MiB", result(strings.Repeat("привет мир ", 1<<20/20))},
		{"records 1MiB", many(`{"list":[`, `]}`, `{"id":%[1]d,"name":"item %[1]d","ok":true,"v":null,"n":1.25}`)},
		{"one object 1MiB", many(`{`, `}`, `"k%[1]d":%[1]d`)},
	}
}

// nested returns records as JSON inside a JSON string, which is how many servers answer. Lengths vary, for a processor learns a pattern that repeats.
func nested(size int) string {
	random := rand.New(rand.NewPCG(1, 2))
	var b strings.Builder
	for b.Len() < size {
		fmt.Fprintf(&b, `{\"%s\":\"%s\",\n  \"n\":%d},`, strings.Repeat("k", 2+random.IntN(12)), strings.Repeat("v", random.IntN(40)), random.IntN(1e6))
	}
	return b.String()
}

func BenchmarkRead(b *testing.B) {
	for _, s := range samples() {
		b.Run(s.name, func(b *testing.B) {
			b.SetBytes(int64(len(s.text)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := rpc.Read(s.text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkJSONText is the bar: the library's own check of the same texts.
func BenchmarkJSONText(b *testing.B) {
	for _, s := range samples() {
		b.Run(s.name, func(b *testing.B) {
			b.SetBytes(int64(len(s.text)))
			b.ReportAllocs()
			for b.Loop() {
				if !jsontext.Value(s.text).IsValid() {
					b.Fatal("not valid")
				}
			}
		})
	}
}

func BenchmarkFind(b *testing.B) {
	for _, s := range samples() {
		b.Run(s.name, func(b *testing.B) {
			b.SetBytes(int64(len(s.text)))
			b.ReportAllocs()
			for b.Loop() {
				if rpc.Find(s.text, "absent") != nil {
					b.Fatal("found")
				}
			}
		})
	}
}

func BenchmarkMembers(b *testing.B) {
	object := []byte(`{"name":"echo","title":"Echo","description":"Says it again","inputSchema":{"type":"object","properties":{"text":{"type":"string"}},"required":["text"]},"annotations":{"readOnlyHint":true}}`)
	b.SetBytes(int64(len(object)))
	b.ReportAllocs()
	var room [8]rpc.Member
	for b.Loop() {
		if _, err := rpc.Members(room[:0], object); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEventReader(b *testing.B) {
	for _, size := range []int{100, 1 << 10, 64 << 10, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			event := rpc.AppendEvent(nil, "", bytes.Repeat([]byte("x"), size))
			b.SetBytes(int64(len(event)))
			b.ReportAllocs()
			r := rpc.NewEventReader(&endless{text: event}, 16<<20)
			defer r.Release()
			for b.Loop() {
				if e, err := r.Next(); err != nil || len(e.Data) != size {
					b.Fatal(len(e.Data), err)
				}
			}
		})
	}
}

// endless repeats a text.
type endless struct {
	text []byte
	at   int
}

func (e *endless) Read(p []byte) (int, error) {
	if e.at == len(e.text) {
		e.at = 0
	}
	n := copy(p, e.text[e.at:])
	e.at += n
	return n, nil
}

func BenchmarkReadAll(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10, 1<<20 + 200} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			body := bytes.Repeat([]byte("x"), size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			r := bytes.NewReader(body)
			for b.Loop() {
				r.Reset(body)
				buf, err := rpc.ReadAll(struct{ io.Reader }{r}, int64(size), 4<<20)
				if err != nil {
					b.Fatal(err)
				}
				buf.Release()
			}
		})
	}
}
