package proxy

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"mcpsidecar/configstore"
	"mcpsidecar/policy"
	"mcpsidecar/proxy/surface"
)

// Bounds of subscriptions to resources.
const (
	maxURI     = 4096 // bytes
	maxWatches = 256  // of one session, and of one subscriptions/listen
	maxParts   = 256  // sub-resources that wait to be told of; what is more is told as the resource that was subscribed to
)

// watcher is what one client has subscribed to: a legacy session, or one subscriptions/listen of a modern client. It holds what the client has yet to be told, each resource once, for as long as nobody takes it.
//
// A subscription hangs where the client's calls go: in the session that it has at a legacy server, if it has called anything there, since some servers tell of a change only the session that made it; otherwise, and at modern servers
// always, on the one stream that everybody shares who has the same credential. Where that is may change with the first call, the configuration or the user's account; settle sees to it.
type watcher struct {
	// fixed at creation
	p        *Proxy
	user     string
	own      func(*link) *board   // where the client's own calls to a server go; nil: it has made none
	ownTasks func(*access) *board // where a modern client hears of its tasks; nil: a legacy one
	room     shares               // for states of tasks; of a modern client
	tag      string               // of what is told to a modern client; empty: a legacy one
	ready    chan struct{}        // receives when there is something to tell

	settling chan struct{} // held by whoever settles
	queued   atomic.Bool   // somebody will

	mu      sync.Mutex
	watches map[string]*watch // by the URI as the client knows it
	news    map[string]news   // by the same
	order   []string          // of news
	closed  bool
}

// watch is one subscription.
type watch struct {
	// fixed at creation
	by       *watcher
	name     string         // the URI as the client knows it
	slug     string         // its server
	uri      string         // as the server knows it; of a task, its id there
	task     *taskTicket    // nil: it is a resource
	question policy.Request // of the request that subscribed

	// by.mu guards what follows.
	board *board // where it hangs; nil: nowhere at present
	fresh bool   // it is being hung for the first time

	told [sha256.Size]byte // of a task: what was told of it last. Owned by the stream
}

// news is a resource that is updated, or a task that is another.
type news struct {
	of    *watch
	link  *link // that said so
	uri   string
	state []byte // of a task, as the server says it; nil: it has to be asked
}

func newWatcher(p *Proxy, user string, own func(*link) *board) *watcher {
	return &watcher{p: p, user: user, own: own, ready: make(chan struct{}, 1), settling: make(chan struct{}, 1)}
}

// named is a URI of the watch's server as the client knows it.
func (w *watch) named(uri string) string {
	switch {
	case w.task != nil:
		return w.name
	case w.name == w.uri:
		return uri
	}
	return surface.Qualify(w.slug, uri)
}

var (
	errWatches = errors.New("too many subscriptions")
	errNoWatch = errors.New("the server does not tell of changes of its resources")
)

// subscribe adds a subscription; the error is one of ours or upstream's. One that is there already is left as it is.
func (w *watcher) subscribe(ctx context.Context, added *watch) error {
	count := w.p.watching.enter(w.user)
	if count == nil {
		return errWatches
	}
	if fresh, err := w.reserve(added); !fresh {
		count.Add(-1)
		w.review()
		return err
	}
	err := w.hangFirst(ctx, added)
	if err != nil {
		w.unsubscribe(added.name)
	}
	return err
}

func (w *watcher) reserve(added *watch) (fresh bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, known := w.watches[added.name]; known {
		return false, nil
	}
	if w.closed || len(w.watches) >= maxWatches {
		return false, errWatches
	}
	if w.watches == nil {
		w.watches, w.news = map[string]*watch{}, map[string]news{}
	}
	added.by, added.fresh = w, true
	w.watches[added.name] = added
	return true, nil
}

// hangFirst hangs a new subscription where it belongs.
func (w *watcher) hangFirst(ctx context.Context, added *watch) error {
	home, err := w.home(ctx, added)
	if err != nil {
		return err
	}
	if err := home.hang(added); err != nil {
		return err
	}
	w.moved(added, home)
	w.review() // for what has changed in the meantime
	return nil
}

// unsubscribe ends a subscription, if there is one.
func (w *watcher) unsubscribe(name string) {
	w.mu.Lock()
	old := w.watches[name]
	delete(w.watches, name)
	w.mu.Unlock()
	if old != nil {
		w.release(old)
	}
}

// release lets go of a subscription that is none any more.
func (w *watcher) release(old *watch) {
	w.mu.Lock()
	board := old.board
	old.board = nil
	w.mu.Unlock()
	w.p.watching.leave(w.user)
	if board != nil {
		board.take(old)
	}
}

// close ends all of them.
func (w *watcher) close() {
	w.mu.Lock()
	w.closed = true
	all := w.watches
	for _, what := range w.news {
		w.forget(what)
	}
	w.watches, w.news, w.order = nil, nil, nil
	w.mu.Unlock()
	for _, old := range all {
		w.release(old)
	}
}

// settled are those that were hung once.
func (w *watcher) settled() (all []*watch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, one := range w.watches {
		if !one.fresh {
			all = append(all, one)
		}
	}
	return all
}

// doze takes everything down for the time being.
func (w *watcher) doze() {
	for _, one := range w.settled() {
		w.moved(one, nil)
	}
}

// review has subscriptions settle in the background: something may be another now.
func (w *watcher) review() {
	if w == nil || len(w.settled()) == 0 || w.queued.Swap(true) {
		return
	}
	w.p.goroutines.Go(w.settleAside)
}

func (w *watcher) settleAside() {
	ctx, cancel := context.WithTimeout(w.p.background, fetchDeadline)
	defer cancel()
	w.settle(ctx)
}

// follow has subscriptions settle before a client's first call to a server: what the call changes is told where it was made. It waits a moment for that, but the call is made all the same.
func (w *watcher) follow(ctx context.Context) {
	if w == nil || len(w.settled()) == 0 {
		return
	}
	settled := make(chan struct{})
	w.p.goroutines.Go(func() {
		defer close(settled)
		w.settleAside()
	})
	timer := time.NewTimer(w.p.config.Waiting.Move)
	defer timer.Stop()
	select {
	case <-settled:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// settle hangs every subscription where it belongs now, and takes down what may not be told any more.
func (w *watcher) settle(ctx context.Context) {
	select {
	case w.settling <- struct{}{}:
	case <-ctx.Done():
		return
	}
	defer func() { <-w.settling }()
	w.queued.Store(false) // what changes from now on, is not seen by this round for sure
	for _, one := range w.settled() {
		w.place(ctx, one)
	}
	w.remind()
}

// place hangs one subscription where it belongs. Where it cannot hang at present, it stays where it is or waits for the next time.
func (w *watcher) place(ctx context.Context, one *watch) {
	home, err := w.home(ctx, one)
	w.mu.Lock()
	old := one.board
	w.mu.Unlock()
	switch {
	case err == errNoWatch || err == ErrSignIn:
		w.moved(one, nil)
	case err != nil || home == old || home.hang(one) != nil:
	case w.moved(one, home) && (old == nil || old.link != home.link || old.left.Load() || one.task != nil):
		w.note(one, home.link, one.uri) // it may have changed while nobody listened
	}
}

// moved notes where a subscription hangs, and takes it down where it has hung before. False: it is none any more.
func (w *watcher) moved(one *watch, to *board) bool {
	w.mu.Lock()
	old := one.board
	there := w.watches[one.name] == one
	if there {
		one.board, one.fresh = to, false
	} else {
		old = to
	}
	w.mu.Unlock()
	if old != nil {
		old.take(one)
	}
	return there
}

// home is where a subscription belongs now.
func (w *watcher) home(ctx context.Context, one *watch) (*board, error) {
	if one.task != nil {
		return w.taskHome(ctx, one)
	}
	s := w.p.snapshot.Load().bySlug[one.slug]
	if s == nil || s.link == nil || !s.decideUse(one.question, policy.Resources, one.uri).Allowed {
		return nil, errNoWatch
	}
	way, needs := s.link.of(ctx, w.user)
	if needs {
		return nil, ErrSignIn
	}
	said, err := way.lists.offered(ctx)
	if err != nil {
		return nil, err
	}
	if said.modern && said.subscriptions {
		return way.lists.board, nil
	}
	own := w.own(s.link)
	switch {
	case said.modern && own != nil && own.subscribes(ctx), said.subscriptions && own != nil:
		return own, nil
	case said.subscriptions:
		return way.lists.board, nil
	}
	return nil, errNoWatch
}

// note remembers that a resource is updated until somebody tells the client. More of it in the meantime is the same.
func (w *watcher) note(of *watch, by *link, uri string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.watches[of.name] != of {
		return
	}
	name := of.named(uri)
	if _, waits := w.news[name]; !waits {
		if len(w.order) >= maxParts {
			name, uri = of.name, of.uri
		}
		if _, waits = w.news[name]; !waits {
			w.order = append(w.order, name)
		}
	}
	w.news[name] = news{of: of, link: by, uri: uri}
	w.signal()
}

// signal wakes a stream. The caller holds mu.
func (w *watcher) signal() {
	select {
	case w.ready <- struct{}{}:
	default:
	}
}

// take takes the next thing that the client has to be told of. Whoever cannot tell it notes it again.
func (w *watcher) take() (name string, what news, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.order) == 0 {
		return "", what, false
	}
	name = w.order[0]
	what = w.news[name]
	w.order = slices.Delete(w.order, 0, 1)
	delete(w.news, name)
	return name, what, true
}

// may asks once more whether the client may know: by the rules of this moment, as the client was when it subscribed and as it listens now.
func (w *watcher) may(what news, sc *scope) bool {
	s := w.p.snapshot.Load().bySlug[what.of.slug]
	if s == nil || s.link == nil || s.link != what.link {
		return false
	}
	if !s.decideUse(what.of.question, policy.Resources, what.uri).Allowed || !s.decideUse(sc.question, policy.Resources, what.uri).Allowed {
		return false
	}
	if s.link.record.AuthType != configstore.AuthOAuth2 {
		return true
	}
	_, needs := s.link.of(done, w.user)
	return !needs
}
