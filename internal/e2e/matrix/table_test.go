package matrix_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mcpsidecar/internal/e2e/rig"
)

// table has a cell for each client, server and feature, in that order.
type table [][][]cell

func newTable() table {
	t := make(table, len(clients))
	for c := range t {
		t[c] = make([][]cell, len(servers))
		for s := range t[c] {
			t[c][s] = make([]cell, len(features))
			for f := range t[c][s] {
				t[c][s][f].why, t[c][s][f].but = reason(clients[c], servers[s], features[f].name)
			}
		}
	}
	return t
}

// each goes through all cells.
func (t table) each(do func(c client, s served, f feature, x cell)) {
	for c := range t {
		for s := range t[c] {
			for f := range t[c][s] {
				do(clients[c], servers[s], features[f], t[c][s][f])
			}
		}
	}
}

// judge reports what does not work although it should, and what works although it is said not to.
func (t table) judge(test *testing.T) {
	t.each(func(c client, s served, f feature, x cell) {
		where := fmt.Sprintf("%s of %s (%s) at %s (%s)", f.name, c.name, c.era, s.name, s.era)
		switch {
		case (x.why == "" || x.but == through) && x.through != nil:
			test.Errorf("%s fails through the sidecar: %v (directly: %v)", where, x.through, x.direct)
		case x.why != "" && x.but != through && x.through == nil:
			test.Errorf("%s works, although it is said that it does not: %s", where, x.why)
		case x.why != "" && x.but == "" && x.direct == nil:
			test.Errorf("%s works directly, although it is said that it does not: %s", where, x.why)
		case (x.why == "" && c.era == s.era && s.transport == "" || x.but == directly) && x.direct != nil:
			test.Errorf("%s fails directly, although the eras are the same: %v", where, x.direct)
		}
	})
}

// compare holds the document against the table, or writes it.
func (t table) compare(test *testing.T) {
	root := must[string](test)(rig.Root())
	file, text := filepath.Join(root, "docs", "matrix.md"), t.markdown()
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			test.Fatal(err)
		}
		if err := os.WriteFile(file, text, 0o644); err != nil {
			test.Fatal(err)
		}
		return
	}
	if found := must[[]byte](test)(os.ReadFile(file)); !bytes.Equal(found, text) {
		test.Errorf("docs/matrix.md is not what was run; go generate ./internal/e2e/matrix writes it anew:\n%s", text)
	}
}

// Marks of cells.
const (
	both  = "yes"
	alone = "**only so**"
	notSo = "directly"
	none  = "–"
)

// markdown is the document.
func (t table) markdown() []byte {
	var b bytes.Buffer
	b.WriteString(preface + "\n")
	t.summary(&b)
	notes := &notes{}
	for s, server := range servers {
		fmt.Fprintf(&b, "\n## Server: %s, %s\n\n", server.name, server.era)
		t.rows(&b, s, notes)
	}
	fmt.Fprint(&b, "\n## Why not\n\n")
	for i, why := range notes.reasons {
		fmt.Fprintf(&b, "%d. %s.\n", i+1, capital(why))
	}
	fmt.Fprint(&b, "\n## What each feature is\n\n")
	for _, f := range features {
		fmt.Fprintf(&b, "- **%s**: %s.\n", f.name, f.what)
	}
	return b.Bytes()
}

// preface opens the document.
const preface = `# Who can talk to whom

Written by ` + "`go generate ./internal/e2e/matrix`" + ` from a run of every cell with the real programs; the tests hold it against another run. A row is a feature, a column a client. Clients and servers are
pinned to an era: *legacy* is ` + "`initialize`" + ` and sessions (here 2025-11-25), *modern* is 2026-07-28.

- **yes**: works directly, and through the sidecar.
- **only so**: works through the sidecar; directly it fails, because the eras (or the transports) differ.
- **–**: works neither way, for the reason of that number, which lies with the client, the server or the revision.
- **directly**: works directly alone, for the reason of that number.

The servers: *server-everything* of npm, over streamable HTTP and over the old HTTP+SSE; *conformance*, which is go-sdk's copy of the reference server of the conformance suite; and what *go-sdk* and *mcp-go* let a server offer, all of
it, in a server each that the test makes of them. Versions are those of ` + "`go.mod` and `internal/e2e/node/package-lock.json`" + `.

## In short

Features that work through the sidecar, of those that the client and the server both have; in brackets how many of them work directly.
`

// summary has a line for each client and a column for each server.
func (t table) summary(b *bytes.Buffer) {
	fmt.Fprint(b, "| client ↓ server → |")
	for _, s := range servers {
		fmt.Fprintf(b, " %s, %s |", s.name, s.era)
	}
	fmt.Fprintf(b, "\n|---|%s\n", strings.Repeat("--:|", len(servers)))
	for c, client := range clients {
		fmt.Fprintf(b, "| %s, %s |", client.name, client.era)
		for s := range servers {
			direct, over, possible := t.count(c, s)
			fmt.Fprintf(b, " %d of %d (%d) |", over, possible, direct)
		}
		fmt.Fprintln(b)
	}
}

// count counts the features of a client and a server.
func (t table) count(c, s int) (direct, over, possible int) {
	for _, x := range t[c][s] {
		if x.why == "" || x.but == through {
			possible++
		}
		if x.through == nil {
			over++
		}
		if x.direct == nil && x.but != through {
			direct++
		}
	}
	return direct, over, possible
}

// rows is the table of one server.
func (t table) rows(b *bytes.Buffer, s int, notes *notes) {
	fmt.Fprint(b, "| |")
	for _, c := range clients {
		fmt.Fprintf(b, " %s, %s |", c.name, c.era)
	}
	fmt.Fprintf(b, "\n|---|%s\n", strings.Repeat("---|", len(clients)))
	for f, feature := range features {
		fmt.Fprintf(b, "| %s |", feature.name)
		for c := range clients {
			fmt.Fprintf(b, " %s |", notes.mark(t[c][s][f]))
		}
		fmt.Fprintln(b)
	}
}

// notes are the reasons that the tables need, numbered as they come.
type notes struct{ reasons []string }

// mark is what stands in a cell.
func (n *notes) mark(x cell) string {
	mark := none
	switch {
	case x.but == through:
		mark = alone
	case x.but == directly:
		mark = notSo
	case x.through == nil && x.direct == nil:
		return both
	case x.through == nil:
		return alone
	case x.why == "":
		return "FAILS"
	}
	i := slices.Index(n.reasons, x.why)
	if i < 0 {
		i = len(n.reasons)
		n.reasons = append(n.reasons, x.why)
	}
	return fmt.Sprintf("%s [%d]", mark, i+1)
}

func capital(text string) string { return strings.ToUpper(text[:1]) + text[1:] }
