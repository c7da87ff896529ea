package upstream

import (
	"context"
	"slices"
	"strconv"
	"time"

	"mcpsidecar/proxy/rpc"
)

// maxElements is how many things a list may have: far more than are shown of any, since what is shown is chosen from all of them.
const maxElements = 50_000

// List follows every page of a list method and returns the raw elements of its member (tools, prompts, ...), in order. Repeated cursors, too many pages and too many elements are a Failure, and so is more than one message may hold.
// A server that does not know the method has none of what it lists.
// meta are members of _meta to send along.
// ttl is the smallest ttlMs of a modern server's pages (negative: none was given), private whether any page was of cacheScope private.
func (c *Conn) List(ctx context.Context, method, member string, meta ...rpc.Member) (elements [][]byte, ttl time.Duration, private bool, err error) {
	l := listing{conn: c, method: method, member: member, meta: meta, ttl: -1}
	if failure := l.follow(ctx); failure != nil {
		return nil, -1, false, failure
	}
	return l.elements, l.ttl, l.private, nil
}

// listing is a list under way.
type listing struct {
	conn           *Conn
	method, member string
	meta           []rpc.Member

	elements [][]byte
	size     int
	ttl      time.Duration
	private  bool
}

// follow reads page after page. Any string is a cursor, the empty one too; only a page without one is the last.
func (l *listing) follow(ctx context.Context) *Failure {
	var cursor []byte
	var seen []string
	for range l.conn.server.cfg.Limits.Pages {
		next, failure := l.page(ctx, cursor)
		if failure != nil || next == nil {
			return failure
		}
		text, ok := rpc.String(next)
		if !ok {
			return l.conn.server.malformed(false, "the cursor of %s is no string", l.method)
		}
		if slices.Contains(seen, text) {
			return l.conn.server.malformed(false, "%s gave the same cursor twice", l.method)
		}
		seen, cursor = append(seen, text), next
	}
	return l.conn.server.malformed(false, "%s has more than %d pages", l.method, l.conn.server.cfg.Limits.Pages)
}

// page reads one page and returns the raw cursor of the next; nil: this was the last.
func (l *listing) page(ctx context.Context, cursor []byte) (next []byte, failure *Failure) {
	call := Call{Method: l.method, Meta: l.meta, Idempotent: true}
	if cursor != nil {
		call.Params = []rpc.Member{{Name: "cursor", Value: cursor}}
	}
	e, err := l.conn.Do(ctx, call)
	if err != nil {
		return nil, asFailure(err)
	}
	defer e.Close()
	answer, failure := e.answer()
	if failure != nil {
		return nil, failure
	}
	if answer.Kind == rpc.ErrorResponse {
		if refusal, _ := rpc.ParseError(answer.Error); refusal.Code == codeMethodNotFound {
			return nil, nil
		}
		return nil, l.conn.refused(ctx, l.method, answer.Error)
	}
	return l.take(e.Era(), answer.Result)
}

// take keeps what a page holds beyond the life of the exchange.
func (l *listing) take(era Era, result []byte) (next []byte, failure *Failure) {
	array := find(result, l.member)
	if len(array) == 0 || array[0] != '[' {
		return nil, l.conn.server.malformed(false, "the answer to %s has no array %q", l.method, l.member)
	}
	if l.size += len(array); l.size > l.conn.server.cfg.Limits.Message {
		return nil, l.conn.server.tooLarge(false)
	}
	elements, err := rpc.ElementsUpTo(l.elements, clone(array), maxElements)
	if err == rpc.ErrTooMany {
		return nil, l.conn.server.malformed(false, "%s lists more than %d things", l.method, maxElements)
	}
	if err != nil {
		return nil, l.conn.server.failure(Malformed, false, err)
	}
	l.elements = elements
	if era == Modern {
		l.caching(result)
	}
	if next = find(result, "nextCursor"); string(next) == "null" {
		next = nil
	}
	return clone(next), nil
}

// caching notes how long, and for whom, a page may be kept. What cannot be read allows nothing.
func (l *listing) caching(result []byte) {
	if scope := find(result, "cacheScope"); scope != nil {
		text, _ := rpc.String(scope)
		l.private = l.private || text != "public"
	}
	raw := find(result, "ttlMs")
	if raw == nil {
		return
	}
	ms, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || !(ms >= 0) {
		ms = 0
	}
	const longest = 24 * time.Hour
	ttl := longest
	if ms < float64(longest/time.Millisecond) {
		ttl = time.Duration(ms * float64(time.Millisecond))
	}
	if l.ttl < 0 || ttl < l.ttl {
		l.ttl = ttl
	}
}

// asFailure undoes the conversion that the exported methods make.
func asFailure(err error) *Failure {
	if err == nil {
		return nil
	}
	return err.(*Failure)
}
