package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Row is one scenario in both columns.
type Row struct {
	Direct, Through Result
	Lost            []Check  // what passes directly and not through the sidecar, as it came out through it
	Excused         []string // the same, for reasons that are known
}

// excuses say why a scenario or a check of one does not pass yet, by the beginning of its name.
var excuses = []struct{ prefix, reason string }{
	{"resources-subscribe", "later: subscriptions to resources"},
	{"resources-unsubscribe", "later: subscriptions to resources"},
	{"tools-call-sampling", "later: requests from server to client"},
	{"tools-call-elicitation", "later: requests from server to client"},
	{"elicitation-", "later: requests from server to client"},
	{"sep-2575-server-sends-tools-list-changed-on-subscription", "by design: a list that is the same as before is not announced"},
	{"server-sse-streams-functional", "optional: what comes at once is answered as JSON"},
	{"server-sse-retry-field", "later: streams that end and are taken up again"},
}

// excuse returns why something does not pass, or nothing.
func excuse(names ...string) string {
	for _, e := range excuses {
		if slices.ContainsFunc(names, func(name string) bool { return strings.HasPrefix(name, e.prefix) }) {
			return e.reason
		}
	}
	return ""
}

// compare puts the columns beside each other. A scenario that one of them lacks is an error: the suite would have run two different things.
func compare(direct, through []Result) ([]Row, error) {
	var rows []Row
	for _, d := range direct {
		i := slices.IndexFunc(through, func(r Result) bool { return r.Scenario == d.Scenario })
		if i < 0 {
			return nil, fmt.Errorf("%s was not run through the sidecar", d.Scenario)
		}
		rows = append(rows, compareOne(d, through[i]))
	}
	return rows, nil
}

func compareOne(direct, through Result) Row {
	row := Row{Direct: direct, Through: through}
	for _, id := range slices.Sorted(maps.Keys(through.Checks)) {
		// What could not even begin may complain under another name than the checks that it took with it.
		if check := through.Checks[id]; check.Status == failure && direct.Failed == 0 && direct.Checks[id].Status == "" && excuse(direct.Scenario, id) == "" {
			row.Lost = append(row.Lost, check)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(direct.Checks)) {
		got := through.Checks[id]
		if direct.Checks[id].Status != success || got.Status == success {
			continue
		}
		got.ID = id
		if reason := excuse(direct.Scenario, id); reason == "" {
			row.Lost = append(row.Lost, got)
		} else if !slices.Contains(row.Excused, reason) {
			row.Excused = append(row.Excused, reason)
		}
	}
	return row
}
