package proxy

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"mcpsidecar/proxy/upstream"
)

// older is what a server of both eras offers whoever opens a session. It may have tasks there and none for everybody else, since the newer era made another thing of them; and only a session tells.
type older struct {
	way upstream.ConnConfig // fixed at creation

	said  atomic.Pointer[offers] // nil: not asked yet, or not answered. Modern: it keeps no sessions
	asked atomic.Int64           // unix seconds when it was last asked and did not answer in time; see ask

	mu     sync.Mutex
	conn   *upstream.Conn // the session by which it is asked; nil: it is not
	closed bool
}

// begin is the session by which all who want to know at the same time ask; nil: the lists are closed.
func (o *older) begin(ls *lists) *upstream.Conn {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.conn == nil && !o.closed {
		o.conn = ls.link.upstream.Conn(o.way)
	}
	return o.conn
}

// end is the session if it is to be closed.
func (o *older) end(closed bool) *upstream.Conn {
	o.mu.Lock()
	defer o.mu.Unlock()
	conn := o.conn
	o.conn, o.closed = nil, o.closed || closed
	return conn
}

func (o *older) close(ctx context.Context) {
	if conn := o.end(true); conn != nil {
		conn.Close(ctx)
	}
}

// askOlder has a server of both eras say what it offers in the older one, if it does so while anyone waits.
func (ls *lists) askOlder(ctx context.Context) {
	o, now := &ls.older, ls.p.now().Unix()
	if o.said.Load() != nil || now-o.asked.Load() < int64(askAgain/time.Second) {
		return
	}
	conn := o.begin(ls)
	if conn == nil {
		return
	}
	info, err := conn.Info(ctx)
	if err != nil {
		o.asked.Store(now)
		return
	}
	o.said.Store(readOffers(info))
	if conn := o.end(false); conn != nil {
		ls.p.goroutines.Go(func() { closeConns([]*upstream.Conn{conn}) })
	}
}

// hasOlder says whether what is offered to clients of a version is to be asked for in the older era, too.
func (o *offers) hasOlder(version string) bool { return o.both && version == newestLegacy }

// knowsFor says whether it is known what is offered to clients of a version.
func (ls *lists) knowsFor(version string) bool {
	said := ls.offers.Load()
	return said != nil && (!said.hasOlder(version) || ls.older.said.Load() != nil)
}

// offersFor is what the server is known to offer to clients of a version; nil: nothing is known. That of the older era counts for whoever has tasks in their older shape, if the server has them so.
func (ls *lists) offersFor(version string) *offers {
	said := ls.offers.Load()
	if said == nil || !said.hasOlder(version) {
		return said
	}
	if older := ls.older.said.Load(); older != nil && !older.modern && older.tasks.calls {
		return older
	}
	return said
}

// offersOf is what a server offers this client. One that has not said all of it yet is asked: a session outlives the process, and what was known in it.
func (t *turn) offersOf(to *target) *offers {
	ls := to.way.lists
	if !ls.knowsFor(t.version) && ls.offers.Load() != nil {
		ctx, cancel := context.WithTimeout(t.passing(to.server), ls.p.config.Waiting.List)
		defer cancel()
		ls.askOlder(ctx)
	}
	return ls.offersFor(t.version)
}

// speakOfTasks has a client's way to a server of both eras be a session, if that is where its tasks are.
func (t *turn) speakOfTasks(to *target, conn *upstream.Conn) {
	if ls := to.way.lists; ls.offersFor(t.version) != ls.offers.Load() {
		conn.PreferSession()
	}
}
