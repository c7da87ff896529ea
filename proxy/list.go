package proxy

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"

	"mcpsidecar/policy"
	"mcpsidecar/proxy/rpc"
)

// part is what one server contributes to a list.
type part[V any] struct {
	server *server
	way    *access // nil: the server cannot be connected to as it is configured
	view   *V      // nil: there is none
	stale  bool
	signIn bool // the server shows its list only to a user who has connected an account, and this one has not
}

// allowedServers are those of which the caller may see anything of this kind, in the order of their exposed names.
func (p *Proxy) allowedServers(sc *scope, surface policy.Surface) []*server {
	current := p.snapshot.Load()
	if sc.only != "" {
		if s := current.bySlug[sc.only]; s != nil && s.decideSurface(sc.question, surface).Allowed {
			return []*server{s}
		}
		return nil
	}
	allowed := make([]*server, 0, len(current.servers))
	for _, s := range current.servers {
		if s.decideSurface(sc.question, surface).Allowed {
			allowed = append(allowed, s)
		}
	}
	return allowed
}

// gather has the present list of every server the caller may see, fetched side by side where it is not at hand. The answer is judged by the newest rules: a first fetch stores a baseline, and with it they change.
func gather[V any](ctx context.Context, p *Proxy, sc *scope, surface policy.Surface, pick func(*lists) *keeper[V]) []part[V] {
	parts, missing := atHand(ctx, p, sc, surface, pick)
	if missing == 0 {
		return parts
	}
	var wg sync.WaitGroup
	for _, part := range parts {
		if part.way != nil && part.view == nil {
			wg.Go(func() { pick(part.way.lists).get(ctx) })
		}
	}
	wg.Wait()
	parts, _ = atHand(ctx, p, sc, surface, pick)
	for i := range parts {
		if part := &parts[i]; part.way != nil && part.view == nil {
			part.view, part.stale = pick(part.way.lists).list(), true
			part.signIn = part.signIn && part.view == nil && pick(part.way.lists).wantsAccount()
		}
	}
	return parts
}

// atHand has the lists that are fresh, and counts those that are not.
func atHand[V any](ctx context.Context, p *Proxy, sc *scope, surface policy.Surface, pick func(*lists) *keeper[V]) (parts []part[V], missing int) {
	now := p.now()
	allowed := p.allowedServers(sc, surface)
	parts = make([]part[V], len(allowed))
	for i, s := range allowed {
		parts[i].server = s
		if s.link == nil {
			continue
		}
		parts[i].way, parts[i].signIn = s.link.of(ctx, sc.identity.User)
		if parts[i].view = pick(parts[i].way.lists).fresh(now); parts[i].view == nil {
			missing++
		}
	}
	return parts, missing
}

// toolsOf picks one of a server's lists.
func toolsOf(ls *lists) *keeper[view] { return &ls.tools }

// fragments keeps the rendered tools of a list for the ways in which they can be asked for.
type fragments struct {
	slots [12]atomic.Pointer[fragment]
}

// fragment is the tools of one view that pass the policy, as ready bytes joined by commas. It is immutable.
type fragment struct {
	server *server // whose rules it passed
	view   *view
	bytes  []byte
	count  int
}

// toolFragment renders the tools that the caller sees of this part. Beyond the question whether the server is allowed at all, which has been answered, the verdict about a tool depends on nothing
// of the caller but the mode; so callers share fragments.
func toolFragment(p *part[view], sc *scope) *fragment {
	s, v := p.server, p.view
	how := sc.supportOf(p.way.lists.offersFor(sc.version))
	if how == keepSupport && !v.tasks { // which is all the same then
		how = hideSupport
	}
	slot := &p.way.lists.fragments.slots[sc.slot(how)]
	if f := slot.Load(); f != nil && f.view == v && f.server == s {
		return f
	}
	f := &fragment{server: s, view: v}
	tools := v.ordered
	if sc.only != "" {
		tools = slices.SortedFunc(slices.Values(tools), func(a, b *listedTool) int { return cmp.Compare(a.tool.Name, b.tool.Name) })
	}
	for _, t := range tools {
		if !s.decide(sc.question, t.tool.Name, t).Allowed {
			continue
		}
		if f.count > 0 {
			f.bytes = append(f.bytes, ',')
		}
		begin := len(f.bytes)
		f.bytes = t.tool.AppendExposed(f.bytes, sc.nameOf(t), s.intent)
		if how != keepSupport {
			f.bytes = append(f.bytes[:begin], how.as(f.bytes[begin:], t.support != "")...)
		}
		f.count++
	}
	slot.Store(f)
	return f
}

func sortExposed(tools []*listedTool) {
	slices.SortFunc(tools, func(a, b *listedTool) int { return cmp.Compare(a.exposed, b.exposed) })
}

// listTTL is what we promise of a merged list, in milliseconds. Policy may change at any time, so it is short.
const listTTL = "5000"

// Keys under which a list says what it could not have. A client that does not know them ignores them.
const (
	unavailableKey = "mcp-sidecar/unavailable"
	staleKey       = "mcp-sidecar/stale"
)

// toolsList answers tools/list.
func (p *Proxy) toolsList(t *turn) {
	if cursor := t.message.Find("cursor"); cursor != nil {
		t.fail(failInvalidParams("the cursor is not one of ours: the whole list is one page"))
		return
	}
	parts := gather(t.ctx, p, &t.scope, policy.Tools, toolsOf)
	if t.ctx.Err() != nil {
		t.outcome = outcomeError
		return
	}
	t.outcome = outcomeOK
	t.writePieces(http.StatusOK, p.listParts(t, parts))
}

// listParts is the answer in pieces, so that the ready bytes are written as they are.
func (p *Proxy) listParts(t *turn, parts []part[view]) [][]byte {
	head := append(t.scratch[:0], `{"jsonrpc":"2.0","id":`...)
	head = append(head, t.message.ID...)
	head = append(head, `,"result":{"tools":[`...)
	pieces := make([][]byte, 1, 2*len(parts)+2)
	comma := []byte{','}
	for i := range parts {
		shown := shownTools(&parts[i], &t.scope)
		if len(shown) == 0 {
			continue
		}
		if len(pieces) > 1 {
			pieces = append(pieces, comma)
		}
		pieces = append(pieces, shown)
	}
	pieces[0] = head
	return append(pieces, append(listTail([]byte{']'}, t, parts), `}}`...))
}

// shownTools are the tools that this part contributes, as bytes joined by commas.
func shownTools(p *part[view], sc *scope) []byte {
	switch {
	case p.view != nil:
		return toolFragment(p, sc).bytes
	case p.signIn:
		return connectTool(p.server)
	}
	return nil
}

// listTail appends the other members of a list's result: what the client's era wants, and the names of servers that are missing or old.
func listTail[V any](tail []byte, t *turn, parts []part[V]) []byte {
	if t.modern {
		tail = append(tail, `,"resultType":"complete","ttlMs":`+listTTL+`,"cacheScope":"private"`...)
	}
	meta := []byte(nil)
	meta = appendSlugs(meta, unavailableKey, parts, func(p part[V]) bool { return p.view == nil && !p.signIn })
	meta = appendSlugs(meta, staleKey, parts, func(p part[V]) bool { return p.view != nil && p.stale })
	if t.modern {
		meta = appendComma(meta)
		meta = append(append(meta, `"`+metaServerInfo+`":`...), t.proxy.info...)
	}
	if len(meta) > 0 {
		tail = append(append(append(tail, `,"_meta":{`...), meta...), '}')
	}
	return tail
}

func appendSlugs[V any](dst []byte, key string, parts []part[V], pick func(part[V]) bool) []byte {
	first := true
	for _, part := range parts {
		if !pick(part) {
			continue
		}
		if first {
			dst = append(append(append(appendComma(dst), '"'), key...), `":[`...)
		} else {
			dst = append(dst, ',')
		}
		first = false
		dst = rpc.AppendString(dst, part.server.slug)
	}
	if !first {
		dst = append(dst, ']')
	}
	return dst
}

func appendComma(dst []byte) []byte {
	if len(dst) > 0 {
		return append(dst, ',')
	}
	return dst
}

// visibleSignature is the same as long as the caller's list is; it fetches nothing and waits for nothing.
func (p *Proxy) visibleSignature(sc *scope) [][]byte {
	parts, _ := atHand(done, p, sc, policy.Tools, toolsOf)
	signature := make([][]byte, 0, len(parts))
	for i := range parts {
		part := &parts[i]
		if part.way != nil && part.view == nil {
			part.view = part.way.lists.tools.list()
		}
		signature = append(signature, shownTools(part, sc))
	}
	return signature
}

// done is a context that has ended.
var done = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// sameLists compares signatures by what an agent would read. Bytes that are the same memory are not read.
func sameLists(a, b [][]byte) bool {
	return slices.EqualFunc(a, b, func(x, y []byte) bool {
		return len(x) == len(y) && (len(x) == 0 || &x[0] == &y[0] || string(x) == string(y))
	})
}

// slot is where the rendered tools for this way of asking are kept.
func (sc *scope) slot(how support) int {
	slot := 0
	if sc.question.Mode == policy.Plan {
		slot = 1
	}
	if sc.only != "" {
		slot |= 2
	}
	return slot | int(how)<<2
}

// nameOf is the name under which this caller knows a tool.
func (sc *scope) nameOf(t *listedTool) string {
	if sc.only != "" {
		return t.tool.Name
	}
	return t.exposed
}
