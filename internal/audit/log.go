package audit

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// ErrNotRecorded says that a record is not on file, and that what it was about must not happen.
var ErrNotRecorded = errors.New("the audit record cannot be written")

// Why a record is not on file, other than what the operating system says.
var (
	errClosed  = errors.New("the audit log is closed")
	errBacklog = errors.New("too many records wait to be written")
	errSlow    = errors.New("the disk does not answer")
)

const (
	// maxPending bounds the memory of records that wait, some ten thousand of them. Records that a caller waits for have half as much for themselves, so that those nobody waits for cannot crowd them out.
	maxPending = 4 << 20
	// enough is when records are written at once rather than after linger.
	enough = 128 << 10
	// linger is how long a record that nobody waits for may wait for company: one write for many.
	linger = 20 * time.Millisecond
	// patience is how long a caller waits for its record, and how long a write may take before the log counts as unhealthy.
	patience = 5 * time.Second
	// usual is the length of a record that is made without allocating.
	usual = 1024
)

// Config says where records go.
type Config struct {
	Path     string            // "-" is Stdout, empty keeps no records, anything else is a file that is appended to
	Required bool              // a call or change that cannot be recorded fails; needs a Path
	Stdout   io.Writer         // nil: os.Stdout
	Lost     func(records int) // told how many records were lost; safe for concurrent use; may be nil
	Logger   *slog.Logger      // nil: nothing is logged
	Now      func() time.Time  // nil: time.Now
}

// Log is the audit log. Safe for concurrent use.
type Log struct {
	// fixed at creation
	kept     bool // there is somewhere to write to
	required bool
	now      func() time.Time
	lost     func(records int)
	logger   *slog.Logger
	wake     chan struct{}   // a batch has begun that nobody waits for
	hurry    chan struct{}   // somebody waits, or there is enough
	reopen   chan chan error // answered by the writer
	closing  chan struct{}
	ended    chan struct{} // closed when the writer has ended; closeErr is set then
	closeErr error

	failure atomic.Pointer[error] // why the last write failed; nil: it did not
	writing atomic.Int64          // when the write under way began, in Unix nanoseconds; 0: none is

	mu      sync.Mutex // guards what follows; held while a record is copied, never while the disk works
	next    batch
	backlog int // bytes that the writer keeps for another attempt
	dropped int // records lost that no gap tells of yet
	closed  bool
}

// batch is what is written together.
type batch struct {
	must   []byte  // records that somebody waits for; they come first
	rest   []byte  // records that nobody waits for
	result *result // of must; nil while that is empty
}

// result is what those who wait are told. err may be read when done is closed.
type result struct {
	done chan struct{}
	err  error
}

// Open opens the file for appending, creating it with mode 0600, and starts the writer.
func Open(config Config) (*Log, error) {
	if config.Required && config.Path == "" {
		return nil, errors.New("audit records are required, so there must be a file for them")
	}
	l := newLog(config)
	if !l.kept {
		close(l.ended)
		return l, nil
	}
	target, err := openTarget(config)
	if err != nil {
		return nil, fmt.Errorf("opening the audit log: %w", err)
	}
	go (&writer{log: l, target: target, checked: l.now()}).run()
	return l, nil
}

func newLog(config Config) *Log {
	l := &Log{
		kept: config.Path != "", required: config.Required,
		now: config.Now, lost: config.Lost, logger: config.Logger,
		wake: make(chan struct{}, 1), hurry: make(chan struct{}, 1),
		reopen: make(chan chan error), closing: make(chan struct{}), ended: make(chan struct{}),
	}
	if l.now == nil {
		l.now = time.Now
	}
	if l.lost == nil {
		l.lost = func(int) {}
	}
	if l.logger == nil {
		l.logger = slog.New(slog.DiscardHandler)
	}
	return l
}

func openTarget(config Config) (*target, error) {
	if config.Path != "-" {
		return openFile(config.Path)
	}
	if config.Stdout == nil {
		config.Stdout = os.Stdout
	}
	return &target{Writer: config.Stdout}, nil
}

// Begin records that a call is about to run. It does something only when records are required; then an error means that the call must not run.
func (l *Log) Begin(call *Call) error {
	if !l.required {
		return nil
	}
	var space [usual]byte
	return l.await(appendBegin(space[:0], l.now(), call))
}

// End records how a call ended. It never blocks on the disk.
func (l *Log) End(call *Call) {
	if !l.kept {
		return
	}
	var space [usual]byte
	l.enqueue(appendEnd(space[:0], l.now(), call))
}

// Changed records a change of configuration. When records are required an error means it is not on file.
func (l *Log) Changed(change Change) error {
	if !l.kept {
		return nil
	}
	var space [usual]byte
	line := appendChange(space[:0], l.now(), &change)
	if l.required {
		return l.await(line)
	}
	l.enqueue(line)
	return nil
}

// await returns when the line is with the operating system.
func (l *Log) await(line []byte) error {
	result, err := l.demand(line)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotRecorded, err)
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-result.done:
		err = result.err
	case <-timer.C:
		err = errSlow
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotRecorded, err)
	}
	return nil
}

// demand adds a line to those that are waited for. Whoever comes while a write is under way is in the next, together.
func (l *Log) demand(line []byte) (*result, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return nil, errClosed
	case len(l.next.must)+len(line) > maxPending/2:
		return nil, errBacklog
	}
	if l.next.result == nil {
		l.next.result = &result{done: make(chan struct{})}
	}
	l.next.must = append(l.next.must, line...)
	signal(l.hurry)
	return l.next.result, nil
}

// enqueue adds a line to those that nobody waits for, or counts it as lost.
func (l *Log) enqueue(line []byte) {
	if !l.add(line) {
		l.lost(1)
	}
}

func (l *Log) add(line []byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := len(l.next.rest)
	if l.closed || l.backlog+before+len(line) > maxPending {
		l.dropped++
		return false
	}
	l.next.rest = append(l.next.rest, line...)
	switch {
	case before < enough && len(l.next.rest) >= enough:
		signal(l.hurry)
	case before == 0:
		signal(l.wake)
	}
	return true
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Healthy says why records cannot be written at present, or nil.
func (l *Log) Healthy() error {
	if err := l.failure.Load(); err != nil {
		return *err
	}
	if since := l.writing.Load(); since != 0 && l.now().Sub(time.Unix(0, since)) > patience {
		return errSlow
	}
	return nil
}

// Reopen opens the path anew, for log rotation. On an error the old file stays in use.
func (l *Log) Reopen() error {
	if !l.kept {
		return nil
	}
	answer := make(chan error, 1)
	select {
	case l.reopen <- answer:
		return <-answer
	case <-l.ended:
		return errClosed
	}
}

// Close writes what is pending and ends the writer. An error says that something of it is lost.
func (l *Log) Close() error {
	l.mu.Lock()
	first := !l.closed
	l.closed = true
	l.mu.Unlock()
	if first {
		close(l.closing)
	}
	<-l.ended
	return l.closeErr
}
