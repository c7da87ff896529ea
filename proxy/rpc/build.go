package rpc

import "strconv"

// Error is a JSON-RPC error object: to be written, or as it was read.
type Error struct {
	Code    int
	Message string
	Data    []byte // raw JSON; nil: none
}

// ParseError reads the error object of an accepted response. ok is false if it has no integer code or no string message.
func ParseError(raw []byte) (e Error, ok bool) {
	code, ok := integer(Find(raw, "code"))
	if !ok {
		return Error{}, false
	}
	message, ok := String(Find(raw, "message"))
	if !ok {
		return Error{}, false
	}
	return Error{int(code), message, Find(raw, "data")}, true
}

func appendHead(dst, id []byte) []byte {
	dst = append(dst, `{"jsonrpc":"2.0","id":`...)
	if id == nil {
		return append(dst, "null"...)
	}
	return append(dst, id...)
}

// AppendError appends a whole error response. A nil id is written as null.
func AppendError(dst, id []byte, e Error) []byte {
	dst = append(appendHead(dst, id), `,"error":{"code":`...)
	dst = strconv.AppendInt(dst, int64(e.Code), 10)
	dst = AppendString(append(dst, `,"message":`...), e.Message)
	if e.Data != nil {
		dst = append(append(dst, `,"data":`...), e.Data...)
	}
	return append(dst, "}}"...)
}

// AppendResult appends a whole response with a raw result.
func AppendResult(dst, id, result []byte) []byte {
	dst = append(appendHead(dst, id), `,"result":`...)
	return append(append(dst, result...), '}')
}

// AppendRequest appends a whole request, without params if they are nil.
func AppendRequest(dst, id []byte, method string, params []byte) []byte {
	dst = AppendString(append(appendHead(dst, id), `,"method":`...), method)
	return appendParams(dst, params)
}

// AppendNotification appends a whole notification, without params if they are nil.
func AppendNotification(dst []byte, method string, params []byte) []byte {
	dst = AppendString(append(dst, `{"jsonrpc":"2.0","method":`...), method)
	return appendParams(dst, params)
}

func appendParams(dst, params []byte) []byte {
	if params != nil {
		dst = append(append(dst, `,"params":`...), params...)
	}
	return append(dst, '}')
}

// AppendObject appends an object of these members: each with its raw name, or its Name where there is no raw one, and its raw value.
func AppendObject(dst []byte, members []Member) []byte {
	dst = append(dst, '{')
	for i, m := range members {
		if i > 0 {
			dst = append(dst, ',')
		}
		if m.Raw != nil {
			dst = append(dst, m.Raw...)
		} else {
			dst = AppendString(dst, m.Name)
		}
		dst = append(append(dst, ':'), m.Value...)
	}
	return append(dst, '}')
}

// AppendArray appends an array of raw values.
func AppendArray(dst []byte, elements [][]byte) []byte {
	dst = append(dst, '[')
	for i, e := range elements {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, e...)
	}
	return append(dst, ']')
}

// Edit is a change of one member of an object.
type Edit struct {
	Name  string
	Value []byte // raw JSON; nil: the member is dropped
}

// EditObject rebuilds an already accepted object with some members replaced, added or dropped, no two edits for one name. It copies nothing: what it appends to parts are spans of
// the object and the edits' values, to be written one after the other. Unchanged members keep their bytes and their order; what is added comes last.
func EditObject(parts [][]byte, object []byte, edits ...Edit) ([][]byte, error) {
	e := editor{parts: parts, object: object, separator: openBrace}
	done := make([]bool, len(edits))
	c := begin(object, '{')
	for first := true; c.more(first, '}'); first = false {
		from := c.i
		raw, _ := c.member()
		if c.bad {
			break
		}
		at := findEdit(edits, raw)
		if at < 0 {
			e.keep(span{from, c.end})
			continue
		}
		done[at] = true
		e.put(raw, edits[at].Value)
	}
	for i, edit := range edits {
		if !done[i] && edit.Value != nil {
			e.put(AppendString(nil, edit.Name), edit.Value)
		}
	}
	return e.finish(), c.err()
}

// editor writes an object as spans, joining members that stay and stand side by side.
type editor struct {
	parts     [][]byte
	object    []byte
	run       span   // members to keep that are not written yet
	separator []byte // what comes before the next member
}

func (e *editor) keep(member span) {
	if e.run.present() {
		e.run.to = member.to
		return
	}
	e.run = member
}

func (e *editor) put(name, value []byte) {
	e.flush()
	if value != nil {
		e.parts = append(e.parts, e.separator, name, colon, value)
		e.separator = comma
	}
}

func (e *editor) flush() {
	if e.run.present() {
		e.parts = append(e.parts, e.separator, e.run.of(e.object))
		e.separator, e.run = comma, span{}
	}
}

func (e *editor) finish() [][]byte {
	e.flush()
	if &e.separator[0] == &openBrace[0] {
		return append(e.parts, emptyObject)
	}
	return append(e.parts, closeBrace)
}

func findEdit(edits []Edit, raw []byte) int {
	for i := range edits {
		if Equal(raw, edits[i].Name) {
			return i
		}
	}
	return -1
}

var (
	openBrace   = []byte{'{'}
	closeBrace  = []byte{'}'}
	emptyObject = []byte("{}")
	comma       = []byte{','}
	colon       = []byte{':'}
)
