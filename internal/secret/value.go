package secret

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
)

// redacted is what every printer and encoder gets to see.
const redacted = "[redacted]"

// Value is a secret text. The zero value is "no secret". It is comparable only through Equal.
//
// The text is behind a pointer because fmt cannot call methods of unexported fields: there it prints the struct, and with it an address, never the text.
type Value struct {
	_    [0]func() // == would compare addresses
	text *string
}

// New wraps a text; an empty one gives the zero Value.
func New(text string) Value {
	if text == "" {
		return Value{}
	}
	return Value{text: &text}
}

// Reveal returns the text. Whoever calls it answers for where the text goes.
func (v Value) Reveal() string {
	if v.text == nil {
		return ""
	}
	return *v.text
}

// IsZero says that there is no secret.
func (v Value) IsZero() bool { return v.text == nil }

// Same says that one is a copy of the other. Of two secrets that were made apart it says no, whatever their texts; it costs nothing.
func (v Value) Same(other Value) bool { return v.text == other.text }

// Equal compares two secrets in a time that tells nothing of their texts, their lengths included.
func (v Value) Equal(other Value) bool {
	a, b := sha256.Sum256([]byte(v.Reveal())), sha256.Sum256([]byte(other.Reveal()))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// String keeps the text out of whatever prints.
func (v Value) String() string { return redacted }

// GoString keeps it out of %#v.
func (v Value) GoString() string { return redacted }

// Format keeps it out of every other verb, %x and %q among them.
func (v Value) Format(state fmt.State, _ rune) { io.WriteString(state, redacted) }

// LogValue keeps it out of slog.
func (v Value) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText keeps it out of text encoders (XML, YAML, keys of JSON objects).
func (v Value) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON keeps it out of JSON. There is no UnmarshalJSON: what was encoded cannot come back, so nothing is stored this way by mistake.
func (v Value) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
