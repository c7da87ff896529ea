package intent

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"mcpsidecar/proxy/rpc"
)

const (
	intentName    = "model_intent"
	argumentsName = "properties"

	labelSchema = `{"type":"string","description":"What this call is doing, for the people who watch: a short status label of under 100 characters that begins with a present participle, for example: Searching the open issues. ` +
		`The arguments of the tool itself go into properties."}`
	anyObject = `{"type":"object"}`
)

// Wrap returns the schema to show instead of a tool's raw input schema: an object that requires model_intent and properties, where properties has the whole original schema.
//
// The original is moved two levels down, which matters to nothing in it but its references. There are three ways to keep those right:
//
//   - $defs and definitions move to the root, where "#/$defs/x" finds them as before; every other reference to a place in the document ("#", "#/properties/a") gets the new place in front.
//     References to an anchor find it wherever it is, and what an embedded schema with an $id of its own says about itself stays true, so neither is touched.
//   - A schema with an $id of its own moves as it is: it is a resource, and references in it start from there.
//   - So does one of draft 2019-09 with a $recursiveRef, which can point to nothing but the root of its resource; it is given an $id.
//
// $schema moves to the root, since the dialect is the document's. All other text stays byte for byte, apart from white space around the members of the root. What is no schema at all is shown
// as one that accepts any object; a missing one, too.
func Wrap(schema []byte) []byte {
	if rpc.Valid(schema) != nil {
		return wrapper(nil, []byte(anyObject))
	}
	if root, err := rpc.Members(nil, schema); err == nil {
		return wrapObject(schema, root)
	}
	if text := string(bytes.TrimSpace(schema)); text == "true" || text == "false" {
		return wrapper(nil, []byte(text))
	}
	return wrapper(nil, []byte(anyObject))
}

func wrapObject(schema []byte, root []rpc.Member) []byte {
	d := dialectOf(root)
	if d.resource(root) {
		return wrapResource(root)
	}
	rewritten, recursive, err := d.rewrite(root)
	switch {
	case err != nil:
		return wrapper(nil, []byte(anyObject))
	case recursive:
		_, others := part(root, d.id) // one that names nothing
		return wrapResource(append([]rpc.Member{{Name: d.id, Value: nameFor(schema)}}, others...))
	}
	hoisted, moved := part(rewritten, "$schema", "$defs", "definitions")
	return wrapper(hoisted, rpc.AppendObject(nil, moved))
}

// wrapResource moves a schema that has an $id.
func wrapResource(root []rpc.Member) []byte {
	hoisted, moved := part(root, "$schema")
	return wrapper(hoisted, rpc.AppendObject(nil, moved))
}

// wrapper puts the moved schema below the members that were hoisted to the root.
func wrapper(hoisted []rpc.Member, moved []byte) []byte {
	inner := rpc.AppendObject(nil, []rpc.Member{{Name: intentName, Value: []byte(labelSchema)}, {Name: argumentsName, Value: moved}})
	return rpc.AppendObject(nil, append([]rpc.Member{
		{Name: "type", Value: []byte(`"object"`)},
		{Name: "properties", Value: inner},
		{Name: "required", Value: []byte(`["` + intentName + `","` + argumentsName + `"]`)},
	}, hoisted...))
}

// part divides members into those with one of the names and the rest.
func part(members []rpc.Member, names ...string) (named, rest []rpc.Member) {
	for _, m := range members {
		if slices.Contains(names, m.Name) {
			named = append(named, m)
		} else {
			rest = append(rest, m)
		}
	}
	return named, rest
}

// nameFor makes an $id that no other schema has: validators that remember schemas by it must not mix two tools up.
func nameFor(schema []byte) []byte {
	sum := sha256.Sum256(schema)
	return []byte(`"urn:sha256:` + hex.EncodeToString(sum[:]) + `"`)
}

// dialect is what differs between the drafts of JSON Schema as far as it matters here.
type dialect struct {
	id         string // the keyword that makes a schema a resource of its own
	refIsAlone bool   // up to draft-07 a $ref hides everything beside it, an $id included

	recursiveRef bool // $recursiveRef is a keyword
}

// dialectOf reads $schema; a document that does not say is 2020-12, as MCP has it.
func dialectOf(root []rpc.Member) dialect {
	declared, _ := rpc.String(find(root, "$schema"))
	switch is := func(draft string) bool { return strings.Contains(declared, draft) }; {
	case is("draft-03"), is("draft-04"):
		return dialect{id: "id", refIsAlone: true}
	case is("draft-05"), is("draft-06"), is("draft-07"):
		return dialect{id: "$id", refIsAlone: true}
	case is("2019-09"):
		return dialect{id: "$id", recursiveRef: true}
	}
	return dialect{id: "$id"}
}

// resource says whether the root names itself.
func (d dialect) resource(root []rpc.Member) bool {
	return names(find(root, d.id)) && !(d.refIsAlone && find(root, "$ref") != nil)
}

// names says whether the raw value of an id names a resource; one that is only a fragment names a place in one.
func names(id []byte) bool {
	text, _ := rpc.String(id)
	name, _, _ := strings.Cut(text, "#")
	return name != ""
}

func find(members []rpc.Member, name string) []byte {
	for _, m := range members {
		if m.Name == name {
			return m.Value
		}
	}
	return nil
}
