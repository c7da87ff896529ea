package rpc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"math/bits"
)

// Member is one member of an object: its name decoded, its raw name (with quotes) and raw value as spans.
type Member struct {
	Name  string
	Raw   []byte // the name as it was written, with its quotes; AppendObject writes Name where it is nil
	Value []byte
}

// ErrTooMany says that an array has more elements than were asked for.
var ErrTooMany = errors.New("the array has too many elements")

// cursor walks over text that was accepted already. It does not look into values; whatever the text, it stays in bounds and moves forward.
type cursor struct {
	text []byte
	i    int
	end  int  // where the last value ended
	bad  bool // the text is not what was promised
}

// begin enters an object or array.
func begin(text []byte, open byte) cursor {
	c := cursor{text: text, i: skipSpace(text, 0)}
	c.bad = !c.take(open)
	return c
}

// take passes one byte and the white space after it.
func (c *cursor) take(b byte) bool {
	if c.i >= len(c.text) || c.text[c.i] != b {
		return false
	}
	c.i = skipSpace(c.text, c.i+1)
	return true
}

// more says whether another item follows; first is before the first one. At the end it checks that nothing else follows.
func (c *cursor) more(first bool, end byte) bool {
	switch {
	case c.bad:
		return false
	case c.take(end):
		c.bad = c.i != len(c.text)
		return false
	case !first && !c.take(','):
		c.bad = true
	}
	return !c.bad
}

// value passes one value and the white space after it.
func (c *cursor) value() []byte {
	from := c.i
	to := skipValue(c.text, from)
	if to < 0 {
		c.bad = true
		return nil
	}
	c.end, c.i = to, skipSpace(c.text, to)
	return c.text[from:to:to]
}

// member passes one member.
func (c *cursor) member() (name, value []byte) {
	if c.i >= len(c.text) || c.text[c.i] != '"' {
		c.bad = true
		return nil, nil
	}
	if name = c.value(); c.bad || !c.take(':') {
		c.bad = true
		return nil, nil
	}
	return name, c.value()
}

func (c *cursor) err() error {
	if c.bad {
		return &SyntaxError{c.i, "it is not what was accepted before", ErrSyntax}
	}
	return nil
}

// Members splits an object that Read (or Valid) has already accepted into its members; it appends to dst. It does not look into values.
func Members(dst []Member, object []byte) ([]Member, error) {
	c := begin(object, '{')
	for first := true; c.more(first, '}'); first = false {
		raw, value := c.member()
		if c.bad {
			break
		}
		dst = append(dst, Member{name(raw), raw, value})
	}
	return dst, c.err()
}

// Find returns the raw value of one member of an already accepted object, or nil.
func Find(object []byte, name string) []byte {
	from, to := Place(object, name)
	if to == 0 {
		return nil
	}
	return object[from:to:to]
}

// Place returns where the raw value of one member of an already accepted object stands in it: object[from:to]. Without such a member to is 0.
func Place(object []byte, name string) (from, to int) {
	c := begin(object, '{')
	for first := true; c.more(first, '}'); first = false {
		raw, value := c.member()
		if c.bad {
			return 0, 0
		}
		if Equal(raw, name) {
			return c.end - len(value), c.end
		}
	}
	return 0, 0
}

// Elements splits an array that was already accepted.
func Elements(dst [][]byte, array []byte) ([][]byte, error) {
	return ElementsUpTo(dst, array, math.MaxInt)
}

// ElementsUpTo does the same for arrays of strangers, of which the smallest elements take ten times their room once they are apart: dst never gets longer than most, and ErrTooMany says that it would have.
func ElementsUpTo(dst [][]byte, array []byte, most int) ([][]byte, error) {
	c := begin(array, '[')
	for first := true; c.more(first, ']'); first = false {
		value := c.value()
		if c.bad {
			break
		}
		if len(dst) >= most {
			return dst, ErrTooMany
		}
		dst = append(dst, value)
	}
	return dst, c.err()
}

// skipValue returns the index after the value at i, or -1.
func skipValue(text []byte, i int) int {
	if i >= len(text) {
		return -1
	}
	switch text[i] {
	case '"':
		return skipString(text, i)
	case '{', '[':
		return skipNested(text, i)
	}
	from := i
	for i < len(text) && scalar(text[i]) {
		i++
	}
	if i == from {
		return -1
	}
	return i
}

// scalar says whether a byte can be of a number or a literal.
func scalar(c byte) bool {
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '+' || c == '.' || c == 'E'
}

// structural is what nesting and its end can be told by.
var structural = [256]bool{'"': true, '{': true, '}': true, '[': true, ']': true}

func skipNested(text []byte, i int) int {
	for depth := 0; i < len(text); {
		c := text[i]
		if !structural[c] {
			i++
			continue
		}
		switch c {
		case '"':
			if i = skipString(text, i); i < 0 {
				return -1
			}
			continue
		case '{', '[':
			depth++
		default:
			if depth--; depth == 0 {
				return i + 1
			}
		}
		i++
	}
	return -1
}

// skipString looks for the quote that ends the string at i: by words where it is near, and with the processor's own search where it is not.
func skipString(text []byte, i int) int {
	i++
	from := i
	for far := i + 32; i+8 <= len(text); {
		w := binary.LittleEndian.Uint64(text[i:])
		marks := (((w ^ quotes) - ones) | ((w ^ slants) - ones)) &^ w & tops
		if marks == 0 {
			if i += 8; i < far {
				continue
			}
			next := bytes.IndexByte(text[i:], '"')
			if next < 0 {
				return -1
			}
			if i += next; !escaped(text, from, i) {
				return i + 1
			}
			i++
			far = i + 32
			continue
		}
		at := i + bits.TrailingZeros64(marks)/8
		if text[at] == '"' {
			return at + 1
		}
		i = at + 2
	}
	for ; i < len(text); i++ {
		switch text[i] {
		case '"':
			return i + 1
		case '\\':
			i++
		}
	}
	return -1
}

// escaped says whether an odd number of backslashes stands before i, none of them before from.
func escaped(text []byte, from, i int) bool {
	slants := i
	for slants > from && text[slants-1] == '\\' {
		slants--
	}
	return (i-slants)%2 == 1
}
