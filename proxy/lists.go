package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"mcpsidecar/internal/metrics"
	"mcpsidecar/policy"
	"mcpsidecar/proxy/catalog"
	"mcpsidecar/proxy/intent"
	"mcpsidecar/proxy/rpc"
	"mcpsidecar/proxy/upstream"
)

// How lists are kept. A list that is too old is fetched anew while the asker waits a moment; longer than that nobody waits for a list that exists.
const (
	listDeadline  = 5 * time.Second        // for whoever has no list at all
	staleWait     = 300 * time.Millisecond // for whoever has an old one
	fetchDeadline = 30 * time.Second       // of the fetch itself, which goes on for the next asker
	defaultTTL    = time.Minute            // where the server says nothing
	minTTL        = time.Second
	maxTTL        = 5 * time.Minute
	firstPenalty  = time.Second     // without a new try after a failure; doubles
	slowPenalty   = 5 * time.Second // the same after a time-out, which costs whoever asks
	maxPenalty    = time.Minute
	eagerEvery    = 5 * time.Second  // at most one extra fetch because somebody named a tool that is not listed
	listenIdle    = 10 * time.Minute // without use, after which nobody listens for changes any more
)

// listedTool is one tool of a view.
type listedTool struct {
	tool    *catalog.Tool
	exposed string
	intent  func() *intent.Schema // reads the input schema when it is first asked for
}

// view is one server's tools at one time. It is immutable.
type view struct {
	catalog   *catalog.Catalog
	byName    map[string]*listedTool // by original name
	byExposed map[string]*listedTool
	ordered   []*listedTool // by exposed name
	fetched   time.Time
	expires   time.Time
	info      upstream.Info
}

// lists keeps a server's tool list for one credential. Readers of a fresh list take no lock.
type lists struct {
	// fixed at creation
	p     *Proxy
	link  *link
	meter *metrics.Server
	conn  *upstream.Conn

	fragments fragments

	current atomic.Pointer[view]
	used    atomic.Int64 // unix seconds of the last use

	mu          sync.Mutex
	fetching    *fetch             // nil: nobody fetches
	failure     error              // of the last fetch; nil after a good one
	notBefore   time.Time          // no fetch before this
	penalty     time.Duration      // the next one
	eager       time.Time          // the last extra fetch
	stopListing context.CancelFunc // ends the listener; nil: nobody listens
	deaf        bool               // the server offers no stream
	closed      bool
}

// fetch is one fetch under way; view and err are set before done is closed.
type fetch struct {
	done  chan struct{}
	began time.Time
	view  *view
	err   error
}

func newLists(p *Proxy, a *access) *lists {
	ls := &lists{p: p, link: a.link, meter: a.link.meter}
	ls.conn = a.link.upstream.Conn(upstream.ConnConfig{Header: a.header, Notify: ls.notified})
	return ls
}

// errNoList is what an asker gets when there is no list within its time.
var errNoList = errors.New("the server has not answered in time")

// fresh returns the present list if it is not too old, and nil otherwise.
func (ls *lists) fresh(now time.Time) *view {
	v := ls.current.Load()
	if v == nil || !now.Before(v.expires) {
		return nil
	}
	ls.touch(now)
	return v
}

// get returns the present list. stale says that a newer one could not be had; an error that there is none at all.
func (ls *lists) get(ctx context.Context) (v *view, stale bool, err error) {
	now := ls.p.now()
	if v = ls.fresh(now); v != nil {
		return v, false, nil
	}
	ls.touch(now)
	v = ls.current.Load()
	f, failure := ls.start(ctx, now)
	if f == nil {
		if v != nil {
			return v, true, nil
		}
		return nil, false, failure
	}
	patience := listDeadline
	if v != nil {
		patience = staleWait
	}
	// Whoever comes later has less to wait: otherwise each list would be delayed for as long as a server that hangs has not failed for good.
	timer := time.NewTimer(patience - now.Sub(f.began))
	defer timer.Stop()
	select {
	case <-f.done:
		if f.err == nil {
			return f.view, false, nil
		}
		err = f.err
	case <-timer.C:
		err = &upstream.Failure{Kind: upstream.TimedOut, Slug: ls.link.slug, Err: errNoList}
	case <-ctx.Done():
		err = &upstream.Failure{Kind: upstream.Canceled, Slug: ls.link.slug, Err: ctx.Err()}
	}
	if v != nil {
		return v, true, nil
	}
	return nil, false, err
}

// touch notes that somebody uses the list, and has the listener started again after an idle time.
func (ls *lists) touch(now time.Time) {
	second := now.Unix()
	if last := ls.used.Load(); last != second {
		ls.used.Store(second)
		if second-last > int64(listenIdle/time.Second) {
			ls.listen()
		}
	}
}

// start joins the fetch under way or begins one; nil with the last failure means that it is too early to try again.
func (ls *lists) start(ctx context.Context, now time.Time) (*fetch, error) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.fetching != nil {
		return ls.fetching, nil
	}
	if ls.closed {
		return nil, &upstream.Failure{Kind: upstream.Canceled, Slug: ls.link.slug, Err: context.Canceled}
	}
	if ls.failure != nil && now.Before(ls.notBefore) {
		return nil, ls.failure
	}
	f := &fetch{done: make(chan struct{}), began: now}
	ls.fetching = f
	detached := context.Background()
	if along, ok := ctx.Value(passedKey{}).(*passed); ok {
		detached = withPassed(detached, &passed{hops: along.hops})
	}
	ls.p.goroutines.Go(func() { ls.run(detached, f) })
	return f, nil
}

// refresh fetches in the background because somebody named a tool that the list does not have; it says nothing and takes no time, so that nothing can be learned from it.
func (ls *lists) refresh() {
	now := ls.p.now()
	ls.mu.Lock()
	early := now.Sub(ls.eager) < eagerEvery
	if !early {
		ls.eager = now
	}
	ls.mu.Unlock()
	if !early {
		ls.start(context.Background(), now)
	}
}

// wantsAccount says that the server refused to show its tools to whoever has no account.
func (ls *lists) wantsAccount() bool {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	var f *upstream.Failure
	return errors.As(ls.failure, &f) && f.Kind == upstream.Unauthorized
}

// forgive ends a penalty: an admin has changed something.
func (ls *lists) forgive() {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.failure, ls.penalty, ls.notBefore = nil, 0, time.Time{}
}

// run fetches once, on nobody's time but its own.
func (ls *lists) run(ctx context.Context, f *fetch) {
	ctx, cancel := context.WithTimeout(ctx, fetchDeadline)
	defer cancel()
	defer context.AfterFunc(ls.p.background, cancel)()
	f.view, f.err = ls.fetch(ctx)
	ls.settle(f)
	close(f.done)
}

func (ls *lists) fetch(ctx context.Context) (*view, error) {
	info, err := ls.conn.Info(ctx)
	if err != nil {
		return nil, err
	}
	elements, ttl, _, err := ls.conn.List(ctx, "tools/list", "tools")
	if err != nil {
		return nil, err
	}
	var earlier *catalog.Catalog
	if old := ls.current.Load(); old != nil {
		earlier = old.catalog
	}
	built := catalog.Rebuild(earlier, elements, catalog.Limits{})
	now := ls.p.now()
	v := newView(ls.link.slug, built, info, now, now.Add(lifetime(ttl)))
	if old := ls.current.Load(); old == nil || !sameWarnings(old.catalog.Warnings, built.Warnings) {
		for _, warning := range built.Warnings {
			ls.p.log.Warn("a tool is not offered as its server lists it", "server", ls.link.slug, "warning", warning)
		}
	}
	return v, nil
}

func sameWarnings(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// lifetime bounds what a server says about its list; a negative ttl means that it says nothing.
func lifetime(ttl time.Duration) time.Duration {
	if ttl < 0 {
		return defaultTTL
	}
	return min(max(ttl, minTTL), maxTTL)
}

func newView(slug string, built *catalog.Catalog, info upstream.Info, fetched, expires time.Time) *view {
	v := &view{catalog: built, info: info, fetched: fetched, expires: expires,
		byName: make(map[string]*listedTool, len(built.Tools)), byExposed: make(map[string]*listedTool, len(built.Tools))}
	names := policy.ExposedNames(slug, built.Names())
	for i := range built.Tools {
		t := &built.Tools[i]
		exposed, ok := names[t.Name]
		if !ok {
			continue
		}
		listed := &listedTool{tool: t, exposed: exposed, intent: sync.OnceValue(func() *intent.Schema { return intent.Read(t.InputSchema()) })}
		v.byName[t.Name], v.byExposed[exposed] = listed, listed
		v.ordered = append(v.ordered, listed)
	}
	sortExposed(v.ordered)
	return v
}

// settle publishes what a fetch brought.
func (ls *lists) settle(f *fetch) {
	now := ls.p.now()
	if f.err != nil {
		ls.failed(f.err, now)
		return
	}
	old := ls.current.Swap(f.view)
	ls.mu.Lock()
	ls.fetching, ls.failure, ls.penalty = nil, nil, 0
	ls.mu.Unlock()
	ls.meter.ListState(len(f.view.catalog.Tools), 0)
	ls.baseline(f.view)
	if old == nil || differs(old, f.view) {
		ls.p.hub.wake()
	}
	ls.listen()
}

func (ls *lists) failed(err error, now time.Time) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.fetching, ls.failure = nil, err
	ls.penalty = min(max(2*ls.penalty, penaltyFor(err)), maxPenalty)
	ls.notBefore = now.Add(ls.penalty)
	if v := ls.current.Load(); v != nil {
		ls.meter.ListState(len(v.catalog.Tools), now.Sub(v.expires).Seconds())
	}
	ls.p.log.Warn("the tools of a server cannot be listed", "server", ls.link.slug, "error", err, "next_try_in", ls.penalty)
}

func penaltyFor(err error) time.Duration {
	var failure *upstream.Failure
	if errors.As(err, &failure) && failure.Kind == upstream.TimedOut {
		return slowPenalty
	}
	return firstPenalty
}

// differs says whether an agent could see a difference between two lists.
func differs(a, b *view) bool {
	if len(a.ordered) != len(b.ordered) {
		return true
	}
	for i, t := range a.ordered {
		other := b.ordered[i]
		if t.exposed != other.exposed || string(t.tool.Raw) != string(other.tool.Raw) {
			return true
		}
	}
	return false
}

// baseline has the first catalog of a server stored. A failure is no reason not to list; the next fetch tries again.
func (ls *lists) baseline(v *view) {
	for _, s := range ls.p.snapshot.Load().servers {
		if s.link != ls.link {
			continue
		}
		if s.hasBaseline {
			return
		}
		ctx, cancel := context.WithTimeout(ls.p.background, listDeadline)
		defer cancel()
		if err := ls.p.config.Baseline(ctx, s.id, s.revision, v.catalog.Baseline()); err != nil {
			ls.p.log.Warn("the first catalog of a server could not be stored", "server", s.slug, "error", err)
		}
		return
	}
}

// listen starts the standing listener if the server announces changes of its list and nobody listens yet.
func (ls *lists) listen() {
	v := ls.current.Load()
	if v == nil || !announcesChanges(v.info.Capabilities) {
		return
	}
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.stopListing != nil || ls.deaf || ls.closed {
		return
	}
	ctx, cancel := context.WithCancel(ls.p.background)
	ls.stopListing = cancel
	ls.p.goroutines.Go(func() {
		defer cancel()
		err := ls.conn.Listen(ctx)
		ls.mu.Lock()
		defer ls.mu.Unlock()
		ls.stopListing = nil
		ls.deaf = err == nil && ctx.Err() == nil
	})
}

func announcesChanges(capabilities []byte) bool {
	var announced struct {
		Tools struct {
			ListChanged bool `json:"listChanged"`
		} `json:"tools"`
	}
	return json.Unmarshal(capabilities, &announced) == nil && announced.Tools.ListChanged
}

// notified hears what the server says of its own accord.
func (ls *lists) notified(m rpc.Message) {
	if m.Method != "notifications/tools/list_changed" {
		return
	}
	if v := ls.current.Load(); v != nil {
		expired := *v
		expired.expires = time.Time{}
		ls.current.CompareAndSwap(v, &expired)
	}
	ls.forgive()
	ls.start(context.Background(), ls.p.now())
}

// sweep ends the listener of a list that nobody has used for long, and says how old the list is.
func (ls *lists) sweep() {
	now := ls.p.now()
	if v := ls.current.Load(); v != nil {
		ls.meter.ListState(len(v.catalog.Tools), now.Sub(v.expires).Seconds())
	}
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.stopListing != nil && now.Unix()-ls.used.Load() > int64(listenIdle/time.Second) && !ls.p.hub.any() {
		ls.stopListing()
	}
}

func (ls *lists) close() {
	ls.mu.Lock()
	ls.closed = true
	if ls.stopListing != nil {
		ls.stopListing()
	}
	ls.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), closeGrace)
	defer cancel()
	ls.conn.Close(ctx)
}

// closeGrace bounds the goodbye to a server.
const closeGrace = 2 * time.Second
