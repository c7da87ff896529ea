package intent

import (
	"bytes"
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"mcpsidecar/proxy/rpc"
)

// ErrArguments says that arguments fit neither form.
var ErrArguments = errors.New("the arguments fit neither {model_intent, properties} nor the tool's own schema")

// maxIntent is how many characters of an intent are kept.
const maxIntent = 100

// Unwrap takes a call's raw arguments apart against the tool's own raw input schema; see Schema.Unwrap.
func Unwrap(schema, arguments []byte) (forward []byte, intent string, err error) {
	return Read(schema).Unwrap(arguments)
}

// Unwrap takes a call's raw arguments apart: the arguments to forward (a span of the input wherever that is possible) and the intent (at most 100 characters, control characters removed).
// The arguments were read strictly before.
//
// Models are shown the nested form {model_intent, properties: {…}}, but some send the flat one {model_intent, …} or leave the intent out, which loses nothing but the label. Without a member
// called properties a call is flat. With one:
//
//   - If the tool has no argument of that name, the call is nested, and has to look like it: properties is an object, and nothing else is beside it but the intent.
//   - If it has one, both forms are possible. The nested one is taken if the inner names fit the tool's schema (all that are required, none that is refused), else the flat one if the outer names
//     do. A call without an intent is not what was shown, so there the flat one is asked first.
//
// In the flat form model_intent is the label and is not forwarded, unless the tool's schema requires an argument of that name, or has one and the value is no text: then it is the
// argument, and no intent was said. Values are not validated; that is the server's to do. What fits neither form is ErrArguments.
func (s *Schema) Unwrap(arguments []byte) (forward []byte, intent string, err error) {
	if len(bytes.TrimSpace(arguments)) == 0 {
		return arguments, "", nil // none were sent
	}
	c, err := s.call(arguments)
	if err != nil {
		return nil, "", ErrArguments
	}
	switch c.form() {
	case nested:
		return c.inner, c.said(), nil
	case flat:
		if c.labelIsArgument || c.label == nil {
			return arguments, "", nil
		}
		_, rest := part(c.members, intentName)
		return rpc.AppendObject(nil, rest), c.said(), nil
	}
	return nil, "", ErrArguments
}

// call is a call's arguments beside the schema of the tool.
type call struct {
	tool            *Schema
	members         []rpc.Member
	label, inner    []byte // raw values of model_intent and properties; nil: absent
	labelIsText     bool
	labelIsArgument bool // in the flat form
}

func (s *Schema) call(raw []byte) (*call, error) {
	members, err := rpc.Members(nil, raw)
	if err != nil {
		return nil, err
	}
	c := &call{tool: s, members: members, label: find(members, intentName), inner: find(members, argumentsName)}
	_, c.labelIsText = rpc.String(c.label)
	c.labelIsArgument = c.label != nil && (c.tool.required[intentName] || !c.labelIsText && c.tool.owns(intentName))
	return c, nil
}

// form is how a call is to be read.
type form uint8

const (
	neither form = iota
	nested
	flat
)

func (c *call) form() form {
	switch {
	case c.inner == nil:
		return when(c.canBeFlat(), flat)
	case !c.tool.owns(argumentsName):
		return when(c.canBeNested(), nested)
	}
	isNested := c.canBeNested() && c.tool.fits(namesOf(c.inner))
	isFlat := c.canBeFlat() && c.tool.fits(c.outerNames())
	if c.label == nil && isFlat {
		return flat
	}
	if isNested {
		return nested
	}
	return when(isFlat, flat)
}

func when(yes bool, f form) form {
	if yes {
		return f
	}
	return neither
}

// canBeNested is whether the call looks as it was shown, but for a missing intent.
func (c *call) canBeNested() bool {
	most := 1
	if c.label != nil {
		most = 2
	}
	return len(c.members) == most && (c.label == nil || c.labelIsText) && isObject(c.inner)
}

// canBeFlat is whether model_intent is something that can be in a flat call.
func (c *call) canBeFlat() bool { return c.label == nil || c.labelIsText || c.labelIsArgument }

// outerNames are the tool's arguments in the flat form.
func (c *call) outerNames() []string {
	var names []string
	for _, m := range c.members {
		if m.Name != intentName || c.labelIsArgument {
			names = append(names, m.Name)
		}
	}
	return names
}

func namesOf(object []byte) []string {
	members, _ := rpc.Members(nil, object)
	names := make([]string, len(members))
	for i, m := range members {
		names[i] = m.Name
	}
	return names
}

func isObject(raw []byte) bool { return len(raw) > 0 && raw[0] == '{' }

// said is the intent, made fit to be shown in one line.
func (c *call) said() string {
	text, _ := rpc.String(c.label)
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsGraphic(r), r == utf8.RuneError: // controls, bidirectional overrides, tags
			return -1
		}
		return r
	}, text)
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > maxIntent {
		return strings.TrimSpace(string(runes[:maxIntent]))
	}
	return text
}
