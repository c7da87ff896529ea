package proxy

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"mcpsidecar/policy"
)

// This file is what a legacy session remembers beyond the process: what it has subscribed to, and the level of its log messages. Neither fits into its id, which its client has long had when it asks for them.

// Memory keeps a text for a session. Safe for concurrent use.
type Memory interface {
	// Keep keeps a text in place of the one before. When it returns without an error, the text survives a kill. One that is too large is refused.
	Keep(ctx context.Context, user, session string, text []byte) error
	// Recall returns it; nil: there is none, which is answered without reading anything.
	Recall(ctx context.Context, user, session string) ([]byte, error)
	// Forget drops it, if there is one.
	Forget(ctx context.Context, user, session string) error
}

// noMemory remembers nothing.
type noMemory struct{}

func (noMemory) Keep(context.Context, string, string, []byte) error     { return nil }
func (noMemory) Recall(context.Context, string, string) ([]byte, error) { return nil, nil }
func (noMemory) Forget(context.Context, string, string) error           { return nil }

// maxWishes is how much a session may ask for, in bytes as it is kept.
const maxWishes = 64 << 10

// errFinished stands for what is asked for in a session that has ended.
var errFinished = errors.New("the session has ended")

// keepAgain is after how long what a session has asked for is kept once more, for as long as the session is not forgotten.
const keepAgain = 12 * time.Hour

// wishes are what a session has asked for, as they are kept.
type wishes struct {
	Level   string      `json:"l,omitempty"`
	Watches []wishWatch `json:"w,omitempty"`
}

// wishWatch is one subscription. It is as strict as the request that made it.
type wishWatch struct {
	Name      string           `json:"n"`
	Slug      string           `json:"s"`
	URI       string           `json:"u,omitempty"` // empty: Name
	Mode      policy.Mode      `json:"m"`
	Agent     policy.Agent     `json:"a"`
	Selection policy.Selection `json:"p,omitzero"`
}

// wishes are those of this moment.
func (s *session) wishes() (all wishes) {
	s.mu.Lock()
	watcher := s.watcher
	all.Level = s.level
	s.mu.Unlock()
	if watcher == nil {
		return all
	}
	for _, one := range watcher.settled() {
		kept := wishWatch{Name: one.name, Slug: one.slug, Mode: one.question.Mode, Agent: one.question.Agent, Selection: one.question.Selection}
		if one.uri != one.name {
			kept.URI = one.uri
		}
		all.Watches = append(all.Watches, kept)
	}
	slices.SortFunc(all.Watches, func(a, b wishWatch) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// keep has what the session asks for outlive the process, and returns when it does. It is called before such a request is answered.
func (p *Proxy) keep(s *session) error {
	s.keeping.Lock()
	defer s.keeping.Unlock()
	return p.keepIn(s, true)
}

// keepIn does so for whoever holds keeping; if only what is other than what is kept counts, the same is not kept again.
func (p *Proxy) keepIn(s *session, other bool) error {
	all := s.wishes()
	text, err := marshal(&all)
	if err != nil {
		return err
	}
	if len(text) > maxWishes {
		return errWatches
	}
	print := sha256.Sum256(text)
	if s.forgotten || other && s.kept == print {
		return nil
	}
	s.mu.Lock()
	finished := s.finished
	s.mu.Unlock()
	if finished { // then the wishes may be fewer than they were
		return errFinished
	}
	none := all.Level == "" && len(all.Watches) == 0
	if none {
		err = p.config.Memory.Forget(p.background, s.sealed.User, s.id)
	} else {
		err = p.config.Memory.Keep(p.background, s.sealed.User, s.id, text)
	}
	if err != nil {
		return err
	}
	if s.kept, s.keptAt = print, p.now(); none {
		s.kept = [32]byte{}
	}
	return nil
}

// forget drops what is kept of a session that its client ends.
func (p *Proxy) forget(s *session) {
	s.keeping.Lock()
	defer s.keeping.Unlock()
	s.forgotten = true
	if err := p.config.Memory.Forget(p.background, s.sealed.User, s.id); err != nil {
		p.log.Warn("what an ended session has asked for is still kept", "user", s.sealed.User, "error", err)
	}
}

// recall gives a session that is made anew what it has asked for in an earlier life. Nobody else has the session yet. Nothing is subscribed to before it is judged again, which settle does.
func (p *Proxy) recall(s *session) {
	text, err := p.config.Memory.Recall(p.background, s.sealed.User, s.id)
	if err != nil {
		p.log.Warn("what a session has asked for could not be recalled", "user", s.sealed.User, "error", err)
	}
	var all wishes
	if text == nil || json.Unmarshal(text, &all) != nil {
		return
	}
	s.kept = sha256.Sum256(text)
	if levelOf(all.Level) >= 0 {
		s.level = all.Level
	}
	if len(all.Watches) == 0 {
		return
	}
	s.watcher = newWatcher(p, s.sealed.User, s.own)
	for _, kept := range all.Watches {
		s.watcher.restore(&watch{
			name: kept.Name, slug: kept.Slug, uri: cmp.Or(kept.URI, kept.Name),
			question: policy.Request{User: s.sealed.User, Mode: kept.Mode, Agent: kept.Agent, Selection: kept.Selection},
		})
	}
}

// restore takes up a subscription of an earlier life, which hangs nowhere yet. One that is more than the user may have is given up.
func (w *watcher) restore(old *watch) {
	if w.p.watching.enter(w.user) == nil {
		return
	}
	if fresh, _ := w.reserve(old); !fresh {
		w.p.watching.leave(w.user)
		return
	}
	old.fresh = false
}

// renew keeps once more what would soon end. Sessions that nobody uses any more end where they are kept, too.
func (p *Proxy) renew() {
	limit := p.now().Add(-keepAgain)
	p.sessions.live.Range(func(_, value any) bool {
		s := value.(*session)
		s.keeping.Lock()
		defer s.keeping.Unlock()
		if s.kept == ([32]byte{}) || s.keptAt.After(limit) {
			return true
		}
		if err := p.keepIn(s, false); err != nil && err != errFinished {
			p.log.Warn("what a session has asked for may be forgotten", "user", s.sealed.User, "error", err)
		}
		return p.background.Err() == nil
	})
}
