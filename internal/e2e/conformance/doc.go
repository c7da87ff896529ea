// Command conformance runs the conformance suite of the MCP project against a server, directly and through the sidecar, and prints both columns, scenario by scenario.
//
//	go run ./internal/e2e/conformance            both revisions, once
//	go run ./internal/e2e/conformance -runs 10   ten times, and says what was not the same each time
//
// It owns the list of scenarios that later work makes pass, each with its reason: they are shown, not hidden, and a scenario that is not on the list and passes directly has to
// pass through the sidecar. The command ends with 1 where one does not.
//
// It deliberately judges nothing itself: what a scenario demands is the suite's business, and which server it is run against is the upstream that passes everything directly.
//
// Invariant: the sidecar is the program as it is built for users; between it and the suite stands only a forwarder that adds the token, because the suite sends none.
//
// Lifetimes: everything that is started ends with the run.
package main
