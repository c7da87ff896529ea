package main

import (
	"context"
	"os"
	"testing"
	"time"
)

// TestConformance: what the suite demands of tools, initialize, ping, headers and versions and what passes directly, passes through the sidecar.
func TestConformance(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	b, err := newBench(ctx)
	if err != nil && os.Getenv("CI") == "" {
		t.Skipf("the suite cannot be run here: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	for _, revision := range revisions {
		t.Run(revision.Name, func(t *testing.T) {
			rows, err := b.run(ctx, revision)
			if err != nil {
				t.Fatal(err)
			}
			demanded := 0
			for _, row := range rows {
				for _, check := range row.Lost {
					t.Errorf("%s: %s is %q: %s", row.Direct.Scenario, check.ID, check.Status, check.ErrorMessage)
				}
				if len(row.Excused) == 0 && row.Direct.Failed == 0 {
					demanded++
				}
			}
			if demanded < 20 {
				t.Errorf("only %d scenarios were held against the sidecar: is the list of excuses too long?", demanded)
			}
		})
	}
}

// TestCompare: what counts as lost.
func TestCompare(t *testing.T) {
	result := func(scenario string, checks ...Check) Result {
		r := Result{Scenario: scenario, Checks: map[string]Check{}}
		for _, c := range checks {
			r.Checks[c.ID] = c
		}
		return r
	}
	good, bad, info := Check{ID: "c", Status: success}, Check{ID: "c", Status: failure}, Check{ID: "c", Status: "INFO"}
	for _, test := range []struct {
		what            string
		direct, through Result
		lost, excused   int
	}{
		{"the same", result("ping", good), result("ping", good), 0, 0},
		{"fails both ways", result("ping", bad), result("ping", bad), 0, 0},
		{"fails through", result("ping", good), result("ping", bad), 1, 0},
		{"is not made through", result("ping", good), result("ping"), 1, 0},
		{"says less through", result("ping", good), result("ping", info), 1, 0},
		{"better through", result("ping", bad), result("ping", good), 0, 0},
		{"of later work", result("elicitation-x", good), result("elicitation-x", bad), 0, 1},
	} {
		t.Run(test.what, func(t *testing.T) {
			row := compareOne(test.direct, test.through)
			if len(row.Lost) != test.lost || len(row.Excused) != test.excused {
				t.Errorf("lost %v, excused %v", row.Lost, row.Excused)
			}
		})
	}
	if _, err := compare([]Result{result("ping", good)}, nil); err == nil {
		t.Error("a scenario that was not run is no error")
	}
}
