package upstream_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mcpsidecar/proxy/rpc"
	"mcpsidecar/proxy/upstream"
)

// hearing is what somebody hears who listens.
type hearing struct {
	*upstream.Conn
	missed  int      // how often changes of lists may have been missed
	updated []string // resources
}

// hearFrom listens to a server in a bubble until the test ends.
func hearFrom(t *testing.T, s setup) *hearing {
	h := &hearing{}
	h.Conn = s.Server.Conn(upstream.ConnConfig{Header: noHeaders, Missed: func() { h.missed++ }, Notify: func(m rpc.Message) {
		uri, _ := rpc.String(rpc.Find(m.Params, "uri"))
		h.updated = append(h.updated, uri)
	}})
	ctx, leave := context.WithCancel(t.Context())
	over := make(chan struct{})
	go func() { defer close(over); h.Listen(ctx) }()
	t.Cleanup(func() { leave(); <-over; s.Server.Close() })
	return h
}

// want lets some time pass and checks what was heard in it.
func (h *hearing) want(t *testing.T, when string, after time.Duration, missed int, updated ...string) {
	t.Helper()
	time.Sleep(after)
	synctest.Wait()
	if slices.Sort(h.updated); h.missed != missed || !slices.Equal(h.updated, updated) {
		t.Errorf("%s: missed %d times and updated %q, want %d and %q", when, h.missed, h.updated, missed, updated)
	}
	h.missed, h.updated = 0, nil
}

// lecturer is a modern server whose streams do as the test says. On each it can be told: ack (what is asked for is granted), end, or something to say.
type lecturer struct {
	*mcpServer
	streams chan chan string // receives each stream
}

func newLecturer() *lecturer {
	l := &lecturer{mcpServer: modernServer(nil), streams: make(chan chan string, 16)}
	l.on["subscriptions/listen"] = func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.(http.Flusher).Flush()
		filter := string(rpc.Find(m.Params, "notifications"))
		say := make(chan string)
		l.streams <- say
		for {
			select {
			case text := <-say:
				switch text {
				case "end":
					return
				case "ack":
					text = `{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"notifications":` + filter + `}}`
				}
				w.Write(rpc.AppendEvent(nil, "", []byte(text)))
				w.(http.Flusher).Flush()
			case <-r.Context().Done():
				return
			}
		}
	}
	return l
}

// TestModernStreamsLeaveGaps, and whoever listens hears of each: before the first is in force, and after one has ended until the next is.
func TestModernStreamsLeaveGaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLecturer()
		h := hearFrom(t, connect(t, "", inMemory(t, l)))
		watch := func(uri string) <-chan error {
			done := make(chan error, 1)
			go func() { done <- h.Watch(t.Context(), uri) }()
			return done
		}
		first := <-l.streams
		h.want(t, "an open stream that is not acknowledged", time.Second, 0)
		first <- "ack"
		h.want(t, "the first in force", 0, 1)
		first <- "ack"
		h.want(t, "in force again", 0, 0)

		a := watch("x://a")
		second := <-l.streams
		second <- "ack"
		if err := <-a; err != nil {
			t.Fatal(err)
		}
		h.want(t, "one that took the place of another", 0, 0)

		b := watch("x://b")
		third := <-l.streams
		second <- "end"
		h.want(t, "an end with the next one under way", 0, 0)
		third <- "ack"
		if err := <-b; err != nil {
			t.Fatal(err)
		}
		h.want(t, "the next one in force", 0, 1, "x://a")

		third <- "end"
		fourth := <-l.streams
		h.want(t, "one that is acknowledged late, when it was given up", 11*time.Second, 1)
		fourth <- "ack"
		h.want(t, "and is acknowledged", 0, 1, "x://a", "x://b")
	})
}

// TestASubscriptionBeforeTheStream: a legacy server that opens its stream late has agreed to tell of a resource by then.
func TestASubscriptionBeforeTheStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lib := newLibrary(upstream.Legacy)
		open, stream := make(chan struct{}), lib.on["GET"]
		lib.set("GET", func(w http.ResponseWriter, r *http.Request, m rpc.Message) { <-open; stream(w, r, m) })
		h := hearFrom(t, connect(t, "", inMemory(t, lib)))
		if err := h.Watch(t.Context(), "x://a"); err != nil {
			t.Fatal(err)
		}
		h.want(t, "without a stream", 0, 0)
		close(open)
		h.want(t, "when there is one", 0, 1, "x://a")
	})
}

// TestStreamsOfTheOldTransport tell of changes from the beginning, and the next one of what was missed since the last.
func TestStreamsOfTheOldTransport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newSSEServer()
		h := hearFrom(t, connect(t, "", inMemory(t, server), overSSE))
		h.want(t, "the first stream", time.Second, 0)
		close(server.last().cut)
		h.want(t, "the second", time.Minute, 1)
	})
}

// TestAStreamThatIsTakenAlready: a server that has not noticed that the last one broke lets nobody have another for a while.
func TestAStreamThatIsTakenAlready(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const changed = `data: {"jsonrpc":"2.0","method":"notifications/tools/list_changed"}` + "\n\n"
		server := scripted("", changed, "409", "409", changed)
		h := hearFrom(t, connect(t, "", inMemory(t, server)))
		h.want(t, "at last", time.Minute, 2, "", "")
		if asked := strings.Count(strings.Join(server.heard, " "), "GET"); asked < 4 {
			t.Errorf("the stream was asked for %d times", asked)
		}
	})
}
