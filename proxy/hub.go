package proxy

import "sync"

// hub wakes the standing streams when what they list may have changed, and ends them when the program or their user does.
type hub struct {
	done chan struct{} // closed by close

	mu      sync.Mutex
	waiting map[*place]struct{} // one per stream; leaves with it
	closed  bool
}

// place is that of one stream.
type place struct {
	// fixed at creation
	user  string
	woken chan struct{} // receives after something may have changed; several changes may be one
	ended chan struct{} // closed when the user is none any more, by the hub under its mu
}

func newHub() *hub {
	return &hub{done: make(chan struct{}), waiting: map[*place]struct{}{}}
}

func (h *hub) join(user string) *place {
	p := &place{user: user, woken: make(chan struct{}, 1), ended: make(chan struct{})}
	h.mu.Lock()
	h.waiting[p] = struct{}{}
	h.mu.Unlock()
	return p
}

func (h *hub) leave(p *place) {
	h.mu.Lock()
	delete(h.waiting, p)
	h.mu.Unlock()
}

func (h *hub) any() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.waiting) > 0
}

func (h *hub) wake() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for p := range h.waiting {
		p.wake()
	}
}

func (p *place) wake() {
	select {
	case p.woken <- struct{}{}:
	default:
	}
}

// end ends the streams of users.
func (h *hub) end(gone func(user string) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for p := range h.waiting {
		if gone(p.user) {
			close(p.ended)
			delete(h.waiting, p)
		}
	}
}

func (h *hub) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closed {
		h.closed = true
		close(h.done)
	}
}
