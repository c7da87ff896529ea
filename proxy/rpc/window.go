package rpc

import (
	"bytes"
	"io"
)

// window is the part of a stream that is in memory.
type window struct {
	memory   *memory // nil before the first read
	buf      []byte  // its bytes, at most max of them
	max      int
	pos, end int   // unread: buf[pos:end]
	lf, cr   mark  // the next line ends
	err      error // came together with the last bytes
}

// mark is how far a byte was looked for, so that a long line is not searched again at each read, and many short ones do not each search the whole window.
type mark struct {
	at    int  // it is nowhere in buf[pos:at]
	found bool // it is at buf[at]
}

func (w *window) find(m *mark, c byte) {
	if m.at < w.pos {
		*m = mark{at: w.pos}
	}
	if m.found {
		return
	}
	if i := bytes.IndexByte(w.buf[m.at:w.end], c); i >= 0 {
		m.at, m.found = m.at+i, true
	} else {
		m.at = w.end
	}
}

// lineEnd returns where the line at pos ends, or -1.
func (w *window) lineEnd() int {
	w.find(&w.lf, '\n')
	w.find(&w.cr, '\r')
	switch {
	case w.lf.found && (!w.cr.found || w.lf.at < w.cr.at):
		return w.lf.at
	case w.cr.found:
		return w.cr.at
	}
	return -1
}

// read reads once, or until something comes.
func (w *window) read(src io.Reader) error {
	for range maxIdleReads {
		if w.err != nil {
			return w.err
		}
		var n int
		n, w.err = src.Read(w.buf[w.end:])
		if w.end += n; n > 0 {
			return nil
		}
	}
	if w.err != nil {
		return w.err
	}
	return io.ErrNoProgress
}

// room makes room to read more behind what is unread, keeping what data spans. It says false if that would take more than max.
func (w *window) room(data *span) bool {
	if w.memory == nil {
		w.use(takeMemory(min(smallest, w.max)))
	}
	if data.from == data.to && w.pos == w.end {
		w.rewind()
		*data = span{}
	}
	if w.end < len(w.buf) {
		return true
	}
	free := data.from + w.pos - data.to // what a move would free
	if free < len(w.buf)/4 && len(w.buf) < w.max {
		old := w.memory
		buf := w.buf
		w.use(takeMemory(larger(len(buf), w.max)))
		w.move(buf, data)
		old.release()
		return true
	}
	if free == 0 {
		return false
	}
	w.move(w.buf, data)
	return true
}

// move brings data and what is unread to the start of the window, without what lies around them.
func (w *window) move(from []byte, data *span) {
	n := data.to - data.from
	if data.from > 0 || &from[0] != &w.buf[0] {
		copy(w.buf, from[data.from:data.to])
	}
	unread := copy(w.buf[n:], from[w.pos:w.end])
	shift := w.pos - n
	w.pos, w.end = n, n+unread
	w.lf.at -= shift
	w.cr.at -= shift
	*data = span{0, n}
}

// rewind forgets what was read; nothing is unread.
func (w *window) rewind() {
	w.pos, w.end, w.lf, w.cr = 0, 0, mark{}, mark{}
}

func (w *window) use(m *memory) {
	w.memory, w.buf = m, m.bytes[:min(len(m.bytes), w.max)]
}

// larger is the next size: by leaps, because each copies what is there, and such that a whole number of kilobytes with a little around it fits closely.
func larger(size, limit int) int {
	const first = 72 << 10
	if size < first {
		return min(first, limit)
	}
	return min(4*size, limit)
}

// shrink gives large memory back if what is unread fits the smallest.
func (w *window) shrink() {
	if w.memory == nil || len(w.memory.bytes) <= smallest || w.end-w.pos > smallest {
		return
	}
	old, buf := w.memory, w.buf
	w.use(takeMemory(min(smallest, w.max)))
	w.move(buf, &span{w.pos, w.pos})
	old.release()
}

func (w *window) drop() {
	if w.memory != nil {
		w.memory.release()
	}
	w.memory, w.buf = nil, nil
	w.rewind()
}
