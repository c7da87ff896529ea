package policy

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"unicode/utf8"
)

// Print is the fingerprint of one tool definition, by part, so that a difference can be named. The order of JSON members does not matter to it, nor do spaces and how a
// character is escaped; every value does, down to how a number is written. A part that the definition does not have is empty, except InputSchema, so that no print is the zero value.
type Print struct {
	Description  string `json:"description,omitempty"` // hex of a SHA-256; covers title, too
	InputSchema  string `json:"input_schema,omitempty"`
	OutputSchema string `json:"output_schema,omitempty"`
	Annotations  string `json:"annotations,omitempty"`
}

// Approval is what is remembered of a tool when its definition was approved.
type Approval struct {
	Print    Print `json:"print"`
	ReadOnly bool  `json:"read_only"` // its annotations had readOnlyHint: true
}

// Baseline is a server's approved catalog by original tool name. Nil: none was approved yet.
type Baseline map[string]Approval

// maxDefinitionDepth is how deep a definition may be nested, counted as proxy/rpc counts a message.
const maxDefinitionDepth = 128

// Fingerprint takes the print of a tool definition, the raw JSON object as the server listed it. readOnly is whether annotations.readOnlyHint is true.
//
// A definition that two readers could understand differently (a member twice, text that is not Unicode) is an error. Members that are not mentioned in Print, such as icons and _meta, do not
// matter. The name does not either: a Baseline is keyed by it.
func Fingerprint(definition []byte) (print Print, readOnly bool, err error) {
	tool, err := readDefinition(definition)
	if err != nil {
		return Print{}, false, fmt.Errorf("reading the tool's definition: %w", err)
	}
	print = Print{
		Description:  digest(parts(tool, "title", "description")),
		InputSchema:  digest(map[string]any{"inputSchema": tool["inputSchema"]}),
		OutputSchema: digest(parts(tool, "outputSchema")),
		Annotations:  digest(parts(tool, "annotations")),
	}
	annotations, _ := tool["annotations"].(map[string]any)
	readOnly, _ = annotations["readOnlyHint"].(bool)
	return print, readOnly, nil
}

// parts picks the members that are there.
func parts(object map[string]any, names ...string) map[string]any {
	picked := map[string]any{}
	for _, name := range names {
		if value, found := object[name]; found {
			picked[name] = value
		}
	}
	return picked
}

// digest hashes the canonical form of a part; a part that is not there has none.
func digest(part map[string]any) string {
	if len(part) == 0 {
		return ""
	}
	sum := sha256.Sum256(appendCanonical(nil, part))
	return hex.EncodeToString(sum[:])
}

// appendCanonical writes a value so that no two values are written alike: each with its kind and, where it has one, its length. Members are sorted by name. It is our own form because prints
// are stored, and no library promises never to escape a character differently.
func appendCanonical(dst []byte, value any) []byte {
	switch value := value.(type) {
	case nil:
		return append(dst, 'n')
	case bool:
		return strconv.AppendBool(dst, value)
	case json.Number:
		return appendCounted(dst, '#', value.String())
	case string:
		return appendCounted(dst, '"', value)
	case []any:
		dst = fmt.Appendf(dst, "[%d:", len(value))
		for _, element := range value {
			dst = appendCanonical(dst, element)
		}
		return dst
	case map[string]any:
		dst = fmt.Appendf(dst, "{%d:", len(value))
		for _, name := range slices.Sorted(maps.Keys(value)) {
			dst = appendCanonical(appendCounted(dst, '"', name), value[name])
		}
		return dst
	}
	panic(fmt.Sprintf("policy: %T is no JSON value", value))
}

func appendCounted(dst []byte, kind byte, text string) []byte {
	return fmt.Appendf(dst, "%c%d:%s", kind, len(text), text)
}

// readDefinition reads one JSON object strictly.
func readDefinition(text []byte) (map[string]any, error) {
	if !json.Valid(text) {
		return nil, errors.New("it is not valid JSON")
	}
	if !utf8.Valid(text) || loneSurrogate(text) {
		return nil, errors.New("it contains text that is not valid Unicode")
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	value, err := readValue(decoder, maxDefinitionDepth)
	if err != nil {
		return nil, err
	}
	object, ok := value.(map[string]any)
	if !ok {
		return nil, errors.New("it is not a JSON object")
	}
	return object, nil
}

// readValue reads the next value; depth is how many levels of nesting are left.
func readValue(decoder *json.Decoder, depth int) (any, error) {
	token, err := decoder.Token()
	if err != nil {
		return nil, err
	}
	delim, nested := token.(json.Delim)
	switch {
	case !nested:
		return token, nil
	case depth == 0:
		return nil, fmt.Errorf("it is nested more than %d deep", maxDefinitionDepth)
	case delim == '[':
		return readArray(decoder, depth-1)
	}
	return readObject(decoder, depth-1)
}

func readArray(decoder *json.Decoder, depth int) (any, error) {
	array := []any{}
	for decoder.More() {
		value, err := readValue(decoder, depth)
		if err != nil {
			return nil, err
		}
		array = append(array, value)
	}
	_, err := decoder.Token()
	return array, err
}

func readObject(decoder *json.Decoder, depth int) (any, error) {
	object := map[string]any{}
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return nil, err
		}
		name := token.(string) // the text is valid JSON, so what follows a brace is a name
		if _, twice := object[name]; twice {
			return nil, fmt.Errorf("it has a member %s twice", quoted(name))
		}
		if object[name], err = readValue(decoder, depth); err != nil {
			return nil, err
		}
	}
	_, err := decoder.Token()
	return object, err
}

// loneSurrogate finds an escape such as \ud800 without its other half in valid JSON. encoding/json reads every one of them as U+FFFD, so that two definitions that differ would have the same print.
func loneSurrogate(text []byte) bool {
	for {
		at := bytes.IndexByte(text, '\\')
		if at < 0 {
			return false
		}
		text = text[at:]
		switch half(text) {
		case high:
			if half(text[6:]) != low {
				return true
			}
			text = text[12:]
		case low:
			return true
		default:
			text = text[2:]
		}
	}
}

const (
	neither = iota
	high
	low
)

// half says which half of a surrogate pair an escape at the beginning of text is.
func half(text []byte) int {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' || text[2] != 'd' && text[2] != 'D' {
		return neither
	}
	switch text[3] {
	case '8', '9', 'a', 'A', 'b', 'B':
		return high
	case 'c', 'C', 'd', 'D', 'e', 'E', 'f', 'F':
		return low
	}
	return neither
}

// Change is one difference between the approved and the present catalog.
type Change struct {
	Tool   string   `json:"tool"`
	Kind   string   `json:"kind"`             // added, removed, changed
	Fields []string `json:"fields,omitempty"` // of changed: description, input_schema, output_schema, annotations
}

// Diff compares an approved catalog with the present one; sorted by tool, never nil.
func Diff(approved, present Baseline) []Change {
	changes := []Change{}
	for _, tool := range slices.Sorted(maps.Keys(approved)) {
		now, listed := present[tool]
		if !listed {
			changes = append(changes, Change{Tool: tool, Kind: "removed"})
		} else if fields := approved[tool].differences(now); len(fields) > 0 {
			changes = append(changes, Change{Tool: tool, Kind: "changed", Fields: fields})
		}
	}
	for tool := range present {
		if _, known := approved[tool]; !known {
			changes = append(changes, Change{Tool: tool, Kind: "added"})
		}
	}
	slices.SortFunc(changes, func(a, b Change) int { return cmp.Compare(a.Tool, b.Tool) })
	return changes
}

// differences names the parts in which two definitions differ.
func (a Approval) differences(b Approval) []string {
	var fields []string
	for _, part := range []struct {
		name string
		same bool
	}{
		{"description", a.Print.Description == b.Print.Description},
		{"input_schema", a.Print.InputSchema == b.Print.InputSchema},
		{"output_schema", a.Print.OutputSchema == b.Print.OutputSchema},
		{"annotations", a.Print.Annotations == b.Print.Annotations && a.ReadOnly == b.ReadOnly},
	} {
		if !part.same {
			fields = append(fields, part.name)
		}
	}
	return fields
}
