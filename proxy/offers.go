package proxy

import (
	"slices"

	"mcpsidecar/proxy/rpc"
	"mcpsidecar/proxy/upstream"
)

// offers is what a server says that it has. It is immutable.
type offers struct {
	modern                                      bool // the era in which it is spoken to
	both                                        bool // it speaks the legacy era as well; see older
	prompts, resources, completions             bool
	toolChanges, promptChanges, resourceChanges bool // it says when the list is another
	subscriptions                               bool // and when a resource that was subscribed to is

	tasks        taskOffer    // in the shape of its era
	extensions   []rpc.Member // but for tasks
	experimental []byte       // raw; nil: none
}

// taskOffer is what of tasks there is. Modern servers have all of the extension or nothing.
type taskOffer struct{ calls, list, cancel bool }

// tasksExtension is the name of tasks where they are an extension (2026-07-28).
const tasksExtension = "io.modelcontextprotocol/tasks"

// maxExtensions bounds what a server may say about its extensions; what is longer is not passed on.
const maxExtensions = 16 << 10

// readOffers reads the capabilities of a server. What cannot be read is not offered.
func readOffers(info upstream.Info) *offers {
	has := func(name string) []byte { return memberObject(info.Capabilities, name) }
	tools, prompts, resources := has("tools"), has("prompts"), has("resources")
	changes := func(said []byte) bool { return said != nil && string(rpc.Find(said, "listChanged")) == "true" }
	o := &offers{
		modern:  info.Era == upstream.Modern,
		both:    info.Both,
		prompts: prompts != nil, resources: resources != nil,
		completions: has("completions") != nil || info.Version == beforeCompletions && (prompts != nil || resources != nil),
		toolChanges: changes(tools), promptChanges: changes(prompts), resourceChanges: changes(resources),
		subscriptions: resources != nil && string(rpc.Find(resources, "subscribe")) == "true",
		tasks:         readTasks(info),
	}
	if said := has("extensions"); len(said) <= maxExtensions {
		members, _ := rpc.Members(nil, orEmpty(said))
		o.extensions = slices.DeleteFunc(members, func(m rpc.Member) bool { return m.Name == tasksExtension || object(m.Value) == nil })
	}
	if said := has("experimental"); len(said) <= maxExtensions {
		o.experimental = said
	}
	return o
}

// readTasks reads what a server says about tasks, in the shape of its version.
func readTasks(info upstream.Info) (offer taskOffer) {
	if info.Era == upstream.Modern {
		if memberObject(memberObject(info.Capabilities, "extensions"), tasksExtension) != nil {
			offer = taskOffer{calls: true, cancel: true}
		}
		return offer
	}
	tasks := memberObject(info.Capabilities, "tasks")
	if tasks == nil || info.Version != newestLegacy {
		return offer
	}
	offer.calls = memberObject(memberObject(memberObject(tasks, "requests"), "tools"), "call") != nil
	offer.list = offer.calls && memberObject(tasks, "list") != nil
	offer.cancel = offer.calls && memberObject(tasks, "cancel") != nil
	return offer
}

// tasksFor is what of tasks a client has. A legacy one has all of them at a modern server: what that does not list is listed here. What a legacy server lacks a modern client does not miss.
func (o *offers) tasksFor(modern bool) taskOffer {
	switch {
	case o.modern == modern, !o.tasks.calls:
		return o.tasks
	case modern:
		return taskOffer{calls: true, cancel: true}
	}
	return taskOffer{calls: true, list: true, cancel: true}
}

// add makes it the offer of both.
func (o *taskOffer) add(other taskOffer) {
	o.calls, o.list, o.cancel = o.calls || other.calls, o.list || other.list, o.cancel || other.cancel
}

// legacy is the offer as the capability of 2025-11-25.
func (o taskOffer) legacy() []byte {
	out := []byte(`{`)
	if o.list {
		out = append(out, `"list":{},`...)
	}
	if o.cancel {
		out = append(out, `"cancel":{},`...)
	}
	return append(out, `"requests":{"tools":{"call":{}}}}`...)
}

// beforeCompletions is the version that had completions without a capability to announce them by.
const beforeCompletions = "2024-11-05"
