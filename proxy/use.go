package proxy

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"mcpsidecar/policy"
	"mcpsidecar/proxy/rpc"
	"mcpsidecar/proxy/surface"
	"mcpsidecar/proxy/upstream"
)

// member finds one of the params, which has to be a string that is not empty.
func member(rest []rpc.Member, name string) (at int, text string, f *failure) {
	for i, m := range rest {
		if m.Name != name {
			continue
		}
		if text, ok := rpc.String(m.Value); ok && text != "" {
			return i, text, nil
		}
		return 0, "", failInvalidParams(name + " must be a string that is not empty")
	}
	return 0, "", failInvalidParams(name + " is missing")
}

// getPrompt answers prompts/get: find the prompt, ask the policy, and only then have anything to do with the server.
func (t *turn) getPrompt(p params) {
	at, name, f := member(p.rest, "name")
	if f == nil {
		f = t.checkName(name, t.modern)
	}
	if f != nil {
		t.fail(f)
		return
	}
	t.recordCall(name)
	to, original := t.promptOf(name)
	if to.known {
		t.traced.target = name
	}
	if t.reject(&to, policy.Prompts, original, failUnknownPrompt(name)) {
		return
	}
	p.rest[at].Value = rpc.AppendString(nil, original)
	t.perform(&to, t.outgoing(to.server, original, p.rest))
}

// readResource answers resources/read in the same way.
func (t *turn) readResource(p params) {
	at, uri, f := member(p.rest, "uri")
	if f == nil {
		f = t.checkName(uri, t.modern)
	}
	if f != nil {
		t.fail(f)
		return
	}
	t.recordCall(uri)
	to, original := t.resourceOf(uri, false)
	if t.reject(&to, policy.Resources, original, t.failUnknownResource(uri)) {
		return
	}
	p.rest[at].Value = rpc.AppendString(nil, original)
	t.perform(&to, t.outgoing(to.server, original, p.rest))
}

// complete answers completion/complete: it goes where the prompt or template that it is about would go.
func (t *turn) complete(p params) {
	ref, f := readReference(p.rest)
	if f == nil {
		f = t.checkName(ref.name, false)
	}
	if f != nil {
		t.fail(f)
		return
	}
	t.recordCall(ref.name)
	var to target
	var original string
	if ref.kind == policy.Prompts {
		to, original = t.promptOf(ref.name)
	} else {
		to, original = t.resourceOf(ref.name, true)
	}
	silent := to.signIn && to.err == nil // nobody wants to read of accounts while typing
	to.signIn = to.signIn && !silent
	if t.reject(&to, ref.kind, original, failInvalidParams("Unknown reference: "+clip(ref.name))) {
		return
	}
	if said := to.way.lists.offers.Load(); silent || said == nil || !said.completions {
		t.result(`"completion":{"values":[],"hasMore":false}`)
		return
	}
	p.rest[ref.at].Value = ref.renamed(p.rest[ref.at].Value, original)
	t.perform(&to, t.outgoing(to.server, "", p.rest))
}

// reference is what a completion is about.
type reference struct {
	at     int // its place in the params
	kind   policy.Surface
	member string // of the reference that names it
	name   string
}

func readReference(rest []rpc.Member) (ref reference, f *failure) {
	ref.at = slices.IndexFunc(rest, func(m rpc.Member) bool { return m.Name == "ref" })
	if ref.at < 0 || rest[ref.at].Value[0] != '{' {
		return ref, failInvalidParams("ref must be an object")
	}
	raw := rest[ref.at].Value
	switch kind, _ := rpc.String(rpc.Find(raw, "type")); kind {
	case "ref/prompt":
		ref.kind, ref.member = policy.Prompts, "name"
	case "ref/resource":
		ref.kind, ref.member = policy.Resources, "uri"
	default:
		return ref, failInvalidParams("ref must be of type ref/prompt or ref/resource")
	}
	if ref.name, _ = rpc.String(rpc.Find(raw, ref.member)); ref.name == "" {
		return ref, failInvalidParams("ref must have a " + ref.member)
	}
	return ref, nil
}

// renamed is the raw reference with the server's own name.
func (r reference) renamed(raw []byte, original string) []byte {
	if original == r.name {
		return raw
	}
	parts, err := rpc.EditObject(nil, raw, rpc.Edit{Name: r.member, Value: rpc.AppendString(nil, original)})
	if err != nil {
		return raw // cannot be: it was read strictly
	}
	return bytes.Join(parts, nil)
}

// outgoing is a request as it is sent to the server; name is what its headers repeat.
func (t *turn) outgoing(s *server, name string, rest []rpc.Member) upstream.Call {
	return upstream.Call{
		Method: t.message.Method, Name: name, Params: withoutOurAnswer(rest), Meta: t.along(s), Progress: t.meta.progress != nil, LogLevel: t.logLevel(),
		Capabilities: t.meta.capabilities, ClientInfo: t.meta.clientInfo, Timeout: s.link.timeout,
	}
}

// reject answers a request that goes nowhere: because the policy says no, or there is nothing of that name, which nobody outside can tell apart; because the server cannot be asked; or because the user has to sign in.
func (t *turn) reject(to *target, what policy.Surface, original string, unknown *failure) (rejected bool) {
	decision := policy.Decision{Reason: policy.Unknown}
	if to.server != nil {
		t.server = to.server
		decision = to.server.decideUse(t.scope.question, what, original)
	}
	switch {
	case !decision.Allowed:
		t.deny(decision, unknown)
	case to.err != nil && to.signIn:
		t.recordDecision(decision)
		t.offerSignIn(to.server, nil, false)
	case to.err != nil:
		t.recordDecision(decision)
		t.trouble(to.err)
	case !to.known:
		t.deny(policy.Decision{Reason: policy.Unknown}, unknown)
	case to.signIn:
		t.recordDecision(decision)
		t.offerSignIn(to.server, nil, false)
	default:
		t.recordDecision(decision)
		t.record.Tool = original
		return false
	}
	return true
}

// reach finds the caller's way to a server; nil: to.err says why there is none, or the caller may see nothing of this kind there.
func (t *turn) reach(s *server, what policy.Surface) (to target) {
	to.server = s
	switch {
	case s == nil || !s.decideSurface(t.scope.question, what).Allowed:
	case s.link == nil:
		to.err = &upstream.Failure{Kind: upstream.Unreachable, Slug: s.slug}
	default:
		to.way, to.signIn = s.link.of(t.ctx, t.scope.identity.User)
	}
	return to
}

// promptOf finds the server of a prompt, and its name there.
func (t *turn) promptOf(name string) (to target, original string) {
	to = t.reach(t.candidate(name), policy.Prompts)
	if to.way == nil {
		return to, name
	}
	var list *surface.List
	if list, _, to.err = to.way.lists.prompts.get(t.passing(to.server)); to.err != nil {
		return to, name
	}
	entry := list.FindExposed(name)
	if t.scope.only != "" {
		entry = list.Find(name)
	}
	if entry == nil {
		to.way.lists.prompts.refresh()
		return to, name
	}
	to.known = true
	return to, entry.Key
}

// resourceOf finds the server that a URI belongs to, or a template, and its name there. A single server, or one that the URI itself says, is asked for anything: it need not list what it has.
func (t *turn) resourceOf(uri string, template bool) (to target, original string) {
	slug, original := t.scope.only, uri
	if slug == "" {
		var qualified bool
		if slug, original, qualified = surface.Unqualify(uri); !qualified {
			return t.ownerOf(uri, template), uri
		}
	}
	to = t.reach(t.proxy.snapshot.Load().bySlug[slug], policy.Resources)
	if to.way == nil {
		return to, original
	}
	var said *offers
	if said, to.err = to.way.lists.offered(t.passing(to.server)); to.err == nil {
		to.known = said.resources
	}
	return to, original
}

// ownerOf finds the server that a plain URI belongs to among all: the one that lists it, or has a template for it, or has a tool that names it as its interface. If several do, it is nobody's.
func (t *turn) ownerOf(uri string, template bool) (to target) {
	parts := gather(t.ctx, t.proxy, &t.scope, policy.Resources, resourcesOf)
	slug, several := t.ownerAmong(parts, uri, template)
	if several {
		return to
	}
	for _, part := range parts {
		if part.way != nil && part.server.slug == slug {
			return target{server: part.server, way: part.way, signIn: part.signIn, known: true}
		}
	}
	for _, part := range parts {
		if part.way != nil {
			part.way.lists.resources.refresh()
		}
	}
	return to
}

func (t *turn) ownerAmong(parts []part[resources], uri string, template bool) (slug string, several bool) {
	listed, templates := merge(t, surface.Resources, parts, listedOf), merge(t, surface.Templates, parts, templatesOf)
	var owner *surface.List
	if template {
		owner, several = templates.Owner(uri)
	}
	if owner == nil && !several {
		owner, several = listed.Owner(uri)
	}
	if owner == nil && !several {
		owner = templates.Matching(uri)
	}
	if owner != nil {
		return owner.Slug, false
	}
	if several {
		return "", true
	}
	return t.interfaceOwner(parts, uri), false
}

// interfaceOwner is the one server with a tool that names this URI as its user interface (MCP Apps), which need not be a listed resource.
func (t *turn) interfaceOwner(parts []part[resources], uri string) (slug string) {
	if !strings.HasPrefix(uri, "ui://") {
		return ""
	}
	for _, listed := range gather(t.ctx, t.proxy, &t.scope, policy.Tools, toolsOf) {
		readable := slices.ContainsFunc(parts, func(p part[resources]) bool {
			return p.server.slug == listed.server.slug && p.view != nil && p.view.offered
		})
		if !readable || listed.view == nil || !listed.view.interfaces()[uri] {
			continue
		}
		if slug != "" {
			return ""
		}
		slug = listed.server.slug
	}
	return slug
}

// interfacesOf are the URIs that tools name as their user interfaces.
func interfacesOf(tools []*listedTool) map[string]bool {
	uris := map[string]bool{}
	for _, t := range tools {
		meta := rpc.Find(t.tool.Raw, "_meta")
		if len(meta) == 0 || meta[0] != '{' {
			continue
		}
		if ui := rpc.Find(meta, "ui"); len(ui) > 0 && ui[0] == '{' {
			if uri, ok := rpc.String(rpc.Find(ui, "resourceUri")); ok {
				uris[uri] = true
			}
		}
		if uri, ok := rpc.String(rpc.Find(meta, "ui/resourceUri")); ok {
			uris[uri] = true
		}
	}
	return uris
}

// errorFor is a server's error as the client's era words it: of a resource that is not found each has a code of its own.
func (t *turn) errorFor(era upstream.Era, raw []byte) []byte {
	about := t.message.Method == "resources/read" || t.message.Method == "resources/subscribe" || t.message.Method == "subscriptions/listen"
	if !about || (era == upstream.Modern) == t.modern {
		return raw
	}
	theirs, ours := codeResourceNotFound, codeInvalidParams
	if !t.modern {
		theirs, ours = ours, theirs
	}
	if string(rpc.Find(raw, "code")) != strconv.Itoa(theirs) {
		return raw
	}
	parts, err := rpc.EditObject(nil, raw, rpc.Edit{Name: "code", Value: strconv.AppendInt(nil, int64(ours), 10)})
	if err != nil {
		return raw
	}
	return bytes.Join(parts, nil)
}

// appendCaching adds what a modern client is told of how long it may keep a result, where a legacy server could not say it: not at all.
func (t *turn) appendCaching(head []byte, m *rpc.Message) []byte {
	if t.message.Method != "resources/read" || m.Find("ttlMs") != nil || m.Find("cacheScope") != nil {
		return head
	}
	return append(head, `,"ttlMs":0,"cacheScope":"private"`...)
}
