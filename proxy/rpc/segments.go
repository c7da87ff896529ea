package rpc

import (
	"errors"
	"io"
	"sync"
)

// Segments is a body in several pieces that is sent without being put together. It is not changed once made, so it can be read any number of times, side by side too: an
// http.Request takes Reader for its Body and GetBody and Len for its ContentLength.
type Segments struct {
	parts [][]byte
	n     int64
	owner *Buffer // nil: the memory belongs to the collector
}

// NewSegments makes a body of these pieces, which it does not copy.
func NewSegments(parts ...[]byte) *Segments {
	s := &Segments{parts: parts}
	for _, p := range parts {
		s.n += int64(len(p))
	}
	return s
}

// Within says that pieces are spans of b: each reader holds b until it is closed. b must be held by the caller whenever Reader is called.
func (s *Segments) Within(b *Buffer) *Segments {
	s.owner = b
	return s
}

// Len is the length of the whole.
func (s *Segments) Len() int64 { return s.n }

// AppendTo appends the whole to dst.
func (s *Segments) AppendTo(dst []byte) []byte {
	for _, p := range s.parts {
		dst = append(dst, p...)
	}
	return dst
}

// Reader returns a reader of the whole from its start, independent of all others. It must be closed. It is also an io.WriterTo.
func (s *Segments) Reader() io.ReadCloser {
	if s.owner != nil {
		s.owner.Retain()
	}
	return &segmentReader{segments: s}
}

var errClosed = errors.New("the body is closed")

// segmentReader reads Segments. Close waits for a Read that is under way, for the memory may be given away after it.
type segmentReader struct {
	segments *Segments

	mu     sync.Mutex // guards all below
	part   int        // which piece is read
	offset int        // how much of it was
	closed bool
}

// Read implements io.Reader.
func (r *segmentReader) Read(p []byte) (n int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return 0, errClosed
	}
	for n < len(p) {
		rest := r.rest()
		if len(rest) == 0 {
			break
		}
		got := copy(p[n:], rest)
		n += got
		r.offset += got
	}
	if n == 0 && len(r.rest()) == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// rest returns what is left of the current piece, which is empty only at the end of the whole.
func (r *segmentReader) rest() []byte {
	for r.part < len(r.segments.parts) {
		if rest := r.segments.parts[r.part][r.offset:]; len(rest) > 0 {
			return rest
		}
		r.part++
		r.offset = 0
	}
	return nil
}

// WriteTo implements io.WriterTo. It must not run at the same time as Close or Read of the same reader; it holds no lock while w writes.
func (r *segmentReader) WriteTo(w io.Writer) (n int64, err error) {
	for {
		r.mu.Lock()
		rest, closed := r.rest(), r.closed
		r.mu.Unlock()
		if closed {
			return n, errClosed
		}
		if len(rest) == 0 {
			return n, nil
		}
		got, err := w.Write(rest)
		n += int64(got)
		r.mu.Lock()
		r.offset += got
		r.mu.Unlock()
		if err != nil {
			return n, err
		}
		if got < len(rest) {
			return n, io.ErrShortWrite
		}
	}
}

// Close implements io.Closer; closing twice is harmless.
func (r *segmentReader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed && r.segments.owner != nil {
		r.segments.owner.Release()
	}
	r.closed = true
	return nil
}
