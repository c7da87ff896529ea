package proxy

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"mcpsidecar/policy"
	"mcpsidecar/proxy/rpc"
	"mcpsidecar/proxy/surface"
	"mcpsidecar/proxy/upstream"
)

// resources is what one server has to read at one time. It is immutable.
type resources struct {
	offered   bool // the server has resources, which need not be listed
	listed    *surface.List
	templates *surface.List
}

// promptsOf and resourcesOf pick one of a server's lists.
func promptsOf(ls *lists) *keeper[surface.List] { return &ls.prompts }
func resourcesOf(ls *lists) *keeper[resources]  { return &ls.resources }

// fetchPrompts asks for prompts, if the server says that it has any.
func (ls *lists) fetchPrompts(ctx context.Context) (*surface.List, time.Duration, error) {
	said, err := ls.connect(ctx)
	if err != nil {
		return nil, 0, err
	}
	return ls.fetchKind(ctx, surface.Prompts, said.prompts)
}

// fetchResources asks for resources and templates, if the server says that it has any.
func (ls *lists) fetchResources(ctx context.Context) (*resources, time.Duration, error) {
	said, err := ls.connect(ctx)
	if err != nil {
		return nil, 0, err
	}
	listed, ttl, err := ls.fetchKind(ctx, surface.Resources, said.resources)
	if err != nil {
		return nil, 0, err
	}
	templates, ttlToo, err := ls.fetchKind(ctx, surface.Templates, said.resources)
	var f *upstream.Failure
	if errors.As(err, &f) && f.Kind == upstream.Refused { // whoever has no templates may say so in many ways
		templates, ttlToo, err = surface.Read(surface.Templates, ls.link.slug, nil), ttl, nil
	}
	if err != nil {
		return nil, 0, err
	}
	return &resources{offered: said.resources, listed: listed, templates: templates}, shorter(ttl, ttlToo), nil
}

func (ls *lists) fetchKind(ctx context.Context, kind surface.Kind, offered bool) (*surface.List, time.Duration, error) {
	var elements [][]byte
	ttl := time.Duration(-1)
	if offered {
		var err error
		if elements, ttl, err = ls.list(ctx, kind.Method(), kind.Member()); err != nil {
			return nil, 0, err
		}
	}
	return surface.Read(kind, ls.link.slug, elements), ttl, nil
}

// shorter is the shorter of two lifetimes; negative means that nothing was said.
func shorter(a, b time.Duration) time.Duration {
	if a < 0 || b >= 0 && b < a {
		return b
	}
	return a
}

func (ls *lists) tookPrompts(old, list *surface.List) {
	if old == nil || !old.Same(list) {
		ls.warn(list)
		ls.p.hub.wake()
	}
	ls.listen()
}

func (ls *lists) tookResources(old, have *resources) {
	if old == nil || !old.listed.Same(have.listed) || !old.templates.Same(have.templates) {
		ls.warn(have.listed)
		ls.warn(have.templates)
		ls.p.hub.wake()
	}
	ls.listen()
}

func (ls *lists) warn(list *surface.List) {
	for _, warning := range list.Warnings {
		ls.p.log.Warn("something is not offered as its server lists it", "server", ls.link.slug, "warning", warning)
	}
}

// serveSurface answers the methods of prompts, resources and completions, which are the same in every era; false: it is none of them.
func (t *turn) serveSurface(p params) bool {
	switch t.message.Method {
	case "prompts/list":
		parts := gather(t.ctx, t.proxy, &t.scope, policy.Prompts, promptsOf)
		answerList(t, surface.Prompts, parts, func(list *surface.List) *surface.List { return list })
	case "resources/list":
		parts := gather(t.ctx, t.proxy, &t.scope, policy.Resources, resourcesOf)
		answerList(t, surface.Resources, parts, listedOf)
	case "resources/templates/list":
		parts := gather(t.ctx, t.proxy, &t.scope, policy.Resources, resourcesOf)
		answerList(t, surface.Templates, parts, templatesOf)
	case "prompts/get":
		t.getPrompt(p)
	case "resources/read":
		t.readResource(p)
	case "completion/complete":
		t.complete(p)
	default:
		return false
	}
	return true
}

func listedOf(r *resources) *surface.List    { return r.listed }
func templatesOf(r *resources) *surface.List { return r.templates }

// merge is what several servers list of one kind, as one.
func merge[V any](t *turn, kind surface.Kind, parts []part[V], list func(*V) *surface.List) surface.Merge {
	m := surface.Merge{Kind: kind, Lists: make([]*surface.List, 0, len(parts)), Whole: t.scope.only == ""}
	for _, part := range parts {
		if part.view != nil {
			m.Lists = append(m.Lists, list(part.view))
		}
	}
	return m
}

// answerList answers a list method with one page.
func answerList[V any](t *turn, kind surface.Kind, parts []part[V], list func(*V) *surface.List) {
	if t.ctx.Err() != nil {
		t.outcome = outcomeError
		return
	}
	cursor, f := t.readCursor()
	if f != nil {
		t.fail(f)
		return
	}
	out := append(make([]byte, 0, 4096), `{"jsonrpc":"2.0","id":`...)
	out = append(append(append(append(out, t.message.ID...), `,"result":{"`...), kind.Member()...), `":[`...)
	out, next, err := merge(t, kind, parts, list).AppendPage(out, cursor)
	if err != nil {
		t.fail(failInvalidParams("Invalid cursor"))
		return
	}
	out = append(out, ']')
	if next != "" {
		out = rpc.AppendString(append(out, `,"nextCursor":`...), next)
	}
	t.outcome = outcomeOK
	t.writePieces(http.StatusOK, [][]byte{append(listTail(out, t, parts), `}}`...)})
}

// readCursor reads the cursor of a list request; empty: the first page is wanted. The empty string is a cursor too, and none of ours.
func (t *turn) readCursor() (string, *failure) {
	raw := t.message.Find("cursor")
	if raw == nil {
		return "", nil
	}
	cursor, ok := rpc.String(raw)
	if !ok || cursor == "" {
		return "", failInvalidParams("Invalid cursor")
	}
	return cursor, nil
}

// visible is what a caller would be listed at present; it fetches nothing and waits for nothing.
type visible struct {
	tools              [][]byte
	prompts, resources []*surface.List
}

func (p *Proxy) visible(sc *scope) visible {
	v := visible{tools: p.visibleSignature(sc)}
	for _, list := range listsAtHand(p, sc, policy.Prompts, promptsOf) {
		v.prompts = appendVisible(v.prompts, list)
	}
	for _, r := range listsAtHand(p, sc, policy.Resources, resourcesOf) {
		v.resources = appendVisible(appendVisible(v.resources, r.listed), r.templates)
	}
	return v
}

// listsAtHand are the lists that there are, however old.
func listsAtHand[V any](p *Proxy, sc *scope, what policy.Surface, pick func(*lists) *keeper[V]) (all []*V) {
	parts, _ := atHand(done, p, sc, what, pick)
	for _, part := range parts {
		if part.way == nil {
			continue
		}
		if list := pick(part.way.lists).list(); list != nil {
			all = append(all, list)
		}
	}
	return all
}

func appendVisible(lists []*surface.List, list *surface.List) []*surface.List {
	if len(list.Entries) == 0 {
		return lists
	}
	return append(lists, list)
}

// changedMethods are the notifications that tell a client how what it would be listed differs from what it was.
func (v visible) changedMethods(next visible) (methods []string) {
	if !sameLists(v.tools, next.tools) {
		methods = append(methods, methodToolsChanged)
	}
	if !sameSurface(v.prompts, next.prompts) {
		methods = append(methods, methodPromptsChanged)
	}
	if !sameSurface(v.resources, next.resources) {
		methods = append(methods, methodResourcesChanged)
	}
	return methods
}

func sameSurface(a, b []*surface.List) bool {
	return slices.EqualFunc(a, b, func(x, y *surface.List) bool {
		return x == y || x.Kind == y.Kind && x.Slug == y.Slug && x.Same(y)
	})
}

// The notifications of list changes.
const (
	methodToolsChanged     = "notifications/tools/list_changed"
	methodPromptsChanged   = "notifications/prompts/list_changed"
	methodResourcesChanged = "notifications/resources/list_changed"
)

// methodUpdated tells that a resource is another.
const methodUpdated = "notifications/resources/updated"
