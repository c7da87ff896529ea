package upstream

import (
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"mcpsidecar/proxy/rpc"
)

// Listen keeps the standing stream open (GET at legacy servers, subscriptions/listen at modern ones), reconnecting with back-off, and passes notifications to ConnConfig.Notify until ctx ends.
// It returns early, with nil, if the server offers no such stream.
func (c *Conn) Listen(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(c.ctx, func() { cancel(errClosed) })()
	defer c.heard.Store(false)
	rest, at := restart{}, place{}
	for {
		began := time.Now()
		offered, failure := c.listenOnce(ctx, &at)
		switch {
		case ctx.Err() != nil:
			return c.server.ended(ctx, false)
		case failure != nil:
			c.server.cfg.Logger.Debug("the standing stream ended", "server", c.server.cfg.Slug, "error", failure)
		case !offered:
			c.noTasks(c.unwilling())
			return nil
		}
		if !rest.wait(ctx, time.Since(began), at.retry, c.watches.change()) {
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

// wait waits longer each time, up to a minute, and from the start again after a stream that held for longer than that; never for less than the server wants, unless hurry is closed. False: ctx ended.
func (r *restart) wait(ctx context.Context, held, wanted time.Duration, hurry <-chan struct{}) bool {
	timer := time.NewTimer(max(wanted, r.grow(held)))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-hurry:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

func (r *restart) grow(held time.Duration) time.Duration {
	r.delay = min(max(2*r.delay, shortestRest), longestRest)
	if held > longestRest {
		r.delay = shortestRest
	}
	return r.delay/2 + rand.N(r.delay)
}

// listenOnce keeps one stream until it ends. offered is false if the server has none; a failure says nothing about that.
func (c *Conn) listenOnce(ctx context.Context, at *place) (offered bool, failure *Failure) {
	if left := c.server.breaker.left(); left > 0 {
		failure = c.server.breaker.open(left)
		c.noTasks(failure)
		return true, failure
	}
	connect, cancel := context.WithTimeoutCause(ctx, c.server.cfg.Limits.Connect, errSilent)
	defer cancel()
	l, failure := c.link(connect)
	switch {
	case failure != nil:
		c.noTasks(failure)
		return true, failure
	case c.cfg.Ask != nil && (l.stream != nil || l.era == Modern) && !c.watches.any():
		return false, nil // the one is read anyway, the other never asks
	case c.cfg.Tasks && l.era == Legacy:
		c.noTasks(c.unwilling())
		return true, c.unwilling()
	case l.stream != nil:
		return true, l.stream.outlast(ctx)
	case l.era == Modern:
		return c.listenModern(ctx, l)
	}
	return c.listenLegacy(ctx, l, at)
}

// noTasks fails whoever waits for a server to tell of tasks. Of resources tellWatches does.
func (c *Conn) noTasks(failure *Failure) {
	if c.cfg.Tasks {
		c.watches.fail(failure)
	}
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

// listenLegacy asks for the stream of a session, from where it was heard last. Where it begins anew, nobody has heard what the server may have had to say until then.
func (c *Conn) listenLegacy(ctx context.Context, l *link, at *place) (offered bool, failure *Failure) {
	lastID := at.at(l)
	offered, failure = c.listenOn(ctx, l, ears{at: at}, func(ctx context.Context) (*http.Response, *Failure) {
		response, failure := c.getStream(ctx, l, lastID)
		before := c.watches.known(l)
		c.watches.opened(l)
		if failure == nil && isStream(response) && lastID == "" {
			c.missed(before...)
			c.missedLists()
		}
		return response, failure
	})
	if lastID != "" && (!offered || failure != nil && failure.Kind == Status) { // it may be this event alone that the server knows nothing of
		at.lastID = ""
		return true, failure
	}
	return offered, failure
}

// ears are what else hears a standing stream.
type ears struct {
	at    *place
	acked func(params []byte) // hears what a modern server acknowledges; nil: nobody cares
}

// listenOn opens a standing stream, whose beginning must come in time, and hears it to its end.
func (c *Conn) listenOn(ctx context.Context, l *link, ears ears, open func(context.Context) (*http.Response, *Failure)) (offered bool, failure *Failure) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(errAnswer)
	timer := time.AfterFunc(c.server.cfg.Limits.Connect, func() { cancel(errSilent) })
	defer timer.Stop()
	response, failure := open(ctx)
	if failure != nil {
		return true, failure
	}
	defer response.Body.Close()
	if isStream(response) {
		timer.Stop()
		return c.hear(ctx, l, ears, response)
	}
	refusal := c.server.refusal(response)
	lost := sessionGone(l, response.StatusCode, refusalText(response))
	if lost {
		c.forget(l)
	}
	taken := response.StatusCode == http.StatusConflict // by the last stream, of whose end the server does not know yet
	if lost || taken || response.StatusCode >= 400 && !turnsAway(refusal) {
		return true, refusal
	}
	return false, nil
}

// isStream says whether a server has opened a stream of events.
func isStream(response *http.Response) bool {
	return response.StatusCode == http.StatusOK && mediaType(response.Header.Get("Content-Type")) == "text/event-stream"
}

// refusalText is what little a refusal says that may be about a session.
func refusalText(response *http.Response) []byte {
	if response.StatusCode != http.StatusBadRequest {
		return nil
	}
	text, _ := io.ReadAll(io.LimitReader(response.Body, 4<<10))
	return text
}

// hear passes on what a standing stream says, until it ends. An answer ends it too: with a result a modern server takes leave, with an error it says that it has no such stream.
func (c *Conn) hear(ctx context.Context, l *link, ears ears, response *http.Response) (offered bool, failure *Failure) {
	events := rpc.NewEventReader(response.Body, c.server.cfg.Limits.Message)
	defer events.Release()
	for {
		event, err := events.Next()
		ears.at.heard(l, events)
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
			if m, err = rpc.Read(clone(event.Data)); err == nil {
				c.passAsk(l, m)
			}
		case m.Kind == rpc.Notification && m.Method == "notifications/subscriptions/acknowledged":
			if ears.acked != nil {
				ears.acked(m.Params)
			}
		case m.Kind == rpc.Notification && m.Method == methodCancelled && c.cfg.Ask != nil && l.era == Legacy:
			c.notify(m)
			if m, err = rpc.Read(clone(event.Data)); err == nil {
				c.withdraw(l, m)
			}
		case m.Kind == rpc.Notification:
			c.tell(l, m, event.Data)
		}
	}
}
