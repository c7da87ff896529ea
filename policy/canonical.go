package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// canonical writes a definition so that no two values are written alike: each with its kind and, where it has one, its length. Members are sorted by name. It is our own form because prints are stored, and no library promises
// never to escape a character differently. It is written from the raw text, once, since a list of thousands of tools is fingerprinted while somebody waits for it:
//
//	null n, true and false as they are, numbers #<length>:<as written>, strings "<length>:<decoded>, arrays [<count>:<elements>, objects {<count>:<members, each its name as a string and its value>
type canonical struct {
	rest    []byte // of the text, which is valid JSON
	out     []byte
	members []member // of the objects that are being read, the innermost last
	spare   []byte
}

// member is where a member of an object is in out, and its value as it is in the text.
type member struct {
	from, name, value, to int
	raw                   []byte
}

// readDefinition reads one JSON object strictly. Its members are in the order of their names.
func readDefinition(text []byte) (*canonical, error) {
	if !json.Valid(text) {
		return nil, errors.New("it is not valid JSON")
	}
	if !utf8.Valid(text) || loneSurrogate(text) {
		return nil, errors.New("it contains text that is not valid Unicode")
	}
	c := &canonical{rest: text, out: make([]byte, 0, len(text)+len(text)/2), members: make([]member, 0, 32)}
	if c.peek() != '{' {
		return nil, errors.New("it is not a JSON object")
	}
	return c, c.readMembers(maxDefinitionDepth - 1)
}

// part is a member as an object writes it, with its name; nil: it is not there.
func (c *canonical) part(name string) []byte {
	for _, m := range c.members {
		if string(c.out[m.name:m.value]) == name {
			return c.out[m.from:m.to]
		}
	}
	return nil
}

// readOnlyHint is whether annotations.readOnlyHint is true.
func (c *canonical) readOnlyHint() bool {
	for _, m := range c.members {
		if string(c.out[m.name:m.value]) == "annotations" && m.raw[0] == '{' {
			annotations := canonical{rest: m.raw}
			annotations.readMembers(maxDefinitionDepth) // was read before
			return string(annotations.part("readOnlyHint")) == `"12:readOnlyHint`+"true"
		}
	}
	return false
}

// peek moves to the next byte that is no white space.
func (c *canonical) peek() byte {
	c.rest = bytes.TrimLeft(c.rest, " \t\r\n")
	return c.rest[0]
}

// pass passes over a byte that is there or not.
func (c *canonical) pass(b byte) bool {
	if c.peek() != b {
		return false
	}
	c.rest = c.rest[1:]
	return true
}

// write writes the next value; depth is how many levels of nesting are left.
func (c *canonical) write(depth int) error {
	switch b := c.peek(); {
	case b == '"':
		c.writeString()
	case b == '{' || b == '[':
		if depth == 0 {
			return fmt.Errorf("it is nested more than %d deep", maxDefinitionDepth)
		}
		if b == '{' {
			return c.writeObject(depth - 1)
		}
		return c.writeArray(depth - 1)
	case b == 'n':
		c.out, c.rest = append(c.out, 'n'), c.rest[len("null"):]
	case b == 't':
		c.out, c.rest = append(c.out, "true"...), c.rest[len("true"):]
	case b == 'f':
		c.out, c.rest = append(c.out, "false"...), c.rest[len("false"):]
	default:
		end := bytes.IndexAny(c.rest, ",]} \t\r\n")
		c.out, c.rest = appendCounted(c.out, '#', c.rest[:end]), c.rest[end:]
	}
	return nil
}

func (c *canonical) writeArray(depth int) error {
	from, count := len(c.out), 0
	for c.rest = c.rest[1:]; !c.pass(']'); count++ {
		c.pass(',')
		if err := c.write(depth); err != nil {
			return err
		}
	}
	c.insertCount(from, '[', count)
	return nil
}

func (c *canonical) writeObject(depth int) error {
	from, outer := len(c.out), len(c.members)
	if err := c.readMembers(depth); err != nil {
		return err
	}
	c.insertCount(from, '{', len(c.members)-outer)
	c.members = c.members[:outer]
	return nil
}

// insertCount puts the beginning of an array or object before what is in it.
func (c *canonical) insertCount(at int, kind byte, count int) {
	var head [24]byte
	c.out = slices.Insert(c.out, at, append(strconv.AppendInt(append(head[:0], kind), int64(count), 10), ':')...)
}

// readMembers writes the members of the object that comes next, sorted, and leaves them on top of members.
func (c *canonical) readMembers(depth int) error {
	outer := len(c.members)
	for c.rest = c.rest[1:]; !c.pass('}'); {
		c.pass(',')
		c.peek()
		m := member{from: len(c.out)}
		length := c.writeString()
		m.name, m.value = len(c.out)-length, len(c.out)
		c.pass(':')
		c.peek()
		m.raw = c.rest
		if err := c.write(depth); err != nil {
			return err
		}
		m.to = len(c.out)
		c.members = append(c.members, m)
	}
	return c.sort(c.members[outer:])
}

// sort sorts the members of an object, which are all that stands at the end of out. Two of one name are an error.
func (c *canonical) sort(members []member) error {
	byName := func(a, b member) int { return bytes.Compare(c.out[a.name:a.value], c.out[b.name:b.value]) }
	sorted := slices.IsSortedFunc(members, byName)
	if !sorted {
		slices.SortFunc(members, byName)
	}
	for i := 1; i < len(members); i++ {
		if byName(members[i-1], members[i]) == 0 {
			return fmt.Errorf("it has a member %s twice", quoted(string(c.out[members[i].name:members[i].value])))
		}
	}
	if !sorted {
		c.rearrange(members)
	}
	return nil
}

// rearrange writes members anew in the order that they have now.
func (c *canonical) rearrange(members []member) {
	from := len(c.out)
	for _, m := range members {
		from = min(from, m.from)
	}
	c.spare = append(c.spare[:0], c.out[from:]...)
	c.out = c.out[:from]
	for i, m := range members {
		by := len(c.out) - m.from
		c.out = append(c.out, c.spare[m.from-from:m.to-from]...)
		members[i] = member{m.from + by, m.name + by, m.value + by, m.to + by, m.raw}
	}
}

// writeString writes the string that comes next, and returns how long it is decoded.
func (c *canonical) writeString() (length int) {
	raw := c.rest[1:]
	end, escaped := 0, false
	for ; raw[end] != '"'; end++ {
		if raw[end] == '\\' {
			escaped = true
			end++
		}
	}
	c.rest, raw = raw[end+1:], raw[:end]
	if escaped {
		c.spare = appendDecoded(c.spare[:0], raw)
		raw = c.spare
	}
	c.out = appendCounted(c.out, '"', raw)
	return len(raw)
}

// appendDecoded decodes the escapes of a JSON string, in which no half of a pair is alone.
func appendDecoded(dst, raw []byte) []byte {
	for {
		at := bytes.IndexByte(raw, '\\')
		if at < 0 {
			return append(dst, raw...)
		}
		dst = append(dst, raw[:at]...)
		switch escape := raw[at+1]; escape {
		case 'u':
			r := rune(unit(raw[at+2:]))
			raw = raw[at+6:]
			if utf16.IsSurrogate(r) {
				r = utf16.DecodeRune(r, rune(unit(raw[2:])))
				raw = raw[6:]
			}
			dst = utf8.AppendRune(dst, r)
			continue
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		default: // a quote, a slash or a backslash
			dst = append(dst, escape)
		}
		raw = raw[at+2:]
	}
}

// unit reads four hexadecimal digits.
func unit(text []byte) (n uint16) {
	for _, digit := range text[:4] {
		switch {
		case digit <= '9':
			digit -= '0'
		default:
			digit = digit&^0x20 - 'A' + 10
		}
		n = n<<4 | uint16(digit)
	}
	return n
}

func appendCounted(dst []byte, kind byte, text []byte) []byte {
	dst = append(strconv.AppendInt(append(dst, kind), int64(len(text)), 10), ':')
	return append(dst, text...)
}
