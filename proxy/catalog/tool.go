package catalog

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"

	"mcpsidecar/policy"
	"mcpsidecar/proxy/intent"
	"mcpsidecar/proxy/rpc"
)

// Tool is one tool of one server.
type Tool struct {
	Name     string // original
	Raw      []byte // the definition as listed
	Print    policy.Print
	ReadOnly bool
	Cleaned  bool // something was removed from its texts before showing

	schema  []byte      // input schema, a part of Raw
	plain   face        // as it is shown; its text is Raw unless something was cleaned
	wrapped func() face // the same with the schema wrapped; made when it is first asked for
	mirror  *mirror     // nil: no argument is mirrored
	found   findings
}

// face is a definition ready to be shown under any name.
type face struct {
	text []byte
	name span // of the name's value in text
}

// maxName is how many bytes a name may have. The specification recommends 128 characters at most; what is far beyond is meant to do harm.
const maxName = 512

// read makes a tool of a definition, or says why it is not to be offered.
func read(d definition, limits Limits) (*Tool, error) {
	if err := check(d, limits); err != nil {
		return nil, err
	}
	print, readOnly, err := policy.Fingerprint(d.text)
	if err != nil {
		return nil, fmt.Errorf("no fingerprint can be taken of it: %w", err)
	}
	d.text = bytes.Clone(d.text)
	shown, found, mirror, err := inspect(d, limits.Description)
	if err != nil {
		return nil, err
	}
	return &Tool{
		Name: d.name, Raw: d.text, Print: print, ReadOnly: readOnly, Cleaned: found.removed || found.cut,
		schema: d.inputSchema.of(d.text), plain: face{shown.text, shown.nameAt}, mirror: mirror, found: found,
		wrapped: sync.OnceValue(func() face { return wrap(shown) }),
	}, nil
}

// check judges what can be judged before anything is kept.
func check(d definition, limits Limits) error {
	switch {
	case len(d.text) > limits.Definition:
		return fmt.Errorf("its definition has %d bytes, more than %d", len(d.text), limits.Definition)
	case len(d.name) > maxName:
		return fmt.Errorf("its name has %d bytes, more than %d", len(d.name), maxName)
	case Hides(d.name):
		return errors.New("its name has control characters or characters that cannot be seen")
	case d.inputSchema.empty() || d.text[d.inputSchema.from] != '{':
		return errors.New("its inputSchema is missing or not an object")
	}
	return nil
}

// inspect goes through a definition's texts and annotations: it returns the definition to show and the arguments to mirror.
func inspect(d definition, longest int) (shown definition, found findings, m *mirror, err error) {
	texts := texts{text: d.text, longest: longest}
	annotations := annotations{text: d.text}
	texts.look(d.title)
	texts.look(d.description)
	texts.look(d.annotationsTitle)
	deep := !walkSchema(d.text, d.inputSchema.from, func(s subschema) {
		texts.schema(s)
		annotations.schema(s)
	})
	if !d.outputSchema.empty() {
		deep = deep || !walkSchema(d.text, d.outputSchema.from, texts.schema)
	}
	if deep {
		return d, found, nil, fmt.Errorf("its schemas are nested more than %d deep", depth)
	}
	if annotations.err != nil {
		return d, found, nil, annotations.err
	}
	shown = d
	if len(texts.edits) > 0 {
		var ok bool
		if shown, ok = locate(texts.apply()); !ok {
			return d, found, nil, errors.New("its texts cannot be cleaned")
		}
	}
	texts.found.left = hiddenInside(shown.text)
	return shown, texts.found, annotations.root, nil
}

// wrap replaces the input schema by the one that asks for an intent.
func wrap(d definition) face {
	schema := intent.Wrap(d.inputSchema.of(d.text))
	text := slices.Concat(d.text[:d.inputSchema.from], schema, d.text[d.inputSchema.to:])
	name := d.nameAt
	if name.from > d.inputSchema.from {
		shift := len(schema) - (d.inputSchema.to - d.inputSchema.from)
		name = span{name.from + shift, name.to + shift}
	}
	return face{text, name}
}

// AppendExposed appends the definition as an agent sees it under the exposed name: texts cleaned, and the schema wrapped if intent is true.
func (t *Tool) AppendExposed(dst []byte, exposed string, intent bool) []byte {
	f := t.plain
	if intent {
		f = t.wrapped()
	}
	dst = append(dst, f.text[:f.name.from]...)
	dst = rpc.AppendString(dst, exposed)
	return append(dst, f.text[f.name.to:]...)
}

// InputSchema is the raw input schema.
func (t *Tool) InputSchema() []byte { return t.schema }
