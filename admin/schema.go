package admin

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"mcpsidecar/policy"
)

// object is a JSON object of the document; its members are written in the order of their names.
type object = map[string]any

// schemas collects the JSON Schemas of Go types, by the types' names.
type schemas struct{ byName object }

// words of closed sets that occur as elements of lists.
var wordTypes = map[reflect.Type][]any{
	reflect.TypeFor[policy.Surface](): {policy.Tools, policy.Prompts, policy.Resources, policy.Extensions},
	reflect.TypeFor[policy.Reason]():  anyOf(policy.Reasons()),
}

func anyOf[T any](list []T) []any {
	anys := make([]any, 0, len(list))
	for _, one := range list {
		anys = append(anys, one)
	}
	return anys
}

// of returns the schema of a type; a struct becomes a reference to a component. input says that the type is read and not written: unknown members are then refused.
func (s *schemas) of(t reflect.Type, input bool) object {
	if words, closed := wordTypes[t]; closed {
		return object{"type": "string", "enum": words}
	}
	switch t {
	case reflect.TypeFor[time.Time]():
		return object{"type": "string", "format": "date-time"}
	case reflect.TypeFor[secretText]():
		return object{"type": "string", "writeOnly": true}
	case reflect.TypeFor[jsontext.Value]():
		return object{}
	}
	switch t.Kind() {
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int, reflect.Int64:
		return object{"type": "integer"}
	case reflect.Pointer:
		return s.of(t.Elem(), input)
	case reflect.Slice:
		return object{"type": "array", "items": s.of(t.Elem(), input)}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": s.of(t.Elem(), input)}
	case reflect.Struct:
		return s.component(t, input)
	}
	panic(fmt.Sprintf("admin: no schema for %v", t))
}

// component describes a struct once and refers to it.
func (s *schemas) component(t reflect.Type, input bool) object {
	reference := object{"$ref": "#/components/schemas/" + t.Name()}
	if _, done := s.byName[t.Name()]; done {
		return reference
	}
	properties, required := object{}, []string{}
	schema := object{"type": "object", "properties": properties}
	s.byName[t.Name()] = schema
	for _, field := range reflect.VisibleFields(t) {
		name := jsonName(field)
		if name == "" {
			continue
		}
		properties[name] = s.property(field, input)
		if !strings.Contains(field.Tag.Get("json"), ",omit") {
			required = append(required, name)
		}
	}
	if input {
		required = requiredOf(t)
		schema["additionalProperties"] = false
	}
	if len(required) > 0 {
		schema["required"] = required
	}
	return reference
}

// property describes a field: its type's schema, with what its tags add. An input's pointer may be null, which says nothing.
func (s *schemas) property(field reflect.StructField, input bool) object {
	schema := s.of(field.Type, input)
	if enum, closed := field.Tag.Lookup("enum"); closed {
		schema["enum"] = anyOf(strings.Split(enum, ","))
	}
	if doc := field.Tag.Get("doc"); doc != "" {
		schema["description"] = doc
	}
	if input && field.Type.Kind() == reflect.Pointer {
		schema["type"] = []any{schema["type"], "null"}
		if words, closed := schema["enum"].([]any); closed {
			schema["enum"] = append(words, nil)
		}
	}
	return schema
}

// requiredOf asks an input what it cannot do without.
func requiredOf(t reflect.Type) []string {
	if input, ok := reflect.Zero(t).Interface().(interface{ required() []string }); ok {
		return slices.Clone(input.required())
	}
	return nil
}
