// Package matrix tries every feature of the protocol between clients and servers that others wrote, each pinned to an era: directly, and through the finished program.
//
// It owns docs/matrix.md, which its test writes with -update and otherwise holds against what was run. Each cell of it is a client, a server and a feature, and is run for real both ways:
//
//   - what works directly has to work through the sidecar;
//   - what does not, because the eras differ, is what the sidecar is for, and has to work as well;
//   - what works neither way has its reason in the list of what the client or the server cannot do, and a reason that no cell needs is an error.
//
// It deliberately imports nothing of the program: all it knows are flags, routes and MCP. It knows of a client what the interface agent says, and of a server what its recipe says.
//
// Invariant: no timing makes a cell good or bad. What must come is waited for as long as it takes; only what is known not to come is given up soon.
//
// Lifetimes: the sidecar, the servers and a process of Node for each kind of client live as long as the test; a connection as long as its cells, or until one of them fails. Goroutines are not counted here: servers of others
// run in this process, and keep some for sessions that nobody ended.
package matrix

//go:generate go test -count=1 -run ^TestMatrix$ . -update
