// Package policy decides which tools, prompts, resources and extension methods of a server a caller may see and use.
//
// It owns the rules as an admin states them (Rules), their compiled form (Policy), the one function that judges (Policy.Decide), the names under which
// tools are shown to agents (ExposedNames), and the fingerprint by which a changed tool definition is noticed (Fingerprint).
//
// It deliberately does not know HTTP, JSON-RPC, the store, the clock or who proved what: it is given values and returns values.
//
// Invariants: Decide is pure; the deny list always wins; plan mode never allows what act mode refuses; doubt means no. Listing and calling use the same function.
//
// A tool is allowed when every one of these says yes, asked in this order; the first no is the reason:
//
//	enabled               the server is switched on
//	visible               the user is in visible_to, or visible_to is empty
//	selected              force_on; or listed by the agent; or default_on and the agent listed nothing
//	exposed               expose has the surface. Prompts, resources and extensions are asked nothing below but plan mode's first two; and extension
//	                      methods, of which nobody can tell what they do, are refused in plan mode where plan_tools or plan_read_only narrows it
//	deny list             no entry matches. It is asked before everything else about the tool, so that an audit record names the entry even
//	                      when the server does not list such a tool, or the allow list would have refused it, too; a name of more than
//	                      4096 bytes is unknown before that
//	known                 the server lists the tool at present
//	allow list            empty, or an entry matches
//	pinning (block)       the definition is the approved one, or nothing was approved yet
//	plan mode, agent      the agent is the root of its chat
//	plan mode, server     the server has allow_in_plan_mode
//	plan mode, list       plan_tools is empty, or an entry matches
//	plan mode, pinning    the definition is the approved one, or nothing was approved yet, or pinning is off
//	plan mode, read only  if plan_read_only: the approved definition had the hint, and the present one is the same
//
// A hint, like everything that comes from the server itself, can only narrow.
//
// Lifetimes: a Policy is immutable and lives as long as whoever holds it.
package policy
