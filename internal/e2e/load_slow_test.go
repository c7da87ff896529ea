package e2e_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestLoadOfSlowClients is L-05: headers and bodies that never end are cut off, as are clients that never read, and others are served meanwhile.
func TestLoadOfSlowClients(t *testing.T) {
	aside(t)
	heads, bodies, deaf := sized(200, 5000), sized(100, 1000), sized(50, 1000)
	rate := sized(50, 200)
	f := startFake(t, modernOnly)
	large := `"content":[{"type":"text","text":"` + strings.Repeat("x", mib) + `"}]`
	f.onCall(func(w http.ResponseWriter, _ *http.Request, m heard) {
		if m.Params.Name == "steps" {
			m.reply(w, large)
			return
		}
		m.answer(w)
	})
	s := startMeasured(t)
	s.register("one", f.URL)
	quick := s.modern("/mcp", s.token("alice"))
	quick.list()
	usual := compared(t, quick, "one__echo", f, rate, pause(time.Duration(sized(1, 10))*time.Second))
	before := s.fromHere()
	w := &wire{t: t, host: strings.TrimPrefix(s.Base, "http://"), token: s.token("slow")}
	var headsCut, bodiesCut, deafCut slowest
	var crowd sync.WaitGroup
	took := compared(t, quick, "one__echo", f, rate, func() {
		call := w.call("one__echo", "")
		head, _, _ := strings.Cut(call, "\r\nContent-Length")
		for range heads {
			time.Sleep(time.Millisecond) // they come in thousands a second, not all at once
			crowd.Go(func() { headsCut.note(dribble(t, w.host, head+"\r\nX-Slow: ", false)) })
		}
		for range bodies {
			time.Sleep(time.Millisecond)
			crowd.Go(func() { bodiesCut.note(dribble(t, w.host, call[:len(call)-10], false)) })
		}
		for range deaf {
			time.Sleep(time.Millisecond)
			crowd.Go(func() { deafCut.note(dribble(t, w.host, w.call("one__steps", ""), true)) })
		}
		crowd.Wait()
	})
	grown := s.peak() - before
	t.Logf("%d slow heads were cut off within %s, %d slow bodies within %s, %d that do not read within %s; %d MiB more memory; those who are polite: %s; before: %s",
		heads, &headsCut, bodies, &bodiesCut, deaf, &deafCut, grown/mib, took, usual)
	if grown > 400*mib {
		t.Errorf("it took %d MiB", grown/mib)
	}
	if full && (headsCut.time() > 12*time.Second || bodiesCut.time() > 33*time.Second || took.through > max(2*usual.through, 20*time.Millisecond)+took.later(usual)) {
		t.Error("that is too late, or too slow for those who are polite")
	}
}

// dribble sends the beginning of a request, then a byte every few seconds, and returns how long that was put up with. Whoever is deaf has sent all of a request and reads nothing.
func dribble(t *testing.T, host, text string, deaf bool) time.Duration {
	began := time.Now()
	connection, err := net.Dial("tcp", host)
	if err != nil {
		t.Error(err)
		return 0
	}
	defer connection.Close()
	if deaf {
		connection.(*net.TCPConn).SetReadBuffer(4 << 10)
	}
	connection.SetDeadline(time.Now().Add(2 * patience))
	io.WriteString(connection, text)
	gone := make(chan struct{})
	beat := time.NewTicker(5 * time.Second)
	defer beat.Stop()
	if !deaf {
		go func() {
			defer close(gone)
			got, err := io.ReadAll(connection)
			if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
				t.Errorf("a connection is not closed; it got %.200q", got)
			}
			if status := statusOf(string(got)); len(got) > 0 && status != http.StatusRequestTimeout && status != http.StatusBadRequest && status != http.StatusTooManyRequests {
				t.Errorf("a slow client is answered with %d", status)
			}
		}()
	}
	for {
		select {
		case <-gone:
			return time.Since(began)
		case <-beat.C:
			if _, err := io.WriteString(connection, "x"); err != nil {
				if !deaf {
					<-gone
				}
				return time.Since(began)
			}
		}
	}
}

// slowest keeps the longest of several times.
type slowest struct{ ns atomic.Int64 }

func (s *slowest) note(d time.Duration) {
	for old := s.ns.Load(); int64(d) > old && !s.ns.CompareAndSwap(old, int64(d)); old = s.ns.Load() {
	}
}

func (s *slowest) time() time.Duration { return time.Duration(s.ns.Load()) }
func (s *slowest) String() string      { return s.time().Round(time.Millisecond).String() }

// TestLoadOfIdleStreams is L-10: thousands of clients of both eras listen to nothing for long, at little cost, and hear of a change at once.
func TestLoadOfIdleStreams(t *testing.T) {
	streams := sized(300, 4500)
	s := startMeasured(t)
	id := s.register("one", startFake(t, modernOnly).URL)
	agents := make([]*agent, 0, streams)
	client := web(t)
	for n := range streams {
		if n%100 == 0 { // no user has too many
			agents = append(agents, s.modern("/mcp", s.token(fmt.Sprintf("user-%d", n/100))))
			agents[n].client = client
			continue
		}
		a := *agents[n-n%100]
		agents = append(agents, &a)
	}
	agents[0].list()
	before := s.fromHere()
	standing := make([]*events, streams)
	for n, a := range agents {
		if n%2 == 0 {
			opened := a.post(`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"idle","version":"1"}}}`)
			a.session = opened.header.Get("Mcp-Session-Id")
		}
		standing[n] = a.stream()
		if a.session == "" {
			if _, err := standing[n].next(); err != nil { // the acknowledgement
				t.Fatal(err)
			}
		}
	}
	time.Sleep(time.Duration(sized(1, 5)) * time.Second)
	each := float64(s.status("VmRSS")-before) / float64(streams)
	busy := s.metric("process_cpu_seconds_total")
	watched := time.Duration(sized(2, 60)) * time.Second
	time.Sleep(watched)
	share := (s.metric("process_cpu_seconds_total") - busy) / watched.Seconds()
	if open := s.metric("mcp_sidecar_streams"); open != float64(streams) {
		t.Errorf("%.0f of %d streams are open", open, streams)
	}
	began := time.Now()
	s.update(id, "tool_deny_list", []string{"echo"})
	for n, stream := range standing {
		if data, err := stream.next(); err != nil || !strings.Contains(data, "notifications/tools/list_changed") {
			t.Fatalf("stream %d says %q, %v", n, data, err)
		}
	}
	t.Logf("%d streams: %.1f KiB each, %.2f %% of a processor; all hear of a change within %s", streams, each/1024, 100*share, time.Since(began).Round(time.Millisecond))
	if full && (each > 32<<10 || share > .05) {
		t.Error("that is too much")
	}
}
