package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"mcpsidecar/internal/e2e/rig"
)

// suiteTime bounds one run of the suite, which takes seconds.
const suiteTime = 3 * time.Minute

// Selection is what the suite is asked to run.
type Selection struct {
	Name string
	args []string
	only []string // scenarios that begin with one of these; none: all
}

// selections are all scenarios that the suite has for servers, under each version of the protocol that has them; those of extensions have none.
var selections = []Selection{
	revision("2025-03-26"), revision("2025-06-18"), revision("2025-11-25"), revision("2026-07-28"),
	{Name: "extensions", args: []string{"--suite", "all"}, only: []string{"tasks-", "sep-2640-"}},
}

func revision(name string) Selection {
	return Selection{Name: name, args: []string{"--suite", "all", "--spec-version", name}}
}

// Result is the outcome of one scenario.
type Result struct {
	Scenario       string
	Passed, Failed int              // checks
	Checks         map[string]Check // by id; of several with one id, the worst
}

// Check is the outcome of one thing that a scenario demands.
type Check struct {
	ID, Status, ErrorMessage string
}

// Statuses of a check that count; others say that it could not be made or is about something optional.
const (
	success = "SUCCESS"
	failure = "FAILURE"
)

// runSuite runs a selection, in the suite's order.
func runSuite(ctx context.Context, node *rig.Node, selection Selection, url string) ([]Result, error) {
	ctx, cancel := context.WithTimeout(ctx, suiteTime)
	defer cancel()
	dir, err := os.MkdirTemp("", "conformance-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	_, stdout, stderr, err := rig.Run(ctx, node.Conformance(append([]string{"server", "--url", url, "-o", dir}, selection.args...)...))
	if err != nil {
		return nil, err
	}
	results := selection.pick(summary(stdout))
	if len(results) == 0 {
		return nil, fmt.Errorf("the suite says nothing:\n%s\n%s", stdout, stderr)
	}
	for i := range results {
		if results[i].Checks, err = checks(dir, results[i].Scenario); err != nil {
			return nil, err
		}
	}
	return results, nil
}

// pick keeps what is selected.
func (s Selection) pick(results []Result) []Result {
	return slices.DeleteFunc(results, func(r Result) bool {
		return len(s.only) > 0 && !slices.ContainsFunc(s.only, func(prefix string) bool { return strings.HasPrefix(r.Scenario, prefix) })
	})
}

var outcome = regexp.MustCompile(`^\S+ ([a-z0-9-]+): (\d+) passed, (\d+) failed`)

// summary reads the lines at the end of the suite's output.
func summary(text string) (results []Result) {
	for line := range strings.Lines(text) {
		if m := outcome.FindStringSubmatch(line); m != nil {
			passed, _ := strconv.Atoi(m[2])
			failed, _ := strconv.Atoi(m[3])
			results = append(results, Result{Scenario: m[1], Passed: passed, Failed: failed})
		}
	}
	return results
}

// checks reads what the suite has written about a scenario. A skipped scenario has nothing.
func checks(dir, scenario string) (map[string]Check, error) {
	files, err := filepath.Glob(filepath.Join(dir, "server-"+scenario+"-20*", "checks.json"))
	if err != nil {
		return nil, err
	}
	found := map[string]Check{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var all []Check
		if err := json.Unmarshal(text, &all); err != nil {
			return nil, fmt.Errorf("reading the checks of %s: %w", scenario, err)
		}
		for _, check := range all {
			if known, ok := found[check.ID]; !ok || known.Status != failure {
				found[check.ID] = check
			}
		}
	}
	return found, nil
}
