package front

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// line is the connection of a detached answer, as a ResponseWriter. It is for answers that say little over a long time: what waits to be sent is in memory that is borrowed until then.
type line struct {
	conn   net.Conn
	header http.Header
	gone   chan struct{} // closed when the client is gone, and its listener with it, if it has one

	watched bool // we are told when the client goes, and need no listener; fixed before the answer begins

	// owned by the goroutine that answers
	began   bool
	bare    bool // the status has no body
	aborted bool
	head    []byte  // until it is sent
	unsent  *[]byte // of the body; nil: nothing
	err     error   // the first one of a write, and of all that follow
}

// unsents keeps the memory of what waits to be sent.
var unsents = sync.Pool{New: func() any { return new(make([]byte, 0, maxUnsent)) }}

// maxUnsent is how much waits for more before it is sent.
const maxUnsent = 4 << 10

func (l *line) Header() http.Header { return l.header }

// WriteHeader begins the answer: in chunks, and the last one on this connection.
func (l *line) WriteHeader(status int) {
	if l.began || status < http.StatusOK {
		return
	}
	l.began, l.bare = true, status == http.StatusNoContent || status == http.StatusNotModified
	l.header["Connection"] = closing
	if l.header["Date"] == nil {
		l.header["Date"] = []string{time.Now().UTC().Format(http.TimeFormat)}
	}
	l.header.Del("Content-Length")
	l.header.Del("Transfer-Encoding")
	out := new(head)
	fmt.Fprintf(out, "HTTP/1.1 %d %s\r\n", status, http.StatusText(status))
	_ = l.header.Write(out) // into memory: cannot fail
	if !l.bare {
		out.WriteString("Transfer-Encoding: chunked\r\n")
	}
	out.WriteString("\r\n")
	l.head = *out
	l.header = nil
}

// head collects the first lines of an answer.
type head []byte

func (h *head) Write(p []byte) (int, error) {
	*h = append(*h, p...)
	return len(p), nil
}

func (h *head) WriteString(s string) (int, error) {
	*h = append(*h, s...)
	return len(s), nil
}

func (l *line) Write(p []byte) (int, error) {
	l.WriteHeader(http.StatusOK)
	if l.bare {
		return 0, http.ErrBodyNotAllowed
	}
	if l.unsent == nil {
		l.unsent = unsents.Get().(*[]byte)
	}
	if len(*l.unsent)+len(p) > maxUnsent {
		return len(p), l.send(p)
	}
	*l.unsent = append(*l.unsent, p...)
	return len(p), l.err
}

// FlushError sends what waits.
func (l *line) FlushError() error {
	l.WriteHeader(http.StatusOK)
	return l.send(nil)
}

// SetWriteDeadline is what http.ResponseController calls.
func (l *line) SetWriteDeadline(t time.Time) error { return l.conn.SetWriteDeadline(t) }

// send sends what waits and what comes after it, as one chunk, in one write.
func (l *line) send(more []byte) error {
	waiting := l.unsent
	l.unsent = nil
	var body []byte
	if waiting != nil {
		body = *waiting
	}
	out := l.head
	l.head = nil
	if size := len(body) + len(more); size > 0 {
		out = slices.Grow(out, size+maxChunkFrame)
		out = append(strconv.AppendInt(out, int64(size), 16), lineEnd...)
		out = append(append(append(out, body...), more...), lineEnd...)
	}
	if l.err == nil && len(out) > 0 {
		_, l.err = l.conn.Write(out)
	}
	if waiting != nil {
		*waiting = (*waiting)[:0]
		unsents.Put(waiting)
	}
	return l.err
}

// maxChunkFrame is what stands around a chunk's content: its size in hexadecimal and two line ends.
const maxChunkFrame = 16 + 2 + 2

var (
	lineEnd   = []byte("\r\n")
	lastChunk = []byte("0\r\n\r\n")
)

// What a client may say while it is listened to, which is nothing that anybody reads, and how long it has to read the end before the connection is closed, which may take from it what it has not read.
const (
	maxIgnored = 4 << 10
	lastWords  = 500 * time.Millisecond
)

// listen waits until the client is gone.
func (l *line) listen(gone func()) {
	defer gone()
	ignored := make([]byte, 64)
	for said := 0; said < maxIgnored; {
		n, err := l.conn.Read(ignored)
		if err != nil {
			return
		}
		said += n
	}
}

// close ends the answer and the connection, and returns when nobody listens any more. The end of an answer that was broken off does not look like one.
func (l *line) close() {
	defer func() { <-l.gone }()
	defer l.conn.Close()
	if l.aborted {
		return
	}
	l.WriteHeader(http.StatusOK)
	l.conn.SetWriteDeadline(time.Now().Add(lastWords))
	if l.send(nil) == nil && !l.bare {
		_, l.err = l.conn.Write(lastChunk)
	}
	if half, ok := l.conn.(interface{ CloseWrite() error }); ok && l.err == nil && half.CloseWrite() == nil {
		l.awaitGone()
	}
}

// awaitGone gives the client the time to go by itself.
func (l *line) awaitGone() {
	if !l.watched {
		l.conn.SetReadDeadline(time.Now().Add(lastWords))
		<-l.gone
		return
	}
	select {
	case <-l.gone:
	case <-time.After(lastWords):
	}
}
