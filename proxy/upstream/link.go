package upstream

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"

	"mcpsidecar/proxy/rpc"
)

// link is what one Conn has agreed with its server. Once it is current, nothing of it changes but told.
type link struct {
	era           Era
	known         *known // what detection had found when it was made
	identity      []byte // members of _meta of every request; nil: legacy
	versionHeader []string
	sessionHeader []string
	info          Info
	stream        *stream // of the HTTP+SSE transport
	counted       bool    // Config.Session was told

	told atomic.Int32 // how much a legacy server was told to log: an index of levels + 1; see askForLogs
}

// link returns what requests need, connecting first if need be. Many callers share one attempt, which none of them can cancel for the others.
func (c *Conn) link(ctx context.Context) (*link, *Failure) {
	if l := c.agreed(); l != nil {
		return l, nil
	}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil, c.server.failure(Canceled, false, errClosed)
	}
	if l := c.current.Load(); l != nil && c.stillValid(l) { // it has come about since, and a second one would leave whoever listens to the first alone with it
		c.mu.Unlock()
		return l, nil
	}
	f := c.connecting
	if f == nil {
		f = newFlight[*link]()
		c.connecting = f
		if !c.server.spawn(func() { c.connect(context.WithoutCancel(ctx), f) }) {
			c.connecting = nil
			c.mu.Unlock()
			return nil, c.server.failure(Canceled, false, errClosed)
		}
	}
	c.mu.Unlock()
	l, failure, ok := f.wait(ctx)
	if !ok {
		return nil, c.server.ended(ctx, false)
	}
	return l, failure
}

// agreed returns the link if there is a valid one. With a server that is known to be modern there is nothing to agree on.
func (c *Conn) agreed() *link {
	if l := c.current.Load(); l != nil && c.stillValid(l) {
		return l
	}
	known := c.server.known.Load()
	if known == nil || c.speaks(known) != Modern || c.ctx.Err() != nil {
		return nil
	}
	l := c.modernLink(known)
	if old := c.current.Swap(l); old != nil {
		c.dropped(old)
	}
	return l
}

// stillValid: a modern link holds what detection found; a session holds as long as the server is not known to be modern now.
func (c *Conn) stillValid(l *link) bool {
	if l.stream != nil {
		return !l.stream.ended()
	}
	known := c.server.known.Load()
	if l.era == Legacy {
		return known == nil || c.speaks(known) == Legacy
	}
	return known == l.known && (known == nil || c.speaks(known) == Modern)
}

// connect makes the link that everyone in the flight waits for.
func (c *Conn) connect(ctx context.Context, f *flight[*link]) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.server.cfg.Limits.Connect, errSilent)
	defer cancel()
	ctx, cancelCause := context.WithCancelCause(ctx)
	defer cancelCause(nil)
	defer context.AfterFunc(c.ctx, func() { cancelCause(errClosed) })()

	l, failure := c.agree(ctx)
	if failure != nil {
		failure.MayHaveRun = false // of what the waiting callers want to send, nothing has been sent
	}
	c.mu.Lock()
	c.connecting = nil
	old, again := (*link)(nil), false
	if l != nil {
		old = c.current.Swap(l)
		again, c.streamed = c.streamed && l.stream != nil, c.streamed || l.stream != nil
	}
	c.mu.Unlock()
	if old != nil {
		c.dropped(old)
	}
	if l != nil && c.watches.any() {
		c.keepWatches()
	}
	f.land(l, failure)
	if again {
		c.missedLists()
	}
}

// agree finds the era, and at a legacy server opens a session. A remembered era that turns out wrong is looked for again, once.
func (c *Conn) agree(ctx context.Context) (*link, *Failure) {
	if c.server.cfg.SSE {
		return c.openStream(ctx)
	}
	for again := true; ; {
		remembered := c.server.known.Load()
		known, failure := c.detect(ctx)
		if failure != nil {
			return nil, failure
		}
		if c.speaks(known) == Modern {
			return c.modernLink(known), nil
		}
		if known.era == Modern {
			if l, failure := c.agreeOnSession(ctx, known); l != nil || failure != nil {
				return l, failure
			}
			continue
		}
		l, failure := c.initialize(ctx, &link{era: Legacy, known: known})
		if failure == nil {
			return l, nil
		}
		if !turnsAway(failure) {
			return nil, failure
		}
		if known.unsure {
			c.server.known.CompareAndSwap(known, modernAfterAll)
			continue
		}
		c.server.unlearn(known)
		if remembered != known || !again {
			return nil, failure
		}
		again = false
	}
}

// speaks is the era in which this Conn speaks to a server of which this is known.
func (c *Conn) speaks(k *known) Era {
	if (k.info.Both || k.mute) && c.sessions.Load() {
		return Legacy
	}
	return k.era
}

// agreeOnSession opens a session at a server that speaks both eras, or may. Neither a link nor a failure: it keeps none, which is remembered, and then there is nothing in the older era that is not in the newer one.
func (c *Conn) agreeOnSession(ctx context.Context, k *known) (*link, *Failure) {
	l, failure := c.initialize(ctx, &link{era: Legacy, known: k})
	switch {
	case failure == nil && l.sessionHeader != nil:
		return l, nil
	case failure != nil && !turnsAway(failure) && !k.notMeant(failure):
		return nil, failure
	}
	modern := *k
	modern.info.Both, modern.mute = false, false
	c.server.known.CompareAndSwap(k, &modern)
	return nil, nil
}

// notMeant says whether a server that never claimed to know initialize has failed at it: what it does not know it may answer as it likes.
func (k *known) notMeant(f *Failure) bool { return k.mute && (f.Kind == Status || f.Kind == TimedOut) }

func (c *Conn) modernLink(k *known) *link {
	return &link{era: Modern, known: k, identity: c.identity(modernVersion), versionHeader: modernValue, info: k.info}
}

// initialize opens a session over a link that has none yet, and returns that link completed.
func (c *Conn) initialize(ctx context.Context, l *link) (*link, *Failure) {
	e, failure := c.ask(ctx, l, Call{Method: methodInitialize, Params: c.initializeParams()})
	if failure != nil {
		return nil, failure
	}
	defer e.Close()
	answer, failure := e.answer()
	if failure != nil {
		return nil, failure
	}
	if answer.Kind == rpc.ErrorResponse {
		return nil, c.refused(ctx, methodInitialize, answer.Error)
	}
	version, _ := rpc.String(find(answer.Result, "protocolVersion"))
	if !slices.Contains(legacyVersions, version) {
		return nil, c.server.malformed(false, "the server chose the protocol version %.64q, which is not known", version)
	}
	l.info = legacyInfo(version, answer.Result)
	if version >= versionHeaderSince {
		l.versionHeader = []string{version}
	}
	if e.response != nil {
		id := e.response.Header.Get("Mcp-Session-Id")
		if strings.ContainsFunc(id, func(r rune) bool { return r < 0x21 || r > 0x7e }) {
			return nil, c.server.malformed(false, "the session id has characters that it must not have")
		}
		if id != "" {
			l.sessionHeader = []string{id}
		}
	}
	b := new(body)
	b.notification(methodInitialized, nil)
	if failure := c.deliver(ctx, l, b, methodInitialized); failure != nil {
		c.endSession(ctx, l)
		return nil, failure
	}
	if l.sessionHeader != nil || l.stream != nil {
		l.counted = true
		c.server.cfg.Session(+1)
	}
	return l, nil
}

func (c *Conn) initializeParams() []rpc.Member {
	version := c.cfg.Version
	if !slices.Contains(legacyVersions, version) {
		version = newestLegacy
	}
	return []rpc.Member{
		{Name: "protocolVersion", Value: rpc.AppendString(nil, version)},
		{Name: "capabilities", Value: c.capabilities()},
		{Name: "clientInfo", Value: c.clientInfo()},
	}
}

func legacyInfo(version string, result []byte) Info {
	return Info{Era: Legacy, Version: version, ServerInfo: said(find(result, "serverInfo")), Capabilities: said(find(result, "capabilities"))}
}

// maxSaid bounds what is kept of what a server says about itself, since it is kept with each session.
const maxSaid = 32 << 10

// said keeps a part of that beyond its buffer. What is too large is as good as not said.
func said(span []byte) []byte {
	if len(span) > maxSaid {
		return nil
	}
	return clone(span)
}

// find is rpc.Find for a value that may be no object.
func find(raw []byte, name string) []byte {
	if len(raw) == 0 || raw[0] != '{' {
		return nil
	}
	return rpc.Find(raw, name)
}

// clone keeps a span beyond its buffer.
func clone(span []byte) []byte { return slices.Clone(span) }

// forget gives up a link that the server no longer knows; a newer one stays.
func (c *Conn) forget(l *link) {
	if c.current.CompareAndSwap(l, nil) {
		c.dropped(l)
	}
}

var errSessionLost = errors.New("the session was lost")

// dropped accounts for a link that is no longer current.
func (c *Conn) dropped(l *link) {
	switch {
	case l.stream == nil:
	case c.ctx.Err() != nil:
		l.stream.end(c.server.failure(Canceled, true, errClosed))
	default:
		l.stream.end(c.server.failure(Unreachable, true, errSessionLost))
	}
	if l.counted {
		c.server.cfg.Session(-1)
	}
}

// endSession tells the server that the session is over. Nobody waits for more than ctx allows, and nothing hangs on it.
func (c *Conn) endSession(ctx context.Context, l *link) {
	defer c.dropped(l)
	if l.sessionHeader == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, closeGrace)
	defer cancel()
	credentials, err := c.cfg.Header(ctx, false)
	if err != nil {
		return
	}
	request := c.server.request(ctx, http.MethodDelete, c.server.endpoint, c.server.header(credentials, l), nil)
	response, err := c.server.transport.RoundTrip(request)
	if err != nil {
		c.server.cfg.Logger.Debug("a session was not ended at the server", "server", c.server.cfg.Slug, "error", err)
		return
	}
	discard(response)
}

// sessionGone says whether the server refused a request because it does not know its session, in which case the request certainly did not run.
// A 404 says so by the specification; a 400 only if it speaks of a session, as servers do that forgot theirs in a restart.
func sessionGone(l *link, status int, text []byte) bool {
	if l.sessionHeader == nil && l.stream == nil {
		return false
	}
	return status == http.StatusNotFound || (status == http.StatusBadRequest && strings.Contains(strings.ToLower(string(text)), "session"))
}

// discard reads what little a refusal may say, so that the connection can be used again, and closes the body.
func discard(response *http.Response) {
	io.CopyN(io.Discard, response.Body, 4<<10)
	response.Body.Close()
}
