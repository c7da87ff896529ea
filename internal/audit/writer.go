package audit

import (
	"bytes"
	"fmt"
	"io"
	"time"
)

const (
	// retryAfter is how soon a failed write is tried again when nobody asks for it.
	retryAfter = 500 * time.Millisecond
	// checkAfter is how often it is looked whether the file is still where it was opened.
	checkAfter = time.Second
	// maxSpare is how large a buffer may be that is kept for the next batch.
	maxSpare = 1 << 20
)

// writer is the one goroutine that writes. All of it is owned by run.
type writer struct {
	log     *Log
	target  *target
	checked time.Time // when it was last looked whether target was replaced
	timer   *time.Timer

	spare batch     // empty, with the buffers of the batch before last
	whole []byte    // buffer for what is put together of several parts
	kept  []byte    // what earlier attempts could not write
	torn  bool      // kept begins within a line, whose beginning is on file
	since time.Time // when writing began to fail; zero: it does not
}

func (w *writer) run() {
	defer close(w.log.ended)
	w.timer = time.NewTimer(0)
	w.timer.Stop()
	for {
		select {
		case <-w.log.wake:
			if w.since.IsZero() {
				w.timer.Reset(linger)
			}
		case <-w.log.hurry:
			w.flush()
		case <-w.timer.C:
			w.flush()
		case answer := <-w.log.reopen:
			w.flush()
			answer <- w.reopen()
			w.flush()
		case <-w.log.closing:
			w.log.closeErr = w.end()
			return
		}
	}
}

// end writes what is pending, counts what cannot be written, and closes the file.
func (w *writer) end() error {
	w.timer.Stop()
	w.flush()
	err := w.target.close()
	if records := bytes.Count(w.kept, newline); records > 0 {
		w.log.lost(records)
		return fmt.Errorf("%d audit records are lost: %w", records, w.log.Healthy())
	}
	return err
}

var newline = []byte("\n")

// flush writes all there is, in one write.
func (w *writer) flush() {
	now := w.log.now()
	batch, dropped := w.take()
	if err := w.look(now); err != nil {
		w.settle(w.compose(batch, nil), 0, err)
		return
	}
	attempt := w.compose(batch, w.gap(now, dropped))
	attempt.dropped = dropped
	n, err := w.write(now, attempt.data)
	w.settle(attempt, n, err)
}

// write says how much of data is on file. A stream that is not ours may claim anything.
func (w *writer) write(now time.Time, data []byte) (int, error) {
	if len(data) == 0 {
		return 0, nil
	}
	w.log.writing.Store(now.UnixNano())
	n, err := w.target.Write(data)
	w.log.writing.Store(0)
	n = min(max(n, 0), len(data))
	if err == nil && n < len(data) {
		err = io.ErrShortWrite
	}
	return n, err
}

// take takes the batch that has come together, and the number of records lost that no gap has told of.
func (w *writer) take() (taken batch, dropped int) {
	l := w.log
	l.mu.Lock()
	defer l.mu.Unlock()
	taken, l.next = l.next, w.spare
	l.backlog = len(w.kept) + len(taken.rest)
	w.spare = batch{}
	return taken, l.dropped
}

// look opens the path anew when the last write failed, or when the file has been moved away or deleted.
func (w *writer) look(now time.Time) error {
	failing := !w.since.IsZero()
	if !failing && now.Sub(w.checked) < checkAfter {
		return nil
	}
	w.checked = now
	if !failing && !w.target.replaced() {
		return nil
	}
	return w.reopen()
}

// reopen opens the path anew. On another file a line that was begun cannot be finished: it is lost.
func (w *writer) reopen() error {
	next, same, err := w.target.again()
	if err != nil {
		return err
	}
	if next != w.target {
		w.target.close()
		w.target = next
	}
	if w.torn && !same {
		w.kept = append(w.kept[:0], w.kept[bytes.IndexByte(w.kept, '\n')+1:]...)
		w.torn = false
		w.lose(1)
	}
	return nil
}

func (w *writer) lose(records int) {
	w.log.mu.Lock()
	w.log.dropped += records
	w.log.mu.Unlock()
	w.log.lost(records)
}

// gap is the record that tells of a failure; nil if there is nothing to tell.
func (w *writer) gap(now time.Time, dropped int) []byte {
	if w.since.IsZero() && dropped == 0 {
		return nil
	}
	since := w.since
	if since.IsZero() {
		since = now
	}
	return appendGap(nil, now, since, dropped)
}

// attempt is one write: what is kept, the gap, what is waited for, the rest.
type attempt struct {
	batch   batch
	data    []byte
	gap     int // where in data the gap begins
	must    int // where that begins which is waited for
	rest    int // where the rest begins
	dropped int // records lost that the gap tells of
}

func (w *writer) compose(b batch, gap []byte) attempt {
	a := attempt{batch: b, gap: len(w.kept)}
	a.must = a.gap + len(gap)
	a.rest = a.must + len(b.must)
	switch {
	case a.rest == 0:
		a.data = b.rest
	case a.must == 0 && len(b.rest) == 0:
		a.data = b.must
	default:
		w.whole = w.whole[:0]
		for _, part := range [][]byte{w.kept, gap, b.must, b.rest} {
			w.whole = append(w.whole, part...)
		}
		a.data = w.whole
	}
	return a
}

// settle draws the conclusions from a write of which n bytes are on file. Those who wait are told last, so that they find the log in the state that they were told of.
func (w *writer) settle(a attempt, n int, err error) {
	if a.batch.result != nil {
		defer close(a.batch.result.done)
		if n < a.rest {
			a.batch.result.err = err
		}
	}
	w.keep(a, n)
	told := 0
	if n > a.gap && a.must > a.gap {
		told = a.dropped
	}
	w.spare = batch{must: recycle(a.batch.must), rest: recycle(a.batch.rest)}
	w.whole = recycle(w.whole)
	w.account(told)
	if err != nil {
		w.failed(err)
	} else {
		w.recovered(told)
	}
}

// keep remembers for the next attempt what is not on file. Of what was waited for, and of the gap, only the end of a line that has been begun: who waited is told that it failed.
func (w *writer) keep(a attempt, n int) {
	w.torn = n > 0 && a.data[n-1] != '\n' || n == 0 && w.torn
	left := a.data[n:]
	switch {
	case n < a.gap:
		left = a.data[n:a.gap]
	case n < a.rest && w.torn:
		left = a.data[n : n+bytes.IndexByte(a.data[n:], '\n')+1]
	case n < a.rest:
		left = nil
	}
	kept := append([]byte(nil), left...)
	if n < a.rest {
		kept = append(kept, a.data[a.rest:]...)
	}
	w.kept = kept
}

// account tells the queue how much is kept, and which losses are on file.
func (w *writer) account(told int) {
	w.log.mu.Lock()
	defer w.log.mu.Unlock()
	w.log.backlog = len(w.kept)
	w.log.dropped -= told
}

func (w *writer) failed(err error) {
	if w.since.IsZero() {
		w.since = w.log.now()
		w.log.logger.Error("audit records cannot be written", "error", err)
	}
	w.log.failure.Store(&err)
	w.timer.Reset(retryAfter)
}

func (w *writer) recovered(lost int) {
	if !w.since.IsZero() || lost > 0 {
		w.log.logger.Warn("audit records are written again", "lost", lost)
	}
	w.since = time.Time{}
	w.log.failure.Store(nil)
}

// recycle empties a buffer, or drops one that a burst has made large.
func recycle(buffer []byte) []byte {
	if cap(buffer) > maxSpare {
		return nil
	}
	return buffer[:0]
}
