package rpc

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	ones   = 0x0101010101010101
	tops   = 0x8080808080808080
	spaces = ' ' * ones
	quotes = '"' * ones
	slants = '\\' * ones
)

// special marks, in the top bit of each byte of a word, the bytes that end plain text: controls, quotes, backslashes and everything beyond ASCII.
// A subtraction borrows only out of a byte that is itself marked, so the lowest mark is exact; higher ones may not be.
func special(w uint64) uint64 {
	return (w | (w - spaces) | ((w ^ quotes) - ones) | ((w ^ slants) - ones)) & tops
}

// isPlain says whether a byte stands for itself in a string and is ASCII.
func isPlain(c byte) bool { return c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf }

// word is special for the eight bytes at i, or 0 if there are fewer.
func word(text []byte, i int) uint64 {
	if i+8 > len(text) {
		return 0
	}
	return special(binary.LittleEndian.Uint64(text[i:]))
}

// plainWords is plain, eight bytes at a time.
func plainWords(text []byte, i int) int {
	for ; i+32 <= len(text); i += 32 {
		b := text[i : i+32 : i+32]
		m0 := special(binary.LittleEndian.Uint64(b[0:]))
		m1 := special(binary.LittleEndian.Uint64(b[8:]))
		m2 := special(binary.LittleEndian.Uint64(b[16:]))
		m3 := special(binary.LittleEndian.Uint64(b[24:]))
		if m0|m1|m2|m3 == 0 {
			continue
		}
		switch {
		case m0 != 0:
			return i + bits.TrailingZeros64(m0)/8
		case m1 != 0:
			return i + 8 + bits.TrailingZeros64(m1)/8
		case m2 != 0:
			return i + 16 + bits.TrailingZeros64(m2)/8
		default:
			return i + 24 + bits.TrailingZeros64(m3)/8
		}
	}
	for ; i+8 <= len(text); i += 8 {
		if m := special(binary.LittleEndian.Uint64(text[i:])); m != 0 {
			return i + bits.TrailingZeros64(m)/8
		}
	}
	for i < len(text) && isPlain(text[i]) {
		i++
	}
	return i
}

// skipSpace skips the four characters that JSON calls white space.
func skipSpace(text []byte, i int) int {
	for uint(i) < uint(len(text)) && text[i] <= ' ' && 1<<text[i]&(1<<' '|1<<'\t'|1<<'\n'|1<<'\r') != 0 {
		i++
	}
	return i
}

// hex4 reads four hexadecimal digits, or returns -1.
func hex4(text []byte, i int) rune {
	if i+4 > len(text) {
		return -1
	}
	var r rune
	for _, c := range text[i : i+4] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}

// appendDecoded appends what stands between the quotes of a string, decoded. It trusts the text to be accepted already; of anything else it makes something, in bounds.
func appendDecoded(dst, inner []byte) []byte {
	for {
		i := bytes.IndexByte(inner, '\\')
		if i < 0 || i+1 >= len(inner) {
			return append(dst, inner...)
		}
		dst = append(dst, inner[:i]...)
		c := inner[i+1]
		if c != 'u' {
			dst = append(dst, unescape(c))
			inner = inner[i+2:]
			continue
		}
		r, size := hex4(inner, i+2), 6
		if utf16.IsSurrogate(r) {
			r, size = utf16.DecodeRune(r, hex4(inner, i+8)), 12
		}
		dst = utf8.AppendRune(dst, r)
		inner = inner[min(i+size, len(inner)):]
	}
}

func unescape(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	default:
		return c
	}
}

// quoted returns what stands between the quotes of a raw string.
func quoted(raw []byte) (inner []byte, ok bool) {
	if len(raw) < 2 || raw[0] != '"' || raw[len(raw)-1] != '"' {
		return nil, false
	}
	return raw[1 : len(raw)-1], true
}

// String decodes a raw JSON string that was already accepted; ok is false for any other value.
func String(raw []byte) (text string, ok bool) {
	inner, ok := quoted(raw)
	if !ok {
		return "", false
	}
	if bytes.IndexByte(inner, '\\') < 0 {
		return string(inner), true
	}
	return string(appendDecoded(make([]byte, 0, len(inner)), inner)), true
}

// Equal says whether an already accepted raw value is the string text. It does not allocate unless the value has more than a few escapes.
func Equal(raw []byte, text string) bool {
	inner, ok := quoted(raw)
	if !ok || len(inner) < len(text) {
		return false // decoding never makes a string longer
	}
	if bytes.IndexByte(inner, '\\') < 0 {
		return string(inner) == text
	}
	if len(inner) > 6*len(text) {
		return false // no escape is longer than six bytes for each byte that it stands for
	}
	var room [256]byte
	return string(appendDecoded(room[:0], inner)) == text
}

// name decodes a raw string, sharing one copy of the words that messages repeat.
func name(raw []byte) string {
	inner, ok := quoted(raw)
	if !ok {
		return ""
	}
	if bytes.IndexByte(inner, '\\') < 0 {
		return intern(inner)
	}
	text, _ := String(raw)
	return text
}

// AppendString appends a JSON string literal. What is not UTF-8 becomes U+FFFD.
func AppendString(dst []byte, text string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(text); {
		c := text[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(text[i:])
			if r == utf8.RuneError && size == 1 {
				dst = append(append(dst, text[from:i]...), "\uFFFD"...)
				from = i + 1
			}
			i += size
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, text[from:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		i++
		from = i
	}
	return append(append(dst, text[from:]...), '"')
}
