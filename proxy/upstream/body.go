package upstream

import (
	"bytes"
	"errors"
	"io"
	"sync"
)

// inlineSpan is the size up to which a span of the caller is copied rather than referred to.
const inlineSpan = 4 << 10

// body is what one request sends: text of our own with large spans of the caller spliced in.
//
// The transport may go on reading after it has returned, when the answer comes early or a call is given up. The spans then belong to somebody else; so readers read under the lock, and release takes
// everything away from them.
type body struct {
	// Fixed once it is built.
	text    []byte
	splices []splice
	size    int
	room    [2]splice // of splices, for the usual case

	whole wholeReader

	mu       sync.Mutex // guards what follows; held for copying only
	released bool
	sent     bool // some reader has given out everything, so that the server may have all of it
}

// splice says that span comes after the first at bytes of text.
type splice struct {
	at   int
	span []byte
}

var errReleased = errors.New("the request was given up")

// begin starts to build; a body is built once.
func (b *body) begin(room int) {
	b.text, b.splices = make([]byte, 0, room), b.room[:0]
}

func (b *body) add(text ...string) {
	for _, t := range text {
		b.text = append(b.text, t...)
	}
}

func (b *body) span(span []byte) {
	if len(span) <= inlineSpan {
		b.text = append(b.text, span...)
		return
	}
	b.splices = append(b.splices, splice{len(b.text), span})
	b.size += len(span)
}

func (b *body) end() { b.size += len(b.text) }

// piece returns the i-th piece of contiguous bytes: text and splices in turn.
func (b *body) piece(i int) (piece []byte, ok bool) {
	if i > 2*len(b.splices) {
		return nil, false
	}
	if i%2 == 1 {
		return b.splices[i/2].span, true
	}
	from, to := 0, len(b.text)
	if i > 0 {
		from = b.splices[i/2-1].at
	}
	if i/2 < len(b.splices) {
		to = b.splices[i/2].at
	}
	return b.text[from:to], true
}

// isWhole says that the body is one text of our own. net/http sends such a body together with the headers, in one write, and may keep it as long as it likes.
func (b *body) isWhole() bool { return len(b.splices) == 0 }

// reader reads the body from its start, once. That of a whole one tells when it may be sent, since nobody sees how much of it was.
func (b *body) reader() io.ReadCloser {
	if b.isWhole() {
		b.whole.body = b
		b.whole.left = b.text
		return &b.whole
	}
	return &bodyReader{body: b}
}

// again is GetBody in the form that net/http asks for, with which it tries another connection when nothing was written to a stale one.
func (b *body) again() (io.ReadCloser, error) {
	if b.isWhole() {
		return io.NopCloser(bytes.NewReader(b.text)), nil
	}
	return &bodyReader{body: b}, nil
}

// wholeReader reads a whole body. It is an [outbound.Announced]; a transport that does not know those may send what it has read.
type wholeReader struct {
	body *body
	left []byte
}

func (r *wholeReader) AppendTo(text []byte) []byte { return append(text, r.body.text...) }
func (r *wholeReader) MayBeSent()                  { r.body.mayBeSent() }
func (r *wholeReader) Close() error                { return nil }

func (r *wholeReader) Read(p []byte) (int, error) {
	if len(r.left) == 0 {
		return 0, io.EOF
	}
	r.MayBeSent()
	n := copy(p, r.left)
	r.left = r.left[n:]
	return n, nil
}

// release takes everything away from readers; it returns once none is reading.
func (b *body) release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.released = true
}

// unsent notes that the body is about to be sent, for the first time or after the server certainly did not run it.
func (b *body) unsent() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sent = false
}

// mayBeSent notes that a connection was there to send the body on. Of a whole body nothing more is seen.
func (b *body) mayBeSent() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sent = true
}

// wasSent says whether the server may have the whole body. Without its last byte a request is no JSON and cannot run.
func (b *body) wasSent() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sent
}

// bodyReader is owned by the transport. It is an [outbound.Announced], too.
type bodyReader struct {
	body   *body
	piece  int
	offset int
}

// Read fills p from as many pieces as it takes. At the end it is at the end also after release: the transport looks for more once the whole is written, and an error then would cost the connection.
func (r *bodyReader) Read(p []byte) (n int, err error) {
	r.body.mu.Lock()
	defer r.body.mu.Unlock()
	piece, more := r.body.piece(r.piece)
	if !more {
		return 0, io.EOF
	}
	if r.body.released {
		return 0, errReleased
	}
	for more && n < len(p) {
		copied := copy(p[n:], piece[r.offset:])
		n, r.offset = n+copied, r.offset+copied
		if r.offset == len(piece) {
			r.piece, r.offset = r.piece+1, 0
			piece, more = r.body.piece(r.piece)
		}
	}
	r.body.sent = r.body.sent || !more
	return n, nil
}

func (r *bodyReader) Close() error { return nil }
func (r *bodyReader) MayBeSent()   { r.body.mayBeSent() }

// AppendTo appends nothing after release, which is less than was promised.
func (r *bodyReader) AppendTo(text []byte) []byte {
	r.body.mu.Lock()
	defer r.body.mu.Unlock()
	if r.body.released {
		return text
	}
	for i := 0; ; i++ {
		piece, more := r.body.piece(i)
		if !more {
			return text
		}
		text = append(text, piece...)
	}
}

// Notices: of a whole body nobody sees how much was sent; a spliced one counts what is read.
func (r *wholeReader) Notices() bool { return false }
func (r *bodyReader) Notices() bool  { return true }
