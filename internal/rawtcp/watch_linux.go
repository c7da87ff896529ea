package rawtcp

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
)

// Watch tells when the other end of a connection has gone, for all connections with one goroutine. Safe for concurrent use.
type Watch struct {
	// fixed at creation
	file  *os.File // an epoll descriptor, in which descriptors are that tell nothing but their end
	raw   syscall.RawConn
	ended chan struct{} // closed when the goroutine has returned

	mu   sync.Mutex // guards what follows
	last uint64     // the number of the newest connection
	held map[uint64]*Conn
}

// place is a connection's in its Watch.
type place struct {
	// fixed before the first Read
	held   bool
	number uint64

	end  func()      // called once it is gone or closed; guarded by the Watch
	gone atomic.Bool // the other end is
}

// NewWatch starts to watch. It has to be closed, after the connections.
func NewWatch() (*Watch, error) {
	descriptor, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("watching connections: %w", os.NewSyscallError("epoll_create1", err))
	}
	if err := syscall.SetNonblock(descriptor, true); err != nil { // so that os takes it into the runtime's poller
		syscall.Close(descriptor)
		return nil, fmt.Errorf("watching connections: %w", os.NewSyscallError("fcntl", err))
	}
	w := &Watch{file: os.NewFile(uintptr(descriptor), "connections"), ended: make(chan struct{}), held: map[uint64]*Conn{}}
	if w.raw, err = w.file.SyscallConn(); err != nil {
		w.file.Close()
		return nil, fmt.Errorf("watching connections: %w", err)
	}
	go w.run()
	return w, nil
}

// Close ends the goroutine, and returns when it has ended. Nothing is told any more.
func (w *Watch) Close() error {
	err := w.file.Close()
	<-w.ended
	return err
}

// Context returns a context that ends when the other end of a connection has gone, or has said that it sends no more, or when the connection is closed here. It is an http.Server's ConnContext, and
// has to be called before the first Read. A connection that is not watched leaves ctx as it is.
//
// From then on a Read of a single byte returns at once: with nothing, or with io.EOF if the other end has gone. That is how net/http listens for the end of a connection while it answers a request, with
// a goroutine that it has to start, let wait, and call back for each request.
func Context(ctx context.Context, conn net.Conn) context.Context {
	c, ok := conn.(*Conn)
	if !ok || c.watch == nil {
		return ctx
	}
	watched, end := context.WithCancel(ctx)
	c.place.end = end
	if err := c.watch.hold(c); err != nil { // there is no room in the kernel: net/http's own way will do
		end()
		return ctx
	}
	c.place.held = true
	return watched
}

// WhenGone has f called when the other end of a connection has gone or it is closed here: once or twice, and not by somebody who could wait. false: the connection is not watched.
func WhenGone(conn net.Conn, f func()) bool {
	c, ok := conn.(*Conn)
	if !ok || !c.place.held {
		return false
	}
	c.watch.mu.Lock()
	end := c.place.end
	c.place.end = func() { end(); f() }
	c.watch.mu.Unlock()
	if c.place.gone.Load() {
		f()
	}
	return true
}

// alone is a Read of a single byte.
func (p *place) alone() (int, error) {
	if p.gone.Load() {
		return 0, io.EOF
	}
	return 0, nil
}

// Close closes the connection. Whoever is told of it finds it closed: what is said then must not reach the other end, and look like the end of what was cut off.
func (c *Conn) Close() error {
	err := c.tcp.Close()
	if c.place.held {
		c.watch.leave(c)()
	}
	return err
}

// hold begins to watch a connection.
func (w *Watch) hold(c *Conn) error {
	w.mu.Lock()
	w.last++
	number := w.last
	c.place.number = number
	w.held[number] = c
	w.mu.Unlock()
	err := w.add(c, number)
	if err != nil {
		w.leave(c)
	}
	return err
}

// edge is EPOLLET, which package syscall has as a negative number.
const edge = 1 << 31

// add puts a connection's descriptor among those that are watched. The kernel takes it out when it is closed.
func (w *Watch) add(c *Conn, number uint64) error {
	var failed error
	err := w.raw.Control(func(descriptor uintptr) {
		err := c.raw.Control(func(watched uintptr) {
			event := syscall.EpollEvent{Events: syscall.EPOLLRDHUP | edge, Fd: int32(uint32(number)), Pad: int32(uint32(number >> 32))}
			failed = syscall.EpollCtl(int(descriptor), syscall.EPOLL_CTL_ADD, int(watched), &event)
		})
		if failed == nil {
			failed = err
		}
	})
	if err != nil {
		return err
	}
	return failed
}

// leave forgets a connection and returns what its end is.
func (w *Watch) leave(c *Conn) (end func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.held, c.place.number)
	return c.place.end
}

// run tells of those that go.
func (w *Watch) run() {
	defer close(w.ended)
	var events [64]syscall.EpollEvent
	for {
		n := 0
		err := w.raw.Read(func(descriptor uintptr) bool {
			var err error
			for n, err = syscall.EpollWait(int(descriptor), events[:], 0); err == syscall.EINTR; {
				n, err = syscall.EpollWait(int(descriptor), events[:], 0)
			}
			return n > 0
		})
		if err != nil { // closed
			return
		}
		for _, event := range events[:n] {
			w.tell(uint64(uint32(event.Fd)) | uint64(uint32(event.Pad))<<32)
		}
	}
}

// tell ends the context of a connection whose other end has gone.
func (w *Watch) tell(number uint64) {
	w.mu.Lock()
	c, end := w.held[number], func() {}
	if c != nil {
		c.place.gone.Store(true)
		end = c.place.end
	}
	w.mu.Unlock()
	end()
}
