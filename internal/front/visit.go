package front

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"io"
	"math/rand/v2"
	"net/http"
	"time"
)

// visit is all that front keeps of one request, in one allocation: the request's context, the id that it adds, the answer as handlers see it. It is not pooled, since contexts outlive handlers.
type visit struct {
	context.Context

	gate     *Gate
	id       string
	idValue  [1]string // id, as a header's value
	started  time.Time
	route    string // written by the handler, read when it has returned
	body     body
	answer   answer
	detached bool // written by the handler, read when it has returned
}

type visitKey struct{}

func newVisit(g *Gate, w http.ResponseWriter, r *http.Request) *visit {
	v := &visit{Context: r.Context(), gate: g, id: mint(), started: time.Now(), route: Other}
	v.idValue[0] = v.id
	v.body = body{ReadCloser: r.Body, length: r.ContentLength, ended: r.Body == nil || r.Body == http.NoBody}
	v.answer = answer{ResponseWriter: w, body: &v.body}
	return v
}

// request is the request as its handler sees it.
func (v *visit) request(r *http.Request) *http.Request {
	r = r.WithContext(v)
	if !v.body.ended {
		r.Body = &v.body
	}
	return r
}

// Value is how visitOf finds the visit from any context derived of it.
func (v *visit) Value(key any) any {
	if key == (visitKey{}) {
		return v
	}
	return v.Context.Value(key)
}

func visitOf(ctx context.Context) *visit {
	v, _ := ctx.Value(visitKey{}).(*visit)
	return v
}

// mint makes a request id. It has to be unique, not secret.
func mint() string {
	var random [16]byte
	binary.NativeEndian.PutUint64(random[:8], rand.Uint64())
	binary.NativeEndian.PutUint64(random[8:], rand.Uint64())
	var text [32]byte
	hex.Encode(text[:], random[:])
	return string(text[:])
}

// body is a request's body that knows whether it has been read to its end, or as far as it could be.
type body struct {
	io.ReadCloser
	length int64 // -1: not known
	ended  bool
	broken bool // what is missing has not come in its time, or will not
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	switch {
	case err == io.EOF:
		b.ended = true
	case err != nil:
		b.broken = true
	}
	return n, err
}

// maxDrained is how much of a body that no handler wants is read for the sake of the connection. net/http would read four times as much, before it answers.
const maxDrained = 64 << 10

func (b *body) tooMuchToDrain() bool { return b.length < 0 || b.length > maxDrained }

// answer is a ResponseWriter that remembers its status. Whatever else the server's own can do is reached by http.ResponseController, through Unwrap.
type answer struct {
	http.ResponseWriter
	body   *body
	status int // 0: nothing was written
}

// Unwrap returns the server's own ResponseWriter.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// WriteHeader sends a status. Informational ones come before the one that counts.
func (a *answer) WriteHeader(status int) {
	if status >= 200 || status == http.StatusSwitchingProtocols {
		a.begin(status)
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(p []byte) (int, error) {
	a.begin(http.StatusOK)
	return a.ResponseWriter.Write(p)
}

// WriteString writes a string without a copy of it.
func (a *answer) WriteString(s string) (int, error) {
	a.begin(http.StatusOK)
	return io.WriteString(a.ResponseWriter, s)
}

// FlushError sends what is buffered; it is what http.ResponseController calls.
func (a *answer) FlushError() error {
	a.begin(http.StatusOK)
	return http.NewResponseController(a.ResponseWriter).Flush()
}

// Flush is FlushError for those who ask for an http.Flusher.
func (a *answer) Flush() { a.FlushError() }

// unreadPatience is how long the rest of a body that no handler wanted is waited for.
const unreadPatience = 5 * time.Second

// begin notes the status, which is 200 to net/http where none was set, and sees to what is unread of the request: net/http would wait for it without end, in part before it answers. The deadline ends with
// the request; the wait for the next one has its own.
func (a *answer) begin(status int) {
	if a.status != 0 {
		return
	}
	a.status = status
	if a.body.ended {
		return
	}
	if a.body.broken { // its time is over: there is none for the rest
		a.Header()["Connection"] = closing
		return
	}
	http.NewResponseController(a.ResponseWriter).SetReadDeadline(time.Now().Add(unreadPatience))
	if a.body.tooMuchToDrain() {
		a.Header()["Connection"] = closing
	}
}
