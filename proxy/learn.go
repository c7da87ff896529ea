package proxy

import "mcpsidecar/policy"

// learnLists has those lists fetched, of which the client wants to hear, that nobody has asked for in this life of the program. The client may have them from an earlier one, and while a server's list is not known, nobody listens to it.
func (t *turn) learnLists(wants func(method string) bool) {
	if wants(methodToolsChanged) {
		learn(t, policy.Tools, toolsOf)
	}
	if wants(methodPromptsChanged) {
		learn(t, policy.Prompts, promptsOf)
	}
	if wants(methodResourcesChanged) {
		learn(t, policy.Resources, resourcesOf)
	}
}

// learn does so for one kind of list, and waits for nothing.
func learn[V any](t *turn, surface policy.Surface, pick func(*lists) *keeper[V]) {
	parts, missing := atHand(t.ctx, t.proxy, &t.scope, surface, pick)
	if missing == 0 {
		return
	}
	now := t.proxy.now()
	for _, part := range parts {
		if part.way == nil || part.signIn {
			continue
		}
		if k := pick(part.way.lists); k.list() == nil {
			k.touch(now)
			k.start(t.passingIn(t.ctx, part.server), now)
		}
	}
}

// anyList is the wish of a client that is told of every list.
func anyList(string) bool { return true }
