package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// print prints a table and says whether it has a row that lost something without an excuse.
func print(out io.Writer, rows []Row) (broken bool) {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprint(table, "SCENARIO\t")
	for _, column := range columns {
		fmt.Fprintf(table, "%s\t", column.Name)
	}
	fmt.Fprintln(table)
	for _, row := range rows {
		fmt.Fprintf(table, "%s\t%s\t", row.Direct.Scenario, cell(row.Direct))
		for _, t := range row.Through {
			fmt.Fprintf(table, "%s\t", cell(t.Result))
			broken = broken || len(t.Lost) > 0
		}
		fmt.Fprintln(table, row.remark())
	}
	table.Flush()
	for _, row := range rows {
		for i, t := range row.Through {
			for _, check := range t.Lost {
				fmt.Fprintf(out, "BROKEN %s, %s: %s is %q: %s\n", columns[i+1].Name, row.Direct.Scenario, check.ID, check.Status, check.ErrorMessage)
			}
		}
	}
	return broken
}

// remark is what is to be said of a row that is not the same everywhere.
func (r Row) remark() string {
	var remarks []string
	add := func(remark string) {
		if !slices.Contains(remarks, remark) {
			remarks = append(remarks, remark)
		}
	}
	for _, t := range r.Through {
		if len(t.Lost) > 0 {
			add("BROKEN")
		}
		if t.Gained {
			add("through the sidecar alone")
		}
		for _, reason := range t.Excused {
			add(reason)
		}
	}
	return strings.Join(remarks, "; ")
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

// tally counts the outcomes of each scenario, by where it was run and its name.
type tally map[string]map[string]int

func (t tally) add(where string, rows []Row) {
	for _, row := range rows {
		name := where + ": " + row.Direct.Scenario
		if t[name] == nil {
			t[name] = map[string]int{}
		}
		outcome := columns[0].Name + " " + cell(row.Direct)
		for i, got := range row.Through {
			outcome += ", " + columns[i+1].Name + " " + cell(got.Result)
		}
		t[name][outcome]++
	}
}

// print says what did not come out the same way each time.
func (t tally) print(out io.Writer, runs int) {
	if runs < 2 {
		return
	}
	fmt.Fprintln(out)
	steady := 0
	for _, name := range slices.Sorted(maps.Keys(t)) {
		if len(t[name]) == 1 {
			steady++
			continue
		}
		fmt.Fprintf(out, "not the same each time: %s: %v\n", name, t[name])
	}
	fmt.Fprintf(out, "Of %d scenarios %d came out the same way in each of %d runs.\n", len(t), steady, runs)
}
