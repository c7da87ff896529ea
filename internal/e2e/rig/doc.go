// Package rig starts what black-box tests need: the sidecar as a process, and the servers, clients and tools that others wrote.
//
// It owns processes and their output, the building of binaries, the Node packages below internal/e2e/node, and a client of the management API.
//
// It deliberately knows nothing of the program but how it is started, what it prints and which routes it has; and nothing of the testing package, because the conformance
// command uses it as well.
//
// Invariant: a Process is waited for from the moment it was started, so that none is left as a zombie; what it prints is kept and bounded.
//
// Lifetimes: a Process lives until Stop, Kill, or the end of the context it was started with. Binaries go to a directory that the caller owns.
package rig
