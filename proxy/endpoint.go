package proxy

import (
	"mime"
	"net/http"
	"strings"
	"sync"
	"time"

	"mcpsidecar/internal/caller"
	"mcpsidecar/internal/front"
	"mcpsidecar/policy"
	"mcpsidecar/proxy/rpc"
)

// The routes as they are counted.
const (
	routeAll = "/mcp"
	routeOne = "/mcp/{slug}"
)

// ServeHTTP answers /mcp and /mcp/{slug}. It authenticates before it reads, and reads before it asks anybody else.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	slug, ok := p.route(r)
	if !ok {
		unknownPath().write(w)
		return
	}
	identity, err := p.config.Callers.Authenticate(r)
	if err != nil {
		refused := refuseCaller(err)
		p.config.Metrics.AuthFailure(refused.reason)
		refused.write(w)
		return
	}
	if slug != "" {
		if s := p.snapshot.Load().bySlug[slug]; s == nil || !s.visibleTo(identity.User) {
			unknownPath().write(w)
			return
		}
	}
	t := turns.Get().(*turn)
	t.proxy, t.ctx, t.w, t.r, t.started, t.room = p, r.Context(), w, r, p.now(), rooms.Get().(*room) // a literal would be made on the stack first, which never gets smaller
	t.admit(identity, slug)
	t.leaveRoom()
	*t = turn{}
	turns.Put(t) // not deferred: what a panic leaves behind is nobody's to use again
}

// turns keeps the memory of turns that are over.
var turns = sync.Pool{New: func() any { return new(turn) }}

// admit serves the request of a known caller unless it is no time for new work or what the request says of itself cannot be read.
func (t *turn) admit(identity *caller.Identity, slug string) {
	if !t.proxy.work.begin() {
		if !t.belated() {
			t.fail(failDraining())
			return
		}
		t.proxy.work.hold()
	}
	defer t.proxy.work.end()
	if err := t.readScope(identity, slug); err != nil {
		t.fail(failRequest(err.Error()))
		return
	}
	t.serve()
}

// route reads the path; the slug is empty on /mcp.
func (p *Proxy) route(r *http.Request) (slug string, ok bool) {
	if r.URL.Path == routeAll {
		front.SetRoute(r.Context(), routeAll)
		return "", true
	}
	front.SetRoute(r.Context(), routeOne)
	slug, ok = strings.CutPrefix(r.URL.Path, routeAll+"/")
	return slug, ok && policy.ValidSlug(slug)
}

// serve is a request of a known caller.
func (t *turn) serve() {
	t.weight = t.proxy.weigh(t.r)
	if t.busy = t.proxy.busy.enterWith(t.scope.identity.User, t.weight); t.busy == nil {
		t.fail(failBusy())
		return
	}
	t.proxy.config.Metrics.InFlight(1)
	defer t.leaveBusy()
	switch t.r.Method {
	case http.MethodPost:
		t.post()
	case http.MethodGet:
		t.get()
	case http.MethodDelete:
		t.delete()
	default:
		t.w.Header().Set("Allow", "POST, GET, DELETE")
		t.w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

// weigh says as how many requests one counts: once for each MiB of its body, so that what one user can have in memory stays the same however many requests it is.
func (p *Proxy) weigh(r *http.Request) int64 {
	length := r.ContentLength
	if length < 0 { // it does not say
		length = int64(p.config.MaxBody)
	}
	return 1 + min(length, int64(p.config.MaxBody))>>20
}

// post reads one message and answers it.
func (t *turn) post() {
	var body *rpc.Buffer
	defer func() { // the last of all: what is told of the request, and said at its end, has parts of it
		if body != nil {
			body.Release()
		}
	}()
	defer t.account()
	defer t.endOutlet()
	if f := t.looped(); f != nil {
		t.fail(f)
		return
	}
	if !isJSON(t.r.Header) {
		t.write(http.StatusUnsupportedMediaType, rpc.AppendError(nil, nil, rpc.Error{Code: codeInvalidRequest, Message: "Content-Type must be application/json"}))
		t.outcome = outcomeError
		return
	}
	if !accepts(t.r.Header, "application/json") && !accepts(t.r.Header, "text/event-stream") {
		t.write(http.StatusNotAcceptable, rpc.AppendError(nil, nil, rpc.Error{Code: codeInvalidRequest, Message: "Accept must list application/json and text/event-stream"}))
		t.outcome = outcomeError
		return
	}
	var f *failure
	if body, f = t.read(); f != nil {
		t.fail(f)
		return
	}
	t.body = body.Bytes()
	message, err := rpc.Read(t.body)
	t.message = message
	if err != nil {
		t.fail(failRead(err))
		return
	}
	if t.draining && message.Kind == rpc.Request {
		t.fail(failDraining())
		return
	}
	t.dispatch()
}

// bodyTime is how long a request's body may take to arrive.
const bodyTime = 30 * time.Second

// read takes the whole body, before any server is asked for anything.
func (t *turn) read() (*rpc.Buffer, *failure) {
	if t.r.ContentLength > int64(t.proxy.config.MaxBody) {
		t.w.Header().Set("Connection", "close")
		return nil, failBody(rpc.ErrTooLarge)
	}
	control := http.NewResponseController(t.w)
	control.SetReadDeadline(time.Now().Add(bodyTime))
	body, err := rpc.ReadAll(t.r.Body, t.r.ContentLength, t.proxy.config.MaxBody)
	if err != nil {
		t.w.Header().Set("Connection", "close")
		return nil, failBody(err)
	}
	control.SetReadDeadline(time.Time{})
	t.bytesIn = int64(len(body.Bytes()))
	return body, nil
}

// looped notices a request that we sent ourselves, directly or through other sidecars.
func (t *turn) looped() *failure {
	hops := strings.Join(t.r.Header[hopHeader], ",")
	if hops == "" || !strings.Contains(hops, t.proxy.instance) && strings.Count(hops, ",") < maxHops {
		return nil
	}
	return fail(http.StatusLoopDetected, http.StatusLoopDetected, codeInvalidRequest, "a sidecar is configured as its own server")
}

// maxHops is how many sidecars may stand behind one another.
const maxHops = 3

// isJSON judges the body's declared type.
func isJSON(header http.Header) bool {
	values := header["Content-Type"]
	if len(values) != 1 {
		return false
	}
	if values[0] == "application/json" {
		return true
	}
	kind, parameters, err := mime.ParseMediaType(values[0])
	if err != nil || kind != "application/json" {
		return false
	}
	charset, given := parameters["charset"]
	return !given || strings.EqualFold(charset, "utf-8")
}

// What nearly every client sends, and what the specification wants.
const (
	usualAccept = "application/json, text/event-stream"
	otherAccept = "application/json,text/event-stream"
)

// accepts reads Accept; a client that says nothing accepts everything.
func accepts(header http.Header, kind string) bool {
	values := header["Accept"]
	if len(values) == 0 || len(values) == 1 && (values[0] == usualAccept || values[0] == otherAccept) {
		return true
	}
	family, _, _ := strings.Cut(kind, "/")
	for _, value := range values {
		for entry := range strings.SplitSeq(value, ",") {
			name, _, _ := strings.Cut(entry, ";")
			name = strings.TrimSpace(name)
			if strings.EqualFold(name, kind) || name == "*/*" || strings.EqualFold(name, family+"/*") {
				return true
			}
		}
	}
	return false
}
