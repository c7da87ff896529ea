package catalog

// member is one keyword of a schema.
type member struct {
	key   []byte
	value span
}

// subschema is one schema object inside a schema, with all its keywords.
type subschema struct {
	path    []string // names of the properties that lead here from the root, if reachable
	members []member
	// reachable is whether the way from the root goes through properties alone. The root itself is reachable by the empty path.
	reachable bool
}

// schemaWalker visits every subschema once, inner ones first. Annotations are found where a schema has keywords, and nowhere else: neither in the data of const, enum, default and examples, nor in a
// property that happens to be called like a keyword.
type schemaWalker struct {
	cursor
	path  []string
	stack []member
	visit func(subschema)
}

// walkSchema visits the schema that starts at from; false if it is nested too deeply.
func walkSchema(text []byte, from int, visit func(subschema)) bool {
	// One level is taken by the definition that the schema is part of.
	w := schemaWalker{cursor: cursor{text: text, at: from, depth: 1}, visit: visit}
	w.schema(true)
	return !w.bad
}

// schema passes over a value that stands where a schema may stand, or an array of them.
func (w *schemaWalker) schema(reachable bool) {
	switch w.peek() {
	case '{':
		w.object(reachable)
	case '[':
		w.elements(func() { w.schema(false) })
	default:
		w.skip()
	}
}

func (w *schemaWalker) object(reachable bool) {
	base := len(w.stack)
	w.members(func(name span) {
		key := w.key(name)
		w.peek()
		from := w.at
		w.keyword(key, reachable)
		w.stack = append(w.stack, member{key, span{from, w.at}})
	})
	if !w.bad {
		w.visit(subschema{path: w.path, members: w.stack[base:], reachable: reachable})
	}
	w.stack = w.stack[:base]
}

// keyword passes over the value of a keyword. Unknown ones may hold schemas, so they are looked into; it can only lead to a text cleaned or a tool refused.
func (w *schemaWalker) keyword(key []byte, reachable bool) {
	switch string(key) {
	case "const", "enum", "default", "examples", "example":
		w.skip()
	case "properties":
		w.named(reachable)
	case "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies":
		w.named(false)
	default:
		w.schema(false)
	}
}

// named passes over an object whose member names are no keywords and whose values are schemas.
func (w *schemaWalker) named(reachable bool) {
	if w.peek() != '{' {
		w.schema(false)
		return
	}
	w.members(func(name span) {
		if !reachable {
			w.schema(false)
			return
		}
		w.path = append(w.path, string(w.key(name)))
		w.schema(true)
		w.path = w.path[:len(w.path)-1]
	})
}
