package outbound

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// Why an answer's head is not taken.
var (
	errNoAnswer  = fmt.Errorf("the server ended the connection without an answer: %w", io.ErrUnexpectedEOF)
	errHalfHead  = fmt.Errorf("the server ended the connection amid the headers of its answer: %w", io.ErrUnexpectedEOF)
	errNoHTTP    = errors.New("the server's answer is not valid HTTP/1.1")
	errSwitch    = errors.New("the server switched to another protocol, which nobody asked for")
	errInterim   = errors.New("the server sent too many interim answers")
	errHeadLimit = errors.New("the headers of the server's answer are too long")
)

// maxInterim is how many interim answers (1xx) may come before the answer.
const maxInterim = 5

// readHead reads the head of the answer, passing interim answers by.
func (w *wire) readHead(r *http.Request) (*http.Response, error) {
	if answer, err := w.readPlain(r); answer != nil || err != nil {
		return answer, err
	}
	w.head, w.fault = head{left: w.limit}, nil
	for range maxInterim + 1 {
		buffered, _ := w.reader.Peek(w.reader.Buffered())
		w.head.next(buffered)
		answer, err := http.ReadResponse(w.reader, r)
		if err != nil {
			return nil, w.headFault()
		}
		w.head.judge(answer)
		if answer.StatusCode == http.StatusSwitchingProtocols {
			return nil, errSwitch
		}
		if answer.StatusCode/100 != 1 {
			return answer, nil
		}
	}
	return nil, errInterim
}

// readPlain reads a plain head. No answer and no error: it is another, or not there as a whole, and nothing of it has been used up.
func (w *wire) readPlain(r *http.Request) (*http.Response, error) {
	if w.limit < bufferSize {
		return nil, nil
	}
	w.head, w.fault = head{over: true, left: w.limit}, nil
	if _, err := w.reader.Peek(1); err != nil {
		return nil, w.headFault()
	}
	buffered, _ := w.reader.Peek(w.reader.Buffered())
	answer, size, ok := plainHead(buffered)
	if !ok {
		return nil, nil
	}
	w.reader.Discard(size)
	answer.Request, answer.Body = r, http.NoBody
	if answer.ContentLength > 0 {
		w.body = measured{w.reader, answer.ContentLength}
		answer.Body = &w.body
	}
	return answer, nil
}

// headFault tells a connection that failed from an answer that is none. Of the latter nothing is repeated: it may be long, and is the server's.
func (w *wire) headFault() error {
	switch {
	case w.fault == nil:
		return errNoHTTP
	case w.fault != io.EOF:
		return w.fault
	case w.head.left == w.limit:
		return errNoAnswer
	}
	return errHalfHead
}

// head watches the bytes of an answer's head go by, for what net/http does not tell: how many they are, and all that they say of the body's length. Where a head says that twice or in vain, the
// server may mean something else than we read, so that its connection must not carry another answer.
type head struct {
	left  int64 // bytes that may still come until the head is over
	murky bool

	over      bool
	column    int // in the line
	name      [longestName]byte
	lengths   int // lines that say a Content-Length
	encodings int // lines that say a Transfer-Encoding
}

const longestName = len("transfer-encoding")

var (
	lengthName   = []byte("content-length")
	encodingName = []byte("transfer-encoding")
)

// next begins a head of which some bytes have been received.
func (h *head) next(received []byte) {
	h.over, h.column, h.lengths, h.encodings = false, 0, 0, 0
	h.see(received)
}

// room shortens a buffer to what the head may still take.
func (h *head) room(p []byte) ([]byte, error) {
	if h.over {
		return p, nil
	}
	if h.left == 0 {
		return nil, errHeadLimit
	}
	return p[:min(int64(len(p)), h.left)], nil
}

// see watches received bytes up to the empty line.
func (h *head) see(p []byte) {
	if !h.over {
		h.left = max(0, h.left-int64(len(p)))
	}
	for !h.over && len(p) > 0 {
		line, rest, whole := bytes.Cut(p, []byte{'\n'})
		if h.column < longestName {
			copy(h.name[h.column:], line)
		}
		h.column += len(line)
		if whole {
			h.line()
		}
		p = rest
	}
}

func (h *head) line() {
	name := h.name[:min(h.column, longestName)]
	switch {
	case len(name) == 0, h.column == 1 && name[0] == '\r':
		h.over = true
	case hasPrefixFold(name, lengthName):
		h.lengths++
	case hasPrefixFold(name, encodingName):
		h.encodings++
	}
	h.column = 0
}

func hasPrefixFold(text, prefix []byte) bool {
	return len(text) >= len(prefix) && bytes.EqualFold(text[:len(prefix)], prefix)
}

// judge holds what the head says of the length against what was made of it.
func (h *head) judge(answer *http.Response) {
	obeyed := len(answer.TransferEncoding)
	switch {
	case h.encodings != obeyed, h.encodings+h.lengths > 1:
		h.murky = true
	case answer.StatusCode == http.StatusNotModified:
		h.murky = h.murky || obeyed > 0
	case answer.StatusCode == http.StatusNoContent, answer.StatusCode/100 == 1:
		h.murky = h.murky || obeyed > 0 || (h.lengths > 0 && answer.Header.Get("Content-Length") != "0")
	}
}
