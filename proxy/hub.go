package proxy

import "sync"

// hub wakes the standing streams when what they list may have changed, and ends them when the program does.
type hub struct {
	done chan struct{} // closed by close

	mu      sync.Mutex
	waiting map[chan struct{}]struct{} // one per stream; leaves with it
	closed  bool
}

func newHub() *hub {
	return &hub{done: make(chan struct{}), waiting: map[chan struct{}]struct{}{}}
}

// join returns a channel that receives after something may have changed; several changes may be one.
func (h *hub) join() chan struct{} {
	c := make(chan struct{}, 1)
	h.mu.Lock()
	h.waiting[c] = struct{}{}
	h.mu.Unlock()
	return c
}

func (h *hub) leave(c chan struct{}) {
	h.mu.Lock()
	delete(h.waiting, c)
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
	for c := range h.waiting {
		select {
		case c <- struct{}{}:
		default:
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
