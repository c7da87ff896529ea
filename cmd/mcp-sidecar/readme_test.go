package main_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	sidecar "mcpsidecar/cmd/mcp-sidecar"
	"mcpsidecar/internal/metrics"
)

// TestReadmeFlags holds the README's table of flags against the flags there are.
func TestReadmeFlags(t *testing.T) {
	rows := []string{"| flag | environment | default | what |", "|---|---|---|---|"}
	for _, f := range sidecar.Flags() {
		byDefault := ""
		if f.Default != "" {
			byDefault = "`" + f.Default + "`"
		}
		rows = append(rows, row("`--"+f.Name+"`", "`"+f.Env()+"`", byDefault, strings.ReplaceAll(f.Usage, "`", "")))
	}
	checkTable(t, "## Flags", rows)
}

// TestReadmeMetrics holds the README's table of metrics against the metrics there are; that they are what /metrics serves is a test of their package.
func TestReadmeMetrics(t *testing.T) {
	rows := []string{"| metric | type | labels | what |", "|---|---|---|---|"}
	for _, m := range metrics.Table() {
		rows = append(rows, row("`"+metrics.Prefix+m.Name+"`", m.Type, strings.Join(m.Labels, ", "), m.Help))
	}
	checkTable(t, "## Metrics", rows)
}

func row(cells ...string) string {
	text := "|"
	for _, cell := range cells {
		if cell == "" {
			text += " |"
			continue
		}
		text += " " + strings.ReplaceAll(cell, "|", "\\|") + " |"
	}
	return text
}

// checkTable compares the first table below a heading with what it has to be.
func checkTable(t *testing.T, heading string, want []string) {
	t.Helper()
	content, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Error(err)
	}
	got, err := firstTable(string(content), heading)
	if err != nil {
		t.Error(err)
	}
	if text := strings.Join(want, "\n"); strings.Join(got, "\n") != text {
		t.Errorf("the first table below %q in README.md has to be\n%s", heading, text)
	}
}

func firstTable(readme, heading string) (rows []string, err error) {
	_, section, found := strings.Cut("\n"+readme, "\n"+heading+"\n")
	if !found {
		return nil, fmt.Errorf("README.md has no heading %q", heading)
	}
	for line := range strings.Lines(section) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "|"):
			rows = append(rows, line)
		case len(rows) > 0 || strings.HasPrefix(line, "## "):
			return rows, nil
		}
	}
	return rows, nil
}
