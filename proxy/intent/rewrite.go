package intent

import (
	"bytes"
	"net/url"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"mcpsidecar/proxy/rpc"
)

// moved is where the original schema is in the wrapped one.
const moved = "/properties/properties"

// role is what the value of a member means to the references in it.
type role uint8

const (
	aSchema    role = iota // a schema, or an array of schemas. What we do not know is read as one, too: a reference may point into it
	aTable                 // an object of schemas by names that mean nothing
	aReference             // a reference, if it is a string
	plainData              // anything, and none of it is a reference, whatever it looks like
)

// roleOf says what a keyword of any draft holds.
func roleOf(keyword string) role {
	switch keyword {
	case "properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies":
		return aTable
	case "$ref", "$dynamicRef":
		return aReference
	case "enum", "const", "default", "examples", "example":
		return plainData
	}
	return aSchema
}

// rewrite returns the members of a schema with their references changed for the new place, and whether there is a $recursiveRef among them.
func (d dialect) rewrite(root []rpc.Member) (changed []rpc.Member, recursive bool, err error) {
	changed = slices.Clone(root)
	for i, m := range root {
		w := newWalker(d, m.Value)
		if err := w.value(roleOf(m.Name)); err != nil {
			return nil, false, err
		}
		changed[i].Value = w.apply(m.Value)
		recursive = recursive || w.recursive || d.recursiveRef && m.Name == "$recursiveRef"
	}
	return changed, recursive, nil
}

// walker goes through a value once, however deep it is, and notes what has to change.
type walker struct {
	dialect
	decoder   *jsontext.Decoder
	edits     []edit // in order
	recursive bool
}

// newWalker starts at a text that was read strictly before, so the decoder need not do that again.
func newWalker(d dialect, text []byte) *walker {
	return &walker{dialect: d, decoder: jsontext.NewDecoder(bytes.NewBuffer(text), jsontext.AllowDuplicateNames(true))}
}

// edit replaces text[from:to].
type edit struct {
	from, to int
	text     []byte
}

// apply makes the edits; without any it returns the text itself.
func (w *walker) apply(text []byte) []byte {
	if len(w.edits) == 0 {
		return text
	}
	var out []byte
	done := 0
	for _, e := range w.edits {
		out = append(append(out, text[done:e.from]...), e.text...)
		done = e.to
	}
	return append(out, text[done:]...)
}

func (w *walker) value(r role) error {
	switch kind := w.decoder.PeekKind(); {
	case r == plainData:
		return w.decoder.SkipValue()
	case r == aReference && kind == '"':
		return w.reference()
	case r == aTable && kind == '{':
		return w.members(func(string) error { return w.value(aSchema) })
	case kind == '{':
		return w.schema()
	case kind == '[':
		return w.elements()
	}
	return w.decoder.SkipValue()
}

// schema goes through one schema. If it turns out to be a resource of its own, the edits in it are forgotten: its references start from itself.
func (w *walker) schema() error {
	before := len(w.edits)
	named, alone := false, false
	err := w.members(func(keyword string) error {
		text := w.decoder.PeekKind() == '"'
		switch {
		case text && keyword == w.id:
			raw, err := w.decoder.ReadValue()
			named = names(raw)
			return err
		case text && keyword == "$ref":
			alone = w.refIsAlone
		case text && keyword == "$recursiveRef" && w.recursiveRef:
			w.recursive = true
		}
		return w.value(roleOf(keyword))
	})
	if named && !alone {
		w.edits = w.edits[:before]
	}
	return err
}

// members goes through an object; visit has to consume the value of the member.
func (w *walker) members(visit func(name string) error) error {
	if _, err := w.decoder.ReadToken(); err != nil {
		return err
	}
	for {
		token, err := w.decoder.ReadToken()
		if err != nil || token.Kind() == '}' {
			return err
		}
		if err := visit(token.String()); err != nil {
			return err
		}
	}
}

func (w *walker) elements() error {
	if _, err := w.decoder.ReadToken(); err != nil {
		return err
	}
	for w.decoder.PeekKind() != ']' {
		if err := w.value(aSchema); err != nil {
			return err
		}
	}
	_, err := w.decoder.ReadToken()
	return err
}

func (w *walker) reference() error {
	raw, err := w.decoder.ReadValue()
	if err != nil {
		return err
	}
	end := int(w.decoder.InputOffset())
	ref, _ := rpc.String(raw)
	if to := relocate(ref); to != ref {
		w.edits = append(w.edits, edit{from: end - len(raw), to: end, text: rpc.AppendString(nil, to)})
	}
	return nil
}

// relocate changes a reference to a place in the document that moved: everything but what is below $defs and definitions.
func relocate(ref string) string {
	if ref == "" {
		return "#" + moved
	}
	fragment, local := strings.CutPrefix(ref, "#")
	if !local {
		return ref
	}
	tokens, isPointer := pointer(fragment)
	if !isPointer || len(tokens) > 0 && (tokens[0] == "$defs" || tokens[0] == "definitions") {
		return ref
	}
	return "#" + moved + fragment
}

// pointer splits a fragment that is a JSON pointer into its decoded tokens; the empty one is the whole document. What is not a pointer is the name of an anchor.
func pointer(fragment string) (tokens []string, ok bool) {
	text, err := url.PathUnescape(fragment)
	if err != nil {
		text = fragment
	}
	if text == "" {
		return nil, true
	}
	if text[0] != '/' {
		return nil, false
	}
	tokens = strings.Split(text[1:], "/")
	for i := range tokens {
		tokens[i] = unescaper.Replace(tokens[i])
	}
	return tokens, true
}

// unescaper undoes the escapes of a JSON pointer, in one pass, so that ~01 becomes ~1.
var unescaper = strings.NewReplacer("~1", "/", "~0", "~")
