//go:build !amd64

package rpc

// plain returns the index of the first byte from i on that ends plain text, or the length.
func plain(text []byte, i int) int { return plainWords(text, i) }

// blockMarks marks the quotes and the backslashes of a block of 64 bytes, and says whether all else in it is plain.
func blockMarks(block []byte) (quote, slant uint64, plain bool) { return blockMarksWords(block) }

// escapedText is for processors that can do better than [scanner.escapes].
func escapedText(_ []byte, i int) int { return i }
