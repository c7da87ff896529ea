package rpc

import (
	"errors"
	"io"
	"math/bits"
	"sync"
	"sync/atomic"
)

// ErrTooLarge says that one event or message is larger than the limit.
var ErrTooLarge = errors.New("the message is larger than the limit")

// Buffer is a body in memory that goes back to a pool. It starts with one holder; each Retain adds one, each Release ends one, and the last one gives the memory back.
//
// Whoever hands Bytes, or a span of it such as a Message, to another goroutine holds the buffer for that goroutine: net/http may still read a request's body after the
// response is there, and memory that was given back belongs to another caller's message.
type Buffer struct {
	memory  *memory
	n       int
	holders atomic.Int32
}

// Bytes returns the body; nil once it was released.
func (b *Buffer) Bytes() []byte {
	if b.memory == nil {
		return nil
	}
	return b.memory.bytes[:b.n:b.n]
}

// Retain adds a holder.
func (b *Buffer) Retain() { b.holders.Add(1) }

// Release ends one holder's use. One Release too many panics: it would give away memory that is in use.
func (b *Buffer) Release() {
	switch n := b.holders.Add(-1); {
	case n == 0:
		b.memory.release()
		b.memory = nil
	case n < 0:
		panic("rpc: a Buffer was released more often than it was held")
	}
}

// A body that promises no more than believed is given room for all of it at once. Of a longer one as much must have arrived before its promise is believed; one that promises nothing begins with firstPart.
const (
	believed  = 64<<10 + 2<<10 // 64 KiB and an envelope
	firstPart = 16 << 10
)

// ReadAll reads r to its end into a buffer. sizeHint is the length if it is known (a Content-Length), else negative: a known one costs no regrowth. More than limit bytes
// are ErrTooLarge, at once if the hint says so, and nothing is read beyond the limit but one byte.
func ReadAll(r io.Reader, sizeHint int64, limit int) (*Buffer, error) {
	if sizeHint > int64(limit) {
		return nil, ErrTooLarge
	}
	limit = min(limit, maxText)
	size := firstPart
	if sizeHint >= 0 {
		size = min(believed, int(sizeHint)+1)
	}
	m := takeMemory(min(size, limit+1))
	n := 0
	for idle := 0; ; {
		if n > limit {
			m.release()
			return nil, ErrTooLarge
		}
		if n == len(m.bytes) {
			m = m.grow(n, nextSize(n, sizeHint, limit))
		}
		got, err := r.Read(m.bytes[n:min(len(m.bytes), limit+1)])
		n += got
		if err == io.EOF && n <= limit {
			b := &Buffer{memory: m, n: n}
			b.holders.Store(1)
			return b, nil
		}
		if idle++; got > 0 {
			idle = 0
		}
		if err == nil && idle == maxIdleReads {
			err = io.ErrNoProgress
		}
		if err != nil && n <= limit {
			m.release()
			return nil, err
		}
	}
}

// maxIdleReads is how often a reader may return nothing.
const maxIdleReads = 100

// nextSize is what a full buffer of n bytes grows to.
func nextSize(n int, sizeHint int64, limit int) int {
	if sizeHint > int64(n) {
		return int(sizeHint) + 1
	}
	return min(2*n, limit+1)
}

// memory is one piece of a pool.
type memory struct {
	bytes []byte
	class int // -1: of no pool
}

// The classes of memory: three small ones, then eight per doubling, so that no more than an eighth is wasted: a megabyte and an envelope take 1.125 MiB.
const (
	smallest   = 4 << 10
	octaves    = 10 // from 64 KiB to 64 MiB
	perOctave  = 8
	firstLarge = 3
)

var pools [firstLarge + octaves*perOctave]sync.Pool

// classOf returns the class for n bytes and the size of its members.
func classOf(n int) (class, size int) {
	switch {
	case n <= smallest:
		return 0, smallest
	case n <= 16<<10:
		return 1, 16 << 10
	case n <= 64<<10:
		return 2, 64 << 10
	}
	octave := bits.Len(uint(n-1)) - 1 // 1<<octave < n <= 2<<octave
	base, step := 1<<octave, 1<<octave/perOctave
	steps := (n - base + step - 1) / step
	class = firstLarge + (octave-16)*perOctave + steps - 1
	if class >= len(pools) {
		return -1, n
	}
	return class, base + steps*step
}

// takeMemory returns at least n bytes, of arbitrary content.
func takeMemory(n int) *memory {
	class, size := classOf(n)
	if class >= 0 {
		if m, ok := pools[class].Get().(*memory); ok {
			return m
		}
	}
	return &memory{make([]byte, size), class}
}

func (m *memory) release() {
	if m.class >= 0 {
		pools[m.class].Put(m)
	}
}

// grow moves the first n bytes to a larger piece.
func (m *memory) grow(n, size int) *memory {
	larger := takeMemory(size)
	copy(larger.bytes, m.bytes[:n])
	m.release()
	return larger
}
