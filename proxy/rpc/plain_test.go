package rpc

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// TestFastAndSlowAgree holds what uses the processor's wide registers against what does not, at every alignment and length around the edges.
func TestFastAndSlowAgree(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	special := []byte{0, 0x1f, ' ', '!', '"', '\\', 'a', 0x7e, 0x7f, 0x80, 0xff}
	for range 20_000 {
		text := bytes.Repeat([]byte{'x'}, random.IntN(200))
		for range random.IntN(4) {
			if len(text) > 0 {
				text[random.IntN(len(text))] = special[random.IntN(len(special))]
			}
		}
		from := random.IntN(len(text) + 1)
		if got, want := plain(text, from), plainWords(text, from); got != want {
			t.Fatalf("plain(%q, %d) is %d, want %d", text, from, got, want)
		}
		if len(text)-from >= 64 {
			block := text[from : from+64]
			quote, slant, ok := blockMarks(block)
			wantQuote, wantSlant, wantOK := blockMarksWords(block)
			if ok != wantOK || ok && (quote != wantQuote || slant != wantSlant) {
				t.Fatalf("blockMarks(%q) is %b, %b, %v; want %b, %b, %v", block, quote, slant, ok, wantQuote, wantSlant, wantOK)
			}
		}
	}
}
