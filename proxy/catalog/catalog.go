// Package catalog turns the raw pages of a server's tools/list into tools that can be judged, shown and called.
//
// It owns what is done to a listed tool: which ones are dropped (ambiguous names, invalid x-mcp-header annotations, too many, too large), what is cleaned from texts shown to a model, the
// fingerprint, the exposed definition, and the mirroring of arguments into Mcp-Param-* headers.
//
// It deliberately does not fetch, cache or judge, and does not know callers.
//
// Invariant: a definition is shown as the server gave it, but for its name, cleaned texts and, where asked, the intent wrapper; unknown members survive byte for byte.
//
// Lifetimes: a Catalog is immutable.
package catalog

import (
	"net/http"

	"mcpsidecar/policy"
)

// Limits bound a catalog. Zero values mean the defaults in brackets.
type Limits struct {
	Tools       int // of one server [2000]
	Definition  int // bytes of one definition [256 KiB]
	Description int // characters of one description that are shown [16384]; what is longer is cut
}

// Tool is one tool of one server.
type Tool struct {
	Name     string // original
	Raw      []byte // the definition as listed
	Print    policy.Print
	ReadOnly bool
	Cleaned  bool // something was removed from its texts before showing

	// unexported: cleaned definition, header parameters, input schema ...
}

// Catalog is the present tools of one server.
type Catalog struct {
	Tools    []Tool   // by name, unique
	Warnings []string // what was dropped or cleaned, one sentence each, naming the tool; escaped, length-capped
}

// Build makes a catalog from the raw tool objects of all pages. The definitions were read strictly already. A tool whose name occurs twice is dropped altogether.
func Build(definitions [][]byte, limits Limits) *Catalog { panic("unbuilt") }

// Find returns the tool with this original name, or nil.
func (c *Catalog) Find(name string) *Tool { panic("unbuilt") }

// Baseline is what approving this catalog means.
func (c *Catalog) Baseline() policy.Baseline { panic("unbuilt") }

// Names lists the original names.
func (c *Catalog) Names() []string { panic("unbuilt") }

// AppendExposed appends the definition as an agent sees it under the exposed name: texts cleaned, and the schema wrapped if intent is true.
func (t *Tool) AppendExposed(dst []byte, exposed string, intent bool) []byte { panic("unbuilt") }

// InputSchema is the raw input schema.
func (t *Tool) InputSchema() []byte { panic("unbuilt") }

// HasHeaders says whether arguments are mirrored into headers.
func (t *Tool) HasHeaders() bool { panic("unbuilt") }

// SetHeaders mirrors arguments (a raw object, or nil) into Mcp-Param-* headers as the 2026-07-28 specification says.
func (t *Tool) SetHeaders(header http.Header, arguments []byte) error { panic("unbuilt") }

// CheckHeaders holds the Mcp-Param-* headers that a client sent against the arguments: a recognised header that is malformed or differs, or is missing where the argument is present, is an error that
// names it. Integers are compared as numbers. Unrecognised ones are ignored.
func (t *Tool) CheckHeaders(header http.Header, arguments []byte) error { panic("unbuilt") }

// EncodeHeader writes a value as a header value, with the Base64 sentinel where it must.
func EncodeHeader(value string) string { panic("unbuilt") }

// DecodeHeader reads a header value; a malformed sentinel or an invalid character is an error.
func DecodeHeader(value string) (string, error) { panic("unbuilt") }
