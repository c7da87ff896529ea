// Package catalog turns the raw pages of a server's tools/list into tools that can be judged, shown and called.
//
// It owns what is done to a listed tool: which ones are dropped (ambiguous or unreadable names, no input schema, invalid x-mcp-header annotations, too many, too large, too deep), what is cleaned
// from texts shown to a model (see cleanText), the fingerprint, the exposed definition, and the mirroring of arguments into Mcp-Param-* headers.
//
// It deliberately does not fetch, cache or judge, does not know callers, and does not interpret a schema beyond finding the texts and annotations in it: nothing is validated against it and no $ref
// is followed, least of all one that points to the network.
//
// Invariants: a definition is shown as the server gave it, but for its name, cleaned texts and, where asked, the intent wrapper; unknown members survive byte for byte. The fingerprint is
// that of the definition as it was listed. A name means one tool, or none.
//
// Lifetimes: a Catalog copies what it keeps and is immutable, so it is safe for concurrent use and outlives the pages it was made from.
package catalog
