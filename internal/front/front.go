package front

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"time"
)

// Other is the route of requests for which no handler has set one.
const Other = "other"

// Config says who may come in.
type Config struct {
	Listen    string   // the address that is listened on, as bound; a loopback one admits loopback Hosts and the public URL's only
	PublicURL *url.URL // may be nil
	Logger    *slog.Logger
	Count     func(route string, status int, d time.Duration) // may be nil; a status of 0 means that the connection was cut before there was one
	Refused   func(reason string)                             // told why a request was turned away, in the words of the package's documentation; may be nil
}

// Gate is the handler that Wrap returns.
type Gate struct {
	// fixed at creation
	next    http.Handler
	own     *own
	logger  *slog.Logger
	count   func(route string, status int, d time.Duration)
	refused func(reason string)

	detached detached
}

// Wrap returns next behind the checks. If next detaches answers, the Gate has to be closed.
func Wrap(config Config, next http.Handler) *Gate {
	g := &Gate{next: next, own: newOwn(config.Listen, config.PublicURL), logger: config.Logger, count: config.Count, refused: config.Refused}
	g.detached.lines = map[*line]struct{}{}
	if g.logger == nil {
		g.logger = slog.New(slog.DiscardHandler)
	}
	if g.count == nil {
		g.count = func(string, int, time.Duration) {}
	}
	if g.refused == nil {
		g.refused = func(string) {}
	}
	return g
}

// SetRoute says under which route a request is counted; a handler that knows its pattern calls it, before it returns.
func SetRoute(ctx context.Context, route string) {
	if v := visitOf(ctx); v != nil {
		v.route = route
	}
}

// RequestID returns the id of the request, never empty behind Wrap.
func RequestID(ctx context.Context) string {
	if v := visitOf(ctx); v != nil {
		return v.id
	}
	return ""
}

// What every answer says unless its handler says otherwise. The values are shared by all answers; whoever changes a header replaces them.
var (
	noSniff    = []string{"nosniff"}
	noStore    = []string{"no-store"}
	noReferrer = []string{"no-referrer"}
	closing    = []string{"close"}
)

func (g *Gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v := newVisit(g, w, r)
	defer g.leave(v)
	header := w.Header()
	header["X-Request-Id"] = v.idValue[:]
	header["X-Content-Type-Options"] = noSniff
	header["Cache-Control"] = noStore
	if r.Method == http.MethodGet { // what a browser can be led to
		header["Referrer-Policy"] = noReferrer
	}
	if ambiguous(r) {
		header["Connection"] = closing
	}
	if refusal := g.judge(r); refusal != nil {
		g.refused(refusal.reason)
		refusal.write(&v.answer)
		return
	}
	g.next.ServeHTTP(&v.answer, v.request(r))
}

// ambiguous says whether a proxy before us could see the end of this request elsewhere. net/http hides whether a chunked request had a Content-Length, too, and whether an HTTP/1.0 request had a
// Transfer-Encoding; in both cases RFC 9112 (6.1) wants the connection closed, so that nothing smuggled behind is ever read as a request.
func ambiguous(r *http.Request) bool {
	return len(r.TransferEncoding) > 0 || !r.ProtoAtLeast(1, 1)
}

// leave is deferred: it ends a request, however its handler did, unless that goes on elsewhere.
func (g *Gate) leave(v *visit) {
	cause := recover()
	if v.detached {
		if cause != nil {
			g.report(v, cause)
		}
		return
	}
	aborted := false
	if cause != nil {
		aborted = g.panicked(v, cause)
	} else {
		v.answer.begin(http.StatusOK) // which is what net/http sends if nothing else was
	}
	g.count(v.route, v.answer.status, time.Since(v.started))
	if aborted {
		panic(http.ErrAbortHandler)
	}
}

// panicked answers for a handler that panicked, or says that the connection must be cut: because the handler wants it, or because half an answer must not look like a whole one.
func (g *Gate) panicked(v *visit, cause any) (abort bool) {
	if err, ok := cause.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		return true
	}
	g.report(v, cause)
	if v.answer.status != 0 {
		return true
	}
	internalError.write(&v.answer)
	return false
}

func (g *Gate) report(v *visit, cause any) {
	g.logger.Error("a handler panicked", "request_id", v.id, "route", v.route, "panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
}
