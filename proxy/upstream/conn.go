package upstream

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"mcpsidecar/proxy/rpc"
)

// ConnConfig says for whom a Conn is.
type ConnConfig struct {
	// Header returns the headers that prove us to the server, plus those of the agent that are passed on, for every request anew; refused is true when the server has just answered 401 to the last ones, and then an
	// error or the same headers mean that there are no better ones. Required; safe for concurrent use. The map is only read, and so must not be changed afterwards.
	Header       func(ctx context.Context, refused bool) (http.Header, error)
	Capabilities []byte // raw ClientCapabilities to announce; nil: {}
	ClientInfo   []byte // raw Implementation of the client; nil: ours
	Version      string // protocol version to prefer at a legacy server; empty: the newest
	// Notify is told notifications that belong to no request (list changes, resource updates, log messages of legacy servers), from Listen and from answers; may be nil.
	// The message is valid during the call. It is called from the goroutine that reads and must not wait for this Conn.
	Notify func(rpc.Message)
	// Missed is told each time the server begins to tell of changes of its lists on the standing stream while it could not before: as Listen begins, and after a stream broke that could not be taken up where it ended. What
	// changed until then, nobody has heard of. What holds for Notify holds for it. May be nil.
	Missed func()
	// Ask is told requests of a legacy server on its standing stream, which belong to no exchange, and says whether somebody will answer; otherwise they are taken for those of an exchange under way, and Next returns
	// them. nil: they are declined. What holds for Notify holds for it. Whoever sets Ask runs Listen, which then listens at legacy servers only, for nothing but that.
	Ask func(m rpc.Message, asked *Asked) bool
	// Sessions says that a server of both eras is to be spoken to in the older one, if it keeps sessions in that: some can ask something only there. One that does not say that it speaks it is asked once.
	Sessions bool
	// Tasks says that what is watched are tasks, by their ids, and not resources (io.modelcontextprotocol/tasks). A modern server tells of them in notifications/tasks; Listen then asks it for these alone, and a legacy one for nothing.
	Tasks bool
	// Shared says that the requests of this Conn are of several clients. What nothing tells on whose behalf a server asks it, on a standing stream or over HTTP+SSE, is then declined unless one exchange alone is under way.
	Shared bool
}

// Conn is one caller's way to a server. Safe for concurrent use.
type Conn struct {
	// Fixed at creation.
	server *Server
	cfg    ConnConfig
	ctx    context.Context // ends with Close
	cancel context.CancelCauseFunc

	current  atomic.Pointer[link] // nil: nothing agreed with the server yet
	replying atomic.Int32         // replies under way; see replyAside
	watches  watches              // resources of whose changes the server tells; see Watch
	heard    atomic.Bool          // the standing stream is listened to for requests, or will be
	sessions atomic.Bool          // see PreferSession

	mu         sync.Mutex // guards what follows; never held during I/O
	closed     bool
	connecting *flight[*link]
	streamed   bool // there was a link over HTTP+SSE, whose stream tells of changes from the beginning
	open       map[*Exchange]struct{}
}

// Conn makes one; nothing is sent before the first request.
func (s *Server) Conn(cfg ConnConfig) *Conn {
	if cfg.Header == nil {
		panic("upstream: a Conn needs ConnConfig.Header")
	}
	c := &Conn{server: s, cfg: cfg, open: map[*Exchange]struct{}{}}
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	c.heard.Store(cfg.Ask != nil && !s.cfg.SSE)
	c.sessions.Store(cfg.Sessions)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		c.closed = true
		c.cancel(errClosed)
		return c
	}
	s.conns[c] = struct{}{}
	return c
}

// Close ends the upstream session, if there is one, by DELETE (best effort, bounded by ctx) and cancels what is open.
func (c *Conn) Close(ctx context.Context) {
	c.mu.Lock()
	already := c.closed
	c.closed = true
	open := c.open
	c.open = nil
	connecting := c.connecting
	c.mu.Unlock()
	if already {
		return
	}
	c.server.mu.Lock()
	delete(c.server.conns, c)
	c.server.mu.Unlock()

	for e := range open {
		e.ctx.end(errClosed)
	}
	c.cancel(errClosed)
	if connecting != nil {
		<-connecting.done // soon, for its context has ended
	}
	if l := c.current.Swap(nil); l != nil {
		c.endSession(ctx, l)
	}
}

// PreferSession is ConnConfig.Sessions for one that is made already: a client may begin something that is there in the older era only. What is under way in the other goes on.
func (c *Conn) PreferSession() { c.sessions.Store(true) }

// Info connects if that has not happened yet (a modern server/discover, else initialize) and says what is known.
func (c *Conn) Info(ctx context.Context) (Info, error) {
	if l := c.agreed(); l != nil {
		return l.info, nil // nothing is sent, so that the breaker learns nothing
	}
	report, failure := c.server.breaker.allow()
	if failure != nil {
		return Info{}, failure
	}
	l, failure := c.link(ctx)
	if failure != nil {
		report(failure)
		return Info{}, failure
	}
	report(nil)
	return l.info, nil
}

// Call is one request to be sent.
type Call struct {
	Method       string
	Name         string        // for Mcp-Name: the original tool or prompt name, or the URI
	Params       []rpc.Member  // members of params but for _meta, in order; spans are sent as they are, and must stay until Close of the Exchange or until Do fails
	Meta         []rpc.Member  // members of _meta to pass on; protocol keys (io.modelcontextprotocol/{protocolVersion,clientInfo,clientCapabilities,logLevel,...}) and progressToken must not be among them
	Progress     bool          // ask for progress; notifications then carry a token of ours
	ClientInfo   []byte        // raw Implementation of the client that asks, passed to modern servers; nil: ConnConfig's
	Capabilities []byte        // raw ClientCapabilities of the client that asks, passed to modern servers; nil: ConnConfig's
	LogLevel     string        // how much the client wants to hear of log messages: said with the request to modern servers, and beforehand to legacy ones; empty: nothing is said
	ParamHeaders http.Header   // Mcp-Param-*, sent to modern servers only
	Timeout      time.Duration // instead of Limits.Call; 0: the limit
	Idempotent   bool          // may be sent again after a failure in which it may have run (lists)
	Alone        bool          // fail with ErrBusy, and send nothing, where another call of this Conn is under way
	Poller       Poller        // nil: nobody wants to know
}

// Poller is told that a legacy server has ended the connection on which its answer was to come, and wants to be asked again after some time. It is called from Next.
type Poller interface {
	Polled(retry time.Duration)
}

// Do sends a request. The error is a *Failure. The Exchange must be closed.
func (c *Conn) Do(ctx context.Context, call Call) (*Exchange, error) {
	report, failure := c.server.breaker.allow()
	if failure != nil {
		return nil, failure
	}
	e := c.exchange(ctx, call, false)
	e.report = report
	if failure := e.begin(); failure != nil {
		e.fail(failure)
		e.Close()
		return nil, failure
	}
	return e, nil
}

// Send sends a notification.
func (c *Conn) Send(ctx context.Context, method string, params []rpc.Member) error {
	report, failure := c.server.breaker.allow()
	if failure != nil {
		return failure
	}
	failure = c.send(ctx, method, params)
	if failure != nil {
		report(failure)
		return failure
	}
	report(nil)
	return nil
}

func (c *Conn) send(ctx context.Context, method string, params []rpc.Member) *Failure {
	for again := true; ; again = false {
		l, failure := c.link(ctx)
		if failure != nil {
			return failure
		}
		b := new(body)
		b.notification(method, params)
		failure = c.deliver(ctx, l, b, method)
		if failure == nil || !again || !sessionGone(l, failure.HTTPStatus, nil) {
			return failure
		}
		c.forget(l)
	}
}

// deliver posts a message that has no answer.
func (c *Conn) deliver(ctx context.Context, l *link, b *body, method string) *Failure {
	defer b.release()
	ctx, cancel := context.WithTimeoutCause(ctx, c.server.cfg.Limits.Connect, errSilent)
	defer cancel()
	response, failure := c.post(ctx, l, b, &Call{Method: method})
	if failure != nil {
		return failure
	}
	defer discard(response)
	if response.StatusCode < 200 || response.StatusCode > 299 {
		return c.server.refusal(response)
	}
	return nil
}

// track remembers an exchange so that Close can end it; a cause says why it may not begin.
func (c *Conn) track(e *Exchange) (cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return errClosed
	}
	if e.call.Alone && !c.alone() {
		return ErrBusy
	}
	c.open[e] = struct{}{}
	return nil
}

func (c *Conn) untrack(e *Exchange) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.open, e)
}

// notify passes on a notification that belongs to no request.
func (c *Conn) notify(m rpc.Message) {
	if c.cfg.Notify != nil {
		c.cfg.Notify(m)
	}
}

// missedLists says that lists may have changed while nobody was told.
func (c *Conn) missedLists() {
	if c.cfg.Missed != nil {
		c.cfg.Missed()
	}
}

// pong answers a ping.
func (c *Conn) pong(l *link, id []byte) {
	b := new(body)
	b.reply(id, []byte("{}"), nil)
	c.replyAside(l, b)
}

// decline answers a request of the server that nobody can answer.
func (c *Conn) decline(l *link, id []byte) {
	b := new(body)
	b.reply(id, nil, &rpc.Error{Code: codeMethodNotFound, Message: "nobody is there to answer this"})
	c.replyAside(l, b)
}

// maxReplies is how many replies to one server's requests are under way at once. More than that many unanswered pings at a time are a flood, which must not make us flood.
const maxReplies = 16

// replyAside sends a reply without letting the reader wait.
func (c *Conn) replyAside(l *link, b *body) {
	if c.replying.Add(1) > maxReplies || !c.server.spawn(func() {
		defer c.replying.Add(-1)
		c.deliver(c.ctx, l, b, "")
	}) {
		c.replying.Add(-1)
	}
}
