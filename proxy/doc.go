// Package proxy is the data path: the MCP endpoint in front of all servers.
//
// It owns /mcp and /mcp/{slug}: reading a request, its era, its session, which servers and tools the caller has, the call, the answer's way back, and the accounting. The road of a request, file by
// file: endpoint.go (who, where, which body) → scope.go (mode, agent, selection) → era.go (modern or legacy, headers against body) → legacy.go or modern.go (methods) → list.go or call.go, and
// for prompts, resources and completions surfaces.go or use.go (keep.go keeps what servers list) → relay.go (the answer) → account.go (metrics, audit). failure.go alone chooses statuses, codes and words.
//
// It deliberately does not know how servers are configured or credentials are obtained: it is handed snapshots, and headers.
//
// Invariants: what was judged is what is forwarded; listing and calling ask the same policy; a denied tool and one that does not exist get the same answer; nothing of one caller reaches another.
//
// Lifetimes:
//   - A snapshot (snapshot.go) is immutable; Load publishes a new one. A request works on the one it found.
//   - A link (link.go) is the live side of one server: connections, lists, sessions. It lives as long as the fields it connects with are unchanged, and is closed when its last request ended.
//   - A session (session.go) is a sealed id that its client keeps; what it holds in memory is made on demand and dies by DELETE, after half an hour without use, or with the process, and is then made anew.
//   - Goroutines: one sweeper per Proxy; per link, credential and kind of list one fetch at most, and one standing listener where the server announces list changes. Close ends them and waits.
package proxy
