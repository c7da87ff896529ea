package outbound

import (
	"errors"
	"net"
	"os"
	"syscall"
)

// socket is the connection at the bottom of a wire: what TLS, if there is any, reads from and writes to.
type socket struct {
	net.Conn // a *conn; ReadFrom is left out on purpose, it would pass Write by
	raw      syscall.RawConn
	step     func(uintptr) bool // of converse, made once: a closure for each request would be an allocation

	// Of converse.
	look   bool // the other side has to be silent before anything is said
	speak  func() bool
	spoken bool

	wrote   bool    // something was handed to the operating system since it was set to false
	dry     bool    // reads fail at once: for asking TLS whether it holds something back
	records records // of TLS
}

var errNoSocket = errors.New("the connection is not one of the operating system's")

func newSocket(inner net.Conn) (*socket, error) {
	plain, ok := inner.(*conn)
	if !ok {
		return nil, errNoSocket
	}
	system, ok := plain.Conn.(syscall.Conn)
	if !ok {
		return nil, errNoSocket
	}
	raw, err := system.SyscallConn()
	if err != nil {
		return nil, err
	}
	s := &socket{Conn: inner, raw: raw}
	s.step = s.next
	return s, nil
}

// converse calls speak, which writes and says whether an answer is to be waited for, and returns when there may be something to read. If it is to look first, it speaks only if the other side has neither sent
// anything nor ended the connection, and says whether it has spoken.
//
// Both are one wait of the operating system's: a Read right after a Write would ask once more, in vain, before it waits.
func (s *socket) converse(look bool, speak func() bool) (spoken bool) {
	s.look, s.speak, s.spoken, s.wrote = look, speak, false, false
	s.raw.Read(s.step) // what is wrong with the connection, whoever reads next meets again
	return s.spoken
}

// next is one step of converse; it says whether that is over.
func (s *socket) next(descriptor uintptr) bool {
	if s.spoken || s.look && peek(descriptor) {
		return true
	}
	s.spoken = true
	return !s.speak()
}

func (s *socket) Read(p []byte) (int, error) {
	if s.dry {
		return 0, os.ErrDeadlineExceeded
	}
	n, err := s.Conn.Read(p)
	s.records.see(p[:n])
	return n, err
}

func (s *socket) Write(p []byte) (int, error) {
	n, err := s.Conn.Write(p)
	if n > 0 {
		s.wrote = true
	}
	return n, err
}

// writeNow writes what the operating system takes without waiting; nothing, where we cannot know.
func (s *socket) writeNow(p []byte) (int, error) {
	able, ok := s.Conn.(*conn).Conn.(interface{ WriteNow([]byte) (int, error) })
	if !ok {
		return 0, nil
	}
	n, err := able.WriteNow(p)
	s.wrote = s.wrote || n > 0
	if err != nil {
		err = plainError("write", err)
	}
	return n, err
}

// records follows the records of TLS as they are read, to know whether part of one is held back.
type records struct {
	counted bool
	head    [recordHead]byte // of the record that is being read
	got     int              // of head
	left    int              // of the record's content
}

// recordHead is the size of a record's head: type, version, length.
const recordHead = 5

func (r *records) see(p []byte) {
	for r.counted && len(p) > 0 {
		if r.left > 0 {
			n := min(r.left, len(p))
			r.left, p = r.left-n, p[n:]
			continue
		}
		n := copy(r.head[r.got:], p)
		r.got, p = r.got+n, p[n:]
		if r.got == recordHead {
			r.got, r.left = 0, int(r.head[3])<<8|int(r.head[4])
		}
	}
}

// whole says that what was read ends where a record ends.
func (r *records) whole() bool { return r.got == 0 && r.left == 0 }
