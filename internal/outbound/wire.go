package outbound

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// wire is a connection that carries one exchange at a time. It belongs to the pool, to the call that is under way or to the body of its answer; whoever ends the exchange gives it back or closes it.
type wire struct {
	// Fixed once it is connected.
	place  place
	pool   *pool
	socket *socket
	net    net.Conn             // the socket, or TLS on top of it
	state  *tls.ConnectionState // nil without TLS
	limit  int64                // of an answer's headers
	late   time.Duration        // until an answer's headers; zero: none
	cut    func()               // ends it at once, from any goroutine

	idleSince time.Time     // guarded by the pool
	promised  time.Duration // for how long the server keeps it when it is idle; zero: it did not say. Set before the pool has it

	// Of the exchange under way.
	reused bool
	send   func() bool // say, made once
	asking *http.Request
	text   []byte        // of the request
	failed error         // what writing it met
	rest   *rest         // of it, that is being written; nil: none
	reader *bufio.Reader // nil while it is idle
	head   head
	body   measured // of a plain answer
	fault  error    // what reading met
	probe  [1]byte
}

// bufferSize is that of net/http: longer reads pass the buffer by.
const bufferSize = 4 << 10

var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, bufferSize) }}

func newWire(s *socket, where place, d *direct) *wire {
	w := &wire{place: where, pool: d.pool, socket: s, net: s, limit: d.config.MaxHeaderBytes, late: d.config.HeaderTimeout}
	w.cut = func() { s.Conn.Close() } // and no farewell of TLS, which could wait for the other side
	w.send = w.say
	return w
}

// errUnsent: the connection had ended before anything was written to it. Another may be tried.
var errUnsent = errors.New("nothing was sent")

// exchange sends a message and reads the head of its answer. If the body is still to come, it takes the wire along.
func (w *wire) exchange(r *http.Request, m *message) (*http.Response, error) {
	ctx := r.Context()
	body := &answerBody{wire: w, ctx: ctx, stop: after(ctx, w.cut)}
	if !w.ask(r, m) && ctx.Err() == nil {
		w.end(body.stop, false)
		return nil, errUnsent
	}
	if w.rest != nil {
		m.giveAway()
	} else {
		m.free()
	}
	answer, err := w.answer(r)
	if err != nil {
		w.end(body.stop, false)
		return nil, explain(ctx, err)
	}
	body.take(answer, w.failed == nil)
	return answer, nil
}

// after is context.AfterFunc; a context that can do it itself needs nothing between.
func after(ctx context.Context, do func()) (stop func() bool) {
	if able, ok := ctx.(interface {
		AfterFunc(func()) func() bool
	}); ok {
		return able.AfterFunc(do)
	}
	return context.AfterFunc(ctx, do)
}

// ask sends a message and waits for its answer to begin. false: nothing was sent, because a connection that had been idle was over.
func (w *wire) ask(r *http.Request, m *message) bool {
	w.asking, w.text, w.failed = r, m.text, nil
	if w.late > 0 {
		w.net.SetReadDeadline(time.Now().Add(w.late))
	}
	spoken := w.socket.converse(w.reused, w.send)
	w.asking, w.text = nil, nil
	if !spoken {
		w.failed = errUnsent
	}
	return w.failed == nil || !w.reused || w.socket.wrote
}

// say writes the message and says whether an answer is to be waited for. Of a long one, what the operating system does not take at once is written while the answer is waited for: a server may answer before it has read everything.
func (w *wire) say() bool {
	w.announce(w.asking)
	if len(w.text) <= calm || w.state != nil {
		_, w.failed = w.net.Write(w.text)
		return w.failed == nil
	}
	var n int
	if n, w.failed = w.socket.writeNow(w.text); w.failed == nil && n < len(w.text) {
		w.rest = &rest{text: w.text[n:]}
		go w.rest.write(w.socket)
	}
	return w.failed == nil
}

// rest is the end of a message that a goroutine writes. An answer may be complete before that goroutine knows that it has written everything: the later of the two settles what becomes of the wire.
type rest struct {
	text   []byte
	err    error
	settle func(written bool)
	met    atomic.Bool // one of the two is through
}

func (r *rest) write(s *socket) {
	if _, r.err = s.Conn.Write(r.text); r.err != nil {
		s.SetReadDeadline(time.Now().Add(lastWords))
	}
	r.meet()
}

// answered says that the answer is complete, and what is to be done when the message is, too.
func (r *rest) answered(settle func(written bool)) {
	r.settle = settle
	r.meet()
}

func (r *rest) meet() {
	if r.met.Swap(true) {
		r.settle(r.err == nil)
	}
}

// announce tells who wants to know that from now on the request may be sent.
func (w *wire) announce(r *http.Request) {
	if body, ok := r.Body.(Announced); ok {
		body.MayBeSent()
	}
	trace := httptrace.ContextClientTrace(r.Context())
	if trace == nil || trace.GotConn == nil {
		return
	}
	info := httptrace.GotConnInfo{Conn: w.net, Reused: w.reused, WasIdle: w.reused}
	if w.reused {
		info.IdleTime = time.Since(w.idleSince)
	}
	trace.GotConn(info)
}

// lastWords is how long is waited for an answer that a server may have sent before it stopped to read the request.
const lastWords = time.Second

// answer reads the head of the answer. A server that had enough of the request may have said so before it stopped to read it.
func (w *wire) answer(r *http.Request) (*http.Response, error) {
	if w.failed != nil {
		w.net.SetReadDeadline(time.Now().Add(lastWords))
	}
	w.reader = readers.Get().(*bufio.Reader)
	w.reader.Reset(w)
	answer, err := w.readHead(r)
	if err != nil && w.failed != nil {
		return nil, w.failed
	}
	if err == nil && (w.failed != nil || w.late > 0) {
		w.net.SetReadDeadline(time.Time{})
	}
	return answer, err
}

// Read is what the buffer reads from.
func (w *wire) Read(p []byte) (n int, err error) {
	if p, err = w.head.room(p); err == nil {
		n, err = w.net.Read(p)
		w.head.see(p[:n])
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = errLateHead
	}
	w.fault = err
	return n, err
}

// end ends the exchange and gives the wire back, if it may be kept and nothing is left on it. Only whoever reads may call it.
func (w *wire) end(stop func() bool, keep bool) {
	current := stop() // if not, the wire is being cut
	keep = keep && current && w.clean()
	if w.reader != nil {
		w.reader.Reset(nil)
		readers.Put(w.reader)
		w.reader = nil
	}
	rest := w.rest
	w.rest = nil
	if rest == nil || !keep {
		w.settle(keep)
		return
	}
	w.net.SetWriteDeadline(time.Now().Add(lastWords)) // a server that has answered need not read on
	rest.answered(func(written bool) {
		w.net.SetWriteDeadline(time.Time{})
		w.settle(written)
	})
}

// settle gives the wire back or closes it.
func (w *wire) settle(keep bool) {
	if !keep || !w.pool.put(w) {
		w.cut()
	}
}

// clean says that nothing was received beyond the answer: neither in our buffer nor in that of TLS. What the operating system holds is asked when the wire is used again: anything that came meanwhile is the end of the connection or no answer to what is about to be asked.
func (w *wire) clean() bool {
	if w.reader != nil && w.reader.Buffered() > 0 {
		return false
	}
	if w.state == nil {
		return true
	}
	w.socket.dry = true
	n, err := w.net.Read(w.probe[:])
	w.socket.dry = false
	return n == 0 && err == os.ErrDeadlineExceeded && w.socket.records.whole()
}

// close closes an idle wire.
func (w *wire) close() { w.net.Close() }
