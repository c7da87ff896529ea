package audit

// Call is one tools/call or other relayed request. Empty fields are left out of the record.
type Call struct {
	RequestID, TokenID, Role, User string
	Server, Tool                   string
	Method                         string // the MCP method; empty means tools/call
	Mode, Agent                    string
	Decision, Reason, Rule         string // as policy said
	Intent                         string // what the model said it wants, where the server asks for that
	Outcome                        string // ok, tool_error, denied, error
	Milliseconds                   float64
	BytesIn, BytesOut              int64
}

// Change is one change of the stored configuration.
type Change struct {
	RequestID, TokenID, User string
	Action                   string // create, update, delete, approve, revoke, ...
	Kind                     string // server, token, user, catalog, ...
	ID, Slug                 string
	Fields                   []string // names of the fields that changed, never their values
}
