// Package surface turns what a server lists besides its tools (prompts, resources, resource templates) into something that can be shown, found and paged.
//
// It owns which listed entries are dropped (no name, a name that hides something, the same prompt twice, too many, too large), the names under which several servers' entries stand in one list, the cursors of our own pages, and which URI
// templates a URI matches.
//
// It deliberately does not fetch, cache or judge, and does not know callers: it is handed the lists that a caller may see.
//
// Invariants: an entry is shown as the server gave it, but for its name and for what is hidden in its texts, which are cleaned as those of tools are; a name means one entry of one server, or none; what a page shows depends on nothing but the lists, so a cursor needs no memory and
// survives every change of them.
//
// How names are made: prompts are named like tools. A URI stays as it is, because agents meet it elsewhere too, in results of tools that nobody rewrites; only where two of the lists have the same one, none of
// them keeps it: each gets the prefix sidecar+slug: and can be asked for by that alone. Which is which then does not depend on who was listed first.
//
// Lifetimes: a List is immutable and safe for concurrent use. It keeps the elements that it was read from.
package surface
