package intent

import (
	"strconv"

	"mcpsidecar/proxy/rpc"
)

// Schema is what a tool's input schema says about the names of its arguments: as much as is needed to tell the forms of a call apart. It is read through local references and combinations. Where it
// does not know, it is open: whatever the schema accepts fits, and some that it refuses. It is immutable and keeps nothing of the text that it was read from.
type Schema struct {
	declared map[string]bool // by the schema or any part of it that speaks about the same object
	required map[string]bool // by the schema and the parts that must hold
	closed   bool            // other names are refused
	open     bool            // other names are possible, whatever closed says: patterns, or a part that could not be read
}

// maxSubschemas bounds the work for schemas that are made to cause it.
const maxSubschemas = 64

// Read reads a tool's raw input schema, so that unwrapping many calls need not.
func Read(schema []byte) *Schema {
	r := reader{seen: map[place]bool{}, Schema: Schema{declared: map[string]bool{}, required: map[string]bool{}}}
	if root, err := rpc.Members(nil, schema); err == nil {
		r.dialect = dialectOf(root)
	}
	r.read(schema, schema, true)
	read := r.Schema // a copy, so that what the reader points to can go
	return &read
}

// owns says whether the tool has an argument of this name.
func (s *Schema) owns(name string) bool { return s.declared[name] || s.required[name] }

// fits says whether the names, of which there are no two the same, can be the tool's arguments: all that are required, and none that is refused.
func (s *Schema) fits(names []string) bool {
	missing := len(s.required)
	for _, name := range names {
		if s.required[name] {
			missing--
		} else if s.closed && !s.open && !s.declared[name] {
			return false
		}
	}
	return missing == 0
}

type reader struct {
	Schema
	dialect
	seen map[place]bool // so that schemas may refer to themselves and to each other
}

// place is a subschema, known by where it begins, and how it was read.
type place struct {
	begin   *byte
	binding bool
}

// read adds what a schema says; references in it start from resource. binding is whether the schema must hold, unlike one branch of anyOf.
func (r *reader) read(resource, schema []byte, binding bool) {
	members, err := rpc.Members(nil, schema)
	if err != nil {
		return // true, false, or nothing that we know: it names no arguments
	}
	here := place{&schema[0], binding}
	if r.seen[here] {
		return
	}
	if len(r.seen) == maxSubschemas {
		r.open = true
		return
	}
	r.seen[here] = true
	if ref := find(members, "$ref"); ref != nil && r.refIsAlone {
		r.follow(resource, ref, binding)
		return
	}
	if r.resource(members) {
		resource = schema
	}
	for _, m := range members {
		r.keyword(resource, m, binding)
	}
}

func (r *reader) keyword(resource []byte, m rpc.Member, binding bool) {
	switch m.Name {
	case "properties":
		r.declare(m.Value)
	case "required":
		if binding {
			r.require(m.Value)
		}
	case "patternProperties":
		r.open = true
	case "additionalProperties":
		r.closed = r.closed || binding && string(m.Value) == "false"
	case "unevaluatedProperties":
		r.closed = r.closed || binding && !r.refIsAlone && string(m.Value) == "false"
	case "$ref":
		r.follow(resource, m.Value, binding)
	case "$dynamicRef", "$recursiveRef":
		r.open = true // where they lead is known only when arguments are validated
		r.follow(resource, m.Value, false)
	case "allOf":
		r.readAll(resource, m.Value, binding)
	case "anyOf", "oneOf":
		r.readAll(resource, m.Value, false)
	case "if", "then", "else":
		r.read(resource, m.Value, false)
	case "dependentSchemas", "dependencies":
		r.readTable(resource, m.Value)
	}
}

func (r *reader) declare(properties []byte) {
	members, _ := rpc.Members(nil, properties)
	for _, m := range members {
		r.declared[m.Name] = true
	}
}

func (r *reader) require(list []byte) {
	elements, _ := rpc.Elements(nil, list)
	for _, element := range elements {
		if name, ok := rpc.String(element); ok {
			r.required[name] = true
		}
	}
}

func (r *reader) readAll(resource, list []byte, binding bool) {
	elements, _ := rpc.Elements(nil, list)
	for _, element := range elements {
		r.read(resource, element, binding)
	}
}

func (r *reader) readTable(resource, table []byte) {
	members, _ := rpc.Members(nil, table)
	for _, m := range members {
		r.read(resource, m.Value, false)
	}
}

// follow reads what a reference leads to, if that is a place in the same resource.
func (r *reader) follow(resource, raw []byte, binding bool) {
	ref, ok := rpc.String(raw)
	if !ok {
		return
	}
	if target := resolve(resource, ref); target != nil {
		r.read(resource, target, binding)
		return
	}
	r.open = true
}

// resolve returns the place that a local reference points to, or nil.
func resolve(resource []byte, ref string) []byte {
	if ref != "" && ref[0] != '#' {
		return nil
	}
	tokens, isPointer := pointer(ref[min(1, len(ref)):])
	if !isPointer {
		return nil
	}
	target := resource
	for _, token := range tokens {
		if target = step(target, token); target == nil {
			return nil
		}
	}
	return target
}

// step goes one level down, into a member or an element.
func step(value []byte, token string) []byte {
	if member := rpc.Find(value, token); member != nil {
		return member
	}
	elements, _ := rpc.Elements(nil, value)
	if at, err := strconv.Atoi(token); err == nil && at >= 0 && at < len(elements) {
		return elements[at]
	}
	return nil
}
