package matrix_test

import (
	"context"
	"fmt"
	"sync"
)

// Eras of a client or a server.
const (
	legacy = "legacy"
	modern = "modern"
)

// agent is a client that somebody else wrote, connected to one endpoint, as the person, the model and the program behind it use it.
type agent interface {
	tools(ctx context.Context) ([]string, error)
	call(ctx context.Context, u use) (string, error)
	job(ctx context.Context, u use) (string, error) // the same as a task
	prompts(ctx context.Context) ([]string, error)
	prompt(ctx context.Context, name string, arguments map[string]string) (string, error)
	resources(ctx context.Context) ([]string, error)
	templates(ctx context.Context) ([]string, error)
	read(ctx context.Context, uri string) (string, error)
	complete(ctx context.Context, c completion) ([]string, error)
	level(ctx context.Context, level string) error // of the log messages of later calls
	watch(ctx context.Context, uri string) error   // a resource; empty: the list of tools
	ping(ctx context.Context) error
	heard() *ear
	close()
}

// use is a tool and how it is called.
type use struct {
	Name      string         `json:"name"`
	Arguments map[string]any `json:"arguments"`
	Progress  bool           `json:"progress"` // ask for it
}

// arguments are an object even if there are none.
func (u use) arguments() map[string]any {
	if u.Arguments == nil {
		return map[string]any{}
	}
	return u.Arguments
}

// completion asks for the values of an argument of a prompt.
type completion struct {
	Prompt   string `json:"prompt"`
	Argument string `json:"argument"`
	Value    string `json:"value"`
}

// toolFailed is what a tool says of its own failure, which is no error of the protocol.
type toolFailed string

func (t toolFailed) Error() string { return "the tool failed: " + string(t) }

// What every agent answers when it is asked.
const (
	formAnswer  = "ada@example.com" // to each required field
	modelAnswer = "said the model"
	rootAnswer  = "file:///matrix"
)

// Words of an ear, besides "updated URI".
const (
	heardProgress = "progress"
	heardLog      = "log"
	heardChanged  = "changed"
	heardForm     = "form"
	heardLink     = "link"
	heardModel    = "model"
	heardRoots    = "roots"
	heardTask     = "task"
)

// ear counts what an agent hears of its server.
type ear struct {
	mu      sync.Mutex // guards what follows
	counts  map[string]int
	changed chan struct{} // closed, and replaced, with each word
}

func newEar() *ear { return &ear{counts: map[string]int{}, changed: make(chan struct{})} }

func (e *ear) hear(word string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.counts[word]++
	close(e.changed)
	e.changed = make(chan struct{})
}

// forget starts anew, before a feature is tried.
func (e *ear) forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	clear(e.counts)
}

// wait returns when a word was heard so often.
func (e *ear) wait(ctx context.Context, word string, times int) error {
	for {
		e.mu.Lock()
		count, changed := e.counts[word], e.changed
		e.mu.Unlock()
		if count >= times {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%q was heard %d times, not %d", word, count, times)
		}
	}
}

// filled answers each required field of a form.
func filled(schema any) map[string]any {
	content := map[string]any{}
	object, _ := schema.(map[string]any)
	required, _ := object["required"].([]any)
	for _, name := range required {
		content[name.(string)] = formAnswer
	}
	return content
}
