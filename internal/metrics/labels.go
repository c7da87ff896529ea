package metrics

import (
	"maps"
	"sync"
	"sync/atomic"
)

// Other stands for every value that is not in its label's closed set.
const Other = "other"

// MaxTools is how many tools of one server have a label of their own.
const MaxTools = 200

// maxLabels bounds the labels whose values are words of the code (reasons, routes, operations). They are closed by
// construction; the bound is for the day when somebody passes a client's text by mistake.
const maxLabels = 48

// outcomes are the ends a request can come to.
var outcomes = [...]string{"ok", "tool_error", "denied", "error"}

// outcomeIndex takes anything unknown for an error.
func outcomeIndex(outcome string) int {
	for i, o := range outcomes {
		if o == outcome {
			return i
		}
	}
	return len(outcomes) - 1
}

// methods are the MCP methods of every era. A client writes whatever it likes into a method; only these are labels.
var methods = [...]string{
	Other,
	"tools/call", "tools/list", "initialize", "ping", "server/discover",
	"prompts/list", "prompts/get", "resources/list", "resources/read", "resources/templates/list",
	"resources/subscribe", "resources/unsubscribe", "subscriptions/listen", "completion/complete", "logging/setLevel",
	"tasks/get", "tasks/list", "tasks/result", "tasks/cancel", "tasks/update",
	"notifications/initialized", "notifications/cancelled", "notifications/progress", "notifications/roots/list_changed",
	"GET", "DELETE",
}

// methodIndexes finds a method's place; an unknown one is 0, which is Other.
var methodIndexes = func() map[string]int {
	indexes := make(map[string]int, len(methods))
	for i, m := range methods {
		indexes[m] = i
	}
	return indexes
}()

// MethodLabel is a method as labels have it.
func MethodLabel(method string) string { return methods[methodIndexes[method]] }

// breakerStates are the states of a circuit breaker.
var breakerStates = [...]string{"closed", "half_open", "open"}

// handles keeps one prepared handle per label value, at most limit of them; further values share the handle of Other.
// Reading takes no lock.
type handles[T any] struct {
	limit int
	make  func(label string) T

	mu      sync.Mutex // held while a handle is added
	current atomic.Pointer[map[string]T]
}

func newHandles[T any](limit int, make func(string) T) *handles[T] {
	h := &handles[T]{limit: limit, make: make}
	h.current.Store(&map[string]T{})
	return h
}

func (h *handles[T]) get(label string) T {
	if handle, ok := (*h.current.Load())[label]; ok {
		return handle
	}
	return h.add(label)
}

func (h *handles[T]) add(label string) T {
	h.mu.Lock()
	defer h.mu.Unlock()
	old := *h.current.Load()
	if _, ok := old[label]; !ok && len(old) >= h.limit {
		label = Other
	}
	if handle, ok := old[label]; ok {
		return handle
	}
	handle := h.make(label)
	next := maps.Clone(old)
	next[label] = handle
	h.current.Store(&next)
	return handle
}
