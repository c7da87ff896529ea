package rpc_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"mcpsidecar/proxy/rpc"
)

func TestReadAll(t *testing.T) {
	const limit = 1 << 20
	sizes := []int{0, 1, 4095, 4096, 4097, 16<<10 - 1, 16 << 10, 16<<10 + 1, 64 << 10, 100_000, limit - 1, limit}
	for _, size := range sizes {
		body := bytes.Repeat([]byte("0123456789"), size/10+1)[:size]
		for _, hint := range []int64{-1, 0, int64(size), int64(size / 2)} {
			for name, r := range map[string]io.Reader{
				"whole":         bytes.NewReader(body),
				"halves":        iotest.HalfReader(bytes.NewReader(body)),
				"EOF with data": iotest.DataErrReader(bytes.NewReader(body)),
			} {
				b, err := rpc.ReadAll(r, hint, limit)
				if err != nil || !bytes.Equal(b.Bytes(), body) {
					t.Fatalf("%d bytes, hint %d, %s: %v", size, hint, name, err)
				}
				b.Release()
			}
		}
	}
}

func TestReadAllRefusesMoreThanTheLimit(t *testing.T) {
	for _, limit := range []int{0, 1, 5000, 100_000} {
		for _, hint := range []int64{-1, int64(limit)} {
			r := &counted{endless: endless{text: []byte("x")}}
			if _, err := rpc.ReadAll(r, hint, limit); err != rpc.ErrTooLarge {
				t.Errorf("%d: %v", limit, err)
			}
			if r.n > limit+1 {
				t.Errorf("%d: read %d bytes", limit, r.n)
			}
		}
		ends := iotest.DataErrReader(strings.NewReader(strings.Repeat("x", limit+1)))
		if _, err := rpc.ReadAll(ends, -1, limit); err != rpc.ErrTooLarge {
			t.Errorf("%d: %v for a body that ends one byte after the limit", limit, err)
		}
		r := &counted{endless: endless{text: []byte("x")}}
		if _, err := rpc.ReadAll(r, int64(limit)+1, limit); err != rpc.ErrTooLarge || r.n != 0 {
			t.Errorf("%d: %v after %d bytes of a body that says it is too large", limit, err, r.n)
		}
	}
}

type counted struct {
	endless
	n int
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.endless.Read(p)
	c.n += n
	return n, err
}

func TestReadAllPassesErrorsOn(t *testing.T) {
	broken := errors.New("broken")
	if _, err := rpc.ReadAll(io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(broken)), 6, 100); err != broken {
		t.Error(err)
	}
	if _, err := rpc.ReadAll(nothing{}, -1, 100); err != io.ErrNoProgress {
		t.Error(err)
	}
}

type nothing struct{}

func (nothing) Read([]byte) (int, error) { return 0, nil }

func TestBufferHolders(t *testing.T) {
	b, err := rpc.ReadAll(strings.NewReader("abc"), 3, 100)
	if err != nil {
		t.Fatal(err)
	}
	b.Retain()
	b.Release()
	if string(b.Bytes()) != "abc" {
		t.Error("gone while it was held")
	}
	b.Release()
	if b.Bytes() != nil {
		t.Error("there after the last release")
	}
	defer func() {
		if recover() == nil {
			t.Error("one release too many went unnoticed")
		}
	}()
	b.Release()
}

// Buffers that are used side by side never share memory.
func TestBuffersAreApart(t *testing.T) {
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 200 {
				size := 1 + (i*7919+g*104729)%200_000
				body := bytes.Repeat([]byte{byte('a' + g)}, size)
				b, err := rpc.ReadAll(bytes.NewReader(body), int64(size), 1<<20)
				if err != nil || !bytes.Equal(b.Bytes(), body) {
					t.Errorf("%d bytes of another: %v", size, err)
				}
				b.Release()
			}
		})
	}
	wg.Wait()
}
