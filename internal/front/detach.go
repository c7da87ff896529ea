package front

import (
	"context"
	"net/http"
	"sync"
	"time"

	"mcpsidecar/internal/rawtcp"
)

// Detach lets the answer to a request go on when its handler has returned. answer then runs on a goroutine of its own, with the connection taken from net/http, which keeps several times as much for a handler that waits: two goroutines with
// deep stacks and ten kilobytes of buffers. Request, ResponseWriter and context stay what they are: they end with answer, or when the client is gone, not with the handler. The client is told that the connection ends with the answer.
//
// False means that it cannot be done, because of the server, the request, or because something was written already; then the handler has to answer itself.
func Detach(r *http.Request, answer func()) bool {
	v := visitOf(r.Context())
	if v == nil || v.answer.status != 0 || !v.body.ended || ambiguous(r) || !v.gate.detached.open() {
		return false
	}
	conn, _, err := http.NewResponseController(v.answer.ResponseWriter).Hijack()
	if err != nil {
		v.gate.detached.done()
		return false
	}
	l := &line{conn: conn, header: v.answer.Header(), gone: make(chan struct{})}
	v.gate.detached.hold(l)
	v.take(l)
	go v.gate.carryOn(v, l, answer)
	return true
}

// take makes a line what the request is answered on. Nothing of net/http's is referred to any more.
func (v *visit) take(l *line) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(v.Context))
	v.Context, v.detached = ctx, true
	v.answer.ResponseWriter = l
	v.body.ReadCloser = http.NoBody
	gone := sync.OnceFunc(func() {
		cancel()
		close(l.gone)
	})
	if l.watched = rawtcp.WhenGone(l.conn, gone); !l.watched {
		go l.listen(gone)
	}
}

// carryOn runs what answers a detached request, and ends it.
func (g *Gate) carryOn(v *visit, l *line, answer func()) {
	defer g.detached.leave(l)
	defer g.finish(v, l)
	answer()
}

// finish is deferred: it ends a detached request, however its answer did.
func (g *Gate) finish(v *visit, l *line) {
	defer l.close()
	if cause := recover(); cause != nil && g.panicked(v, cause) {
		l.aborted = true
	}
	g.count(v.route, v.answer.status, time.Since(v.started))
}

// detached are the lines that are in use, so that somebody can wait for them and end them.
type detached struct {
	count sync.WaitGroup

	mu     sync.Mutex // guards what follows
	lines  map[*line]struct{}
	closed bool
}

// open counts one in before its connection is taken; false means that there is no time for more.
func (d *detached) open() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return false
	}
	d.count.Add(1)
	return true
}

func (d *detached) done() { d.count.Done() }

// hold notes a line that was opened; one that comes too late is cut at once.
func (d *detached) hold(l *line) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		l.conn.Close()
	}
	d.lines[l] = struct{}{}
}

func (d *detached) leave(l *line) {
	d.mu.Lock()
	delete(d.lines, l)
	d.mu.Unlock()
	d.done()
}

// Wait returns when no answer is detached, or ctx ends. Like http.Server.Shutdown it ends nothing, and is for a time when nothing new comes.
func (g *Gate) Wait(ctx context.Context) error {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		g.detached.count.Wait()
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close cuts the connections of detached answers, lets no more be detached, and returns when those that were have ended.
func (g *Gate) Close() {
	d := &g.detached
	d.mu.Lock()
	d.closed = true
	for l := range d.lines {
		l.conn.Close()
	}
	d.mu.Unlock()
	d.count.Wait()
}
