package rpc_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"mcpsidecar/proxy/rpc"
)

// events reads a whole stream and prints each event as type|id|data, then how it ended.
func events(r io.Reader, limit int) string {
	reader := rpc.NewEventReader(r, limit)
	defer reader.Release()
	var b strings.Builder
	for {
		e, err := reader.Next()
		if err != nil {
			fmt.Fprintf(&b, "%v last=%q retry=%v", err, reader.LastID(), reader.Retry())
			return b.String()
		}
		b.WriteString(eventLine(e.Type, e.ID, string(e.Data)))
	}
}

func eventLine(typ, id, data string) string { return fmt.Sprintf("%s|%s|%q\n", typ, id, data) }

// The rules and examples of the HTML standard, section 9.2.6 "Interpreting an event stream".
func TestEventReaderReadsLikeTheStandard(t *testing.T) {
	const end = "EOF last=\"\" retry=0s"
	for _, c := range []struct{ name, stream, want string }{
		{"nothing", "", end},
		{"one event", "data: a\n\n", "||\"a\"\n" + end},
		{"no space after the colon", "data:a\n\n", "||\"a\"\n" + end},
		{"one space is dropped, not two", "data:  a\n\n", "||\" a\"\n" + end},
		{"lines are joined", "data: YHOO\ndata: +2\ndata: 10\n\n", "||\"YHOO\\n+2\\n10\"\n" + end},
		{"many lines", "data: a\ndata:\ndata\ndata: b\n\n", "||\"a\\n\\n\\nb\"\n" + end},
		{"an empty first line", "data\ndata\n\ndata:\n\n", "||\"\\n\"\n" + end},
		{"type and id", "event: add\nid: 7\ndata: 1\n\n", "add|7|\"1\"\nEOF last=\"7\" retry=0s"},
		{"message is a type like another", "event: message\ndata: 1\n\n", "message||\"1\"\n" + end},
		{"the last type counts, the last id too", "event: a\nevent: b\nid: 1\nid: 2\ndata: 1\n\n", "b|2|\"1\"\nEOF last=\"2\" retry=0s"},
		{"fields end with their event", "event: a\nid: 1\ndata: 1\n\ndata: 2\n\n", "a|1|\"1\"\n||\"2\"\nEOF last=\"1\" retry=0s"},
		{"an empty id resets", "id: 1\ndata: 1\n\nid\ndata: 2\n\n", "|1|\"1\"\n||\"2\"\n" + end},
		{"an id with NUL is ignored", "id: a\x00b\ndata: 1\n\n", "||\"1\"\n" + end},
		{"no data, no event, but its id counts", "event: x\nid: 9\n\ndata: 1\n\n", "||\"1\"\nEOF last=\"9\" retry=0s"},
		{"empty data, no event: how MCP primes a stream", "id: 9\ndata:\n\ndata: 1\n\n", "||\"1\"\nEOF last=\"9\" retry=0s"},
		{"comments", ": hello\n:\ndata: a\n: in between\ndata: b\n\n:end\n", "||\"a\\nb\"\n" + end},
		{"unknown fields", "foo: bar\nDATA: x\n data: y\ndata: a\nbar\n\n", "||\"a\"\n" + end},
		{"retry", "retry: 1500\ndata: a\n\nretry: soon\n\nretry: -1\n\n", "||\"a\"\nEOF last=\"\" retry=1.5s"},
		{"CR", "data: a\rdata: b\r\rdata: c\r\r", "||\"a\\nb\"\n||\"c\"\n" + end},
		{"CR LF", "data: a\r\ndata: b\r\n\r\ndata: c\r\n\r\n", "||\"a\\nb\"\n||\"c\"\n" + end},
		{"all kinds", "data: a\r\ndata: b\rdata: c\n\r\ndata: d\r\n\ndata: e\n\r", "||\"a\\nb\\nc\"\n||\"d\"\n||\"e\"\n" + end},
		{"blank lines", "\n\r\r\n\n\ndata: a\n\n\n\n", "||\"a\"\n" + end},
		{"byte order mark", "\ufeffdata: a\n\n", "||\"a\"\n" + end},
		{"byte order mark alone", "\ufeff", end},
		{"a second one is part of the name", "\ufeff\ufeffdata: a\n\n", end},
		{"not at the start", "data: a\n\n\ufeffdata: b\n\n", "||\"a\"\n" + end},
		{"cut in a line", "data: a\n\ndata: b", "||\"a\"\nunexpected EOF last=\"\" retry=0s"},
		{"cut after a line", "data: a\n\ndata: b\n", "||\"a\"\nunexpected EOF last=\"\" retry=0s"},
		{"cut after an id", "id: 2\ndata: a\n\nid: 3\n", "|2|\"a\"\nunexpected EOF last=\"2\" retry=0s"},
		{"cut in a comment", "data: a\n\n: keep", "||\"a\"\n" + end},
		{"data with colons", "data: {\"a\":\"b: c\"}\n\n", "||\"{\\\"a\\\":\\\"b: c\\\"}\"\n" + end},
	} {
		t.Run(c.name, func(t *testing.T) {
			for name, r := range map[string]io.Reader{
				"whole":         strings.NewReader(c.stream),
				"byte by byte":  iotest.OneByteReader(strings.NewReader(c.stream)),
				"halves":        iotest.HalfReader(strings.NewReader(c.stream)),
				"error with it": iotest.DataErrReader(strings.NewReader(c.stream)),
			} {
				if got := events(r, 1<<10); got != c.want {
					t.Errorf("%s:\n%s\nwant\n%s", name, got, c.want)
				}
			}
		})
	}
}

// An event must come out when its empty line is there, not when the next byte is.
func TestEventReaderDoesNotWaitForMore(t *testing.T) {
	for _, end := range []string{"\n\n", "\r\r", "\r\n\r\n", "\r\n\r"} {
		blocked := errors.New("asked for more")
		r := rpc.NewEventReader(io.MultiReader(strings.NewReader("data: a"+end), iotest.ErrReader(blocked)), 1<<10)
		if e, err := r.Next(); err != nil || string(e.Data) != "a" {
			t.Errorf("%q: %q, %v", end, e.Data, err)
		}
		if n := r.Buffered(); n != 0 {
			t.Errorf("%q: %d bytes are said to be here", end, n)
		}
		if _, err := r.Next(); err != blocked {
			t.Errorf("%q: %v", end, err)
		}
		r.Release()
	}
}

func TestEventReaderSaysWhatIsBuffered(t *testing.T) {
	r := rpc.NewEventReader(strings.NewReader("data: a\n\ndata: b\n\n"), 1<<10)
	defer r.Release()
	for _, want := range []int{len("data: b\n\n"), 0} {
		if _, err := r.Next(); err != nil || r.Buffered() != want {
			t.Fatal(r.Buffered(), want, err)
		}
	}
}

func TestEventReaderLimits(t *testing.T) {
	const limit = 10_000
	line := strings.Repeat("x", limit)
	for _, c := range []struct {
		name, stream string
		err          error
		data         int
	}{
		{"as large as the limit", "data: " + line + "\r\n\r\n", nil, limit},
		{"one more", "data: " + line + "x\n\n", rpc.ErrTooLarge, 0},
		{"in two lines", "data: " + line[:5000] + "\ndata: " + line[:4999] + "\n\n", nil, limit},
		{"in two lines, one more", "data: " + line[:5000] + "\ndata: " + line[:5000] + "\n\n", rpc.ErrTooLarge, 0},
		{"in empty lines", strings.Repeat("data\n", limit+1) + "\n", nil, limit},
		{"in empty lines, one more", strings.Repeat("data\n", limit+2) + "\n", rpc.ErrTooLarge, 0},
		{"a line that does not end", "data: " + strings.Repeat("x", 100*limit), rpc.ErrTooLarge, 0},
		{"an unknown field that does not end", strings.Repeat("x", 100*limit), rpc.ErrTooLarge, 0},
		{"an id", "id: " + line + "\ndata: a\n\n", rpc.ErrTooLarge, 0},
		{"an unknown field", line + "\ndata: a\n\n", nil, 1},
		{"a type", "event: " + line + "\ndata: a\n\n", rpc.ErrTooLarge, 0},
		{"a comment of any length", ": " + strings.Repeat("x", 100*limit) + "\ndata: a\n\n", nil, 1},
		{"a comment inside an event", "data: a\n: " + strings.Repeat("x", 100*limit) + "\ndata: b\n\n", nil, 3},
		{"comments of any number", strings.Repeat(": x\r", 100*limit) + "data: a\n\n", nil, 1},
		{"comments that never end", ": " + strings.Repeat("x", 100*limit), io.EOF, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := rpc.NewEventReader(strings.NewReader(c.stream), limit)
			defer r.Release()
			e, err := r.Next()
			if err != c.err || len(e.Data) != c.data {
				t.Fatalf("%d bytes, %v", len(e.Data), err)
			}
			if err == nil {
				return
			}
			if _, again := r.Next(); again != err {
				t.Errorf("then %v", again)
			}
		})
	}
}

// A large event arrives whole and unharmed, and what follows it too, however it is cut.
func TestEventReaderLargeEvents(t *testing.T) {
	var stream, want bytes.Buffer
	for i, size := range []int{1, 4090, 4096, 5000, 70_000, 1 << 20, 3, 300_000} {
		data := bytes.Repeat([]byte{byte('a' + i)}, size)
		stream.Write(rpc.AppendEvent(nil, "", data))
		fmt.Fprintf(&want, "message||%q\n", data)
		fmt.Fprintf(&stream, "data: %s\ndata: %s\r\n\n: more\n", data[:size/2], data[size/2:])
		if size > 1 {
			fmt.Fprintf(&want, "||%q\n", string(data[:size/2])+"\n"+string(data[size/2:]))
		} else {
			fmt.Fprintf(&want, "||%q\n", "\n"+string(data))
		}
	}
	fmt.Fprint(&want, "EOF last=\"\" retry=0s")
	for name, r := range map[string]io.Reader{
		"whole":        bytes.NewReader(stream.Bytes()),
		"halves":       iotest.HalfReader(bytes.NewReader(stream.Bytes())),
		"byte by byte": iotest.OneByteReader(bytes.NewReader(stream.Bytes())),
	} {
		if got := events(r, 2<<20); got != want.String() {
			t.Errorf("%s: differs", name)
		}
	}
}

// A stream that waits holds the smallest memory, whatever it has carried before: thousands of streams wait.
func TestEventReaderWaitsWithLittleMemory(t *testing.T) {
	src := &offered{r: bytes.NewReader(append(rpc.AppendEvent(nil, "", bytes.Repeat([]byte("x"), 1<<20)), ": and a comment"...))}
	r := rpc.NewEventReader(src, 2<<20)
	defer r.Release()
	if _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	most := src.last
	if _, err := r.Next(); err != io.EOF {
		t.Fatal(err)
	}
	if most <= 4<<10 || src.last > 4<<10 {
		t.Errorf("%d bytes were offered for the large event, %d while waiting", most, src.last)
	}
}

// offered notes how much a reader may fill.
type offered struct {
	r    io.Reader
	last int
}

func (o *offered) Read(p []byte) (int, error) {
	o.last = len(p)
	return o.r.Read(p)
}

func TestEventReaderAfterRelease(t *testing.T) {
	r := rpc.NewEventReader(strings.NewReader("data: a\n\n"), 10)
	r.Release()
	r.Release()
	if _, err := r.Next(); err == nil {
		t.Error("reads on")
	}
}

func TestAppendEvent(t *testing.T) {
	for _, c := range []struct{ id, data, want string }{
		{"", "a", "event: message\ndata: a\n\n"},
		{"7", "a", "event: message\nid: 7\ndata: a\n\n"},
		{"", "", "event: message\ndata: \n\n"},
		{"", "a\nb\r\nc\rd\n", "event: message\ndata: a\ndata: b\ndata: c\ndata: d\ndata: \n\n"},
		{"7\ndata: forged", "a", "event: message\ndata: a\n\n"},
		{"7\r", "a", "event: message\ndata: a\n\n"},
		{"7\x00", "a", "event: message\ndata: a\n\n"},
		{"", "x\r\n\r\ndata: forged", "event: message\ndata: x\ndata: \ndata: data: forged\n\n"},
	} {
		if got := string(rpc.AppendEvent(nil, c.id, []byte(c.data))); got != c.want {
			t.Errorf("%q: %q, want %q", c.data, got, c.want)
		}
	}
}

// TestWholeEvents: whether Next would have to wait, at every place where a stream can be cut.
func TestWholeEvents(t *testing.T) {
	for name, stream := range map[string]string{
		"LF": "data: a\n\n: c\n\nid: 1\n\ndata: b\ndata: c\n\ndata: d\n\n", "CR": "data: a\r\r: c\r\rdata: b\rdata: c\r\rdata: d\r\r",
		"CR LF": "data: a\r\n\r\n: c\r\n\r\nevent: x\r\ndata: b\r\n\r\ndata: d\r\n\r\n",
	} {
		for cut := len(stream); cut > len("data: a\n\n"); cut-- {
			ended := errors.New("no more for now")
			r := rpc.NewEventReader(io.MultiReader(strings.NewReader(stream[:cut]), iotest.ErrReader(ended)), 1<<20)
			if _, err := r.Next(); err != nil {
				t.Fatalf("%s, %d: %v", name, cut, err)
			}
			for whole := r.Whole(); ; whole = r.Whole() {
				_, err := r.Next()
				if whole != (err == nil) {
					t.Errorf("%s, cut after %q: whole is %v, Next says %v", name, stream[:cut], whole, err)
				}
				if err != nil {
					break
				}
			}
			r.Release()
		}
	}
}
