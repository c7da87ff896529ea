package proxy

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"
)

// lister has the lists of a legacy server, whose tools it has fetched, and a clock of its own. Each GET is answered with the status that the test gives.
func lister(t *testing.T) (ls *lists, asked chan chan int, later func(time.Duration)) {
	asked = make(chan chan int, 16)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			hello(w, r)
			return
		}
		status := make(chan int)
		asked <- status
		select {
		case code := <-status:
			if code != http.StatusOK {
				w.WriteHeader(code)
				return
			}
		case <-r.Context().Done():
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	t.Cleanup(server.Close)
	p := bareProxy(t)
	t.Cleanup(p.Close)
	var passed atomic.Int64
	p.now = func() time.Time { return time.Now().Add(time.Duration(passed.Load())) }
	p.Load(storedServer(server.URL))
	ls = p.snapshot.Load().servers[0].link.ways.everyone.lists
	if _, _, err := ls.tools.get(t.Context()); err != nil {
		t.Fatal(err)
	}
	return ls, asked, func(d time.Duration) { passed.Add(int64(d)) }
}

// ended waits until nobody listens any more.
func (ls *lists) ended() {
	ls.mu.Lock()
	last := ls.listening
	ls.mu.Unlock()
	<-last
}

// TestWhoeverComesBackHears: the listener of lists that nobody wants ends, and there is another one as soon as somebody wants to hear again, without asking for a list.
func TestWhoeverComesBackHears(t *testing.T) {
	ls, asked, later := lister(t)
	<-asked <- http.StatusOK
	later(listenIdle + time.Minute)
	ls.sweep()
	ls.ended()
	ls.p.hub.join("alice")
	ls.sweep()
	<-asked <- http.StatusOK
}

// TestAServerIsDeafForAWhile: one that offers no stream is asked again, but not often, and not for nobody.
func TestAServerIsDeafForAWhile(t *testing.T) {
	ls, asked, later := lister(t)
	<-asked <- http.StatusMethodNotAllowed
	ls.ended()
	for range 3 {
		later(deafTime / 4)
		ls.touch(ls.p.now())
		ls.sweep()
	}
	if len(asked) > 0 {
		t.Error("it is asked again so soon")
	}
	later(deafTime)
	ls.sweep()
	if len(asked) > 0 {
		t.Error("it is asked for nobody")
	}
	ls.used.Store(ls.p.now().Unix())
	ls.sweep()
	<-asked <- http.StatusOK
}
