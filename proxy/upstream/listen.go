package upstream

import (
	"context"
	"math/rand/v2"
	"net/http"
	"time"

	"mcpsidecar/proxy/rpc"
)

// Listen keeps the standing stream open (GET at legacy servers, subscriptions/listen at modern ones), reconnecting with back-off, and passes notifications to ConnConfig.Notify until ctx ends.
// It returns early, with nil, if the server offers no such stream.
func (c *Conn) Listen(ctx context.Context) error {
	rest := restart{}
	for {
		began := time.Now()
		offered, failure := c.listenOnce(ctx)
		if !offered && failure == nil {
			return nil
		}
		if ctx.Err() != nil || c.ctx.Err() != nil {
			return c.server.failure(Canceled, false, context.Cause(ctx))
		}
		if failure != nil {
			c.server.cfg.Logger.Debug("the standing stream ended", "server", c.server.cfg.Slug, "error", failure)
		}
		if !rest.wait(ctx, time.Since(began)) {
			return c.server.ended(ctx, false)
		}
	}
}

// restart is the back-off between two streams.
type restart struct{ delay time.Duration }

const (
	shortestRest = time.Second
	longestRest  = time.Minute
)

// wait waits longer each time, up to a minute, and from the start again after a stream that held for longer than that. False: ctx ended.
func (r *restart) wait(ctx context.Context, held time.Duration) bool {
	r.delay = min(max(2*r.delay, shortestRest), longestRest)
	if held > longestRest {
		r.delay = shortestRest
	}
	timer := time.NewTimer(r.delay/2 + rand.N(r.delay))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// listenOnce keeps one stream until it ends. offered is false if the server has none, or failed before it was known.
func (c *Conn) listenOnce(ctx context.Context) (offered bool, failure *Failure) {
	connect, cancel := context.WithTimeoutCause(ctx, c.server.cfg.Limits.Connect, errSilent)
	l, failure := c.link(connect)
	cancel()
	switch {
	case failure != nil:
		return true, failure
	case l.stream != nil:
		return true, l.stream.outlast(ctx)
	case l.era == Modern:
		return c.subscribe(ctx, l)
	}
	return c.listenLegacy(ctx, l)
}

// outlast waits until the stream of the HTTP+SSE transport, which is read anyway, ends.
func (st *stream) outlast(ctx context.Context) *Failure {
	select {
	case <-st.done:
		return st.broken()
	case <-ctx.Done():
		return st.conn.server.ended(ctx, false)
	}
}

// standing makes a context for a stream that ends with ctx and with the Conn, and whose beginning must come in time.
func (c *Conn) standing(ctx context.Context) (live context.Context, begun func() bool, end func()) {
	live, cancel := context.WithCancelCause(ctx)
	detach := context.AfterFunc(c.ctx, func() { cancel(errClosed) })
	timer := time.AfterFunc(c.server.cfg.Limits.Connect, func() { cancel(errSilent) })
	return live, timer.Stop, func() {
		timer.Stop()
		detach()
		cancel(errAnswer)
	}
}

func (c *Conn) listenLegacy(ctx context.Context, l *link) (offered bool, failure *Failure) {
	live, begun, end := c.standing(ctx)
	defer end()
	response, failure := c.getStream(live, l)
	if failure != nil {
		return true, failure
	}
	begun()
	defer response.Body.Close()
	switch status := response.StatusCode; {
	case status == http.StatusOK && mediaType(response.Header.Get("Content-Type")) == "text/event-stream":
		return c.hear(live, l, response)
	case status == http.StatusNotFound && l.sessionHeader != nil:
		c.forget(l)
		return true, c.server.refusal(response)
	case status == http.StatusUnauthorized || status == http.StatusForbidden || status == http.StatusTooManyRequests || status >= 500 && status != http.StatusNotImplemented:
		return true, c.server.refusal(response)
	}
	return false, nil
}

// subscribe asks a modern server for the changes of its lists.
func (c *Conn) subscribe(ctx context.Context, l *link) (offered bool, failure *Failure) {
	live, begun, end := c.standing(ctx)
	defer end()
	call := Call{Method: methodListen, Params: []rpc.Member{{Name: "notifications", Value: []byte(`{"toolsListChanged":true,"promptsListChanged":true,"resourcesListChanged":true}`)}}}
	b := new(body)
	defer b.release()
	b.request(number(c.ids.Add(1)), &call, l.identity)
	response, failure := c.post(live, l, b, &call)
	if failure != nil {
		return true, failure
	}
	begun()
	defer response.Body.Close()
	switch status := response.StatusCode; {
	case status == http.StatusOK && mediaType(response.Header.Get("Content-Type")) == "text/event-stream":
		return c.hear(live, l, response)
	case status == http.StatusUnauthorized || status == http.StatusForbidden || status == http.StatusTooManyRequests || status >= 500 && status != http.StatusNotImplemented:
		return true, c.server.refusal(response)
	}
	return false, nil
}

// hear passes on what a standing stream says, until it ends. An answer ends it too: with a result a modern server takes leave, with an error it says that it has no such stream.
func (c *Conn) hear(ctx context.Context, l *link, response *http.Response) (offered bool, failure *Failure) {
	events := rpc.NewEventReader(response.Body, c.server.cfg.Limits.Message)
	defer events.Release()
	for {
		event, err := events.Next()
		if err != nil {
			return true, c.server.broken(ctx, false, earlyEnd(err))
		}
		m, err := rpc.Read(event.Data)
		if err != nil {
			return true, c.server.failure(Malformed, false, err)
		}
		switch {
		case m.Kind == rpc.Response:
			return true, nil
		case m.Kind == rpc.ErrorResponse:
			return false, nil
		case m.Kind == rpc.Request && l.era == Legacy && m.Method == methodPing:
			c.pong(l, m.ID)
		case m.Kind == rpc.Request && l.era == Legacy:
			c.decline(l, m.ID)
		case m.Kind == rpc.Notification && m.Method != "notifications/subscriptions/acknowledged":
			c.notify(m)
		}
	}
}
