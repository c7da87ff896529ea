// Package configstore keeps what an admin configured and what users connected: servers, users, API tokens and approved catalogs.
//
// It owns the records and their validation, the layout of keys, the sealing of secrets, transactions, the schema version and the feed of changes. Engines are in kv.
//
// It deliberately does not know HTTP, roles or MCP, and does no network I/O.
//
// Invariants: every change is one transaction on record types of our own; an acknowledged write survives a kill; no secret is stored unsealed, and each is bound to its record and field;
// no record is believed that the key did not write at this place; a store that is damaged, foreign or newer is refused untouched.
//
// Lifetimes: a Store lives from Open to Close; records that it returns are the caller's own copies.
//
// # Keys and values
//
//	meta/schema          {"schema": 1}: how the rest is to be read. The only value that needs no key
//	meta/key_check       a sealed text that opens with the right key only
//	meta/probe           written to see whether a full disk has room again
//	server/<id>          a server
//	slug/<slug>          the id of the server that has the slug: what makes slugs unique
//	catalog/<server id>  the approved catalog of a server
//	token/<id>           an API token
//	user/<name>          a known user
//
//	grant/<server id>/<user>   a user's OAuth2 credential for a server
//	registration/<server id>   who we are at the server's authorization server
//	flow/<hash of the state>   a connect in progress
//	link/<hash of its text>    a sign-in link that was not used yet
//
// No key carries a secret. A value is JSON with fixed field names (record_*.go) behind a seal (envelope.go): 33 bytes that only who has the key can make, and only for this content under this
// key. Who can write to the file can therefore neither change a token's role, nor turn a server's credentials to another address, nor copy a record over another; a flipped bit is an error
// and not a different policy. (Going back to an older state of the whole file is possible: that is what a backup is.)
//
// Within a record each secret is sealed once more, by itself, for the place <kind>/<id>/<field>, so that reading a record without a need for its secrets shows none of them.
//
// # Adding a field
//
// Add it to the record type in records.go, to its stored form in record_*.go, to Validate, and to the fixture test. A field whose absence an older binary would misread raises schema
// (schema.go) and brings a migration.
//
// # Grants
//
// A grant has a generation, which no two writes share. A refresh writes only over the generation that it read, so a late one overwrites nothing newer and nothing that was deleted; a connect
// writes only while its flow is there, and whatever ends grants (a disconnect, another server address, the deletion of server or user) deletes the flows too, in the same transaction. A grant is
// bound to what the server was when its user connected; the change of that ends it. What a change or a deletion ends is told (Config.Ended), so that it can be revoked at its provider, too.
//
// # What deleting means
//
// A deleted or overwritten value may stay in the file until its page is used again, sealed as it was. The ciphertext is worth nothing without the key file.
package configstore
