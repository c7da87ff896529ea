package proxy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"mcpsidecar/configstore"
	"mcpsidecar/internal/metrics"
	"mcpsidecar/internal/trace"
	"mcpsidecar/proxy/upstream"
)

// link is the live side of one server: what is connected, listed and counted. Rules come and go without it; it is replaced when something changes that it connects with.
type link struct {
	// fixed at creation
	identity string
	serverID string
	slug     string
	p        *Proxy
	record   configstore.Server // as it was when the link was made
	grants   Grants
	meter    *metrics.Server
	upstream *upstream.Server
	timeout  time.Duration
	instance string
	place    []byte      // of the server; see taskTicket
	tasksAt  string      // the same for whoever keeps tasks apart: which server, and where
	plain    http.Header // what every request carries, with the credential that an admin stored; read only
	ways     accesses

	asksAside atomic.Bool // the server asks modern clients outside of their calls (apart.go)

	calls atomic.Int64 // calls under way, against the server's limit
	uses  atomic.Int64 // requests that hold the link; once retired it only falls
	ended atomic.Bool
	idle  chan struct{} // receives when the last use of a retired link ends
}

// linkIdentity is the same for two records exactly if one link can serve both.
func linkIdentity(record *configstore.Server) string {
	h := sha256.New()
	write := func(texts ...string) {
		for _, text := range texts {
			fmt.Fprintf(h, "%d:%s,", len(text), text)
		}
	}
	write(record.ID, record.Slug, string(record.Transport), record.URL, string(record.AuthType), record.APIKeyHeader, record.APIKeyValue.Reveal(), fmt.Sprint(record.TimeoutMS), record.OAuthBinding())
	for _, name := range slices.Sorted(maps.Keys(record.CustomHeaders)) {
		write(name, record.CustomHeaders[name].Reveal())
	}
	return hex.EncodeToString(h.Sum(nil))
}

func (p *Proxy) newLink(record *configstore.Server, identity string, meter *metrics.Server) (*link, error) {
	limits := p.config.Limits
	timeout := time.Duration(record.TimeoutMS) * time.Millisecond
	live, err := upstream.New(upstream.Config{
		Slug: record.Slug, URL: record.URL, SSE: record.Transport == configstore.SSE, Client: p.config.Client, Limits: limits,
		Name: "mcp-sidecar", Version: p.config.Version, Logger: p.log.With("server", record.Slug),
		Breaker: meter.Breaker, Session: meter.Sessions, Now: p.now,
	})
	if err != nil {
		return nil, err
	}
	l := &link{
		identity: identity, serverID: record.ID, slug: record.Slug, p: p, record: *record, grants: p.config.Grants, meter: meter, upstream: live,
		timeout: timeout, instance: p.instance, plain: plainHeader(record, p.instance), idle: make(chan struct{}, 1),
		place: placeOf(record.URL),
	}
	l.tasksAt = l.serverID + string(l.place)
	l.ways.everyone = newAccess(p, l, "")
	l.asksAside.Store(record.Transport == configstore.SSE) // there it can be told of no question which call it is about
	return l, nil
}

// plainHeader is what every request to a server carries.
func plainHeader(record *configstore.Server, instance string) http.Header {
	header := staticCredential(record)
	header[hopHeader] = []string{instance}
	return header
}

// staticCredential is what an admin stored for everyone: an API key or custom headers. A server with a credential that is missing gets none.
func staticCredential(record *configstore.Server) http.Header {
	header := http.Header{}
	switch record.AuthType {
	case configstore.AuthAPIKey:
		if record.APIKeyHeader != "" && !record.APIKeyValue.IsZero() {
			header.Set(record.APIKeyHeader, record.APIKeyValue.Reveal())
		}
	case configstore.AuthCustomHeaders:
		for name, value := range record.CustomHeaders {
			header.Set(name, value.Reveal())
		}
	}
	return header
}

// hopHeader names the sidecars that a request has come through, so that a ring of them is noticed.
const hopHeader = "Sidecar-Hop"

type passedKey struct{}

// passed is what of an agent's request goes along to a server. It belongs to one request.
type passed struct {
	hops   string
	header http.Header // the agent's; only names are taken from it
	names  []string
	trace  trace.Context         // what the server is told of the trace; the agent's own words for that are not among names
	sent   atomic.Pointer[proof] // what the request proved itself with; nil: nothing of a user's own
}

func withPassed(ctx context.Context, what *passed) context.Context {
	return context.WithValue(ctx, passedKey{}, what)
}

// isNothing says that every request carries the same.
func (along *passed) isNothing() bool {
	return along == nil || len(along.names) == 0 && along.hops == "" && along.trace.IsZero()
}

// over lays what goes along under what every request carries: what proves us wins over what the agent sent.
func (along *passed) over(base http.Header, instance string) http.Header {
	header := make(http.Header, len(base)+len(along.names))
	for _, name := range along.names {
		if values := along.header[name]; len(values) > 0 {
			header[name] = values
		}
	}
	maps.Copy(header, base)
	if !along.trace.IsZero() {
		header[parentHeader] = []string{along.trace.Parent()}
		if along.trace.State() != "" {
			header[stateHeader] = []string{along.trace.State()}
		}
	}
	if along.hops != "" {
		header[hopHeader] = []string{along.hops + "," + instance}
	}
	return header
}

// canonical are the names of headers as http.Header has them, without those of trace context, which is passed on in any case.
func canonical(names []string) []string {
	out := make([]string, 0, len(names))
	for _, name := range names {
		if name = http.CanonicalHeaderKey(name); name != parentHeader && name != stateHeader {
			out = append(out, name)
		}
	}
	return out
}

// acquire holds the link for one request; false means that it is over and the request should look at the newest snapshot.
func (l *link) acquire() bool {
	l.uses.Add(1)
	if l.ended.Load() {
		l.release()
		return false
	}
	return true
}

func (l *link) release() {
	if l.uses.Add(-1) == 0 && l.ended.Load() {
		select {
		case l.idle <- struct{}{}:
		default:
		}
	}
}

// retireGrace is how long what is under way may still use a link that was replaced; longer than any call may take, with all that it waits for people.
const retireGrace = 75 * time.Minute

// retire closes the link once its last request has ended.
func (l *link) retire() {
	l.ended.Store(true)
	l.p.goroutines.Go(func() {
		timer := time.NewTimer(retireGrace)
		defer timer.Stop()
		for l.uses.Load() > 0 {
			select {
			case <-l.idle:
			case <-timer.C:
				l.close()
				return
			case <-l.p.background.Done():
				l.close()
				return
			}
		}
		l.close()
	})
}

func (l *link) close() {
	l.ended.Store(true)
	l.eachWay(func(a *access) { a.lists.close() })
	l.upstream.Close()
}

// enter counts one call in against the server's limit; it is left by leave.
func (l *link) enter(limit int64) bool {
	if l.calls.Add(1) > limit {
		l.calls.Add(-1)
		return false
	}
	return true
}

func (l *link) leave() { l.calls.Add(-1) }
