package rpc

import "errors"

// What Read can say; a *SyntaxError wraps one of them.
var (
	ErrSyntax   = errors.New("the message is not valid JSON")               // JSON-RPC -32700
	ErrEnvelope = errors.New("the message is not a valid JSON-RPC message") // JSON-RPC -32600
	ErrBatch    = errors.New("batches are not supported")                   // JSON-RPC -32600
	ErrDepth    = errors.New("the message is nested too deeply")            // JSON-RPC -32600
)

// Kind is what a message is.
type Kind uint8

// The kinds of message.
const (
	Request       Kind = iota + 1 // method and id
	Notification                  // method, no id
	Response                      // id and result
	ErrorResponse                 // id (or null, or none) and error
)

// Message is one JSON-RPC message. The byte slices are spans of the input.
type Message struct {
	Kind   Kind
	ID     []byte // raw: a string or an integer; of an ErrorResponse it may be null or absent
	Method string // decoded
	Params []byte // raw object; nil if absent
	Result []byte // raw object; nil if absent
	Error  []byte // raw object; nil if absent
}

// MaxDepth is how deep a message may be nested.
const MaxDepth = 128

// Read reads one message strictly. Unknown envelope members, a wrong or missing jsonrpc, an id that is null, a fraction or an object, params that are no object, both or neither of result and error: ErrEnvelope.
func Read(text []byte) (Message, error) { panic("unbuilt") }

// Member is one member of an object: its name decoded, its raw name (with quotes) and raw value as spans.
type Member struct {
	Name  string
	Raw   []byte // the name as it was written, with its quotes
	Value []byte
}

// Members splits an object that Read (or Valid) has already accepted into its members; it appends to dst. It does not look into values.
func Members(dst []Member, object []byte) ([]Member, error) { panic("unbuilt") }

// Find returns the raw value of one member of an already accepted object, or nil.
func Find(object []byte, name string) []byte { panic("unbuilt") }

// Elements splits an array that was already accepted.
func Elements(dst [][]byte, array []byte) ([][]byte, error) { panic("unbuilt") }

// Valid checks one JSON value by the same strict rules as Read, without the envelope.
func Valid(text []byte) error { panic("unbuilt") }

// String decodes a raw JSON string that was already accepted; ok is false for any other value.
func String(raw []byte) (text string, ok bool) { panic("unbuilt") }

// AppendString appends a JSON string literal.
func AppendString(dst []byte, text string) []byte { panic("unbuilt") }

// Error is a JSON-RPC error object to be written.
type Error struct {
	Code    int
	Message string
	Data    []byte // raw JSON; nil: none
}

// AppendError appends a whole error response. A nil id is written as null.
func AppendError(dst, id []byte, e Error) []byte { panic("unbuilt") }

// AppendResult appends a whole response with a raw result.
func AppendResult(dst, id, result []byte) []byte { panic("unbuilt") }
