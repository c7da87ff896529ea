package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"text/tabwriter"
)

func main() {
	runs := flag.Int("runs", 1, "how `often` to run everything")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	broken, err := run(ctx, os.Stdout, *runs)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
	}
	if err != nil || broken {
		os.Exit(1)
	}
}

// run prints a table for each revision and each run, and says whether the sidecar takes something from one of them.
func run(ctx context.Context, out io.Writer, runs int) (broken bool, err error) {
	b, err := newBench(ctx)
	if err != nil {
		return false, err
	}
	defer b.close()
	seen, used := tally{}, map[string]bool{}
	for n := range runs {
		for _, revision := range revisions {
			rows, err := b.run(ctx, revision)
			if err != nil {
				return false, err
			}
			fmt.Fprintf(out, "\nRun %d of %d, revision %s\n\n", n+1, runs, revision.Name)
			broken = print(out, rows) || broken
			seen.add(revision.Name, rows)
			for _, row := range rows {
				for _, reason := range row.Excused {
					used[reason] = true
				}
			}
		}
	}
	for _, e := range excuses {
		if !used[e.reason] {
			fmt.Fprintf(out, "Nothing needs the excuse %q (%s*) any more: take it from the list.\n", e.reason, e.prefix)
		}
	}
	if runs > 1 {
		seen.print(out)
	}
	return broken, nil
}

// print prints a table and says whether it has a row that lost something without an excuse.
func print(out io.Writer, rows []Row) (broken bool) {
	columns := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(columns, "SCENARIO\tDIRECT\tTHROUGH\t")
	same, less := 0, 0
	for _, row := range rows {
		remark := strings.Join(row.Excused, "; ")
		switch {
		case len(row.Lost) > 0:
			broken, remark = true, "BROKEN"
		case len(row.Excused) > 0:
			less++
		default:
			same++
		}
		fmt.Fprintf(columns, "%s\t%s\t%s\t%s\n", row.Direct.Scenario, cell(row.Direct), cell(row.Through), remark)
	}
	columns.Flush()
	fmt.Fprintf(out, "\nOf %d scenarios %d come out through the sidecar as they do directly, and %d lack what the remark says.\n", len(rows), same, less)
	for _, row := range rows {
		for _, check := range row.Lost {
			fmt.Fprintf(out, "BROKEN %s: %s is %q: %s\n", row.Direct.Scenario, check.ID, check.Status, check.ErrorMessage)
		}
	}
	return broken
}

func cell(r Result) string {
	mark := "pass"
	if r.Failed > 0 {
		mark = "fail"
	} else if r.Passed == 0 {
		mark = "skip"
	}
	return fmt.Sprintf("%s %d/%d", mark, r.Passed, r.Passed+r.Failed)
}

// tally counts the outcomes of each scenario, by revision and name.
type tally map[string]map[string]int

func (t tally) add(revision string, rows []Row) {
	for _, row := range rows {
		name := revision + " " + row.Direct.Scenario
		if t[name] == nil {
			t[name] = map[string]int{}
		}
		t[name]["direct "+cell(row.Direct)+", through "+cell(row.Through)]++
	}
}

// print says what did not come out the same way each time.
func (t tally) print(out io.Writer) {
	fmt.Fprintln(out)
	steady := true
	for _, name := range slices.Sorted(maps.Keys(t)) {
		if len(t[name]) > 1 {
			steady = false
			fmt.Fprintf(out, "not the same each time: %s: %v\n", name, t[name])
		}
	}
	if steady {
		fmt.Fprintln(out, "Each scenario came out the same way in each run.")
	}
}
