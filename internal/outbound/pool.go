package outbound

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// place is what a connection leads to, as URLs spell it.
type place struct{ scheme, host string }

// pool keeps the connections that nobody uses. An idle connection has no goroutine and no buffer: one timer for each place closes those that were not wanted.
type pool struct {
	limit    int
	patience time.Duration

	mu      sync.Mutex // guards what follows; held for moments only, nothing is closed under it
	shelves map[place]*shelf
}

type shelf struct {
	idle  []*wire // oldest first
	timer *time.Timer
	http2 bool // the server speaks nothing else; asked again after patience
}

func newPool(limit int, patience time.Duration) *pool {
	return &pool{limit: limit, patience: patience, shelves: map[place]*shelf{}}
}

// take takes the connection that was put back last, or nil. Whether it still works is for the caller to find out.
func (p *pool) take(where place) (w *wire, http2 bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.shelves[where]
	if s == nil {
		return nil, false
	}
	last := len(s.idle) - 1
	if last < 0 {
		return nil, s.http2
	}
	w = s.idle[last]
	s.idle[last], s.idle = nil, s.idle[:last]
	return w, false
}

// put keeps a connection and says whether there was room.
func (p *pool) put(w *wire) bool {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.shelf(w.place)
	if len(s.idle) >= p.limit {
		return false
	}
	w.idleSince = now
	s.idle = append(s.idle, w)
	return true
}

func (p *pool) needsHTTP2(where place) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shelf(where).http2 = true
}

// shelf returns the shelf of a place; mu is held. A new one lives until its timer finds nothing to wait for.
func (p *pool) shelf(where place) *shelf {
	s := p.shelves[where]
	if s == nil {
		s = new(shelf)
		s.timer = time.AfterFunc(p.patience, func() { p.tidy(where, s) })
		p.shelves[where] = s
	}
	return s
}

// tidy closes what was idle for too long, and comes back when the next may be.
func (p *pool) tidy(where place, s *shelf) {
	for _, w := range p.expired(where, s, time.Now()) {
		w.close()
	}
}

func (p *pool) expired(where place, s *shelf, now time.Time) []*wire {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shelves[where] != s {
		return nil
	}
	n := 0
	for n < len(s.idle) && p.stale(s.idle[n], now) {
		n++
	}
	old := slices.Clone(s.idle[:n])
	s.idle = slices.Delete(s.idle, 0, n)
	if len(s.idle) == 0 {
		delete(p.shelves, where)
	} else {
		s.timer.Reset(s.idle[0].idleSince.Add(p.patience).Sub(now))
	}
	return old
}

// stale says that a connection has been idle for so long that the server may be about to close it. What is sent at that moment may have run or not, so that nobody may send it again.
func (p *pool) stale(w *wire, now time.Time) bool {
	patience := p.patience
	if w.promised > 0 {
		patience = min(patience, w.promised/2) // it counts from when it has sent, we from when we have read, and what we send has to arrive
	}
	return now.Sub(w.idleSince) >= patience
}

// promise reads Keep-Alive (RFC 2068, 19.7.1.1), as servers of Node.js and others say it: timeout=5, max=100. Zero: it says nothing of that, or nothing that can be read.
func promise(values []string) time.Duration {
	for _, value := range values {
		for parameter := range strings.SplitSeq(value, ",") {
			name, seconds, _ := strings.Cut(strings.TrimSpace(parameter), "=")
			if !strings.EqualFold(name, "timeout") {
				continue
			}
			if n, err := strconv.ParseUint(strings.Trim(seconds, `"`), 10, 16); err == nil {
				return max(time.Duration(n)*time.Second, 1)
			}
		}
	}
	return 0
}

// clear closes all that is idle.
func (p *pool) clear() {
	p.mu.Lock()
	shelves := p.shelves
	p.shelves = map[place]*shelf{}
	p.mu.Unlock()
	for _, s := range shelves {
		s.timer.Stop()
		for _, w := range s.idle {
			w.close()
		}
	}
}
