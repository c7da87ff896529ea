package proxy

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"mcpsidecar/proxy/rpc"
	"mcpsidecar/proxy/upstream"
)

// board is where the subscriptions hang that one way to a server carries. It hands out what the server says of resources.
type board struct {
	// fixed at creation
	link   *link
	conn   *upstream.Conn
	listen func() // has the server's standing stream heard, if nobody does
	rest   func() // hears that nothing hangs here any more

	left    atomic.Bool // its account is another's now, or nobody's
	kept    atomic.Bool // somebody listens to the stream for other news, too, from now on
	turning sync.Mutex  // held from a change of whether anything hangs here until listen or rest knows of it

	mu sync.Mutex          // guards what follows
	by map[string][]*watch // by the server's own URI
}

// keep has the server's standing stream heard, whatever hangs here.
func (b *board) keep() {
	b.turning.Lock()
	defer b.turning.Unlock()
	b.kept.Store(true)
	b.listen()
}

// hang has the server tell of a resource; the error is upstream's.
func (b *board) hang(w *watch) error {
	b.turning.Lock()
	b.add(w)
	b.listen()
	b.turning.Unlock()
	if err := b.conn.Watch(b.link.p.background, w.uri); err != nil {
		b.unhang(w)
		return err
	}
	return nil
}

// take takes down what hangs.
func (b *board) take(w *watch) {
	b.unhang(w)
	b.conn.Unwatch(w.uri)
}

func (b *board) unhang(w *watch) {
	b.turning.Lock()
	defer b.turning.Unlock()
	if b.remove(w); !b.any() && !b.kept.Load() {
		b.rest()
	}
}

func (b *board) add(w *watch) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.by == nil {
		b.by = map[string][]*watch{}
	}
	b.by[w.uri] = append(b.by[w.uri], w)
}

func (b *board) remove(w *watch) {
	b.mu.Lock()
	defer b.mu.Unlock()
	rest := slices.DeleteFunc(b.by[w.uri], func(other *watch) bool { return other == w })
	if b.by[w.uri] = rest; len(rest) == 0 {
		delete(b.by, w.uri)
	}
}

func (b *board) any() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.by) > 0
}

// updated hears that a resource is updated, and tells whoever has subscribed to it or to what it is a part of (ResourceUpdatedNotificationParams: it might be a sub-resource). It waits for nothing.
func (b *board) updated(params []byte) {
	uri, ok := rpc.String(find(params, "uri"))
	if !ok || len(uri) > maxURI {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for whole := range wholes(uri) {
		for _, w := range b.by[whole] {
			w.by.note(w, b.link, uri)
		}
	}
}

// maxDepth is how many levels up it is looked for who has subscribed to a whole. Each level costs, and a URI of nothing but slashes has thousands.
const maxDepth = 64

// wholes are a URI and all that it may be a part of, the nearest first, with and without the mark between them.
func wholes(uri string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for end, depth := len(uri), 0; end > 0 && depth <= maxDepth; end, depth = strings.LastIndexAny(uri[:end], "/?#"), depth+1 {
			if !yield(uri[:end]) || end < len(uri) && !yield(uri[:end+1]) {
				return
			}
		}
	}
}

// ear hears the standing stream of one way to a server while somebody wants it to.
type ear struct {
	p    *Proxy
	conn *upstream.Conn

	mu   sync.Mutex
	stop context.CancelFunc // nil: nobody listens
	done chan struct{}      // closed when the last listener has ended; nil: there was none
}

func (e *ear) listen() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stop != nil {
		return
	}
	ctx, cancel := context.WithCancel(e.p.background)
	before, done := e.done, make(chan struct{})
	e.stop, e.done = cancel, done
	e.p.goroutines.Go(func() {
		defer close(done)
		defer cancel()
		if before != nil {
			<-before // a session has one such stream at a time
		}
		e.conn.Listen(ctx)
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.done == done {
			e.stop = nil
		}
	})
}

func (e *ear) rest() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stop != nil {
		e.stop()
		e.stop = nil
	}
}

// ownBoard is the board of a client's own way to a server.
func ownBoard(l *link, conn *upstream.Conn) *board {
	e := &ear{p: l.p, conn: conn}
	return &board{link: l, conn: conn, listen: e.listen, rest: e.rest}
}
