package proxy

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"sync"

	"mcpsidecar/proxy/rpc"
)

// This file is tasks/list (2025-11-25): of each server in which the caller has tasks, those that are the caller's, whatever else the server lists, and whose tool it may call now.

// taskPage is how many tasks one page has at most.
const taskPage = 100

// taskEntry is one task of a list.
type taskEntry struct {
	position string // by which the list is sorted and paged: when it was begun, and something that tells it from others
	raw      []byte // nil: asked for when it is to be shown
	ask      func(context.Context) []byte
}

type taskEntries []taskEntry

// listTasks answers tasks/list.
func (t *turn) listTasks() {
	cursor, f := t.readCursor()
	after, ok := readPosition(cursor)
	if f == nil && !ok {
		f = failInvalidParams("Invalid cursor")
	}
	if f != nil {
		t.fail(f)
		return
	}
	parts := t.gatherTasks()
	if t.ctx.Err() != nil {
		t.outcome = outcomeError
		return
	}
	var all taskEntries
	for _, part := range parts {
		if part.view != nil {
			all = append(all, *part.view...)
		}
	}
	slices.SortFunc(all, func(a, b taskEntry) int { return cmp.Compare(a.position, b.position) })
	from, found := slices.BinarySearchFunc(all, after, func(e taskEntry, after string) int { return cmp.Compare(e.position, after) })
	if found {
		from++
	}
	out := append(append([]byte(`{"jsonrpc":"2.0","id":`), t.message.ID...), `,"result":{"tasks":[`...)
	page := all[from:min(len(all), from+taskPage)]
	t.fill(page)
	shown := 0
	for _, e := range page {
		if e.raw == nil { // its server knows it no more
			continue
		}
		if shown++; shown > 1 {
			out = append(out, ',')
		}
		out = append(out, e.raw...)
	}
	out = append(out, ']')
	if from+len(page) < len(all) {
		out = rpc.AppendString(append(out, `,"nextCursor":`...), base64.RawURLEncoding.EncodeToString([]byte(page[len(page)-1].position)))
	}
	t.outcome = outcomeOK
	t.writePieces(http.StatusOK, [][]byte{append(listTail(out, t, parts), `}}`...)})
}

// asksAtOnce is how many tasks are asked for at the same time.
const asksAtOnce = 8

// fill asks how the tasks of a page are of which that is not known yet.
func (t *turn) fill(page taskEntries) {
	ctx, cancel := context.WithTimeout(t.ctx, t.proxy.config.Waiting.List)
	defer cancel()
	var wg sync.WaitGroup
	free := make(chan struct{}, asksAtOnce)
	for i := range page {
		if e := &page[i]; e.raw == nil {
			free <- struct{}{}
			wg.Go(func() {
				e.raw = e.ask(ctx)
				<-free
			})
		}
	}
	wg.Wait()
}

// readPosition reads a cursor: it is a position, and nobody's secret.
func readPosition(cursor string) (position string, ok bool) {
	if cursor == "" {
		return "", true
	}
	text, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || !strings.Contains(string(text), positionSeparator) {
		return "", false
	}
	return string(text), true
}

// positionSeparator stands between the two parts of a position; no time has it.
const positionSeparator = "|"

func positionOf(created string, known *knownTask) string {
	sum := sha256.Sum256([]byte(known.caller.server + positionSeparator + known.id))
	return clip(created) + positionSeparator + hex.EncodeToString(sum[:8])
}

// gatherTasks asks the servers in which the caller has tasks, side by side.
func (t *turn) gatherTasks() []part[taskEntries] {
	var parts []part[taskEntries]
	for _, s := range t.proxy.reachable(&t.scope) {
		if s.link != nil && t.proxy.tasks.any(t.taskCaller(s.link)) {
			parts = append(parts, part[taskEntries]{server: s})
		}
	}
	ctx, cancel := context.WithTimeout(t.ctx, t.proxy.config.Waiting.List)
	defer cancel()
	var wg sync.WaitGroup
	for i := range parts {
		wg.Go(func() { t.tasksAt(ctx, &parts[i]) })
	}
	wg.Wait()
	return parts
}

// tasksAt has one server's part of the list.
func (t *turn) tasksAt(ctx context.Context, part *part[taskEntries]) {
	to, v := t.toolsAt(part.server)
	if part.signIn = to.signIn; v == nil || to.signIn {
		return
	}
	said := t.offersOf(&to)
	if said != nil && said.modern {
		part.view = t.tasksFollowed(&to, v)
		return
	}
	if said == nil || !said.tasks.list {
		part.view = &taskEntries{}
		return
	}
	l := to.server.link
	if !l.acquire() {
		return
	}
	defer l.release()
	conn := t.session.conn(ctx, l, to.way)
	if conn == nil {
		return
	}
	t.speakOfTasks(&to, conn)
	elements, _, _, err := conn.List(t.passingIn(ctx, to.server), "tasks/list", "tasks")
	if err != nil {
		t.proxy.log.Warn("a server's tasks could not be listed", "request_id", t.requestID(), "server", l.slug, "error", err)
		return
	}
	part.view = t.ownTasks(&to, v, elements)
}

// ownTasks are those of the listed tasks that the caller may see, with its ids.
func (t *turn) ownTasks(to *target, v *view, elements [][]byte) *taskEntries {
	entries := make(taskEntries, 0, len(elements))
	for _, raw := range elements {
		known := t.proxy.tasks.find(t.taskCaller(to.server.link), taskIn(raw))
		if known == nil || !t.lists(known, to, v) {
			continue
		}
		created, _ := rpc.String(find(raw, "createdAt"))
		entries = append(entries, taskEntry{position: positionOf(created, known), raw: joined(edited(raw, rpc.Edit{Name: "taskId", Value: rpc.AppendString(nil, known.ours)}))})
	}
	return &entries
}

// lists says whether the client may see one of its tasks: it knows of it, and may call its tool now.
func (t *turn) lists(known *knownTask, to *target, v *view) bool {
	return known.ours != "" && known.modern == t.modern && to.server.decide(t.scope.question, known.tool, v.byName[known.tool]).Allowed
}
