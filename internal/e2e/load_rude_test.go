package e2e_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mcpsidecar/internal/e2e/rig"
)

// TestLoadOfRudeClients is L-11: ten thousand clients of both eras come and go in every rude way, and nothing of them is left.
func TestLoadOfRudeClients(t *testing.T) {
	cycles := sized(600, 10_000)
	f, asker := startFake(t, legacyOnly), startFake(t, legacyOnly)
	asks(asker)
	for _, server := range []*fake{f, asker} { // connections that are kept for the next call, as many as there were calls at once, are no leak, and would hide one
		server.Config.SetKeepAlivesEnabled(false)
	}
	// The collector runs often, so that what is left can be told from what is not collected yet.
	s := startWith(t, rig.SidecarConfig{Dir: filepath.Join(t.TempDir(), "data"), Binary: must[string](t)(sidecarBinary()), Env: []string{"GOGC=20"}})
	s.register("one", f.URL)
	s.register("asker", asker.URL)
	token := s.token("alice")
	a := s.modern("/mcp", token)
	polite := func() {
		if err := callOnce(a, "one__echo", 1); err != nil {
			t.Fatal(err)
		}
	}
	rude := rudeWays(&wire{t: t, host: strings.TrimPrefix(s.Base, "http://"), token: token})
	for range maxParked { // whatever is made once is made, and as many questions are left as are kept
		for _, way := range rude {
			rudely(t, s, way)
		}
	}
	polite()
	time.Sleep(2 * time.Second) // once a second it is seen whose client is gone
	goroutines, files, heap := s.metric("go_goroutines"), s.metric("process_open_fds"), s.metric("go_memstats_heap_alloc_bytes")
	var crowd sync.WaitGroup
	for n := range 8 {
		crowd.Go(func() {
			for i := range cycles / 8 {
				rudely(t, s, rude[(n+i)%len(rude)])
			}
		})
	}
	crowd.Wait()
	began := time.Now()
	var now [3]float64
	eventually(t, "goroutines, files and memory are back", func() bool {
		polite()
		now = [3]float64{s.metric("go_goroutines") - goroutines, s.metric("process_open_fds") - files, s.metric("go_memstats_heap_alloc_bytes") - heap}
		if time.Since(began) > 30*time.Second {
			t.Errorf("after half a minute there are %.0f goroutines, %.0f files and %.1f MiB more", now[0], now[1], now[2]/mib)
			return true
		}
		return now[0] <= 5 && now[1] <= 5 && now[2] <= 10*mib && s.metric("mcp_sidecar_in_flight_requests") <= maxParked && s.metric("mcp_sidecar_streams") == 0
	})
	t.Logf("%d clients; after %s there are %+.0f goroutines, %+.0f files and %+.1f MiB", cycles, time.Since(began).Round(time.Millisecond), now[0], now[1], now[2]/mib)
}

// maxParked is how many calls of one user may wait for an answer without a connection, and how many may go on without their client. They are kept for five minutes.
const maxParked = 16

// asks makes a server ask in the course of each call, until it hears that nobody answers.
func asks(f *fake) {
	var number atomic.Int64
	var waiting sync.Map // channels, by the id of the question
	f.onCall(func(w http.ResponseWriter, r *http.Request, m heard) {
		id, answered := fmt.Sprintf(`"q%d"`, number.Add(1)), make(chan struct{})
		waiting.Store(id, answered)
		defer waiting.Delete(id)
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, `data: {"jsonrpc":"2.0","id":%s,"method":"elicitation/create","params":{"message":"Which?","requestedSchema":{"type":"object","properties":{}}}}`+"\n\n", id)
		w.(http.Flusher).Flush()
		select {
		case <-answered:
			io.WriteString(w, "data: ")
			m.answer(w)
			io.WriteString(w, "\n\n")
		case <-r.Context().Done():
		}
	})
	f.onAnswer(func(id string) {
		if answered, ok := waiting.LoadAndDelete(id); ok {
			close(answered.(chan struct{}))
		}
	})
}

// rudely connects, is rude, and leaves.
func rudely(t *testing.T, s *sidecar, way func(c *net.TCPConn)) {
	connection, err := net.Dial("tcp", strings.TrimPrefix(s.Base, "http://"))
	if err != nil {
		t.Error(err)
		return
	}
	defer connection.Close()
	connection.SetDeadline(time.Now().Add(patience))
	way(connection.(*net.TCPConn))
}

// wire writes requests by hand.
type wire struct {
	t     *testing.T
	host  string
	token string
}

// post is a request with a body; header are lines.
func (w *wire) post(body string, header ...string) string {
	return fmt.Sprintf("POST /mcp HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nAccept: %s\r\n%sContent-Length: %d\r\n\r\n%s",
		w.host, w.token, acceptBoth, lines(header), len(body), body)
}

// call is a call of a modern client, which can be asked.
func (w *wire) call(tool, more string) string {
	said := strings.Replace(meta(`"progressToken":7`), `"io.modelcontextprotocol/clientCapabilities":{}`, `"io.modelcontextprotocol/clientCapabilities":{"elicitation":{}}`, 1)
	body := fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":%q,"arguments":{%s},%s}}`, tool, more, said)
	return w.post(body, "Mcp-Protocol-Version: 2026-07-28", "Mcp-Method: tools/call", "Mcp-Name: "+tool)
}

func lines(header []string) (text string) {
	for _, line := range header {
		text += line + "\r\n"
	}
	return text
}

// opened opens a session and returns how its requests name it; empty: that was not possible.
func (w *wire) opened(c *net.TCPConn, capabilities string) (header string, answers *bufio.Reader) {
	answers = bufio.NewReader(c)
	io.WriteString(c, w.post(`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":`+capabilities+`,"clientInfo":{"name":"rude","version":"1"}}}`))
	response, err := http.ReadResponse(answers, nil)
	if err != nil {
		w.t.Error(err)
		return "", answers
	}
	io.Copy(io.Discard, response.Body)
	if response.StatusCode != http.StatusOK {
		w.t.Errorf("initialize is answered with %s", response.Status)
	}
	return "Mcp-Session-Id: " + response.Header.Get("Mcp-Session-Id"), answers
}

// rudeWays are all the ways in which clients leave.
func rudeWays(w *wire) []func(c *net.TCPConn) {
	echo, steps := w.call("one__echo", ""), w.call("one__steps", `"x":"`+strings.Repeat("x", 10_000)+`"`)
	legacyCall := func(tool string) string {
		return fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":%q,"arguments":{}}}`, tool)
	}
	listen := w.post(`{"jsonrpc":"2.0","id":2,"method":"subscriptions/listen","params":{"notifications":{"toolsListChanged":true},`+meta("")+`}}`, "Mcp-Protocol-Version: 2026-07-28", "Mcp-Method: subscriptions/listen")
	first := func(c io.Reader) { io.ReadFull(c, make([]byte, 1)) }
	drop := func(c *net.TCPConn) { c.SetLinger(0) }
	return []func(c *net.TCPConn){
		// Modern clients, and those that are no clients yet.
		func(c *net.TCPConn) { io.WriteString(c, echo); first(c) },                               // leaves as it should
		func(c *net.TCPConn) { io.WriteString(c, steps); first(c); drop(c) },                     // breaks off in the midst of the answer
		func(c *net.TCPConn) { io.WriteString(c, steps); drop(c) },                               // breaks off before it
		func(c *net.TCPConn) { io.WriteString(c, steps[:len(steps)/2]) },                         // leaves in the midst of the request
		func(c *net.TCPConn) { io.WriteString(c, echo); c.CloseWrite(); io.Copy(io.Discard, c) }, // says that it will say no more
		func(c *net.TCPConn) {}, // says nothing
		func(c *net.TCPConn) { io.WriteString(c, "GET /mcp HTTP/1.1\r\n"); drop(c) },    // breaks off in the headers
		func(c *net.TCPConn) { io.WriteString(c, listen); first(c) },                    // leaves a subscription
		func(c *net.TCPConn) { io.WriteString(c, listen); first(c); drop(c) },           // breaks one off
		func(c *net.TCPConn) { io.WriteString(c, w.call("asker__echo", "")); first(c) }, // is asked something, and is gone for good
		func(c *net.TCPConn) { io.WriteString(c, w.call("asker__echo", "")); drop(c) },  // does not wait to be asked
		func(c *net.TCPConn) { io.WriteString(c, listen+echo); first(c) },               // does not wait for its turn
		// Legacy clients. None says goodbye to its session.
		func(c *net.TCPConn) { w.opened(c, "{}") }, // opens a session and forgets it
		func(c *net.TCPConn) { // opens its standing stream and leaves
			session, answers := w.opened(c, "{}")
			fmt.Fprintf(c, "GET /mcp HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nAccept: text/event-stream\r\n%s\r\n\r\n", w.host, w.token, session)
			first(answers)
		},
		func(c *net.TCPConn) { // calls, and does not wait
			session, _ := w.opened(c, "{}")
			io.WriteString(c, w.post(legacyCall("one__steps"), session))
			drop(c)
		},
		func(c *net.TCPConn) { // is asked in the midst of a call, and leaves
			session, answers := w.opened(c, `{"elicitation":{}}`)
			io.WriteString(c, w.post(legacyCall("asker__echo"), session))
			first(answers)
			drop(c)
		},
		func(c *net.TCPConn) { // calls, and leaves without a word
			session, answers := w.opened(c, `{"elicitation":{},"roots":{"listChanged":true}}`)
			io.WriteString(c, w.post(legacyCall("one__echo"), session))
			first(answers)
		},
		func(c *net.TCPConn) { // says goodbye
			session, answers := w.opened(c, "{}")
			io.WriteString(c, w.post(legacyCall("one__echo"), session))
			if response, err := http.ReadResponse(answers, nil); err == nil {
				io.Copy(io.Discard, response.Body)
			}
			fmt.Fprintf(c, "DELETE /mcp HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n%s\r\n\r\n", w.host, w.token, session)
			first(answers)
		},
	}
}
