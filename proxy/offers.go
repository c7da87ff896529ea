package proxy

import (
	"mcpsidecar/proxy/rpc"
	"mcpsidecar/proxy/upstream"
)

// offers is what a server says that it has. It is immutable.
type offers struct {
	prompts, resources, completions             bool
	toolChanges, promptChanges, resourceChanges bool // it says when the list is another
}

// readOffers reads the capabilities of a server. What cannot be read is not offered.
func readOffers(info upstream.Info) *offers {
	has := func(name string) []byte {
		if said := rpc.Find(info.Capabilities, name); len(said) > 0 && said[0] == '{' {
			return said
		}
		return nil
	}
	tools, prompts, resources := has("tools"), has("prompts"), has("resources")
	changes := func(said []byte) bool { return said != nil && string(rpc.Find(said, "listChanged")) == "true" }
	return &offers{
		prompts: prompts != nil, resources: resources != nil,
		completions: has("completions") != nil || info.Version == beforeCompletions && (prompts != nil || resources != nil),
		toolChanges: changes(tools), promptChanges: changes(prompts), resourceChanges: changes(resources),
	}
}

// beforeCompletions is the version that had completions without a capability to announce them by.
const beforeCompletions = "2024-11-05"
