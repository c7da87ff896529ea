package rpc

import (
	"math"
	"math/bits"
	"sync"
	"unicode/utf8"
)

// scanner checks a text in one pass. Its methods take the index at which something starts and return the index after it, or -1 when they have set err.
//
// It descends by recursion: MaxDepth bounds the stack to some tens of kilobytes.
type scanner struct {
	text  []byte
	names nameSet
	err   *SyntaxError
}

// maxText is what a place can address; every limit on a body is far below it.
const maxText = math.MaxInt32

var tooLong = &SyntaxError{maxText, "it is larger than two gigabytes", ErrTooLarge}

var scanners = sync.Pool{New: func() any { return new(scanner) }}

func takeScanner(text []byte) *scanner {
	s := scanners.Get().(*scanner)
	s.text = text
	return s
}

func (s *scanner) release() {
	s.text, s.err = nil, nil
	s.names.reset()
	scanners.Put(s)
}

// Valid checks one JSON value by the same strict rules as Read, without the envelope.
func Valid(text []byte) error {
	if len(text) > maxText {
		return tooLong
	}
	s := takeScanner(text)
	defer s.release()
	if !s.finish(s.value(s.space(0), 0)) {
		return s.err
	}
	return nil
}

// finish says whether the value that ended at i was valid and nothing follows it.
func (s *scanner) finish(i int) bool {
	if i < 0 {
		return false
	}
	if i = s.space(i); i < len(s.text) {
		s.fail(i, "something follows the value")
		return false
	}
	return true
}

// fail notes the error. The end of the text is always the same error, whatever was expected there.
func (s *scanner) fail(i int, reason string) int {
	if i >= len(s.text) {
		i, reason = len(s.text), "it ends too early"
	}
	return s.failAs(i, reason, ErrSyntax)
}

func (s *scanner) failAs(i int, reason string, err error) int {
	s.err = &SyntaxError{i, reason, err}
	return -1
}

// at returns the byte at i, or 0, which JSON allows nowhere, after the end.
func (s *scanner) at(i int) byte {
	if uint(i) < uint(len(s.text)) {
		return s.text[i]
	}
	return 0
}

// space skips JSON white space, which is four characters; a byte order mark is none of them.
func (s *scanner) space(i int) int { return skipSpace(s.text, i) }

func (s *scanner) value(i, depth int) int {
	switch c := s.at(i); c {
	case '"':
		i, _ = s.str(i + 1)
		return i
	case '{':
		return s.object(i, depth+1)
	case '[':
		return s.array(i, depth+1)
	case 't':
		return s.literal(i, "true")
	case 'f':
		return s.literal(i, "false")
	case 'n':
		return s.literal(i, "null")
	default:
		return s.number(i)
	}
}

func (s *scanner) literal(i int, word string) int {
	if end := i + len(word); end <= len(s.text) && string(s.text[i:end]) == word {
		return end
	}
	return s.fail(i, "a value is expected here")
}

func (s *scanner) number(i int) int {
	if s.at(i) == '-' {
		i++
	}
	switch c := s.at(i); {
	case c == '0':
		i++
	case '1' <= c && c <= '9':
		i = s.digits(i)
	default:
		return s.fail(i, "a value is expected here")
	}
	if s.at(i) == '.' {
		from := i + 1
		if i = s.digits(from); i == from {
			return s.fail(i, "a digit is expected here")
		}
	}
	if c := s.at(i); c == 'e' || c == 'E' {
		i++
		if c := s.at(i); c == '+' || c == '-' {
			i++
		}
		from := i
		if i = s.digits(from); i == from {
			return s.fail(i, "a digit is expected here")
		}
	}
	return i
}

func (s *scanner) digits(i int) int {
	for c := s.at(i); '0' <= c && c <= '9'; c = s.at(i) {
		i++
	}
	return i
}

func (s *scanner) array(i, depth int) int {
	if depth > MaxDepth {
		return s.failAs(i, "an array too deep", ErrDepth)
	}
	if i = s.space(i + 1); s.at(i) == ']' {
		return i + 1
	}
	for {
		if i = s.value(i, depth); i < 0 {
			return -1
		}
		switch i = s.space(i); s.at(i) {
		case ',':
			i = s.space(i + 1)
		case ']':
			return i + 1
		default:
			return s.fail(i, "a comma or the end of the array is expected here")
		}
	}
}

// object, noting and envelope each write out what comes after a member: a function for that made every message a tenth slower to read.
func (s *scanner) object(i, depth int) int {
	if depth > MaxDepth {
		return s.failAs(i, "an object too deep", ErrDepth)
	}
	if i = s.space(i + 1); s.at(i) == '}' {
		return i + 1
	}
	seen := s.names.open()
	for {
		if _, i = s.name(i, &seen); i < 0 {
			return -1
		}
		if i = s.value(i, depth); i < 0 {
			return -1
		}
		switch i = s.space(i); s.at(i) {
		case ',':
			i = s.space(i + 1)
		case '}':
			s.names.close(&seen)
			return i + 1
		default:
			return s.fail(i, "a comma or the end of the object is expected here")
		}
	}
}

// noting is object for params and result, of which it notes where their members are.
func (s *scanner) noting(start int, n *notes) int {
	i := s.space(start + 1)
	if s.at(i) == '}' {
		return i + 1
	}
	seen := s.names.open()
	for {
		at := i
		_, from := s.name(i, &seen)
		if from < 0 {
			return -1
		}
		end := from - 1 // after the name there are a colon and white space
		for s.text[end] != '"' {
			end--
		}
		if i = s.value(from, 2); i < 0 {
			return -1
		}
		n.add(note{int32(at - start), int32(end + 1 - start), int32(from - start), int32(i - start)})
		switch i = s.space(i); s.at(i) {
		case ',':
			i = s.space(i + 1)
		case '}':
			s.names.close(&seen)
			return i + 1
		default:
			return s.fail(i, "a comma or the end of the object is expected here")
		}
	}
}

// envelope is object for the outermost one, of which it notes the members.
func (s *scanner) envelope(i int, e *envelope) int {
	if i = s.space(i + 1); s.at(i) == '}' {
		return i + 1
	}
	seen := s.names.open()
	for {
		name, from := s.name(i, &seen)
		if from < 0 {
			return -1
		}
		member := e.member(name) // now, for the next name may lie where this one does
		if (member == &e.params || member == &e.result) && s.at(from) == '{' {
			e.notes = notes{}
			i = s.noting(from, &e.notes)
		} else {
			i = s.value(from, 1)
		}
		if i < 0 {
			return -1
		}
		if !member.present() { // of several unknown ones the first is reported
			*member = span{from, i}
		}
		switch i = s.space(i); s.at(i) {
		case ',':
			i = s.space(i + 1)
		case '}':
			s.names.close(&seen)
			return i + 1
		default:
			return s.fail(i, "a comma or the end of the object is expected here")
		}
	}
}

// name reads a member's name, which must be new, and its colon; it returns the decoded name, valid until the next one, and where the value starts.
func (s *scanner) name(i int, seen *frame) ([]byte, int) {
	if s.at(i) != '"' {
		return nil, s.fail(i, "a member's name is expected here")
	}
	end, escaped := s.str(i + 1)
	if end < 0 {
		return nil, -1
	}
	name, fresh := s.names.add(s.text, seen, i+1, end-1, escaped)
	if !fresh {
		return nil, s.fail(i, "the object has a member of this name already")
	}
	if i = s.space(end); s.at(i) != ':' {
		return nil, s.fail(i, "a colon is expected here")
	}
	return name, s.space(i + 1)
}

// str reads the rest of a string, i being after its opening quote, and says whether it has escapes.
func (s *scanner) str(i int) (end int, escaped bool) {
	text, last := s.text, i // last is where the last escape was
	for {
		// Most strings end, and most escapes come, within one word: only longer runs are worth a call.
		if mark := word(text, i); mark != 0 {
			i += bits.TrailingZeros64(mark) / 8
		} else if i = plain(text, i); i >= len(text) {
			return s.fail(i, ""), false
		}
		switch c := text[i]; {
		case c == '"':
			return i + 1, escaped
		case c == '\\':
			far := i-last >= 32
			escaped, last = true, i
			if !far {
				i = s.escapes(i)
			} else if i = escapedText(text, i); i == last {
				i = s.escape(i)
			} else {
				last = i
				continue
			}
			if i < 0 {
				return -1, false
			}
		case c < ' ':
			return s.fail(i, "a control character in a string must be escaped"), false
		default:
			if i = s.multibyte(i); i < 0 {
				return -1, false
			}
		}
	}
}

// shortEscape is what may follow a backslash, apart from u.
var shortEscape = [256]bool{'"': true, '\\': true, '/': true, 'b': true, 'f': true, 'n': true, 'r': true, 't': true}

// escape reads one escape; of a surrogate pair, both. A lone surrogate is no character: parsers replace it, drop it or keep it.
func (s *scanner) escape(i int) int {
	c := s.at(i + 1)
	if shortEscape[c] {
		return i + 2
	}
	if c != 'u' {
		return s.fail(i+1, "this is not an escape that JSON knows")
	}
	r := hex4(s.text, i+2)
	switch {
	case r < 0:
		return s.fail(i+2, "four hexadecimal digits are expected here")
	case r < 0xD800 || r > 0xDFFF:
		return i + 6
	case r < 0xDC00 && s.at(i+6) == '\\' && s.at(i+7) == 'u':
		if low := hex4(s.text, i+8); 0xDC00 <= low && low <= 0xDFFF {
			return i + 12
		}
	}
	return s.fail(i, "half a surrogate pair")
}

// multibyte checks characters beyond ASCII up to the next ASCII one.
func (s *scanner) multibyte(i int) int {
	text := s.text
	for i < len(text) && text[i] >= utf8.RuneSelf {
		if c := text[i]; 0xC2 <= c && c <= 0xDF && i+1 < len(text) && text[i+1]>>6 == 2 {
			i += 2
			continue
		}
		r, size := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && size == 1 {
			return s.failAs(i, "this is not UTF-8", ErrSyntax)
		}
		i += size
	}
	return i
}
