// Package policy decides which tools, prompts, resources and extension methods of a server a caller may see and use.
//
// It owns the rules as an admin states them (Rules), their compiled form (Policy), the one function that judges (Policy.Decide), the names under which
// tools are shown to agents (ExposedNames), and the fingerprint by which a changed tool definition is noticed (Fingerprint).
//
// It deliberately does not know HTTP, JSON-RPC, the store, the clock or who proved what: it is given values and returns values.
//
// Invariants: Decide is pure; the deny list always wins; plan mode never allows what act mode refuses; doubt means no. Listing and calling use the same function.
//
// Lifetimes: a Policy is immutable and lives as long as whoever holds it.
package policy
