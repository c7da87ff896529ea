// Package proxy is the data path: the MCP endpoint in front of all servers.
//
// It owns /mcp and /mcp/{slug}: reading a request, its era, its session, which servers and tools the caller has (the Catalog), the call, the answer's way back, and the accounting.
//
// It deliberately does not know how servers are configured or credentials obtained.
//
// Invariants: what was judged is what is forwarded; listing and calling ask the same policy; a denied tool and one that does not exist get the same answer; nothing of one caller reaches another.
//
// Lifetimes: see session.go and lists.go; Close ends everything.
package proxy
