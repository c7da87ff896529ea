package upstream

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"mcpsidecar/proxy/rpc"
)

// Exchange is one request under way. It belongs to one goroutine, but for Reply; to end it from elsewhere, end the context that Do was given.
type Exchange struct {
	// Fixed at creation.
	conn    *Conn
	call    Call
	private bool // a question of our own (server/discover, initialize), which is neither repeated nor taken back
	number  int64
	id      []byte      // its number
	ctx     *life       // ends with the caller's until the answer is there, then with Close
	detach  func() bool // lets go of the caller's context
	report  func(error) // tells the breaker, once; nil: it has been told, or need not be
	clock   clock
	strays  *strays // nil: nothing but the answer can come

	// Of the attempt under way.
	link     *link
	body     *body
	response *http.Response // nil: HTTP+SSE
	source   source
	events   *rpc.EventReader
	buffer   *rpc.Buffer      // holds the answer, if that is a body
	inbox    chan rpc.Message // of an HTTP+SSE exchange
	ready    *rpc.Message     // read by Do already
	cursor   cursor           // of events; see resume
	dry      int              // tries to take up a stream since it got any further

	aside    atomic.Bool // nobody reads it at present; see Detach
	settled  atomic.Bool // it has its answer, or its failure
	streamed bool
	answered bool  // the answer was returned
	over     error // what Next returns from now on
	closed   bool

	idRoom [20]byte
	first  body // of the first attempt
	life   life // ctx
}

func (c *Conn) exchange(ctx context.Context, call Call, private bool) *Exchange {
	e := &Exchange{conn: c, call: call, private: private, number: nextID()}
	e.id = strconv.AppendInt(e.idRoom[:0], e.number, 10)
	e.ctx = &e.life
	e.ctx.begin(ctx)
	e.follow(ctx)
	limits := &c.server.cfg.Limits
	e.clock.start(e.ctx, orDefault(call.Timeout, limits.Call), limits.Idle, max(limits.Total, call.Timeout))
	if !private {
		c.straying(e)
	}
	if cause := c.track(e); cause != nil {
		e.ctx.end(cause)
	}
	return e
}

// follow makes the exchange end with a context.
func (e *Exchange) follow(ctx context.Context) {
	e.detach = context.AfterFunc(ctx, func() { e.ctx.end(context.Cause(ctx)) })
}

// ask sends a question of our own over a link that may not be current yet.
func (c *Conn) ask(ctx context.Context, l *link, call Call) (*Exchange, *Failure) {
	e := c.exchange(ctx, call, true)
	if failure, _ := e.attempt(l); failure != nil {
		e.fail(failure)
		e.Close()
		return nil, failure
	}
	return e, nil
}

// answer reads on to the answer.
func (e *Exchange) answer() (rpc.Message, *Failure) {
	for {
		m, err := e.Next()
		if err != nil {
			return rpc.Message{}, err.(*Failure)
		}
		if m.Kind == rpc.Response || m.Kind == rpc.ErrorResponse {
			return m, nil
		}
	}
}

// retry is why a request may be sent a second time; each reason counts once.
type retry uint8

const (
	noRetry     retry = 0
	sessionLost retry = 1 << iota // the server does not know the session: the request did not run
	eraWrong                      // the server turned out to be of the other era: the request did not run
	broke                         // the connection broke, and the call may run twice
)

// start sends the request, again if it certainly did not run or may run twice.
func (e *Exchange) start() *Failure {
	for tried := noRetry; ; {
		l, failure := e.conn.link(e.ctx)
		if failure != nil {
			return failure
		}
		e.conn.askForLogs(e.ctx, l, e.call.LogLevel)
		failure, again := e.attempt(l)
		if failure == nil || again == noRetry || tried&again != 0 || e.ctx.Err() != nil {
			return failure
		}
		tried |= again
		switch again {
		case sessionLost:
			e.conn.forget(l)
		case eraWrong:
			e.conn.server.unlearn(l.known)
		}
	}
}

// attempt sends the request once over a link, and reads as much of the response as it takes to see what it is.
func (e *Exchange) attempt(l *link) (*Failure, retry) {
	e.link = l
	e.renewBody()
	e.body.request(e.id, &e.call, e.conn.identityFor(l, &e.call))
	if l.stream != nil {
		return e.attemptStream(l.stream)
	}
	response, failure := e.conn.post(e.ctx, l, e.body, &e.call)
	if failure != nil {
		if e.call.Idempotent && failure.Kind == Unreachable && failure.MayHaveRun {
			return failure, broke
		}
		return failure, noRetry
	}
	e.response = response
	if response.StatusCode < 200 || response.StatusCode > 299 {
		return e.refused(response)
	}
	return e.open(response), noRetry
}

// renewBody takes a new body: of the last one's, the transport may still be reading.
func (e *Exchange) renewBody() {
	if e.body == nil {
		e.body = &e.first
		return
	}
	e.body.release()
	e.body = new(body)
}

// Streamed says whether the server answers with an event stream, so that something may come before the answer.
func (e *Exchange) Streamed() bool { return e.streamed }

// Token is the raw progress token that notifications of this exchange carry; nil if none was asked for.
func (e *Exchange) Token() []byte {
	if !e.call.Progress {
		return nil
	}
	return e.id
}

// Era of the server that answers, which decides what must be added to or taken from the answer.
func (e *Exchange) Era() Era { return e.link.era }

// ID is the id that the request has on the wire.
func (e *Exchange) ID() string { return string(e.id) }

// Version is the protocol version that the request was made in.
func (e *Exchange) Version() string { return e.link.info.Version }

// Next returns the next message of this exchange: notifications and requests of the server, at last the Response or ErrorResponse; after that io.EOF. Other errors are a *Failure. The message is valid until the next call.
func (e *Exchange) Next() (rpc.Message, error) {
	if e.over != nil {
		return rpc.Message{}, e.over
	}
	for {
		m, pass, failure := e.step()
		if failure != nil {
			e.fail(failure)
			return rpc.Message{}, failure
		}
		if pass {
			return m, nil
		}
	}
}

// Arrived is Next for what is here already; ok is false if nothing is.
func (e *Exchange) Arrived() (m rpc.Message, ok bool, err error) {
	for e.here() {
		m, pass, failure := e.step()
		if failure != nil {
			e.fail(failure)
			return rpc.Message{}, true, failure
		}
		if pass {
			return m, true, nil
		}
	}
	return rpc.Message{}, false, nil
}

// here says whether step would find something without waiting for the server.
func (e *Exchange) here() bool {
	switch {
	case e.over != nil:
		return false
	case e.strays != nil:
		return e.strays.waiting(e.whole)
	}
	return e.whole()
}

// whole says whether a whole message has arrived.
func (e *Exchange) whole() bool {
	if e.inbox != nil {
		return len(e.inbox) > 0
	}
	return e.events != nil && e.events.Whole()
}

// step takes what comes next, and says whether it is passed on to the caller.
func (e *Exchange) step() (m rpc.Message, pass bool, failure *Failure) {
	if e.strays == nil {
		m, failure = e.read()
	} else {
		r, astray := e.strays.next()
		if m, failure = r.message, r.failure; astray {
			e.clock.sawMessage()
			e.tellBreaker(nil) // it lives
			return m, true, nil
		}
		if failure == nil && r.begun {
			return m, false, nil
		}
	}
	if failure != nil {
		return m, false, failure
	}
	pass, failure = e.judge(m)
	return m, pass, failure
}

// judge says whether a message is passed on to the caller.
func (e *Exchange) judge(m rpc.Message) (pass bool, failure *Failure) {
	switch m.Kind {
	case rpc.Notification:
		e.clock.sawEvent()
		if belongsToNoRequest(m.Method) {
			e.conn.notify(m)
			return false, nil
		}
	case rpc.Request:
		e.clock.sawEvent()
		if e.link.era == Modern {
			return false, nil // a modern server must not ask, and could not be answered
		}
		if m.Method == methodPing {
			e.conn.pong(e.link, m.ID)
			return false, nil
		}
	default:
		if !e.isOurs(m) {
			return false, e.conn.server.malformed(true, "the answer has the id of another request")
		}
		e.answered, e.over = true, io.EOF
		e.settle(nil)
		return true, nil
	}
	e.tellBreaker(nil) // it lives
	return true, nil
}

// isOurs compares ids. An error may have none, if the server could not read ours; on a response of our own it is still the answer.
func (e *Exchange) isOurs(m rpc.Message) bool {
	return bytes.Equal(m.ID, e.id) || (m.Kind == rpc.ErrorResponse && withoutID(m.ID))
}

func withoutID(id []byte) bool { return len(id) == 0 || string(id) == "null" }

// belongsToNoRequest: the caller of a request has not asked for these, whatever stream they come on.
func belongsToNoRequest(method string) bool {
	switch method {
	case "notifications/tools/list_changed", "notifications/prompts/list_changed", "notifications/resources/list_changed", "notifications/resources/updated":
		return true
	}
	return false
}

// More says whether another message has arrived already, so that a writer need not flush yet.
func (e *Exchange) More() bool {
	switch {
	case e.over != nil:
		return false
	case e.strays != nil:
		return e.here()
	case e.inbox != nil:
		return len(e.inbox) > 0
	}
	return e.events != nil && e.events.Buffered() > 0
}

// Reply answers a request of a legacy server. result or failure, the other is nil. It may be called while Next waits.
func (e *Exchange) Reply(ctx context.Context, id, result []byte, failure *rpc.Error) error {
	if e.link.era == Modern {
		return e.conn.server.malformed(false, "a modern server cannot be replied to")
	}
	b := new(body)
	b.reply(id, result, failure)
	if f := e.conn.deliver(ctx, e.link, b, ""); f != nil {
		return f
	}
	return nil
}

// fail ends the exchange with a failure.
func (e *Exchange) fail(f *Failure) {
	e.over = f
	e.settle(f)
}

// settle ends what watches over the exchange: it has its answer or its failure.
func (e *Exchange) settle(f *Failure) {
	e.settled.Store(true)
	e.detach()
	e.clock.stop()
	if e.inbox != nil {
		e.link.stream.remove(e)
	}
	e.tellBreaker(f)
}

func (e *Exchange) tellBreaker(f *Failure) {
	report := e.report
	if report == nil {
		return
	}
	e.report = nil
	if f == nil {
		report(nil)
	} else {
		report(f)
	}
}

// Close ends the exchange. Before the answer this cancels: the stream is closed and a legacy server is sent notifications/cancelled.
func (e *Exchange) Close() {
	if e.closed {
		return
	}
	e.closed = true
	e.endStrays()
	if e.over == nil {
		e.fail(e.conn.server.failure(Canceled, true, errClosed))
	}
	if !e.answered {
		e.takeBack()
	}
	if e.body != nil {
		e.body.release()
	}
	if e.events != nil {
		e.events.Release()
	}
	if e.buffer != nil {
		e.buffer.Release()
	}
	e.conn.untrack(e)
	if !e.answered || !e.streamed || e.response == nil || e.source.ended || !e.drain() {
		e.ctx.end(errAnswer)
		if e.response != nil {
			e.response.Body.Close()
		}
	}
}

// drainTime and drainSize bound what is spent on a stream after its answer.
const (
	drainTime = time.Second
	drainSize = 16 << 10
)

// drain reads the end of a stream whose answer is there and whose end has not come with it, so that the connection can serve again. Nobody should wait for it.
func (e *Exchange) drain() bool {
	body, ctx := e.response.Body, e.ctx
	return e.conn.server.spawn(func() {
		defer time.AfterFunc(drainTime, func() { ctx.end(errAnswer) }).Stop()
		io.CopyN(io.Discard, body, drainSize)
		body.Close()
		ctx.end(errAnswer)
	})
}

// takeBack tells a legacy server that nobody waits any more; at a modern one the closed stream says it.
func (e *Exchange) takeBack() {
	l, f := e.link, e.over.(*Failure)
	if e.private || l == nil || l.era == Modern || !f.MayHaveRun || f.Kind == Unreachable || f.Kind == Status || !e.body.wasSent() {
		return
	}
	b := new(body)
	b.notification(methodCancelled, []rpc.Member{{Name: "requestId", Value: e.id}})
	ctx := context.WithoutCancel(e.ctx)
	e.conn.server.spawn(func() {
		ctx, cancel := context.WithTimeoutCause(ctx, closeGrace, errSilent)
		defer cancel()
		e.conn.deliver(ctx, l, b, methodCancelled)
	})
}
