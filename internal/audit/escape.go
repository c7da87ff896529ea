package audit

import (
	"unicode"
	"unicode/utf8"
)

// plain are the ASCII characters that stand for themselves.
var plain = func() (table [utf8.RuneSelf]bool) {
	for c := ' '; c <= '~'; c++ {
		table[c] = c != '"' && c != '\\'
	}
	return table
}()

// appendQuoted appends a text as a JSON string in which every character can be seen, cut to limit bytes of the text.
func appendQuoted(b []byte, text string, limit int) []byte {
	text, cut := shorten(text, limit)
	b = append(b, '"')
	start := 0
	for i := 0; i < len(text); {
		if text[i] < utf8.RuneSelf && plain[text[i]] {
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(text[i:])
		if r != utf8.RuneError && visible(r) {
			i += size
			continue
		}
		b = append(b, text[start:i]...)
		b = appendEscaped(b, r)
		i += size
		start = i
	}
	b = append(b, text[start:]...)
	if cut {
		b = append(b, "…"...)
	}
	return append(b, '"')
}

// shorten cuts a text that is longer than limit, between two characters, and says whether it did.
func shorten(text string, limit int) (string, bool) {
	if len(text) <= limit {
		return text, false
	}
	end := limit
	for end > 0 && end > limit-utf8.UTFMax && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end], true
}

// visible says whether a character beyond plain ASCII shows as what it is. Not so: control and format characters, directional marks and line separators among them, spaces of other widths, and
// what fonts draw as nothing.
func visible(r rune) bool {
	return r >= utf8.RuneSelf && unicode.IsPrint(r) && !unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector) && r != brailleBlank
}

const brailleBlank = '\u2800'

const hexDigits = "0123456789abcdef"

// appendEscaped appends \uXXXX, two of them beyond the basic plane, but for the two characters that have a shorter way everybody reads. A byte that is no UTF-8 becomes U+FFFD.
func appendEscaped(b []byte, r rune) []byte {
	if r == '"' || r == '\\' {
		return append(b, '\\', byte(r))
	}
	if r > 0xffff {
		r -= 0x10000
		return appendUnit(appendUnit(b, 0xd800+r>>10), 0xdc00+r&0x3ff)
	}
	return appendUnit(b, r)
}

func appendUnit(b []byte, u rune) []byte {
	return append(b, '\\', 'u', hexDigits[u>>12&15], hexDigits[u>>8&15], hexDigits[u>>4&15], hexDigits[u&15])
}
