package proxy

import (
	"context"
	"slices"
	"sync"
	"time"

	"mcpsidecar/policy"
	"mcpsidecar/proxy/rpc"
)

// This file is what we tell a client that we offer.

// What is offered to every client, with and without subscriptions to resources.
const (
	common         = `"tools":{"listChanged":true},"prompts":{"listChanged":true},"resources":{"subscribe":true,"listChanged":true},"completions":{},"logging":{}`
	withoutWatches = `"tools":{"listChanged":true},"prompts":{"listChanged":true},"resources":{"listChanged":true},"completions":{},"logging":{}`
)

// capabilities are what we offer to this client. Beyond what is common that depends on what servers have said: tasks where one of them has tasks in the shape that this client speaks, and on /mcp/{slug} the extensions of a
// server that exposes them.
func (t *turn) capabilities() string {
	what := t.announced()
	offered := common
	if !t.mayWatch() {
		offered = withoutWatches
	}
	if what == nil {
		return `{` + offered + `}`
	}
	return string(what.append([]byte(`{` + offered)))
}

// announcement is what is offered beyond what is common.
type announcement struct {
	tasks        taskOffer
	modern       bool
	extensions   []rpc.Member
	experimental []byte
}

// announced gathers what the client's servers offer; nil: nothing beyond what is common. A server that has not said yet is asked, for a moment.
func (t *turn) announced() *announcement {
	exposes := t.exposesExtensions()
	if !t.modern && t.version != newestLegacy && !exposes {
		return nil
	}
	what := announcement{modern: t.modern}
	for _, ls := range t.listsAtHand() {
		if ls == nil {
			continue
		}
		if t.modern || t.version == newestLegacy {
			what.tasks.add(ls.offersFor(t.version).tasksFor(t.modern))
		}
		if said := ls.offers.Load(); exposes && (said.modern == t.modern || said.both && !t.modern) { // what it has it says in the newer era for both
			what.extensions, what.experimental = said.extensions, said.experimental
		}
	}
	if what.tasks == (taskOffer{}) && what.extensions == nil && what.experimental == nil {
		return nil
	}
	return &what
}

// exposesExtensions says whether this is the path of one server whose extensions this caller may use.
func (t *turn) exposesExtensions() bool {
	if t.scope.only == "" {
		return false
	}
	s := t.proxy.snapshot.Load().bySlug[t.scope.only]
	return s != nil && s.decideSurface(t.scope.question, policy.Extensions).Allowed
}

// askAgain is how long a server that did not answer in time is not asked that again.
const askAgain = time.Minute

// listsAtHand are those of this client's servers that have said what they offer; nil for one that cannot be asked now.
func (t *turn) listsAtHand() []*lists {
	servers := t.proxy.reachable(&t.scope)
	all := make([]*lists, len(servers))
	var unknown []int
	for i, s := range servers {
		if s.link == nil {
			continue
		}
		if ls := s.link.ways.everyone.lists; ls.knowsFor(t.version) {
			all[i] = ls
		} else {
			unknown = append(unknown, i)
		}
	}
	if len(unknown) == 0 {
		return all
	}
	ctx, cancel := context.WithTimeout(t.ctx, t.proxy.config.Waiting.Hello)
	defer cancel()
	var wg sync.WaitGroup
	for _, i := range unknown {
		s := servers[i]
		wg.Go(func() {
			way, signIn := s.link.of(ctx, t.scope.identity.User)
			all[i] = t.askWay(t.passingIn(ctx, s), way, signIn)
		})
	}
	wg.Wait()
	return all
}

// askWay has a server say what it offers; nil: it does not. Whoever has to connect an account first is told what is known.
func (t *turn) askWay(ctx context.Context, way *access, signIn bool) *lists {
	said := way.lists.offers.Load()
	if said == nil && !signIn {
		said = way.lists.ask(ctx)
	}
	if said == nil {
		return nil
	}
	if said.hasOlder(t.version) && !signIn {
		way.lists.askOlder(ctx)
	}
	return way.lists
}

// reachable are the servers of which the caller may see tools or extensions.
func (p *Proxy) reachable(sc *scope) []*server {
	servers := p.allowedServers(sc, policy.Tools)
	if len(servers) == 0 && sc.only != "" {
		return p.allowedServers(sc, policy.Extensions)
	}
	return servers
}

// ask has what the server offers if it says so while anyone waits. One that did not is left in peace for a while, so that it does not keep every client waiting.
func (ls *lists) ask(ctx context.Context) *offers {
	if said := ls.offers.Load(); said != nil {
		return said
	}
	now := ls.p.now().Unix()
	if now-ls.asked.Load() < int64(askAgain/time.Second) {
		return nil
	}
	said, err := ls.connect(ctx)
	if err != nil {
		ls.asked.Store(now)
		return nil
	}
	return said
}

// append writes what is offered after what is common, and the end of the object.
func (a *announcement) append(dst []byte) []byte {
	extensions := slices.Clip(a.extensions)
	switch {
	case a.tasks == taskOffer{}:
	case a.modern:
		extensions = append(extensions, rpc.Member{Name: tasksExtension, Value: emptyObject})
	default:
		dst = append(append(dst, `,"tasks":`...), a.tasks.legacy()...)
	}
	if len(extensions) > 0 {
		dst = rpc.AppendObject(append(dst, `,"extensions":`...), extensions)
	}
	if a.experimental != nil {
		dst = append(append(dst, `,"experimental":`...), a.experimental...)
	}
	return append(dst, '}')
}
