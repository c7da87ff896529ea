package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// row is one measure that is compared with the reverse proxy.
type row struct {
	name    string
	do      work
	must    float64 // ratio of processor time
	stretch float64
}

func rows() []row {
	return []row{
		{"`tools/call`, 1 KiB", call("call_1k", 1<<10, 10), 1.0, 0.75},
		{"`tools/call`, 64 KiB", call("call_64k", 60<<10, 10), 1.0, 0.75},
		{"`tools/call`, 1 MiB", call("call_1m", 1<<20-100, 10), 1.1, 0.9},
		{"`tools/call`, 64 KiB of arguments", call("call_1k", 1<<10, 64<<10), 1.0, 0.75},
		{"`tools/call` as SSE, ten progress events", stream, 1.0, 0.8},
		{"`tools/list`, 5 × 20 tools against 20", list, 1.0, 0.9},
		{"session: initialize, initialized, list, DELETE", session, 1.0, 0.6},
	}
}

// compared is what a row came to, over all rounds.
type compared struct {
	row               row
	proxyCPU, ownCPU  time.Duration
	cpu, p50, p99     float64 // medians of the ratios within a round
	directP50, ownP50 time.Duration
}

// summarise takes the medians. A round has direct, reverse proxy and sidecar, in this order.
func summarise(r row, rounds [][3]measured) compared {
	c := compared{row: r}
	ratio := func(of func(measured) time.Duration) float64 {
		return median(rounds, func(m [3]measured) float64 { return float64(of(m[2])) / float64(of(m[1])) })
	}
	c.cpu = ratio(func(m measured) time.Duration { return m.cpu })
	c.p50 = ratio(func(m measured) time.Duration { return m.percentile(.5) })
	c.p99 = ratio(func(m measured) time.Duration { return m.percentile(.99) })
	c.proxyCPU = time.Duration(median(rounds, func(m [3]measured) float64 { return float64(m[1].cpu) }))
	c.ownCPU = time.Duration(median(rounds, func(m [3]measured) float64 { return float64(m[2].cpu) }))
	c.directP50 = time.Duration(median(rounds, func(m [3]measured) float64 { return float64(m[0].percentile(.5)) }))
	c.ownP50 = time.Duration(median(rounds, func(m [3]measured) float64 { return float64(m[2].percentile(.5)) }))
	return c
}

func median[T any](of []T, value func(T) float64) float64 {
	values := make([]float64, len(of))
	for i, v := range of {
		values[i] = value(v)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// figure is one measure that stands for itself.
type figure struct {
	name          string
	value         float64
	unit          string
	must, stretch float64
}

func (f figure) String() string {
	return fmt.Sprintf("| %s | %s %s | %s | %s |", f.name, number(f.value), f.unit, number(f.must), number(f.stretch))
}

func number(v float64) string {
	if v >= 100 || v == float64(int(v)) {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// table prints what README shows.
func table(results []compared, figures []figure) string {
	var b strings.Builder
	b.WriteString("| measure | ReverseProxy, µs of CPU | sidecar, µs of CPU | CPU ratio | must | stretch | p50 ratio | p99 ratio |\n|---|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, c := range results {
		fmt.Fprintf(&b, "| %s | %.0f | %.0f | **%.2f** | %.2f | %.2f | %.2f | %.2f |\n", c.row.name,
			micro(c.proxyCPU), micro(c.ownCPU), c.cpu, c.row.must, c.row.stretch, c.p50, c.p99)
	}
	if len(figures) > 0 {
		b.WriteString("\n| measure | sidecar | must | stretch |\n|---|--:|--:|--:|\n")
		for _, f := range figures {
			b.WriteString(f.String() + "\n")
		}
	}
	return b.String()
}

func micro(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// The musts of latency hold for every row.
const (
	mustP50 = 1.0
	mustP99 = 1.2
)

// missed lists the musts that were not met.
func missed(results []compared, figures []figure) (names []string) {
	for _, c := range results {
		if c.cpu > c.row.must {
			names = append(names, fmt.Sprintf("%s: CPU %.2f, must %.2f", c.row.name, c.cpu, c.row.must))
		}
		if c.p50 > mustP50 {
			names = append(names, fmt.Sprintf("%s: p50 %.2f, must %.2f", c.row.name, c.p50, mustP50))
		}
		if c.p99 > mustP99 {
			names = append(names, fmt.Sprintf("%s: p99 %.2f, must %.2f", c.row.name, c.p99, mustP99))
		}
	}
	for _, f := range figures {
		if f.value > f.must {
			names = append(names, fmt.Sprintf("%s: %s %s, must %s", f.name, number(f.value), f.unit, number(f.must)))
		}
	}
	return names
}

// newClient is one load's client, with a connection for each that is under way.
func newClient(concurrency int) *http.Client {
	return &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2 * concurrency, DisableCompression: true}}
}
