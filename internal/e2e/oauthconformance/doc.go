// Command oauthconformance runs the client scenarios of the MCP project's conformance suite with the sidecar as the client under test, and prints which pass.
//
//	go run ./internal/e2e/oauthconformance                    all of them
//	go run ./internal/e2e/oauthconformance auth/iss-supported  one, with what was said
//
// The suite spawns a client with the address of a mock server. That client is this same program, which plays everybody but the sidecar (play.go): the admin who registers the mock server, the agent who lists and calls its
// tools, and the user whose browser follows the sign-in links. What the mock server and its authorization server see of it all is the sidecar's work alone.
//
// It owns the list of scenarios, and of those that do not apply the reason (scenarios.go). It deliberately judges nothing itself. Everything that is started ends with the run.
package main
