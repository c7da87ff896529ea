package e2e_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const mib = 1 << 20

// metric reads one number of /metrics; a name may have labels.
func (s *sidecar) metric(name string) float64 {
	s.t.Helper()
	_, text, err := s.Scrape(s.t.Context(), "/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			return must[float64](s.t)(strconv.ParseFloat(strings.TrimSpace(rest), 64))
		}
	}
	s.t.Fatalf("there is no metric %s", name)
	return 0
}

// series counts the lines of /metrics that are about the program itself.
func (s *sidecar) series() (n int) {
	s.t.Helper()
	_, text, err := s.Scrape(s.t.Context(), "/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.Count("\n"+text, "\nmcp_sidecar_")
}

// peak is the most memory that the process ever held.
func (s *sidecar) peak() int {
	s.t.Helper()
	return s.status("VmHWM")
}

// TestBodiesOfStrangersAreNotRead is L-01: the token is judged before the body, which would take memory.
func TestBodiesOfStrangersAreNotRead(t *testing.T) {
	s := startMeasured(t)
	before := s.peak()
	host := strings.TrimPrefix(s.Base, "http://")
	var strangers sync.WaitGroup
	for range 100 {
		strangers.Go(func() {
			connection, err := net.Dial("tcp", host)
			if err != nil {
				t.Error(err)
				return
			}
			defer connection.Close()
			connection.SetDeadline(time.Now().Add(patience))
			fmt.Fprintf(connection, "POST /mcp HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", host, 64*mib)
			go io.CopyN(connection, endless('x'), 64*mib) // until it is refused
			got, _ := io.ReadAll(connection)              // the end may be a reset, after the answer
			if status := statusOf(string(got)); len(got) > 0 && status != http.StatusUnauthorized && status != http.StatusTooManyRequests {
				t.Errorf("it is answered with %d", status)
			}
		})
	}
	strangers.Wait()
	if grown := s.peak() - before; grown > 64*mib {
		t.Errorf("it took %d MiB", grown/mib)
	}
}

// endless reads as the same byte for ever.
type endless byte

func (e endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(e)
	}
	return len(p), nil
}

// TestWhatIsTooMuchIsRefused is L-03 and L-04: each with the status that says what was too much, and nothing reaches the server.
func TestWhatIsTooMuchIsRefused(t *testing.T) {
	f := startFake(t, modernOnly)
	s := start(t)
	s.register("one", f.URL)
	token, client := s.token("alice"), web(t)
	wrap := func(arguments string) string {
		return `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"one__echo","arguments":` + arguments + `,` + meta("") + `}}`
	}
	_, mcp := s.modern("/mcp", token).request(1, "tools/call", "one__echo", "")
	mcp = append(mcp, "Accept", acceptBoth)
	large := wrap(`"` + strings.Repeat("x", 4*mib) + `"`)
	var zipped bytes.Buffer
	packer := gzip.NewWriter(&zipped)
	io.WriteString(packer, wrap(`{}`))
	packer.Close()
	headers := mcp
	for n := range 10_000 {
		headers = append(headers, fmt.Sprintf("X-Header-%d", n), strings.Repeat("v", 100))
	}
	for _, test := range []struct {
		what   string
		path   string
		body   io.Reader
		header []string
		want   int
	}{
		{"a large body", "/mcp", strings.NewReader(large), mcp, 413},
		{"a large body in chunks", "/mcp", io.MultiReader(strings.NewReader(large)), mcp, 413},
		{"a body that is packed", "/mcp", bytes.NewReader(zipped.Bytes()), append(mcp, "Content-Encoding", "gzip"), 415},
		{"many headers", "/mcp", strings.NewReader(wrap(`{}`)), headers, 431},
		{"a large header", "/mcp", strings.NewReader(wrap(`{}`)), append(mcp, "X-Large", strings.Repeat("v", 2*mib)), 431},
		{"a long address", "/mcp?servers=" + strings.Repeat("a", 64<<10), strings.NewReader(wrap(`{}`)), mcp, 414},
		{"lists in lists", "/mcp", strings.NewReader(wrap(strings.Repeat("[", 127) + strings.Repeat("]", 127))), mcp, 400},
		{"10,001 lists", "/mcp", strings.NewReader(strings.Repeat("[", 10_001)), mcp, 400},
		{"a million lists", "/mcp", strings.NewReader(strings.Repeat("[", 1_000_000)), mcp, 400},
		{"a million objects in objects", "/mcp", strings.NewReader(wrap(strings.Repeat(`{"a":`, 600_000))), mcp, 400},
		{"a body of the API", "/api/v1/servers", strings.NewReader(large), nil, 413},
		{"lists in the API", "/api/v1/servers", strings.NewReader(`{"tool_allow_list":` + strings.Repeat("[", 100_000)), nil, 400},
	} {
		t.Run(test.what, func(t *testing.T) {
			request := newRequest(t, http.MethodPost, s.Base+test.path, token, "{}", test.header...)
			if strings.HasPrefix(test.path, "/api") {
				request.Header.Set("Authorization", "Bearer "+s.token("root", "role", "admin"))
			}
			request.Body, request.GetBody, request.ContentLength = io.NopCloser(test.body), nil, -1
			if sized, ok := test.body.(interface{ Len() int }); ok {
				request.ContentLength = int64(sized.Len())
			}
			response, err := client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			text, _ := io.ReadAll(response.Body)
			if response.StatusCode != test.want {
				t.Errorf("it is answered with %d, want %d: %.300s", response.StatusCode, test.want, text)
			}
		})
	}
	if n := len(f.of("tools/call")); n != 0 {
		t.Errorf("the server was called %d times", n)
	}
	if got := s.modern("/mcp", token).call("one__echo", `{"a":"`+strings.Repeat("x", 2*mib)+`"}`); len(got.Text) < 2*mib {
		t.Errorf("a body of 2 MiB is answered with %.100s %s", got.Text, got.Error)
	}
}

// TestAnEndlessMessageIsCutOff is L-07: whatever way a gigabyte is dressed, it is refused at the limit, the model is told which, and the server hears no more of us.
func TestAnEndlessMessageIsCutOff(t *testing.T) {
	const gigabyte = 1 << 30
	var packed bytes.Buffer
	packer := must[*gzip.Writer](t)(gzip.NewWriterLevel(&packed, gzip.BestSpeed))
	io.WriteString(packer, `{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"`)
	io.CopyN(packer, endless('x'), 256*mib)
	packer.Close()
	for what, dress := range map[string]func(w http.ResponseWriter, m heard) error{
		"one body": func(w http.ResponseWriter, m heard) error {
			fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{"content":[{"type":"text","text":"`, m.ID)
			_, err := io.CopyN(w, endless('x'), gigabyte)
			return err
		},
		"one line of a stream": func(w http.ResponseWriter, m heard) error {
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprintf(w, `data: {"jsonrpc":"2.0","id":%s,"result":{"content":[{"type":"text","text":"`, m.ID)
			_, err := io.CopyN(w, endless('x'), gigabyte)
			return err
		},
		"a small body that unpacks to much": func(w http.ResponseWriter, _ heard) error {
			w.Header().Set("Content-Encoding", "gzip")
			_, err := w.Write(packed.Bytes())
			return err
		},
	} {
		t.Run(what, func(t *testing.T) {
			written := make(chan error, 1)
			f := startFake(t, modernOnly)
			f.onCall(func(w http.ResponseWriter, _ *http.Request, m heard) { written <- dress(w, m) })
			s := startMeasured(t)
			s.register("one", f.URL)
			a := s.modern("/mcp", s.token("alice"))
			a.list()
			before := s.peak()
			got := a.call("one__echo", `{}`)
			if !strings.Contains(got.Error, "one") || got.Text != "" {
				t.Errorf("it is answered with %.200s", fmt.Sprint(got))
			}
			if packedOne := strings.Contains(what, "unpacks"); !packedOne && !strings.Contains(got.Error, strconv.Itoa(16*mib)) && !strings.Contains(got.Error, "16 MiB") {
				t.Errorf("the limit is not named: %s", got.Error)
			}
			if err := <-written; err == nil && !strings.Contains(what, "unpacks") {
				t.Error("the server could write all of it")
			}
			if grown := s.peak() - before; grown > 64*mib {
				t.Errorf("it took %d MiB", grown/mib)
			}
		})
	}
}

// TestStrangersMakeNoMetrics is W-08: the number of series does not depend on what clients send.
func TestStrangersMakeNoMetrics(t *testing.T) {
	f := startFake(t, modernOnly)
	s := start(t)
	s.register("one", f.URL)
	token := s.token("agent", "role", "agent", "user", nil)
	a := s.modern("/mcp", token)
	warm := func(n int) {
		text := fmt.Sprintf("random-%d", n)
		known := []string{"Sidecar-User", "user-" + text, "User-Agent", "agent-" + text}
		for _, what := range []struct{ method, name, params string }{
			{"random/" + text, "", ""}, {"tools/call", "one__" + text, fmt.Sprintf(`"name":"one__%s","arguments":{}`, text)}, {"tools/call", "one__echo", `"name":"one__echo","arguments":{}`},
		} {
			body, header := a.request(n, what.method, what.name, what.params)
			a.post(body, append(header, known...)...)
		}
		send(t, a.client, http.MethodGet, s.Base+"/"+text+"?"+text, token, "", known...)
		send(t, a.client, "POST", s.Base+"/mcp/"+text, token, `{}`, known...)
		send(t, a.client, "METHOD"+strconv.Itoa(n), s.Base+"/mcp", "", "")
		send(t, a.client, "GET", s.Base+"/api/v1/servers/"+text, "wrong-"+text, "")
	}
	warm(0)
	before := s.series()
	for n := range 300 {
		warm(n + 1)
	}
	if grown := s.series() - before; grown > 50 {
		t.Errorf("there are %d more series", grown)
	}
	_, text, err := s.Scrape(t.Context(), "/metrics")
	if err != nil || strings.Contains(text, "random-") {
		t.Errorf("what clients sent is in the metrics (%v)", err)
	}
}

// TestASlowServerDelaysTheListOnce is U-01: nine servers answer, one takes the connection and says nothing.
func TestASlowServerDelaysTheListOnce(t *testing.T) {
	silent := must[net.Listener](t)(net.Listen("tcp", "127.0.0.1:0"))
	t.Cleanup(func() { silent.Close() })
	s := start(t)
	for n := range 9 {
		s.register(fmt.Sprintf("up%d", n), startFake(t, []string{modernOnly, legacyOnly}[n%2]).URL)
	}
	a := s.modern("/mcp", s.token("alice"))
	eventually(t, "the others have answered", func() bool { return len(a.list()) == 27 }) // within the time that a list waits for anyone, where the machine lets them
	s.register("hung", "http://"+silent.Addr().String()+"/mcp")
	for round := range 3 {
		began := time.Now()
		m := a.ask(1, "tools/list", "", "")
		var result struct {
			Tools []struct{ Name string }
			Meta  struct {
				Unavailable []string `json:"mcp-sidecar/unavailable"`
			} `json:"_meta"`
		}
		if err := json.Unmarshal(m.Result, &result); err != nil {
			t.Fatalf("%v in %s", err, m.Result)
		}
		if len(result.Tools) != 27 || len(result.Meta.Unavailable) != 1 || result.Meta.Unavailable[0] != "hung" {
			t.Errorf("round %d: %d tools, unavailable: %v", round, len(result.Tools), result.Meta.Unavailable)
		}
		t.Logf("round %d took %s", round, time.Since(began))
	}
	if got := a.call("up3__echo", `{}`); got.Text != `{}` {
		t.Errorf("the others: %+v", got)
	}
}

// TestAnEndlessCommentIsNotKept: what a server says to nobody costs no memory, and an end without an answer is an error.
func TestAnEndlessCommentIsNotKept(t *testing.T) {
	f := startFake(t, modernOnly)
	f.onCall(func(w http.ResponseWriter, _ *http.Request, _ heard) {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, ":")
		io.CopyN(w, endless('x'), 256*mib)
	})
	s := startMeasured(t)
	s.register("one", f.URL)
	a := s.modern("/mcp", s.token("alice"))
	a.list()
	before := s.peak()
	if got := a.call("one__echo", `{}`); !strings.Contains(got.Error, "one") {
		t.Errorf("it is answered with %+v", got)
	}
	if grown := s.peak() - before; grown > 32*mib {
		t.Errorf("it took %d MiB", grown/mib)
	}
}
