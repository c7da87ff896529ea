package proxy

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"mcpsidecar/configstore"
	"mcpsidecar/internal/metrics"
	"mcpsidecar/policy"
)

// snapshot is the configuration that requests work on. It is immutable.
type snapshot struct {
	revision uint64
	servers  []*server            // in the order of their exposed names
	bySlug   map[string]*server   // all of servers
	users    map[string]time.Time // when each was seen first
}

// server is one configured server under one state of its rules. It is immutable; what lives is its link.
type server struct {
	id          string
	slug        string
	revision    uint64
	policy      *policy.Policy // nil: the rules cannot be read, and then nothing is allowed
	hasBaseline bool
	intent      bool
	forward     []string // canonical names of agent headers that are passed on
	limit       int64    // calls at the same time
	link        *link    // nil: it cannot be connected to as it is configured
	meter       *metrics.Server
}

// compile turns records into a snapshot, keeping the links of the old one that still fit; gone are those that do not.
func (p *Proxy) compile(stored configstore.Snapshot, old *snapshot) (next *snapshot, gone []*link) {
	next = &snapshot{revision: stored.Revision, bySlug: make(map[string]*server, len(stored.Servers)), users: make(map[string]time.Time, len(stored.Users))}
	for _, user := range stored.Users {
		next.users[user.Name] = user.FirstSeen
	}
	kept := map[*link]bool{}
	oldByID := make(map[string]*server, len(old.servers))
	for _, s := range old.servers {
		oldByID[s.id] = s
	}
	for i := range stored.Servers {
		record := &stored.Servers[i]
		var baseline policy.Baseline
		if c, ok := stored.Catalogs[record.ID]; ok {
			baseline = c.Baseline
		}
		s := p.compileServer(record, baseline, oldByID[record.ID])
		kept[s.link] = true
		next.servers = append(next.servers, s)
		next.bySlug[s.slug] = s
	}
	for _, s := range old.servers {
		if s.link != nil && !kept[s.link] {
			gone = append(gone, s.link)
		}
	}
	slices.SortFunc(next.servers, func(a, b *server) int { return cmp.Compare(a.slug+"__", b.slug+"__") })
	return next, gone
}

func (p *Proxy) compileServer(record *configstore.Server, baseline policy.Baseline, old *server) *server {
	s := &server{
		id: record.ID, slug: record.Slug, revision: record.Revision, hasBaseline: baseline != nil,
		intent: record.ModelIntent, forward: canonical(record.ForwardHeaders),
		limit: int64(cmp.Or(record.MaxConcurrent, p.config.PerServer)),
		meter: p.config.Metrics.Server(record.Slug),
	}
	compiled, err := policy.Compile(record.Slug, record.Rules, baseline)
	if err != nil {
		p.log.Error("the rules of a server cannot be used; nothing of it is offered", "server", record.Slug, "error", err)
	} else {
		s.policy = compiled
	}
	s.meter.SetTools(toolNames(baseline))
	identity := linkIdentity(record)
	if old != nil && old.link != nil && old.link.identity == identity {
		s.link = old.link
		if old.revision != record.Revision {
			s.link.eachWay(func(a *access) { a.lists.forgive() })
		}
		return s
	}
	if s.link, err = p.newLink(record, identity, s.meter); err != nil {
		p.log.Error("a server cannot be used as it is configured", "server", record.Slug, "error", err)
	}
	return s
}

func toolNames(baseline policy.Baseline) []string {
	names := make([]string, 0, len(baseline))
	for name := range baseline {
		names = append(names, name)
	}
	return names
}

// ended says whether a user of this snapshot is none in the next one, or one who has come back since.
func (s *snapshot) ended(next *snapshot, user string) bool {
	seen, known := s.users[user]
	again, still := next.users[user]
	return known && (!still || !again.Equal(seen))
}

// byID finds a server by what never changes of it; nil: there is none.
func (s *snapshot) byID(id string) *server {
	for _, one := range s.servers {
		if one.id == id {
			return one
		}
	}
	return nil
}

// find resolves an exposed name's server. A slug has no underscore, so the first two split the name.
func (s *snapshot) find(exposed string) *server {
	slug, _, ok := strings.Cut(exposed, "__")
	if !ok {
		return nil
	}
	return s.bySlug[slug]
}

// decideServer asks the policy whether anything of a server may be seen.
func (s *server) decideServer(question policy.Request) policy.Decision {
	if s.policy == nil {
		return policy.Decision{Reason: policy.Disabled}
	}
	return s.policy.DecideServer(question)
}

// decideSurface asks the policy whether anything of one kind may be seen.
func (s *server) decideSurface(question policy.Request, surface policy.Surface) policy.Decision {
	if s.policy == nil {
		return policy.Decision{Reason: policy.Disabled}
	}
	question.Surface = surface
	return s.policy.DecideSurface(question)
}

// decideUse asks the policy about one prompt or resource.
func (s *server) decideUse(question policy.Request, surface policy.Surface, name string) policy.Decision {
	if s.policy == nil {
		return policy.Decision{Reason: policy.Disabled}
	}
	question.Surface, question.Name, question.Known = surface, name, true
	return s.policy.Decide(question)
}

// decide asks the policy about one tool; tool is nil if the server has none of that name.
func (s *server) decide(question policy.Request, name string, t *listedTool) policy.Decision {
	if s.policy == nil {
		return policy.Decision{Reason: policy.Disabled}
	}
	question.Surface, question.Name = policy.Tools, name
	if t != nil {
		question.Known, question.Print, question.ReadOnly = true, t.tool.Print, t.tool.ReadOnly
	}
	return s.policy.Decide(question)
}
