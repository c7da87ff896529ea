package main_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"mcpsidecar/internal/metrics"
)

var (
	metricName  = regexp.MustCompile(`\bmcp_sidecar_\w+(\{[^}]*\})?`)
	metricLabel = regexp.MustCompile(`(\w+)\s*(?:=~|!~|!=|=)`)
)

// TestDeployNamesRealMetrics: an alert on a metric that does not exist never fires.
func TestDeployNamesRealMetrics(t *testing.T) {
	for file, text := range deployFiles(t) {
		for _, use := range metricName.FindAllString(text, -1) {
			name, selector, _ := strings.Cut(use, "{")
			row, ok := findMetric(name)
			if !ok {
				t.Errorf("%s names %s, which does not exist", file, name)
				continue
			}
			allowed := append(row.Labels, "instance", "job")
			for _, label := range metricLabel.FindAllStringSubmatch(selector, -1) {
				if !slices.Contains(allowed, label[1]) {
					t.Errorf("%s selects %s by %s, which it has not", file, name, label[1])
				}
			}
		}
	}
}

// TestDashboardShowsEveryMetric: a metric that nobody looks at is not worth its cost.
func TestDashboardShowsEveryMetric(t *testing.T) {
	dashboard := deployFiles(t)["grafana-dashboard.json"]
	if !json.Valid([]byte(dashboard)) {
		t.Error("the dashboard is not JSON")
	}
	for _, row := range metrics.Table() {
		if !strings.Contains(dashboard, metrics.Prefix+row.Name) {
			t.Errorf("the dashboard does not show %s", row.Name)
		}
	}
}

func findMetric(name string) (metrics.Row, bool) {
	for _, row := range metrics.Table() {
		full := metrics.Prefix + row.Name
		names := []string{full}
		if row.Type == "histogram" {
			names = []string{full + "_bucket", full + "_sum", full + "_count"}
		}
		if slices.Contains(names, name) {
			return row, true
		}
	}
	return metrics.Row{}, false
}

func deployFiles(t *testing.T) map[string]string {
	t.Helper()
	names, err := filepath.Glob("../../deploy/*")
	if err != nil || len(names) == 0 {
		t.Fatalf("there is nothing in deploy: %v", err)
	}
	texts := map[string]string{}
	for _, name := range names {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		texts[filepath.Base(name)] = string(content)
	}
	return texts
}
