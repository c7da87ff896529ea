package outbound

import (
	"context"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
)

// answerBody is the body of an answer. It gives the wire back when it has been read to its end. Close may be called while Read waits.
type answerBody struct {
	wire *wire
	ctx  context.Context
	stop func() bool // lets go of ctx, whose end cuts the wire
	keep bool        // the wire may be used again

	mu     sync.Mutex // held by Read, so that of two of them only one sees the end; guards what follows
	source io.Reader
	over   error // what Read returns from now on

	settled atomic.Bool // whoever sets it decides what becomes of the wire
}

// take puts itself into the answer, or ends the exchange if there is no body.
func (b *answerBody) take(answer *http.Response, keep bool) {
	w := b.wire
	b.keep = keep && !answer.Close && answer.ProtoMajor == 1 && answer.ProtoMinor == 1 && !w.head.murky
	w.promised = promise(answer.Header["Keep-Alive"])
	answer.TLS = w.state
	if answer.Body == http.NoBody {
		w.end(b.stop, b.keep)
		return
	}
	b.source, answer.Body = answer.Body, b
}

func (b *answerBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over == nil && b.settled.Load() {
		b.over = http.ErrBodyReadAfterClose
	}
	if b.over != nil {
		return 0, b.over
	}
	n, err := b.source.Read(p)
	if err != nil {
		b.finish(err)
	}
	return n, b.over
}

// finish ends the exchange, unless Close did: then the wire is gone, and so is the buffer that the source read through.
func (b *answerBody) finish(err error) {
	b.source, b.over = nil, http.ErrBodyReadAfterClose
	if !b.settled.CompareAndSwap(false, true) {
		return
	}
	if b.over = err; err != io.EOF {
		b.over = explain(b.ctx, err)
	}
	b.wire.end(b.stop, b.keep && err == io.EOF)
}

// Close before the end closes the connection: what is still to come would be in the way of the next answer.
func (b *answerBody) Close() error {
	if b.settled.CompareAndSwap(false, true) {
		b.stop()
		b.wire.cut()
	}
	return nil
}
