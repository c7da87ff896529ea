// Package secret holds what must not be seen: Value, a text that prints as [redacted], and Keyring, which seals texts for storage.
//
// It owns the only place where a secret's text can be taken out (Value.Reveal), the format of sealed texts, and the key file.
//
// It deliberately does not know what is secret: configstore and proxy say what to seal, and where it belongs.
//
// Invariants: no formatting verb, encoder or logger prints a Value; a sealed text opens only at the place (associated data) it was sealed for; a wrong key is an error and never a new key.
//
// Lifetimes: a Keyring is immutable; rotation makes a new one.
//
// # The key file
//
// The key file is one JSON object:
//
//	{"format": "mcp-sidecar-keys/1", "keyset": {...}, "derive": "base64 of 32 bytes"}
//
// keyset is a Tink keyset of AES-256-GCM keys. Its primary key seals; every enabled key opens, so that a rotation (Rotate) is: add a key, make it the primary one, keep the old
// ones until everything is sealed anew. A sealed text begins with the number of its key. Old keys stay in the file after that: backups of before need them. Whoever has no such backups can take
// them out by hand.
//
// derive is what Derive works from. It is a secret of its own, not one of the keys, so that what is derived (the key of session ids) stays the same when the keys rotate: a
// rotation logs nobody out.
//
// The file is written once and replaced as a whole: a new file beside it, flushed, renamed over it, the directory flushed. A crash leaves the old file or the new one.
//
// AES-GCM takes a random nonce for each seal; one key is good for 2^32 of them. An admin's writes do not come near; whatever seals for every request uses a derived key instead.
package secret
