package rpc_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"mcpsidecar/proxy/rpc"
)

// amplifiers are the texts that cost a parser the most memory for their size.
func amplifiers(size int) map[string]string {
	list := func(item string) string { return strings.Repeat(item+",", size/(len(item)+1)) + item }
	members := func(format string) string {
		var b strings.Builder
		for i := 0; b.Len() < size; i++ {
			fmt.Fprintf(&b, format, i)
		}
		return strings.TrimSuffix(b.String(), ",")
	}
	var crowd strings.Builder // as many members as just need a table
	for i := range 17 {
		fmt.Fprintf(&crowd, `"%x":0,`, i)
	}
	tower := func(depth int) string {
		return strings.Repeat(`{`+crowd.String()+`"x":`, depth) + "0" + strings.Repeat("}", depth)
	}
	return map[string]string{
		"empty objects":          list(`{}`),
		"empty arrays":           list(`[]`),
		"empty strings":          list(`""`),
		"unique names":           `{` + members(`"%x":0,`) + `}`,
		"escaped names":          `{` + members(`"\n%x":0,`) + `}`,
		"crowded objects":        list(`{` + strings.TrimSuffix(crowd.String(), ",") + `}`),
		"crowded towers":         list(tower(120)),
		"near names":             `{` + members(`"a long name that begins like the others %08d and ends like them":0,`) + `}`,
		"one large, then crowds": `{` + members(`"%x":0,`) + `},` + list(`{`+strings.TrimSuffix(crowd.String(), ",")+`}`),
	}
}

// L-02: no text costs more than six times its size, all that is allocated and freed on the way included. Decoding into maps costs fifty times.
func TestReadIsNoAmplifier(t *testing.T) {
	for name, items := range amplifiers(1 << 20) {
		t.Run(name, func(t *testing.T) {
			text := []byte(`{"jsonrpc":"2.0","id":1,"method":"m","params":{"a":[` + items + `]}}`)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			if _, err := rpc.Read(text); err != nil {
				t.Fatal(err)
			}
			runtime.ReadMemStats(&after)
			if n := after.TotalAlloc - before.TotalAlloc; n > 6*uint64(len(text)) {
				t.Errorf("%d bytes allocated in all for a text of %d", n, len(text))
			}
		})
	}
}

// A name that is there twice is found wherever the two stand, among few and among many.
func TestReadFindsDuplicatesAtAnyDistance(t *testing.T) {
	for _, n := range []int{1, 2, 8, 15, 16, 17, 18, 42, 43, 64, 1000, 5_000} {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `"name %d":{"name %d":[]},`, i, i)
		}
		for _, twin := range []int{0, n / 2, n - 1} {
			for _, format := range []string{`{%s"name %d":0}`, `{%s"n\u0061me %d":0}`} {
				if err := rpc.Valid(fmt.Appendf(nil, format, b.String(), twin)); !errors.Is(err, rpc.ErrSyntax) {
					t.Errorf("%d members, %d twice: %v", n, twin, err)
				}
			}
		}
		if err := rpc.Valid(fmt.Appendf(nil, `{%s"name %d":0}`, b.String(), n)); err != nil {
			t.Errorf("%d members: %v", n, err)
		}
	}
}

// The same with every name escaped, so that they live in the reader's own memory.
func TestReadFindsDuplicatesAmongEscapedNames(t *testing.T) {
	for _, n := range []int{1, 16, 17, 200} {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `"\u006eame %d":{"\t%d":1},`, i, i)
		}
		for _, twin := range []string{`"name 0"`, `"n\u0061me 0"`} {
			if err := rpc.Valid([]byte(`{` + b.String() + twin + `:0}`)); !errors.Is(err, rpc.ErrSyntax) {
				t.Errorf("%d members, %s: %v", n, twin, err)
			}
		}
		if err := rpc.Valid([]byte(`{` + b.String() + `"name":0,"name 0\"":0}`)); err != nil {
			t.Errorf("%d members: %v", n, err)
		}
	}
}

// Strings of quotes and escapes in every position of a block, against a parser that goes byte by byte.
func TestStringsAgreeWithAnotherParser(t *testing.T) {
	pieces := []string{`\`, `\\`, `\\\`, `"`, `\"`, `\n`, `\u0041`, `\ud83d\ude00`, `x`, `xy`, `]`, `#`, `\]`, `é`, "\x01", strings.Repeat("z", 31), strings.Repeat(`\\`, 31)}
	// Most pieces are harmless, so that long texts have a chance to be valid.
	weights := []int{0, 1, 0, 0, 4, 4, 4, 1, 4, 4, 1, 1, 0, 1, 0, 1, 1}
	var harmless []string
	for i, piece := range pieces {
		for range weights[i] {
			harmless = append(harmless, piece)
		}
	}
	random := rand.New(rand.NewPCG(3, 4))
	valid := 0
	for range 20_000 {
		text := []byte{'"'}
		for range random.IntN(120) {
			from := harmless
			if random.IntN(60) == 0 {
				from = pieces
			}
			text = append(text, from[random.IntN(len(from))]...)
		}
		text = append(text, '"')
		want := jsontext.Value(text).IsValid()
		if err := rpc.Valid(text); (err == nil) != want {
			t.Fatalf("%s: jsontext says %v, we say %v", text, want, err)
		}
		if want {
			valid++
			if elements, err := rpc.Elements(nil, fmt.Appendf(nil, "[%s,0]", text)); err != nil || !bytes.Equal(elements[0], text) {
				t.Fatalf("%s was split as %s", text, elements)
			}
		}
	}
	if valid < 4_000 || valid > 18_000 {
		t.Errorf("%d were valid, so this says little", valid)
	}
}
