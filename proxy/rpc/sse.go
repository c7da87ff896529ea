package rpc

import (
	"errors"
	"io"
)

// ErrTooLarge says that one event or message is larger than the limit.
var ErrTooLarge = errors.New("the message is larger than the limit")

// Event is one server-sent event. Data is valid until the next call of Next.
type Event struct {
	Type string // empty means "message"
	ID   string
	Data []byte // lines joined by \n
}

// EventReader reads events from a stream; CR, LF and CR LF end lines, also when a read splits them, a leading BOM is skipped, comments are skipped.
type EventReader struct{}

// NewEventReader reads from r; an event whose data is larger than limit is ErrTooLarge.
func NewEventReader(r io.Reader, limit int) *EventReader { panic("unbuilt") }

// Next returns the next event that has data. A stream that ends in the middle of an event is io.ErrUnexpectedEOF, at a boundary io.EOF.
func (r *EventReader) Next() (Event, error) { panic("unbuilt") }

// Buffered says how many bytes of further events are already here, so that a writer knows whether to flush.
func (r *EventReader) Buffered() int { panic("unbuilt") }

// AppendEvent appends one event of type message with data; id may be empty. Data with line breaks becomes several data lines.
func AppendEvent(dst []byte, id string, data []byte) []byte { panic("unbuilt") }
