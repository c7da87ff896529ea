package catalog

import (
	"bytes"

	"mcpsidecar/proxy/rpc"
)

// depth is how deep a definition's schemas may be nested: less than a message may be, so that the wrapper and the envelope of our own list find room in what a strict reader takes.
const depth = rpc.MaxDepth - 8

// span is a part of a text.
type span struct{ from, to int }

func (s span) of(text []byte) []byte { return text[s.from:s.to] }

func (s span) empty() bool { return s.from == s.to }

// cursor goes once over JSON that was read strictly before, and tells where things are. It decides nothing about what is valid; text that is no JSON sets bad and ends every loop, whatever it is.
type cursor struct {
	text  []byte
	at    int
	depth int
	bad   bool
}

// peek moves to the next byte that is no white space and returns it; 0 at the end.
func (c *cursor) peek() byte {
	for c.at < len(c.text) {
		switch b := c.text[c.at]; b {
		case ' ', '\t', '\n', '\r':
			c.at++
		default:
			return b
		}
	}
	return 0
}

// literal passes over a string and returns it with its quotes.
func (c *cursor) literal() span {
	if c.peek() != '"' {
		c.bad = true
		return span{}
	}
	from := c.at
	for c.at++; c.at < len(c.text); c.at++ {
		switch c.text[c.at] {
		case '\\':
			c.at++
		case '"':
			c.at++
			return span{from, c.at}
		}
	}
	c.at, c.bad = len(c.text), true
	return span{}
}

// skip passes over any value and returns it.
func (c *cursor) skip() span {
	first := c.peek()
	from := c.at
	switch first {
	case '"':
		return c.literal()
	case '{', '[':
		c.brackets()
	default:
		c.scalar()
	}
	if c.at == from {
		c.bad = true
	}
	if c.bad {
		return span{}
	}
	return span{from, c.at}
}

// brackets passes over an object or array without looking at what is in it.
func (c *cursor) brackets() {
	open := 0
	for c.at < len(c.text) && !c.bad {
		switch c.text[c.at] {
		case '"':
			c.literal()
			continue
		case '{', '[':
			open++
		case '}', ']':
			open--
		}
		c.at++
		if open == 0 {
			return
		}
	}
	c.bad = true
}

// scalar passes over a number, true, false or null.
func (c *cursor) scalar() {
	end := bytes.IndexAny(c.text[c.at:], ",]} \t\r\n")
	if end < 0 {
		end = len(c.text) - c.at
	}
	c.at += end
}

// members calls each for the members of the object that comes next, with the raw name; each must pass over the value.
func (c *cursor) members(each func(name span)) {
	c.list('{', '}', func() {
		name := c.literal()
		if c.peek() != ':' {
			c.bad = true
			return
		}
		c.at++
		each(name)
	})
}

// elements calls each for the elements of the array that comes next; each must pass over the element.
func (c *cursor) elements(each func()) { c.list('[', ']', each) }

func (c *cursor) list(open, end byte, each func()) {
	if c.peek() != open || c.depth == depth {
		c.bad = true
		return
	}
	c.at++
	c.depth++
	for first := true; !c.bad; first = false {
		next := c.peek()
		if next == end {
			c.at++
			break
		}
		if !first {
			if next != ',' {
				c.bad = true
				return
			}
			c.at++
		}
		before := c.at
		if each(); c.at == before {
			c.bad = true
		}
	}
	c.depth--
}

// key returns a member's name decoded; of the usual one, without escapes, it is a part of the text.
func (c *cursor) key(name span) []byte {
	raw := name.of(c.text)
	if len(raw) < 2 {
		return nil
	}
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1]
	}
	text, _ := rpc.String(raw)
	return []byte(text)
}
