package matrix_test

import (
	"context"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"mcpsidecar/internal/e2e/rig"
)

// served is a server that somebody else wrote, pinned to an era.
type served struct {
	name, era string
	start     func(t testing.TB, k *kit) (url string)
	transport string // if it is not streamable_http
	recipe    recipe
	lacks     map[string]string // features that the server does not have, or that cannot be seen from outside, with the reason
}

// recipe is how the features of a server are tried.
type recipe struct {
	echo, fail, steps, speak use
	wait, begun, ended       use // waits until it is cancelled; returns when another has begun; returns when another was cancelled
	grow, touch              use // changes the list of tools; changes the resource, if it does not change by itself
	form, link, model, roots use
	job                      use
	echoes, failure, asJob   string
	prompt                   string
	promptArguments          map[string]string
	promptSays               string
	resource, resourceSays   string
	watched                  string // resource; empty: the same
	template, item, itemSays string
	completion               completion
	completes                string // one of the values; empty: there are none, and none is right
	formSays, linkSays       string
}

// own is the recipe of the servers that are made here, of what SDKs offer to servers.
var own = recipe{
	echo: use{Name: "echo", Arguments: map[string]any{"text": "hello"}}, echoes: "hello",
	fail: use{Name: "fail"}, failure: "on purpose",
	steps: use{Name: "steps", Progress: true}, speak: use{Name: "speak"},
	wait: use{Name: "wait"}, begun: use{Name: "begun"}, ended: use{Name: "ended"},
	grow: use{Name: "grow"}, touch: use{Name: "touch"},
	form: use{Name: "ask_form"}, formSays: formAnswer, link: use{Name: "ask_link"}, linkSays: "accept", model: use{Name: "ask_model"}, roots: use{Name: "ask_roots"},
	job: use{Name: "job"}, asJob: "done as a task",
	prompt: "greet", promptArguments: map[string]string{"name": "Ada"}, promptSays: "Hello, Ada",
	resource: "test://text", resourceSays: "some text", template: "test://item/{id}", item: "test://item/7", itemSays: "item 7",
	completion: completion{"greet", "name", "A"}, completes: "Ada",
}

// Reasons that several servers share.
const (
	noTasksInGoSDK = "go-sdk has no tasks"
	noTasksModern  = "tasks are an extension of this revision, which no server here has"
	noPing         = "this revision has no ping"
	noWayBack      = "this revision has no way back to a stream: the request is lost with it"
	neverShown     = "the server has nothing that shows it"
)

// servers are all of them.
var servers = []served{
	{
		name: "server-everything", era: legacy, start: func(t testing.TB, k *kit) string { return k.everything(t, "streamableHttp", "/mcp") },
		recipe: everything, lacks: everythingLacks,
	},
	{
		name: "server-everything, HTTP+SSE", era: legacy, start: func(t testing.TB, k *kit) string { return k.everything(t, "sse", "/sse") }, transport: "sse",
		recipe: everything, lacks: everythingLacks,
	},
	{
		name: "conformance", era: legacy, start: func(t testing.TB, k *kit) string { return k.conformance(t, legacy) },
		recipe: conformance, lacks: with(conformanceLacks, map[string]string{"tasks": noTasksInGoSDK}),
	},
	{
		name: "conformance", era: modern, start: func(t testing.TB, k *kit) string { return k.conformance(t, modern) },
		recipe: modernConformance, lacks: with(conformanceLacks, map[string]string{"tasks": noTasksModern}),
	},
	{name: "go-sdk", era: legacy, start: startGoSDK(legacy), recipe: own, lacks: map[string]string{"tasks": noTasksInGoSDK}},
	{name: "go-sdk", era: modern, start: startGoSDK(modern), recipe: own, lacks: map[string]string{"tasks": noTasksModern}},
	{name: "mcp-go", era: legacy, start: startMCPGo(legacy), recipe: own},
	{
		name: "mcp-go", era: modern, start: startMCPGo(modern), recipe: own,
		lacks: map[string]string{"tasks": noTasksModern, "subscription": "mcp-go has servers of this revision send no changes of resources"},
	},
}

// everything is the recipe of npm's server-everything.
var everything = recipe{
	echo: use{Name: "echo", Arguments: map[string]any{"message": "hello"}}, echoes: "Echo: hello",
	fail: use{Name: "get-resource-reference", Arguments: map[string]any{"resourceType": "Text", "resourceId": -1}}, failure: "resourceId",
	steps: use{Name: "trigger-long-running-operation", Arguments: map[string]any{"duration": 0.3, "steps": 3}, Progress: true},
	speak: use{Name: "toggle-simulated-logging"}, touch: use{Name: "toggle-subscriber-updates"},
	form: use{Name: "trigger-elicitation-request"}, formSays: formAnswer,
	link: use{Name: "trigger-url-elicitation", Arguments: map[string]any{"url": "https://example.com/"}}, linkSays: "accept",
	model: use{Name: "trigger-sampling-request", Arguments: map[string]any{"prompt": "say something"}},
	roots: use{Name: "get-roots-list"},
	job:   use{Name: "simulate-research-query", Arguments: map[string]any{"topic": "matrices", "ambiguous": false}}, asJob: "matrices",
	prompt: "args-prompt", promptArguments: map[string]string{"city": "Turin"}, promptSays: "Turin",
	resource: "demo://resource/static/document/features.md", resourceSays: "Features", watched: "demo://resource/dynamic/text/1",
	template: "demo://resource/dynamic/text/{resourceId}", item: "demo://resource/dynamic/text/7", itemSays: "Resource 7",
	completion: completion{"completable-prompt", "department", "E"}, completes: "Engineering",
}

var everythingLacks = map[string]string{"cancellation": neverShown, "list changes": "the server's list of tools never changes"}

// conformance is the recipe of go-sdk's conformance server, which is written after that of the suite.
var conformance = recipe{
	echo: use{Name: "test_simple_text"}, echoes: "This is a simple text response for testing.",
	fail: use{Name: "test_error_handling"}, failure: "intentionally",
	steps: use{Name: "test_tool_with_progress", Progress: true}, speak: use{Name: "test_tool_with_logging"},
	form: use{Name: "test_elicitation", Arguments: map[string]any{"message": "who are you?"}}, formSays: formAnswer,
	model:  use{Name: "test_sampling", Arguments: map[string]any{"prompt": "say something"}},
	roots:  use{Name: "test_input_required_result_list_roots"},
	prompt: "test_prompt_with_arguments", promptArguments: map[string]string{"arg1": "one", "arg2": "two"}, promptSays: "arg1='one'",
	resource: "test://static-text", resourceSays: "static text resource", watched: "test://watched-resource",
	template: "test://template/{id}/data", item: "test://template/7/data", itemSays: "Data for ID: 7",
	completion: completion{"test_prompt_with_arguments", "arg1", "o"},
}

// modernConformance is the same where the era changes how a server asks.
var modernConformance = func() recipe {
	r := conformance
	r.form, r.model = use{Name: "test_input_required_result_elicitation"}, use{Name: "test_input_required_result_sampling"}
	return r
}()

var conformanceLacks = map[string]string{
	"cancellation": neverShown, "list changes": "the server's list changes once only", "elicitation, link": "the server never asks for a link to be opened",
}

func with(some, more map[string]string) map[string]string {
	all := maps.Clone(some)
	maps.Copy(all, more)
	return all
}

// everything starts npm's server.
func (k *kit) everything(t testing.TB, transport, path string) string {
	return k.started(t, path, func(ctx context.Context) (*rig.Process, string, error) { return k.node.Everything(ctx, transport) })
}

// conformance starts go-sdk's conformance server, with sessions for the older era and without for the newer one.
func (k *kit) conformance(t testing.TB, era string) string {
	return pinned(t, era, k.started(t, "/", func(ctx context.Context) (*rig.Process, string, error) {
		return rig.GoSDK(ctx, k.conformanceBinary, era == modern)
	}))
}

func (k *kit) started(t testing.TB, path string, start func(context.Context) (*rig.Process, string, error)) string {
	process, address, err := start(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(process.Kill)
	return "http://" + address + path
}

// serve serves a server of this process.
func serve(t testing.TB, handler http.Handler) string {
	s := httptest.NewServer(handler)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s.URL + "/mcp"
}

// flags are raised by one call and waited for by others, by name.
type flags struct {
	mu     sync.Mutex // guards what follows
	raised map[string]chan struct{}
}

func (f *flags) of(name string) chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.raised == nil {
		f.raised = map[string]chan struct{}{}
	}
	if f.raised[name] == nil {
		f.raised[name] = make(chan struct{})
	}
	return f.raised[name]
}

func (f *flags) raise(name string) { close(f.of(name)) }

// await waits for a flag, but not for ever: the client may have gone.
func (f *flags) await(ctx context.Context, name string) string {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case <-f.of(name):
		return "yes"
	case <-ctx.Done():
		return "no"
	}
}

// pause is between reports of a server, so that a client that reads meanwhile hears each by itself.
const pause = 20 * time.Millisecond
