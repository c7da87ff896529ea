package main

import (
	"os"
	"slices"
	"testing"
)

// TestScenarios runs some scenarios, one of each kind; all of them take more time than a test may, and are for the command.
func TestScenarios(t *testing.T) {
	s, err := newSuite(t.Context())
	if err != nil && os.Getenv("CI") == "" {
		t.Skipf("the suite cannot be run here: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	chosen := []string{"auth/2025-03-26-oauth-endpoint-fallback", "auth/basic-cimd", "auth/scope-step-up", "auth/pre-registration", "auth/authorization-server-migration", "auth/iss-wrong-issuer", "auth/resource-mismatch", "http-custom-headers", "sse-retry", "sep-2322-client-request-state"}
	run := 0
	for _, what := range slices.Backward(all()) {
		if !slices.Contains(chosen, what.name) {
			continue
		}
		chosen = slices.DeleteFunc(chosen, func(name string) bool { return name == what.name })
		run++
		o, err := s.one(t.Context(), what)
		if err != nil {
			t.Fatal(err)
		}
		if len(o.failed) > 0 || o.passed == 0 {
			t.Errorf("%s: %+v\n%s", what.name, o.failed, o.output)
		}
	}
	if run != 10 || len(chosen) > 0 {
		t.Errorf("%d scenarios were run; there are none of the names %v", run, chosen)
	}
}
