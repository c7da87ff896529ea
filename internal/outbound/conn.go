package outbound

import (
	"errors"
	"io"
	"net"
	"sync"
)

// conn is a connection whose errors name no address, and which copies a request's body without allocating a buffer for each.
type conn struct{ net.Conn }

func newConn(inner net.Conn) *conn { return &conn{inner} }

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil && err != io.EOF {
		err = plainError("read", err)
	}
	return n, err
}

func (c *conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if err != nil {
		err = plainError("write", err)
	}
	return n, err
}

func plainError(op string, err error) error {
	var known *net.OpError
	if errors.As(err, &known) {
		return wordless(op, err)
	}
	return err
}

// copySize is how much of a body is written at a time.
const copySize = 64 << 10

var copyBuffers = sync.Pool{New: func() any { return new([copySize]byte) }}

// ReadFrom is what net/http sends bodies through that do not fit beside the headers into its write buffer.
func (c *conn) ReadFrom(r io.Reader) (int64, error) {
	buffer := copyBuffers.Get().(*[copySize]byte)
	defer copyBuffers.Put(buffer)
	return io.CopyBuffer(onlyWriter{c}, onlyReader{r}, buffer[:])
}

// onlyWriter and onlyReader keep io.CopyBuffer from looking for a better way: this is it.
type (
	onlyWriter struct{ io.Writer }
	onlyReader struct{ io.Reader }
)
