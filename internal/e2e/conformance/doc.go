// Command conformance runs the conformance suite of the MCP project against servers that others wrote, directly and through the sidecar, and prints the columns beside each other, scenario by scenario.
//
//	go run ./internal/e2e/conformance                    every upstream, every version, once
//	go run ./internal/e2e/conformance -upstream go-sdk   one upstream
//	go run ./internal/e2e/conformance -runs 10           ten times, and says what was not the same each time
//	go run ./internal/e2e/conformance -url URL           against a server that runs already
//
// Through the sidecar there are two columns: on /mcp/{slug} the suite finds the upstream's own names; on /mcp, where another server stands beside it, a forwarder maps them to slug__name and back.
//
// It owns the list of scenarios that come out otherwise through the sidecar, each with its reason: they are shown, not hidden, and what is not on the list and passes directly has to pass through the sidecar.
// The command ends with 1 where it does not. What passes through the sidecar alone, because the eras of the suite and of the upstream differ, is shown as well.
//
// It deliberately judges nothing itself: what a scenario demands is the suite's business. The suite's own reference server is in no package; go-sdk's is written after it, and -url takes it where it runs.
//
// Invariant: the sidecar is the program as it is built for users; between it and the suite stands only a forwarder that adds what the suite does not send: a token, and which servers are wanted.
//
// Lifetimes: everything that is started ends with the run; each column of each run has an upstream of its own.
package main
