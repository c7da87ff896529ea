package upstream

import (
	"context"
	"slices"
	"sync"
	"time"

	"mcpsidecar/proxy/rpc"
)

// What is said of changes of resources.
const (
	methodSubscribe   = "resources/subscribe"
	methodUnsubscribe = "resources/unsubscribe"
	methodUpdated     = "notifications/resources/updated"
	methodTasks       = "notifications/tasks"
)

// maxTelling is how many subscriptions a legacy server is told of at once.
const maxTelling = 8

// Watch has the server tell of changes of a resource (notifications/resources/updated, to ConnConfig.Notify), or of a task (see ConnConfig.Tasks), until Unwatch was called as often as Watch succeeded. It returns when the server has agreed; the error is a *Failure, and
// then nothing remains. From then on the subscription holds over whatever befalls sessions and streams: it is made anew, and since something may have been missed, the resource is once said to be updated, and the task to be another, without its state.
// Somebody has to Listen meanwhile: at a modern server the stream is the subscription, and a legacy one is told when the stream is open.
func (c *Conn) Watch(ctx context.Context, uri string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.server.cfg.Limits.Connect, errSilent)
	defer cancel()
	attempt := c.watches.add(uri)
	if attempt == nil {
		return nil
	}
	c.keepWatches()
	_, failure, ok := attempt.wait(ctx)
	if !ok {
		failure = c.server.ended(ctx, false)
	}
	if failure != nil {
		c.Unwatch(uri)
		return failure
	}
	return nil
}

// Unwatch takes back one Watch. It waits for nothing.
func (c *Conn) Unwatch(uri string) {
	if c.watches.drop(uri) {
		c.keepWatches()
	}
}

// keepWatches has a goroutine see to it that the server knows what is watched. Of tasks only the stream says it.
func (c *Conn) keepWatches() {
	if !c.cfg.Tasks && c.watches.begin() && !c.server.spawn(c.tellWatches) {
		c.watches.end(c.server.failure(Canceled, false, errClosed))
	}
}

// tellWatches tells a legacy server what is watched until it knows. To a modern server the stream says it.
func (c *Conn) tellWatches() {
	for rest := (restart{}); ; {
		began := time.Now()
		l, failure := c.linkInTime()
		if failure != nil {
			c.watches.fail(failure)
		} else if l.era == Legacy {
			c.awaitStream(l)
			c.tellLink(l)
		}
		if !c.watches.more(l) {
			return
		}
		timer := time.NewTimer(rest.grow(time.Since(began)))
		select {
		case <-timer.C:
		case <-c.watches.kick:
			rest = restart{}
		case <-c.ctx.Done():
			c.watches.end(c.server.ended(c.ctx, false))
		}
		if timer.Stop(); c.ctx.Err() != nil {
			return
		}
		c.watches.retry()
	}
}

// streamWait is how long a legacy server is told of nothing because its standing stream is not open yet: what it says at once would be lost.
const streamWait = 2 * time.Second

func (c *Conn) awaitStream(l *link) {
	timer := time.NewTimer(streamWait)
	defer timer.Stop()
	for l.stream == nil && c.current.Load() == l && !c.watches.open(l) {
		select {
		case <-c.watches.kick:
		case <-timer.C:
			return
		case <-c.ctx.Done():
			return
		}
	}
}

func (c *Conn) linkInTime() (*link, *Failure) {
	ctx, cancel := context.WithTimeoutCause(c.ctx, c.server.cfg.Limits.Connect, errSilent)
	defer cancel()
	return c.link(ctx)
}

// tellLink tells one session everything that it does not know yet, some of it side by side.
func (c *Conn) tellLink(l *link) {
	for c.current.Load() == l {
		batch := c.watches.due(l, maxTelling)
		if len(batch) == 0 {
			return
		}
		var all sync.WaitGroup
		for _, change := range batch {
			all.Go(func() { c.tellChange(l, change) })
		}
		all.Wait()
	}
}

// watchChange is what a session has to be told of one resource.
type watchChange struct {
	uri    string
	wanted bool
}

func (c *Conn) tellChange(l *link, change watchChange) {
	method := methodSubscribe
	if !change.wanted {
		method = methodUnsubscribe
	}
	on, failure := c.tellSubscription(method, change.uri)
	if failure != nil {
		c.server.cfg.Logger.Debug("a subscription could not be changed", "server", c.server.cfg.Slug, "method", method, "error", failure)
	}
	if again := c.watches.told(l, on, change, failure); again {
		c.missed(change.uri)
	}
}

// tellSubscription asks a legacy server for or against a subscription; on is the link over which it was asked, which may be another one than was at hand.
func (c *Conn) tellSubscription(method, uri string) (on *link, failure *Failure) {
	call := Call{Method: method, Params: []rpc.Member{{Name: "uri", Value: rpc.AppendString(nil, uri)}}, Timeout: c.server.cfg.Limits.Connect, Idempotent: true}
	e, err := c.Do(c.ctx, call)
	if err != nil {
		return nil, asFailure(err)
	}
	defer e.Close()
	answer, failure := e.answer()
	if failure == nil && answer.Kind == rpc.ErrorResponse {
		failure = c.refused(c.ctx, method, answer.Error)
	}
	return e.link, failure
}

// missed says that resources, or tasks, may have changed while nobody was told.
func (c *Conn) missed(names ...string) {
	method, member := methodUpdated, `{"uri":`
	if c.cfg.Tasks {
		method, member = methodTasks, `{"taskId":`
	}
	for _, name := range names {
		params := append(rpc.AppendString([]byte(member), name), '}')
		c.notify(rpc.Message{Kind: rpc.Notification, Method: method, Params: params})
	}
}

// watches are the resources that a Conn watches, by URI, or the tasks, by id. The zero value is ready for use.
type watches struct {
	mu      sync.Mutex // guards what follows; never held during I/O
	all     map[string]*watched
	telling bool          // the goroutine runs that tells a legacy server
	stream  *link         // whose standing stream has been opened, or cannot be
	kick    chan struct{} // receives when there is something new for it
	changed chan struct{} // closed, and then another one, when a modern server has to be asked for something else
}

// watched is one of them.
type watched struct {
	refs    int               // Watch less Unwatch
	knows   *link             // over which the server has agreed; nil: it has not, or the stream of a modern server has ended
	agreed  bool              // it has agreed, now or before
	asking  bool              // a legacy server is being told
	tried   *link             // over which it has not agreed
	refused bool              // it does not want to; until the next link or stream
	attempt *flight[struct{}] // of those who wait for the server; nil: nobody
}

// add counts one Watch in and returns what it has to wait for; nil: nothing.
func (w *watches) add(uri string) *flight[struct{}] {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all == nil {
		w.all, w.kick = map[string]*watched{}, make(chan struct{}, 1)
	}
	e := w.all[uri]
	if e == nil {
		e = &watched{}
		w.all[uri] = e
	}
	e.refs++
	if e.agreed || e.knows != nil && !e.asking {
		e.agreed = true
		return nil
	}
	if e.attempt == nil {
		e.attempt = newFlight[struct{}]()
		e.tried, e.refused = nil, false
		w.tell()
	}
	return e.attempt
}

// drop counts one out, and says whether the server has to be told of it.
func (w *watches) drop(uri string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := w.all[uri]
	if e == nil || e.refs == 0 {
		return false
	}
	if e.refs--; e.refs > 0 {
		return false
	}
	e.agreed = false
	if e.knows == nil && !e.asking {
		delete(w.all, uri)
	}
	w.tell()
	return e.knows != nil
}

// tell lets a modern stream know that something else is watched. The caller holds mu.
func (w *watches) tell() {
	if w.changed != nil {
		close(w.changed)
		w.changed = nil
	}
}

// any says whether anything is watched.
func (w *watches) any() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.all {
		if e.refs > 0 {
			return true
		}
	}
	return false
}

// begin says that the goroutine that tells has to be started; one that runs already is woken.
func (w *watches) begin() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.telling {
		w.telling = true
		return true
	}
	select {
	case w.kick <- struct{}{}:
	default:
	}
	return false
}

// opened notes that the standing stream of a link is open, or will not be.
func (w *watches) opened(l *link) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stream = l
	if w.telling {
		select {
		case w.kick <- struct{}{}:
		default:
		}
	}
}

func (w *watches) open(l *link) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stream == l
}

// more says whether that goroutine has to go on: there is something new, or something failed that may succeed after a while. Otherwise it ends. l is the link that was told; nil: there is none.
func (w *watches) more(l *link) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.telling = len(w.kick) > 0 || l == nil && w.waiting(nil) || l != nil && l.era == Legacy && w.waiting(l)
	return w.telling
}

// waiting says whether something is watched that a link does not know of and that has not been refused. The caller holds mu.
func (w *watches) waiting(l *link) bool {
	for _, e := range w.all {
		if e.refs > 0 && !e.refused && (l == nil || e.knows != l) {
			return true
		}
	}
	return false
}

// end fails whoever waits: the goroutine has ended with the Conn.
func (w *watches) end(failure *Failure) {
	w.fail(failure)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.telling = false
}

// fail fails whoever waits. What was agreed to before is tried again.
func (w *watches) fail(failure *Failure) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.all {
		e.land(failure)
	}
}

// known are the resources that a server tells of over a link.
func (w *watches) known(l *link) (uris []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for uri, e := range w.all {
		if e.refs > 0 && e.knows == l {
			uris = append(uris, uri)
		}
	}
	return uris
}

// retry lets what failed be tried again.
func (w *watches) retry() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.all {
		if !e.refused {
			e.tried = nil
		}
	}
}

// due is what a session has to be told, at most n.
func (w *watches) due(l *link, n int) (batch []watchChange) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for uri, e := range w.all {
		switch {
		case len(batch) == n:
			return batch
		case e.refs > 0 && e.knows != l && e.tried != l, e.refs == 0 && e.knows == l:
			e.asking = true
			batch = append(batch, watchChange{uri, e.refs > 0})
		case e.refs == 0:
			delete(w.all, uri)
		}
	}
	return batch
}

// told notes how the server took it, and says whether something may have been missed before.
func (w *watches) told(asked, on *link, change watchChange, failure *Failure) (missed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := w.all[change.uri]
	e.asking = false
	switch {
	case !change.wanted:
		e.knows = nil // and if it does not know that, what it says of it is dropped
		return false
	case failure != nil:
		e.tried, e.refused = asked, failure.Kind == Refused
		e.land(failure)
		return false
	}
	missed = e.agreed
	e.knows, e.agreed = on, e.refs > 0
	e.land(nil)
	return missed
}

// land tells those who wait. The caller holds mu.
func (e *watched) land(failure *Failure) {
	if e.attempt != nil {
		e.attempt.land(struct{}{}, failure)
		e.attempt = nil
	}
}

// wanted are the resources to ask a modern server for: those to which it has agreed over this link, and of the others at most so many. changed is closed when it is something else.
func (w *watches) wanted(l *link, most int) (uris, fresh []string, changed <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for uri, e := range w.all {
		switch {
		case e.refs == 0 && e.asking: // told is still to come: the server was a legacy one a moment ago
		case e.refs == 0:
			delete(w.all, uri)
		case e.knows == l:
			uris = append(uris, uri)
		case !e.refused:
			fresh = append(fresh, uri)
		}
	}
	slices.Sort(fresh)
	fresh = fresh[:min(len(fresh), most)]
	uris = append(uris, fresh...)
	slices.Sort(uris)
	return uris, fresh, w.next()
}

// next is closed when something else is watched. The caller holds mu.
func (w *watches) next() <-chan struct{} {
	if w.changed == nil {
		w.changed = make(chan struct{})
	}
	return w.changed
}

// change is next for whoever does not hold mu.
func (w *watches) change() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.next()
}

// agree notes that a modern server will tell of some of the resources that it was asked for, and returns those of which something may have been missed.
func (w *watches) agree(l *link, asked, granted []string, refusal *Failure) (missed []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, uri := range asked {
		e := w.all[uri]
		switch {
		case e == nil || e.knows == l:
		case !slices.Contains(granted, uri):
			e.refused = true
			e.land(refusal)
		default:
			if e.agreed {
				missed = append(missed, uri)
			}
			e.knows, e.agreed, e.refused = l, e.refs > 0, false
			e.land(nil)
		}
	}
	return missed
}

// giveUp fails whoever waits for a modern server to tell of some resources. It may still agree.
func (w *watches) giveUp(uris []string, failure *Failure) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, uri := range uris {
		if e := w.all[uri]; e != nil {
			e.land(failure)
		}
	}
}

// refuse notes that a modern server does not want to tell of some resources.
func (w *watches) refuse(uris []string, failure *Failure) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, uri := range uris {
		if e := w.all[uri]; e != nil {
			e.refused = true
			e.land(failure)
		}
	}
}

// lost notes that a modern stream has ended, and with it what it was asked for. What was refused may be tried with the next one.
func (w *watches) lost() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.all {
		e.knows, e.refused = nil, false
	}
}
