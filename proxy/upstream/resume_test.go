package upstream_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mcpsidecar/proxy/rpc"
	"mcpsidecar/proxy/upstream"
)

// script is a server whose streams end early: what the POST brings, and then each GET in turn. A step is text of a stream, in which %ID is the id of the request; or a status; "!" at its end breaks the connection.
type script struct {
	*mcpServer

	mu    sync.Mutex
	id    string
	steps []string
	after []string // Last-Event-ID of each GET
	at    []time.Duration
	began time.Time
}

func scripted(post string, steps ...string) *script {
	s := &script{steps: steps, began: time.Now()}
	s.mcpServer = legacyServer(func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
		s.mu.Lock()
		s.id = string(m.ID)
		s.mu.Unlock()
		s.play(w, post)
	})
	s.on["GET"] = func(w http.ResponseWriter, r *http.Request, _ rpc.Message) {
		s.mu.Lock()
		step := "404"
		if len(s.steps) > 0 {
			step, s.steps = s.steps[0], s.steps[1:]
		}
		s.after, s.at = append(s.after, r.Header.Get("Last-Event-ID")), append(s.at, time.Since(s.began))
		s.mu.Unlock()
		s.play(w, step)
	}
	return s
}

func (s *script) play(w http.ResponseWriter, step string) {
	var code int
	if n, _ := fmt.Sscanf(step, "%d", &code); n == 1 {
		w.WriteHeader(code)
		return
	}
	s.mu.Lock()
	text, breaks := strings.CutSuffix(strings.ReplaceAll(step, "%ID", s.id), "!")
	s.mu.Unlock()
	w.Header().Set("Content-Type", "text/event-stream")
	io.WriteString(w, text)
	w.(http.Flusher).Flush()
	if breaks {
		panic(http.ErrAbortHandler)
	}
}

const (
	primed    = "id: e0\nretry: 3000\ndata: \n\n"
	reported  = "id: e1\ndata: " + progress + "\n\n"
	concluded = "id: e9\ndata: " + answer + "\n\n"
)

// TestStreamsThatEndEarly: what a server can be asked for again with GET is taken up where it ended, and a call is sent once, whatever happens.
func TestStreamsThatEndEarly(t *testing.T) {
	for _, tt := range []struct {
		name     string
		post     string
		gets     []string
		answered bool
		reports  int
		after    []string // Last-Event-ID of the GETs
	}{
		{name: "after a priming event", post: primed, gets: []string{concluded}, answered: true, after: []string{"e0"}},
		{name: "after a report", post: primed + reported, gets: []string{concluded}, answered: true, reports: 1, after: []string{"e1"}},
		{name: "by a broken connection", post: reported + "!", gets: []string{concluded}, answered: true, reports: 1, after: []string{"e1"}},
		{name: "in the middle of an event", post: reported + "id: e2\ndata: {\"jsonrpc\"!", gets: []string{concluded}, answered: true, reports: 1, after: []string{"e1"}},
		{name: "again and again", post: primed, gets: []string{reported, reported + "!", "", "id: e5\ndata: \n\n", concluded}, answered: true, reports: 2, after: []string{"e0", "e1", "e1", "e1", "e5"}},
		{name: "and it cannot be had at first", post: primed, gets: []string{"503", "500", "429", concluded}, answered: true, after: []string{"e0", "e0", "e0", "e0"}},
		{name: "and it cannot be had at all", post: primed, gets: []string{"503", "503", "503", "503", "503", concluded}, after: []string{"e0", "e0", "e0", "e0", "e0"}},
		{name: "and the server knows nothing of it", post: primed, gets: []string{"400", concluded}, after: []string{"e0"}},
		{name: "and the server has no such streams", post: primed, gets: []string{"405", concluded}, after: []string{"e0"}},
		{name: "without an id", post: "data: " + progress + "\n\n", gets: []string{concluded}, reports: 1},
		{name: "with an id that was taken back", post: reported + "id\ndata: \n\n", gets: []string{concluded}, reports: 1},
		{name: "with an id that no header can carry", post: "id: e\x01\ndata: \n\n", gets: []string{concluded}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := scripted(tt.post, tt.gets...)
				s := connect(t, "", inMemory(t, server))
				call := toolCall
				call.Progress = true
				before, m, failure := finish(t, s.Conn, call)
				if answered := failure == nil && m.Kind == rpc.Response; answered != tt.answered {
					t.Errorf("answered: %v, %v", answered, failure)
				}
				if !tt.answered && (failure == nil || !failure.MayHaveRun) {
					t.Errorf("the failure %v does not say that the call may have run", failure)
				}
				if len(before) != tt.reports || !slices.Equal(server.after, tt.after) {
					t.Errorf("%d reports, then asked for what came after %q", len(before), server.after)
				}
				if n := server.count("tools/call"); n != 1 {
					t.Errorf("the call was sent %d times", n)
				}
			})
		})
	}
}

// TestRetryIsRespected: nobody comes back earlier than the server wants, and without a wish at once and then less and less often.
func TestRetryIsRespected(t *testing.T) {
	for _, tt := range []struct {
		name, post string
		gets       []string
		at         []time.Duration
	}{
		{"as the server wants", primed, []string{"retry: 7000\ndata:\n\n", "", concluded}, []time.Duration{3 * time.Second, 10 * time.Second, 17 * time.Second}},
		{"without a wish", "id: e0\ndata:\n\n", []string{"503", "503", concluded}, []time.Duration{250 * time.Millisecond, 750 * time.Millisecond, 1750 * time.Millisecond}},
		{"of next to nothing", "id: e0\nretry: 1\ndata:\n\n", []string{concluded}, []time.Duration{10 * time.Millisecond}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := scripted(tt.post, tt.gets...)
				s := connect(t, "", inMemory(t, server))
				mustAnswer(t, s.Conn)
				for i, want := range tt.at {
					if server.at[i] < want || server.at[i] > want+want/10 {
						t.Errorf("GET %d came after %s, want %s", i, server.at[i], want)
					}
				}
			})
		})
	}
}

// TestResumptionHasAnEnd: a server that wants to be asked for ever has not answered in time, and whoever gives up need not wait for that.
func TestResumptionHasAnEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := scripted(primed)
		polls := 0
		server.on["GET"] = func(w http.ResponseWriter, r *http.Request, _ rpc.Message) {
			polls++
			server.play(w, fmt.Sprintf("id: p%d\ndata:\n\n", polls))
		}
		s := connect(t, "", inMemory(t, server), limits(upstream.Limits{Call: time.Minute}))
		_, _, failure := finish(t, s.Conn, toolCall)
		wantFailure(t, failure, upstream.TimedOut, true)
		synctest.Wait() // the minute is over in the moment in which it is asked once more
		if polls < 18 || polls > 20 {
			t.Errorf("it was asked %d times in a minute, every 3 s", polls)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		server := scripted("id: e0\nretry: 1000000\ndata:\n\n")
		s := connect(t, "", inMemory(t, server))
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		e, err := s.Conn.Do(ctx, toolCall)
		if err != nil {
			t.Fatal(err)
		}
		_, err = e.Next()
		wantFailure(t, asFailure(t, err), upstream.TimedOut, true)
		e.Close()
		synctest.Wait()
		if server.count("GET") != 0 || server.count("notifications/cancelled") != 1 {
			t.Errorf("the server heard %q", server.heard)
		}
	})
}

// TestStandingStreamsGoOn: a standing stream is taken up where it ended, in the same session alone, and without an id where the server does not know that one. Where it begins anew, something may have been missed.
func TestStandingStreamsGoOn(t *testing.T) {
	const changed = `{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`
	say := func(id string) string { return "id: " + id + "\ndata: " + changed + "\n\n" }
	for _, tt := range []struct {
		name   string
		gets   []string
		after  []string
		heard  int
		missed int
	}{
		{"where it ended", []string{say("s1"), say("s2") + "!", say("s3")}, []string{"", "s1", "s2", "s3"}, 3, 1},
		{"unless it had no ids", []string{"data: " + changed + "\n\n", say("s1")}, []string{"", "", "s1"}, 2, 2},
		{"unless the server does not know the event", []string{say("s1"), "400", say("s2")}, []string{"", "s1", "", "s2"}, 2, 2},
		{"unless the server will not go on", []string{say("s1"), "405", say("s2")}, []string{"", "s1", "", "s2"}, 2, 2},
		{"unless the session is another", []string{say("s1"), "404", say("s2")}, []string{"", "s1", "", "s2"}, 2, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := scripted("", append(tt.gets, "405")...)
				s := connect(t, "", inMemory(t, server))
				heard, missed := 0, 0
				c := s.Server.Conn(upstream.ConnConfig{Header: noHeaders, Notify: func(rpc.Message) { heard++ }, Missed: func() { missed++ }})
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
				defer cancel()
				c.Listen(ctx)
				if len(server.after) < len(tt.after) || !slices.Equal(server.after[:len(tt.after)], tt.after) || heard != tt.heard || missed != tt.missed {
					t.Errorf("the streams were asked for after %q; %d notifications were heard, and %d times some may have been missed", server.after, heard, missed)
				}
			})
		})
	}
}
