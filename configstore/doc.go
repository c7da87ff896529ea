// Package configstore keeps what an admin configured and what users connected: servers, users, API tokens and approved catalogs.
//
// It owns the records and their validation, the layout of keys, the sealing of secrets, transactions, the schema version and the feed of changes. Engines are in kv.
//
// It deliberately does not know HTTP, roles or MCP, and does no network I/O.
//
// Invariants: every change is one transaction on record types of our own; an acknowledged write survives a kill; no secret is stored unsealed, and each is bound to its record and field;
// a store that is damaged, foreign or newer is refused untouched.
//
// Lifetimes: a Store lives from Open to Close; records that it returns are the caller's own copies.
package configstore
