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

// escapedTextSlowly is escapedText, byte by byte and to the end: where the first byte is that is neither plain nor of a short escape.
func escapedTextSlowly(text []byte, i int) int {
	for i < len(text) {
		switch c := text[i]; {
		case c == '\\' && i+1 < len(text) && shortEscape[text[i+1]]:
			i += 2
		case c < ' ' || c == '"' || c == '\\' || c > 0x7f:
			return i
		default:
			i++
		}
	}
	return i
}

// escapedText never goes further than it may, never stops in the midst of an escape, and gets on where escapes are far from each other.
func TestEscapedText(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	follows := []byte(`nnnnrtbf"\/ux ` + "\x00\x80")
	for range 50_000 {
		text := bytes.Repeat([]byte{'x'}, 2+random.IntN(200))
		for range random.IntN(6) {
			at := random.IntN(len(text) - 1)
			text[at], text[at+1] = '\\', follows[random.IntN(len(follows))]
		}
		if random.IntN(3) == 0 {
			text[random.IntN(len(text))] = []byte{'"', 0x1f, 0xc3, 0x7f}[random.IntN(4)]
		}
		from := random.IntN(len(text))
		text[from] = '\\'
		got, most := escapedText(text, from), escapedTextSlowly(text, from)
		if got < from || got > most {
			t.Fatalf("escapedText(%q, %d) is %d, which is not between that and %d", text, from, got, most)
		}
		if rest := escapedTextSlowly(text, got); rest != most {
			t.Fatalf("escapedText(%q, %d) is %d, in the midst of an escape", text, from, got)
		}
	}
	line := bytes.Repeat([]byte(`\n`+"0123456789012345678901234567890123456789"), 10)
	if got := escapedText(line, 0); fast && got < len(line)-33 {
		t.Errorf("of %d bytes with few escapes it passes only %d", len(line), got)
	}
}
