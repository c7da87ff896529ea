// Package intent wraps a tool's input schema so that a model has to say what it is doing, and unwraps the calls.
//
// It owns the form {model_intent, properties}. It deliberately does not know where the intent goes.
//
// Invariant: the whole input schema survives: $defs are hoisted, local $refs rewritten, everything else moved as it is; and whether a call is nested or flat is decided against the schema, never guessed.
//
// Lifetimes: pure functions.
package intent

import "errors"

// ErrArguments says that arguments fit neither form.
var ErrArguments = errors.New("the arguments fit neither {model_intent, properties} nor the tool's own schema")

// Wrap returns the schema to show instead of a tool's raw input schema.
func Wrap(schema []byte) []byte { panic("unbuilt") }

// Unwrap takes a call's raw arguments apart: the arguments to forward (a span of the input wherever that is possible) and the intent (at most 100 characters, control characters removed). schema is the tool's own raw input schema.
func Unwrap(schema, arguments []byte) (forward []byte, intent string, err error) { panic("unbuilt") }
