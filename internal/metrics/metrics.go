package metrics

import (
	"net/http"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Config says what to report about the program itself.
type Config struct {
	Version string // empty: "unknown"
}

// Metrics is the program's one set of metrics. Safe for concurrent use.
type Metrics struct {
	// fixed at creation
	registry *prometheus.Registry
	vectors  vectors
	inFlight prometheus.Gauge
	streams  prometheus.Gauge
	lost     prometheus.Counter
	ready    prometheus.Gauge
	routes   *handles[*route]
	auth     *handles[prometheus.Counter]
	ops      *handles[*operation]
	spans    *handles[prometheus.Counter]

	mu      sync.Mutex         // guards servers, and orders their creation and removal
	servers map[string]*Server // by slug; an entry dies in Drop
}

// New returns a set of metrics in a registry of its own.
func New(cfg Config) *Metrics {
	if cfg.Version == "" {
		cfg.Version = "unknown"
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	v := buildVectors(registry)
	v.buildInfo.WithLabelValues(cfg.Version, revision(), runtime.Version()).Set(1)
	m := &Metrics{
		registry: registry,
		vectors:  v,
		inFlight: v.inFlight.WithLabelValues(),
		streams:  v.streams.WithLabelValues(),
		lost:     v.lost.WithLabelValues(),
		ready:    v.ready.WithLabelValues(),
		servers:  map[string]*Server{},
	}
	m.routes = newHandles(maxLabels, m.newRoute)
	m.auth = newHandles(maxLabels, func(reason string) prometheus.Counter { return v.auth.WithLabelValues(reason) })
	m.ops = newHandles(maxLabels, m.newOperation)
	m.spans = newHandles(maxLabels, func(result string) prometheus.Counter { return v.spans.WithLabelValues(result) })
	return m
}

// Registry is where everything is registered, for tests and for collectors of other packages.
func (m *Metrics) Registry() *prometheus.Registry { return m.registry }

// Handler answers GET /metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second})
}

// InFlight adds to the number of MCP requests being worked on.
func (m *Metrics) InFlight(delta int) { m.inFlight.Add(float64(delta)) }

// Streams adds to the number of event streams open to clients.
func (m *Metrics) Streams(delta int) { m.streams.Add(float64(delta)) }

// AuditLost counts audit records that could not be written.
func (m *Metrics) AuditLost(records int) { m.lost.Add(float64(records)) }

// Spans counts spans of traces by what became of them: exported, dropped or failed.
func (m *Metrics) Spans(result string, spans int) { m.spans.get(result).Add(float64(spans)) }

// Ready says whether /readyz answers 200.
func (m *Metrics) Ready(is bool) { m.ready.Set(oneIf(is)) }

// AuthFailure counts a request that was turned away before anything of it was read. reason is one of a few words of the code, never
// a client's text.
func (m *Metrics) AuthFailure(reason string) { m.auth.get(reason).Inc() }

// route counts one route of the main listener.
type route struct {
	duration prometheus.Observer
	byClass  [6]prometheus.Counter // by the first digit of the status; 0 is anything strange
}

func (m *Metrics) newRoute(name string) *route {
	r := &route{duration: m.vectors.httpDuration.WithLabelValues(name)}
	for i, class := range []string{"other", "1xx", "2xx", "3xx", "4xx", "5xx"} {
		r.byClass[i] = m.vectors.httpRequests.WithLabelValues(name, class)
	}
	return r
}

// HTTP counts one answer on the main listener. route is the pattern that matched, never a path that a client sent.
func (m *Metrics) HTTP(route string, status int, d time.Duration) {
	r := m.routes.get(route)
	class := status / 100
	if class < 0 || class >= len(r.byClass) {
		class = 0
	}
	r.byClass[class].Inc()
	r.duration.Observe(d.Seconds())
}

// operation counts one kind of operation of the store.
type operation struct {
	ok, failed prometheus.Counter
	duration   prometheus.Observer
}

func (m *Metrics) newOperation(name string) *operation {
	return &operation{
		ok:       m.vectors.storeOps.WithLabelValues(name, "ok"),
		failed:   m.vectors.storeOps.WithLabelValues(name, "error"),
		duration: m.vectors.storeDuration.WithLabelValues(name),
	}
}

// Store counts one operation of the config store.
func (m *Metrics) Store(op string, d time.Duration, err error) {
	o := m.ops.get(op)
	if err != nil {
		o.failed.Inc()
	} else {
		o.ok.Inc()
	}
	o.duration.Observe(d.Seconds())
}

func oneIf(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// revision is the commit that the binary was built from, where the build knew it.
func revision() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return "unknown"
}
