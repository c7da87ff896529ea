package rpc

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"time"
)

// Event is one server-sent event. Data is valid until the next call of Next; the strings may be kept.
type Event struct {
	Type string // empty means "message"
	ID   string // what this event's own id field said; see EventReader.LastID
	Data []byte // lines joined by \n
}

// EventReader reads events from a stream; CR, LF and CR LF end lines, also when a read splits them, a leading BOM is skipped, comments are skipped.
//
// It holds four kilobytes while it waits and grows only for an event that needs more. It belongs to one goroutine.
type EventReader struct {
	src   io.Reader
	limit int
	err   error // sticky

	window // what was read and not yet consumed

	// The event that is being read.
	data    span // its data so far, in the window; lines are joined in place
	hasData bool
	typ, id string
	hasID   bool
	touched bool // it has a field

	// The stream.
	lastID   string
	retry    time.Duration
	skipLF   bool // the last line ended in CR: an LF that follows belongs to it
	skipping bool // inside a comment that is being dropped as it comes
	begun    bool // the place of a byte order mark is behind us
}

// maxField bounds a field other than data, in bytes.
const maxField = 4 << 10

var (
	errReleased = errors.New("the event reader was released")
	byteOrder   = []byte("\xEF\xBB\xBF")
)

// NewEventReader reads from r; an event whose data is larger than limit is ErrTooLarge.
func NewEventReader(r io.Reader, limit int) *EventReader {
	limit = min(limit, maxText/2)
	return &EventReader{src: r, limit: limit, window: window{max: limit + maxField + 64}}
}

// Next returns the next event that has data. A stream that ends in the middle of an event is io.ErrUnexpectedEOF, at a boundary io.EOF.
func (r *EventReader) Next() (Event, error) {
	if r.err != nil {
		return Event{}, r.err
	}
	r.reset()
	r.shrink()
	for {
		line, err := r.line()
		if err == nil && line.from < line.to {
			err = r.field(line)
		} else if err == nil && r.dispatch() {
			return Event{r.typ, r.id, r.data.in(r.buf)}, nil
		}
		if err != nil {
			r.err = err
			return Event{}, err
		}
	}
}

// Buffered says how many bytes of further events are already here, so that a writer knows whether to flush.
func (r *EventReader) Buffered() int {
	if r.skipLF && r.pos < r.end && r.buf[r.pos] == '\n' {
		return r.end - r.pos - 1
	}
	return r.end - r.pos
}

// Whole says whether a whole event with data is already here, so that Next will not wait. It may say no where the data are empty.
func (r *EventReader) Whole() bool {
	if r.err != nil {
		return false
	}
	rest := r.buf[r.pos:r.end]
	if r.skipLF && len(rest) > 0 && rest[0] == '\n' {
		rest = rest[1:]
	}
	for skip, hasData := r.skipping, false; ; skip = false {
		i := bytes.IndexAny(rest, "\r\n")
		if i < 0 {
			return false
		}
		switch {
		case skip:
		case i == 0 && hasData:
			return true
		case i > len("data: ") && bytes.HasPrefix(rest, dataField):
			hasData = true
		}
		if rest[i] == '\r' && i+1 < len(rest) && rest[i+1] == '\n' {
			i++
		}
		rest = rest[i+1:]
	}
}

var dataField = []byte("data:")

// LastID is the id that a stream can be resumed after: that of the last event that had one, also if it had no data. An empty id field resets it.
func (r *EventReader) LastID() string { return r.lastID }

// Retry is the reconnection time that the stream asked for last, or 0.
func (r *EventReader) Retry() time.Duration { return r.retry }

// Release gives the reader's memory back, and with it the last event's Data. It does not close the stream.
func (r *EventReader) Release() {
	r.drop()
	r.err = errReleased
}

func (r *EventReader) reset() {
	r.data, r.hasData, r.typ, r.id, r.hasID, r.touched = span{}, false, "", "", false, false
}

// dispatch ends the event at an empty line, and says whether it is one: without data it is none, but its id counts. The id of an event that was cut short does not: to resume after it would lose the event.
func (r *EventReader) dispatch() bool {
	if r.hasID {
		r.lastID = r.id
	}
	if r.data.from < r.data.to {
		return true
	}
	r.reset()
	return false
}

// line returns the next line, without its end; the span is valid until the next call.
func (r *EventReader) line() (span, error) {
	for {
		if r.ready() {
			if i := r.lineEnd(); i >= 0 {
				line := span{r.pos, i}
				r.skipLF = r.buf[i] == '\r'
				r.pos = i + 1
				if !r.skipping {
					return line, nil
				}
				r.skipping = false
				continue
			}
			if r.skipping || r.pos < r.end && r.buf[r.pos] == ':' {
				r.skipping, r.pos = true, r.end
			}
		}
		if err := r.more(); err != nil {
			return span{}, err
		}
	}
}

// ready passes what may stand before a line: the LF of a CR LF, and at the very start a byte order mark. It says whether it knows that there is nothing more of that.
func (r *EventReader) ready() bool {
	if !r.begun {
		unread := r.buf[r.pos:r.end]
		if len(unread) < len(byteOrder) && bytes.HasPrefix(byteOrder, unread) {
			return false
		}
		if bytes.HasPrefix(unread, byteOrder) {
			r.pos += len(byteOrder)
		}
		r.begun = true
	}
	if r.skipLF && r.pos < r.end {
		if r.buf[r.pos] == '\n' {
			r.pos++
		}
		r.skipLF = false
	}
	return true
}

// more reads on, keeping the event so far and the unread part of a line.
func (r *EventReader) more() error {
	if !r.room(&r.data) {
		return ErrTooLarge
	}
	err := r.read(r.src)
	if err == io.EOF && (r.touched || r.pos < r.end && r.begun) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// field takes one line that is not empty.
func (r *EventReader) field(line span) error {
	text := r.buf[line.from:line.to]
	name, value, _ := bytes.Cut(text, []byte{':'})
	if len(name) == 0 && len(value) < len(text) {
		return nil // a comment
	}
	value = bytes.TrimPrefix(value, []byte{' '})
	r.touched = true
	switch string(name) {
	case "data":
		return r.addData(span{line.to - len(value), line.to})
	case "event", "id", "retry":
		if len(value) > maxField {
			return ErrTooLarge
		}
		r.note(name[0], value)
	}
	return nil
}

// note takes an event, id or retry field.
func (r *EventReader) note(initial byte, value []byte) {
	switch initial {
	case 'e':
		r.typ = intern(value)
	case 'i':
		r.setID(value)
	default:
		if ms, err := strconv.ParseUint(string(value), 10, 31); err == nil {
			r.retry = time.Duration(ms) * time.Millisecond
		}
	}
}

// addData joins a line to the event's data: the first stays where it is, later ones move up to it, where there is always room.
func (r *EventReader) addData(value span) error {
	if !r.hasData {
		r.data, r.hasData = value, true
	} else {
		r.buf[r.data.to] = '\n'
		r.data.to += 1 + copy(r.buf[r.data.to+1:], r.buf[value.from:value.to])
	}
	if r.data.to-r.data.from > r.limit {
		return ErrTooLarge
	}
	return nil
}

func (r *EventReader) setID(value []byte) {
	if bytes.IndexByte(value, 0) >= 0 {
		return
	}
	r.hasID = true
	if r.id = r.lastID; string(value) != r.lastID {
		r.id = string(value)
	}
}
