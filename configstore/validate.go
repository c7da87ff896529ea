package configstore

import "mcpsidecar/policy"

// FieldError is one thing that is wrong with a record, by the field's JSON name.
type FieldError = policy.FieldError

// Normalize trims texts and list entries, and fills defaults.
func (s *Server) Normalize() { panic("unbuilt") }

// ClearOtherAuth empties the fields that belong to other auth types than the server's.
func (s *Server) ClearOtherAuth() { panic("unbuilt") }

// Validate returns everything that is wrong with a normalized server, in the order of the fields; create and update use the same. Addresses are not judged here.
func (s *Server) Validate() []FieldError { panic("unbuilt") }
