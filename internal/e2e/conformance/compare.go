package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Row is one scenario in every column.
type Row struct {
	Direct  Result
	Through []Through // in the order of the columns
}

// Through is what came of a scenario in one of the sidecar's columns, against the direct one.
type Through struct {
	Result
	Lost    []Check  // what passes directly and not here, as it came out here
	Excused []string // the same, for reasons that are known
	Gained  bool     // it passes here alone
}

// place is where a scenario was run: in front of which upstream, and in which column.
type place struct{ upstream, column string }

// excuses say why a scenario or a check of one does not pass, by the beginning of its name, at a place; an empty name is any.
var excuses = []struct {
	at             place
	prefix, reason string
}{
	{place{}, "sep-2575-server-sends-tools-list-changed-on-subscription", "by design: a list that is the same as before is not announced"},
	{place{}, "server-sse-streams-functional", "optional: what comes at once is answered as JSON"},
	{place{upstream: "go-sdk"}, "server-sse-retry-field", "by design: of its two eras the sidecar speaks the newer one to it, in which the answer comes at once instead of being polled"},
	{place{upstream: "mcp-go"}, "tools-call-with-progress", "the server drops notifications under load, directly as well"},
	{place{upstream: "mcp-go"}, "tools-call-with-logging", "the server drops notifications under load, directly as well"},
	{place{"mcp-go", "/mcp"}, "resources-subscribe", unowned},
	{place{"mcp-go", "/mcp"}, "resources-unsubscribe", unowned},
	{place{"server-everything", "/mcp"}, "resources-subscribe", unowned},
	{place{"server-everything", "/mcp"}, "resources-unsubscribe", unowned},
	{place{upstream: "server-everything"}, "tools-call-simple-text", unlisted},
	{place{upstream: "server-everything"}, "tools-call-error", unlisted},
	{place{upstream: "server-everything"}, "server-sse-priming-event", unlisted},
}

// unowned is why a subscription fails where several servers are: the suite subscribes to what this one takes, but does not list.
const unowned = "by design: where several servers are, a resource that none of them lists is nobody's"

// unlisted is why a server that lacks the suite's tools passes some scenarios by itself: its own way to say so has a text, and isError.
const unlisted = "by design: a tool that is not listed is an error of the protocol"

// excuse returns why something does not pass, or nothing.
func excuse(at place, names ...string) string {
	is := func(pattern, name string) bool { return pattern == "" || pattern == name }
	for _, e := range excuses {
		if is(e.at.upstream, at.upstream) && is(e.at.column, at.column) && slices.ContainsFunc(names, func(name string) bool { return strings.HasPrefix(name, e.prefix) }) {
			return e.reason
		}
	}
	return ""
}

// compare puts the columns beside each other. A scenario that one of them lacks is an error: the suite would have run two different things.
func compare(upstream string, direct []Result, through [][]Result) ([]Row, error) {
	var rows []Row
	for _, d := range direct {
		row := Row{Direct: d}
		for n, column := range through {
			i := slices.IndexFunc(column, func(r Result) bool { return r.Scenario == d.Scenario })
			if i < 0 {
				return nil, fmt.Errorf("%s was not run through the sidecar", d.Scenario)
			}
			row.Through = append(row.Through, compareOne(place{upstream, columns[n+1].Name}, d, column[i]))
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func compareOne(at place, direct, got Result) Through {
	t := Through{Result: got, Gained: direct.Failed > 0 && got.Failed == 0 && got.Passed > 0}
	for _, id := range slices.Sorted(maps.Keys(got.Checks)) {
		// What could not even begin may complain under another name than the checks that it took with it.
		if check := got.Checks[id]; check.Status == failure && direct.Failed == 0 && direct.Checks[id].Status == "" && excuse(at, direct.Scenario, id) == "" {
			t.Lost = append(t.Lost, check)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(direct.Checks)) {
		check := got.Checks[id]
		if direct.Checks[id].Status != success || check.Status == success {
			continue
		}
		check.ID = id
		if reason := excuse(at, direct.Scenario, id); reason == "" {
			t.Lost = append(t.Lost, check)
		} else if !slices.Contains(t.Excused, reason) {
			t.Excused = append(t.Excused, reason)
		}
	}
	return t
}
