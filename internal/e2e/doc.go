// Package e2e proves the finished program from outside: the real binary, started as a process, between clients and servers that others wrote.
//
// It owns the tests that no package can hold alone: who can talk to whom, what survives a kill and a drain, and what attacks at the edge of the process get. The parts that
// others wrote are pinned: those in Go in go.mod, those in Node in node/package-lock.json; setup.sh installs the latter.
//
// It deliberately imports nothing of the program: what is proved is what a user runs, so that all it knows are flags, routes and MCP.
//
// Invariant: every process that a test starts is ended by the test, by its own handle, and no timing decides a test.
//
// Lifetimes: binaries are built at most once for each run; a sidecar, its data and its servers live as long as the test that started them.
package e2e
