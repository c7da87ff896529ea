package matrix_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
)

// feature is a row of the table.
type feature struct {
	name, what string
	try        func(ctx context.Context, a agent, r recipe) error
	last       bool // the connection is not used again: what it has come to may show later
	cut        bool // in a connection of its own, in which the answer to each call breaks off after its first event
}

// features are all that the protocol has for programs that use servers.
var features = []feature{
	{name: "list", what: "the tools are listed", try: func(ctx context.Context, a agent, r recipe) error { return contains(r.echo.Name)(a.tools(ctx)) }},
	{name: "call", what: "a tool answers", try: func(ctx context.Context, a agent, r recipe) error { return answers(r.echoes)(a.call(ctx, r.echo)) }},
	{name: "error", what: "a tool that fails says why, and that is no error of the protocol", try: tryError},
	{name: "progress", what: "each of three reports arrives", try: tryProgress},
	{name: "logging", what: "what a tool logs arrives, once it is wanted", try: func(ctx context.Context, a agent, r recipe) error {
		if err := a.level(ctx, "info"); err != nil {
			return err
		}
		return heardAfter(ctx, a, r.speak, heardLog)
	}},
	{name: "cancellation", what: "a call that is given up ends at the server, and the connection goes on", try: tryCancellation, last: true},
	{name: "prompts", what: "listed and got", try: func(ctx context.Context, a agent, r recipe) error {
		return errors.Join(contains(r.prompt)(a.prompts(ctx)), answers(r.promptSays)(a.prompt(ctx, r.prompt, r.promptArguments)))
	}},
	{name: "resources", what: "listed and read", try: func(ctx context.Context, a agent, r recipe) error {
		return errors.Join(contains(r.resource)(a.resources(ctx)), answers(r.resourceSays)(a.read(ctx, r.resource)))
	}},
	{name: "templates", what: "listed, and one of their resources read", try: func(ctx context.Context, a agent, r recipe) error {
		return errors.Join(contains(r.template)(a.templates(ctx)), answers(r.itemSays)(a.read(ctx, r.item)))
	}},
	{name: "completion", what: "of an argument of a prompt", try: func(ctx context.Context, a agent, r recipe) error {
		values, err := a.complete(ctx, r.completion)
		if r.completes == "" {
			return err
		}
		return contains(r.completes)(values, err)
	}},
	{name: "list changes", what: "a tool more is announced, and then listed", try: tryGrowth},
	{name: "subscription", what: "the change of a resource is announced", try: tryTouch},
	{name: "elicitation, form", what: "a tool asks the person, and is answered", try: func(ctx context.Context, a agent, r recipe) error {
		return asked(ctx, a, r.form, heardForm, r.formSays)
	}},
	{name: "elicitation, link", what: "a tool has the person open a link, and goes on", try: func(ctx context.Context, a agent, r recipe) error {
		return asked(ctx, a, r.link, heardLink, r.linkSays)
	}},
	{name: "sampling", what: "a tool asks the client's model, and is answered", try: func(ctx context.Context, a agent, r recipe) error {
		return asked(ctx, a, r.model, heardModel, modelAnswer)
	}},
	{name: "roots", what: "a tool asks for the client's roots, and is answered", try: func(ctx context.Context, a agent, r recipe) error {
		return answers(rootAnswer)(a.call(ctx, r.roots))
	}},
	{name: "tasks", what: "a tool runs as a task, and its result is fetched", try: func(ctx context.Context, a agent, r recipe) error {
		if err := answers(r.asJob)(a.job(ctx, r.job)); err != nil {
			return err
		}
		return a.heard().wait(ctx, heardTask, 1)
	}},
	{name: "resumption", what: "a call whose connection breaks after the first event of the answer has the rest of it, for the client comes back with `Last-Event-ID`", cut: true, try: func(ctx context.Context, a agent, r recipe) error {
		_, err := a.call(ctx, r.steps)
		return err
	}},
	{name: "ping", what: "is answered", try: func(ctx context.Context, a agent, _ recipe) error { return a.ping(ctx) }},
}

func contains(wanted string) func([]string, error) error {
	return func(names []string, err error) error {
		if err == nil && !slices.Contains(names, wanted) {
			err = fmt.Errorf("%q is not among %q", wanted, names)
		}
		return err
	}
}

func answers(wanted string) func(string, error) error {
	return func(text string, err error) error {
		if err == nil && !strings.Contains(text, wanted) {
			err = fmt.Errorf("%q does not say %q", text, wanted)
		}
		return err
	}
}

// asked calls a tool that asks.
func asked(ctx context.Context, a agent, u use, word, says string) error {
	if err := answers(says)(a.call(ctx, u)); err != nil {
		return err
	}
	return a.heard().wait(ctx, word, 1)
}

func tryError(ctx context.Context, a agent, r recipe) error {
	text, err := a.call(ctx, r.fail)
	var failed toolFailed
	if !errors.As(err, &failed) {
		return fmt.Errorf("it answers %q, %v", text, err)
	}
	return answers(r.failure)(string(failed), nil)
}

// tryProgress calls a tool until all of its reports are heard: over two streams a report can come later than the answer, after which nobody asks for it.
func tryProgress(ctx context.Context, a agent, r recipe) error {
	for {
		a.heard().forget()
		if _, err := a.call(ctx, r.steps); err != nil {
			return err
		}
		soon, cancel := context.WithTimeout(ctx, shortly)
		err := a.heard().wait(soon, heardProgress, 3)
		cancel()
		if err == nil || ctx.Err() != nil {
			return err
		}
	}
}

// keys make each waiting call known to the others that speak of it.
var keys atomic.Int32

func tryCancellation(ctx context.Context, a agent, r recipe) error {
	key := map[string]any{"key": fmt.Sprint(keys.Add(1))}
	of := func(u use) use {
		u.Arguments = key
		return u
	}
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.call(waiting, of(r.wait)) // comes to nothing, by intent
	}()
	defer func() { cancel(); <-done }()
	if err := answers("yes")(a.call(ctx, of(r.begun))); err != nil {
		return err
	}
	cancel()
	if err := answers("yes")(a.call(ctx, of(r.ended))); err != nil {
		return err
	}
	<-done
	return answers(r.echoes)(a.call(ctx, r.echo))
}

// heardAfter calls a tool that makes the server say something, again and again until it is heard: streams for notifications are opened aside, so that the first word can come too early.
func heardAfter(ctx context.Context, a agent, u use, word string) error {
	for {
		if u.Name != "" {
			if _, err := a.call(ctx, u); err != nil {
				return err
			}
		}
		soon, cancel := context.WithTimeout(ctx, shortly)
		err := a.heard().wait(soon, word, 1)
		cancel()
		if err == nil || ctx.Err() != nil {
			return err
		}
	}
}

func tryGrowth(ctx context.Context, a agent, r recipe) error {
	before, err := a.tools(ctx)
	if err != nil {
		return err
	}
	if err := a.watch(ctx, ""); err != nil {
		return err
	}
	if err := heardAfter(ctx, a, r.grow, heardChanged); err != nil {
		return err
	}
	for times := 2; ; times++ {
		after, err := a.tools(ctx)
		if err != nil || len(after) > len(before) {
			return err
		}
		// What was heard was of what another client changed a moment before: this one's change is still to be announced.
		if err := a.heard().wait(ctx, heardChanged, times); err != nil {
			return fmt.Errorf("%d tools were %d before: %w", len(after), len(before), err)
		}
	}
}

func tryTouch(ctx context.Context, a agent, r recipe) error {
	uri := r.watched
	if uri == "" {
		uri = r.resource
	}
	if err := a.watch(ctx, uri); err != nil {
		return err
	}
	return heardAfter(ctx, a, r.touch, "updated "+uri)
}
