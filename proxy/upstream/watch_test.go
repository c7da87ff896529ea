package upstream_test

import (
	"bytes"
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

// library is a server of either era that tells of changes of its resources. It does not want to tell of those that are called bad.
type library struct {
	*mcpServer
	asked chan string // receives each subscription and its end, and each stream with what it asks for

	mu      sync.Mutex
	session int
	end     map[string]context.CancelFunc
	out     []*libraryStream
}

type libraryStream struct {
	session string
	uris    []string
	say     chan string
	over    <-chan struct{} // closed when nobody says anything any more
}

func newLibrary(era upstream.Era) *library {
	lib := &library{asked: make(chan string, 64), end: map[string]context.CancelFunc{}}
	if era == upstream.Modern {
		lib.mcpServer = modernServer(nil)
		lib.on["subscriptions/listen"] = lib.listen
		return lib
	}
	lib.mcpServer = legacyServer(nil)
	lib.on["initialize"] = func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
		lib.mu.Lock()
		lib.session++
		w.Header().Set("Mcp-Session-Id", fmt.Sprint("session-", lib.session))
		lib.mu.Unlock()
		result(`{"protocolVersion":"2025-11-25","capabilities":{"resources":{"subscribe":true}},"serverInfo":{"name":"fake","version":"1"}}`)(w, r, m)
	}
	lib.on["resources/subscribe"] = lib.change
	lib.on["resources/unsubscribe"] = lib.change
	lib.on["GET"] = func(w http.ResponseWriter, r *http.Request, _ rpc.Message) {
		if !lib.knows(r) {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		lib.stream(w, r, nil, "")
	}
	return lib
}

func (lib *library) knows(r *http.Request) bool {
	lib.mu.Lock()
	defer lib.mu.Unlock()
	return r.Header.Get("Mcp-Session-Id") == fmt.Sprint("session-", lib.session)
}

func (lib *library) change(w http.ResponseWriter, r *http.Request, m rpc.Message) {
	uri, _ := rpc.String(rpc.Find(m.Params, "uri"))
	if !lib.knows(r) {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	lib.asked <- m.Method + " " + uri
	if strings.Contains(uri, "bad") {
		refusal(200, "", `{"code":-32002,"message":"Resource not found"}`)(w, r, m)
		return
	}
	result(`{}`)(w, r, m)
}

func (lib *library) listen(w http.ResponseWriter, r *http.Request, m rpc.Message) {
	filter := rpc.Find(m.Params, "notifications")
	var uris []string
	if raw := rpc.Find(filter, "resourceSubscriptions"); raw != nil {
		elements, _ := rpc.Elements(nil, raw)
		for _, e := range elements {
			uri, _ := rpc.String(e)
			uris = append(uris, uri)
		}
	}
	lib.asked <- "listen " + strings.Join(uris, " ")
	if slices.ContainsFunc(uris, func(uri string) bool { return strings.Contains(uri, "bad") }) {
		refusal(200, "", `{"code":-32602,"message":"Resource not found"}`)(w, r, m)
		return
	}
	granted := slices.DeleteFunc(slices.Clone(uris), func(uri string) bool { return strings.Contains(uri, "mute") })
	ack := `{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"notifications":{"resourceSubscriptions":["` + strings.Join(granted, `","`) + `"]}}}`
	lib.stream(w, r, uris, ack)
}

// stream says what it is told to until the client goes or drop is called.
func (lib *library) stream(w http.ResponseWriter, r *http.Request, uris []string, first string) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	st := &libraryStream{session: r.Header.Get("Mcp-Session-Id"), uris: uris, say: make(chan string), over: ctx.Done()}
	lib.mu.Lock()
	lib.out = append(lib.out, st)
	lib.end[fmt.Sprintf("%p", st)] = cancel
	lib.mu.Unlock()
	defer func() {
		lib.mu.Lock()
		lib.out = slices.DeleteFunc(lib.out, func(other *libraryStream) bool { return other == st })
		lib.mu.Unlock()
		lib.asked <- "end"
	}()
	lib.asked <- "stream"
	w.Header().Set("Content-Type", "text/event-stream")
	if first != "" {
		w.Write(rpc.AppendEvent(nil, "", []byte(first)))
	}
	w.(http.Flusher).Flush()
	for {
		select {
		case text := <-st.say:
			w.Write(rpc.AppendEvent(nil, "", []byte(text)))
			w.(http.Flusher).Flush()
		case <-ctx.Done():
			return
		}
	}
}

// update says on every stream that a resource is updated.
func (lib *library) update(uri string) {
	lib.mu.Lock()
	out := slices.Clone(lib.out)
	lib.mu.Unlock()
	for _, st := range out {
		select {
		case st.say <- fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":%q}}`, uri):
		case <-st.over:
		}
	}
}

// settle waits until one stream is left: a server sees late that the others are closed, and what is said on them may still be heard.
func (lib *library) settle() {
	for {
		lib.mu.Lock()
		left := len(lib.out)
		lib.mu.Unlock()
		if left == 1 {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// drop ends every stream; forget says that the session is lost as well.
func (lib *library) drop(forget bool) {
	lib.mu.Lock()
	defer lib.mu.Unlock()
	if forget {
		lib.session++
	}
	for _, cancel := range lib.end {
		cancel()
	}
}

// reader listens to a library and hears of updates.
type reader struct {
	t *testing.T
	*library
	*upstream.Conn
	heard chan string
}

func startReader(t *testing.T, era upstream.Era) *reader {
	lib := newLibrary(era)
	return readIn(t, lib, connect(t, serve(t, lib)))
}

func readIn(t *testing.T, lib *library, s setup) *reader {
	r := &reader{t: t, library: lib, heard: make(chan string, 64)}
	r.Conn = s.Server.Conn(upstream.ConnConfig{Header: noHeaders, Notify: func(m rpc.Message) {
		uri, _ := rpc.String(rpc.Find(m.Params, "uri"))
		r.heard <- uri
	}})
	over := make(chan struct{})
	go func() { defer close(over); r.Listen(t.Context()) }()
	t.Cleanup(func() { s.Server.Close(); <-over })
	return r
}

// want waits for what the server is asked, in this order; what is in no order is in one argument, with commas.
func (r *reader) want(steps ...string) {
	r.t.Helper()
	for _, step := range steps {
		want := strings.Split(step, ",")
		for range want {
			got := <-r.asked
			if i := slices.Index(want, got); i >= 0 {
				want[i] = "done"
				continue
			}
			r.t.Fatalf("the server is asked %q, want %q", got, want)
		}
	}
}

func (r *reader) watch(uri string) {
	r.t.Helper()
	if err := r.Watch(r.t.Context(), uri); err != nil {
		r.t.Fatal(err)
	}
}

func (r *reader) wantUpdate(uri string) {
	r.t.Helper()
	if got := <-r.heard; got != uri {
		r.t.Fatalf("%q is updated, want %q", got, uri)
	}
}

func TestALegacyServerIsToldWhatIsWatched(t *testing.T) {
	r := startReader(t, upstream.Legacy)
	r.want("stream")
	r.watch("x://a")
	r.watch("x://a")
	r.want("resources/subscribe x://a")
	r.update("x://a")
	r.wantUpdate("x://a")
	r.Unwatch("x://a")
	r.watch("x://b")
	r.want("resources/subscribe x://b") // and nothing of the first: one is left
	r.Unwatch("x://a")
	r.want("resources/unsubscribe x://a")
	r.watch("x://a")
	r.want("resources/subscribe x://a")

	err := r.Watch(t.Context(), "x://bad")
	if failure := asFailure(t, err); failure.Kind != upstream.Refused || string(failure.Refusal) != `{"code":-32002,"message":"Resource not found"}` {
		t.Errorf("what the server does not want: %v, %s", failure, failure.Refusal)
	}
	r.want("resources/subscribe x://bad")

	// The server restarts: the stream is opened anew, its session is not known, and the next one is told everything. What was missed is made up for.
	r.drop(true)
	r.want("end")
	got := []string{<-r.heard, <-r.heard}
	if slices.Sort(got); !slices.Equal(got, []string{"x://a", "x://b"}) {
		t.Errorf("after a restart: updated %q", got)
	}
	r.want("stream,resources/subscribe x://a,resources/subscribe x://b")
	r.update("x://b")
	r.wantUpdate("x://b")
}

func TestAModernServerIsAskedForWhatIsWatched(t *testing.T) {
	r := startReader(t, upstream.Modern)
	r.want("listen ", "stream")
	r.watch("x://b")
	r.want("listen x://b", "stream", "end") // the next one before the end of the last
	r.watch("x://a")
	r.want("listen x://a x://b", "stream", "end")
	r.update("x://a")
	r.wantUpdate("x://a")
	r.watch("x://a") // is known
	r.Unwatch("x://b")
	r.want("listen x://a", "stream", "end")

	if failure := asFailure(t, r.Watch(t.Context(), "x://mute")); failure.Kind != upstream.Refused {
		t.Errorf("what the server does not grant: %v", failure)
	}
	r.want("listen x://a x://mute", "stream", "end,listen x://a,stream,end") // a server sees late that a stream is closed

	r.drop(false)
	r.want("end", "listen x://a", "stream")
	r.wantUpdate("x://a") // it may have been missed
}

// TestOneBadResourceTakesNothingElseAway: a modern server refuses a whole subscription for one of its resources.
func TestOneBadResourceTakesNothingElseAway(t *testing.T) {
	r := startReader(t, upstream.Modern)
	r.want("listen ", "stream")
	r.watch("x://0")
	uris := []string{"x://1", "x://2", "x://bad", "x://4", "x://5"}
	refused := make([]bool, len(uris))
	var all sync.WaitGroup
	for i, uri := range uris {
		all.Go(func() { refused[i] = r.Watch(t.Context(), uri) != nil })
	}
	all.Wait()
	if want := []bool{false, false, true, false, false}; !slices.Equal(refused, want) {
		t.Errorf("refused: %v, want %v", refused, want)
	}
	r.settle()
	for _, uri := range []string{"x://0", "x://1", "x://2", "x://4", "x://5"} {
		r.update(uri)
		r.wantUpdate(uri)
	}
}

// TestAWatchOfAServerThatIsNotThere fails, and leaves nothing.
func TestAWatchOfAServerThatIsNotThere(t *testing.T) {
	s := connect(t, "http://127.0.0.1:1/")
	if failure := asFailure(t, s.Watch(t.Context(), "x://a")); failure.Kind != upstream.Unreachable {
		t.Errorf("it fails with %v", failure)
	}
	s.Conn.Close(t.Context())
	if failure := asFailure(t, s.Watch(t.Context(), "x://a")); failure.Kind != upstream.Canceled {
		t.Errorf("after the end it fails with %v", failure)
	}
}

// TestAServerChangesItsEraInTheMiddle: what a legacy server is being told is answered when it is a modern one already, and nobody watches any more.
func TestAServerChangesItsEraInTheMiddle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lib := newLibrary(upstream.Legacy)
		release := make(chan struct{})
		lib.set("resources/subscribe", func(w http.ResponseWriter, r *http.Request, m rpc.Message) {
			lib.asked <- "held"
			<-release
			result(`{}`)(w, r, m)
		})
		r := readIn(t, lib, connect(t, "", inMemory(t, lib)))
		r.want("stream")
		ctx, leave := context.WithCancel(t.Context())
		go func() { lib.asked <- fmt.Sprint("watched: ", r.Watch(ctx, "x://a") == nil) }()
		r.want("held")
		leave()
		r.want("watched: false")
		for method, h := range modernServer(nil).on {
			lib.set(method, h)
		}
		lib.set("subscriptions/listen", lib.listen)
		lib.set("initialize", status(http.StatusBadRequest, "no"))
		r.drop(true)
		r.want("end", "listen ", "stream")
		close(release)
		synctest.Wait()
		r.watch("x://b")
		r.want("listen x://b", "stream", "end")
	})
}

// FuzzAcknowledgement lets a modern server answer a subscription with anything. The watch succeeds only where the server named the resource, and it ends.
func FuzzAcknowledgement(f *testing.F) {
	ack := `{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"notifications":{"resourceSubscriptions":["x://a"]}}}`
	for _, seed := range []string{
		"data: " + ack + "\n\n", "data: " + strings.Replace(ack, `"x://a"`, "", 1) + "\n\n", "data: " + strings.Replace(ack, `["x://a"]`, `"x://a"`, 1) + "\n\n",
		"data: " + strings.Replace(ack, `{"resourceSubscriptions":["x://a"]}`, "7", 1) + "\n\n", "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32602,\"message\":\"no\"}}\n\n", "data: {\n\n", "",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		s := connect(t, "http://fake.test", limits(upstream.Limits{Message: 1 << 16, Connect: 20 * time.Millisecond}), func(c *upstream.Config) {
			c.Client = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
				text, _ := io.ReadAll(bodyOf(r))
				if m, _ := rpc.Read(text); m.Method == "server/discover" {
					return respond(200, "application/json", answerTo(m, `{"supportedVersions":["2026-07-28"]}`)), nil
				}
				return respond(200, "text/event-stream", string(body)), nil
			})}
		})
		ctx, cancel := context.WithCancel(t.Context())
		over := make(chan struct{})
		go func() { defer close(over); s.Listen(ctx) }()
		if err := s.Watch(t.Context(), "x://a"); err == nil && !bytes.Contains(body, []byte(`resourceSubscriptions`)) {
			t.Errorf("it agreed to nothing: %q", body)
		}
		cancel()
		<-over
	})
}
