package policy

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
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
	input := tool.part("inputSchema")
	if input == nil {
		input = []byte(noInputSchema)
	}
	return Print{
		Description:  digest(tool.part("description"), tool.part("title")),
		InputSchema:  digest(input),
		OutputSchema: digest(tool.part("outputSchema")),
		Annotations:  digest(tool.part("annotations")),
	}, tool.readOnlyHint(), nil
}

// noInputSchema stands for a schema that is not there; null is the same.
const noInputSchema = `"11:inputSchema` + `n`

// digest hashes an object of those members that are there, which come in the order of their names; without any there is none.
func digest(parts ...[]byte) string {
	parts = slices.DeleteFunc(parts, func(part []byte) bool { return part == nil })
	if len(parts) == 0 {
		return ""
	}
	h := sha256.New()
	fmt.Fprintf(h, "{%d:", len(parts))
	for _, part := range parts {
		h.Write(part)
	}
	return hex.EncodeToString(h.Sum(nil))
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
