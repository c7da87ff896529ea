package rpc

import (
	"golang.org/x/sys/cpu"
)

// plainRun returns how many bytes from p on are plain, looking at n of them, which must be a multiple of 32. It needs AVX2.
//
//go:noescape
func plainRun(p *byte, n int) int

// textRun returns how many bytes from p on, of the n that may be looked at, are plain or belong to short escapes. It stops early where fewer than 33 are left, and where they are close together. It needs AVX2.
//
//go:noescape
func textRun(p *byte, n int) int

// escapedText returns the index after the escape at i, what is plain behind it, further escapes and so on, as far as it can tell: i itself, if not at all.
func escapedText(text []byte, i int) int {
	if !hasAVX2 {
		return i
	}
	return i + textRun(&text[i], len(text)-i)
}

var hasAVX2 = cpu.X86.HasAVX2

// plain returns the index of the first byte from i on that ends plain text, or the length.
func plain(text []byte, i int) int {
	if n := (len(text) - i) &^ 31; n > 0 && hasAVX2 {
		if run := plainRun(&text[i], n); run < n {
			return i + run
		}
		i += n
	}
	return plainWords(text, i)
}

// marks64 marks, among the 64 bytes at p, the quotes, the backslashes, and what is neither plain nor one of these. It needs AVX2.
//
//go:noescape
func marks64(p *byte) (quote, slant, other uint64)

// blockMarks marks the quotes and the backslashes of a block of 64 bytes, and says whether all else in it is plain.
func blockMarks(block []byte) (quote, slant uint64, plain bool) {
	if !hasAVX2 {
		return blockMarksWords(block)
	}
	quote, slant, other := marks64(&block[:64][0])
	return quote, slant, other == 0
}
