package rpc

import (
	"errors"
	"strconv"
)

// What Read can say; a *SyntaxError wraps one of them.
var (
	ErrSyntax   = errors.New("the message is not valid JSON")               // JSON-RPC -32700
	ErrEnvelope = errors.New("the message is not a valid JSON-RPC message") // JSON-RPC -32600
	ErrBatch    = errors.New("batches are not supported")                   // JSON-RPC -32600
	ErrDepth    = errors.New("the message is nested too deeply")            // JSON-RPC -32600
)

// The limits of a message, apart from its size, which is the caller's to choose.
const (
	// MaxDepth is how deep a message may be nested.
	MaxDepth = 128
	// MaxID is how long a string id may be, in bytes as written between its quotes.
	MaxID = 1 << 10
	// MaxMethod is how long a decoded method may be, in bytes.
	MaxMethod = 256
)

// SyntaxError says what is wrong and where. It never repeats what the message said: a message may hold secrets, and errors are logged.
type SyntaxError struct {
	Offset int    // bytes from the start of the text
	Reason string // one of a fixed set of sentences
	Err    error  // ErrSyntax, ErrEnvelope, ErrBatch, ErrDepth or ErrTooLarge
}

func (e *SyntaxError) Error() string {
	return e.Err.Error() + ": " + e.Reason + " (at byte " + strconv.Itoa(e.Offset) + ")"
}

// Unwrap returns the sentinel.
func (e *SyntaxError) Unwrap() error { return e.Err }

// Kind is what a message is.
type Kind uint8

// The kinds of message.
const (
	Request       Kind = iota + 1 // method and id
	Notification                  // method, no id
	Response                      // id and result
	ErrorResponse                 // id (or null, or none) and error
)

// Message is one JSON-RPC message. The byte slices are spans of the input; Method is a string of its own.
type Message struct {
	Kind   Kind
	ID     []byte // raw: a string or an integer; of an ErrorResponse it may be null or absent
	Method string // decoded
	Params []byte // raw object; nil if absent
	Result []byte // raw object; nil if absent
	Error  []byte // raw object; nil if absent

	notes notes  // of Params or Result
	text  []byte // of a Response: all of it
	at    int    // where Result begins in it
}

// Enclose returns Result with other bytes before and after it, in one piece, by writing over what stood around it; false means that there is no room. The text must be the caller's to write to. Of the message, only
// Result and what is in it can be used afterwards.
func (m *Message) Enclose(before, after []byte) (whole []byte, ok bool) {
	end := m.at + len(m.Result)
	if m.Kind != Response || m.at < len(before) || len(m.text)-end < len(after) {
		return nil, false
	}
	copy(m.text[m.at-len(before):], before)
	copy(m.text[end:], after)
	return m.text[m.at-len(before) : end+len(after)], true
}

// Members splits Params or Result, whichever the message has, into its members; it appends to dst. For an object of few members, which is nearly every one, this does not read the text again.
func (m *Message) Members(dst []Member) ([]Member, error) {
	object := m.Params
	if m.Result != nil {
		object = m.Result
	}
	if object == nil {
		return dst, nil
	}
	if m.notes.more {
		return Members(dst, object)
	}
	for _, n := range m.notes.few[:m.notes.n] {
		raw := object[n.name:n.nameEnd:n.nameEnd]
		dst = append(dst, Member{name(raw), raw, object[n.value:n.valueEnd:n.valueEnd]})
	}
	return dst, nil
}

// Find returns the raw value of one member of Params or Result, or nil.
func (m *Message) Find(name string) []byte {
	object := m.Params
	if m.Result != nil {
		object = m.Result
	}
	if m.notes.more {
		return Find(object, name)
	}
	for _, n := range m.notes.few[:m.notes.n] {
		if Equal(object[n.name:n.nameEnd], name) {
			return object[n.value:n.valueEnd:n.valueEnd]
		}
	}
	return nil
}

// notes are where the members of an object are, from its start.
type notes struct {
	few  [8]note
	n    int
	more bool // there are more than fit
}

type note struct{ name, nameEnd, value, valueEnd int32 }

func (n *notes) add(made note) {
	if n.n == len(n.few) {
		n.more = true
		return
	}
	n.few[n.n] = made
	n.n++
}

// Read reads one message strictly. Unknown envelope members, a wrong or missing jsonrpc, an id that is null, a fraction or an object, params that are no object, both or neither of result and error: ErrEnvelope.
//
// On an error the message is empty but for its ID, which is set if and only if the error is ErrEnvelope and the text had a valid id: the error response can carry it.
func Read(text []byte) (Message, error) {
	if len(text) > maxText {
		return Message{}, tooLong
	}
	s := takeScanner(text)
	defer s.release()
	i := s.space(0)
	switch s.at(i) {
	case '{':
		var e envelope
		if !s.finish(s.envelope(i, &e)) {
			return Message{}, s.err
		}
		return e.judge(text, i)
	case '[':
		if !s.finish(s.value(i, 0)) {
			return Message{}, s.err
		}
		return Message{}, &SyntaxError{i, "it is an array", ErrBatch}
	default:
		if !s.finish(s.value(i, 0)) {
			return Message{}, s.err
		}
		return Message{}, &SyntaxError{i, "it is not an object", ErrEnvelope}
	}
}

// span is a part of a text; in an envelope the zero span is absent, for nothing there ends at byte 0.
type span struct{ from, to int }

func (p span) present() bool { return p.to != 0 }

func (p span) of(text []byte) []byte {
	if !p.present() {
		return nil
	}
	return text[p.from:p.to:p.to]
}

func (p span) in(text []byte) []byte { return text[p.from:p.to:p.to] }

// envelope is where the members of a message are.
type envelope struct {
	version, id, method, params, result, err span
	unknown                                  span  // the first member that is none of these
	notes                                    notes // of params or result, whichever came last: a message that has both is refused
}

// member is the place of a member's span.
func (e *envelope) member(name []byte) *span {
	switch string(name) {
	case "jsonrpc":
		return &e.version
	case "id":
		return &e.id
	case "method":
		return &e.method
	case "params":
		return &e.params
	case "result":
		return &e.result
	case "error":
		return &e.err
	}
	return &e.unknown
}

// judge turns the envelope of a text that is valid JSON into a message; at is where the object starts.
func (e *envelope) judge(text []byte, at int) (Message, error) {
	var m Message
	validID := validID(e.id.of(text))
	if validID {
		m.ID = e.id.of(text)
	}
	refuse := func(p span, reason string) (Message, error) {
		if !p.present() {
			p.from = at
		}
		return Message{ID: m.ID}, &SyntaxError{p.from, reason, ErrEnvelope}
	}
	switch {
	case e.unknown.present():
		return refuse(e.unknown, "the envelope has a member that JSON-RPC does not know")
	case !Equal(e.version.of(text), "2.0"):
		return refuse(e.version, `jsonrpc must be "2.0"`)
	case e.method.present() && (e.result.present() || e.err.present()):
		return refuse(e.method, "a message is a request or a response, not both")
	case e.result.present() && e.err.present():
		return refuse(e.err, "a response has a result or an error, not both")
	}
	var reason string
	var where span
	switch {
	case e.method.present():
		where, reason = e.judgeCall(text, &m, validID)
	case e.params.present():
		where, reason = e.params, "only a request has params"
	case e.result.present():
		where, reason = e.judgeResult(text, &m, validID)
	case e.err.present():
		where, reason = e.judgeError(text, &m, validID)
	default:
		reason = "it has none of method, result and error"
	}
	if reason != "" {
		return refuse(where, reason)
	}
	m.notes = e.notes
	return m, nil
}

func (e *envelope) judgeCall(text []byte, m *Message, validID bool) (span, string) {
	m.Kind = Notification
	if e.id.present() {
		if !validID {
			return e.id, badID
		}
		m.Kind = Request
	}
	if e.params.present() && text[e.params.from] != '{' {
		return e.params, "params must be an object"
	}
	raw := e.method.of(text)
	if raw[0] != '"' || len(raw) == 2 || len(raw) > 6*MaxMethod+2 {
		return e.method, badMethod
	}
	m.Method = name(raw)
	if len(m.Method) > MaxMethod {
		return e.method, badMethod
	}
	m.Params = e.params.of(text)
	return span{}, ""
}

func (e *envelope) judgeResult(text []byte, m *Message, validID bool) (span, string) {
	if !validID {
		return e.id, badID
	}
	if text[e.result.from] != '{' {
		return e.result, "result must be an object"
	}
	m.Kind, m.Result, m.text, m.at = Response, e.result.of(text), text, e.result.from
	return span{}, ""
}

func (e *envelope) judgeError(text []byte, m *Message, validID bool) (span, string) {
	if _, ok := ParseError(e.err.of(text)); !ok {
		return e.err, "error must be an object with an integer code and a string message"
	}
	if e.id.present() && !validID {
		if string(e.id.of(text)) != "null" {
			return e.id, badID
		}
		m.ID = e.id.of(text)
	}
	m.Kind, m.Error = ErrorResponse, e.err.of(text)
	return span{}, ""
}

const (
	badID     = "id must be a string of at most 1024 bytes or an integer that every parser reads alike"
	badMethod = "method must be a string of 1 to 256 bytes"
)

// validID accepts what every parser reads alike: a bounded string, or an integer without fraction, exponent or negative zero that a double holds exactly.
func validID(raw []byte) bool {
	if len(raw) == 0 {
		return false
	}
	if raw[0] == '"' {
		return len(raw) <= MaxID+2
	}
	_, ok := integer(raw)
	return ok
}

// integer reads an integer that a double holds exactly.
func integer(raw []byte) (int64, bool) {
	const maxDigits = len("-9007199254740991")
	if len(raw) == 0 || len(raw) > maxDigits || string(raw) == "-0" {
		return 0, false
	}
	n, err := strconv.ParseInt(string(raw), 10, 64) // the conversion does not escape, so it does not allocate
	if err != nil || n <= -(1<<53) || n >= 1<<53 {
		return 0, false
	}
	return n, true
}
