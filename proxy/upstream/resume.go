package upstream

import (
	"context"
	"io"
	"net/http"
	"time"

	"mcpsidecar/proxy/rpc"
)

// This file takes up streams of legacy servers where they ended: with GET and Last-Event-ID (2025-11-25, Resumability and Redelivery). What was asked is never sent again.

// cursor is how far a stream was read.
type cursor struct {
	lastID string        // of the last event that had one; empty: the stream cannot be taken up
	retry  time.Duration // how long the server wants to be left alone before; 0: it did not say
}

// note remembers what a reader has seen, which is little where a stream has just been taken up.
func (c *cursor) note(events *rpc.EventReader) {
	if id := events.LastID(); id != "" {
		c.lastID = id
	}
	if retry := events.Retry(); retry > 0 {
		c.retry = max(retry, shortestRetry)
	}
}

// usable says whether there is an id, and it can stand in a header.
func (c *cursor) usable() bool { return c.lastID != "" && rpc.PlainHeader(c.lastID) }

// Bounds of taking up the stream of a request. Its own limits run on meanwhile, so that a server that wants to be left alone for longer than those has not answered in time.
const (
	maxTries      = 5                     // in a row that did not get the stream
	firstPause    = time.Second / 4       // before the first, if the server did not say
	longestPause  = 16 * time.Second      // between two, unless the server wants more
	shortestRetry = 10 * time.Millisecond // that is believed
)

// place is how far the standing stream of a session was heard.
type place struct {
	link *link
	cursor
}

// at is the event after which the stream of this link goes on; empty: a new one begins.
func (p *place) at(l *link) string {
	if p.link != l || !p.usable() {
		return ""
	}
	return p.lastID
}

// heard notes where a stream of this link ended.
func (p *place) heard(l *link, events *rpc.EventReader) {
	if p.link != l {
		*p = place{link: l}
	}
	p.note(events)
}

// pause is how long to wait before a try: at least as long as the server wants.
func (c *cursor) pause(try int) time.Duration {
	if try == 0 && c.retry > 0 {
		return c.retry
	}
	return max(c.retry, min(firstPause<<min(try, 8), longestPause))
}

// resume takes up the stream of an exchange that ended with err before the answer.
func (e *Exchange) resume(err error) *Failure {
	cause := e.unreadable(err)
	if err == io.EOF {
		cause = e.conn.server.malformed(true, "the stream ended without an answer")
	}
	if e.ctx.Err() != nil {
		return e.conn.server.ended(e.ctx, true)
	}
	if e.private || e.link.era == Modern || err != io.EOF && cause.Kind != Unreachable {
		return cause
	}
	earlier := e.cursor.lastID
	e.cursor.note(e.events)
	if err == io.EOF && e.cursor.retry > 0 && e.call.Poller != nil {
		e.call.Poller.Polled(e.cursor.retry)
	}
	if !e.cursor.usable() {
		return cause
	}
	if e.cursor.lastID != earlier {
		e.dry = 0
	}
	e.shut()
	for range maxTries {
		wait := e.cursor.pause(e.dry)
		e.dry++
		if !pause(e.ctx, wait) {
			return e.conn.server.ended(e.ctx, true)
		}
		again, failure := e.takeUp(cause)
		if !again {
			return failure
		}
	}
	return cause
}

// takeUp tries it once. cause is the failure where there is nothing to be taken up any more; again: it may be otherwise later.
func (e *Exchange) takeUp(cause *Failure) (again bool, failure *Failure) {
	response, failure := e.conn.getStream(e.ctx, e.link, e.cursor.lastID)
	if failure != nil {
		failure.MayHaveRun = true
		return failure.Kind == Unreachable, failure
	}
	if isStream(response) {
		e.response = response
		if failure = e.open(response); failure == nil {
			e.events = rpc.NewEventReader(&e.source, e.conn.server.cfg.Limits.Message)
		}
		return false, failure
	}
	discard(response)
	return response.StatusCode >= 500 || response.StatusCode == http.StatusTooManyRequests, cause
}

// shut closes a connection that brings nothing any more.
func (e *Exchange) shut() {
	e.events.Release()
	e.events = nil
	e.response.Body.Close()
	e.response = nil
}

// pause waits. False: ctx ended first.
func pause(ctx context.Context, length time.Duration) bool {
	timer := time.NewTimer(length)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
