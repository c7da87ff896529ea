package proxy

import (
	"bytes"
	"context"
	"crypto/rand"
	"hash/maphash"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"mcpsidecar/proxy/upstream"
)

// sessionIdle is how long a session keeps what it holds in memory without being used. Its id stays valid.
const sessionIdle = 30 * time.Minute

// sessionForget is how long it is then still remembered what it has subscribed to, without any server being bothered with it.
const sessionForget = 24 * time.Hour

// maxDeleted bounds how many ended sessions are remembered. An ended session that is forgotten could be used again by the very caller that ended it, which harms nobody.
const maxDeleted = 16384

// sessions holds the live side of sessions: by id, made when one is first used here.
type sessions struct {
	now   func() time.Time
	shelf func(user, id string) *shelf
	held  *busy    // how many live ones each user has
	live  sync.Map // id → *session

	recall func(*session) // gives one what it has asked for in an earlier life

	mu      sync.Mutex
	deleted map[string]struct{}
	order   []string // of deleted, the oldest first
}

func newSessions(now func() time.Time, most int, shelf func(user, id string) *shelf, recall func(*session)) *sessions {
	return &sessions{now: now, shelf: shelf, held: newBusy(int64(most)), recall: recall, deleted: map[string]struct{}{}}
}

// session is the live side of one downstream session.
type session struct {
	id     string
	life   [8]byte // random: tells what was asked in this life of the session from what was before
	sealed *sealed
	used   atomic.Int64 // unix seconds
	shelf  *shelf

	over chan struct{} // closed when the session ends

	keeping   sync.Mutex // held while wishes are kept; guards what follows
	kept      [32]byte   // a hash of those that are; zero: none
	keptAt    time.Time  // zero: in an earlier life
	forgotten bool

	mu      sync.Mutex
	conns   map[*link]*upstream.Conn // upstream sessions belong to exactly one downstream session
	calls   map[string]*turn         // requests under way, by raw id
	streams int
	boards  map[*link]*board // of conns; made when something hangs there
	watcher *watcher         // what the client has subscribed to; nil: nothing yet

	questions    map[string]*question // that wait for the client, by id
	late         []string             // ids of questions that nobody waits for any more and the client may still answer
	elicitations []elicitation        // of URL mode that the client was shown, the oldest first
	level        string               // of log messages; empty: all
	clientTasks  []clientTask         // that servers have begun, the oldest first
	finished     bool
}

// find returns the live side of an opened id, or why there is none: it was deleted, or the user has too many.
func (s *sessions) find(what *sealed) (*session, *failure) {
	if value, ok := s.live.Load(what.ID); ok {
		found := value.(*session)
		found.touch(s.now())
		return found, nil
	}
	s.mu.Lock()
	_, deleted := s.deleted[what.ID]
	s.mu.Unlock()
	if deleted {
		return nil, failSession()
	}
	if s.held.enter(what.User) == nil {
		return nil, failSessions()
	}
	made := &session{id: what.ID, sealed: what, over: make(chan struct{}),
		conns: map[*link]*upstream.Conn{}, calls: map[string]*turn{}, shelf: s.shelf(what.User, what.ID)}
	rand.Read(made.life[:])
	made.touch(s.now())
	s.recall(made)
	value, raced := s.live.LoadOrStore(what.ID, made)
	if raced {
		s.held.leave(what.User)
		if made.watcher != nil {
			made.watcher.close()
		}
		return value.(*session), nil
	}
	made.watcher.review()
	return made, nil
}

// drop lets go of a session.
func (s *sessions) drop(found *session) {
	if s.live.CompareAndDelete(found.id, found) {
		s.held.leave(found.sealed.User)
	}
}

func (s *session) touch(now time.Time) { s.used.Store(now.Unix()) }

// end remembers that a session was deleted. The caller finishes it, which may take a goodbye to several servers.
func (s *sessions) end(found *session) {
	s.mu.Lock()
	if _, known := s.deleted[found.id]; !known {
		s.deleted[found.id] = struct{}{}
		s.order = append(s.order, found.id)
	}
	if len(s.order) > maxDeleted {
		delete(s.deleted, s.order[0])
		s.order = s.order[1:]
	}
	s.mu.Unlock()
	s.drop(found)
}

// finish cancels and closes everything that a session holds.
func (s *session) finish() {
	s.mu.Lock()
	if s.finished {
		s.mu.Unlock()
		return
	}
	s.finished = true
	close(s.over)
	conns, watcher := s.conns, s.watcher
	s.conns = map[*link]*upstream.Conn{}
	for _, t := range s.calls {
		t.out.cancel()
	}
	s.mu.Unlock()
	s.shelf.close()
	s.silence()
	if watcher != nil {
		watcher.close()
	}
	closeConns(slices.Collect(maps.Values(conns)))
}

// closeConns says goodbye to servers side by side, within one grace.
func closeConns(conns []*upstream.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), closeGrace)
	defer cancel()
	var wg sync.WaitGroup
	for _, conn := range conns {
		wg.Go(func() { conn.Close(ctx) })
	}
	wg.Wait()
}

// conn returns the session's way to a server; nil means that the session has ended.
func (s *session) conn(ctx context.Context, l *link, a *access) *upstream.Conn {
	conn, first := s.connOf(l, a)
	if first != nil {
		first.follow(ctx)
	}
	return conn
}

// connOf does so; first is the session's watcher if this is a new way.
func (s *session) connOf(l *link, a *access) (conn *upstream.Conn, first *watcher) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.finished {
		return nil, nil
	}
	conn, ok := s.conns[l]
	if !ok {
		conn = s.connect(l, a)
		s.conns[l] = conn
		first = s.watcher
	}
	return conn, first
}

// begin notes a request under way, so that the client can cancel it. False means that the id is in use.
func (s *session) begin(id string, t *turn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, taken := s.calls[id]; taken {
		return false
	}
	s.calls[id] = t
	return true
}

// done ends that. When it returns, nobody else has the turn.
func (s *session) done(id string) {
	s.mu.Lock()
	t := s.calls[id]
	delete(s.calls, id)
	s.mu.Unlock()
	t.claim()
}

// cancelRequest cancels a request under way; an unknown id is ignored, as the specification says.
func (s *session) cancelRequest(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.calls[id]; t != nil {
		t.out.cancel()
	}
}

// maxStreams is how many standing streams one session may have.
const maxStreams = 4

// openStream counts a stream in that was opened with GET.
func (s *session) openStream() (ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.finished || s.streams >= maxStreams {
		return false
	}
	s.streams++
	return true
}

func (s *session) closeStream() {
	s.mu.Lock()
	s.streams--
	s.mu.Unlock()
	if s.shelf.standing() == nil {
		s.silence()
	}
}

// busy says whether requests are under way.
func (s *session) busy() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.calls) > 0
}

// quiet says whether nothing is going on.
func (s *session) quiet() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.calls) == 0 && s.streams == 0
}

func (s *session) setLevel(level string) (before string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, s.level = s.level, level
	return before
}

func (s *session) logLevel() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.level
}

// dropRetired closes the session's ways to servers whose link was replaced.
func (s *session) dropRetired() {
	s.mu.Lock()
	var old []*upstream.Conn
	for l, conn := range s.conns {
		if l.ended.Load() && l.uses.Load() == 0 {
			old = append(old, conn)
			delete(s.conns, l)
			delete(s.boards, l)
		}
	}
	s.mu.Unlock()
	closeConns(old)
}

// leave takes a user's ways to a server out of all sessions.
func (s *sessions) leave(user string, l *link) (left []*upstream.Conn) {
	s.live.Range(func(_, value any) bool {
		found := value.(*session)
		if found.sealed.User != user {
			return true
		}
		found.mu.Lock()
		if conn := found.conns[l]; conn != nil {
			left = append(left, conn)
			if b := found.boards[l]; b != nil {
				b.left.Store(true)
			}
			delete(found.conns, l)
			delete(found.boards, l)
		}
		found.mu.Unlock()
		return true
	})
	return left
}

// sweep lets go of what sessions hold that nobody has used for long.
func (s *sessions) sweep() {
	limit, forget := s.now().Add(-sessionIdle).Unix(), s.now().Add(-sessionForget).Unix()
	s.live.Range(func(_, value any) bool {
		found := value.(*session)
		used := found.used.Load()
		switch {
		case used >= limit || !found.quiet():
		case used >= forget && found.watches():
			found.doze()
			return true
		default:
			s.drop(found)
			found.finish()
			return true
		}
		found.dropRetired()
		return true
	})
}

func (s *sessions) closeAll() {
	var wg sync.WaitGroup
	s.live.Range(func(_, value any) bool {
		wg.Go(value.(*session).finish)
		return true
	})
	wg.Wait()
	s.live.Clear()
}

// modernCallers holds the ways of modern clients, which have no session, to servers: one per caller, server and what the client can do, which a legacy server is told once and for all.
type modernCallers struct {
	now   func() time.Time
	seed  maphash.Seed
	conns sync.Map // modernKey → *modernConn

	mu   sync.Mutex
	sets map[modernKey]int // how many of conns differ from this only in abilities (alike); without zeros

	watchers map[modernKey][]*watcher // subscriptions of callers, whatever the link; without empty ones
}

type modernKey struct {
	user, tokenID string
	link          *link
	abilities     uint64 // a hash of what the client has declared; 0: that it can do nothing
	apart         int    // of a call that has a session for itself (apart.go); 0: it is shared; hearsTasks: it is for news of tasks alone
}

// hearsTasks is the apart of a way on which nothing is heard but news of tasks, and nothing is called.
const hearsTasks = -1

// alike is the same for all ways of one caller to one server that are for the same.
func (k modernKey) alike() modernKey {
	return modernKey{user: k.user, tokenID: k.tokenID, link: k.link, apart: min(k.apart, 0)}
}

type modernConn struct {
	conn     *upstream.Conn
	board    *board
	declared []byte
	used     atomic.Int64
}

// Bounds of what a modern client may declare. Beyond them it is taken for one that can do nothing.
const (
	maxAbilities = 4096 // bytes
	maxSets      = 8    // different ones of one caller at one server
)

func newModernCallers(now func() time.Time) *modernCallers {
	return &modernCallers{now: now, seed: maphash.MakeSeed(), sets: map[modernKey]int{}, watchers: map[modernKey][]*watcher{}}
}

// conn returns a caller's way to a server, or one of those that serve one call at a time.
func (m *modernCallers) conn(ctx context.Context, user, tokenID string, declared []byte, l *link, a *access, apart int) *upstream.Conn {
	key := m.key(user, tokenID, declared, l)
	key.apart = apart
	value, ok := m.conns.Load(key)
	if !ok {
		value = m.make(key, declared, a)
		m.follow(ctx, key)
	}
	held := value.(*modernConn)
	if key.abilities != 0 && held.declared != nil && !bytes.Equal(held.declared, declared) { // the hashes are the same
		return m.conn(ctx, user, tokenID, nil, l, a, 0)
	}
	held.used.Store(m.now().Unix())
	return held.conn
}

// make makes a way to a server, unless somebody else just has.
func (m *modernCallers) make(key modernKey, declared []byte, a *access) any {
	m.mu.Lock()
	defer m.mu.Unlock()
	if key.apart == 0 && m.sets[key.alike()] >= maxSets || key.apart != 0 && !m.shared(key) {
		key.abilities = 0
	}
	if value, ok := m.conns.Load(key); ok {
		return value
	}
	made := &modernConn{}
	config := upstream.ConnConfig{Header: a.header, Notify: made.hears(a.lists.notified), Shared: true}
	if key.abilities != 0 {
		made.declared = bytes.Clone(declared)
		config.Capabilities = without(made.declared, "tasks")
	}
	made.conn = key.link.askable(taskCaller{key.user, key.tokenID, key.link.tasksAt}, config)
	made.board = ownBoard(key.link, made.conn)
	if answers(config.Capabilities) { // then it is listened to anyway
		made.board.listen, made.board.rest = func() {}, func() {}
	}
	m.conns.Store(key, made)
	if key.apart == 0 {
		m.sets[key.alike()]++
	}
	return made
}

// shared says whether calls that can do the same have a way to the server that they share: whoever declares something else each time has none, and is not to have one apart each time either.
func (m *modernCallers) shared(key modernKey) bool {
	key.apart = 0
	_, ok := m.conns.Load(key)
	return ok
}

// drop forgets a way to a server.
func (m *modernCallers) drop(key modernKey) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, held := m.conns.LoadAndDelete(key); !held || key.apart > 0 {
		return
	}
	if m.sets[key.alike()]--; m.sets[key.alike()] <= 0 {
		delete(m.sets, key.alike())
	}
}

// leave takes a user's ways to a server out.
func (m *modernCallers) leave(user string, l *link) (left []*upstream.Conn) {
	m.conns.Range(func(key, value any) bool {
		if k := key.(modernKey); k.user == user && k.link == l {
			value.(*modernConn).board.left.Store(true)
			m.drop(k)
			left = append(left, value.(*modernConn).conn)
		}
		return true
	})
	return left
}

func (m *modernCallers) sweep() {
	limit := m.now().Add(-sessionIdle).Unix()
	var old []*upstream.Conn
	m.conns.Range(func(key, value any) bool {
		k, held := key.(modernKey), value.(*modernConn)
		retired := k.link.ended.Load() && k.link.uses.Load() == 0
		if retired || held.used.Load() < limit && !held.board.any() {
			m.drop(k)
			old = append(old, held.conn)
		}
		return true
	})
	closeConns(old)
}

func (m *modernCallers) closeAll() {
	var all []*upstream.Conn
	m.conns.Range(func(_, value any) bool {
		all = append(all, value.(*modernConn).conn)
		return true
	})
	m.conns.Clear()
	m.mu.Lock()
	clear(m.sets)
	m.mu.Unlock()
	closeConns(all)
}
