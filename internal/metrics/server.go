package metrics

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// AllServers is the server label of requests that concern no single server, such as the merged list. No slug can be spelled like it.
const AllServers = "_all"

// Server counts what concerns one server. Safe for concurrent use; once a series exists, counting into it takes no lock and hashes no label.
type Server struct {
	// fixed at creation
	slug    string
	vectors vectors
	denied  *handles[prometheus.Counter]
	renewed *handles[prometheus.Counter]

	requests [len(methods)][len(outcomes)]atomic.Pointer[request]
	tools    atomic.Pointer[map[string]*tool] // has Other always

	mu      sync.Mutex // held while series are added or removed
	dropped bool       // no series may be added any more
}

// request is the pair that counts one method and outcome.
type request struct {
	total    prometheus.Counter
	duration prometheus.Observer
}

// tool counts one tool by outcome.
type tool [len(outcomes)]atomic.Pointer[prometheus.Counter]

// Server returns the handles of the server with this slug. The slug is one that an admin configured, or [AllServers].
func (m *Metrics) Server(slug string) *Server {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s, ok := m.servers[slug]; ok {
		return s
	}
	s := &Server{slug: slug, vectors: m.vectors}
	s.denied = newHandles(maxLabels, s.newDenied)
	s.renewed = newHandles(maxLabels, s.newRenewed)
	s.tools.Store(&map[string]*tool{Other: {}})
	m.servers[slug] = s
	return s
}

// Drop forgets a server that was deleted, with all its series.
func (m *Metrics) Drop(slug string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.servers[slug]
	if !ok {
		return
	}
	delete(m.servers, slug)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropped = true
	for _, v := range m.vectors.ofServer() {
		v.DeletePartialMatch(prometheus.Labels{"server": slug})
	}
}

// Request counts one answered MCP request. An unknown method is counted as other, an unknown outcome as error.
func (s *Server) Request(method, outcome string, d time.Duration) {
	i, j := methodIndexes[method], outcomeIndex(outcome)
	r := s.requests[i][j].Load()
	if r == nil {
		if r = s.addRequest(i, j); r == nil {
			return
		}
	}
	r.total.Inc()
	r.duration.Observe(d.Seconds())
}

func (s *Server) addRequest(i, j int) *request {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dropped {
		return nil
	}
	r := &request{
		total:    s.vectors.requests.WithLabelValues(s.slug, methods[i], outcomes[j]),
		duration: s.vectors.requestDuration.WithLabelValues(s.slug, methods[i], outcomes[j]),
	}
	s.requests[i][j].Store(r)
	return r
}

// SetTools says which tools have a label of their own: those of the approved catalog, in order of name, at most [MaxTools]. The series of tools
// that are no longer among them go.
func (s *Server) SetTools(approved []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dropped {
		return
	}
	old := *s.tools.Load()
	next := map[string]*tool{Other: old[Other]}
	for _, name := range slices.Sorted(slices.Values(approved)) {
		if len(next) > MaxTools { // Other does not count
			break
		}
		if next[name] = old[name]; next[name] == nil {
			next[name] = &tool{}
		}
	}
	s.tools.Store(&next)
	for name := range old {
		if next[name] == nil {
			s.vectors.toolCalls.DeletePartialMatch(prometheus.Labels{"server": s.slug, "tool": name})
		}
	}
}

// Tool counts one call of a tool.
func (s *Server) Tool(name, outcome string) {
	tools := *s.tools.Load()
	t, ok := tools[name]
	if !ok {
		name, t = Other, tools[Other]
	}
	i := outcomeIndex(outcome)
	counter := t[i].Load()
	if counter == nil {
		if counter = s.addTool(name, t, i); counter == nil {
			return
		}
	}
	(*counter).Inc()
}

// addTool makes the series, unless the server or the tool went in the meantime.
func (s *Server) addTool(name string, t *tool, i int) *prometheus.Counter {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dropped || (*s.tools.Load())[name] != t {
		return nil
	}
	counter := s.vectors.toolCalls.WithLabelValues(s.slug, name, outcomes[i])
	t[i].Store(&counter)
	return &counter
}

// Denied counts one refusal. reason is one of policy's words.
func (s *Server) Denied(reason string) {
	if counter := s.denied.get(reason); counter != nil {
		counter.Inc()
	}
}

func (s *Server) newDenied(reason string) prometheus.Counter {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dropped {
		return nil
	}
	return s.vectors.denied.WithLabelValues(s.slug, reason)
}

// Refreshed counts one access token that was asked for anew. result is one of a few words of the code.
func (s *Server) Refreshed(result string) {
	if counter := s.renewed.get(result); counter != nil {
		counter.Inc()
	}
}

func (s *Server) newRenewed(result string) prometheus.Counter {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dropped {
		return nil
	}
	return s.vectors.refreshes.WithLabelValues(s.slug, result)
}

// ListState says how many tools the list in use has, and how many seconds it is older than it should be.
func (s *Server) ListState(tools int, staleSeconds float64) {
	s.set(func() {
		s.vectors.listTools.WithLabelValues(s.slug).Set(float64(tools))
		s.vectors.listStale.WithLabelValues(s.slug).Set(max(staleSeconds, 0))
	})
}

// Breaker says which state the circuit breaker is in: closed, half_open (or half-open) or open.
func (s *Server) Breaker(state string) {
	state = strings.ReplaceAll(state, "-", "_")
	s.set(func() {
		for _, name := range breakerStates {
			s.vectors.breaker.WithLabelValues(s.slug, name).Set(oneIf(name == state))
		}
	})
}

// Sessions adds to the number of sessions held at the server.
func (s *Server) Sessions(delta int) {
	s.set(func() { s.vectors.sessions.WithLabelValues(s.slug).Add(float64(delta)) })
}

// set changes gauges, which is rare enough for a lock.
func (s *Server) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.dropped {
		change()
	}
}
