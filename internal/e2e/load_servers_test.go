package e2e_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestLoadBesideServersThatHang is U-02: while servers hang in every way, and clients keep asking them, the calls of others take as long as ever.
func TestLoadBesideServersThatHang(t *testing.T) {
	aside(t)
	rate := sized(50, 200)
	s := startMeasured(t)
	well := startFake(t, modernOnly)
	s.register("well", well.URL)
	a := s.modern("/mcp", s.token("alice"))
	a.list()
	length := time.Duration(sized(2, 30)) * time.Second
	usual := compared(t, a, "well__echo", well, rate, pause(length))
	for name, hang := range hangs(t) {
		s.register(name, hang)
	}
	bob := s.modern("/mcp", s.token("bob"))
	took := compared(t, a, "well__echo", well, rate, func() {
		stop := time.Now().Add(length)
		var patient sync.WaitGroup
		for range 8 {
			patient.Go(func() {
				for ; time.Now().Before(stop); time.Sleep(100 * time.Millisecond) {
					if names := bob.list(); !slices.Contains(names, "well__echo") {
						t.Error("the list lacks the server that is well")
					}
				}
			})
		}
		patient.Wait()
	})
	t.Logf("%s; before: %s", took, usual)
	if full && took.through > usual.through*11/10+5*time.Millisecond+took.later(usual) {
		t.Error("the others are slower")
	}
}

// hangs are addresses of servers that take what they are sent and do not answer, each in its own way.
func hangs(t *testing.T) map[string]string {
	silent := must[net.Listener](t)(net.Listen("tcp", "127.0.0.1:0"))
	t.Cleanup(func() { silent.Close() })
	kinds := map[string]string{"silent": "http://" + silent.Addr().String()}
	over := make(chan struct{})
	for name, say := range map[string]func(w http.ResponseWriter, tick <-chan time.Time){
		"heads":    func(w http.ResponseWriter, _ <-chan time.Time) { w.(http.Flusher).Flush() },
		"drops":    func(w http.ResponseWriter, tick <-chan time.Time) { trickle(w, tick, over, "{") },
		"comments": func(w http.ResponseWriter, tick <-chan time.Time) { trickle(w, tick, over, ": still here\n\n") },
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", map[bool]string{true: "text/event-stream", false: "application/json"}[name == "comments"])
			beat := time.NewTicker(100 * time.Millisecond)
			defer beat.Stop()
			say(w, beat.C)
			select {
			case <-over:
			case <-r.Context().Done():
			}
		}))
		t.Cleanup(func() {
			server.CloseClientConnections()
			server.Close()
		})
		kinds[name] = server.URL
	}
	t.Cleanup(func() { close(over) }) // before the servers, which wait for their handlers
	return kinds
}

func trickle(w http.ResponseWriter, tick <-chan time.Time, over <-chan struct{}, text string) {
	for {
		select {
		case <-over:
			return
		case <-tick:
			if _, err := io.WriteString(w, text); err != nil {
				return
			}
			w.(http.Flusher).Flush()
		}
	}
}

// TestLoadOfEndlessProgress is U-06: a call that is always about to be done ends at the limit, and the server hears of it.
func TestLoadOfEndlessProgress(t *testing.T) {
	aside(t)
	limit := time.Duration(sized(5, 30)) * time.Second
	f := startFake(t, modernOnly)
	cancelled := make(chan time.Time, 1)
	var slowest time.Duration // between two reports
	f.onCall(func(w http.ResponseWriter, r *http.Request, m heard) {
		w.Header().Set("Content-Type", "text/event-stream")
		beat := time.NewTicker(50 * time.Millisecond)
		defer beat.Stop()
		for last := time.Now(); ; {
			select {
			case <-r.Context().Done():
				cancelled <- time.Now()
				return
			case now := <-beat.C:
				last, slowest = now, max(slowest, time.Since(last))
				fmt.Fprintf(w, `data: {"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":%s,"progress":1}}`+"\n\n", m.Params.Meta.Token)
				w.(http.Flusher).Flush()
			}
		}
	})
	s := start(t, "--upstream-timeout", "4s", "--upstream-max-time", limit.String())
	s.register("one", f.URL)
	a := s.modern("/mcp", s.token("alice"))
	a.list()
	began := time.Now()
	body, header := a.request(1, "tools/call", "one__echo", `"name":"one__echo","arguments":{}`)
	body = strings.Replace(body, meta(""), meta(`"progressToken":"mine"`), 1)
	m, err := lastMessage(a.post(body, header...))
	if err != nil {
		t.Fatal(err)
	}
	got, ended := saidBy(t, m), time.Since(began)
	heard := (<-cancelled).Sub(began)
	if !strings.Contains(got.Error, "one") || ended < limit && slowest < time.Second { // a machine that stood still for that long may have made the server a silent one
		t.Errorf("after %s it is answered with %+v; between two reports were up to %s", ended, got, slowest)
	}
	t.Logf("the call ended after %s, of %s; the server heard of it after %s", ended, limit, heard)
	if full && (ended > limit+time.Second || heard > ended+time.Second) {
		t.Error("that is too late")
	}
}

// TestLoadWhileAServerRestarts is U-09: whatever is not under way when a server dies works again as soon as it is back, sessions included.
func TestLoadWhileAServerRestarts(t *testing.T) {
	aside(t)
	restarts, up := sized(3, 60), time.Duration(sized(300, 4500))*time.Millisecond
	for _, kind := range []string{modernOnly, legacyOnly} {
		t.Run(kind, func(t *testing.T) {
			aside(t)
			address := takePort(t)
			f := startFakeAt(t, address, kind)
			f.needsSession()
			s := start(t)
			s.register("one", f.URL)
			agents := []*agent{s.modern("/mcp", s.token("alice")), s.legacy("/mcp", s.token("bob"))}
			for _, a := range agents {
				a.list()
			}
			var slowest time.Duration
			var calls, failed int
			for range restarts {
				v := []*visitors{visitOf(agents[0], "one__echo", 20), visitOf(agents[1], "one__echo", 20)}
				time.Sleep(up)
				f.CloseClientConnections()
				f.Close()
				for _, v := range v {
					took, failures := v.end()
					calls, failed = calls+len(took), failed+len(failures)
				}
				f.again(t, address)
				for _, a := range agents {
					began := time.Now()
					eventually(t, "calls work again", func() bool { return callOnce(a, "one__echo", 1) == nil })
					slowest = max(slowest, time.Since(began))
				}
			}
			t.Logf("%d restarts: %d of %d calls failed, all works again within %s", restarts, failed, calls, slowest.Round(time.Millisecond))
			if full && slowest > time.Second {
				t.Error("that is too slow")
			}
		})
	}
}

// TestLoadOfTooMuch is L-14: five times as many callers as are let in make the work of those that are let in no less, are told to come back, and leave nothing behind.
func TestLoadOfTooMuch(t *testing.T) {
	const limit = 256 // requests of one user under way
	length := time.Duration(sized(5, 60)) * time.Second
	f := startFake(t, modernOnly)
	var crowded atomic.Bool
	sent := make(chan struct{}) // closed when somebody is sent away
	f.onCall(func(w http.ResponseWriter, r *http.Request, m heard) {
		time.Sleep(2 * time.Second) // so that it is the limit that limits, and not the machine
		if crowded.Load() {         // however slow that is
			select {
			case <-sent:
			case <-r.Context().Done():
			}
		}
		m.answer(w)
	})
	s := startMeasured(t, "--max-requests-per-user", strconv.Itoa(limit))
	s.register("one", f.URL)
	a := s.modern("/mcp", s.token("alice"))
	a.client.Transport.(*http.Transport).MaxIdleConnsPerHost = 5 * limit
	a.list()
	before := s.fromHere()
	fit, _ := crowd(a, limit, length, func() {})
	crowded.Store(true)
	served, refused := crowd(a, 5*limit, length, sync.OnceFunc(func() { close(sent) }))
	grown := s.peak() - before
	began := time.Now()
	eventually(t, "all is as before", func() bool { return callOnce(a, "one__echo", 1) == nil })
	t.Logf("%.0f calls a second when they fit; of five times as many callers %.0f are served and %.0f refused; as before after %s; %d MiB more memory",
		float64(fit)/length.Seconds(), float64(served)/length.Seconds(), float64(refused.busy.Load())/length.Seconds(), time.Since(began).Round(time.Millisecond), grown/mib)
	if n := refused.other.Load(); n > 0 {
		t.Errorf("%d were neither served nor told to come back, the first: %v", n, refused.first.Load())
	}
	if refused.busy.Load() == 0 {
		t.Error("nobody was refused")
	}
	if full && float64(served) < .8*float64(fit) {
		t.Error("that is too little")
	}
}

// refusals are answers to those who were not served.
type refusals struct {
	busy, other atomic.Int64 // told to come back; anything else
	first       atomic.Value // of other
}

// crowd has several callers call again and again, and come back later where they are told to; each time busy is called.
func crowd(a *agent, callers int, length time.Duration, busy func()) (served int64, refused *refusals) {
	var counted atomic.Int64
	refused = &refusals{}
	stop := time.Now().Add(length)
	var all sync.WaitGroup
	for n := range callers {
		all.Go(func() {
			for time.Now().Before(stop) {
				body, header := a.request(n, "tools/call", "one__echo", `"name":"one__echo","arguments":{}`)
				got, err := try(a.t, a.client, http.MethodPost, a.url, a.token, body, a.with(header)...)
				switch {
				case err == nil && got.status == http.StatusOK && !strings.Contains(got.body, `"isError":true`):
					counted.Add(1)
				case err == nil && (got.status == http.StatusTooManyRequests || got.status == http.StatusServiceUnavailable) && got.header.Get("Retry-After") != "":
					refused.busy.Add(1)
					busy()
					time.Sleep(time.Second) // which is what it is told
				default:
					refused.other.Add(1)
					refused.first.CompareAndSwap(nil, fmt.Sprintf("%v %d %.200s", err, got.status, got.body))
				}
			}
		})
	}
	all.Wait()
	return counted.Load(), refused
}

// TestLoadOfManyTools is L-16: a list of twenty thousand tools of a hundred servers is the same each time, and ready.
func TestLoadOfManyTools(t *testing.T) {
	servers, tools, asks := sized(20, 100), sized(50, 200), sized(10, 200)
	names := make([]string, tools)
	for n := range names {
		names[n] = toolNamed(fmt.Sprintf("tool_%03d", n))
	}
	s := startMeasured(t)
	fakes := make([]*fake, servers)
	for n := range servers {
		f := startFake(t, []string{modernOnly, legacyOnly}[n%2])
		f.list = strings.Join(names, ",")
		f.ttl(time.Hour)
		s.register(fmt.Sprintf("s%03d", n), f.URL)
		fakes[n] = f
	}
	a := s.modern("/mcp", s.token("alice"))
	alone := fetchedStraight(t, fakes)
	first, cold := allTools(t, a)
	eventually(t, "every server has answered", func() bool { // which a machine that does something else as well may keep some from in the time that a list waits
		if len(first) != servers*tools {
			first, _ = allTools(t, a)
		}
		return len(first) == servers*tools
	})
	if len(first) != servers*tools || !slices.IsSorted(first) {
		t.Errorf("there are %d tools, in order: %v", len(first), slices.IsSorted(first))
	}
	var took, sent []time.Duration
	list, header := a.request(1, "tools/list", "", "")
	sender := bare(t, a.post(list, header...).body)
	for range asks {
		again, one := allTools(t, a)
		_, same := allTools(t, sender)
		took, sent = append(took, one), append(sent, same)
		if !slices.Equal(again, first) {
			t.Fatal("the list is another now")
		}
	}
	slices.Sort(took)
	slices.Sort(sent)
	t.Logf("%d tools: %s when nothing is known, and %s for half the lists without the sidecar; then p50 %s, p99 %s, and %s, %s to send the same bytes; the sidecar holds %d MiB",
		len(first), cold, alone, portion(took, .5), portion(took, .99), portion(sent, .5), portion(sent, .99), s.status("VmRSS")/mib)
	if full && (portion(took, .99) > max(150*time.Millisecond, 4*portion(sent, .99)) || cold > max(5*time.Second, 20*alone)) {
		t.Error("that is too slow")
	}
}

// allTools follows every page, and says how long it took until all was there.
func allTools(t *testing.T, a *agent) (names []string, took time.Duration) {
	t.Helper()
	cursor := ""
	for {
		var page struct {
			Result struct {
				Tools      []struct{ Name string }
				NextCursor string
			}
		}
		body, header := a.request(1, "tools/list", "", cursor)
		began := time.Now()
		got := a.post(body, header...)
		took += time.Since(began)
		if err := json.Unmarshal([]byte(got.body), &page); err != nil {
			t.Fatalf("%v in %d %.300s", err, got.status, got.body)
		}
		for _, tool := range page.Result.Tools {
			names = append(names, tool.Name)
		}
		if page.Result.NextCursor == "" {
			return names, took
		}
		cursor = fmt.Sprintf(`"cursor":%q`, page.Result.NextCursor)
	}
}
