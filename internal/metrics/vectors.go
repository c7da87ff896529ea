package metrics

import (
	"fmt"
	"maps"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

// buckets reach from a cached list to a call that streams progress for minutes.
var buckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}

// vectors holds one field per row of the table.
type vectors struct {
	requests, toolCalls, denied, refreshes, httpRequests, auth, storeOps, spans, lost *prometheus.CounterVec
	requestDuration, httpDuration, storeDuration                                      *prometheus.HistogramVec
	inFlight, streams, sessions, listTools, listStale, breaker, ready, buildInfo      *prometheus.GaugeVec
}

func buildVectors(registry prometheus.Registerer) vectors {
	b := newBuilder(registry)
	v := vectors{
		requests:        b.counter("requests_total"),
		requestDuration: b.histogram("request_duration_seconds"),
		toolCalls:       b.counter("tool_calls_total"),
		denied:          b.counter("denied_total"),
		refreshes:       b.counter("token_refreshes_total"),
		inFlight:        b.gauge("in_flight_requests"),
		streams:         b.gauge("streams"),
		sessions:        b.gauge("upstream_sessions"),
		listTools:       b.gauge("list_tools"),
		listStale:       b.gauge("list_stale_seconds"),
		breaker:         b.gauge("breaker_state"),
		httpRequests:    b.counter("http_requests_total"),
		httpDuration:    b.histogram("http_request_duration_seconds"),
		auth:            b.counter("auth_failures_total"),
		storeOps:        b.counter("store_operations_total"),
		storeDuration:   b.histogram("store_operation_duration_seconds"),
		spans:           b.counter("spans_total"),
		lost:            b.counter("audit_lost_total"),
		ready:           b.gauge("ready"),
		buildInfo:       b.gauge("build_info"),
	}
	b.finish()
	return v
}

// builder turns rows into vectors, each row exactly once. A row without a vector, or the reverse, is a programmer's error and panics at start.
type builder struct {
	registry prometheus.Registerer
	rows     map[string]Row
}

func newBuilder(registry prometheus.Registerer) *builder {
	b := &builder{registry: registry, rows: map[string]Row{}}
	for _, row := range table {
		b.rows[row.Name] = row
	}
	return b
}

func (b *builder) take(name, kind string) Row {
	row, ok := b.rows[name]
	if !ok || row.Type != kind {
		panic(fmt.Sprintf("metrics: the table has no unused %s %q", kind, name))
	}
	delete(b.rows, name)
	return row
}

func (b *builder) finish() {
	if len(b.rows) > 0 {
		panic(fmt.Sprintf("metrics: rows that nothing counts: %v", slices.Collect(maps.Keys(b.rows))))
	}
}

func (b *builder) counter(name string) *prometheus.CounterVec {
	row := b.take(name, "counter")
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: Prefix + row.Name, Help: row.Help}, row.Labels)
	b.registry.MustRegister(v)
	return v
}

func (b *builder) gauge(name string) *prometheus.GaugeVec {
	row := b.take(name, "gauge")
	v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: Prefix + row.Name, Help: row.Help}, row.Labels)
	b.registry.MustRegister(v)
	return v
}

func (b *builder) histogram(name string) *prometheus.HistogramVec {
	row := b.take(name, "histogram")
	opts := prometheus.HistogramOpts{Name: Prefix + row.Name, Help: row.Help, Buckets: buckets}
	v := prometheus.NewHistogramVec(opts, row.Labels)
	b.registry.MustRegister(v)
	return v
}

// ofServer are the vectors whose series die with their server.
func (v vectors) ofServer() []*prometheus.MetricVec {
	return []*prometheus.MetricVec{
		v.requests.MetricVec, v.requestDuration.MetricVec, v.toolCalls.MetricVec, v.denied.MetricVec, v.refreshes.MetricVec,
		v.sessions.MetricVec, v.listTools.MetricVec, v.listStale.MetricVec, v.breaker.MetricVec,
	}
}
