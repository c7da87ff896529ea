package proxy

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"mcpsidecar/internal/metrics"
	"mcpsidecar/policy"
	"mcpsidecar/proxy/catalog"
	"mcpsidecar/proxy/intent"
	"mcpsidecar/proxy/rpc"
	"mcpsidecar/proxy/surface"
	"mcpsidecar/proxy/upstream"
)

// listenIdle is without use how long, after which nobody listens for changes any more.
const listenIdle = 10 * time.Minute

// deafTime is how long a server that says that it tells of changes, but offers no stream, is not asked for one again: it may have been another one, for a moment, that answered in its place.
const deafTime = 10 * time.Minute

// listedTool is one tool of a view.
type listedTool struct {
	tool    *catalog.Tool
	exposed string
	support string                // how it can be called as a task, as the server says it; empty: it says nothing
	intent  func() *intent.Schema // reads the input schema when it is first asked for
}

// view is one server's tools at one time. It is immutable.
type view struct {
	catalog   *catalog.Catalog
	byName    map[string]*listedTool // by original name
	byExposed map[string]*listedTool
	ordered   []*listedTool // by exposed name
	fetched   time.Time
	tasks     bool // some tool says how it can be called as a task

	interfaces func() map[string]bool // URIs that the tools name as their user interfaces
}

// lists keeps what a server lists for one credential, and listens for its changes.
type lists struct {
	// fixed at creation
	p     *Proxy
	link  *link
	meter *metrics.Server
	conn  *upstream.Conn
	board *board // of those who share it

	tools     keeper[view]
	prompts   keeper[surface.List]
	resources keeper[resources]

	fragments fragments

	offers atomic.Pointer[offers] // nil: the server has not been asked yet
	asked  atomic.Int64           // unix seconds when it was last asked and did not answer in time; see ask
	older  older
	used   atomic.Int64 // unix seconds of the last use

	mu          sync.Mutex
	stopListing context.CancelFunc // ends the listener; nil: nobody listens, or nobody is to any more
	listening   chan struct{}      // closed when the last listener has ended; nil: there was none
	deaf        time.Time          // since when the server offers no stream; zero: it does
	closed      bool
}

func newLists(p *Proxy, a *access) *lists {
	ls := &lists{p: p, link: a.link, meter: a.link.meter}
	ls.conn = a.link.upstream.Conn(upstream.ConnConfig{Header: a.header, Capabilities: everyAbility, Notify: ls.notified, Missed: ls.missed})
	ls.older.way = upstream.ConnConfig{Header: a.header, Capabilities: everyAbility, Version: newestLegacy, Sessions: true}
	ls.board = &board{link: a.link, conn: ls.conn, listen: ls.listenAnew, rest: func() {}}
	ls.tools = keeper[view]{p: p, slug: a.link.slug, what: "tools", fetch: ls.fetchTools, took: ls.tookTools, late: ls.toolsAge, touch: ls.touch, wanted: ls.wanted}
	ls.prompts = keeper[surface.List]{p: p, slug: a.link.slug, what: "prompts", fetch: ls.fetchPrompts, took: ls.tookPrompts, touch: ls.touch, wanted: ls.wanted}
	ls.resources = keeper[resources]{p: p, slug: a.link.slug, what: "resources", fetch: ls.fetchResources, took: ls.tookResources, touch: ls.touch, wanted: ls.wanted}
	return ls
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

// forgive ends penalties: an admin has changed something.
func (ls *lists) forgive() {
	ls.asked.Store(0)
	ls.older.asked.Store(0)
	ls.tools.forgive()
	ls.prompts.forgive()
	ls.resources.forgive()
}

// connect has the server say what it offers, if it has not yet.
func (ls *lists) connect(ctx context.Context) (*offers, error) {
	info, err := ls.conn.Info(ctx)
	if err != nil {
		return nil, err
	}
	said := readOffers(info)
	ls.offers.Store(said)
	return said, nil
}

// offered is what the server offers, if it can be had in the time that anyone waits for a list.
func (ls *lists) offered(ctx context.Context) (*offers, error) {
	if said := ls.offers.Load(); said != nil {
		ls.touch(ls.p.now())
		return said, nil
	}
	ctx, cancel := context.WithTimeout(ctx, ls.p.config.Waiting.List)
	defer cancel()
	return ls.connect(ctx)
}

func (ls *lists) fetchTools(ctx context.Context) (*view, time.Duration, error) {
	if _, err := ls.connect(ctx); err != nil {
		return nil, 0, err
	}
	elements, ttl, err := ls.list(ctx, "tools/list", "tools")
	if err != nil {
		return nil, 0, err
	}
	var earlier *catalog.Catalog
	old := ls.tools.list()
	if old != nil {
		earlier = old.catalog
	}
	built := catalog.Rebuild(earlier, elements, catalog.Limits{})
	if old == nil || !slices.Equal(old.catalog.Warnings, built.Warnings) {
		for _, warning := range built.Warnings {
			ls.p.log.Warn("a tool is not offered as its server lists it", "server", ls.link.slug, "warning", warning)
		}
	}
	return newView(ls.link.slug, built, ls.p.now()), ttl, nil
}

func newView(slug string, built *catalog.Catalog, fetched time.Time) *view {
	v := &view{catalog: built, fetched: fetched,
		byName: make(map[string]*listedTool, len(built.Tools)), byExposed: make(map[string]*listedTool, len(built.Tools))}
	names := policy.ExposedNames(slug, built.Names())
	for i := range built.Tools {
		t := &built.Tools[i]
		exposed, ok := names[t.Name]
		if !ok {
			continue
		}
		listed := &listedTool{tool: t, exposed: exposed, support: taskSupport(t.Raw), intent: sync.OnceValue(func() *intent.Schema { return intent.Read(t.InputSchema()) })}
		v.byName[t.Name], v.byExposed[exposed] = listed, listed
		v.tasks = v.tasks || listed.support != ""
		v.ordered = append(v.ordered, listed)
	}
	sortExposed(v.ordered)
	v.interfaces = sync.OnceValue(func() map[string]bool { return interfacesOf(v.ordered) })
	return v
}

// tookTools hears of a list that was fetched.
func (ls *lists) tookTools(old, v *view) {
	ls.meter.ListState(len(v.catalog.Tools), 0)
	ls.baseline(v)
	if old == nil || differs(old, v) {
		ls.p.hub.wake()
	}
	ls.listen()
}

func (ls *lists) toolsAge(v *view, late time.Duration) {
	ls.meter.ListState(len(v.catalog.Tools), late.Seconds())
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
		ctx, cancel := context.WithTimeout(ls.p.background, ls.p.config.Waiting.List)
		defer cancel()
		if err := ls.p.config.Baseline(ctx, s.id, s.revision, v.catalog.Baseline()); err != nil {
			ls.p.log.Warn("the first catalog of a server could not be stored", "server", s.slug, "error", err)
		}
		return
	}
}

// listen starts the standing listener if there are changes to hear of and nobody listens yet.
func (ls *lists) listen() {
	if !ls.mayChange() && !ls.board.any() {
		return
	}
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.stopListing != nil || !ls.deaf.IsZero() || ls.closed {
		return
	}
	ctx, cancel := context.WithCancel(ls.p.background)
	before, done := ls.listening, make(chan struct{})
	ls.stopListing, ls.listening = cancel, done
	ls.p.goroutines.Go(func() {
		defer close(done)
		defer cancel()
		if before != nil {
			<-before // a session has one such stream at a time
		}
		err := ls.conn.Listen(ctx)
		ls.mu.Lock()
		defer ls.mu.Unlock()
		if ls.listening == done {
			ls.stopListing = nil
			if err == nil && ctx.Err() == nil {
				ls.deaf = ls.p.now()
			}
		}
	})
}

// listenAnew does so even if the server offered no stream when it was asked last: then it was for something else.
func (ls *lists) listenAnew() {
	ls.mu.Lock()
	ls.deaf = time.Time{}
	ls.mu.Unlock()
	ls.listen()
}

// mayChange says whether the server tells of changes of a list that is kept.
func (ls *lists) mayChange() bool {
	said := ls.offers.Load()
	return said != nil && (said.toolChanges && ls.tools.list() != nil || said.promptChanges && ls.prompts.list() != nil || said.resourceChanges && ls.resources.list() != nil)
}

// notified hears what the server says of its own accord.
func (ls *lists) notified(m rpc.Message) {
	switch m.Method {
	case methodToolsChanged:
		ls.tools.lapse()
	case methodPromptsChanged:
		ls.prompts.lapse()
	case methodResourcesChanged:
		ls.resources.lapse()
	case methodUpdated:
		ls.board.updated(m.Params)
	}
}

// missed hears that the server tells of changes from now on, and may have had some to tell before.
func (ls *lists) missed() {
	said := ls.offers.Load()
	if said == nil {
		return
	}
	if said.toolChanges {
		ls.tools.doubt()
	}
	if said.promptChanges {
		ls.prompts.doubt()
	}
	if said.resourceChanges {
		ls.resources.doubt()
	}
}

// wanted says whether anybody has used the lists lately, or listens.
func (ls *lists) wanted() bool {
	return ls.p.now().Unix()-ls.used.Load() <= int64(listenIdle/time.Second) || ls.p.hub.any() || ls.board.any()
}

// sweep sees to it that somebody listens as long as anybody wants to hear, and says how old the lists are.
func (ls *lists) sweep() {
	now := ls.p.now()
	ls.tools.tellAge(now)
	switch wanted := ls.wanted(); {
	case ls.board.any(), wanted && ls.deafFor(now) >= deafTime:
		ls.listenAnew()
	case wanted:
		ls.listen()
	default:
		ls.unlisten()
	}
}

// deafFor is for how long nobody has listened because the server offered no stream.
func (ls *lists) deafFor(now time.Time) time.Duration {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.deaf.IsZero() {
		return 0
	}
	return now.Sub(ls.deaf)
}

// unlisten ends the listener. Whoever wants to hear from now on begins anew.
func (ls *lists) unlisten() {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.stopListing != nil && !ls.wanted() {
		ls.stopListing()
		ls.stopListing = nil
	}
}

func (ls *lists) close() {
	ls.tools.close()
	ls.prompts.close()
	ls.resources.close()
	ls.mu.Lock()
	ls.closed = true
	if ls.stopListing != nil {
		ls.stopListing()
	}
	ls.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), closeGrace)
	defer cancel()
	ls.conn.Close(ctx)
	ls.older.close(ctx)
}

// closeGrace bounds the goodbye to a server.
const closeGrace = 2 * time.Second
