package rpc

import (
	"encoding/binary"
	"math/bits"
)

// JSON inside a JSON string, which is how many servers answer, has an escape every few bytes. Found one by one, each would wait for the one before. Here the quotes and the
// backslashes of 64 bytes become two masks, and which of them are escaped follows for all at once.

// escapes passes the escape at i and what follows it: to the end of the string, to where escapes get rare, or to what a block cannot judge.
func (s *scanner) escapes(i int) int {
	text := s.text
	i = s.escape(i)
	for i >= 0 && i+64 <= len(text) {
		quotes, slants, plain := blockMarks(text[i : i+64])
		if !plain {
			return i
		}
		escaped := afterOddRuns(slants)
		end := quotes &^ escaped
		if end != 0 {
			escaped &= (end - 1) &^ end // what stands before the first one
		}
		if long := longEscape(text[i:i+64], escaped); long >= 0 {
			i = s.escape(i + long)
			continue
		}
		switch {
		case end != 0:
			return i + bits.TrailingZeros64(end)
		case bits.OnesCount64(escaped) < 2:
			return i + 64 - openEscape(slants)
		}
		i += 64 - openEscape(slants)
	}
	return i
}

// longEscape returns where the first backslash is that none of the short escapes follows, or -1. escaped marks what follows the backslashes.
func longEscape(block []byte, escaped uint64) int {
	for ; escaped != 0; escaped &= escaped - 1 {
		if at := bits.TrailingZeros64(escaped); !shortEscape[block[at&63]] {
			return at - 1
		}
	}
	return -1
}

// openEscape is 1 if the block ends inside an escape, whose backslash the next block has to begin with, and else 0.
func openEscape(slants uint64) int { return bits.LeadingZeros64(^slants) & 1 }

// afterOddRuns marks what follows a run of an odd number of backslashes within the block, which is what is escaped, apart from the second of each pair of backslashes.
// Added to the first of its run, a backslash carries to the place after the run; whether that is an odd number of places on depends on where the run began.
func afterOddRuns(slants uint64) uint64 {
	const even = 0x5555555555555555
	first := slants &^ (slants << 1)
	fromEven := (slants + first&even) &^ slants
	fromOdd := (slants + first&^even) &^ slants
	return fromEven&^even | fromOdd&even
}

// blockMarksWords is blockMarks, eight bytes at a time. Where something is not plain it may return no marks.
func blockMarksWords(block []byte) (quote, slant uint64, plain bool) {
	for i := 0; i+8 <= len(block); i += 8 {
		w := binary.LittleEndian.Uint64(block[i:])
		if (w|(w-spaces))&tops != 0 {
			return 0, 0, false
		}
		quote |= gather(w^quotes) << i
		slant |= gather(w^slants) << i
	}
	return quote, slant, true
}

// gather marks, in eight bits side by side, which bytes of a word are zero; none may be above 127.
func gather(w uint64) uint64 {
	return (tops - w) & tops >> 7 * 0x0102040810204080 >> 56
}
