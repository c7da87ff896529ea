package upstream

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"mcpsidecar/proxy/rpc"
)

// stream is the one event stream of a Conn at a server of the HTTP+SSE transport: everything the server says comes on it, and is handed to the exchange that waits for it.
type stream struct {
	conn   *Conn
	ctx    context.Context
	target *url.URL // where messages are posted; fixed before anything is sent
	cancel context.CancelCauseFunc
	detach func() bool   // from the Conn
	done   chan struct{} // closed when the stream has ended

	mu      sync.Mutex  // guards what follows
	waiting []*Exchange // in the order in which they began
	failure *Failure    // why the stream ended
}

// inboxSize is how many messages an exchange may leave unread before the stream waits for it.
const inboxSize = 16

// Of them these many may be notifications while nobody reads, each of so many bytes. What matters more needs room as well, and memory.
const (
	maxNotes    = inboxSize / 2
	maxNoteSize = 4 << 10
)

var errForeignEndpoint = errors.New("the endpoint that the server names is not of its own origin")

// openStream opens the stream and a session over it.
func (c *Conn) openStream(ctx context.Context) (*link, *Failure) {
	st, response, failure := c.dialStream(ctx)
	if failure != nil {
		return nil, failure
	}
	events := rpc.NewEventReader(response.Body, c.server.cfg.Limits.Message)
	opened := make(chan *Failure, 1)
	if !c.server.spawn(func() { st.run(response, events, opened) }) {
		response.Body.Close()
		return nil, c.server.failure(Canceled, false, errClosed)
	}
	select {
	case failure = <-opened:
	case <-ctx.Done():
		failure = c.server.ended(ctx, false)
	}
	if failure == nil {
		l := &link{era: Legacy, stream: st}
		if l, failure = c.initialize(ctx, l); failure == nil {
			return l, nil
		}
	}
	st.end(failure)
	return nil, failure
}

// dialStream asks for the stream. What it returns outlives ctx and ends with the Conn.
func (c *Conn) dialStream(ctx context.Context) (*stream, *http.Response, *Failure) {
	st := &stream{conn: c, done: make(chan struct{})}
	st.ctx, st.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	st.detach = context.AfterFunc(c.ctx, func() { st.cancel(errClosed) })
	stop := context.AfterFunc(ctx, func() { st.cancel(context.Cause(ctx)) })
	defer stop()
	response, failure := c.getStream(st.ctx, &link{era: Legacy}, "")
	if failure == nil && response.StatusCode != http.StatusOK {
		failure = c.server.refusal(response)
	} else if failure == nil && mediaType(response.Header.Get("Content-Type")) != "text/event-stream" {
		failure = c.server.malformed(false, "the server did not open an event stream")
	}
	if failure != nil {
		if response != nil {
			response.Body.Close()
		}
		st.detach()
		st.cancel(errClosed)
		return nil, nil, failure
	}
	return st, response, nil
}

// getStream asks for an event stream with GET: for what comes after an event, or, if lastID is empty, a new one.
func (c *Conn) getStream(ctx context.Context, l *link, lastID string) (*http.Response, *Failure) {
	return c.withCredentials(ctx, func(credentials http.Header) (*http.Response, *Failure) {
		h := c.server.header(credentials, l)
		h["Accept"] = streamType
		if lastID != "" {
			h["Last-Event-Id"] = []string{lastID}
		}
		return c.roundTrip(ctx, http.MethodGet, c.server.endpoint, h, nil)
	})
}

// run reads the stream to its end; opened is told once, when the endpoint is known or will not be.
func (st *stream) run(response *http.Response, events *rpc.EventReader, opened chan<- *Failure) {
	defer close(st.done)
	defer st.cancel(errClosed)
	defer st.detach()
	defer events.Release()
	defer response.Body.Close()
	failure := st.readEndpoint(events)
	opened <- failure
	if failure == nil {
		failure = st.readMessages(events)
	}
	st.fail(failure)
}

// readEndpoint reads up to the event that says where to post. What it says is fixed from then on.
func (st *stream) readEndpoint(events *rpc.EventReader) *Failure {
	for {
		event, err := events.Next()
		if err != nil {
			return st.conn.server.broken(st.ctx, false, earlyEnd(err))
		}
		if event.Type != "endpoint" {
			continue
		}
		target, err := st.conn.server.resolve(strings.TrimSpace(string(event.Data)))
		if err != nil {
			return st.conn.server.failure(Malformed, false, err)
		}
		st.target = target
		return nil
	}
}

// resolve reads the endpoint that a server names. Only its own origin is followed: credentials go there.
func (s *Server) resolve(reference string) (*url.URL, error) {
	relative, err := url.Parse(reference)
	if err != nil {
		return nil, errors.New("the endpoint that the server names cannot be read")
	}
	target := s.endpoint.ResolveReference(relative)
	if target.Scheme != s.endpoint.Scheme || !strings.EqualFold(target.Hostname(), s.endpoint.Hostname()) || port(target) != port(s.endpoint) || target.User != nil || target.Opaque != "" {
		return nil, errForeignEndpoint
	}
	target.Host, target.Fragment, target.RawFragment = s.endpoint.Host, "", ""
	return target, nil
}

func port(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	return map[string]string{"http": "80", "https": "443"}[u.Scheme]
}

// readMessages hands out messages until the stream ends.
func (st *stream) readMessages(events *rpc.EventReader) *Failure {
	for {
		event, err := events.Next()
		if err != nil {
			return st.conn.server.broken(st.ctx, true, earlyEnd(err))
		}
		if event.Type != "" && event.Type != "message" {
			continue
		}
		m, err := rpc.Read(slices.Clone(event.Data))
		if err != nil {
			return st.conn.server.failure(Malformed, true, err)
		}
		e := st.addressee(m)
		switch {
		case e == nil:
		case e.aside.Load():
			st.leave(e, m)
		default:
			select {
			case e.inbox <- m:
			case <-e.ctx.Done():
			case <-st.ctx.Done():
			}
		}
	}
}

// addressee finds the exchange that a message is for; what belongs to none is dealt with here.
func (st *stream) addressee(m rpc.Message) *Exchange {
	switch m.Kind {
	case rpc.Response, rpc.ErrorResponse:
		return st.find(m.ID)
	case rpc.Notification:
		if e := st.about(m); e != nil {
			return e
		}
		st.conn.notify(m)
		return nil
	}
	if m.Method == methodPing {
		st.pong(m.ID)
		return nil
	}
	if e := st.asking(); e != nil {
		return e
	}
	st.conn.passAsk(&link{era: Legacy, stream: st}, m)
	return nil
}

// about is the exchange that a notification belongs to; nil: none.
func (st *stream) about(m rpc.Message) *Exchange {
	switch {
	case m.Method == methodProgress:
		return st.find(find(m.Params, "progressToken"))
	case st.conn.belongs(m):
		return st.asking()
	}
	return nil
}

// leave puts a message where an exchange that nobody reads at present will find it, if there is room: the stream serves others too.
func (st *stream) leave(e *Exchange, m rpc.Message) {
	if m.Kind == rpc.Notification && (len(e.inbox) >= maxNotes || len(m.Params) > maxNoteSize) {
		return
	}
	select {
	case e.inbox <- m:
	default:
		if m.Kind == rpc.Request {
			st.decline(m.ID)
		}
	}
}

func (st *stream) find(id []byte) *Exchange {
	st.mu.Lock()
	defer st.mu.Unlock()
	for _, e := range st.waiting {
		if string(e.id) == string(id) {
			return e
		}
	}
	return nil
}

// asking is the exchange to which a request of the server belongs, of which the transport says nothing. Where all exchanges are of one client, whichever began last will do.
func (st *stream) asking() (last *Exchange) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for _, e := range slices.Backward(st.waiting) {
		switch {
		case e.private:
		case last == nil:
			last = e
		case st.conn.cfg.Shared:
			return nil
		}
	}
	return last
}

func (st *stream) pong(id []byte) { st.conn.pong(&link{era: Legacy, stream: st}, id) }

// decline answers a request that nobody is there to answer.
func (st *stream) decline(id []byte) { st.conn.decline(&link{era: Legacy, stream: st}, id) }

// add lets an exchange wait for its messages; false means that the stream has ended.
func (st *stream) add(e *Exchange) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.failure != nil {
		return false
	}
	e.inbox = make(chan rpc.Message, inboxSize)
	st.waiting = append(st.waiting, e)
	return true
}

func (st *stream) remove(e *Exchange) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if i := slices.Index(st.waiting, e); i >= 0 {
		st.waiting = slices.Delete(st.waiting, i, i+1)
	}
}

func (st *stream) ended() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.failure != nil
}

// fail notes why the stream ended; the first reason counts.
func (st *stream) fail(f *Failure) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.failure == nil {
		st.failure = f
	}
}

// end ends the stream from our side.
func (st *stream) end(f *Failure) {
	st.fail(f)
	st.cancel(errClosed)
}

// attemptStream posts the request of an exchange and waits until the server has taken it, or has said something about it on the stream: some do so before they end the POST.
func (e *Exchange) attemptStream(st *stream) (*Failure, retry) {
	if !st.add(e) {
		return e.streamEnded(false), sessionLost
	}
	e.streamed = true
	posted := make(chan posting, 1)
	b := e.body
	if !e.conn.server.spawn(func() { posted <- e.postToStream(b) }) {
		return e.conn.server.failure(Canceled, false, errClosed), noRetry
	}
	select {
	case p := <-posted:
		if p.failure != nil {
			st.remove(e)
		}
		return p.failure, p.again
	case m := <-e.inbox:
		e.ready = &m
		return nil, noRetry
	case <-st.done:
		return e.streamEnded(b.wasSent()), noRetry
	}
}

// posting is how the POST of a message ended.
type posting struct {
	failure *Failure
	again   retry
}

func (e *Exchange) postToStream(b *body) posting {
	response, failure := e.conn.post(e.ctx, e.link, b, &e.call)
	if failure != nil {
		return posting{failure: failure}
	}
	if response.StatusCode >= 200 && response.StatusCode <= 299 {
		discard(response)
		return posting{}
	}
	defer response.Body.Close()
	failure = e.conn.server.refusal(response)
	var text []byte
	if buffer, err := rpc.ReadAll(response.Body, -1, maxRefusal); err == nil {
		defer buffer.Release()
		text = buffer.Bytes()
	}
	if sessionGone(e.link, response.StatusCode, text) {
		return posting{failure, sessionLost}
	}
	return posting{failure: failure}
}

// broken says why the stream has ended.
func (st *stream) broken() *Failure {
	st.mu.Lock()
	defer st.mu.Unlock()
	f := *st.failure
	return &f
}

// readInbox waits for the next message of an HTTP+SSE exchange. What has arrived is read before the end of the stream is told.
func (e *Exchange) readInbox() (rpc.Message, *Failure) {
	select {
	case m := <-e.inbox:
		return m, nil
	default:
	}
	select {
	case m := <-e.inbox:
		return m, nil
	case <-e.ctx.Done():
		return rpc.Message{}, e.conn.server.ended(e.ctx, true)
	case <-e.link.stream.done:
	}
	select {
	case m := <-e.inbox:
		return m, nil
	default:
	}
	return rpc.Message{}, e.streamEnded(true)
}

// streamEnded is the failure of an exchange whose stream has ended, unless the exchange had ended itself.
func (e *Exchange) streamEnded(mayHaveRun bool) *Failure {
	if e.ctx.Err() != nil {
		return e.conn.server.ended(e.ctx, mayHaveRun)
	}
	f := e.link.stream.broken()
	f.MayHaveRun = mayHaveRun
	return f
}
