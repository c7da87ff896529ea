package metrics_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"mcpsidecar/internal/metrics"
)

// countEverything touches every metric once, so that each has a series to show.
func countEverything(m *metrics.Metrics) {
	s := m.Server("github")
	s.SetTools([]string{"search"})
	s.Request("tools/call", "ok", time.Millisecond)
	s.Tool("search", "ok")
	s.Denied("in_deny_list")
	s.Refreshed("ok")
	s.ListState(3, 0)
	s.Breaker("closed")
	s.Sessions(1)
	m.InFlight(1)
	m.Streams(1)
	m.HTTP("/mcp", 200, time.Millisecond)
	m.AuthFailure("no_credential")
	m.Store("update", time.Millisecond, nil)
	m.Spans("exported", 1)
	m.AuditLost(0)
	m.Ready(true)
}

// TestTableIsWhatIsServed holds the table against /metrics, name by name, in both directions.
func TestTableIsWhatIsServed(t *testing.T) {
	m := metrics.New(metrics.Config{Version: "1.2.3"})
	countEverything(m)
	families, err := m.Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	served := map[string]metrics.Row{}
	for _, f := range families {
		name, ours := strings.CutPrefix(f.GetName(), metrics.Prefix)
		if !ours {
			continue
		}
		row := metrics.Row{Name: name, Type: strings.ToLower(f.GetType().String()), Help: f.GetHelp()}
		for _, label := range f.GetMetric()[0].GetLabel() {
			row.Labels = append(row.Labels, label.GetName())
		}
		served[name] = row
	}
	for _, want := range metrics.Table() {
		got, ok := served[want.Name]
		if !ok {
			t.Errorf("%s is in the table and not served", want.Name)
			continue
		}
		delete(served, want.Name)
		slices.Sort(want.Labels)
		if got.Type != want.Type || got.Help != want.Help || !slices.Equal(got.Labels, want.Labels) {
			t.Errorf("%s is served as %+v, the table says %+v", want.Name, got, want)
		}
	}
	for name := range served {
		t.Errorf("%s is served and not in the table", name)
	}
}

func TestHandlerServesTextWithRuntimeAndBuild(t *testing.T) {
	m := metrics.New(metrics.Config{Version: "1.2.3"})
	server := httptest.NewServer(m.Handler())
	defer server.Close()
	response, err := http.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	for _, want := range []string{`version="1.2.3"`, "go_goroutines ", "process_open_fds "} {
		if !strings.Contains(string(body), want) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
}

func seriesOf(t *testing.T, m *metrics.Metrics, name string) int {
	t.Helper()
	n, err := testutil.GatherAndCount(m.Registry(), metrics.Prefix+name)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func allSeries(t *testing.T, m *metrics.Metrics) (n int) {
	t.Helper()
	for _, row := range metrics.Table() {
		n += seriesOf(t, m, row.Name)
	}
	return n
}

// TestNobodyAddsSeries is W-08: whatever clients write, the number of series stays.
func TestNobodyAddsSeries(t *testing.T) {
	m := metrics.New(metrics.Config{})
	countEverything(m)
	before := allSeries(t, m)
	s := m.Server("github")
	for i := range 100_000 {
		s.Request(fmt.Sprint("x/", i), "ok", 0)
		s.Tool(fmt.Sprint("tool", i), "error")
		s.Request("tools/call", fmt.Sprint("outcome", i), 0)
	}
	if grown := allSeries(t, m) - before; grown > 5 {
		t.Errorf("%d series were added", grown)
	}
	for i := range 1000 { // words of the code; a mistake there is bounded too
		s.Denied(fmt.Sprint("reason", i))
		m.HTTP(fmt.Sprint("/", i), 200, 0)
		m.AuthFailure(fmt.Sprint(i))
		m.Store(fmt.Sprint(i), 0, errors.New("no"))
	}
	for _, name := range []string{"denied_total", "auth_failures_total"} {
		if n := seriesOf(t, m, name); n > 50 {
			t.Errorf("%s has %d series", name, n)
		}
	}
}

func TestToolsHaveALabelOnceApproved(t *testing.T) {
	m := metrics.New(metrics.Config{})
	s := m.Server("github")
	s.Tool("search", "ok")
	s.SetTools([]string{"search"})
	s.Tool("search", "ok")
	s.Tool("search", "tool_error")
	s.Tool("invented", "ok")
	expect(t, m, "tool_calls_total", `
		{outcome="ok",server="github",tool="other"} 2
		{outcome="ok",server="github",tool="search"} 1
		{outcome="tool_error",server="github",tool="search"} 1`)
	s.SetTools([]string{"write"})
	s.Tool("search", "ok")
	expect(t, m, "tool_calls_total", `{outcome="ok",server="github",tool="other"} 3`)

	var many []string
	for i := range 10 * metrics.MaxTools {
		many = append(many, fmt.Sprintf("t%05d", i))
	}
	s.SetTools(many)
	for _, name := range many {
		s.Tool(name, "ok")
	}
	if n := seriesOf(t, m, "tool_calls_total"); n != metrics.MaxTools+1 {
		t.Errorf("%d series for %d tools", n, len(many))
	}
}

func TestDropTakesAllSeriesOfOneServer(t *testing.T) {
	m := metrics.New(metrics.Config{})
	countEverything(m)
	held := m.Server("github")
	m.Server("linear").Request("tools/list", "ok", time.Second)
	m.Drop("github")
	m.Drop("github")
	held.Request("ping", "ok", 0)
	held.Request("tools/call", "ok", 0)
	held.Tool("search", "error")
	held.Denied("disabled")
	held.Refreshed("ok")
	held.Breaker("open")
	held.Sessions(1)
	held.ListState(1, 1)
	for _, name := range []string{"tool_calls_total", "denied_total", "token_refreshes_total", "breaker_state", "upstream_sessions", "list_tools", "list_stale_seconds"} {
		if n := seriesOf(t, m, name); n != 0 {
			t.Errorf("%s still has %d series", name, n)
		}
	}
	expect(t, m, "requests_total", `{method="tools/list",outcome="ok",server="linear"} 1`)
	m.Server("github").Request("ping", "ok", 0)
	if n := seriesOf(t, m, "requests_total"); n != 2 {
		t.Error("a server that came back is not counted")
	}
}

func TestBreakerIsInOneState(t *testing.T) {
	m := metrics.New(metrics.Config{})
	m.Server("github").Breaker("closed")
	m.Server("github").Breaker("half-open")
	expect(t, m, "breaker_state", `
		{server="github",state="closed"} 0
		{server="github",state="half_open"} 1
		{server="github",state="open"} 0`)
}

func TestStatusesAreClasses(t *testing.T) {
	m := metrics.New(metrics.Config{})
	for _, status := range []int{200, 202, 404, 503, 0, 999, -1} {
		m.HTTP("/mcp", status, 0)
	}
	expect(t, m, "http_requests_total", `
		{route="/mcp",status="1xx"} 0
		{route="/mcp",status="2xx"} 2
		{route="/mcp",status="3xx"} 0
		{route="/mcp",status="4xx"} 1
		{route="/mcp",status="5xx"} 1
		{route="/mcp",status="other"} 3`)
}

func TestCountingFromManyGoroutines(t *testing.T) {
	m := metrics.New(metrics.Config{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 500 {
				s := m.Server("github")
				s.SetTools([]string{"a", fmt.Sprint(i % 3)})
				s.Tool("a", "ok")
				s.Request("tools/call", "ok", 0)
				s.Denied("disabled")
			}
		})
	}
	wg.Wait()
	expect(t, m, "requests_total", `{method="tools/call",outcome="ok",server="github"} 4000`)
}

// expect compares the series of one metric; want has a line per series, without the metric's name.
func expect(t *testing.T, m *metrics.Metrics, name, want string) {
	t.Helper()
	var row metrics.Row
	for _, r := range metrics.Table() {
		if r.Name == name {
			row = r
		}
	}
	full := metrics.Prefix + name
	text := fmt.Sprintf("# HELP %s %s\n# TYPE %s %s\n", full, row.Help, full, row.Type)
	for line := range strings.Lines(strings.TrimSpace(want)) {
		text += full + strings.TrimSpace(line) + "\n"
	}
	if err := testutil.GatherAndCompare(m.Registry(), strings.NewReader(text), full); err != nil {
		t.Error(err)
	}
}

func BenchmarkRequestAndTool(b *testing.B) {
	s := metrics.New(metrics.Config{}).Server("github")
	s.SetTools([]string{"search"})
	b.ReportAllocs()
	for b.Loop() {
		s.Request("tools/call", "ok", time.Millisecond)
		s.Tool("search", "ok")
	}
}
