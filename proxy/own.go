package proxy

import (
	"context"
	"hash/maphash"
	"maps"
	"slices"

	"mcpsidecar/proxy/rpc"
	"mcpsidecar/proxy/upstream"
)

// This file is where subscriptions hang that belong to the client's own calls: see watcher.

// own is where subscriptions hang on the session's own way to a server; nil: there is none.
func (s *session) own(l *link) *board {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ownOf(l)
}

// ownOf does so for whoever holds mu.
func (s *session) ownOf(l *link) *board {
	conn := s.conns[l]
	if conn == nil {
		return nil
	}
	if b := s.boards[l]; b != nil && b.conn == conn {
		return b
	}
	if s.boards == nil {
		s.boards = map[*link]*board{}
	}
	b := ownBoard(l, conn)
	s.boards[l] = b
	return b
}

// subscribes says whether a server that tells of no changes in the newer era does so in a session.
func (b *board) subscribes(ctx context.Context) bool {
	info, err := b.conn.Info(ctx)
	return err == nil && info.Era == upstream.Legacy && readOffers(info).subscriptions
}

// ownHears passes on what a server says in a session of its own: of resources to the session, of lists to everyone.
func (s *session) ownHears(l *link, lists func(rpc.Message)) func(rpc.Message) {
	return func(m rpc.Message) {
		if m.Method != methodUpdated {
			lists(m)
		} else if b := s.own(l); b != nil {
			b.updated(m.Params)
		}
	}
}

// watcherOf is the session's watcher; nil: the session has ended, or it has none and none was to be made.
func (s *session) watcherOf(p *Proxy, make bool) *watcher {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.watcher == nil && make && !s.finished {
		s.watcher = newWatcher(p, s.sealed.User, s.own)
	}
	return s.watcher
}

// watches says whether the session has subscribed to anything.
func (s *session) watches() bool {
	w := s.watcherOf(nil, false)
	return w != nil && len(w.settled()) > 0
}

// doze lets go of everything but what the session has subscribed to, which it has again when it listens again.
func (s *session) doze() {
	s.mu.Lock()
	conns := slices.Collect(maps.Values(s.conns))
	s.conns, s.boards = map[*link]*upstream.Conn{}, nil
	s.mu.Unlock()
	s.watcherOf(nil, false).doze()
	closeConns(conns)
}

// hears does for a caller without a session what ownHears does for a session.
func (c *modernConn) hears(lists func(rpc.Message)) func(rpc.Message) {
	return func(m rpc.Message) {
		if m.Method == methodUpdated {
			c.board.updated(m.Params)
			return
		}
		lists(m)
	}
}

// key is that of a caller's way to a server. What declares too much is taken for one that can do nothing.
func (m *modernCallers) key(user, tokenID string, declared []byte, l *link) modernKey {
	key := modernKey{user: user, tokenID: tokenID, link: l}
	if len(declared) > len("{}") && len(declared) <= maxAbilities {
		key.abilities = maphash.Bytes(m.seed, declared)
	}
	return key
}

// watcher makes one for a caller that has declared this; it has to be left.
func (m *modernCallers) watcher(p *Proxy, key modernKey, declared []byte, tag string) (w *watcher, leave func()) {
	w = newWatcher(p, key.user, func(l *link) *board {
		own := key
		own.link = l
		if value, ok := m.conns.Load(own); ok {
			return value.(*modernConn).board
		}
		return nil
	})
	w.tag = tag
	w.ownTasks = func(a *access) *board { return m.taskBoard(key, declared, a) }
	w.room = shares{p.keptOf.of(key.user), p.kept}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.watchers[key] = append(m.watchers[key], w)
	return w, func() {
		w.close()
		m.mu.Lock()
		defer m.mu.Unlock()
		rest := slices.DeleteFunc(m.watchers[key], func(other *watcher) bool { return other == w })
		if m.watchers[key] = rest; len(rest) == 0 {
			delete(m.watchers, key)
		}
	}
}

// follow has the subscriptions of a caller follow it to where its calls go from now on.
func (m *modernCallers) follow(ctx context.Context, key modernKey) {
	key.link = nil
	m.mu.Lock()
	watchers := slices.Clone(m.watchers[key])
	m.mu.Unlock()
	for _, w := range watchers {
		w.follow(ctx)
	}
}
