package outbound

import (
	"context"
	"io"
	"net/http"
	"net/http/httptrace"
	"time"
)

// direct sends small requests and reads their answers on the goroutine that asks, over connections of its own. What it does not take it leaves to net/http.
type direct struct {
	config Config
	dialer *dialer
	other  *http.Transport
	pool   *pool
}

func newDirect(config Config) *direct {
	d := newDialer(config)
	return &direct{config: config, dialer: d, other: transport(config, d), pool: newPool(config.MaxIdlePerHost, config.IdleTimeout)}
}

// RoundTrip sends a request. A request that is small, plain and in memory goes the direct way; net/http judges and sends every other.
func (d *direct) RoundTrip(r *http.Request) (*http.Response, error) {
	var m message
	defer m.free()
	if !canPeek || !m.begin(r) {
		return d.leave(r, false)
	}
	if err := m.fill(r.Body); err != nil {
		r.Body.Close()
		return nil, explain(r.Context(), err)
	}
	answer, err := d.exchange(r, &m)
	if err == errNeedsHTTP2 {
		return d.leave(r, true)
	}
	if r.Body != nil {
		r.Body.Close()
	}
	return answer, err
}

// Announced is a request's body that lies in memory and wants to know. MayBeSent is called before its first byte can reach a server: who was not told knows that nothing was sent.
type Announced interface {
	io.ReadCloser
	AppendTo(text []byte) []byte // appends all of it
	// Notices says that what GetBody returns notices by itself when it is sent, so that MayBeSent need not be called for it.
	Notices() bool
	MayBeSent()
}

// leave leaves a request to net/http. Where its body has been read, or is one that only we know how to tell, net/http gets another.
func (d *direct) leave(r *http.Request, read bool) (*http.Response, error) {
	watched, ok := r.Body.(Announced)
	if r.Body == nil || r.GetBody == nil || !ok && !read {
		return d.other.RoundTrip(r)
	}
	r.Body.Close()
	ctx := r.Context()
	if ok && !watched.Notices() {
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { watched.MayBeSent() }})
	}
	again, err := r.WithContext(ctx), error(nil)
	if again.Body, err = r.GetBody(); err != nil {
		return nil, err
	}
	return d.other.RoundTrip(again)
}

// exchange tries further connections as long as the one before was closed before anything went over it; that can only be said of reused ones, of which there is an end.
func (d *direct) exchange(r *http.Request, m *message) (*http.Response, error) {
	for {
		w, err := d.wire(r)
		if err != nil {
			return nil, err
		}
		answer, err := w.exchange(r, m)
		if err != errUnsent {
			return answer, err
		}
	}
}

// wire returns a connection to the server of a request: the one that was used last, for it is the likeliest to be alive, or a new one.
func (d *direct) wire(r *http.Request) (*wire, error) {
	ctx, where := r.Context(), place{r.URL.Scheme, r.URL.Host}
	for {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		w, http2 := d.pool.take(where)
		switch {
		case http2:
			return nil, errNeedsHTTP2
		case w == nil:
			return d.dial(ctx, where, r.URL)
		case !d.pool.stale(w, time.Now()):
			w.reused = true
			return w, nil
		}
		w.close()
	}
}

// CloseIdleConnections is what [http.Client.CloseIdleConnections] calls.
func (d *direct) CloseIdleConnections() {
	d.pool.clear()
	d.other.CloseIdleConnections()
}

// explain returns why a context ended, if it did, and otherwise the error that was met.
func explain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
