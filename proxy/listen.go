package proxy

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"mcpsidecar/internal/audit"
	"mcpsidecar/policy"
	"mcpsidecar/proxy/rpc"
)

// filter is what a modern client wants to be told of (patterns/subscriptions, Notification Filter).
type filter struct {
	lists []listWish
	uris  []string // of resources, each once
	tasks []string // ids, each once
}

// listWish is one kind of list whose changes can be told.
type listWish struct{ member, method string }

var listWishes = []listWish{
	{"toolsListChanged", methodToolsChanged}, {"promptsListChanged", methodPromptsChanged}, {"resourcesListChanged", methodResourcesChanged},
}

// readFilter reads one. What it does not know is not granted, which the acknowledgement says.
func readFilter(raw, declared []byte) (wanted filter, f *failure) {
	if len(raw) == 0 || raw[0] != '{' {
		return wanted, failInvalidParams("notifications must say what to listen for")
	}
	for _, wish := range listWishes {
		if string(rpc.Find(raw, wish.member)) == "true" {
			wanted.lists = append(wanted.lists, wish)
		}
	}
	ids := rpc.Find(raw, "taskIds")
	if ids != nil && !declaresTasks(declared) {
		return wanted, failNoTasks()
	}
	if wanted.uris, f = readNames(rpc.Find(raw, "resourceSubscriptions"), mayBeURI, "resourceSubscriptions must be an array of URIs"); f != nil {
		return wanted, f
	}
	if wanted.tasks, f = readNames(ids, mayBeTask, "taskIds must be an array of strings"); f != nil {
		return wanted, f
	}
	if len(wanted.uris)+len(wanted.tasks) > maxWatches {
		return wanted, failWatches()
	}
	return wanted, nil
}

func mayBeURI(text string) bool { return text != "" && len(text) <= maxURI }

// mayBeTask: an id that none of ours can be is that of no task, which is no fault of the request.
func mayBeTask(string) bool { return true }

// readNames reads what a client wants to be told of, each once.
func readNames(raw []byte, mayBe func(string) bool, must string) (names []string, f *failure) {
	if raw == nil {
		return nil, nil
	}
	if raw[0] != '[' {
		return nil, failInvalidParams(must)
	}
	elements, err := rpc.Elements(nil, raw)
	if err != nil {
		return nil, failInvalidParams(must)
	}
	if len(elements) > maxWatches {
		return nil, failWatches()
	}
	for _, element := range elements {
		name, ok := rpc.String(element)
		if !ok || !mayBe(name) {
			return nil, failInvalidParams(must)
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names, nil
}

// text is the filter as it is acknowledged.
func (f *filter) text() string {
	var members []string
	for _, wish := range f.lists {
		members = append(members, `"`+wish.member+`":true`)
	}
	members = appendNames(members, "resourceSubscriptions", f.uris)
	members = appendNames(members, "taskIds", f.tasks)
	return "{" + strings.Join(members, ",") + "}"
}

func appendNames(members []string, member string, names []string) []string {
	if len(names) == 0 {
		return members
	}
	list := []byte(`"` + member + `":[`)
	for i, name := range names {
		if i > 0 {
			list = append(list, ',')
		}
		list = rpc.AppendString(list, name)
	}
	return append(members, string(append(list, ']')))
}

// wants says whether the client wants to be told of a change of a list.
func (f *filter) wants(method string) bool {
	return slices.ContainsFunc(f.lists, func(wish listWish) bool { return wish.method == method })
}

// subscribe answers subscriptions/listen of a modern client (patterns/subscriptions).
func (t *turn) subscribe() {
	wanted, f := readFilter(t.message.Find("notifications"), t.meta.capabilities)
	if f != nil {
		t.fail(f)
		return
	}
	if !t.beginHearing() {
		return
	}
	defer t.endHearing()
	id := string(t.message.ID)
	tag := `"_meta":{"` + metaSubscription + `":` + id + `}`
	if len(wanted.uris)+len(wanted.tasks) > 0 {
		leave := t.watch(tag)
		defer leave()
		if !t.watchAll(&wanted) {
			return
		}
	}
	t.startStream()
	t.outcome = outcomeOK
	acknowledge := func() error {
		err := t.event([]byte(`{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{`+tag+`,"notifications":`+wanted.text()+`}}`), true)
		if err == nil {
			t.learnLists(wanted.wants)
		}
		return err
	}
	graceful := t.follow(nil, nil, acknowledge, func(method string) error {
		if !wanted.wants(method) {
			return nil
		}
		return t.event([]byte(`{"jsonrpc":"2.0","method":"`+method+`","params":{`+tag+`}}`), true)
	})
	if graceful {
		t.event([]byte(`{"jsonrpc":"2.0","id":`+id+`,"result":{"resultType":"complete",`+tag+`}}`), true)
	}
}

// watch makes the watcher of this stream, which has to be left.
func (t *turn) watch(tag string) (leave func()) {
	callers, identity := t.proxy.callers, t.scope.identity
	t.watcher, leave = callers.watcher(t.proxy, callers.key(identity.User, identity.TokenID, t.meta.capabilities, nil), t.meta.capabilities, tag)
	return leave
}

// resolveTime is how long it may take to find out where the resources of one request belong and to subscribe to them; what remains then is not granted.
const resolveTime = 10 * time.Second

// wish is one resource, or task, that a modern client wants to be told of.
type wish struct {
	name  string
	task  bool
	to    target
	watch *watch
	err   error // why it is not granted

	decision policy.Decision
	record   audit.Call
}

// recordedAs is what the audit record calls it: a task by the tool that has begun it.
func (one *wish) recordedAs() string {
	switch {
	case !one.task:
		return one.name
	case one.watch != nil:
		return one.watch.task.Tool
	}
	return "task"
}

// errUnknown stands for a resource, or a task, that is not there for this caller, whatever the reason.
var errUnknown = errors.New("there is no such resource")

// errAudit stands for what is not done because it cannot be recorded.
var errAudit = errors.New("it cannot be recorded")

// watchAll subscribes to resources and tasks, and leaves those of them that are granted, in their order: what is not granted is left out of the acknowledgement, and nothing tells what may not be seen from what does not exist. If nothing
// but resources was asked for, a request without any has no sense, and is answered with why the first one is not granted; false says so. Of tasks the acknowledgement alone says it (extension Tasks, Task Status Notifications).
func (t *turn) watchAll(wanted *filter) bool {
	ctx, cancel := context.WithTimeout(t.ctx, resolveTime)
	defer cancel()
	wishes := wanted.wishes()
	var all sync.WaitGroup
	for i := range wishes {
		one := &wishes[i]
		t.resolveWish(ctx, one)
		if t.beginRecord(one); one.err == nil {
			all.Go(func() { one.err = t.watcher.subscribe(ctx, one.watch) })
		}
	}
	all.Wait()
	onlyResources := len(wanted.lists)+len(wanted.tasks) == 0
	wanted.uris, wanted.tasks = nil, nil
	for i := range wishes {
		t.endRecord(&wishes[i])
		wanted.grant(&wishes[i])
	}
	if onlyResources && len(wanted.uris) == 0 {
		t.notGranted(&wishes[0])
		return false
	}
	return true
}

// wishes are one for each that a filter names.
func (f *filter) wishes() (all []wish) {
	for _, uri := range f.uris {
		all = append(all, wish{name: uri})
	}
	for _, id := range f.tasks {
		all = append(all, wish{name: id, task: true})
	}
	return all
}

// grant adds what became of a wish.
func (f *filter) grant(one *wish) {
	switch {
	case one.err != nil:
	case one.task:
		f.tasks = append(f.tasks, one.name)
	default:
		f.uris = append(f.uris, one.name)
	}
}

// resolveWish finds the server of a resource, or of a task, and asks the policy.
func (t *turn) resolveWish(ctx context.Context, one *wish) {
	if one.err = ctx.Err(); one.err != nil {
		return
	}
	if one.task {
		t.resolveTask(one)
		return
	}
	var original string
	one.to, original = t.resourceOf(one.name, false)
	to := &one.to
	one.decision = policy.Decision{Reason: policy.Unknown}
	if to.server != nil {
		one.decision = to.server.decideUse(t.scope.question, policy.Resources, original)
	}
	switch {
	case !one.decision.Allowed:
		one.err = errUnknown
	case to.signIn:
		one.err = ErrSignIn
	case to.err != nil:
		one.err = to.err
	case !to.known:
		one.decision, one.err = policy.Decision{Reason: policy.Unknown}, errUnknown
	default:
		one.watch = t.watchOf(one.name, to.server.slug, original)
	}
}

// beginRecord begins the audit record of one of the subscriptions that were asked for at once.
func (t *turn) beginRecord(one *wish) {
	meter := t.proxy.all
	if t.server = one.to.server; t.server != nil {
		meter = t.server.meter
	}
	if one.err == errUnknown {
		meter.Denied(string(one.decision.Reason))
	}
	t.recordCall(one.recordedAs())
	t.recordDecision(one.decision)
	one.record = t.record
	t.record, t.server = audit.Call{}, nil // the request as such is none, and concerns no single server
	if err := t.proxy.config.Audit.Begin(&one.record); err != nil && one.err == nil {
		one.err = errAudit
	}
}

// endRecord ends it.
func (t *turn) endRecord(one *wish) {
	switch {
	case one.err == nil:
		one.record.Outcome = outcomeOK
	case one.err == errUnknown:
		one.record.Outcome = outcomeDenied
	default:
		one.record.Outcome = outcomeError
	}
	t.proxy.config.Audit.End(&one.record)
}

// notGranted answers a request of which nothing is granted.
func (t *turn) notGranted(one *wish) {
	if one.err == errUnknown {
		t.fail(t.failUnknownResource(one.name))
		t.outcome = outcomeDenied
		return
	}
	t.server = one.to.server
	t.notWatched(one.err)
}
