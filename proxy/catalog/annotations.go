package catalog

import (
	"fmt"
	"net/http"
	"slices"

	"mcpsidecar/proxy/rpc"
)

// headerPrefix starts the name of every mirrored argument's header.
const headerPrefix = "Mcp-Param-"

// mirror is which arguments go into headers: a tree of the properties that lead to them, so that one pass over the arguments finds all.
type mirror struct {
	header string             // of this very property, in canonical form; empty: none
	inner  map[string]*mirror // properties on the way to others
	all    []string           // at the root: every header, sorted
}

// at returns the place of a property, making the way to it.
func (m *mirror) at(path []string) *mirror {
	for _, name := range path {
		next := m.inner[name]
		if next == nil {
			if m.inner == nil {
				m.inner = make(map[string]*mirror)
			}
			next = new(mirror)
			m.inner[name] = next
		}
		m = next
	}
	return m
}

// annotations collects the x-mcp-header annotations of one input schema; the first that is invalid is the error.
type annotations struct {
	text []byte
	root *mirror
	err  error
}

// schema looks for an annotation in one subschema.
func (a *annotations) schema(s subschema) {
	i := slices.IndexFunc(s.members, func(m member) bool { return string(m.key) == "x-mcp-header" })
	if i < 0 || a.err != nil {
		return
	}
	name, isString := rpc.String(s.members[i].value.of(a.text))
	switch {
	case !isString || !token(name):
		a.err = fmt.Errorf("its x-mcp-header %s is not a header name", quote(string(s.members[i].value.of(a.text))))
	case !s.reachable:
		a.err = fmt.Errorf("its x-mcp-header %s stands where it is not reached through properties alone", quote(name))
	case len(s.path) == 0:
		a.err = fmt.Errorf("its x-mcp-header %s stands at the schema as a whole, not at a property", quote(name))
	case !primitive(a.text, s.members):
		a.err = fmt.Errorf("its x-mcp-header %s is not at a property of type string, integer or boolean", quote(name))
	default:
		a.add(name, s.path)
	}
}

func (a *annotations) add(name string, path []string) {
	if a.root == nil {
		a.root = new(mirror)
	}
	header := http.CanonicalHeaderKey(headerPrefix + name)
	i, taken := slices.BinarySearch(a.root.all, header)
	if taken {
		a.err = fmt.Errorf("its x-mcp-header %s occurs more than once, regardless of case", quote(name))
		return
	}
	a.root.all = slices.Insert(a.root.all, i, header)
	a.root.at(path).header = header
}

// token says whether a name has the syntax of a header name.
func token(name string) bool {
	for i := range len(name) {
		if !tokenByte(name[i]) {
			return false
		}
	}
	return name != ""
}

func tokenByte(b byte) bool {
	switch {
	case b >= '0' && b <= '9', b >= 'A' && b <= 'Z', b >= 'a' && b <= 'z':
		return true
	}
	switch b {
	case '!', '#', '$', '%', '&', '\'', '*', '+', '-', '.', '^', '_', '`', '|', '~':
		return true
	}
	return false
}

// primitive says whether a schema is of one of the three types that can be mirrored. A list of types is none of them.
func primitive(text []byte, members []member) bool {
	for _, m := range members {
		if string(m.key) == "type" {
			name, _ := rpc.String(m.value.of(text))
			return name == "string" || name == "integer" || name == "boolean"
		}
	}
	return false
}
