// Package secret holds what must not be seen: Value, a text that prints as [redacted], and Keyring, which seals texts for storage.
//
// It owns the only place where a secret's text can be taken out (Value.Reveal), the format of sealed texts, and the keyset file.
//
// It deliberately does not know what is secret: configstore and proxy say what to seal, and where it belongs.
//
// Invariants: no formatting verb, encoder or logger prints a Value; a sealed text opens only at the place (associated data) it was sealed for; a wrong key is an error and never a new key.
//
// Lifetimes: a Keyring is immutable; rotation makes a new one.
package secret
