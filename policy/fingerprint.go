package policy

// Print is the fingerprint of one tool definition, by part, so that a difference can be named. The order of JSON members does not matter to it; every byte of a value does.
type Print struct {
	Description  string `json:"description,omitempty"` // hex of a SHA-256; covers title, too
	InputSchema  string `json:"input_schema,omitempty"`
	OutputSchema string `json:"output_schema,omitempty"`
	Annotations  string `json:"annotations,omitempty"`
}

// Fingerprint takes the print of a tool definition, the raw JSON object as the server listed it. readOnly is whether annotations.readOnlyHint is true.
func Fingerprint(definition []byte) (print Print, readOnly bool, err error) { panic("unbuilt") }

// Change is one difference between the approved and the present catalog.
type Change struct {
	Tool   string   `json:"tool"`
	Kind   string   `json:"kind"`             // added, removed, changed
	Fields []string `json:"fields,omitempty"` // of changed: description, input_schema, output_schema, annotations
}

// Diff compares an approved catalog with the present one; sorted by tool.
func Diff(approved, present Baseline) []Change { panic("unbuilt") }
