// Package intent wraps a tool's input schema so that a model has to say what it is doing, and unwraps the calls.
//
// It owns the form {model_intent, properties}: model_intent is a short label of what the call is for, properties the tool's arguments.
//
// It deliberately does not know where the intent goes, nor whether arguments are valid: it tells the two forms of a call apart and leaves the rest to the server.
//
// Invariants: the wrapped schema accepts {"model_intent": "…", "properties": X} exactly when the original accepts X; and whether a call is nested or flat is decided against the schema, never guessed.
//
// Lifetimes: pure functions, and a Schema that lives as long as whoever holds it. What Unwrap returns may point into the arguments that it was given.
package intent
