package main

import (
	"context"
	"os"
	"testing"
	"time"
)

// TestConformance: what passes directly passes through the sidecar, in front of every upstream, on both endpoints.
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
	demanded := 0
	for i, upstream := range upstreams {
		for _, selection := range selections {
			if selection.only != nil && i > 0 {
				continue // it takes as long as all others, and no upstream has more of it than the first; the command runs it
			}
			t.Run(upstream.Name+"/"+selection.Name, func(t *testing.T) {
				rows, err := b.run(ctx, upstream, selection)
				if err != nil {
					t.Fatal(err)
				}
				for _, row := range rows {
					demanded += check(t, row)
				}
			})
		}
	}
	if demanded < 300 {
		t.Errorf("only %d scenarios were held against the sidecar: is the list of excuses too long?", demanded)
	}
}

// check reports what a row has lost, and returns how often its scenario was demanded whole.
func check(t *testing.T, row Row) (demanded int) {
	for i, through := range row.Through {
		for _, check := range through.Lost {
			t.Errorf("%s, %s: %s is %q: %s", columns[i+1].Name, row.Direct.Scenario, check.ID, check.Status, check.ErrorMessage)
		}
		if len(through.Excused) == 0 && row.Direct.Failed == 0 {
			demanded++
		}
	}
	return demanded
}

// TestCompare: what counts as lost.
func TestCompare(t *testing.T) {
	result := func(scenario string, checks ...Check) Result {
		r := Result{Scenario: scenario, Checks: map[string]Check{}}
		for _, c := range checks {
			r.Checks[c.ID] = c
			switch c.Status {
			case success:
				r.Passed++
			case failure:
				r.Failed++
			}
		}
		return r
	}
	good, bad, info := Check{ID: "c", Status: success}, Check{ID: "c", Status: failure}, Check{ID: "c", Status: "INFO"}
	other := Check{ID: "could-not-begin", Status: failure}
	for _, test := range []struct {
		what            string
		at              place
		direct, through Result
		lost, excused   int
		gained          bool
	}{
		{what: "the same", direct: result("ping", good), through: result("ping", good)},
		{what: "fails both ways", direct: result("ping", bad), through: result("ping", bad)},
		{what: "fails through", direct: result("ping", good), through: result("ping", bad), lost: 1},
		{what: "is not made through", direct: result("ping", good), through: result("ping"), lost: 1},
		{what: "says less through", direct: result("ping", good), through: result("ping", info), lost: 1},
		{what: "fails under another name", direct: result("ping", good), through: result("ping", good, other), lost: 1},
		{what: "better through", direct: result("ping", bad), through: result("ping", good), gained: true},
		{what: "known", at: place{"mcp-go", "/mcp"}, direct: result("tools-call-with-progress", good), through: result("tools-call-with-progress", bad), excused: 1},
		{what: "known of one column", at: place{"mcp-go", "/mcp"}, direct: result("resources-subscribe", good), through: result("resources-subscribe", bad), excused: 1},
		{what: "known of the other", at: place{"mcp-go", "/mcp/{slug}"}, direct: result("resources-subscribe", good), through: result("resources-subscribe", bad), lost: 1},
		{what: "known of another", at: place{"go-sdk", "/mcp"}, direct: result("tools-call-with-progress", good), through: result("tools-call-with-progress", bad), lost: 1},
	} {
		t.Run(test.what, func(t *testing.T) {
			got := compareOne(test.at, test.direct, test.through)
			if len(got.Lost) != test.lost || len(got.Excused) != test.excused || got.Gained != test.gained {
				t.Errorf("lost %v, excused %v, gained %v", got.Lost, got.Excused, got.Gained)
			}
		})
	}
	if _, err := compare("", []Result{result("ping", good)}, [][]Result{nil}); err == nil {
		t.Error("a scenario that was not run is no error")
	}
}
